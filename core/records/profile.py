"""Where the time of training steps went, as data: always by stages, and layer by layer where somebody looked. Imports `events` alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from core.records.events import Stage


@dataclass(frozen=True)
class StepTimes:
    """Where the time of training goes: seconds by stage over all `steps` so far, and over the last `recent_steps`.

    `launches`: on an accelerator a stage is the time to launch its work, and the work itself shows up as waiting. Gradient norms are
    measured at every `norms_every`-th step now and weight changes at every `looks_every`-th, so that watching stays within `budget`,
    a share of the time.
    """

    steps: int
    seconds: dict[Stage, float]
    recent_steps: int
    recent_seconds: dict[Stage, float]
    launches: bool
    norms_every: int
    looks_every: int
    budget: float
    pace: float | None = None
    """Seconds of a recent step that is like those to come, see `core.records.time_left`; None where there is none yet."""
    between: float = 0.0
    """Seconds between the last step of an epoch and the first of the next."""

    @property
    def watching(self) -> float | None:
        """Share of the recent steps' time (0 to 1) that watching took; None before the first step."""
        total = sum(self.recent_seconds.values())
        return (self.recent_seconds.get("watching", 0.0) + self.recent_seconds.get("recording", 0.0)) / total if total else None


@dataclass(frozen=True)
class LayerTime:
    """Seconds that one layer (a module without others inside) takes in a step, `kind` its class. `backward` None: autograd never came there."""

    name: str
    kind: str
    forward: float
    backward: float | None


@dataclass(frozen=True)
class BlockTime:
    """Seconds that a block of the model takes in a step, and its layers, in the order in which they are called.

    `forward` has, besides the layers, what is computed between them on the way into each. None: the block was not computed, since what
    comes out of it was kept. `backward` None: autograd never came there. `frozen`: all of its parameters are; None: it has none.
    """

    name: str
    forward: float | None
    backward: float | None
    frozen: bool | None
    layers: tuple[LayerTime, ...]


@dataclass(frozen=True)
class Memory:
    """Bytes on the training device, largest seen in the profiled steps. `activations` are what autograd keeps for the backward pass.

    `kept` are features of frozen layers, on disk or in the machine's memory (`kept_place`). `peak` is the most that the device's
    allocator has given out in these steps (`peak_of` "device"), or the most memory that the process ever had ("process").
    """

    weights: int
    buffers: int
    gradients: int
    optimizer: int
    activations: int
    kept: int
    kept_place: Literal["disk", "memory"]
    peak: int
    peak_of: Literal["device", "process"]


@dataclass(frozen=True)
class Profile:
    """Where the time of a few steps went, block by block, and what lay in memory: medians over steps `first_step` to `last_step`.

    Seconds are real on accelerators too: the device was waited for at each border. `stages` are seconds a step by stage; `loss` are
    seconds of backward before the first block is reached, `outside` of forward outside all blocks. `reuse` is the state of `Reuse` then.
    """

    first_step: int
    last_step: int
    samples: int
    device: str
    stages: dict[Stage, float]
    blocks: tuple[BlockTime, ...]
    loss: float
    outside: float
    memory: Memory
    reuse: Literal["off", "filling", "serving", "dropped"]
    asked: bool
    """Whether a person asked for it."""

    @property
    def seconds(self) -> float:
        """Seconds a step."""
        return sum(self.stages.values())
