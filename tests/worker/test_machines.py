"""The machine that waits for others: who is let in, what is heard of them. No ranks; runs on two machines are in `test_together`."""

from __future__ import annotations

import errno
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from torch._C._distributed_c10d import HashStore

from core.config import ConfigError, RunConfig
from core.machine.home import APART, SCRATCH
from core.ranks import joining, likeness, signs
from core.ranks.digests import Compared
from core.ranks.group import Group
from core.ranks.joining import Machines
from core.ranks.memory import may_be_shared
from core.ranks.signs import Signs
from core.ranks.talk import Refused, Talk, ask_in
from core.records.events import Command, RunStatus
from core.store.checkpoint import checkpoint_path
from core.store.job_files import NUMBER
from core.store.patience import PatientStore
from core.store.resume_files import resume_path, resume_points
from core.worker import across, job_nodes, meeting, together
from core.worker.meeting import Meeting
from tests.support import wait_until

TWO = RunConfig(nodes=2, rendezvous="127.0.0.1")


class Told:
    """A store that keeps nothing but what the run is told to be doing."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def set_status(self, run_id: str, status: RunStatus, activity: str) -> None:
        self.said.append(activity)

    def commands(self, run_id: str, waiting: bool) -> list[Command]:
        return []


@pytest.fixture
def met(tmp_path: Path) -> Iterator[Meeting]:
    """A machine that waits for two others."""
    made = Meeting(tmp_path, "run", TWO.replace(nodes=3, batch_size=66), ("cpu",), None)
    yield made
    made.close("finished")


def comes(met: Meeting, token: str, other: Mapping[str, str] | None = None, node_rank: int | None = None) -> tuple[Talk, dict[str, Any]]:
    """Somebody comes with a token, and what it is told."""
    state = met._state
    talk = ask_in("127.0.0.1", int(state.address.split(":")[1]), "run", token)
    offer = talk.hear(10)
    like = {**likeness.mine(likeness.told(RunConfig.from_json(offer["config"])), ("cpu",)), **(other or {})}
    talk.say({"name": "two", "like": like, "problem": "", "node_rank": node_rank})
    return talk, talk.hear(10)


def goes(talk: Talk) -> dict[str, int]:
    """What a machine is to do, once all are here."""
    while "go" not in (words := talk.hear(10)):
        pass
    found: dict[str, int] = words["go"]
    return found


def state(tmp_path: Path) -> Machines:
    """What a person is told."""
    return cast(Machines, joining.read(tmp_path))


def test_a_token_is_good_for_one_machine_that_is_like_this_one(met: Meeting, tmp_path: Path) -> None:
    """One with other code is named, and may come again; a second use is refused; who leaves makes room for another, with another token."""
    first, second = state(tmp_path).tokens
    for name in ("code", "torch"):
        talk, answer = comes(met, first, {name: "other"})
        assert "two has other" in answer["refused"]
        talk.close()
        assert f"two has other {'code of Thaw' if name == 'code' else name}: other there" in state(tmp_path).refused
        assert first in state(tmp_path).tokens
    talk, answer = comes(met, first)
    assert answer == {"welcome": True}
    assert state(tmp_path).tokens == (second,)
    assert met.waits == "waiting for 1 more machine"
    with pytest.raises(Refused, match="was used already"):
        comes(met, first)
    talk.close()
    wait_until(lambda: met._guests[0].problem, what="it is noticed that it left")
    met.greet()
    assert met.waits == "waiting for 2 more machines"
    assert len({*state(tmp_path).tokens, first, second}) == 3
    assert "two has left again" in state(tmp_path).refused


def test_a_machine_may_say_which_it_is(met: Meeting, tmp_path: Path) -> None:
    """Whoever asks for a number has it, whenever it came; one that there is not, or that another has, is refused, and the token stays good."""
    first, second = state(tmp_path).tokens
    assert "node rank 3, and they go from 1 to 2" in comes(met, first, node_rank=3)[1]["refused"]
    early, answer = comes(met, first)
    assert answer == {"welcome": True}
    late, answer = comes(met, second, node_rank=1)
    assert answer == {"welcome": True}
    wait_until(lambda: not met.waits, what="all are here")
    met.begin()
    assert [goes(each)["machine"] for each in (early, late)] == [2, 1]
    for talk in (early, late):
        talk.close()


def test_a_number_is_one_machines(met: Meeting, tmp_path: Path) -> None:
    first, second = state(tmp_path).tokens
    talk, _ = comes(met, first, node_rank=2)
    assert "asks for node rank 2, which two has" in comes(met, second, node_rank=2)[1]["refused"]
    assert second in state(tmp_path).tokens
    assert "node rank 2" in state(tmp_path).refused
    talk.close()


@pytest.mark.parametrize("late", [False, True])
def test_a_job_whose_nodes_do_not_come_together_ends_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, late: bool) -> None:
    """People may bring a machine again; a node of a job that is turned away, or never comes, does not."""
    monkeypatch.setenv(SCRATCH, str(tmp_path))
    monkeypatch.setenv(NUMBER, "3")
    job = Meeting(tmp_path, "run", TWO, ("cpu",), None)
    try:
        assert (state(tmp_path).job, state(tmp_path).lines, state(tmp_path).told) == (3, (), ()), "nobody has to type anything"
        if late:
            monkeypatch.setattr(together, "NODES_SECONDS", 0.0)
        else:
            comes(job, state(tmp_path).tokens[0], {"torch": "1.0"})
        store, watcher = Told(), SimpleNamespace(asked=lambda: 0)
        ended = together._wait(job, cast(PatientStore, store), "run", cast(together.Watcher, watcher))
        assert (ended, store.said) == (RunStatus.FAILED, ["waiting for 1 more machine"])
        why = together._why_alone(job)
        assert ("waiting for 1 more machine for 0 s, in vain" if late else "A machine was not let in: two has other torch: 1.0 there") in why
        assert "in the folder jobs of the run" in why
    finally:
        job.close("failed")


def test_a_job_that_is_cancelled_while_its_nodes_meet_is_interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All nodes are told to end: that another one has left for it is no failure."""
    monkeypatch.setenv(SCRATCH, str(tmp_path))
    monkeypatch.setenv(NUMBER, "3")
    job = Meeting(tmp_path, "run", TWO, ("cpu",), None)
    try:
        job.turned_away = "two has left again: is gone"
        watcher = cast(together.Watcher, SimpleNamespace(asked=lambda: signal.SIGTERM))
        assert together._wait(job, cast(PatientStore, Told()), "run", watcher) is RunStatus.INTERRUPTED
    finally:
        job.close("interrupted")


