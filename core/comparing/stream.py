"""The curves of many runs for one chart, after a cursor for each run, as `core.store.stream` gives those of one. No web framework in here.

A run has at most `most_points` points, whatever its length: the more runs, the fewer each. Between two resets only what is new is sent, so the
size of a message follows from what happened and not from what there is. The browser keeps the cursors and gives them back when it connects again.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.comparing import imported
from core.comparing.lanes import lanes
from core.config import ConfigError
from core.machine.home import Home
from core.records.events import ACTIVE
from core.store import Run, RunStore, UnreadableRun
from core.store.compare_tables import Curve, Standing

MOST_RUNS = 40
"""Runs in one comparison: more lines than that cannot be told apart, whatever their colours."""

POINTS, FEWEST, MOST = 6_144, 128, 1_024
"""Points of all runs together, and the fewest and most of one."""

UNREADABLE = "unreadable"


@dataclass(frozen=True)
class At:
    """What a client has of one run: the level of its summaries, their last step, the last epoch and change, and how the run stood.

    Of imported curves `seen` is the stamp of the file that they were kept in.
    """

    level: int = 0
    step: int = 0
    epoch: int = 0
    change: int = 0
    seen: int = -1
    status: str = ""


Cursor = Mapping[str, At]
"""A run's id to what a client has of it; a run that is missing: nothing yet."""


