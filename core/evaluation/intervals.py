"""How far chance in the choice of the test images may have moved a figure: intervals for 95 %, and what they rest on. numpy alone."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.records.evaluation import Interval

DRAWS = 1_000
"""Bootstrap samples."""

LEVEL = 0.95
Z = 1.959963984540054
"""The 97.5 % point of the normal distribution."""

SEED = 0

Array = NDArray[Any]

UNDEFINED = Interval(None, None, None)


def wilson(hits: int, count: int) -> Interval:
    """A share with Wilson's score interval; undefined where there is nothing to take a share of.

    Source: E. B. Wilson, Probable Inference, the Law of Succession, and Statistical Inference, JASA 22 (1927). Unlike the normal
    approximation it stays between 0 and 1 and holds the true share about as often as it says for few images too, on average over true shares:
    for some shares near 0 or 1 it does so in 84 % with 5 images, 91 % with 100, 94 % with 359 (Brown, Cai, DasGupta 2001).
    """
    if count == 0:
        return UNDEFINED
    share = hits / count
    middle = (share + Z**2 / (2 * count)) / (1 + Z**2 / count)
    half = Z / (1 + Z**2 / count) * math.sqrt(share * (1 - share) / count + Z**2 / (4 * count**2))
    return Interval(share, max(0.0, min(middle - half, share)), min(1.0, max(middle + half, share)))


def mean_interval(value: float, drawn: Array, each: tuple[Interval, ...]) -> Interval:
    """The mean of shares with its interval, from its bootstrap and from the intervals of the shares themselves: the wider at each end.

    The bootstrap (Efron & Tibshirani 1993, ch. 13) has its bias taken off: a drawn mean that is lower than the mean it was drawn from, on
    average, says that the mean is as much lower than the true one. It never draws what is not there, so a test set without a mistake would be
    sure to have none: the shares' own intervals, put together as if the shares were independent (Zou & Donner, Statistics in Medicine 27, 2008),
    know better.

    Args:
        value: the mean.
        drawn: the mean of each bootstrap sample; what is not finite is left out.
        each: the shares that it is the mean of, those that are defined.
    """
    drawn = drawn[np.isfinite(drawn)]
    known = [(share.value, share.low, share.high) for share in each if share.value is not None and share.low is not None and share.high is not None]
    if not math.isfinite(value) or not known or len(drawn) == 0:
        return UNDEFINED
    shift = 2 * (value - float(drawn.mean()))
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]) + shift
    below = math.sqrt(sum((share - least) ** 2 for share, least, _ in known)) / len(known)
    above = math.sqrt(sum((most - share) ** 2 for share, _, most in known)) / len(known)
    return Interval(value, max(0.0, min(float(low), value - below)), min(1.0, max(float(high), value + above)))
