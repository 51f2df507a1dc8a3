"""Open files and connections: how many there are however many tabs come and go, and what becomes of the server when they run out."""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
import pytest
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.runtime.session_manager import SessionInfo
from websockets.sync.client import connect

from core.machine import handles
from core.machine.handles import Shortage
from pages._parts.shared.closed_sessions import KEPT, ClosedSessions
from tests.support import PATIENCE, Server, wait_until

FEW = 128


@pytest.fixture
def small_server(tmp_path: Path) -> Iterator[Server]:
    """A server that may have few handles, and cannot raise that."""
    server = Server(tmp_path / "home", tmp_path / "server.log", FEW)
    try:
        server.start()
        yield server
    finally:
        server.close()


def load(server: Server) -> None:
    """What a browser does to show Home: the page, then the script's whole first run. Then the tab is closed."""
    with urllib.request.urlopen(server.address, timeout=PATIENCE) as answer:
        answer.read()
    address = f"ws://127.0.0.1:{server.port}/_stcore/stream"
    with connect(address, origin=server.address, subprotocols=["streamlit"], max_size=None) as tab:  # type: ignore[arg-type, list-item]
        ask = BackMsg()
        ask.rerun_script.query_string = ""
        tab.send(ask.SerializeToString())
        answer_, kind = ForwardMsg(), None
        while kind != "script_finished":
            answer_.ParseFromString(tab.recv(timeout=PATIENCE))  # type: ignore[arg-type]
            kind = answer_.WhichOneof("type")


def test_tabs_that_come_and_go_leave_no_handles_and_a_server_without_any_recovers(small_server: Server) -> None:
    server, process = small_server, psutil.Process(small_server.pid)
    for _ in range(FEW // 3 + 2):  # three handles each would be more than there are
        load(server)
    assert process.num_fds() < FEW - handles.FOR_A_SESSION
    assert "handles" not in server.log_tail(), "nothing has run out"

    with ExitStack() as held:
        for _ in range(FEW + 20):
            held.enter_context(socket.create_connection(("127.0.0.1", server.port)))
        wait_until(lambda: "handles" in server.log_tail(400), what="a word in the log")
        with pytest.raises((urllib.error.URLError, ConnectionError)):
            urllib.request.urlopen(server.address, timeout=PATIENCE)
    wait_until(server.answers, what="an answer after the connections are gone")
    load(server)
    log = server.log_tail(4000)
    assert log.count(f"Thaw has used up its {FEW} handles") == 1
    assert "Traceback" not in log


def test_the_limit_is_raised_as_far_as_it_may_be() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 200), hard))
        handles.take_all()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class Session:
    """As much of Streamlit's session as its storage knows."""

    def __init__(self, number: int) -> None:
        self.id = f"session {number}"
        self.ended = 0

    def shutdown(self) -> None:
        self.ended += 1


def closed(sessions: list[Session], seconds: float = 100.0) -> ClosedSessions:
    kept = ClosedSessions(seconds)
    for session in sessions:
        kept.save(SessionInfo(client=None, session=session))  # type: ignore[arg-type]
    return kept


def test_the_oldest_of_too_many_closed_sessions_are_ended() -> None:
    sessions = [Session(number) for number in range(KEPT + 3)]
    kept = closed(sessions)
    assert [session.ended for session in sessions] == [1, 1, 1] + [0] * KEPT
    assert kept.get("session 2") is None
    found = kept.get("session 3")
    assert found is not None
    assert found.session.id == "session 3"
    kept.delete("session 3")  # its tab is back
    assert kept.let_go() == KEPT - 1
    assert [session.ended for session in sessions] == [1, 1, 1, 0] + [1] * (KEPT - 1)
    assert kept.list() == []


def test_closed_sessions_are_ended_when_their_time_is_over() -> None:
    session = Session(0)
    kept = closed([session], seconds=-1.0)
    assert session.ended == 1
    assert kept.get(session.id) is None


def no_handle_left(listening: socket.socket) -> dict[str, Any]:
    return {"message": "socket.accept() out of system resource", "exception": OSError(errno.EMFILE, os.strerror(errno.EMFILE)), "socket": listening}


def test_what_can_be_spared_goes_before_anybody_is_turned_away(caplog: pytest.LogCaptureFixture) -> None:
    spared = [2, 0, 0]
    shortage = Shortage(lambda: spared.pop(0))
    loop = asyncio.new_event_loop()
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        listening.setblocking(False)
        with socket.create_connection(listening.getsockname()) as first, socket.create_connection(listening.getsockname()) as second:
            shortage(loop, no_handle_left(listening))  # two can be spared: both go on waiting, and are served
            accepted, _ = listening.accept()
            accepted.sendall(b"served")
            assert first.recv(6) == b"served"
            shortage(loop, no_handle_left(listening))  # none can be spared
            second.settimeout(PATIENCE)
            assert second.recv(1) == b"", "it was turned away, not left to wait"
            accepted.close()
            shortage(loop, no_handle_left(listening))
        assert listening.fileno() > 0
    assert len(caplog.records) == 1
    assert "2 sessions of tabs that are gone" in caplog.text
    loop.close()


def test_other_errors_of_the_loop_are_reported_as_before(caplog: pytest.LogCaptureFixture) -> None:
    loop = asyncio.new_event_loop()
    Shortage(lambda: 0)(loop, {"message": "something else", "exception": OSError(errno.EIO, "worn out")})
    assert "something else" in caplog.text
    loop.close()


def test_a_session_begins_only_where_handles_are_left(monkeypatch: pytest.MonkeyPatch) -> None:
    used = [100]
    monkeypatch.setattr(handles, "limit", lambda: FEW)
    monkeypatch.setattr(handles, "in_use", lambda: used[0])
    let_go: list[int] = []
    shortage = Shortage(lambda: let_go.append(used[0]) or 0)  # type: ignore[func-returns-value]
    assert shortage.has_room(28)
    assert not let_go
    assert not shortage.has_room(29)
    assert let_go == [100]