def test_a_node_whose_folder_cannot_be_read_just_now_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until it is another job's."""
    monkeypatch.setenv(APART, "")
    monkeypatch.setattr(job_nodes, "LOOK_SECONDS", 0.0)
    numbers = [0, 3, 0, 4, 3]
    monkeypatch.setattr(job_nodes, "asked", lambda folder, run_id: (numbers.pop(0), []))
    before = signal.getsignal(signal.SIGUSR2)
    try:
        assert "has done nothing" in job_nodes.share_in(str(tmp_path), "run", 3, 1, tmp_path)
    finally:
        signal.signal(signal.SIGUSR2, before)
    assert numbers == [3]


def test_no_token_is_written_behind_the_end(met: Meeting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody is refused in the very moment in which the run is stopped."""
    keep, ends = joining.keep, threading.Thread(target=met.close, args=("stopped",))

    def slowly(folder: Path, machines: Machines) -> None:
        if machines.tokens:
            ends.start()
            wait_until(met._over.is_set, what="the end")
            ends.join(0.1)
        keep(folder, machines)

    monkeypatch.setattr(joining, "keep", slowly)
    with pytest.raises(Refused):
        ask_in("127.0.0.1", int(met._state.address.split(":")[1]), "run", "0" * 32)
    wait_until(lambda: ends.ident is not None, what="that it is told")
    ends.join()
    assert state(tmp_path).tokens == ()


def test_a_full_disk_turns_no_machine_away(met: Meeting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a person is told is written once it can be."""

    def full(folder: Path, machines: Machines) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    first, second = state(tmp_path).tokens
    with monkeypatch.context() as patched:
        patched.setattr(joining, "keep", full)
        talk, answer = comes(met, first)
        assert answer == {"welcome": True}
        met.greet()
        with pytest.raises(OSError, match="other machines join"):
            Meeting(tmp_path, "run", TWO, ("cpu",), None)
    assert state(tmp_path).tokens == (first, second)
    met.greet()
    assert state(tmp_path).tokens == (second,)
    talk.close()


def test_the_signs_of_other_machines_are_written_beside_the_own(met: Meeting, tmp_path: Path) -> None:
    """By this machine's clock; one whose connection ends is gone, with its ranks."""
    talks = [comes(met, token)[0] for token in state(tmp_path).tokens]
    wait_until(lambda: not met.waits, what="all are here")
    met.begin()
    go = [goes(talk) for talk in talks]
    assert {(each["first"], each["ranks"], each["machine"]) for each in go} == {(1, 3, 1), (2, 3, 2)}
    signs.make(tmp_path, 3)
    number = go[0]["first"]
    row = [1.0] * len(signs.COLUMNS)
    row[meeting.ALIVE] = 990.0
    talks[0].say({"rows": [row], "now": 1000.0})
    wait_until(lambda: met.look(()) == "" and signs.read(tmp_path)[number].pid, what="its signs")
    assert 10 <= time.time() - signs.read(tmp_path)[number].alive < 70
    talks[1].say({"gone": "Rank 9 of 9 on two failed."})
    talks[0].close()
    found = wait_until(lambda: met.look(()), what="the trouble")
    assert found == "Rank 9 of 9 on two failed." or found.startswith(f"Machine {number + 1} of 3 (two, rank {number}) is gone: the ")
    talks[1].close()


def test_a_machine_that_falls_silent_is_named(tmp_path: Path) -> None:
    """Stopped (SIGSTOP) with its connection open, or unplugged: its ranks may train on, but nobody knows how they are."""
    met = Meeting(tmp_path, "run", TWO.replace(silence_seconds=2), ("cpu",), None)
    talk, answer = comes(met, state(tmp_path).tokens[0])
    assert answer == {"welcome": True}
    wait_until(lambda: not met.waits, what="all are here")
    met.begin()
    found = wait_until(lambda: met.look(()), what="the silence")
    assert found == "Machine 2 of 2 (two, rank 1) is gone: the other machine says nothing."
    assert not met.again(1), "who is gone cannot begin again"
    talk.close()
    met.close("failed")


def test_all_machines_make_way_before_any_begins_again(met: Meeting, tmp_path: Path) -> None:
    """What one of them said of its ranks is kept for the words, and forgotten for the next attempt."""
    talks = [comes(met, token)[0] for token in state(tmp_path).tokens]
    wait_until(lambda: not met.waits, what="all are here")
    met.begin()
    assert {goes(talk)["attempt"] for talk in talks} == {0}
    talks[0].say({"gone": "Rank 1 of 3 on two failed."})
    for talk in talks:
        talk.say({"ready": 1})
    assert met.again(1)
    assert met.trouble == "Rank 1 of 3 on two failed."
    assert met.look(()) == ""
    met.begin(1)
    assert {goes(talk)["attempt"] for talk in talks} == {1}
    for talk in talks:
        talk.close()


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("127.0.0.1:{port}", "in use by another program"),
        ("198.51.100.7:0", "no address of this machine"),
        ("a..b:0", "'a..b:0' is no address of this machine .it is no name of a machine."),
        (f"{'a' * 64}:0", "it is no name of a machine"),
    ],
)
def test_a_place_where_nobody_can_wait(tmp_path: Path, met: Meeting, where: str, said: str) -> None:
    port = met._state.address.split(":")[1]
    with pytest.raises(ConfigError, match=said) as caught:
        Meeting(tmp_path / "other", "run", TWO.replace(rendezvous=where.format(port=port)), ("cpu",), None)
    assert caught.value.field == "rendezvous"


