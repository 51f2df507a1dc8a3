"""What the tests of tables, event files and reports share: a run whose record has every state that there is, made without training."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from core.config import RunConfig
from core.export.subject import Subject
from core.machine.home import Home
from core.records.events import (
    FROZEN,
    NO_GRADIENT,
    NOT_MEASURED,
    ChangeRow,
    EpochRow,
    Histogram,
    Inspection,
    Layer,
    RunPlan,
    RunResult,
    RunStatus,
    StepRow,
)
from core.records.labels import LabelChange
from core.records.summaries import Summarizer
from core.store import RunStore
from core.store.checkpoint import newest

LAYERS = (
    Layer("stem.weight", (4, 3), 12, True, "stem"),
    Layer("body.weight", (4, 4), 16, False, "body"),
    Layer("body.bias", (4,), 4, False, "body"),
)

EVIL = "<script>alert(\"1\")</script> & 'two'\nlines {{ 123456*1001 }}"
"""A name that would be markup if it were not escaped."""

NORMS = [
    [FROZEN, 0.5, 0.0],
    [FROZEN, NOT_MEASURED, NOT_MEASURED],
    [FROZEN, math.nan, math.inf],
    [0.25, 2.0, NO_GRADIENT],
]
LOSSES = [2.0, 1.5, math.nan, 0.0]
"""By step."""


def recorded(home: Home, status: RunStatus | None = RunStatus.FINISHED, classes: tuple[str, ...] = ("a", "b")) -> str:
    """A run of four steps and two epochs that nobody trained; `status` None: it still goes on. It has no weights."""
    store = RunStore(home.database)
    run_id = store.create_run(RunConfig(dataset="digits", freeze="head only", epochs=2))
    store.begin(run_id, RunPlan(LAYERS, 2, 4, classes, 60, 0, 10, "cpu", notes=(f"A note on {EVIL}",)))
    rows = [
        StepRow(
            place + 1, 1 + place // 2, 0.5 * (place + 1), LOSSES[place], 0.1, 640.0 if place else math.nan, np.array(norms, np.float32),
            update_norms=np.array([FROZEN, 0.01, 0.0], np.float32) if place == 1 else None,
            weight_norms=np.array([FROZEN, 4.0, 1.0], np.float32) if place == 1 else None,
        )
        for place, norms in enumerate(NORMS)
    ]  # fmt: skip
    store.append(run_id, rows, Summarizer().add(rows), 2.0)
    store.append_epoch(run_id, EpochRow(1, 2, 1.0, 1.75, 0.5, None, None))
    store.append_epoch(run_id, EpochRow(2, 4, 2.0, math.nan, 0.25, math.nan, 0.125))
    store.append_change(run_id, ChangeRow(0, 4, "live", "!stem", 0.1, np.zeros(3, np.bool_), np.ones(3, np.float32)))
    store.append_inspection(run_id, Inspection(0, 2, "body.weight", Histogram(-1.0, 1.0, (1, 3, 0, 12)), Histogram(0.0, 0.5, (16, 0), 2)))
    store.append_inspection(run_id, Inspection(0, 3, "body.bias", Histogram(0.0, 0.0, (0, 0), 4), None))
    store.label(run_id, LabelChange(name=" ".join(EVIL.split()), note=EVIL))
    if status == RunStatus.FINISHED:
        store.end(run_id, status, RunResult(2, 4, None, 0.25, None, 0.125, None, 0.375, 2.0, 120.0, None))
    elif status is not None:
        store.end(run_id, status, error=f"it broke: {EVIL}")
    return run_id


def subject(home: Home, run_id: str) -> Subject:
    """What a writer is given."""
    store = RunStore(home.database)
    run = store.run(run_id)
    return Subject(home, store, run, newest(home, run))


def quiet(text: str, share: float | None) -> None:
    """Take a report of progress and do nothing with it."""


def never() -> bool:
    """Nobody cancels."""
    return False


def empty(home: Home, error: str | None = "it broke before its first step") -> str:
    """A run that failed before it had model and data."""
    store = RunStore(home.database)
    run_id = store.create_run(RunConfig())
    store.end(run_id, RunStatus.FAILED, error=error)
    return run_id


def target(tmp_path: Path, name: str) -> Path:
    """A place that is not there yet, in a folder of its own."""
    folder = tmp_path / "export"
    folder.mkdir(exist_ok=True)
    return folder / name
