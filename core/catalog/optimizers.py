"""Optimizers of `torch.optim`, under torch's names and with torch's options.

Left out: LBFGS (its `step` needs a closure that runs forward and backward many times), SparseAdam (only for sparse gradients,
which image models do not have) and Muon (only for matrices; a model has biases and norms as well). `foreach` is left to torch,
`fused` is a field of a config; `maximize`, `capturable` and `differentiable` have no use here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from core.config import ConfigError, OptionValue, RunConfig
from core.config.entry import Entry, Option, by_name, check_options, find, with_defaults

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim import Optimizer


@dataclass(frozen=True)
class OptimizerEntry(Entry):
    """One optimizer. `learning_rate` is a good first value when all layers learn.

    `momentum` and `weight_decay` are what an empty field means; None: the optimizer has no such setting. `fused`: torch can do its
    whole update in one operation.
    """

    learning_rate: float = 1e-3
    momentum: float | None = None
    weight_decay: float | None = 0.0
    fused: bool = False


def _betas(about: str = "shares of the last mean gradient and of the last mean square kept") -> Option:
    return Option("betas", "floats", [0.9, 0.999], 0, 1, open_high=True, length=2, about=about)


def _eps(default: float = 1e-8, to: str = "the divisor") -> Option:
    return Option("eps", "float", default, 0, 1, about=f"added to {to}, so that nothing is divided by 0")


_DECOUPLED = Option("decoupled_weight_decay", "bool", False, about="shrink weights directly, as AdamW does, instead of through the gradient")
_AMSGRAD = Option("amsgrad", "bool", False, about="divide by the largest mean square so far, not by the newest")

OPTIMIZERS = by_name(
    (
        OptimizerEntry(
            "AdamW", "AdamW", "Adam with weight decay applied to the weights themselves. A good first choice.",
            (_betas(), _eps(), _AMSGRAD), weight_decay=0.01, fused=True,
        ),
        OptimizerEntry(
            "SGD", "SGD", "Each weight moves against its gradient, with momentum. Simple, and often best with a tuned learning rate.",
            (
                Option("nesterov", "bool", False, about="look ahead along the momentum; needs momentum above 0 and dampening 0"),
                Option("dampening", "float", 0.0, 0, 1, about="share of the new gradient left out of the momentum"),
            ),
            learning_rate=0.01, momentum=0.9, fused=True,
        ),
        OptimizerEntry(
            "Adam", "Adam", "Gives each weight its own step size from the mean and mean square of its gradients.",
            (_betas(), _eps(), _AMSGRAD, _DECOUPLED), fused=True,
        ),
        OptimizerEntry(
            "NAdam", "NAdam", "Adam with Nesterov momentum.",
            (_betas(), _eps(), Option("momentum_decay", "float", 0.004, 0, 1, about="how quickly the momentum warms up"), _DECOUPLED),
            learning_rate=0.002,
        ),
        OptimizerEntry(
            "RAdam", "RAdam",
            "Adam that first follows the mean gradient as it is (five steps with the usual betas): long gradients make long steps there.",
            (_betas(), _eps(), _DECOUPLED),
        ),
        OptimizerEntry(
            "Adamax", "Adamax", "Adam with the largest recent gradient in place of the mean square.",
            (_betas("shares of the last mean gradient and of the last largest gradient kept"), _eps(to="the size of each new gradient")),
            learning_rate=0.002,
        ),
        OptimizerEntry(
            "RMSprop", "RMSprop", "Divides each gradient by the root of its recent mean square.",
            (
                Option("alpha", "float", 0.99, 0, 1, open_high=True, about="share of the last mean square kept"),
                _eps(),
                Option("centered", "bool", False, about="divide by the spread around the mean gradient: the root of mean square less squared mean"),
            ),
            momentum=0.0,
        ),
        OptimizerEntry(
            "Adagrad", "Adagrad", "Steps shrink for weights that have had large gradients, for good.",
            (
                Option("lr_decay", "float", 0.0, 0, 1, about="the learning rate is divided by 1 + this times the steps so far"),
                Option("initial_accumulator_value", "float", 0.0, 0, 1000, about="the sum of squares to begin with"),
                _eps(1e-10),
            ),
            learning_rate=0.01, fused=True,
        ),
        OptimizerEntry(
            "Adadelta", "Adadelta", "Sets its own step sizes; the learning rate only scales them, and is usually 1.",
            (
                Option("rho", "float", 0.9, 0, 1, open_high=True, about="share of the last mean squares kept"),
                Option("eps", "float", 1e-6, 0, 1, about="added to both mean squares: it decides how long the first steps are"),
            ),
            learning_rate=1.0,
        ),
        OptimizerEntry(
            "Adafactor", "Adafactor",
            "Keeps mean squares by row and column, and no mean gradient: little memory for linear layers, not for small filters. "
            "A step is a share of each tensor's own size.",
            (
                Option("beta2_decay", "float", -0.8, -2, 0, about="how quickly the mean square gets a longer memory"),
                Option(
                    "eps", "floats", None, 0, 1, length=2,
                    about="smallest root mean square to divide by, and smallest tensor size to go by; empty: torch's own",
                ),
                Option("d", "float", 1.0, 1, 1000, about="largest root mean square of an update, before it becomes a share of the tensor's size"),
            ),
            learning_rate=0.01,
        ),
        OptimizerEntry(
            "ASGD", "ASGD", "SGD without momentum, with steps that slowly shrink. The averaged weights that it keeps beside are not used here.",
            (
                Option("lambd", "float", 1e-4, 0, 1, about="how quickly steps shrink, and the share of each weight that a step at rate 1 takes off"),
                Option("alpha", "float", 0.75, 0, 1, about="power by which steps shrink"),
                Option("t0", "float", 1e6, 0, 1e12, about="step at which averaging begins", unit="steps"),
            ),
            learning_rate=0.01,
        ),
        OptimizerEntry(
            "Rprop", "Rprop",
            "Looks only at the sign of each gradient, and sizes its own steps: the learning rate is the first one. Meant for large batches.",
            (
                Option(
                    "etas", "floats", [0.5, 1.2], 0, 10, open_low=True, length=2,
                    about="step factors after a change of sign (below 1) and without one (above 1)",
                ),
                Option("step_sizes", "floats", [1e-6, 50.0], 0, 1000, open_low=True, length=2, about="smallest and largest step"),
            ),
            weight_decay=None,
        ),
    )
)  # fmt: skip


FIRST_STEP_ONLY = ("Rprop",)
"""Optimizers that take the learning rate for the first step of each weight and size the others themselves."""


def rate_limit(optimizer: str, step: int) -> float:
    """The learning rate above which another one makes no step longer, at step `step` (from 1): infinity for most.

    Rprop takes none after a weight's first step (0), Adafactor never more than 1 / √step.
    """
    if optimizer in FIRST_STEP_ONLY:
        return math.inf if step <= 1 else 0.0
    return 1 / math.sqrt(max(step, 1)) if optimizer == "Adafactor" else math.inf


def plain_steps(beta2: float) -> int:
    """How many steps RAdam makes with the mean gradient itself before it divides by the root of the mean square: 5 for 0.999.

    The rule is that of `core.explaining.update_rules` for RAdam, from Liu et al., On the Variance of the Adaptive Learning Rate, 2020, with
    torch's limit of 5 for their 4.
    """
    limit = 2 / (1 - beta2) - 1
    step = 1
    while step < 100_000 and limit - 2 * step * beta2**step / (1 - beta2**step) <= 5:
        step += 1
    return step - 1


def state_values(optimizer: str, shapes: Iterable[tuple[int, ...]], settings: Mapping[str, Any]) -> int:
    """How many numbers an optimizer keeps for parameters of these shapes, counters of steps left out.

    Args:
        settings: those that it is built with (`settings`): momentum, amsgrad and centered count.
    """
    shapes = [tuple(shape) for shape in shapes]
    values = sum(math.prod(shape) for shape in shapes)
    match optimizer:
        case "SGD":
            return values if settings["momentum"] else 0
        case "Adam" | "AdamW":
            return (3 if settings["amsgrad"] else 2) * values
        case "RMSprop":
            return (1 + bool(settings["momentum"]) + bool(settings["centered"])) * values
        case "Adagrad" | "ASGD":
            return values
        case "Adafactor":
            return sum(math.prod(shape) // shape[-1] + math.prod(shape) // shape[-2] if len(shape) > 1 else math.prod(shape) for shape in shapes)
        case _:
            return 2 * values


def build(config: RunConfig, parameters: Iterable[Tensor]) -> Optimizer:
    """The optimizer of `config` for `parameters`, which are the trainable ones and no others.

    Raises:
        ConfigError: there is no such optimizer, or it has no such setting, or torch cannot fuse it on the parameters' device.
    """
    import torch.optim

    kind = getattr(torch.optim, find(OPTIMIZERS, "optimizer", config.optimizer).name)
    parameters = list(parameters)
    if config.fused_optimizer and parameters:
        _try_fused(kind, parameters[0])
    optimizer: Optimizer = kind(parameters, **settings(config))
    return optimizer


def _try_fused(kind: type[Optimizer], like: Tensor) -> None:
    """ConfigError where `kind` cannot be fused on the device of `like`: torch would say so in the first step only."""
    probe = like.new_zeros(1).requires_grad_()
    probe.grad = like.new_zeros(1)
    try:
        kind([probe], lr=1.0, fused=True).step()  # type: ignore[call-arg]
    except RuntimeError as error:
        raise ConfigError("fused_optimizer", f"true cannot be had with {kind.__name__} on {like.device} ({error}); set it to false") from None


def settings(config: RunConfig) -> dict[str, Any]:
    """What the optimizer is built with, under torch's names: `lr`, and its options with their defaults filled in.

    Raises:
        ConfigError: there is no such optimizer, it has no such setting, or two settings do not go together.
    """
    entry = find(OPTIMIZERS, "optimizer", config.optimizer)
    given = check_values(entry, config)
    values: dict[str, Any] = {"lr": config.learning_rate}
    for name, value, usual in (("momentum", config.momentum, entry.momentum), ("weight_decay", config.weight_decay, entry.weight_decay)):
        if usual is not None:
            values[name] = usual if value is None else value
    for name, option in with_defaults(entry, given).items():
        if option is not None:  # None: torch's own default
            values[name] = tuple(option) if isinstance(option, list) else option
    if config.fused_optimizer:
        values["fused"] = True
    return values


def check_values(entry: OptimizerEntry, config: RunConfig) -> dict[str, OptionValue]:
    """The options of `config`, in canonical spelling.

    Raises:
        ConfigError: for a setting that `entry` does not have, and for settings that do not go together.
    """
    for field, setting in {"lr": "learning_rate", "momentum": "momentum", "weight_decay": "weight_decay"}.items():
        if field in config.optimizer_options:
            raise ConfigError("optimizer_options", f"{field!r} is a field of its own; set {setting} instead, got {config.optimizer_options[field]!r}")
    for setting, value, usual in (("momentum", config.momentum, entry.momentum), ("weight_decay", config.weight_decay, entry.weight_decay)):
        if value is not None and usual is None:
            able = [other.name for other in OPTIMIZERS.values() if getattr(other, setting) is not None]
            near = " (its betas do that work)" if setting == "momentum" and entry.option("betas") else ""
            words = setting.replace("_", " ")
            raise ConfigError(setting, f"{entry.name} has no {words}{near}, got {value}; leave it empty, or use {' or '.join(able[:3])}")
    options = check_options(entry, "optimizer_options", config.optimizer_options)
    momentum = entry.momentum if config.momentum is None else config.momentum
    if options.get("nesterov") and (not momentum or options.get("dampening")):
        dampening = options.get("dampening", 0.0)
        got = f"momentum {momentum} and dampening {dampening}"
        raise ConfigError("optimizer_options", f"nesterov needs momentum above 0 and dampening 0, got {got}")
    low, high = _pair(options.get("etas")) or (0.5, 1.2)
    if not low < 1 < high:
        raise ConfigError("optimizer_options", f"etas must be one factor below 1 and one above it, got {options['etas']!r}")
    smallest, largest = _pair(options.get("step_sizes")) or (0.0, 1.0)
    if smallest > largest:
        raise ConfigError("optimizer_options", f"step_sizes must be the smallest and then the largest, got {options['step_sizes']!r}")
    return options


def _pair(value: OptionValue) -> tuple[float, float] | None:
    return (value[0], value[1]) if isinstance(value, list) else None
