"""What is read of many runs at once: a line of a table for each, and the curves that are drawn over each other. Nothing is written here.

A table of 500 runs reads no config with its checks and no plan whole: both take a millisecond a run. What a list shows of them is a few texts.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.records.labels import NONE, Labels
from core.store.database import Database
from core.store.label_tables import LABELS, labels_of

_TEXT = "CASE WHEN json_valid({0}) THEN json_extract({0}, '$.{1}') END"
_COLUMNS = (
    "id, created, status, step, epoch, active_seconds, started, ended, error, config, "
    f"{_TEXT.format('plan', 'device')} AS device, {_TEXT.format('result', 'test_accuracy')} AS test_accuracy, {LABELS}, "
    "(SELECT sweep FROM sweep_runs WHERE run = runs.id) AS sweep"
)


@dataclass(frozen=True)
class Reached:
    """A validation accuracy (0 to 1) and the epoch after which it was measured."""

    accuracy: float
    epoch: int


@dataclass(frozen=True)
class ListedRun:
    """What a table shows of one run. Times are Unix seconds. `config` holds plain values as they were written, nothing where it is damaged."""

    id: str
    created: float
    status: str
    step: int
    epoch: int
    active_seconds: float
    ended: float | None
    error: str
    config: dict[str, Any]
    device: str
    test_accuracy: float | None
    best: Reached | None
    last: Reached | None
    labels: Labels = NONE
    sweep: str = ""
    """The id of the sweep that it is of; empty: of none."""
    sweep_name: str = ""


@dataclass(frozen=True)
class Standing:
    """How far a run is: its status, the steps done, and whether it lies in the bin."""

    status: str
    step: int
    binned: bool


@dataclass(frozen=True)
class Curve:
    """Steps of a run, or summaries of them, as columns of equal length n. `step` is the last step of each bucket.

    `loss`, `low`, `high`, `rate`, `time` (seconds since the first step) float64[n], NaN where there is none; `norm` float32[n]: the gradient norm
    of one tensor, with the codes of `core.records.events`, empty where none was asked for.
    """

    step: NDArray[np.int64]
    loss: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    rate: NDArray[np.float64]
    time: NDArray[np.float64]
    norm: NDArray[np.float32]


class CompareTables(Database):
    """Reading many runs at once."""

    def listed(self, among: Collection[str] | None = None) -> list[ListedRun]:
        """All runs that are not in the bin, newest first, or those of `among`. Of one that cannot be read, what can be."""
        chosen, values = "", []
        if among is not None:
            chosen, values = "AND id IN (SELECT value FROM json_each(?))", [json.dumps(list(among))]
        rows = self._read(f"SELECT {_COLUMNS} FROM runs WHERE binned IS NULL {chosen} ORDER BY created DESC, id DESC", values)
        best, last = self._reached("best"), self._reached("last")
        named = self._sweep_names() if any(row["sweep"] for row in rows) else {}
        return [_listed(row, best.get(row["id"]), last.get(row["id"]), named) for row in rows]

    def _sweep_names(self) -> dict[str, str]:
        return {str(row["id"]): str(row["name"] or "") for row in self._read(f"SELECT id, {_TEXT.format('plan', 'name')} AS name FROM sweeps")}

    def standing(self, ids: Collection[str]) -> dict[str, Standing]:
        """How far each of these runs is just now; those that are gone are left out. One small read, however many there are."""
        query = "SELECT id, status, step, binned IS NOT NULL AS binned FROM runs WHERE id IN (SELECT value FROM json_each(?))"
        rows = self._read(query, (json.dumps(list(ids)),))
        return {str(row["id"]): Standing(str(row["status"]), int(_number(row["step"]) or 0), bool(row["binned"])) for row in rows}

    def best_of(self, run_id: str) -> tuple[Reached | None, Reached | None]:
        """The best validation accuracy of a run, the first of equals, and its last."""
        return tuple(self._reached(which, run_id).get(run_id) for which in ("best", "last"))  # type: ignore[return-value]

    def _reached(self, which: str, run_id: str | None = None) -> dict[str, Reached]:
        of, values = ("AND run = ?", (run_id, run_id)) if run_id is not None else ("", ())
        what = "max(validation_accuracy) AS value" if which == "best" else "max(epoch) AS value"
        key = "validation_accuracy" if which == "best" else "epoch"
        query = (
            "SELECT found.run, min(found.epoch) AS epoch, found.validation_accuracy AS accuracy FROM epochs AS found JOIN"
            f" (SELECT run, {what} FROM epochs WHERE validation_accuracy IS NOT NULL {of} GROUP BY run) AS most"
            f" ON found.run = most.run AND found.{key} = most.value WHERE found.validation_accuracy IS NOT NULL"
            f"{' AND found.run = ?' if run_id is not None else ''} GROUP BY found.run"
        )
        return {row["run"]: Reached(row["accuracy"], row["epoch"]) for row in self._read(query, values)}

    def curve_after(self, run_id: str, level: int, after: int, tensor: int | None = None, limit: int = 4096) -> Curve:
        """Complete buckets of `level` (0: the steps themselves) that end after step `after`, oldest first, with the norms of tensor `tensor`."""
        # Four bytes of the blob, not all of it: a model has some hundred tensors.
        norm = "NULL" if tensor is None else f"substr({{}}.gradient_norms, {1 + 4 * tensor}, 4)"
        if level == 0:
            query = (
                f"SELECT s.step, s.loss, s.loss AS low, s.loss AS high, s.learning_rate, s.time, {norm.format('s')} AS norm"
                " FROM steps AS s WHERE s.run = ? AND s.step > ? ORDER BY s.step LIMIT ?"
            )
            rows = self._read(query, (run_id, after, limit))
        else:
            query = (
                f"SELECT l.step, l.loss, l.loss_low AS low, l.loss_high AS high, l.learning_rate, s.time, {norm.format('l')} AS norm"
                " FROM levels AS l LEFT JOIN steps AS s ON s.run = l.run AND s.step = l.step"
                " WHERE l.run = ? AND l.level = ? AND l.step > ? ORDER BY l.step LIMIT ?"
            )
            rows = self._read(query, (run_id, level, after, limit))
        norms = np.frombuffer(b"".join(_four(row["norm"]) for row in rows), "<f4") if tensor is not None else np.empty(0, np.float32)
        loss, low, high, rate, moment = (
            np.array([row[name] for row in rows], np.float64) for name in ("loss", "low", "high", "learning_rate", "time")
        )
        return Curve(np.array([row["step"] for row in rows], np.int64), loss, low, high, rate, moment, norms)


_NOT_THERE = np.float32(np.nan).tobytes()


def _four(blob: Any) -> bytes:
    return blob if isinstance(blob, bytes) and len(blob) == 4 else _NOT_THERE


def _listed(row: Any, best: Reached | None, last: Reached | None, sweeps: Mapping[str, str]) -> ListedRun:
    try:
        config = json.loads(row["config"])
    except (ValueError, TypeError, RecursionError):
        config = {}
    number = _number
    return ListedRun(
        str(row["id"]), number(row["created"]) or 0.0, str(row["status"]), int(number(row["step"]) or 0), int(number(row["epoch"]) or 0),
        number(row["active_seconds"]) or 0.0, number(row["ended"]), str(row["error"] or ""), config if isinstance(config, dict) else {},
        str(row["device"] or ""), number(row["test_accuracy"]), best, last, labels_of(row["labels"]),
        str(row["sweep"] or ""), sweeps.get(row["sweep"], ""),
    )  # fmt: skip


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and abs(value) < 1e300 else None