def most_points(runs: int) -> int:
    """Points that each of so many runs may have."""
    return max(FEWEST, min(MOST, POINTS // max(runs, 1)))


def level_for(steps: int, points: int) -> int:
    """The lowest level at which `steps` steps make at most `points` buckets."""
    return max(0, math.ceil(math.log2(steps / points))) if steps > points else 0


def read_cursor(values: Any) -> Cursor:
    """Cursors as a browser gives them back: {run: [level, step, epoch, change, seen, status]}. ValueError for anything else."""
    if not isinstance(values, dict) or len(values) > MOST_RUNS:
        raise ValueError("cursors are an object of runs")
    found: dict[str, At] = {}
    for run, parts in values.items():
        if not isinstance(parts, list) or len(parts) != 6 or not isinstance(parts[5], str):
            raise ValueError("a cursor has six parts")
        if not all(isinstance(part, int) and not isinstance(part, bool) and -1 <= part < 2**63 for part in parts[:5]):
            raise ValueError("the parts of a cursor are whole numbers")
        found[str(run)] = At(*parts)
    return found


def message(
    home: Home, store: RunStore, ids: Sequence[str], cursor: Cursor, tensor: str = "", more: Collection[str] = ()
) -> tuple[dict[str, Any] | None, Cursor]:
    """What is new of the runs `ids` for a client with these cursors, and its next cursors. None in place of a message: nothing.

    A part of the message names its run by its place in `ids`. Its `at` is the next cursor; `gone` stands for a run that is not there any more
    ("deleted"), lies in the bin ("bin") or cannot be read ("unreadable"). `tensor` names the one whose gradient norms are wanted, `more` curves of
    imported trainings beside those that runs have as well.
    """
    standing = store.standing(ids)
    points = most_points(len(ids))
    parts, after = [], dict(cursor)
    for place, run_id in enumerate(ids):
        before = cursor.get(run_id)
        if imported.is_imported(run_id):
            part, at = _imported(home, run_id, before, points, {*more, f"gradient_norm/{tensor}"})
        else:
            part, at = _of_run(store, run_id, standing.get(run_id), before, points, tensor)
        after[run_id] = at
        if part or at != before:
            parts.append({"run": place, "at": list(astuple(at)), **part})
    return ({"parts": parts} if parts else None), after


def active(cursor: Cursor) -> bool:
    """Whether any of the runs may have news soon."""
    return any(at.status in ACTIVE for at in cursor.values())


def _gone(why: str, at: At) -> tuple[dict[str, Any], At]:
    # What a client has drawn stays drawn.
    return ({} if at.status == why else {"gone": why}), replace(at, status=why)


def _of_run(store: RunStore, run_id: str, standing: Standing | None, before: At | None, points: int, tensor: str) -> tuple[dict[str, Any], At]:
    if standing is None:
        return _gone("deleted", before or At())
    status = "bin" if standing.binned else standing.status
    # Of a run that goes on, one more look: epochs are written behind their last step.
    if before is not None and before.status in (status, UNREADABLE) and before.seen == standing.step and status not in ACTIVE:
        return {}, before
    try:
        return _new(store, store.run(run_id), status, before, points, tensor)
    except KeyError:
        return _gone("deleted", before or At())
    except UnreadableRun:
        return _gone(UNREADABLE, replace(before or At(), seen=standing.step))


def _new(store: RunStore, run: Run, status: str, before: At | None, points: int, tensor: str) -> tuple[dict[str, Any], At]:
    level = level_for(run.step, points)
    # The first rows start over too: what came before the plan was known has no layers.
    reset = before is None or before.level != level or before.step > run.step or (before.step == 0 and run.step > 0)
    at = At(level) if before is None or reset else before
    names = [layer.name for layer in run.plan.layers] if run.plan else []
    row = names.index(tensor) if tensor in names else None
    part: dict[str, Any] = {}
    if reset:
        part |= {"reset": True, "about": _about(run)}
    curve = store.curve_after(run.id, level, at.step, row)
    if len(curve.step):
        part["steps"] = _steps(curve)
        at = replace(at, step=int(curve.step[-1]))
    epochs = store.epochs_after(run.id, at.epoch)
    if epochs:
        part["epochs"] = {name: [_number(getattr(each, name)) for each in epochs] for name in EPOCH_FIELDS}
        at = replace(at, epoch=epochs[-1].epoch)
    changes = store.changes_after(run.id)
    newest = changes[-1].id if changes else 0
    if run.plan is not None and (reset or newest > at.change):
        part["lanes"] = [[lane.name, lane.count, [list(astuple(each)) for each in lane.stretches]] for lane in lanes(run.plan, changes)]
        at = replace(at, change=newest)
    return part | ({"gone": "bin"} if status == "bin" and (before is None or before.status != "bin") else {}), replace(
        at, seen=run.step, status=status
    )


EPOCH_FIELDS = ("epoch", "step", "time", "train_loss", "train_accuracy", "validation_loss", "validation_accuracy")


def _about(run: Run) -> dict[str, Any]:
    plan = run.plan
    return {"total": plan.total_steps if plan else None, "per_epoch": plan.steps_per_epoch if plan else None}


def _steps(curve: Curve) -> dict[str, list[Any]]:
    found = {"step": curve.step.tolist(), "loss": numbers(curve.loss), "rate": numbers(curve.rate), "time": numbers(curve.time, 4)}
    if not (np.array_equal(curve.low, curve.loss, equal_nan=True) and np.array_equal(curve.high, curve.loss, equal_nan=True)):
        found |= {"low": numbers(curve.low, 4), "high": numbers(curve.high, 4)}
    if len(curve.norm):
        found["norm"] = numbers(np.where(curve.norm < 0, np.nan, curve.norm).astype(np.float64), 4)  # below 0 stand codes: frozen, not measured
    return found


def _imported(home: Home, run_id: str, before: At | None, points: int, more: Collection[str]) -> tuple[dict[str, Any], At]:
    stamp = imported.stamp(home, run_id)
    if stamp is None:
        return _gone("deleted", before or At())
    if before is not None and before.seen == stamp:
        return {}, before
    try:
        kept = imported.load(home, run_id)
    except ConfigError:
        return _gone(UNREADABLE, At(seen=stamp))
    curves = [
        {"name": curve.name, "as": curve.meaning, "step": curve.step.tolist(), "value": numbers(curve.value), "time": numbers(curve.time, 6)}
        for curve in (each.thinned(points) for each in kept.curves if each.meaning or each.name in more)
    ]
    return {"reset": True, "about": asdict(imported.About(kept.name, kept.per_epoch)), "curves": curves}, At(seen=stamp, status="imported")


def numbers(values: NDArray[np.float64], digits: int = 6) -> list[float | None]:
    """Numbers for JSON, with so many digits that count; null for what is none."""
    return [float(f"{value:.{digits}g}") if math.isfinite(value) else None for value in values.tolist()]


def _number(value: float | None) -> float | None:
    return float(f"{value:.6g}") if value is not None and math.isfinite(value) else None
