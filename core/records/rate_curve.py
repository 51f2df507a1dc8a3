"""The loss at rising learning rates, and which of them to take: plain data and what follows from it. No torch.

Smith, Cyclical Learning Rates for Training Neural Networks, 2015 (arXiv 1506.01186): one short training in which the rate rises from step to step.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FEWEST_STEPS, USUAL_STEPS, MOST_STEPS = 20, 100, 2000
LOWEST, HIGHEST = 1e-10, 1000.0
"""Rates that can be tried: the highest is the highest that a run may have."""

WIDTH = 2.0
"""Standard deviation of the bell with which losses are smoothed, in steps: to both sides alike, so that nothing is drawn too late."""

GROWN = 4.0
"""A smoothed loss this many times as high as the lowest ends the trial: it grows from there on."""

FALL = 0.03
"""A loss that falls by less than this share of itself does not count as falling."""

NOISE = 2.0
"""Nor does one that falls by less than so many times what it varies by from batch to batch: of 200 trials of nothing but chance, 2 seemed to fall."""

ASIDE = 10.0
"""How far below the rate at which the loss grows again a suggestion stays, at least, as a factor."""


@dataclass(frozen=True)
class RateCurve:
    """What was found out.

    Args:
        rates: of a layer whose multiplier is 1, one for each step, rising.
        losses: of the batch of that step, before its update; None: not a finite number.
        smoothed: the same, smoothed.
        suggestion: the rate to take; None: there is none to be told from this, and `reason` says why.
        lowest: the rate at which the smoothed loss was lowest; None: no loss was finite.
        grows: the first rate from which on it grew again; None: it did not, up to the highest that was tried.
        groups: (multiplier, number of tensors) of each group of the optimizer: each learns at its own multiple.
        kept: features of frozen layers were kept, so that only what learns was computed anew.
        model: digest of the weights before, and of the same weights after: what was trained was a copy.
        seconds: that it took.
    """

    rates: tuple[float, ...]
    losses: tuple[float | None, ...]
    smoothed: tuple[float | None, ...]
    suggestion: float | None
    reason: str
    lowest: float | None = None
    grows: float | None = None
    groups: tuple[tuple[float, int], ...] = ()
    kept: bool = False
    model: tuple[str, str] = ("", "")
    seconds: float = 0.0


@dataclass(frozen=True)
class Suggestion:
    """What follows from losses at rising rates: see `RateCurve`."""

    smoothed: tuple[float | None, ...]
    rate: float | None
    reason: str
    lowest: float | None = None
    grows: float | None = None


def rates(low: float, high: float, steps: int) -> NDArray[np.float64]:
    """`steps` rates from `low` to `high`, each the same multiple of the one before."""
    return np.geomspace(low, high, steps)


def has_grown(losses: Sequence[float]) -> bool:
    """Whether a trial can end here: the loss is no finite number, or has grown far beyond the lowest, by its last steps together."""
    if not losses or not math.isfinite(losses[-1]):
        return bool(losses)
    if len(losses) < FEWEST_STEPS // 2:
        return False
    mean = _smooth(np.array(losses))
    return bool(mean[-1] > GROWN * mean.min() and losses[-1] > GROWN * mean.min())


def suggest(tried: Sequence[float], losses: Sequence[float]) -> Suggestion:
    """The rate to take, with its reason: where the smoothed loss falls fastest, well below where it grows again. None where it never falls."""
    finite = next((place for place, loss in enumerate(losses) if not math.isfinite(loss)), len(losses))
    if finite == 0:
        return Suggestion((None,) * len(losses), None, f"the loss is not a finite number at the lowest rate already ({tried[0]:.3g}): no rate helps")
    values = _smooth(np.array(losses[:finite]))
    smoothed = (*(float(value) for value in values), *(None,) * (len(losses) - finite))
    if finite < FEWEST_STEPS // 2:
        reason = f"the loss is not a finite number from {tried[finite]:.3g} on, and too few steps came before; try from a lower rate on"
        return Suggestion(smoothed, None, reason)
    lowest = int(values.argmin())
    grown = [place for place in range(lowest, finite) if values[place] > values[lowest] + 0.1 * abs(values[0] - values[lowest]) + 1e-12]
    grows = tried[grown[0]] if grown else tried[finite] if finite < len(losses) else None
    first = float(values[: max(3, lowest // 4)].mean()) if lowest >= 3 else float(values[0])
    noise = float(np.std(np.array(losses[: max(3, finite // 3)]) - values[: max(3, finite // 3)]))
    fall = first - float(values[lowest])
    if fall < max(FALL * abs(first), NOISE * noise):
        why = f"it goes from {first:.4g} to {values[lowest]:.4g}, and varies by {noise:.2g} from batch to batch"
        return Suggestion(smoothed, None, f"the loss never falls between {tried[0]:.3g} and {tried[finite - 1]:.3g}: {why}", tried[lowest], grows)
    slope = np.gradient(values[: lowest + 1], np.log(np.array(tried[: lowest + 1])))
    steepest = tried[int(slope.argmin())]
    told = f"the loss falls fastest at {steepest:.3g} and is lowest at {tried[lowest]:.3g}"
    if grows is None:
        return Suggestion(
            smoothed, _round(steepest), f"{told}; it still falls at the highest rate tried, {tried[finite - 1]:.3g}", tried[lowest], None
        )
    if steepest > grows / ASIDE:
        reason = f"{told}, but grows again from {grows:.3g} on: a tenth of that is taken"
        return Suggestion(smoothed, _round(grows / ASIDE), reason, tried[lowest], grows)
    return Suggestion(smoothed, _round(steepest), f"{told}; from {grows:.3g} on it grows again", tried[lowest], grows)


def _round(rate: float) -> float:
    return float(f"{rate:.2g}")


def _smooth(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Means of neighbours, weighed by a bell; towards the ends of those that there are."""
    reach = int(3 * WIDTH)
    bell = np.exp(-0.5 * (np.arange(-reach, reach + 1) / WIDTH) ** 2)
    whole = np.convolve(np.pad(values, reach), bell, mode="valid")
    found: NDArray[np.float64] = whole / np.convolve(np.pad(np.ones(len(values)), reach), bell, mode="valid")
    return found
