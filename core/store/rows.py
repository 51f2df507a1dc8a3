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
    rows = [*map(as_blob, signal.rows), otherwise]
    return [rows[place] for place in signal.place.tolist()]  # -1 is the last


def as_blob(norms: NDArray[np.float32]) -> bytes:
    """Numbers as the bytes that a column holds: float32, the lowest byte first on every machine."""
    return norms.astype("<f4", copy=False).tobytes()


def step_columns(rows: Sequence[Row]) -> StepColumns:
    """What was read of `steps` or `levels`, in any order of columns."""

    def column(name: str) -> NDArray[np.float64]:
        # SQLite stores NaN as NULL; it comes back as NaN here.
        return np.array([row[name] for row in rows], dtype=np.float64)

    def norms(name: str, rows: Sequence[Row]) -> NDArray[np.float32]:
        blob = b"".join(row[name] for row in rows)
        return np.frombuffer(blob, dtype="<f4").reshape(len(rows), -1) if rows else np.empty((0, 0), np.float32)

    updated = [row for row in rows if row["update_norms"] is not None]
    return StepColumns(
        np.array([row["step"] for row in rows], dtype=np.int64),
        column("loss"),
        column("loss_low"),
        column("loss_high"),
        np.array([row["finite"] for row in rows], dtype=np.bool_),
        column("learning_rate"),
        norms("gradient_norms", rows),
        np.array([row["step"] for row in updated], dtype=np.int64),
        norms("update_norms", updated),
        norms("weight_norms", updated),
    )
