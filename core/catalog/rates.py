"""The learning rate of each step of a run, known before the first: what `schedules.build` will do, in plain arithmetic. No torch.

The form, the doctor and the words of a schedule go by this; a test compares every schedule with torch's, step by step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.catalog.schedules import cycles_momentum, lengths
from core.config import RunConfig
from core.config.plans import TimedChange

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Course:
    """`rates` float64[steps], before multipliers, and `momenta` float64[steps] where the schedule moves the momentum (or first beta) too."""

    rates: Floats
    momenta: Floats | None = None


def course(config: RunConfig, total_steps: int, steps_per_epoch: int, changes: Sequence[tuple[int, float]] | None = None) -> Course:
    """The learning rates of a run of `total_steps` steps.

    Args:
        changes: (step, from 1; learning rate) of each change on the way; None: those of the timeline.

    Raises:
        ConfigError: there is no such schedule, or it has no such option.
    """
    name, values = lengths(config, total_steps, steps_per_epoch)
    steps = np.arange(total_steps, dtype=np.float64)
    rates = _rates(name, values, steps, config.learning_rate)
    moved = {"OneCycleLR": _one_cycle, "CyclicLR": _cyclic}.get(name)
    momenta = None
    if moved is not None and cycles_momentum(values["cycle_momentum"], config):
        low, high = values["base_momentum"], values["max_momentum"]
        momenta = high - (high - low) * moved(values, steps, 0.0, 1.0, True)
    if changes is None:
        changes = [(step_of(timed, steps_per_epoch), timed.change.learning_rate) for timed in config.timeline.changes if timed.change.learning_rate]
    planned = rates.copy()
    for step, rate in sorted(changes):
        if step <= total_steps and planned[step - 1] > 0:
            rates[step - 1 :] = planned[step - 1 :] * (rate / planned[step - 1])
    return Course(rates, momenta)


def step_of(timed: TimedChange, steps_per_epoch: int) -> int:
    """The step, from 1, before which a change of the timeline is made."""
    return timed.at if timed.unit == "step" else (timed.at - 1) * steps_per_epoch + 1


def _rates(name: str, values: dict[str, Any], steps: Floats, rate: float) -> Floats:
    found: Floats
    match name:
        case "WarmupCosine":
            rise, start = values["warmup"], values["start_factor"]
            rising = rate * (start + (1 - start) * np.minimum(steps, rise) / rise)
            return np.where(steps < rise, rising, _cosine(steps - rise, values["T_max"], rate, values["eta_min"]))
        case "CosineAnnealingLR":
            return _cosine(steps, values["T_max"], rate, values["eta_min"])
        case "CosineAnnealingWarmRestarts":
            return _restarts(steps, values, rate)
        case "OneCycleLR":
            return _one_cycle(values, steps, rate / values["div_factor"], rate)
        case "CyclicLR":
            return _cyclic(values, steps, values["base_lr"], rate)
        case "StepLR":
            found = rate * (values["gamma"] ** (steps // values["step_size"]))
        case "MultiStepLR":
            found = rate * (values["gamma"] ** np.searchsorted(np.sort(values["milestones"]), steps, side="right"))
        case "ExponentialLR":
            found = rate * (values["gamma"] ** steps)
        case "LinearLR":
            start, end = values["start_factor"], values["end_factor"]
            found = rate * (start + (end - start) * np.minimum(steps / values["total_iters"], 1))
        case "ConstantLR":
            found = rate * np.where(steps < values["total_iters"], values["factor"], 1.0)
        case "PolynomialLR":
            found = rate * ((1 - np.minimum(steps / values["total_iters"], 1)) ** values["power"])
        case _:
            found = np.full(len(steps), rate)
    return found


def _cosine(steps: Floats, length: float | Floats, rate: float, lowest: float) -> Floats:
    return lowest + (rate - lowest) * (1 + np.cos(np.pi * steps / length)) / 2


def _restarts(steps: Floats, values: dict[str, Any], rate: float) -> Floats:
    place, length = np.empty(len(steps)), np.empty(len(steps))
    begin, long = 0, values["T_0"]
    while begin < len(steps):
        there = slice(begin, begin + long)
        place[there], length[there] = steps[there] - begin, long
        begin, long = begin + long, long * values["T_mult"]
    return _cosine(place, length, rate, values["eta_min"])


def _one_cycle(values: dict[str, Any], steps: Floats, start: float, top: float, ends_at_start: bool = False) -> Floats:
    """From `start` to `top` and down to the end: far below the start, or (for the momentum, which moves the other way) the start itself."""
    total, share = values["total_steps"], values["pct_start"]
    end = start if ends_at_start else start / values["final_div_factor"]
    marks = [0.0, share * total - 1, *([2 * share * total - 2] if values["three_phase"] else []), total - 1.0]
    levels = [start, top, *([start] if values["three_phase"] else []), end]
    found = np.empty(len(steps))
    for place in range(len(marks) - 2, -1, -1):
        there = steps <= marks[place + 1] if place < len(marks) - 2 else np.ones(len(steps), np.bool_)
        part = (steps[there] - marks[place]) / (marks[place + 1] - marks[place])
        part = part if values["anneal_strategy"] == "linear" else (1 - np.cos(np.pi * part)) / 2
        found[there] = levels[place] + (levels[place + 1] - levels[place]) * part
    return found


def _cyclic(values: dict[str, Any], steps: Floats, low: float, high: float, _: bool = False) -> Floats:
    up, down = values["step_size_up"], values["step_size_down"]
    cycle = np.floor(1 + steps / (up + down))
    along, share = 1 + steps / (up + down) - cycle, up / (up + down)
    height = np.where(along <= share, along / share, (along - 1) / (share - 1))
    match values["mode"]:
        case "triangular2":
            height = height / 2 ** (cycle - 1)
        case "exp_range":
            height = height * values["gamma"] ** steps
    found: Floats = low + (high - low) * height
    return found