def test_a_machine_with_other_pictures_or_weights_is_named() -> None:
    store = HashStore()
    group = cast(Any, SimpleNamespace(machines=2, ranks_here=1, said=lambda key: store.check([key]), mark=lambda key: bytes(store.get(key)).decode()))
    images = cast(Any, SimpleNamespace(pictures=lambda: (("train", "a", "a/1.png", "0"),)))
    waited: list[str] = []

    def meanwhile(text: str, share: float | None) -> None:
        waited.append(text)
        store.set(across.pictures_of(1), across.pictures_digest(images))

    across.same_pictures(group, images, ("one", "two"), meanwhile)
    assert waited == ["waiting for the pictures of machine 2 (two)"]
    store.set(across.pictures_of(1), "other")
    with pytest.raises(ConfigError, match=r"machine 2 \(two\) has other pictures than machine 1 \(one\)") as caught:
        across.same_pictures(group, images, ("one", "two"), meanwhile)
    assert caught.value.field == "dataset"
    across.refuse_other_weights(group, Compared(0, 62, 2), ("one", "two"))
    with pytest.raises(ConfigError, match=r"machine 2 \(two\) begins with other values than machine 1 \(one\) in fc.weight, of 62") as caught:
        across.refuse_other_weights(group, Compared(0, 62, 2, ((1, "fc.weight"),)), ("one", "two"))
    assert caught.value.field == "starting_weights"


