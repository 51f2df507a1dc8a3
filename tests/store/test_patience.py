"""A store that cannot be written for a while ends no run: rows wait, are thinned past a bound, and come into the store or the run's folder."""

from __future__ import annotations

import os
import resource
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch

from core.config import RunConfig
from core.machine.home import Home
from core.records.events import ChangeRow, CommandKind, EpochRow, Reuse, RunStatus
from core.records.summaries import Summarizer
from core.store import RunStore, StoreError, patience
from core.store.patience import Limits, PatientStore
from core.store.recovery import found, take_in
from core.store.run_folder import read_notice, read_rows
from core.store.saving import save_weights
from core.worker.supervisor import Supervisor
from core.worker.worker import Worker
from tests.store.test_store import PLAN, row

QUICK = Limits(wait=0.05, short_wait=0.05, retry=0.05, last=0.5)
SMALL: dict[str, Any] = {"dataset": "digits", "model": "small_cnn", "image_size": 8, "batch_size": 256, "threads": 1}


@contextmanager
def locked(home: Home) -> Iterator[None]:
    """Another process has the store, as far as SQLite can tell."""
    other = sqlite3.connect(home.database, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN EXCLUSIVE")
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()


def patient(home: Home, store: RunStore, limits: Limits = QUICK) -> PatientStore:
    run_id = store.create_run(RunConfig())
    patiently = PatientStore(store, run_id, home.run_folder(run_id), limits)
    patiently.begin(run_id, PLAN)
    return patiently


def train(patiently: PatientStore, summarizer: Summarizer, first: int, last: int) -> None:
    for step in range(first, last + 1):
        block = [row(step, loss=float(step))]
        patiently.append(patiently.run_id, block, summarizer.add(block))


def test_steps_wait_while_the_store_is_locked_and_come_in_order_afterwards(home: Home, store: RunStore) -> None:
    patiently, summarizer = patient(home, store), Summarizer()
    run_id, folder = patiently.run_id, home.run_folder(patiently.run_id)
    train(patiently, summarizer, 1, 5)
    with locked(home):
        train(patiently, summarizer, 6, 20)
        for number in range(3):
            patiently.set_status(run_id, RunStatus.RUNNING, f"look {number}")
        patiently.append_epoch(run_id, EpochRow(1, 20, 1.0, 0.5, 0.5, None, None))
        patiently.append_change(run_id, ChangeRow(0, 21, "live", "learning_rate=0.1", 0.1, np.zeros(2, np.bool_), np.ones(2, np.float32)))
        assert store.last_step(run_id) == 5
        assert patiently.waiting == 15
        time.sleep(0.1)
        assert not patiently.retry()
        notice = read_notice(folder)
        assert notice is not None
        assert notice.steps == 15
        assert "locked by another process" in str(notice)
        assert "15 steps are kept in memory" in str(notice)
    assert patiently.settle(lambda: False)
    assert store.steps_after(run_id, 0, 0).step.tolist() == list(range(1, 21))
    assert store.steps_after(run_id, 2, 0).loss.tolist() == [2.5, 6.5, 10.5, 14.5, 18.5]
    assert (store.run(run_id).step, store.run(run_id).activity) == (20, "look 2")
    assert [epoch.step for epoch in store.epochs_after(run_id)] == [20]
    assert [change.text for change in store.changes_after(run_id)] == ["learning_rate=0.1"]
    assert read_notice(folder) is None
    train(patiently, summarizer, 21, 22)
    assert store.last_step(run_id) == 22, "all is well again"


def test_command_that_was_answered_while_nothing_could_be_written_is_not_obeyed_twice(home: Home, store: RunStore) -> None:
    patiently = patient(home, store)
    store.request(patiently.run_id, CommandKind.PAUSE)
    (command,) = patiently.commands(patiently.run_id, waiting=True)
    with locked(home):
        patiently.acknowledge(command, 3)
        assert patiently.trouble is not None
    # Before the answer is written the store still has the request.
    assert len(store.commands(patiently.run_id, waiting=True)) == 1
    time.sleep(0.1)
    assert patiently.commands(patiently.run_id, waiting=True) == []
    assert store.commands(patiently.run_id)[0].applied_at_step == 3
    store.request(patiently.run_id, CommandKind.STOP)
    assert [each.kind for each in patiently.commands(patiently.run_id, waiting=True)] == [CommandKind.STOP]


def test_memory_is_bounded_and_what_was_dropped_is_said(home: Home, store: RunStore) -> None:
    limits = Limits(wait=0.01, short_wait=0.01, retry=0.01, last=5, most_bytes=600_000)
    patiently, summarizer = patient(home, store, limits), Summarizer()
    with locked(home):
        for first in range(1, 4000, 100):
            block = [row(step, loss=float(step)) for step in range(first, first + 100)]
            patiently.append(patiently.run_id, block, summarizer.add(block))
            assert patiently._bytes <= limits.most_bytes
        time.sleep(0.05)
        patiently.retry()
        notice = read_notice(home.run_folder(patiently.run_id))
        assert notice is not None
        assert (notice.steps, "to save memory" in notice.thinned) == (4000, True)
    assert patiently.settle(lambda: False)
    steps = store.steps_after(patiently.run_id, 0, 0).step
    assert 0 < len(steps) < 4000
    assert store.run(patiently.run_id).step == 4000
    assert patiently._bytes == 0


def test_worker_goes_on_under_a_lock_and_has_every_step_in_the_end(home: Home, store: RunStore) -> None:
    run_id = store.create_run(RunConfig(**SMALL, epochs=20))
    worker = Worker(home, store, run_id, Limits(wait=0.1, short_wait=0.05, retry=0.2, last=20))
    held: list[int] = []

    def hold() -> None:
        while not RunStore(home.database).run(run_id).step:
            time.sleep(0.02)
        with locked(home):
            held.append(store.last_step(run_id))
            time.sleep(1.5)
            held.append(store.last_step(run_id))

    holder = threading.Thread(target=hold)
    holder.start()
    assert worker.run() is RunStatus.FINISHED
    holder.join()
    run = store.run(run_id)
    assert run.plan is not None
    assert store.steps_after(run_id, 0, 0).step.tolist() == list(range(1, run.plan.total_steps + 1))
    assert [epoch.epoch for epoch in store.epochs_after(run_id)] == list(range(1, 21))
    assert run.result is not None
    assert held[0] == held[1], "nothing could be written meanwhile"


def test_end_that_could_not_be_written_comes_from_the_folder_once_the_store_is_back(home: Home, store: RunStore) -> None:
    run_id = store.create_run(RunConfig(**SMALL, epochs=1))
    store.set_process(run_id, 999_999, 1.0)
    worker = Worker(home, store, run_id, QUICK)
    with locked(home):
        assert worker.run() is RunStatus.FINISHED
        assert store.run(run_id).status is RunStatus.QUEUED
    assert torch.load(home.run_folder(run_id) / "weights.pth", weights_only=True)
    Supervisor(home, store).reconcile()
    run = store.run(run_id)
    assert run.status is RunStatus.FINISHED, run.error
    assert run.plan is not None
    assert run.result is not None
    assert store.steps_after(run_id, 0, 0).step.tolist() == list(range(1, run.plan.total_steps + 1))


def test_signal_ends_the_waiting_for_the_store(home: Home, store: RunStore) -> None:
    run_id = store.create_run(RunConfig(**SMALL, epochs=1))
    worker = Worker(home, store, run_id, Limits(wait=0.05, short_wait=0.05, retry=0.05, last=600))
    with locked(home):
        ended = threading.Thread(target=worker.run)
        ended.start()
        while worker.step == 0 or not (home.run_folder(run_id) / "weights.pth").exists():
            time.sleep(0.05)
        while ended.is_alive():  # the first may come before the waiting begins
            worker.stop_soon()
            ended.join(0.2)
    assert (home.run_folder(run_id) / "weights.pth").exists()


def test_run_whose_store_was_deleted_is_taken_in_again_by_its_own_worker(home: Home, store: RunStore) -> None:
    patiently, summarizer = patient(home, store), Summarizer()
    train(patiently, summarizer, 1, 8)
    store.close()
    for file in home.path.glob("thaw.db*"):
        file.unlink()
    train(patiently, summarizer, 9, 12)
    run = store.run(patiently.run_id)
    assert (run.status, run.step, run.plan) == (RunStatus.RUNNING, 12, PLAN)
    assert store.steps_after(patiently.run_id, 0, 0).step.tolist() == list(range(1, 13))
    assert store.steps_after(patiently.run_id, 2, 0).loss.tolist() == [2.5, 6.5, 10.5]


def test_steps_that_waited_when_the_store_lost_the_run_are_there_once_in_the_end(home: Home, store: RunStore) -> None:
    patiently, summarizer = patient(home, store), Summarizer()
    train(patiently, summarizer, 1, 4)
    with locked(home):
        train(patiently, summarizer, 5, 8)
    store.close()
    for file in home.path.glob("thaw.db*"):
        file.unlink()
    time.sleep(2 * QUICK.retry)
    train(patiently, summarizer, 9, 10)
    assert patiently.settle(lambda: False)
    assert store.run(patiently.run_id).step == 10
    assert store.steps_after(patiently.run_id, 0, 0).step.tolist() == list(range(1, 11))


def test_killed_run_keeps_in_its_folder_what_the_store_never_got(home: Home, store: RunStore) -> None:
    patiently, summarizer = patient(home, store), Summarizer()
    store.set_process(patiently.run_id, 999_999, 1.0)
    with locked(home):
        train(patiently, summarizer, 1, 6)
        patiently.folder.renew(patiently._now, now=True)
        patiently._begin_trouble(patiently.trouble or StoreError("", "locked", "is locked", ""))
    del patiently
    with (home.run_folder(store.runs()[0].id) / "rows.thaw").open("ab") as file:
        file.write(b"ROWS half a part")
    supervisor = Supervisor(home, store)
    supervisor.reconcile()
    (run,) = store.runs()
    assert run.status is RunStatus.LOST
    assert "The store cannot be written since" in str(run.error)
    assert store.steps_after(run.id, 0, 0).step.tolist() == [1, 2, 3, 4, 5, 6]
    assert not read_rows(home.run_folder(run.id)).whole


def test_folder_of_another_run_and_settings_of_a_newer_thaw_are_not_taken_in(home: Home, store: RunStore) -> None:
    patiently = patient(home, store)
    store.delete_run(patiently.run_id)
    file = home.run_folder(patiently.run_id) / "run.json"
    whole = file.read_text()
    (each,) = found(home, store)
    assert each.problem == ""
    file.write_text(whole.replace(r"\"seed\"", r"\"seed_of_a_newer_thaw\""))
    (each,) = found(home, store)
    assert "seed_of_a_newer_thaw" in each.problem
    file.write_text(whole.replace(patiently.run_id, "20200101-000000-aaaa"))
    (each,) = found(home, store)
    assert "another run" in each.problem
    file.write_text(whole[:100])
    (each,) = found(home, store)
    assert "cannot be read" in each.problem
    file.write_text(whole)
    (each,) = found(home, store)
    assert take_in(store, each).steps == 0
    assert store.ids() == {patiently.run_id}


def test_run_that_fails_in_the_middle_saves_the_weights_at_hand(home: Home, store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    run_id = store.create_run(RunConfig(**SMALL, epochs=3))
    worker = Worker(home, store, run_id, QUICK)
    look = worker._look

    def explode(report: Any, *others: Any) -> None:
        look(report, *others)
        if report.step == 7:
            raise ZeroDivisionError("boom")

    monkeypatch.setattr(worker, "_look", explode)
    assert worker.run() is RunStatus.FAILED
    run = store.run(run_id)
    assert str(run.error).startswith("ZeroDivisionError: boom")
    assert run.result is not None
    assert torch.load(home.path / str(run.result.weights), weights_only=True)
    assert store.last_step(run_id) == 7


def full_disk(child: Any) -> int:
    """Run `child` in a process of its own that may write no file of more than 150 kB, as on a disk that is full; its exit status."""
    number = os.fork()
    if number == 0:
        try:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, 150_000))
            child()
            os._exit(0)
        except BaseException as error:  # noqa: BLE001 the parent sees the status
            os.write(2, repr(error).encode())
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(number, 0)[1])


