"""What a worker reports and what it can be told. Nothing of the project is imported here, and neither is torch."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

import numpy as np
from numpy.typing import NDArray

FROZEN = -1.0
"""Recorded in place of a gradient norm for a tensor that was frozen at that step: a norm is never negative."""


NO_GRADIENT = -2.0
"""Recorded in place of a gradient norm for a tensor that should learn but that the loss did not reach: it had no gradient at all."""

NOT_MEASURED = -3.0
"""Recorded in place of a gradient norm for a tensor that learns, at a step at which no norms were measured: see `core.signals.watch.Pace`."""


class RunStatus(StrEnum):
    """Where a run is in its life. `queued` to `paused` have a process; the rest have ended, `interrupted` by the machine: it can go on."""

    QUEUED = "queued"
    PREPARING = "preparing"
    RUNNING = "running"
    PAUSED = "paused"
    FINISHED = "finished"
    STOPPED = "stopped"
    FAILED = "failed"
    LOST = "lost"
    INTERRUPTED = "interrupted"

    @property
    def continuable(self) -> bool:
        """True for one that has ended before all its steps were done: it can be continued."""
        return self in (RunStatus.STOPPED, RunStatus.FAILED, RunStatus.LOST, RunStatus.INTERRUPTED)

    @property
    def active(self) -> bool:
        """True while a process is, or should be, working on the run."""
        return self in (RunStatus.QUEUED, RunStatus.PREPARING, RunStatus.RUNNING, RunStatus.PAUSED)


ACTIVE: frozenset[str] = frozenset(status for status in RunStatus if status.active)
"""For a status that was read as text, and may be none of ours."""


class CommandKind(StrEnum):
    """What a worker can be told between two steps."""

    PAUSE = "pause"
    RESUME = "resume"
    STOP = "stop"
    CHANGE = "change"
    INSPECT = "inspect"
    PROFILE = "profile"


@dataclass(frozen=True)
class Command:
    """One request to a run. `applied_at_step` is None until the worker has obeyed (or refused, then `error` says why).

    `payload` says what of it: for a change the text of a `core.config.plans.Change`, for an inspection the name of a parameter.
    """

    id: int
    run_id: str
    kind: CommandKind
    requested_at: float
    requested_at_step: int
    payload: str = ""
    applied_at_step: int | None = None
    error: str | None = None


@dataclass(frozen=True)
class StepRow:
    """One training step: `time` in seconds since the run's first step, `gradient_norms` float32[layers] in the order of `Layer`s.

    At each `watch_every`-th step, how far the optimizer moved each tensor (`update_norms`, L2 norm of the change) and how large
    it is (`weight_norms`), both float32[layers]; None at the others. `FROZEN` stands in all three for a tensor that was frozen,
    `NO_GRADIENT` in the first for one that had none, `NOT_MEASURED` where the step's norms were not measured.
    """

    step: int
    epoch: int
    time: float
    loss: float
    learning_rate: float
    samples_per_second: float
    gradient_norms: NDArray[np.float32]
    update_norms: NDArray[np.float32] | None = None
    weight_norms: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class Signal:
    """One figure a tensor at some of n steps: `rows` float32[m, layers]; `place` int64[n] says which row is a step's, -1 where there is none."""

    place: NDArray[np.int64]
    rows: NDArray[np.float32]


@dataclass(frozen=True)
class StepBlock:
    """Neighbouring training steps under one plan, oldest first: the fields of `StepRow` as columns of n, with the norms that were measured.

    `blank` float32[layers] is what stands for the gradient norms of a step at which none were measured.
    """

    step: NDArray[np.int64]
    epoch: NDArray[np.int64]
    time: NDArray[np.float64]
    loss: NDArray[np.float64]
    learning_rate: NDArray[np.float64]
    samples_per_second: NDArray[np.float64]
    gradient_norms: Signal
    update_norms: Signal
    weight_norms: Signal
    blank: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.step)


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
    block: str = ""
    """The block of the model that it belongs to, see `core.records.layers.blocks`."""
    multiplier: float = 1.0
    """What its learning rate is multiplied by, before any change."""


@dataclass(frozen=True)
class ChangeRow:
    """What learns, and how fast, from step `step` on: after a live command, or as the timeline says.

    `text` is the change as `core.config.plans.Change` writes it; `frozen` bool[layers] and `multipliers` float32[layers] are what
    holds then, `learning_rate` is that of a layer whose multiplier is 1.
    """

    id: int
    step: int
    source: Literal["timeline", "live"]
    text: str
    learning_rate: float
    frozen: NDArray[np.bool_]
    multipliers: NDArray[np.float32]


@dataclass(frozen=True)
class Histogram:
    """How often values fall into equal bins from `low` to `high`; `not_finite` counts NaN and infinite values, which are in no bin."""

    low: float
    high: float
    counts: tuple[int, ...]
    not_finite: int = 0


@dataclass(frozen=True)
class Inspection:
    """The values of one tensor at one step: of its weights before the step, and of its gradient (None: it had none)."""

    id: int
    step: int
    name: str
    weight: Histogram
    gradient: Histogram | None