@pytest.mark.skipif(not may_be_shared(), reason="this machine's ranks talk over gloo, which has no threads for ranks")
def test_who_joins_a_run_that_goes_on_is_given_its_checkpoint(tmp_path: Path) -> None:
    """And the weights of before training, of which frozen layers are made; a rank of the machine that has the run takes part and writes nothing."""
    here, there = tmp_path / "run", tmp_path / "joined"
    files = {resume_path(here, 7): b"where it stood", checkpoint_path(here, 0, 0): b"before training"}
    for path, content in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    checkpoint_path(here, 1, 7).write_bytes(b"of no matter")
    signs.make(tmp_path, 4)
    store = HashStore()

    def rank(number: int) -> None:
        mine = Signs(tmp_path, number)
        group = Group(number, 4, store, mine, torch.device("cpu"))
        group.machines, group.ranks_here, group.machine = 2, 2, number // 2
        across.hand_out(group, here, resume_points(here)[0]) if number == 0 else across.take_in(group, there if number > 1 else tmp_path / "none")
        mine.close(signs.LEFT)

    threads = [threading.Thread(target=rank, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {path.name: path.read_bytes() for path in (there / "checkpoints").iterdir()} == {path.name: content for path, content in files.items()}
    assert not (tmp_path / "none").exists()


def test_ranks_whose_other_machine_is_gone_end_soon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that stands in a sum over GPUs would wait for it without end; what is wrong is what the other machine's trouble was."""
    monkeypatch.setattr(together, "CLOSE_SECONDS", 0.0)
    signs.make(tmp_path, 2)
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as process:
        row = [0.0] * len(signs.COLUMNS)
        row[signs.COLUMNS.index("pid")], row[meeting.ALIVE] = process.pid, time.time() + 600
        signs.put(tmp_path, 0, [row])
        others = SimpleNamespace(look=lambda rows: "Machine 2 of 2 (two, rank 1) is gone.", tell=lambda problem: None)
        watcher = together.Watcher(tmp_path, 2, TWO, range(1), cast(Any, others))
        watcher.start()
        assert process.wait(timeout=60) == -signal.SIGKILL
        watcher.stop()
    assert watcher.told({}) == "Machine 2 of 2 (two, rank 1) is gone."
