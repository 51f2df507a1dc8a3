"""A store that is locked, deleted or damaged while a run goes on after an interruption: it ends as one that was not, and its folder has it whole."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from core.config import RunConfig
from core.machine.home import Home
from core.records.events import RunStatus
from core.store import RunStore, StoreError
from core.store.continued import ResumeRequest
from core.store.patience import Limits
from core.store.recovery import found, set_aside, take_in
from core.store.run_folder import read_notice
from core.training.trainer import StepReport, Trainer
from core.worker.worker import Worker
from tests.crash import same

pytestmark = pytest.mark.usefixtures("one_thread")

QUICK = Limits(wait=0.05, short_wait=0.05, retry=0.05, last=0.5)
SMALL: dict[str, Any] = {
    "dataset": "digits_5_9", "validation_share": 0.5, "model": "small_cnn", "image_size": 8, "batch_size": 90,
    "epochs": 3, "threads": 1, "watch_budget": 1.0, "watch_every": 3,
}  # fmt: skip


def interrupted(home: Home, store: RunStore, monkeypatch: pytest.MonkeyPatch) -> str:
    """A run that was interrupted behind step 6."""
    run_id = store.create_run(RunConfig(**SMALL))
    worker = Worker(home, store, run_id)
    with monkeypatch.context() as patched:
        behind(patched, 6, worker.interrupt_soon)
        assert worker.run() is RunStatus.INTERRUPTED
    store.ask_to_resume(run_id, ResumeRequest())
    return run_id


def behind(monkeypatch: pytest.MonkeyPatch, step: int, act: Any) -> None:
    real = Trainer.run

    def run(self: Trainer) -> Any:
        for report in real(self):
            if isinstance(report, StepReport) and report.step == step:
                act()
            yield report

    monkeypatch.setattr(Trainer, "run", run)


def test_store_that_is_locked_when_a_run_goes_on_is_waited_for(home: Home, store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    one = store.create_run(RunConfig(**SMALL))
    assert Worker(home, store, one).run() is RunStatus.FINISHED
    run_id = interrupted(home, store, monkeypatch)
    other = sqlite3.connect(home.database, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    told: list[str] = []

    def let_go() -> None:
        told.append(str(read_notice(home.run_folder(run_id))))
        other.execute("ROLLBACK")
        other.close()

    timer = threading.Timer(4.0, let_go)  # far longer than a write waits here
    timer.start()
    assert Worker(home, store, run_id, QUICK).run() is RunStatus.FINISHED, store.run(run_id).error
    timer.join()
    assert "is locked by another process" in told[0]
    same(home, store, one, run_id)


def test_store_that_stays_locked_fails_the_run_and_cuts_nothing(home: Home, store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    run_id = interrupted(home, store, monkeypatch)
    other = sqlite3.connect(home.database, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    assert Worker(home, store, run_id, Limits(0.05, 0.05, 0.05, 0.3, 0.3)).run() is RunStatus.FAILED
    other.execute("ROLLBACK")
    other.close()
    assert store.last_step(run_id) == 6
    store.lose(run_id, "its end could not be written")
    store.ask_to_resume(run_id, ResumeRequest())
    assert Worker(home, store, run_id).run() is RunStatus.FINISHED


def spoil(database: Path) -> None:
    """Another file lies in its place, which is no database: a copy that was cut off, what a repair left."""
    delete(database)
    database.write_bytes(b"\xff" * 40_000)


def delete(database: Path) -> None:
    for ending in ("", "-wal", "-shm"):
        database.with_name(database.name + ending).unlink(missing_ok=True)


@pytest.mark.parametrize("harm", [spoil, delete])
def test_store_that_is_lost_while_a_run_goes_on_gets_it_back_from_its_folder(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, harm: Any
) -> None:
    elsewhere = Home.from_environment(str(tmp_path / "elsewhere"))
    undisturbed = RunStore(elsewhere.database)
    one = undisturbed.create_run(RunConfig(**SMALL))
    assert Worker(elsewhere, undisturbed, one).run() is RunStatus.FINISHED
    store = RunStore(home.database)
    run_id = interrupted(home, store, monkeypatch)
    worker = Worker(home, store, run_id, QUICK)
    store.close()
    behind(monkeypatch, 9, lambda: harm(home.database))
    assert worker.run() is RunStatus.FINISHED
    if harm is spoil:
        assert worker.store.trouble is not None
        assert "python -m core recover" in str(worker.store.trouble), "the message says what to do"
        with pytest.raises(StoreError, match="python -m core recover"):
            RunStore(home.database)
        set_aside(home)
        (lying,) = found(home, RunStore(home.database))
        take_in(RunStore(home.database), lying)
    after = RunStore(home.database)
    assert after.run(run_id).status is RunStatus.FINISHED
    assert after.continued(run_id), "how it was proved is there too"
    left, right = undisturbed.steps_after(one, 0, 0), after.steps_after(run_id, 0, 0)
    assert left.step.tolist() == right.step.tolist() == list(range(1, 13))
    assert np.array_equal(left.loss, right.loss)
    assert np.array_equal(left.gradient_norms, right.gradient_norms)
    weights = [torch.load(place / "weights.pth", weights_only=True) for place in (elsewhere.run_folder(one), home.run_folder(run_id))]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
