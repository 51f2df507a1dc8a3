"""Summaries of training steps: the *levels* that lie beside them in the store, so that a chart of any length reads few rows.

A bucket of level `k` stands for `2**k` consecutive steps. Two neighbours make one of the next level, like carrying in binary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.records.events import NOT_MEASURED, Signal, StepBlock, StepRow

TOP_LEVEL = 20
"""Highest level: one bucket stands for 2**20, about a million, steps."""

KEPT = 2048
"""Buckets of a level that are kept, those at the beginning: a run that has more is read from a higher level (`core.store.stream.level_for`)."""

NOTHING = np.empty((0, 0), np.float32)
"""The rows of a signal that was never measured."""

Floats = NDArray[np.float64]


class LevelRow(NamedTuple):
    """One complete bucket: the `2**level` steps that end with `step`. Loss figures are over its finite losses, None without any.

    Norms are means over the steps at which they were measured; update and weight norms None where that was at none.
    """

    level: int
    step: int
    finite: bool
    loss: float | None
    low: float | None
    high: float | None
    learning_rate: float
    gradient_norms: NDArray[np.float32]
    update_norms: NDArray[np.float32] | None = None
    weight_norms: NDArray[np.float32] | None = None


def block_of(rows: Sequence[StepRow]) -> StepBlock:
    """Steps as columns. At least one row."""

    def column(name: str) -> Floats:
        return np.array([getattr(row, name) for row in rows], np.float64)

    def signal(name: str) -> Signal:
        measured = [norms is not None for norms in (getattr(row, name) for row in rows)]
        found = [getattr(row, name) for row, has in zip(rows, measured, strict=True) if has]
        return Signal(np.where(measured, np.cumsum(measured) - 1, -1), np.array(found, np.float32) if found else NOTHING)

    return StepBlock(
        np.array([row.step for row in rows], np.int64), np.array([row.epoch for row in rows], np.int64), column("time"), column("loss"),
        column("learning_rate"), column("samples_per_second"), signal("gradient_norms"), signal("update_norms"), signal("weight_norms"),
        rows[-1].gradient_norms,
    )  # fmt: skip


class Summarizer:
    """Turns a stream of steps into level rows, block by block: one that is left without its neighbour waits for the next block."""

    def __init__(self) -> None:
        self._left: dict[int, Buckets] = {}

    def memory(self) -> dict[int, Any]:
        """What waits for its neighbour: level -> bucket."""
        return dict(self._left)

    def remember(self, memory: Mapping[int, Any]) -> None:
        """Go on where another stood, which gave its `memory`."""
        self._left = dict(memory)

    def add(self, steps: StepBlock | Sequence[StepRow], samples: Floats | None = None) -> list[LevelRow]:
        """The buckets that these steps complete, those of the lowest level first. The first `KEPT` of each level are given.

        `samples` float64[n]: pictures of each step (None: equally many); the loss of a bucket is the mean over pictures.
        """
        if not len(steps):
            return []
        block = steps if isinstance(steps, StepBlock) else block_of(steps)
        finite = np.isfinite(block.loss)
        loss = np.where(finite, block.loss, np.nan)
        signals = (block.gradient_norms, block.update_norms, block.weight_norms)
        sizes = np.where(finite, 1.0 if samples is None else samples, 0.0)
        buckets = Buckets(block.step, finite, sizes, loss, loss, loss, block.learning_rate, signals)
        rows: list[LevelRow] = []
        for level in range(TOP_LEVEL):
            if level in self._left:
                buckets = self._left.pop(level).then(buckets)
            if len(buckets.step) % 2:
                self._left[level] = buckets.last()
            if len(buckets.step) < 2:
                break
            buckets = buckets.merged()
            rows += buckets.rows(level + 1, block.blank)
        return rows


@dataclass(frozen=True)
class Buckets:
    """Neighbouring buckets of one level as columns; NaN for a loss figure without finite losses. `signals` are the three kinds of norms.

    `size`: pictures of the steps whose loss is finite.
    """

    step: NDArray[np.int64]
    finite: NDArray[np.bool_]
    size: Floats
    loss: Floats
    low: Floats
    high: Floats
    learning_rate: Floats
    signals: tuple[Signal, ...]

    def then(self, more: Buckets) -> Buckets:
        """Both, one after the other."""
        return Buckets(
            np.concatenate([self.step, more.step]),
            np.concatenate([self.finite, more.finite]),
            np.concatenate([self.size, more.size]),
            np.concatenate([self.loss, more.loss]),
            np.concatenate([self.low, more.low]),
            np.concatenate([self.high, more.high]),
            np.concatenate([self.learning_rate, more.learning_rate]),
            tuple(_joined(mine, theirs) for mine, theirs in zip(self.signals, more.signals, strict=True)),
        )

    def last(self) -> Buckets:
        """The last bucket alone."""
        signals = tuple(_last(signal) for signal in self.signals)
        return Buckets(
            self.step[-1:], self.finite[-1:], self.size[-1:], self.loss[-1:], self.low[-1:], self.high[-1:], self.learning_rate[-1:], signals
        )

    def merged(self) -> Buckets:
        """Buckets of the next level. A mean counts by its pictures: the last step of an epoch may have few, which say little."""
        end = len(self.step) // 2 * 2
        lefts, rights = slice(0, end, 2), slice(1, end, 2)
        left, right = self.loss[lefts], self.loss[rights]
        size = self.size[lefts] + self.size[rights]
        share = self.size[lefts] / np.maximum(size, 1e-12)
        loss = np.where(np.isnan(left), right, np.where(np.isnan(right), left, left * share + right * (1 - share)))
        low, high = np.fmin(self.low[lefts], self.low[rights]), np.fmax(self.high[lefts], self.high[rights])
        signals = tuple(_merged(signal, lefts, rights) for signal in self.signals)
        return Buckets(self.step[rights], self.finite[lefts] & self.finite[rights], size, loss, low, high, self.learning_rate[rights], signals)

    def rows(self, level: int, blank: NDArray[np.float32]) -> list[LevelRow]:
        """One row a bucket, of those that are kept."""
        count = int(np.searchsorted(self.step, KEPT * 2**level, side="right"))
        if not count:
            return []
        norms = [_each(signal, count, otherwise) for signal, otherwise in zip(self.signals, (blank, None, None), strict=True)]
        figures = (_or_none(column[:count]) for column in (self.loss, self.low, self.high))
        columns = (self.step[:count].tolist(), self.finite[:count].tolist(), *figures, self.learning_rate[:count].tolist(), *norms)
        return [LevelRow(level, *values) for values in zip(*columns, strict=True)]


def _last(signal: Signal) -> Signal:
    place = int(signal.place[-1])
    return Signal(np.array([0]), signal.rows[[place]]) if place >= 0 else Signal(np.array([-1]), NOTHING)


def _joined(first: Signal, second: Signal) -> Signal:
    if not len(first.rows):
        return Signal(np.concatenate([first.place, second.place]), second.rows)
    if not len(second.rows):
        return Signal(np.concatenate([first.place, second.place]), first.rows)
    later = np.where(second.place >= 0, second.place + len(first.rows), -1)
    return Signal(np.concatenate([first.place, later]), np.concatenate([first.rows, second.rows]))


def _merged(signal: Signal, lefts: slice, rights: slice) -> Signal:
    left, right = signal.place[lefts], signal.place[rights]
    one = np.where(left >= 0, left, right)
    if not len(signal.rows):
        return Signal(one, signal.rows)
    both = (left >= 0) & (right >= 0)
    means = _mean(signal.rows[left[both]], signal.rows[right[both]])
    alone = ~both & (one >= 0)
    place = np.full(len(one), -1, np.int64)
    place[alone] = np.arange(alone.sum())
    place[both] = alone.sum() + np.arange(len(means))
    return Signal(place, np.concatenate([signal.rows[one[alone]], means]))


def _mean(left: NDArray[np.float32], right: NDArray[np.float32]) -> NDArray[np.float32]:
    """The mean of two halves; of one alone where in the other a tensor was frozen, had no gradient or was not measured."""
    with np.errstate(over="ignore", invalid="ignore"):
        mean = np.where(left < 0, right, (left + right) / 2)
    mean = np.where((right < 0) & (left >= 0), left, mean)
    return np.where((right == NOT_MEASURED) & (left < 0), left, mean).astype(np.float32)


def _each(signal: Signal, count: int, otherwise: NDArray[np.float32] | None) -> list[NDArray[np.float32] | None]:
    rows = [*signal.rows, otherwise]
    return [rows[place] for place in signal.place[:count].tolist()]  # -1 is the last


def _or_none(column: Floats) -> list[float | None]:
    return [None if value != value else value for value in column.tolist()]
