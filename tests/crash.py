"""Kills runs with SIGKILL at random moments, has them go on, and compares bits, steps and signals: `python -m tests.crash [KILLS]` (make test-crash).

The moments lie in all phases: preparing, the first step, a checkpoint being written, validation, the test, saving. A run is killed and goes on
until as many kills are used up, one run after the other, each in processes of its own.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from core.config import RunConfig
from core.machine.home import Home
from core.machine.jobs import Starter
from core.records.events import RunStatus
from core.store import RunStore
from core.worker.supervisor import Supervisor

RUN: dict[str, Any] = {
    "dataset": "digits", "model": "small_cnn", "image_size": 16, "batch_size": 32, "epochs": 6, "threads": 1, "watch_budget": 1.0, "watch_every": 5,
    "augmentation": "flip", "timeline": "2: stage1; step 80: !stage1, learning_rate=0.002", "schedule": "CosineAnnealingLR",
    "checkpoint_minutes": 0.005,
}  # fmt: skip
"""Everything that decides the rest of a run is in it: random flips, a timeline, a schedule, and checkpoints in the middle of epochs."""

AT_ITS_START = 0.2
"""Share of the kills that may strike while the process is only being started; the others wait until it works on the run."""

LONGEST = 300.0
"""Seconds after which a run that does not end is a failure."""


def same(home: Home, store: RunStore, one: str, other: str, *, findings: bool = True) -> None:
    """Weights, steps with all their norms, summaries, epochs, changes, audit and `findings` are equal; AssertionError where they are not."""
    weights = [torch.load(home.run_folder(run_id) / "weights.pth", weights_only=True) for run_id in (one, other)]
    assert weights[0].keys() == weights[1].keys()
    differing = [name for name in weights[0] if not torch.equal(weights[0][name], weights[1][name])]
    assert not differing
    for level in range(4):
        left, right = (store.steps_after(run_id, level, 0) for run_id in (one, other))
        for name in ("step", "loss", "low", "high", "finite", "learning_rate", "gradient_norms", "updated", "update_norms", "weight_norms"):
            assert np.array_equal(getattr(left, name), getattr(right, name), equal_nan=name in ("loss", "low", "high")), (level, name)
    for rows in (epochs, changes, audited, result, *([found] if findings else [])):
        assert rows(store, one) == rows(store, other), rows.__name__


def epochs(store: RunStore, run_id: str) -> list[Any]:
    """Epochs without their times."""
    return [(row.epoch, row.step, row.train_loss, row.train_accuracy, row.validation_loss) for row in store.epochs_after(run_id)]


def changes(store: RunStore, run_id: str) -> list[Any]:
    """What was changed, from which step on."""
    return [(row.step, row.source, row.text, row.learning_rate, row.frozen.tolist()) for row in store.changes_after(run_id)]


def audited(store: RunStore, run_id: str) -> list[Any]:
    """What the audit found, without gradients and modes of its last look: the clock decides when that is."""
    report = store.audit(run_id)
    assert report is not None
    return [replace(row, gradient="none", mode="train") for row in report.rows]


def found(store: RunStore, run_id: str) -> list[Any]:
    """The findings, with their figures and the steps since which they are there."""
    diagnosis = store.findings(run_id)
    assert diagnosis is not None
    return [(each.rule, each.cause, each.since_step, each.resolved_step) for each in diagnosis.findings]


def result(store: RunStore, run_id: str) -> tuple[Any, ...]:
    """What the run came to."""
    ended = store.run(run_id).result
    assert ended is not None
    return (ended.epochs, ended.steps, ended.train_loss, ended.validation_loss, ended.test_loss, ended.test_accuracy)


def crash(folder: Path, kills: int, seed: int = 0, most_a_run: int = 5, starter: Starter | None = None, **changes: Any) -> Counter[str]:
    """Kill so many times, and compare each run with one that nobody killed.

    Args:
        starter: what starts the processes; None: a fresh interpreter each.
        changes: fields of the run's config.

    Returns:
        How often a run was killed in which state.
    """
    home = Home.from_environment(str(folder))
    store = RunStore(home.database)
    supervisor = Supervisor(home, store, starter)
    chance = random.Random(seed)
    config = RunConfig(**{**RUN, **changes})
    reference = supervisor.start(config)
    _until_it_works(supervisor, reference)
    began = time.monotonic()
    _until_it_ends(supervisor, reference)
    seconds = time.monotonic() - began
    killed: Counter[str] = Counter()
    while killed.total() < kills:
        run_id = supervisor.start(config)
        for _ in range(min(most_a_run, kills - killed.total())):
            if chance.random() > AT_ITS_START:
                _until_it_works(supervisor, run_id)
            time.sleep(chance.uniform(0, seconds))
            state = store.run(run_id)
            if not state.status.active or state.pid is None:
                break
            os.kill(state.pid, signal.SIGKILL)
            killed[f"{state.status}{f', {state.activity}' if state.activity else ''}"] += 1
            _until_it_ends(supervisor, run_id)
            if store.run(run_id).status is RunStatus.FINISHED:  # it was over just before
                break
            supervisor.go_on(run_id)
        _until_it_ends(supervisor, run_id)
        assert store.run(run_id).status is RunStatus.FINISHED, store.run(run_id).error
        same(home, store, reference, run_id)
    supervisor.close()
    return killed


def _until_it_works(supervisor: Supervisor, run_id: str) -> None:
    end = time.monotonic() + LONGEST
    while supervisor.store.run(run_id).status is RunStatus.QUEUED:
        assert time.monotonic() < end, f"{run_id} does not begin"
        time.sleep(0.01)


def _until_it_ends(supervisor: Supervisor, run_id: str) -> None:
    end = time.monotonic() + LONGEST
    while supervisor.store.run(run_id).status.active:
        supervisor.reconcile()
        assert time.monotonic() < end, f"{run_id} does not end"
        time.sleep(0.05)


if __name__ == "__main__":
    asked = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    with tempfile.TemporaryDirectory(prefix="thaw-crash-") as place:
        states = crash(Path(place), asked, seed=int(time.time()))
    print(f"{states.total()} kills, every run ended with the same weights, steps, signals and findings")
    for name, count in states.most_common():
        print(f"  {count:>4}  {name}")
