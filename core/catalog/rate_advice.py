"""Which learning rates are usual for what a run sets out to do: by optimizer, by what learns, by where it starts from, by pictures an update.

A rule of thumb. Each part was tried on small networks and digits (tests/catalog/test_rate_advice.py): the ranges learn, a hundred times the
usual rate does far worse; long steps undo what weights know already; with k times the pictures an update SGD wants about k times the rate
(Goyal et al., Accurate, Large Minibatch SGD, 2017), and optimizers that divide by the size of gradients the root of k times (Malladi et al., On
the SDEs and Scaling Rules for Adaptive Gradient Algorithms, 2022). No torch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from core.catalog.optimizers import FIRST_STEP_ONLY, OPTIMIZERS, rate_limit
from core.catalog.rates import Floats, course
from core.config import RunConfig
from core.config.entry import find
from core.records.telling import digits

USUAL_BATCH = 32
"""Pictures an update for which `OptimizerEntry.learning_rate` is a good first value."""

IN_PROPORTION = ("SGD", "ASGD")
"""Optimizers whose rate goes with the number of pictures an update; with the others it is its root."""

MOST_SCALED = 8.0
"""By how much, up or down, the number of pictures moves the rate at most: beyond that the rule does not hold."""

ABOUT_RATE = (
    "Weights that have learned already are near a good place: long steps undo what they know, so they want smaller ones than fresh weights. "
    "A new head alone can take long ones, since nothing else moves. With more pictures an update (batch size times accumulation) gradients are less "
    "noisy and updates fewer, so each may be longer. The run's page shows how long updates are for the size of the weights: about 0.001 is usual."
)


@dataclass(frozen=True)
class RateAdvice:
    """Learning rates from `low` to `high` are usual; `why` says for what, as the beginning of a sentence."""

    low: float
    high: float
    why: str

    @property
    def usual(self) -> float:
        """The middle of the range, in one digit."""
        return float(digits(math.sqrt(self.low * self.high), 1))

    @property
    def text(self) -> str:
        """In one sentence, without a full stop."""
        return f"{self.why}: {digits(self.low, 1)} to {digits(self.high, 1)}"


def rate_advice(config: RunConfig) -> RateAdvice | None:
    """Which rates are usual for this run; None for an optimizer that takes the rate for its first step only.

    Raises:
        ConfigError: there is no such optimizer.
    """
    entry = OPTIMIZERS[find(OPTIMIZERS, "optimizer", config.optimizer).name]
    if entry.name in FIRST_STEP_ONLY:
        return None
    trained = config.starting_weights != "random"
    head_only, all_learns = str(config.freeze) == "head only", str(config.freeze) == "train everything"
    if trained and head_only:
        low, high, what = 1.0, 10.0, "a head alone on weights that have learned already"
    elif trained:
        low, high, what = 0.1, 1.0, f"{'weights' if all_learns else 'layers'} that have learned already and learn on"
    else:
        low, high, what = 1 / 3, 3.0, "fresh weights"
    pictures = config.batch_size * config.accumulate
    scale = batch_scale(entry.name, pictures)
    usual = entry.learning_rate * scale
    return RateAdvice(usual * low, usual * high, f"usual for {entry.name}, {what}, {pictures:,} picture{'' if pictures == 1 else 's'} an update")


def batch_scale(optimizer: str, pictures: int) -> float:
    """What `pictures` an update multiply the usual learning rate of an optimizer by."""
    times = pictures / USUAL_BATCH
    scale = times if optimizer in IN_PROPORTION else math.sqrt(times)
    return min(max(scale, 1 / MOST_SCALED), MOST_SCALED)


def outside(config: RunConfig) -> tuple[str, ...]:
    """A sentence on a rate that is more than ten times above or below what is usual; nothing for any other."""
    advice = rate_advice(config)
    if advice is None or advice.low / 10 <= config.learning_rate <= advice.high * 10:
        return ()
    far = "above" if config.learning_rate > advice.high else "below"
    return (f"The learning rate {config.learning_rate:g} is far {far} what is {advice.text}.",)


def course_in_words(config: RunConfig, total_steps: int, steps_per_epoch: int) -> str:
    """From what to what the schedule takes the rate, in numbers; '' where it stays as it is.

    Raises:
        ConfigError: the schedule or its options cannot be used.
    """
    if config.optimizer in FIRST_STEP_ONLY:
        return (
            f"{config.optimizer} takes the rate for the first step of each weight only: this schedule changes nothing after it"
            if config.schedule != "constant"
            else ""
        )
    rates: Floats = course(config, total_steps, steps_per_epoch).rates
    if not len(rates) or config.schedule == "constant":
        return ""
    first, last, top = float(rates[0]), float(rates[-1]), int(np.argmax(rates))
    words = [f"{first:.3g} in step 1"]
    if 0 < top < len(rates) - 1 and rates[top] > 1.001 * max(first, last):
        words.append(f"{float(rates[top]):.3g} in step {top + 1:,}")
    low = int(np.argmin(rates))
    if 0 < low < len(rates) - 1 and rates[low] < 0.999 * min(first, last):
        words.append(f"{float(rates[low]):.3g} in step {low + 1:,}")
    said = ", ".join([*words, f"{last:.3g} in step {len(rates):,}, the last"])
    limited = [step for step in range(1, len(rates) + 1, max(len(rates) // 1000, 1)) if rates[step - 1] > rate_limit(config.optimizer, step)]
    return f"{said}; {config.optimizer} takes no more than 1 / √step" if limited else said
