"""The first rank where its group breaks, or is asked to end: beside a group that is none."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch

from core.config import ConfigError, RunConfig
from core.machine.home import SCRATCH, Home
from core.ranks import signs
from core.ranks.collectives import Parted
from core.ranks.group import Group
from core.records.events import RunStatus
from core.store import RunStore
from core.store.continued import ResumeRequest
from core.store.job_files import NUMBER, reports_of
from core.worker import process, rank
from core.worker.leading import OVER, LeadingWorker
from core.worker.rank import Share

TWO = RunConfig(dataset="digits", model="small_cnn", image_size=8, batch_size=64, devices="2", device="cpu")


class Marks:
    """Of a group: what was said, and in which phases this rank was with which handler of SIGTERM."""

    def __init__(self, left_behind: bool = False) -> None:
        self.machines, self.device = 1, torch.device("cpu")
        self.left_behind = left_behind
        self.said: list[str] = []
        self.handlers: list[Any] = []
        self.signs = SimpleNamespace(phase=lambda phase: self.handlers.append((phase, signal.getsignal(signal.SIGTERM))))

    def say(self, mark: str, words: str = "") -> None:
        """See `Group`."""
        self.said.append(mark)


def leads(home: Home, store: RunStore, marks: Marks, again: str = "") -> LeadingWorker:
    """The first rank of a new run."""
    return LeadingWorker(home, store, store.create_run(TWO), cast(Group, marks), again)


def test_sigterm_of_an_agent_whose_group_broke_interrupts_no_run(home: Home, store: RunStore) -> None:
    """A rank dies while the first one reads the data: the run ends for that, in the words of whoever watches, and not as if it had been asked to."""
    marks = Marks(left_behind=True)
    worker = leads(home, store, marks)
    worker.interrupt_soon()
    with pytest.raises(Parted, match="another rank has ended"):
        worker.run()
    assert store.run(worker.run_id).status is RunStatus.PREPARING
    assert marks.said == []


def test_sigterm_of_anybody_else_interrupts_it(home: Home, store: RunStore) -> None:
    marks = Marks()
    worker = leads(home, store, marks)
    worker.interrupt_soon()
    assert worker.run() is RunStatus.INTERRUPTED
    assert marks.said == [OVER]


def test_a_run_that_cannot_go_on_after_a_failure_says_why(home: Home, store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody asked it to go on but its own group: there is no state to put it back into."""
    worker = leads(home, store, Marks(), again="begun again (1 of at most 1) by itself")

    def gone(self: LeadingWorker, goes_on: object) -> None:
        raise ConfigError("dataset", "the folder is gone")

    monkeypatch.setattr(LeadingWorker, "_assemble", gone)
    with pytest.raises(ConfigError, match="the folder is gone"):
        worker.run()
    run = store.run(worker.run_id)
    assert (run.status, run.error) == (RunStatus.FAILED, "dataset: the folder is gone")


@pytest.fixture
def led(home: Home, store: RunStore) -> Share:
    """A run whose first rank is this process."""
    run_id = store.create_run(TWO)
    return Share(str(home.path), run_id, str(home.run_folder(run_id)), "127.0.0.1", 1, ("cpu", "cpu"), 2)


@pytest.fixture(autouse=True)
def signals_as_before() -> Iterator[None]:
    """Of this process."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_the_first_rank_trains_once_it_hears_signals(home: Home, led: Share, monkeypatch: pytest.MonkeyPatch) -> None:
    """What came before waits with whoever watches until then: passed on earlier, it would end the process, or be lost."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    monkeypatch.setattr(LeadingWorker, "run", lambda self: RunStatus.FINISHED)
    marks = Marks()
    rank._lead(home, led, cast(Group, marks), 0)
    [(phase, handler)] = marks.handlers
    assert phase == signs.TRAINING
    assert handler.__func__ is LeadingWorker.interrupt_soon


def test_a_run_that_had_ended_before_its_group_broke_is_not_begun_again(home: Home, store: RunStore, led: Share) -> None:
    store.end(led.run_id, RunStatus.STOPPED)
    marks = Marks()
    rank._lead(home, led, cast(Group, marks), 1)
    assert marks.said == [OVER]
    assert store.run(led.run_id).status is RunStatus.STOPPED
    assert store.continued(led.run_id) == []


def test_who_has_ended_on_this_machine(tmp_path: Path) -> None:
    """Two machines of two ranks: pids of the other one say nothing here."""
    signs.make(tmp_path, 4)
    mine, other = (signs.Signs(tmp_path, number) for number in (2, 3))
    group = Group.__new__(Group)
    group.rank, group.machine, group.ranks_here, group.signs = 2, 1, 2, mine
    assert not group.left_behind
    other.close(signs.FAILED)
    assert group.left_behind
    mine.close(signs.LEFT)


MORE = 1000


def test_devices_that_are_not_there_are_said_and_cost_nothing_that_was(home: Home, store: RunStore) -> None:
    """A run that stopped goes on on a machine with fewer: it is as it was, and says why."""
    run_id = store.create_run(RunConfig(devices=str(MORE), batch_size=MORE, device="cpu"))
    store.end(run_id, RunStatus.STOPPED)
    store.ask_to_resume(run_id, ResumeRequest())
    with pytest.raises(ConfigError, match="more than this machine has"):
        process.work(home, run_id)
    run = store.run(run_id)
    assert run.status is RunStatus.STOPPED
    assert f"{MORE} processes are more than this machine has" in str(run.error)


def test_a_job_says_that_its_node_has_not_the_devices(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the machine that submitted it hears it."""
    (scratch := tmp_path / "scratch").mkdir()
    monkeypatch.setenv(SCRATCH, os.fspath(scratch))
    monkeypatch.setenv(NUMBER, "1")
    run_id = RunStore(home.database).create_run(RunConfig(devices=str(MORE), batch_size=MORE, device="cpu"))
    with pytest.raises(ConfigError):
        process.work(home, run_id)
    assert b"more than this machine has" in reports_of(home.run_folder(run_id), 1).read_bytes()
