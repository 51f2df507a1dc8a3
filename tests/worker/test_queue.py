"""The queue: who begins which run, and when. The workers are small programs in the place of real ones, but for the last tests."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import psutil
import pytest

from core.config import ConfigError, RunConfig
from core.machine.home import Home, child_environment
from core.machine.settings import Settings, write_settings
from core.records.events import CommandKind, RunStatus
from core.store import RunStore, StoreError
from core.store.queue_tables import CANCELLED, CANCELLED_AGAIN
from core.worker import supervisor as module
from core.worker.process import work
from core.worker.supervisor import LAUNCH_SECONDS, Supervisor, refuse_living, this_process
from tests.support import ROOT, end_processes_of, ready_nursery, wait_until

TINY: dict[str, Any] = {"dataset": "digits", "model": "small_cnn", "image_size": 16, "epochs": 1}
SLEEP = "import time; time.sleep(600)"

Fake = Callable[[str], None]


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> Fake:
    """Puts a program in the place of each worker that is launched from now on."""
    launched = subprocess.Popen
    text = [SLEEP]

    def instead(command: list[str], **options: Any) -> subprocess.Popen[bytes]:
        return launched([command[0], "-c", text[0], *command[3:]], **options)

    monkeypatch.setattr(subprocess, "Popen", instead)
    return lambda new: text.__setitem__(0, new)


def statuses(store: RunStore, ids: list[str]) -> list[str]:
    """'waits' for a run that waits, 'begun' for one with a process, else its status."""
    runs = [store.run(run_id) for run_id in ids]
    return ["waits" if run.waits else "begun" if run.pid and run.status.active else str(run.status) for run in runs]


def killed(store: RunStore, run_id: str) -> None:
    pid = store.run(run_id).pid
    assert pid is not None
    process = psutil.Process(pid)
    process.kill()
    wait_until(lambda: not psutil.pid_exists(pid) or process.status() == psutil.STATUS_ZOMBIE, what="the end of the worker")


def test_first_run_of_an_empty_queue_begins_at_once_and_the_others_wait_in_order(home: Home, store: RunStore, program: Fake) -> None:
    supervisor = Supervisor(home, store)
    ids = [supervisor.start(RunConfig(**TINY, seed=seed)) for seed in range(3)]
    assert statuses(store, ids) == ["begun", "waits", "waits"]
    assert [run.id for run in store.waiting_runs()] == ids[1:]
    supervisor.look_after()
    assert statuses(store, ids) == ["begun", "waits", "waits"]
    killed(store, ids[0])
    supervisor.look_after()
    assert statuses(store, ids) == ["lost", "begun", "waits"]


def test_a_clock_that_was_set_loses_no_run_and_a_pid_of_another_boot_does(
    home: Home, store: RunStore, program: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system tells when a process was started by its clock of today: an hour back, and all of them were started an hour earlier."""
    supervisor = Supervisor(home, store)
    run_id = supervisor.start(RunConfig(**TINY))
    pid = store.run(run_id).pid
    real = psutil.Process.create_time
    for hours in (-1, 1):
        with monkeypatch.context() as patched:
            patched.setattr(psutil.Process, "create_time", lambda process, hours=hours: real(process) + 3600 * hours)
            Supervisor(home, RunStore(home.database)).reconcile()
        assert statuses(store, [run_id]) == ["begun"]
        with pytest.raises(ConfigError, match=f"pid {pid}"):
            refuse_living(store, run_id, home.run_folder(run_id))
    me = psutil.Process()
    other = store.create_run(RunConfig(**TINY), (me.pid, me.create_time() - 86_400))  # the machine went down, and its number is ours now
    store.set_status(other, RunStatus.RUNNING)
    supervisor.reconcile()
    assert statuses(store, [run_id, other]) == ["begun", "lost"]


def test_a_queue_outlives_its_server_and_another_one_goes_on(home: Home, store: RunStore, program: Fake) -> None:
    first = Supervisor(home, store)
    ids = [first.start(RunConfig(**TINY, seed=seed)) for seed in range(3)]
    first.close()
    del first
    second = Supervisor(home, RunStore(home.database))
    second.look_after()
    assert statuses(store, ids) == ["begun", "waits", "waits"], "what goes on keeps its place"
    killed(store, ids[0])
    second.look_after()
    assert statuses(store, ids) == ["lost", "begun", "waits"]


