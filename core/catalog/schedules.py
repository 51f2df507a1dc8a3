"""Learning-rate schedules of `torch.optim.lr_scheduler`, stepped once a training step.

torch counts in calls of `step()`. People think in epochs, so what torch counts in calls is asked for here in epochs (fractions
too) and multiplied by the steps of an epoch; ExponentialLR's factor an epoch becomes its root a step. Left empty, a length
follows the run: no schedule has to be set again because the number of epochs has changed.

Left out: ReduceLROnPlateau (it waits for validation results, so the learning rate would not be a function of the step alone),
LambdaLR and MultiplicativeLR (they need code), ChainedScheduler and SequentialLR (WarmupCosine is the chain that people use).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from core.catalog.optimizers import OPTIMIZERS
from core.config import ConfigError, OptionValue, RunConfig
from core.config.entry import Entry, Option, by_name, check_options, find, with_defaults

if TYPE_CHECKING:
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler


def _epochs(name: str, about: str) -> Option:
    return Option(name, "float", None, 0, 100_000, open_low=True, about=about, unit="epochs")


def _factor(name: str, default: float, about: str, *, zero: bool = False) -> Option:
    return Option(name, "float", default, 0, 1, open_low=not zero, about=about)


_ETA_MIN = Option("eta_min", "float", 0.0, 0, 1000, about="learning rate at the end of the fall")
_GAMMA = _factor("gamma", 0.1, "what the learning rate is multiplied by")
_CYCLE_MOMENTUM = Option(
    "cycle_momentum", "bool", None, about="lower the momentum (or first beta) while the learning rate rises; empty: where the optimizer has one"
)  # fmt: skip


def _momentum(name: str, default: float, about: str) -> Option:
    return Option(name, "float", default, 0, 1, open_high=True, about=about)


SCHEDULES = by_name(
    (
        Entry("constant", "Constant", "The learning rate stays as it is."),
        Entry(
            "CosineAnnealingLR", "Cosine",
            "Falls along half a cosine for T_max: slowly, then quickly, then slowly. In a longer run it rises again after that.",
            (_epochs("T_max", "how long it falls, before it rises again in as long a time; empty: the whole run"), _ETA_MIN),
        ),
        Entry(
            "WarmupCosine", "Warm-up, then cosine",
            "Rises in a line (LinearLR), then falls along half a cosine (CosineAnnealingLR). Usual for transformers.",
            (
                _epochs("warmup", "how long it rises; empty: a tenth of the run"),
                _factor("start_factor", 0.01, "share of the learning rate to begin with"),
                _ETA_MIN,
            ),
        ),
        Entry(
            "OneCycleLR", "One cycle", "Rises to the learning rate and falls again, far below where it began with the usual options, all in one run.",
            (
                Option("pct_start", "float", 0.3, 0.05, 0.95, about="share of the run in which it rises"),
                Option("anneal_strategy", "choice", "cos", choices=("cos", "linear"), about="shape of the rise and the fall"),
                Option("div_factor", "float", 25.0, 1, 1e6, about="the learning rate divided by this is the first one"),
                Option("final_div_factor", "float", 1e4, 1, 1e9, about="the first one divided by this is the last one"),
                Option("three_phase", "bool", False, about="fall as long as it rose, then fade out; needs pct_start of 0.45 or less"),
                _CYCLE_MOMENTUM,
                _momentum("base_momentum", 0.85, "momentum at the highest learning rate"),
                _momentum("max_momentum", 0.95, "momentum at the lowest learning rate"),
            ),
        ),
        Entry(
            "StepLR", "Steps", "Falls by a factor at regular intervals.",
            (_epochs("step_size", "length of an interval; empty: a third of the run"), _GAMMA),
        ),
        Entry(
            "MultiStepLR", "Steps at chosen epochs", "Falls by a factor at each of the epochs you list.",
            (
                Option(
                    "milestones", "floats", None, 0, 100_000, open_low=True, unit="epochs",
                    about="epochs after which it falls; empty: at half and at three quarters of the run",
                ),
                _GAMMA,
            ),
        ),
        Entry(
            "ExponentialLR", "Exponential", "Falls by the same share all the time.",
            (_factor("gamma", 0.9, "what the learning rate is multiplied by in one epoch"),),
        ),
        Entry(
            "LinearLR", "Linear", "Moves in a line from one share of the learning rate to another: a warm-up as it stands.",
            (
                _factor("start_factor", 1 / 3, "share of the learning rate to begin with"),
                _factor("end_factor", 1.0, "share of the learning rate to end with", zero=True),
                _epochs("total_iters", "how long it moves; empty: a tenth of the run"),
            ),
        ),
        Entry(
            "ConstantLR", "Reduced at first", "A share of the learning rate for a while, then all of it.",
            (_factor("factor", 1 / 3, "share of the learning rate to begin with"), _epochs("total_iters", "how long; empty: a tenth of the run")),
        ),
        Entry(
            "PolynomialLR", "Polynomial", "Falls to 0 along a power of the time left: a line for power 1.",
            (
                _epochs("total_iters", "how long it falls, before it stays at 0; empty: the whole run"),
                Option("power", "float", 1.0, 0, 100, open_low=True, about="above 1 it falls quickly at first, below 1 at the end"),
            ),
        ),
        Entry(
            "CosineAnnealingWarmRestarts", "Cosine with restarts", "Falls along half a cosine, jumps back, and falls again.",
            (
                _epochs("T_0", "length of the first fall; empty: a quarter of the run"),
                Option("T_mult", "int", 1, 1, 100, about="each fall is this many times as long as the last"),
                _ETA_MIN,
            ),
        ),
        Entry(
            "CyclicLR", "Cyclic", "Goes up to the learning rate and down again, over and over.",
            (
                Option("base_lr", "float", None, 0, 1000, about="lowest learning rate; empty: a tenth of the learning rate"),
                _epochs("step_size_up", "how long it rises; empty: a tenth of the run"),
                _epochs("step_size_down", "how long it falls; empty: as long as it rises"),
                Option(
                    "mode", "choice", "triangular", choices=("triangular", "triangular2", "exp_range"),
                    about="triangular: always as high; triangular2: half as high above base_lr each time; exp_range: gamma times as high each step",
                ),
                _factor("gamma", 1.0, "for exp_range: factor a step"),
                _CYCLE_MOMENTUM,
                _momentum("base_momentum", 0.8, "momentum at the highest learning rate"),
                _momentum("max_momentum", 0.9, "momentum at the lowest learning rate"),
            ),
        ),
    )
)  # fmt: skip


def build(config: RunConfig, optimizer: Optimizer, total_steps: int, steps_per_epoch: int) -> LRScheduler:
    """The schedule of `config` for `optimizer`, to be stepped once after each of the run's `total_steps` training steps.

    Raises:
        ConfigError: there is no such schedule, it has no such option, or it cannot work with this optimizer.
    """
    from torch.optim import lr_scheduler

    name, values = lengths(config, total_steps, steps_per_epoch)
    match name:
        case "constant":
            return lr_scheduler.ConstantLR(optimizer, factor=1.0, total_iters=0)
        case "WarmupCosine":
            rise = lr_scheduler.LinearLR(optimizer, start_factor=values["start_factor"], total_iters=values["warmup"])
            fall = lr_scheduler.CosineAnnealingLR(optimizer, T_max=values["T_max"], eta_min=values["eta_min"])
            return lr_scheduler.SequentialLR(optimizer, [rise, fall], milestones=[values["warmup"]])
        case "OneCycleLR" | "CyclicLR":
            values |= {"max_lr": config.learning_rate, "cycle_momentum": cycles_momentum(values["cycle_momentum"], config)}
    schedule: LRScheduler = getattr(lr_scheduler, name)(optimizer, **values)
    return schedule


def lengths(config: RunConfig, total_steps: int, steps_per_epoch: int) -> tuple[str, dict[str, Any]]:
    """The schedule's name, and its options as torch takes them: what is asked for in epochs in steps, what was left empty filled in.

    Raises:
        ConfigError: there is no such schedule, or it has no such option.
    """
    entry = find(SCHEDULES, "schedule", config.schedule)
    values: dict[str, Any] = with_defaults(entry, check_values(entry, config))
    steps = _Lengths(total_steps, steps_per_epoch)
    match entry.name:
        case "WarmupCosine":
            values["warmup"] = min(steps.of(values["warmup"], 0.1), max(total_steps - 1, 1))
            values["T_max"] = max(total_steps - values["warmup"], 1)
        case "CosineAnnealingLR":
            values["T_max"] = steps.of(values["T_max"], 1)
        case "OneCycleLR":
            # On a run of a few steps a phase would have no length, and torch divides by it.
            values["total_steps"] = max(total_steps, math.ceil(2 / min(values["pct_start"], 1 - values["pct_start"])))
        case "StepLR":
            values["step_size"] = steps.of(values["step_size"], 1 / 3)
        case "MultiStepLR":
            chosen = values["milestones"]
            values["milestones"] = [steps.of(epoch) for epoch in chosen] if chosen else [steps.of(None, 1 / 2), steps.of(None, 3 / 4)]
        case "ExponentialLR":
            values["gamma"] **= 1 / steps_per_epoch
        case "LinearLR" | "ConstantLR":
            values["total_iters"] = steps.of(values["total_iters"], 0.1)
        case "PolynomialLR":
            values["total_iters"] = steps.of(values["total_iters"], 1)
        case "CosineAnnealingWarmRestarts":
            values["T_0"] = steps.of(values["T_0"], 1 / 4)
        case "CyclicLR":
            up = steps.of(values["step_size_up"], 0.1)
            down = up if values["step_size_down"] is None else steps.of(values["step_size_down"])
            base = config.learning_rate / 10 if values["base_lr"] is None else values["base_lr"]
            values |= {"step_size_up": up, "step_size_down": down, "base_lr": base}
    return entry.name, values


def check_values(entry: Entry, config: RunConfig) -> dict[str, OptionValue]:
    """The options of `config`, in canonical spelling.

    Raises:
        ConfigError: for an option that `entry` does not have, and for options that do not go together or with the optimizer.
    """
    options = check_options(entry, "schedule_options", config.schedule_options)
    pct_start = options.get("pct_start", 0.3)
    if options.get("three_phase") and isinstance(pct_start, float) and pct_start > 0.45:
        raise ConfigError("schedule_options", f"three_phase needs pct_start of 0.45 or less, got {pct_start}")
    if options.get("cycle_momentum") and not cycles_momentum(None, config):
        name = find(OPTIMIZERS, "optimizer", config.optimizer).name
        remedy = "leave it empty, or use SGD or AdamW"
        raise ConfigError("schedule_options", f"cycle_momentum needs an optimizer with momentum or betas, got {name}; {remedy}")
    base = options.get("base_lr")
    if isinstance(base, float) and base > config.learning_rate:
        raise ConfigError("schedule_options", f"base_lr must not be above the learning rate {config.learning_rate:g}, got {base:g}")
    return options


class _Lengths:
    """Epochs as steps of one run."""

    def __init__(self, total_steps: int, steps_per_epoch: int) -> None:
        self.total_steps = total_steps
        self.steps_per_epoch = steps_per_epoch

    def of(self, epochs: float | None, share: float = 1.0) -> int:
        """`epochs` in whole steps, or `share` of the run when it is left empty; 1 at least."""
        return max(round(self.total_steps * share if epochs is None else epochs * self.steps_per_epoch), 1)


def cycles_momentum(wanted: bool | None, config: RunConfig) -> bool:
    """Whether a schedule moves the optimizer's momentum: as `wanted`, or (None) where the optimizer has one."""
    entry = find(OPTIMIZERS, "optimizer", config.optimizer)
    # RMSprop has a momentum that is usually 0: a schedule must not switch on what nobody asked for.
    able = entry.option("betas") is not None or bool(entry.momentum if config.momentum is None else config.momentum)
    return able if wanted is None else wanted and able