@pytest.mark.skipif(os.name != "posix", reason="limits as POSIX has them")
def test_weights_that_the_disk_does_not_take_are_an_oserror_with_its_number(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    save_weights(torch.nn.Linear(4, 4), path)
    before = path.read_bytes()

    def child() -> None:
        with pytest.raises(OSError, match="File too large"):
            save_weights(torch.nn.Linear(400, 400), path)

    assert full_disk(child) == 0
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(os.name != "posix", reason="limits as POSIX has them")
def test_store_that_the_disk_does_not_take_waits_and_says_the_true_reason(home: Home, store: RunStore) -> None:
    patiently = patient(home, store)
    run_id = patiently.run_id
    store.close()
    patiently.close()

    def child() -> None:
        for step in range(1, 2000):
            patiently.append(run_id, [row(step, norms=[0.5] * 50)])
            if patiently.trouble is not None:
                break
        assert patiently.trouble is not None
        assert patiently.trouble.kind in ("broken", "full"), patiently.trouble
        patiently.settle(lambda: True)

    assert full_disk(child) == 0
    notice = read_notice(home.run_folder(run_id))
    assert notice is not None
    assert "SQLITE_" in notice.reason


def test_child_that_has_ended_is_reaped_and_its_run_is_not_called_running(home: Home, store: RunStore) -> None:
    supervisor = Supervisor(home, store)
    run_id = supervisor.start(RunConfig(**SMALL, epochs=5000))
    pid = store.run(run_id).pid
    assert pid is not None
    process = psutil.Process(pid)
    process.kill()
    while process.status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.02)
    supervisor.reconcile()
    assert not psutil.pid_exists(pid), "its parent has asked how it ended"
    assert store.run(run_id).status is RunStatus.LOST
    supervisor.close()