def test_a_paused_run_keeps_its_place(home: Home, store: RunStore, program: Fake) -> None:
    supervisor = Supervisor(home, store)
    ids = [supervisor.start(RunConfig(**TINY, seed=seed)) for seed in range(2)]
    store.set_status(ids[0], RunStatus.PAUSED)
    supervisor.look_after()
    assert statuses(store, ids) == ["begun", "waits"]


def test_places_are_counted_for_each_device_and_auto_is_the_one_that_it_means(
    home: Home, store: RunStore, program: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "device_of", lambda asked: "cpu" if asked == "auto" else asked)
    supervisor = Supervisor(home, store)
    ids = [store.create_run(RunConfig(**TINY, device=device)) for device in ("auto", "cpu", "cuda:0", "cuda:0", "cuda:1")]
    supervisor.look_after()
    assert statuses(store, ids) == ["begun", "waits", "begun", "waits", "begun"]
    write_settings(home, Settings(slots=2))
    supervisor.look_after()
    assert statuses(store, ids) == ["begun"] * 5


def test_settings_that_cannot_be_used_are_said_and_stop_nothing(home: Home, store: RunStore, program: Fake) -> None:
    (home.path / "settings.json").write_text('{"slots": 0}')
    supervisor = Supervisor(home, store)
    ids = [supervisor.start(RunConfig(**TINY, seed=seed)) for seed in range(2)]
    assert statuses(store, ids) == ["begun", "waits"]
    assert "settings.json" in supervisor.settings_problem
    assert "got 0" in supervisor.settings_problem
    write_settings(home, Settings())
    supervisor.look_after()
    assert supervisor.settings_problem == ""


def test_waiting_runs_are_ordered(home: Home, store: RunStore, program: Fake) -> None:
    supervisor = Supervisor(home, store)
    running, *ids = [supervisor.start(RunConfig(**TINY, seed=seed)) for seed in range(5)]

    def order() -> list[int]:
        return [ids.index(run.id) for run in store.waiting_runs()]

    assert supervisor.run_next(ids[2])
    assert order() == [2, 0, 1, 3]
    assert supervisor.move(ids[3], ids[0])
    assert order() == [2, 3, 0, 1]
    assert supervisor.move(ids[1], ids[1])
    assert order() == [2, 3, 0, 1]
    assert not supervisor.run_next(running)
    assert not supervisor.move(running, ids[0])
    assert not supervisor.move(ids[0], running)
    with pytest.raises(KeyError, match="nobody"):
        supervisor.move(ids[0], "nobody")


def test_a_thousand_moves_between_two_runs_keep_the_order(store: RunStore) -> None:
    ids = [store.create_run(RunConfig(**TINY, seed=seed)) for seed in range(4)]
    for number in range(1000):  # each halves the distance between two places: after 60 there would be no number left
        assert store.move(ids[number % 2], ids[2])
        assert [run.id for run in store.waiting_runs()] == [ids[1 - number % 2], ids[number % 2], ids[2], ids[3]]


def test_start_now_goes_beyond_the_places_and_two_who_press_it_start_one_process(home: Home, store: RunStore, program: Fake) -> None:
    one, other = Supervisor(home, store), Supervisor(home, RunStore(home.database))
    ids = [one.start(RunConfig(**TINY, seed=seed)) for seed in range(3)]
    assert [one.start_now(ids[2]), other.start_now(ids[2])] == [True, False]
    assert statuses(store, ids) == ["begun", "waits", "begun"]
    assert len(other._children) == 0


def test_cancel_and_its_undo(home: Home, store: RunStore, program: Fake) -> None:
    supervisor = Supervisor(home, store)
    ids = [supervisor.start(RunConfig(**TINY, seed=seed)) for seed in range(4)]
    assert supervisor.cancel(ids[1])
    assert not supervisor.cancel(ids[1]), "the second one to press it changes nothing"
    assert (store.run(ids[1]).status, store.run(ids[1]).error) == (RunStatus.STOPPED, CANCELLED)
    assert supervisor.restore_cancelled(ids[1])
    assert not supervisor.restore_cancelled(ids[1])
    assert [run.id for run in store.waiting_runs()] == ids[1:], "it waits where it stood"
    assert not supervisor.restore_cancelled(ids[0])
    supervisor.stop(ids[2])
    assert statuses(store, ids) == ["begun", "waits", "stopped", "waits"]


def test_a_run_that_ended_by_itself_is_not_put_back_by_the_undo_of_cancel(store: RunStore) -> None:
    run_id = store.create_run(RunConfig())
    store.end(run_id, RunStatus.STOPPED)
    assert not store.restore_cancelled(run_id)
    assert store.run(run_id).status is RunStatus.STOPPED


