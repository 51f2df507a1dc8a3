"""What an evaluation says, in words: intervals, where heat lies, what a p-value means. Pure. More of it: `core.evaluation.telling`."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from core.records.evaluation import Difference, Evaluation, Interval
from core.records.telling import digits
from pages._parts.shared import words

_ROWS = ("upper", "middle", "lower")
_COLUMNS = ("left", "centre", "right")
_NINTH = 1 / 9


def short(name: str, most: int) -> str:
    """A long name with its middle left out, as `short` of `elements.js`: long names often differ in their ends alone."""
    if len(name) <= most:
        return name
    end = -(-(most - 1) * 9 // 20)
    return f"{name[: most - 1 - end].rstrip()}…{name[-end:].lstrip()}"


def percent(interval: Interval) -> str:
    """The value of a share: '93.1 %'."""
    return "not defined" if interval.value is None else words.percent(interval.value)


def interval(found: Interval, most: float = 1.0) -> str:
    """The interval of a share: '95 % interval 90.9 to 94.8 %'. Empty where there is none."""
    if found.low is None or found.high is None:
        return ""
    return f"95\u00a0% interval {100 * found.low:.1f} to {100 * min(found.high, most):.1f}\u00a0%"


def where_hot(heat: Sequence[Sequence[float]]) -> str:
    """Where the heat of a map lies: 'most in the upper left (31 % of the heat)', or that it is spread out, or that there is none."""
    grid = np.nan_to_num(np.asarray(heat, dtype=float))
    total = grid.sum() if grid.ndim == 2 else 0.0
    if total <= 0:
        return "no heat: nothing in this layer speaks for the class"
    ninths = _ninths(grid) / total
    row, column = divmod(int(ninths.argmax()), 3)
    share = float(ninths[row, column])
    if share < 1.5 * _NINTH:
        return "spread over the whole picture"
    place = "in the centre" if (row, column) == (1, 1) else f"in the {_ROWS[row]} {_COLUMNS[column]}"
    return f"most {place} ({100 * share:.0f}\u00a0% of the heat)"


def _ninths(grid: NDArray[np.float64]) -> NDArray[np.float64]:
    """The sum of a map over nine equal parts, 3 x 3. A cell that lies in several counts for each by its share."""

    def parts(length: int) -> NDArray[np.float64]:
        edges = np.linspace(0, length, 4)
        cells = np.arange(length)
        return np.array([np.clip(np.minimum(cells + 1, high) - np.maximum(cells, low), 0, 1) for low, high in pairwise(edges)])

    sums: NDArray[np.float64] = parts(grid.shape[0]) @ grid @ parts(grid.shape[1]).T
    return sums


def confusions(evaluation: Evaluation, most: int, of: int | None = None) -> list[tuple[int, int, int]]:
    """The largest cells off the diagonal (with `of`: of that class's row and column alone): label, predicted class, pictures. At most `most`."""
    matrix = np.array(evaluation.confusion)
    np.fill_diagonal(matrix, 0)
    if of is not None:
        others = np.arange(len(matrix)) != of
        matrix[np.ix_(others, others)] = 0
    order = np.argsort(-matrix, axis=None, kind="stable")[:most]
    cells = [(int(place // len(matrix)), int(place % len(matrix))) for place in order]
    return [(label, predicted, int(matrix[label, predicted])) for label, predicted in cells if matrix[label, predicted]]


def p_value(value: float) -> str:
    """'p = 0.034', with as many digits as matter. What it is the chance of: see `verdict`."""
    return "p < 0.0001" if value < 1e-4 else f"p = {value:.2g}" if value < 0.995 else "p = 1"


def verdict(difference: Difference, first: str, second: str) -> str:
    """What McNemar's test says about two runs, in plain words: how often chance alone would split equally good ones at least as unevenly."""
    ours, theirs = len(difference.only_first), len(difference.only_second)
    if ours + theirs == 0:
        return "Both are right and wrong about the very same pictures: on this test set there is no difference."
    total = f"{ours + theirs:,} picture{'' if ours + theirs == 1 else 's'}"
    counts = f"On {total} only one of them is right: {first} on {ours:,}, {second} on {theirs:,}."
    if ours == theirs:
        return f"{counts} That is even: nothing speaks for either."
    better = first if ours > theirs else second
    chance = difference.p_value
    often = f"{digits(100 * chance, 2)}\u00a0% of the time" if chance >= 1e-4 else "less than once in 10,000 times"
    by_chance = f"If both were equally good, a split at least this uneven would come by chance {often}"
    if chance < 0.05:
        return f"{counts} {by_chance}: that speaks for {better}."
    return f"{counts} {by_chance}: that is no proof that {better} is better."
