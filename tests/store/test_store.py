"""RunStore: what is written comes back, from another thread, process or after a crash; levels agree with steps."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.config import RunConfig
from core.machine.home import Home, child_environment
from core.records.events import FROZEN, CommandKind, EpochRow, Layer, RunPlan, RunResult, RunStatus, StepRow
from core.records.summaries import Summarizer
from core.store import RunStore, StoreError
from core.store.migrations import MIGRATIONS
from core.store.stream import message

PLAN = RunPlan((Layer("conv.weight", (2, 3), 6, True), Layer("fc.weight", (2,), 2, False)), 5, 10, ("a", "b"), 20, 5, 5, "cpu")
RESULT = RunResult(2, 10, 0.1, 0.9, 0.2, 0.8, 0.3, 0.7, 1.5, 13.3, "weights.pth")


def row(step: int, loss: float = 1.0, norms: Sequence[float] = (FROZEN, 0.5)) -> StepRow:
    return StepRow(step, 1, step / 10, loss, 0.01, 100.0, np.array(norms, np.float32))


def fill(store: RunStore, run_id: str, rows: Sequence[StepRow]) -> None:
    store.append(run_id, rows, Summarizer().add(rows))


def test_run_comes_back_as_it_was_written(store: RunStore) -> None:
    config = RunConfig(epochs=2, freeze="head only")
    run_id = store.create_run(config)
    assert store.run(run_id).status is RunStatus.QUEUED
    store.set_status(run_id, RunStatus.PREPARING, "downloading", 0.25)
    assert (store.run(run_id).activity, store.run(run_id).activity_share) == ("downloading", 0.25)
    store.begin(run_id, PLAN)
    assert store.run(run_id).plan == PLAN
    store.end(run_id, RunStatus.FINISHED, RESULT)
    run = store.run(run_id)
    assert (run.config, run.status, run.result) == (config, RunStatus.FINISHED, RESULT)


def test_two_runs_of_one_second_never_get_the_same_id(store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = iter(["aaaa", "aaaa", "aaaa", "bbbb"])
    monkeypatch.setattr("core.store.database.secrets.token_hex", lambda size: next(drawn))
    monkeypatch.setattr("core.store.queue_tables.time.time", lambda: 1_800_000_000.0)
    assert store.create_run(RunConfig())[-4:] == "aaaa"
    assert store.create_run(RunConfig())[-4:] == "bbbb"


def test_unknown_run_is_named(store: RunStore) -> None:
    with pytest.raises(KeyError, match="nothing-like-it"):
        store.run("nothing-like-it")


def test_runs_are_listed_newest_first_and_by_activity(store: RunStore) -> None:
    first, second = store.create_run(RunConfig()), store.create_run(RunConfig())
    store.end(first, RunStatus.FAILED, error="no")
    assert [run.id for run in store.runs()] == [second, first]
    assert [run.id for run in store.runs(active=True)] == [second]
    assert [run.id for run in store.runs(active=False)] == [first]


def test_nan_loss_comes_back_as_nan_and_infinite_as_infinite(store: RunStore) -> None:
    run_id = store.create_run(RunConfig())
    fill(store, run_id, [row(1, 2.0), row(2, float("nan")), row(3, float("inf"))])
    columns = store.steps_after(run_id, 0, 0)
    assert columns.finite.tolist() == [True, False, False]
    assert columns.loss[0] == 2.0
    assert np.isnan(columns.loss[1])
    assert np.isinf(columns.loss[2])


def test_gradient_norms_keep_frozen_zero_and_nan_apart(store: RunStore) -> None:
    run_id = store.create_run(RunConfig())
    fill(store, run_id, [row(1, norms=(FROZEN, 0.0)), row(2, norms=(FROZEN, float("nan")))])
    norms = store.steps_after(run_id, 0, 0).gradient_norms
    assert norms[:, 0].tolist() == [FROZEN, FROZEN]
    assert norms[0, 1] == 0
    assert np.isnan(norms[1, 1])


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=70), st.integers(1, 4))
def test_levels_hold_mean_and_extremes_of_their_steps(losses: list[float], level: int) -> None:
    summarizer = Summarizer()
    buckets = [bucket for step, loss in enumerate(losses, 1) for bucket in summarizer.add([row(step, loss)]) if bucket.level == level]
    width = 2**level
    assert [bucket.step for bucket in buckets] == list(range(width, len(losses) + 1, width))
    for bucket in buckets:
        part = losses[bucket.step - width : bucket.step]
        assert bucket.loss == pytest.approx(np.mean(part), rel=1e-9, abs=1e-6)
        assert (bucket.low, bucket.high) == (min(part), max(part))


def test_mean_of_a_bucket_counts_the_small_last_batch_of_an_epoch_by_its_pictures() -> None:
    steps = [row(step, loss) for step, loss in enumerate([1.0, 1.0, 1.0, 9.0, 2.0, float("nan"), 4.0, 4.0], 1)]
    pictures = np.array([32.0, 32, 32, 2, 32, 32, 16, 16])
    found = {(bucket.level, bucket.step): bucket.loss for bucket in Summarizer().add(steps, pictures)}
    assert found[1, 4] == pytest.approx((32 + 2 * 9) / 34)
    assert found[2, 4] == pytest.approx((96 + 2 * 9) / 98)
    assert (found[1, 6], found[2, 8]) == (2.0, 3.0)
    assert found[3, 8] == pytest.approx((96 + 18 + 64 + 128) / 162)


def test_level_marks_a_bucket_in_which_one_loss_was_not_finite() -> None:
    summarizer = Summarizer()
    buckets = [bucket for step, loss in enumerate([1.0, float("nan"), 3.0, 5.0], 1) for bucket in summarizer.add([row(step, loss)])]
    top = buckets[-1]
    assert (top.level, top.finite, top.low, top.high) == (2, False, 1.0, 5.0)


def test_step_is_never_recorded_twice(store: RunStore) -> None:
    run_id = store.create_run(RunConfig())
    fill(store, run_id, [row(1)])
    with pytest.raises(sqlite3.IntegrityError):
        fill(store, run_id, [row(1)])
    assert store.last_step(run_id) == 1


def test_epochs_come_back_after_a_cursor(store: RunStore) -> None:
    run_id = store.create_run(RunConfig())
    epochs = [EpochRow(number, number * 5, 1.0, 0.5, 0.6, None, None) for number in (1, 2, 3)]
    for epoch in epochs:
        store.append_epoch(run_id, epoch)
    assert store.epochs_after(run_id, 1) == epochs[1:]


def test_epoch_that_diverged_comes_back_as_nan(store: RunStore) -> None:
    run_id = store.create_run(RunConfig())
    store.append_epoch(run_id, EpochRow(1, 5, 1.0, float("nan"), 0.1, float("nan"), 0.1))
    (epoch,) = store.epochs_after(run_id)
    assert np.isnan(epoch.train_loss)
    assert epoch.validation_loss is not None
    assert np.isnan(epoch.validation_loss)


def test_store_that_cannot_be_written_says_so_and_what_to_do(store: RunStore, home: Home) -> None:
    run_id = store.create_run(RunConfig())
    store._connection.execute("PRAGMA query_only = ON")
    with pytest.raises(StoreError, match=r"thaw\.db.*THAW_HOME"):
        store.set_status(run_id, RunStatus.RUNNING)
    store._connection.execute("PRAGMA query_only = OFF")
    store.set_status(run_id, RunStatus.RUNNING)
    assert store.run(run_id).status is RunStatus.RUNNING


def test_command_waits_until_it_is_acknowledged_with_its_step(store: RunStore) -> None:
    run_id = store.create_run(RunConfig())
    store.request(run_id, CommandKind.PAUSE)
    (command,) = store.commands(run_id, waiting=True)
    store.acknowledge(command, 17)
    assert store.commands(run_id, waiting=True) == []
    assert store.commands(run_id)[0].applied_at_step == 17


def test_command_to_an_ended_run_gets_an_error(store: RunStore) -> None:
    run_id = store.create_run(RunConfig())
    store.request(run_id, CommandKind.STOP)
    store.end(run_id, RunStatus.FINISHED)
    assert "ended" in str(store.commands(run_id)[0].error)


def test_lost_never_overwrites_what_the_worker_said(store: RunStore) -> None:
    run_id = store.create_run(RunConfig())
    store.end(run_id, RunStatus.FINISHED, RESULT)
    assert not store.lose(run_id, "gone")
    assert store.run(run_id).status is RunStatus.FINISHED


def test_deleting_a_run_leaves_no_rows_behind(store: RunStore, home: Home) -> None:
    run_id = store.create_run(RunConfig())
    fill(store, run_id, [row(1), row(2)])
    store.request(run_id, CommandKind.STOP)
    store.delete_run(run_id)
    connection = sqlite3.connect(home.database)
    for table in ("runs", "steps", "levels", "epochs", "commands"):
        assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)
    connection.close()


def test_every_thread_can_use_one_store(store: RunStore) -> None:
    ids: list[str] = []
    threads = [threading.Thread(target=lambda: ids.append(store.create_run(RunConfig()))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {run.id for run in store.runs()} == set(ids)
    assert len(set(ids)) == 8


def test_store_of_a_newer_thaw_is_refused(home: Home) -> None:
    connection = sqlite3.connect(home.database)
    connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    connection.close()
    with pytest.raises(StoreError, match="update Thaw"):
        RunStore(home.database)


def test_writer_killed_in_the_middle_loses_no_committed_step(store: RunStore, home: Home) -> None:
    run_id = store.create_run(RunConfig())
    script = f"""