def test_cancel_while_it_is_being_started_is_obeyed_by_the_worker(home: Home, store: RunStore) -> None:
    run_id = store.create_run(RunConfig(**TINY))
    assert store.claim_this(run_id, "1 2.0 somebody")
    supervisor = Supervisor(home, store)
    assert not supervisor.cancel(run_id)
    assert [command.kind for command in store.commands(run_id, waiting=True)] == [CommandKind.STOP]
    assert work(home, run_id) is RunStatus.STOPPED
    assert store.last_step(run_id) == 0


def test_a_claim_that_was_to_be_stopped_and_never_got_a_process_is_cancelled(home: Home, store: RunStore) -> None:
    run_id = store.create_run(RunConfig(**TINY))
    assert store.claim_this(run_id, "1 2.0 somebody")
    supervisor = Supervisor(home, store)
    supervisor.cancel(run_id)
    supervisor.reconcile()
    assert (store.run(run_id).status, store.run(run_id).error) == (RunStatus.STOPPED, CANCELLED)
    assert store.commands(run_id, waiting=True) == []


def test_a_claim_whose_claimer_died_is_given_back(home: Home, store: RunStore, program: Fake) -> None:
    run_id = store.create_run(RunConfig(**TINY))
    pid, started = this_process()
    assert store.claim_this(run_id, f"{pid} {started - 1000!r} of-another-boot")  # the pid is somebody else's by now
    assert not store.run(run_id).waits
    supervisor = Supervisor(home, store)
    supervisor.reconcile()
    assert store.run(run_id).waits
    supervisor.look_after()
    assert statuses(store, [run_id]) == ["begun"]


