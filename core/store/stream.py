"""Rows after a cursor, as messages for a live chart. No web framework in here: a route sends what `message` returns.

A chart gets at most `POINTS` points and `COLUMNS` heatmap columns whatever the length of the run: the level of summary grows
with the number of steps, and when it does, the next message starts over (`reset`). Between two resets only what is new is
sent, so a message's size does not depend on the history. The browser keeps the cursor and gives it back when it connects again.
"""

from __future__ import annotations

import base64
import math
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.records.events import FROZEN, NO_GRADIENT, NOT_MEASURED, ChangeRow, Layer
from core.records.forgetting import ForgettingRow, drift_of_blocks
from core.records.forks import Fork
from core.store.reading import UnreadableRun
from core.store.rows import StepColumns
from core.store.run_store import Run, RunStore

POINTS = 1024
"""Most points on a line: more than a screen has columns for, few enough for SVG."""

COLUMNS = 256
"""Most columns of the heatmap: once the run is long, one is as wide as POINTS / COLUMNS = 4 points, two levels up."""

INSPECTIONS = 20
"""Most histograms sent at once: the newest."""

FROZEN_CODE, ZERO_CODE, NO_GRADIENT_CODE, NOT_MEASURED_CODE, NOT_FINITE_CODE = -32768, -32767, -32766, -32765, 32767


@dataclass(frozen=True)
class Cursor:
    """What a client has: the heatmap's level, the last step of the lines and of the heatmap, the last epoch, change and inspection

    (0: nothing yet), the number of measurements of what the run forgets, and the status.
    """

    level: int = 0
    step: int = 0
    heat: int = 0
    epoch: int = 0
    change: int = 0
    inspection: int = 0
    forgetting: int = 0
    status: str = ""


def level_for(steps: int) -> int:
    """The lowest level at which `steps` steps make at most `COLUMNS` buckets: the heatmap's. Lines are drawn two levels lower."""
    return max(0, math.ceil(math.log2(steps / COLUMNS))) if steps else 0


def message(store: RunStore, run_id: str, cursor: Cursor | None) -> tuple[dict[str, Any] | None, Cursor]:
    """What is new for a client that has `cursor` (None: a client that has nothing), and its next cursor. Never writes.

    Returns None in place of a message when nothing is new.

    Raises:
        KeyError: there is no such run.
    """
    run = store.run(run_id)
    level = level_for(run.step)
    # The first rows start over too: a client that came early has not heard of the layers yet.
    reset = cursor is None or cursor.level != level or cursor.step > run.step or (cursor.step == 0 and run.step > 0)
    at = Cursor(level) if cursor is None or reset else cursor

    body: dict[str, Any] = {}
    lines = store.steps_after(run_id, max(0, level - 2), at.step)
    if len(lines.step):
        body["steps"] = _lines(lines)
        if not lines.finite.all():
            body["not_finite"] = lines.step[~lines.finite].tolist()
        at = replace(at, step=int(lines.step[-1]))
    heat = store.steps_after(run_id, level, at.heat)
    if len(heat.step):
        # A column where nothing was measured is left out: the next one, which was, stands for its steps too.
        there = measured(heat.gradient_norms)
        if there.any():
            body["heat"] = {"step": heat.step[there].tolist(), "values": _text(heat.gradient_norms[there])}
        if len(heat.updated):
            body["updates"] = {"step": heat.updated.tolist(), "update": _text(heat.update_norms), "weight": _text(heat.weight_norms)}
        at = replace(at, heat=int(heat.step[-1]))
    epochs = store.epochs_after(run_id, at.epoch)
    if epochs:
        body["epochs"] = {
            name: [_json_number(getattr(row, name)) for row in epochs]
            for name in ("epoch", "step", "train_loss", "train_accuracy", "validation_loss", "validation_accuracy")
        }
        at = replace(at, epoch=epochs[-1].epoch)
    changes = store.changes_after(run_id, at.change)
    if changes:
        body["changes"] = [_change(row) for row in changes]
        at = replace(at, change=changes[-1].id)
    inspections = store.inspections_after(run_id, at.inspection)
    if inspections:
        body["inspections"] = [asdict(row) for row in inspections[-INSPECTIONS:]]
        at = replace(at, inspection=inspections[-1].id)
    forgotten = store.forgetting_after(run_id)[at.forgetting :] if run.config.forgetting and run.plan else []
    if forgotten and run.plan:
        body["forgetting"] = _forgetting(forgotten, run.plan.layers)
        at = replace(at, forgetting=at.forgetting + len(forgotten))
    if reset:
        layers = run.plan.layers if run.plan else ()
        body["reset"] = True
        if run.fork is not None:
            body["parent"] = _parent(store, run.fork)
        body["layers"] = [_layer(layer) for layer in layers]
    if not body and at.status == run.status:
        return None, at
    at = replace(at, status=run.status)
    return {"run": _summary(run), "cursor": asdict(at), **body}, at


