"""What a worker reports and what it can be told. Nothing of the project is imported here, and neither is torch."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

FROZEN = -1.0
"""Recorded in place of a gradient norm for a tensor that was frozen at that step: a norm is never negative."""


class RunStatus(StrEnum):
    """Where a run is in its life. `queued` to `paused` have a process; the rest have ended."""

    QUEUED = "queued"
    PREPARING = "preparing"
    RUNNING = "running"
    PAUSED = "paused"
    FINISHED = "finished"
    STOPPED = "stopped"
    FAILED = "failed"
    LOST = "lost"

    @property
    def active(self) -> bool:
        """True while a process is, or should be, working on the run."""
        return self in (RunStatus.QUEUED, RunStatus.PREPARING, RunStatus.RUNNING, RunStatus.PAUSED)


class CommandKind(StrEnum):
    """What a worker can be told between two steps."""

    PAUSE = "pause"
    RESUME = "resume"
    STOP = "stop"


@dataclass(frozen=True)
class Command:
    """One request to a run. `applied_at_step` is None until the worker has obeyed (or refused, then `error` says why)."""

    id: int
    run_id: str
    kind: CommandKind
    requested_at: float
    applied_at_step: int | None = None
    error: str | None = None


@dataclass(frozen=True)
class StepRow:
    """One training step: `time` in seconds since the run's first step, `gradient_norms` float32[layers] in the order of `Layer`s."""

    step: int
    epoch: int
    time: float
    loss: float
    learning_rate: float
    samples_per_second: float
    gradient_norms: NDArray[np.float32]


@dataclass(frozen=True)
class EpochRow:
    """One finished epoch. Losses are means over samples, accuracies shares from 0 to 1; validation is None without a validation set."""

    epoch: int
    step: int
    time: float
    train_loss: float
    train_accuracy: float
    validation_loss: float | None
    validation_accuracy: float | None


@dataclass(frozen=True)
class Layer:
    """One parameter tensor of the model that a run trains, in `named_parameters` order. `count` is its number of elements."""

    name: str
    shape: tuple[int, ...]
    count: int
    frozen: bool


@dataclass(frozen=True)
class RunPlan:
    """What a worker knows once model and data are ready, before the first step. `notes` are sentences for the person: what was left out, and why."""

    layers: tuple[Layer, ...]
    steps_per_epoch: int
    total_steps: int
    classes: tuple[str, ...]
    train_samples: int
    validation_samples: int
    test_samples: int
    device: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class RunResult:
    """What a run ended with. `seconds` are all since the first step, pauses left out; `samples_per_second` is over training steps alone.

    `weights` is the path of the saved `state_dict`; metrics are None where nothing was measured.
    """

    epochs: int
    steps: int
    train_loss: float | None
    train_accuracy: float | None
    validation_loss: float | None
    validation_accuracy: float | None
    test_loss: float | None
    test_accuracy: float | None
    seconds: float
    samples_per_second: float
    weights: str | None
