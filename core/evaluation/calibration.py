"""Whether a model's confidence is what it says: how often predictions of a confidence are right, and whether chance explains the difference.

A model is calibrated where, of the predictions with confidence c, the share c is right. Then each prediction is right with its own confidence as
chance, whatever the others are, so what chance does to any figure can be worked out: nothing here is judged by a fixed gap. Whatever the size of the
test set, `sureness` below `ALARM` calls a calibrated model off in at most 2 % of cases, a `calibration_interval` that begins above 0 in 2.5 %, so
one of the two in less than 5 %.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from core.evaluation.intervals import DRAWS, LEVEL, SEED, UNDEFINED, Array, wilson
from core.records.evaluation import Bin, Interval, Sureness

BINS = 15
"""Bins of the calibration error, as in Guo et al. 2017."""

ALARM = 0.02
"""A p-value of `sureness` below this says that the model is too sure, or less sure than it could be."""

_STRETCHED = (*np.linspace(0, 2, 21).tolist(), 2.5, 3.0, 4.0, 6.0, 10.0)
"""How many times the measured differences the true ones are taken to be, one after the other."""


def bins(confidence: Array, right: Array, number: int = BINS) -> tuple[Bin, ...]:
    """Reliability: predictions by confidence (low, high], how confident they are and how often they are right."""
    places = _places(confidence, number)
    found = []
    for place in range(number):
        members = places == place
        count = int(members.sum())
        mean = float(confidence[members].mean(dtype=np.float64)) if count else None
        found.append(Bin(place / number, (place + 1) / number, count, mean, wilson(int(right[members].sum()), count)))
    return tuple(found)


def calibration_error(confidence: Array, right: Array, number: int = BINS) -> float | None:
    """Expected calibration error as it is usually given: the mean over images of |accuracy - confidence| of their bin. None without images.

    A sum of absolute values: chance only adds to it. A calibrated model has 0 if it is asked for ever, and more on any test set: 1 point on 359
    images of which 97 % are right, 5.6 where 71 % are (`tests/evaluation/test_calibration.py`).
    Source: C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger, On Calibration of Modern Neural Networks, ICML 2017, equation 3.
    """
    if len(confidence) == 0:
        return None
    gaps = right.astype(np.float64) - confidence
    return float(np.abs(np.bincount(_places(confidence, number), gaps, number)).sum() / len(gaps))


def calibration_interval(confidence: Array, right: Array, number: int = BINS, draws: int = DRAWS, seed: int = SEED) -> Interval:
    """The calibration error with what chance adds to it taken off, and its interval.

    For each of some true errors it is worked out what `calibration_error` a test set of this size would show, `draws` times: the true differences
    between accuracy and confidence, bin by bin, are the measured ones times a factor, from 0 (a calibrated model) up. The interval has those true
    errors for which what was measured is none of the 2.5 % lowest and none of the 2.5 % highest; the value is that for which it is the median, or
    0. So the interval begins at 0 unless a calibrated model would show as much in under 2.5 % of test sets, or `sureness` finds it off: mean
    confidence is at most as far from the share that is right as the calibration error, so where `least_gap` knows more, the interval begins there.

    A grid bootstrap: B. E. Hansen, Review of Economics and Statistics 81 (1999); a median-unbiased estimate: D. W. K. Andrews, Econometrica (1993).
    """
    measured = calibration_error(confidence, right, number)
    if measured is None:
        return UNDEFINED
    count = len(confidence)
    places = _places(confidence, number)
    members = np.bincount(places, minlength=number)
    there = members > 0
    sure = np.bincount(places, confidence.astype(np.float64), number)[there] / members[there]
    gaps = np.bincount(places, right.astype(np.float64), number)[there] / members[there] - sure
    if not gaps.any():
        gaps = 0.5 - sure
    shares = members[there] / count
    drawn = np.random.default_rng(seed).multinomial(count, shares, size=draws)
    true, shown = [], []
    for factor in _STRETCHED:
        chances = np.clip(sure + factor * gaps, 0, 1)
        hits = np.random.default_rng(seed + 1).binomial(drawn, chances)
        true.append(float((shares * np.abs(chances - sure)).sum()))
        shown.append(np.quantile(np.abs(hits - drawn * sure).sum(axis=1) / count, [(1 - LEVEL) / 2, 0.5, (1 + LEVEL) / 2]))
    errors, lines = np.array(true), np.maximum.accumulate(np.array(shown), axis=0)
    low, value, high = (_read_off(measured, lines[:, column], errors) for column in (2, 1, 0))
    low = max(low, least_gap(confidence, right))
    value = max(low, value)
    return Interval(value, low, max(high, value))


def least_gap(confidence: Array, right: Array) -> float:
    """The smallest difference between mean confidence and true accuracy, 0 to 1, that chance explains (`ALARM`); 0 where it explains all.

    Confidences are moved, all by as much, until so few or so many would be right in ALARM / 2 of test sets.
    """
    sure = sureness(confidence, right)
    if sure is None or sure.p_value >= ALARM:
        return 0.0
    wide, hits, sign = confidence.astype(np.float64), int(right.sum()), 1 if sure.confidence > sure.right else -1
    least, most = 0.0, abs(sure.confidence - sure.right)
    for _ in range(10):
        middle = (least + most) / 2
        chances = sum_of_trials(np.clip(wide - sign * middle, 0, 1))
        tail = chances[: hits + 1].sum() if sign > 0 else chances[hits:].sum()
        least, most = (middle, most) if tail < ALARM / 2 else (least, middle)
    return float(np.abs(np.clip(wide - sign * (least or most), 0, 1) - wide).mean())


def _read_off(measured: float, shown: NDArray[np.float64], true: NDArray[np.float64]) -> float:
    """The true error at which `measured` is what is shown; 0 where it is less than is shown at 0, and beyond the last by as much as it is beyond."""
    if measured <= shown[0]:
        return 0.0
    return float(np.interp(measured, shown, true)) + max(0.0, measured - float(shown[-1]))


def sureness(confidence: Array, right: Array) -> Sureness | None:
    """How confident predictions are on average, how often they are right, and the p-value of an exact test; None without images.

    The p-value is how often a calibrated model with these confidences would be right as rarely or as often as this one, at the nearer end, times two:
    the distribution of the sum of independent trials with these chances (Poisson binomial), without any approximation.
    """
    if len(confidence) == 0:
        return None
    chances = sum_of_trials(confidence.astype(np.float64))
    hits = int(right.sum())
    value = float(2 * min(chances[: hits + 1].sum(), chances[hits:].sum()))
    return Sureness(float(confidence.mean(dtype=np.float64)), hits / len(right), min(1.0, max(0.0, value)))


def sum_of_trials(chances: NDArray[np.float64]) -> NDArray[np.float64]:
    """float64 [N + 1]: how likely 0, 1, ... N of N independent trials with these chances [N] come out. Good to about 1e-15 of the largest."""
    rows = np.column_stack([1 - chances, chances])
    filled = 1 << (len(rows) - 1).bit_length()
    rows = np.concatenate([rows, np.tile([1.0, 0.0], (filled - len(rows), 1))])
    while len(rows) > 1:  # two and two are multiplied, as polynomials
        length = 2 * rows.shape[1] - 1
        parts = np.fft.rfft(rows, length, axis=1)
        rows = np.fft.irfft(parts[::2] * parts[1::2], length, axis=1)
    found: NDArray[np.float64] = np.maximum(rows[0, : len(chances) + 1], 0)
    return found


def _places(confidence: Array, number: int) -> NDArray[np.int64]:
    """The bin (low, high] that each confidence lies in."""
    return np.clip(np.ceil(confidence.astype(np.float64) * number).astype(np.int64) - 1, 0, number - 1)
