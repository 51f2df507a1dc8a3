"""What a run forgets of what its weights knew before: measured now and then while it trains. Plain data, no torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.records.events import Layer


@dataclass(frozen=True)
class ForgettingRow:
    """One measurement behind `step` steps.

    `accuracy` is the share (0 to 1) of `pictures` pictures of the old task that the old head, on the layers as they are now, tells right; None:
    no old task is known. `seconds` is what it took. `moved` and `start`, float32[tensors], are the L2 norms of how far each tensor is from where
    it started, and of where it started; NaN in both for a tensor that started at random (the head): it knew nothing.
    """

    step: int
    accuracy: float | None
    pictures: int
    seconds: float
    moved: NDArray[np.float32]
    start: NDArray[np.float32]


def drift_of_blocks(row: ForgettingRow, layers: Sequence[Layer]) -> dict[str, float | None]:
    """How far each block is from its start, as a share of how large it was then, in the model's order; None for one that started at random."""
    sums: dict[str, list[float]] = {}
    for layer, moved, start in zip(layers, row.moved.tolist(), row.start.tolist(), strict=True):
        each = sums.setdefault(layer.block or layer.name, [0.0, 0.0])
        if not math.isnan(moved):
            each[0] += moved * moved
            each[1] += start * start
    return {name: math.sqrt(moved / start) if start else None for name, (moved, start) in sums.items()}


def in_words(rows: Sequence[ForgettingRow]) -> str:
    """What became of the old task so far: 'the old task: 91.0 % right at the start, 74.2 % behind step 120'. Empty where none is measured."""
    measured = [row for row in rows if row.accuracy is not None]
    if not measured:
        return ""
    first, last = measured[0], measured[-1]
    begin = f"{first.pictures:,} pictures of the old task: {100 * (first.accuracy or 0):.1f} % right behind step {first.step:,}"
    return begin if first is last else f"{begin}, {100 * (last.accuracy or 0):.1f} % behind step {last.step:,}"