def measured(norms: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which rows hold a norm of anything that learns: bool[n]. A row of frozen tensors alone has all there is."""
    left_out = norms == NOT_MEASURED
    measured: NDArray[np.bool_] = ~left_out.any(axis=1) | ~(left_out | (norms == FROZEN)).all(axis=1)
    return measured


def encode_norms(norms: NDArray[np.float32]) -> NDArray[np.int16]:
    """float32 gradient norms as int16 hundredths of a decade, with codes for frozen, zero, none, not measured and not finite. Same shape."""
    norms = norms.astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        decades = np.nan_to_num(np.round(100 * np.log10(norms)), nan=0, posinf=0, neginf=0)
    codes: NDArray[np.int16] = np.clip(decades, -32000, 32000).astype("<i2")
    codes[norms == FROZEN] = FROZEN_CODE
    codes[norms == 0] = ZERO_CODE
    codes[norms == NO_GRADIENT] = NO_GRADIENT_CODE
    codes[norms == NOT_MEASURED] = NOT_MEASURED_CODE
    codes[~np.isfinite(norms)] = NOT_FINITE_CODE
    return codes


def _forgetting(rows: list[ForgettingRow], layers: tuple[Layer, ...]) -> dict[str, Any]:
    """Measurements as columns; `drift` has one list a measurement, in the order of the model's blocks."""
    return {
        "step": [row.step for row in rows],
        "accuracy": [_json_number(row.accuracy) for row in rows],
        "pictures": [row.pictures for row in rows],
        "drift": [[_json_number(value) for value in drift_of_blocks(row, layers).values()] for row in rows],
    }


def _parent(store: RunStore, fork: Fork) -> dict[str, Any] | None:
    """How the parent of a branch went on after it, for a faint line: at most `POINTS` points, as of now. None: it was deleted, or went no further."""
    try:
        parent = store.run(fork.parent)
    except (KeyError, UnreadableRun):
        return None
    lines = store.steps_after(parent.id, max(0, level_for(parent.step) - 2), fork.step)
    epochs = [row for row in store.epochs_after(parent.id, fork.epochs) if row.step > fork.step]
    if not len(lines.step):
        return None
    return {
        "step": lines.step.tolist(),
        "loss": [_json_number(value) for value in lines.loss],
        "epochs": {name: [_json_number(getattr(row, name)) for row in epochs] for name in ("step", "validation_loss", "validation_accuracy")},
    }


def _text(norms: NDArray[np.float32]) -> str:
    return base64.b64encode(encode_norms(norms).tobytes()).decode()


def _layer(layer: Layer) -> dict[str, Any]:
    block = layer.block or layer.name.partition(".")[0]  # runs of the first Thaw know no blocks
    return {"name": layer.name, "count": layer.count, "frozen": layer.frozen, "block": block, "multiplier": layer.multiplier}


def _change(row: ChangeRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "step": row.step,
        "source": row.source,
        "text": row.text,
        "learning_rate": _json_number(row.learning_rate),
        "frozen": row.frozen.astype(int).tolist(),
        "multipliers": [_json_number(factor) for factor in row.multipliers.tolist()],
    }


def _lines(columns: StepColumns) -> dict[str, list[Any]]:
    return {
        "step": columns.step.tolist(),
        "loss": [_json_number(value) for value in columns.loss],
        "low": [_json_number(value) for value in columns.low],
        "high": [_json_number(value) for value in columns.high],
        "learning_rate": [_json_number(value) for value in columns.learning_rate],
    }


def _json_number(value: float | None) -> float | None:
    """JSON has neither NaN nor infinity: null. Six significant digits are more than a screen can show."""
    return float(f"{value:.6g}") if value is not None and math.isfinite(value) else None


def _summary(run: Run) -> dict[str, Any]:
    return {
        "id": run.id,
        "status": run.status,
        "fork": {"parent": run.fork.parent, "step": run.fork.step} if run.fork else None,
        "step": run.step,
        "total_steps": run.plan.total_steps if run.plan else None,
        "epoch": run.epoch,
        "epochs": run.config.epochs,
        "watching": _json_number(run.watching),
        "watching_now": _json_number(run.stages.watching) if run.stages and run.status.active else None,
        "norms_every": run.stages.norms_every if run.stages else 1,
        "watch_every": run.stages.looks_every if run.stages else run.config.watch_every,
        "watch_every_asked": run.config.watch_every,
        "watch_budget": run.config.watch_budget,
    }