import os, signal
import numpy as np
from pathlib import Path
from core.records.events import StepRow
from core.store import RunStore
store = RunStore(Path({str(home.database)!r}))
for step in range(1, 10**6):
    store.append({run_id!r}, [StepRow(step, 1, 0.0, 1.0, 0.1, 1.0, np.zeros(2, np.float32))])
    print(step, flush=True)
    if step == 50:
        os.kill(os.getpid(), signal.SIGKILL)
"""
    killed = subprocess.run([sys.executable, "-c", script], env=child_environment(), capture_output=True, text=True, check=False)
    assert killed.returncode == -9, killed.stderr
    assert store.last_step(run_id) == int(killed.stdout.split()[-1]) == 50
    assert store.run(run_id).step == 50


def test_store_of_the_first_schema_is_brought_up_to_date_with_its_runs(tmp_path: Path) -> None:
    database = tmp_path / "thaw.db"
    old = sqlite3.connect(database)
    for statement in MIGRATIONS[0].split(";"):
        old.execute(statement)
    old.execute("PRAGMA user_version = 1")
    plan = {"layers": [{"name": "fc.weight", "shape": [1], "count": 1, "frozen": False}], "steps_per_epoch": 1, "total_steps": 1, "classes": ["a"]}
    plan |= {"train_samples": 1, "validation_samples": 0, "test_samples": 0, "device": "cpu", "notes": []}
    old.execute("INSERT INTO runs (id, created, config, status, step, plan) VALUES ('old', 1, '{}', 'finished', 1, ?)", (json.dumps(plan),))
    old.execute("INSERT INTO steps VALUES ('old', 1, 1, 0.5, 2.5, 0.1, 10, ?)", (np.array([0.25], "<f4").tobytes(),))
    old.execute("INSERT INTO commands (run, kind, requested_at, requested_at_step, applied_at_step) VALUES ('old', 'stop', 1, 1, 1)")
    old.commit()
    old.close()

    store = RunStore(database)
    assert store.run("old").plan is not None
    assert store.run("old").watching is None
    assert store.audit("old") is None
    columns = store.steps_after("old", 0, 0)
    assert columns.gradient_norms.tolist() == [[0.25]]
    assert len(columns.updated) == 0
    assert [(command.kind, command.payload) for command in store.commands("old")] == [(CommandKind.STOP, "")]
    body, _ = message(store, "old", None)
    assert body is not None
    assert body["layers"][0]["block"] == "fc"
