"""How steps and their summaries lie in the store's tables: columns of numpy on one side, rows with blobs on the other. No SQL."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from core.records.events import Signal, StepBlock
from core.records.summaries import LevelRow


class Row(Protocol):
    """A row that was read, as sqlite3 gives it."""

    def __getitem__(self, column: str, /) -> Any:
        """The value in `column`."""


@dataclass(frozen=True)
class StepColumns:
    """Rows of `steps` or of one level as columns of equal length n. `step` is the last step of each bucket.

    `loss`, `low`, `high`: float64[n], mean and extremes of the finite losses, NaN where there is none; `finite`: bool[n],
    False where any loss of the bucket was not; `gradient_norms`: float32[n, layers], `FROZEN` where a tensor was frozen.
    `update_norms` and `weight_norms`: the same for the m <= n buckets in which they were measured, those at `updated` (int64[m]).
    """

    step: NDArray[np.int64]
    loss: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    finite: NDArray[np.bool_]
    learning_rate: NDArray[np.float64]
    gradient_norms: NDArray[np.float32]
    updated: NDArray[np.int64]
    update_norms: NDArray[np.float32]
    weight_norms: NDArray[np.float32]


@dataclass(frozen=True)
class StepRecord:
    """All that was recorded of n steps, as columns: the fields of `core.records.events.StepRow`.

    `time` is seconds since the first step, pauses left out. NaN in `loss`: it was not a number; in `samples_per_second`: not measured.
    `gradient_norms` float32[n, tensors] holds the codes of `core.records.events`; update and weight norms float32[m, tensors] those of the
    m <= n steps at which they were measured, which are `updated` int64[m].
    """

    step: NDArray[np.int64]
    epoch: NDArray[np.int64]
    time: NDArray[np.float64]
    loss: NDArray[np.float64]
    learning_rate: NDArray[np.float64]
    samples_per_second: NDArray[np.float64]
    gradient_norms: NDArray[np.float32]
    updated: NDArray[np.int64]
    update_norms: NDArray[np.float32]
    weight_norms: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.step)


def step_values(run_id: str, block: StepBlock) -> Iterator[tuple[Any, ...]]:
    """Rows for the table `steps`, in the order of its columns."""
    columns = (block.step, block.epoch, block.time, block.loss, block.learning_rate, block.samples_per_second)
    norms = (_blobs(block.gradient_norms, as_blob(block.blank)), _blobs(block.update_norms), _blobs(block.weight_norms))
    return zip(itertools.repeat(run_id, len(block)), *(column.tolist() for column in columns), *norms, strict=True)


def level_values(run_id: str, row: LevelRow) -> tuple[Any, ...]:
    """A row for the table `levels`, in the order of its columns."""
    *rest, gradients, updates, weights = row
    return (run_id, *rest, as_blob(gradients), None if updates is None else as_blob(updates), None if weights is None else as_blob(weights))


def _blobs(signal: Signal, otherwise: bytes | None = None) -> list[bytes | None]:
    """A blob a step, `otherwise` where nothing was measured."""
    all_rows, width = as_blob(signal.rows), signal.rows.shape[-1] * 4
    rows = [*(all_rows[start : start + width] for start in range(0, width * len(signal.rows), max(width, 1))), otherwise]
    return [rows[place] for place in signal.place.tolist()]  # -1 is the last


def as_blob(norms: NDArray[np.float32]) -> bytes:
    """Numbers as the bytes that a column holds: float32, the lowest byte first on every machine."""
    return norms.astype("<f4", copy=False).tobytes()


def step_columns(rows: Sequence[Row]) -> StepColumns:
    """What was read of `steps` or `levels`, in any order of columns."""
    updated = [row for row in rows if row["update_norms"] is not None]
    return StepColumns(
        _whole(rows, "step"),
        _column(rows, "loss"),
        _column(rows, "loss_low"),
        _column(rows, "loss_high"),
        np.array([row["finite"] for row in rows], dtype=np.bool_),
        _column(rows, "learning_rate"),
        _norms(rows, "gradient_norms"),
        _whole(updated, "step"),
        _norms(updated, "update_norms"),
        _norms(updated, "weight_norms"),
    )


def step_record(rows: Sequence[Row]) -> StepRecord:
    """What was read of `steps`, in any order of columns."""
    updated = [row for row in rows if row["update_norms"] is not None]
    return StepRecord(
        _whole(rows, "step"),
        _whole(rows, "epoch"),
        _column(rows, "time"),
        _column(rows, "loss"),
        _column(rows, "learning_rate"),
        _column(rows, "samples_per_second"),
        _norms(rows, "gradient_norms"),
        _whole(updated, "step"),
        _norms(updated, "update_norms"),
        _norms(updated, "weight_norms"),
    )


def _whole(rows: Sequence[Row], name: str) -> NDArray[np.int64]:
    return np.array([row[name] for row in rows], dtype=np.int64)


def _column(rows: Sequence[Row], name: str) -> NDArray[np.float64]:
    # SQLite stores NaN as NULL; it comes back as NaN here.
    return np.array([row[name] for row in rows], dtype=np.float64)


def _norms(rows: Sequence[Row], name: str) -> NDArray[np.float32]:
    blob = b"".join(row[name] for row in rows)
    return np.frombuffer(blob, dtype="<f4").reshape(len(rows), -1) if rows else np.empty((0, 0), np.float32)
