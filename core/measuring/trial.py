"""One way of computing a training step that is tried, on what, and how its parts are timed."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import nn

from core.config import RunConfig
from core.data import Loader
from core.records.speed import Way
from core.reuse.split import Split
from core.training.steps import Steps

Part = Literal["probe", "prefix", "pass", "update", "start"]
Timer = Callable[[Way, Part, Steps, Callable[[], Any], bool], float]
"""Does the work, and says how many seconds it took: by the clock, or (True) of the processor's time for this process alone."""


class Hopeless(Exception):
    """Nothing can be compared; the text says why."""


@dataclass(frozen=True)
class Subject:
    """What is to be trained: `model` (it is left as it is) under `config`, for `steps` steps.

    `threads`: counts to try, that of an exact run first; `free`: processor cores that nobody else uses.
    """

    config: RunConfig
    model: nn.Module
    frozen: frozenset[str]
    train: Loader
    device: torch.device
    steps: int
    threads: tuple[int, ...]
    free: int


@dataclass(frozen=True)
class Found:
    """What came out: see `core.records.speed.Tuning` for the fields of these names."""

    ways: tuple[Way, ...]
    possible: int
    images: int
    tolerance: float
    prefix_share: float | None
    complete: bool
    """Whether each way had its chance: time and memory were enough."""


def stopwatch(way: Way, part: Part, steps: Steps, work: Callable[[], Any], own: bool) -> float:
    """The `Timer` that really measures."""
    if not own:
        return steps.seconds(work)
    began = time.process_time()
    work()
    return time.process_time() - began


@dataclass
class Trial:
    """One way with what it takes to make its steps, and what they took. `halves`: of its model, where features are kept."""

    way: Way
    steps: Steps
    halves: Split | None = None
    warm: bool = False
    prefixes: list[float] = field(default_factory=list)
    passes: list[float] = field(default_factory=list)
    updates: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.halves is not None:
            self.steps.prefix, self.steps.live = self.halves.prefix, self.halves.suffix

    def seconds(self, scale: float, share: float, updates: float) -> float:
        """Of a batch, of which 1 / `scale` was measured; `share`: how often the prefix comes, `updates`: how often an update."""
        passes = statistics.median(self.passes) + share * statistics.median(self.prefixes or [0.0])
        return passes * scale + updates * statistics.median(self.updates)
