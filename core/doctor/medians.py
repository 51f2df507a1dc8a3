"""Medians that leave out what is no finite number. No torch."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def median(values: Floats, weights: Floats | None = None) -> float:
    """Median of the finite values, each counting by its weight (not given: all the same); NaN without any."""
    finite = np.isfinite(values)
    if weights is None or not finite.any() or np.ptp(weights[finite]) == 0:
        return float(np.median(values[finite])) if finite.any() else math.nan
    order = np.argsort(values[finite])
    reached = np.cumsum(weights[finite][order])
    return float(values[finite][order][np.searchsorted(reached, reached[-1] / 2)])


def medians(rows: NDArray[np.float32]) -> Floats:
    """Median (the higher of two in the middle) of the finite values in each column; NaN where there is none."""
    values = np.where(np.isfinite(rows), rows, np.nan)
    values.sort(axis=0)  # NaN comes last
    middle = np.count_nonzero(~np.isnan(values), axis=0) // 2
    found: Floats = np.take_along_axis(values, np.minimum(middle, len(values) - 1)[None], axis=0)[0].astype(np.float64)
    return found
