"""What has to be known beside the figures of an evaluation, in sentences. No torch."""

from __future__ import annotations

from collections.abc import Iterator

from core.evaluation import looks, telling
from core.evaluation.confidence import meaning_of
from core.evaluation.learned_from import learned_from
from core.evaluation.seeds import spread
from core.machine.home import Home
from core.records.evaluation import Evaluation
from core.records.events import EpochRow
from core.store import Run, RunStore
from core.store.checkpoint import checkpoints

MOST_RUNS = 200
"""Runs among which other seeds and looks are counted."""


def known(home: Home, store: RunStore, run: Run, made: Evaluation) -> Iterator[str]:
    """What was learned from, other seeds, whether its confidence can be believed, and who chooses."""
    yield learned_from(home, run).sentence
    yield telling.COVERS
    runs = store.runs(limit=MOST_RUNS)
    others = spread(run, runs)
    if others is not None:
        yield telling.spread(others)
    yield telling.calibration(made, meaning_of(run.config, len(made.classes)))
    yield telling.best(by_validation(home, store, run))
    yield f"{telling.SPOILS} {telling.looked_at(looks.looks(home, run, runs), made.samples, made.accuracy.value)}"


def by_validation(home: Home, store: RunStore, run: Run) -> EpochRow | None:
    """The epoch whose weights are kept that the validation set chooses."""
    steps = {checkpoint.step for checkpoint in checkpoints(home, run)}
    rows = store.epochs_after(run.id)
    return looks.best_by_validation(rows, [row.epoch for row in rows if row.step in steps])