def test_a_claim_whose_process_never_came_is_given_back_in_time(home: Home, store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    run_id = store.create_run(RunConfig(**TINY))
    pid, started = this_process()
    assert store.claim_this(run_id, f"{pid} {started!r} me")
    supervisor = Supervisor(home, store)
    supervisor.reconcile()
    assert not store.run(run_id).waits, "it may still come"
    now = time.time
    monkeypatch.setattr("core.worker.supervisor.time.time", lambda: now() + LAUNCH_SECONDS + 1)
    supervisor.reconcile()
    assert store.run(run_id).waits


@pytest.mark.parametrize("claimer", ["", "somebody", "12", "x 1.0 y", f"{2**40} 1.0 y"])
def test_a_claim_in_words_that_nobody_knows_is_given_back(home: Home, store: RunStore, claimer: str) -> None:
    run_id = store.create_run(RunConfig(**TINY))
    assert store.claim_this(run_id, claimer)
    Supervisor(home, store).reconcile()
    assert store.run(run_id).waits


def test_where_no_process_can_be_started_the_run_waits_again(home: Home, store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*arguments: Any, **options: Any) -> Any:
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(subprocess, "Popen", refused)
    run_id = store.create_run(RunConfig(**TINY))
    with pytest.raises(OSError, match="Cannot allocate memory"):
        Supervisor(home, store).look_after()
    assert store.run(run_id).waits


def test_a_worker_leaves_a_run_alone_that_another_works_on_or_that_has_ended(home: Home, store: RunStore) -> None:
    taken, ended = store.create_run(RunConfig(**TINY)), store.create_run(RunConfig(**TINY))
    store.set_process(taken, 1, 2.0)
    store.end(ended, RunStatus.STOPPED)
    rows = home.run_folder(taken) / "rows.thaw"
    rows.parent.mkdir()
    rows.write_bytes(b"of the other")
    assert work(home, taken) is RunStatus.QUEUED
    assert work(home, ended) is RunStatus.STOPPED
    assert (store.run(taken).pid, rows.read_bytes()) == (1, b"of the other")


def test_a_launcher_that_comes_late_does_not_take_the_place_of_the_process_that_works(store: RunStore) -> None:
    run_id = store.create_run(RunConfig(**TINY))
    assert store.claim_this(run_id, "late")
    assert store.give_back(run_id, "late")
    assert store.claim_this(run_id, "quick")
    assert not store.give_back(run_id, "late")
    assert store.take_up(run_id, 7, 1.0)
    assert not store.set_launched(run_id, "late", 8, 1.0)
    assert not store.set_launched(run_id, "quick", 9, 1.0)
    assert not store.take_up(run_id, 9, 1.0)
    assert store.run(run_id).pid == 7


def test_an_ended_run_is_put_into_the_queue_with_all_that_it_has(home: Home, store: RunStore, program: Fake) -> None:
    supervisor = Supervisor(home, store)
    running = supervisor.start(RunConfig(**TINY))
    waiting, again = store.create_run(RunConfig(**TINY, seed=1)), store.create_run(RunConfig(**TINY, seed=2))
    assert not store.enqueue(running)
    assert not store.enqueue(waiting)
    store.set_process(again, 1, 2.0)
    store.take_in({"id": again, "step": 7, "epoch": 1}, [], [], [], [], over=True)
    store.lose(again, "gone")
    assert store.enqueue(again)
    assert not store.enqueue(again), "two who press it"
    assert [run.id for run in store.waiting_runs()] == [waiting, again]
    run = store.run(again)
    assert (run.step, run.pid, run.error, run.ended, run.waits) == (7, None, None, None, True)
    assert supervisor.cancel(again)
    assert store.run(again).error == CANCELLED_AGAIN
    assert store.enqueue(again, {"activity": "to go on"}, front=True)
    assert [run.id for run in store.waiting_runs()] == [again, waiting]
    assert store.run(again).activity == "to go on"


HAMMER = """
import sys, subprocess
from core.machine.home import Home
from core.store import RunStore, StoreError
from core.worker.supervisor import Supervisor
launched = subprocess.Popen
subprocess.Popen = lambda command, **options: launched([command[0], "-c", sys.argv[2], *command[3:]], **options)
home = Home.from_environment(sys.argv[1])
store = RunStore(home.database)
supervisor = Supervisor(home, store)
while store.waiting_runs() or store.holding_runs():
    supervisor.look_after()
"""
WORKER = """
import os, sys, sqlite3, time
home, run = sys.argv[2], sys.argv[4]
with open(home + "/begun", "a") as file:
    file.write(run + "\\n")
def do(query, *values):
    connection = sqlite3.connect(home + "/thaw.db", timeout=30, isolation_level=None)
    try:
        return connection.execute(query, values).fetchall()
    finally:
        connection.close()
do("UPDATE runs SET status = 'running', pid = ? WHERE id = ?", os.getpid(), run)
with open(home + "/at-once", "a") as file:
    file.write(f"{do('SELECT COUNT(*) FROM runs WHERE status = ?', 'running')[0][0]}\\n")
time.sleep(0.02)
do("UPDATE runs SET status = 'finished' WHERE id = ?", run)
"""


def test_two_servers_on_one_home_begin_each_run_once_and_never_more_than_there_are_places(home: Home, store: RunStore) -> None:
    ids = [store.create_run(RunConfig(**TINY, seed=seed)) for seed in range(30)]
    write_settings(home, Settings(slots=2))
    command = [sys.executable, "-c", HAMMER, str(home.path), WORKER]
    servers = [subprocess.Popen(command, cwd=ROOT, env=child_environment(), stderr=subprocess.PIPE) for _ in range(2)]
    try:
        for server in servers:
            _, errors = server.communicate(timeout=200)
            assert server.returncode == 0, errors.decode()
    finally:
        for server in servers:
            server.kill()
            server.wait()
        end_processes_of(home.path)
    assert sorted((home.path / "begun").read_text().split()) == sorted(ids)
    assert max(map(int, (home.path / "at-once").read_text().split())) <= 2
    assert {str(store.run(run_id).status) for run_id in ids} == {"finished"}


def test_a_store_that_is_locked_keeps_the_queue_and_the_next_look_goes_on(home: Home, program: Fake) -> None:
    store = RunStore(home.database, patience=0.1)
    supervisor = Supervisor(home, store)
    run_id = store.create_run(RunConfig(**TINY))
    holder = sqlite3.connect(home.database, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="locked"):
        supervisor.look_after()
    assert store.run(run_id).waits
    assert supervisor._children == []
    holder.execute("ROLLBACK")
    holder.close()
    supervisor.look_after()
    assert statuses(store, [run_id]) == ["begun"]


def test_real_workers_take_their_turns(home: Home, store: RunStore) -> None:
    supervisor = Supervisor(home, store, ready_nursery())
    ids = [supervisor.start(RunConfig(**TINY, seed=seed, threads=1)) for seed in range(2)]

    def over() -> bool:
        supervisor.look_after()
        return not store.runs(active=True)

    wait_until(over, timeout=200, what="the end of both")
    first, second = (store.run(run_id) for run_id in ids)
    assert (first.status, second.status) == (RunStatus.FINISHED, RunStatus.FINISHED)
    assert first.ended is not None
    assert second.started is not None
    assert second.started >= first.ended
    supervisor.close()
