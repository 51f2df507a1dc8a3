"""Who joins a run and who leads it prove themselves to each other, and what they say then: over a pair of sockets, in threads."""

from __future__ import annotations

import json
import os
import socket
import stat
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from core.commands.join import place
from core.config import ConfigError, RunConfig
from core.ranks import joining, likeness, talk
from core.ranks.joining import Machines
from core.ranks.talk import Refused, Talk, TalkError, ask_in, let_in, new_token

RUN = "20260101-000000-abcd"


@pytest.fixture
def door() -> Iterator[socket.socket]:
    """Where somebody can knock, on loopback."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


def met(door: socket.socket, lead: Callable[[socket.socket], Any], token: str, run_id: str = RUN) -> tuple[Any, Any]:
    """What leading came to (a result or an error), and what joining did, where both do so at once."""
    found: list[Any] = []

    def one() -> None:
        try:
            found.append(lead(door.accept()[0]))
        except TalkError as error:
            found.append(error)

    thread = threading.Thread(target=one)
    thread.start()
    try:
        joined: Any = ask_in("127.0.0.1", door.getsockname()[1], run_id, token)
    except TalkError as error:
        joined = error
    thread.join()
    return found[0], joined


@pytest.fixture
def pair(door: socket.socket) -> Iterator[tuple[Talk, Talk]]:
    """Both ends of a conversation."""
    token = new_token()
    (leads, used), joins = met(door, lambda sock: let_in(sock, RUN, [new_token(), token], []), token)
    assert used == token
    yield leads, joins
    leads.close()
    joins.close()


def test_both_ends_hear_each_other_in_order(pair: tuple[Talk, Talk]) -> None:
    leads, joins = pair
    for number in range(3):
        leads.say({"number": number, "text": "é"})
        joins.say({"number": -number})
    assert [joins.hear(5) for _ in range(3)] == [{"number": number, "text": "é"} for number in range(3)]
    assert [leads.hear(5)["number"] for _ in range(3)] == [0, -1, -2]
    assert joins.own_address == "127.0.0.1"


@pytest.mark.parametrize(("token", "used", "run_id", "said"), [
    ("wrong", [], RUN, "is not one of this run"),
    ("\udcff", [], RUN, "is not one of this run"),  # a byte of a command line that is no UTF-8
    ("twice", ["twice"], RUN, "was used already: it is good for one machine"),
    ("right", [], "another-run", "is not one of this run"),
])  # fmt: skip
def test_who_has_no_good_token_stays_outside(door: socket.socket, token: str, used: list[str], run_id: str, said: str) -> None:
    led, joined = met(door, lambda sock: let_in(sock, RUN, ["right"], used), token, run_id)
    assert isinstance(led, Refused)
    assert isinstance(joined, Refused)
    assert str(joined) == said


def test_who_leads_must_know_the_token_too(door: socket.socket) -> None:
    """Somebody at its address says that all is well: whoever joins does not believe it."""

    def pretend(sock: socket.socket) -> None:
        with sock:
            sock.sendall(talk._GREETING + bytes(32))
            sock.recv(1 << 10)
            sock.sendall(talk._WELCOME + bytes(32))

    _, joined = met(door, pretend, "token")
    assert "does not know the token" in str(joined)


@pytest.mark.parametrize(("content", "said"), [(b"HTTP/1.1 400 Bad Request" * 9, "leads no run of this Thaw"), (b"", "has ended")])
def test_something_else_answers_at_the_address(door: socket.socket, content: bytes, said: str) -> None:
    def answer(sock: socket.socket) -> None:
        with sock:
            sock.sendall(content)

    assert said in str(met(door, answer, "token")[1])


def test_nobody_answers(door: socket.socket) -> None:
    port = door.getsockname()[1]
    door.close()
    with pytest.raises(TalkError, match=f"nothing answers at 127.0.0.1:{port}"):
        ask_in("127.0.0.1", port, RUN, "token")
    with pytest.raises(TalkError, match="a..b is no name of a machine"):
        ask_in("a..b", port, RUN, "token")


def test_what_is_changed_repeated_or_turned_round_on_its_way_is_noticed(pair: tuple[Talk, Talk]) -> None:
    leads, joins = pair
    content = json.dumps({"rows": []}).encode()

    def frame(end: Talk, number: int, changed: bytes = b"") -> bytes:
        return struct.pack(">I", len(content)) + end._mac(end._mine, number, content) + (changed or content)

    for wrong in (frame(joins, 1), frame(leads, 0), frame(joins, 0, content.replace(b"rows", b"gone"))):
        joins._socket.sendall(wrong)
        with pytest.raises(TalkError, match="changed on its way"):
            leads.hear(5)
    joins._socket.sendall(frame(joins, 0))
    assert leads.hear(5) == {"rows": []}


def test_nothing_too_long_is_read_or_waited_for(pair: tuple[Talk, Talk], monkeypatch: pytest.MonkeyPatch) -> None:
    leads, joins = pair
    with pytest.raises(TalkError, match="longer than"):
        joins.say({"text": "x" * talk.LARGEST})
    monkeypatch.setattr(talk, "TURN_SECONDS", 0.01)
    with pytest.raises(TalkError, match="says nothing"):
        leads.hear(0.01)
    joins._socket.sendall(struct.pack(">I", talk.LARGEST + 1) + bytes(32))
    with pytest.raises(TalkError, match="longer than"):
        leads.hear(5)
    joins.close()
    with pytest.raises(TalkError, match="has ended"):
        leads.hear(5)


def test_tokens_stand_in_a_file_of_their_owner_alone(tmp_path: Path) -> None:
    machines = Machines(RUN, "10.0.0.5:29500", ("secret",), ("<b>one</b>",), missing=1, each=2, refused="two: other torch")
    os.umask(os.umask(0o22))
    joining.keep(tmp_path, machines)
    assert stat.S_IMODE((tmp_path / joining.NAME).stat().st_mode) == 0o600
    assert joining.read(tmp_path) == machines
    assert machines.lines == (f"python -m core join {RUN}@10.0.0.5:29500 --token secret",)
    assert machines.told[0] == "two: other torch"
    assert [machines.of(rank) for rank in (0, 1, 2)] == ["<b>one</b>", "<b>one</b>", "?"]
    assert place(machines.lines[0].split()[4]) == (RUN, "10.0.0.5", 29500)
    (tmp_path / joining.NAME).write_text("[]")
    assert joining.read(tmp_path) is None


@pytest.mark.parametrize("text", ["nothing", "a@b", "a@b:0", "a@b:99999", "a b@c:1", "a@b:1 --token x"])
def test_a_place_to_join_that_is_none(text: str) -> None:
    with pytest.raises(ConfigError, match="RUN@HOST:PORT"):
        place(text)


@pytest.mark.parametrize(("name", "value", "said"), [
    ("code", "0", "two has other code of Thaw: 0 there"),
    ("torch", "2.0", "two has other torch: 2.0 there"),
    ("python", "3.9", "two has other Python: 3.9 there"),
    ("config", "", "two has other settings"),
    ("devices", "1 x cuda", "two has other devices: 1 x cuda there, 2 x cpu here; let each machine bring as many, of one kind"),
])  # fmt: skip
def test_what_is_another_on_a_machine_is_named_with_a_remedy(name: str, value: str, said: str) -> None:
    here = likeness.mine(likeness.told(RunConfig()), ("cpu", "cpu"))
    assert likeness.difference(here, here, "two") == ""
    assert likeness.difference(here, {**here, name: value}, "two").startswith(said)
    assert "other" in likeness.difference(here, {}, "two")