def test_what_tells_of_steps_is_written_with_the_next_ones_and_waits_for_nobody_for_long(
    home: Home, store: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    patiently, summarizer = patient(home, store), Summarizer()
    run_id = patiently.run_id
    patiently.set_reuse(run_id, Reuse("off", "one"))
    assert store.reuse(run_id) is None
    train(patiently, summarizer, 1, 1)
    assert store.reuse(run_id) == Reuse("off", "one")
    patiently.set_reuse(run_id, Reuse("off", "two"))
    patiently.set_status(run_id, RunStatus.PAUSED)
    assert (store.reuse(run_id), store.run(run_id).status) == (Reuse("off", "two"), RunStatus.PAUSED)
    patiently.set_reuse(run_id, Reuse("off", "three"))
    assert patiently.commands(run_id, waiting=True) == []
    assert store.reuse(run_id) == Reuse("off", "two")
    monkeypatch.setattr(patience, "BESIDE_SECONDS", -1.0)
    assert patiently.commands(run_id, waiting=True) == []  # a worker asks ten times a second
    assert store.reuse(run_id) == Reuse("off", "three")
    patiently.set_reuse(run_id, Reuse("off", "four"))  # steps take longer than that: it is written at once
    assert store.reuse(run_id) == Reuse("off", "four")


def test_only_what_outlives_a_loss_of_power_waits_for_the_disk(home: Home, store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    forced: list[bool] = []
    transaction = RunStore._transaction

    @contextmanager
    def watched(self: RunStore) -> Iterator[sqlite3.Connection]:
        with transaction(self) as connection:
            yield connection
            forced.append(connection.execute("PRAGMA synchronous").fetchone()[0] == 2)

    monkeypatch.setattr(RunStore, "_transaction", watched)
    me = psutil.Process()
    run_id = store.create_run(RunConfig())
    assert forced == [True], "a run that somebody asked for"
    assert store.claim("me", 1, lambda device: "cpu") == run_id
    assert store.set_launched(run_id, "me", me.pid, me.create_time())
    assert store.take_up(run_id, me.pid, me.create_time())
    patiently = PatientStore(store, run_id, home.run_folder(run_id), QUICK)
    patiently.set_process(run_id, me.pid, me.create_time())
    patiently.set_status(run_id, RunStatus.PREPARING, "reading the data")
    patiently.begin(run_id, PLAN)
    assert forced[1:] == [False] * 6, "processes, and what they are about to do, are gone with the power"
    train(patiently, Summarizer(), 1, 2)
    store.request(run_id, CommandKind.PAUSE, "")
    patiently.set_status(run_id, RunStatus.PAUSED)
    patiently.end(run_id, RunStatus.STOPPED)
    assert forced[7:] == [True] * 5