class Verdict(StrEnum):
    """What the freeze audit found out about one tensor, worst first."""

    LEAKING = "leaking"
    DRIFTING = "drifting"
    NO_OPTIMIZER = "no optimizer"
    IDLE = "idle"
    VERIFIED = "verified"
    LEARNING = "learning"

    @property
    def fault(self) -> bool:
        """True where something is not as the person who chose it would expect."""
        return self not in (Verdict.VERIFIED, Verdict.LEARNING)


GradientState = Literal["none", "zero", "flows", "stale"]
"""No gradient at all; one that is zero everywhere; one that is not; one left over from before that nothing has dropped."""


@dataclass(frozen=True)
class AuditRow:
    """What was found out about one parameter tensor: looked up in the model and its optimizer, never taken from the plan.

    `gradient` is that of the last look; `moved` says whether the value is another than when it was frozen (for one that learns:
    than at the first step), None before it was compared; `statistics_moved` the same of its module's running statistics (None:
    it has none); `mode` is its module's while training. `frozen_since` is the number of steps done when it was frozen (None: it
    learns), `before` and `after` are SHA-256 digests of the value then and at the last comparison.
    """

    name: str
    count: int
    requires_grad: bool
    in_optimizer: bool
    gradient: GradientState
    moved: bool | None
    statistics_moved: bool | None
    mode: Literal["train", "eval"]
    frozen_since: int | None
    before: str
    after: str
    verdict: Verdict


@dataclass(frozen=True)
class AuditReport:
    """The freeze audit after `step` steps. `complete`: every tensor was compared just now; else a few at each look, in turn.

    `across`: what came out when the devices that share the run compared their tensors; empty: there is one.
    """

    step: int
    complete: bool
    rows: tuple[AuditRow, ...]
    across: str = ""

    @property
    def frozen_values(self) -> int:
        """Number of values (elements) in frozen tensors."""
        return sum(row.count for row in self.rows if not row.requires_grad)

    @property
    def values_changed(self) -> int:
        """Number of values in frozen tensors that are not what they were: all of a tensor's, since a digest tells no more."""
        return sum(row.count for row in self.rows if not row.requires_grad and row.moved)


@dataclass(frozen=True)
class ThreadsUsed:
    """On how many processor threads what learns runs, and why: see `core.measuring.threads`. Whatever the number is, results are the same to the bit.

    `count` is the number in use, `usual` that which the config says. `seconds` are (number, seconds that forward and backward of a batch took
    when it was last tried) for each number that gives the same bits; a single pair or none: no other does. `busy` is the share of the
    processor (0 to 1) that others used then, `looks` says how often it was tried. `failed`: a number gave other bits after all.
    """

    count: int
    usual: int
    seconds: tuple[tuple[int, float], ...] = ()
    busy: float = 0.0
    looks: int = 0
    failed: bool = False


@dataclass(frozen=True)
class Reuse:
    """What frozen layers compute for a picture, and that is kept instead of being computed again: see `core.reuse.partition`.

    `state`: "off" (`reason` says why), "filling" (seen for the first time, computed and kept), "serving" (all there), "dropped"
    (something was wrong with it, `reason` says what). `border` names the layers whose outputs are kept, `layers` of `all_layers`
    lie before them, and `chance` names the layer that ends them only because it draws random numbers (empty: none does).
    `picture_bytes` is what one picture takes, `kept` of `pictures` are there, at most `budget_bytes` may be used,
    `place` says where. `found`: they come from an earlier run. `checked` pictures were computed again and compared, bit for bit.
    `saved_seconds` is what serving has saved up to now, worked out from what computing took.
    Where the model is translated (`compile_model`), batches went through it `passes` times, `untranslated` of them without translated code.
    `threads` says on how many what learns runs, where that could be chosen. `proved`: where the model is cut was tried out by an earlier run.
    """

    state: Literal["off", "filling", "serving", "dropped"]
    reason: str = ""
    border: tuple[str, ...] = ()
    layers: int = 0
    all_layers: int = 0
    picture_bytes: int = 0
    pictures: int = 0
    kept: int = 0
    budget_bytes: int = 0
    place: Literal["disk", "memory"] = "disk"
    found: bool = False
    exact: bool = True
    checked: int = 0
    saved_seconds: float = 0.0
    chance: str = ""
    passes: int = 0
    untranslated: int = 0
    threads: ThreadsUsed | None = None
    proved: bool = False


Stage = Literal["data", "static prefix", "forward", "backward", "optimizer", "watching", "recording", "waiting"]
"""Parts of a step: read the batch; what frozen layers compute, or fetching what they computed before; the rest of the model and the
loss; gradients; the update; measuring; what whoever iterates the trainer does with a report; waiting until an accelerator is done."""


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

    `weights` is the path of the saved `state_dict` from the home, of older runs an absolute one: ask `core.store.checkpoint.weights_of`. Metrics
    are None where nothing was measured.
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
