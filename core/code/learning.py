"""The script's loss, optimizer and schedule."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.catalog import optimizers as optimizer_catalog
from core.catalog import schedules as schedule_catalog
from core.code.freezing import Layers, factor_list, set_trainable_lines
from core.code.names import cover
from core.code.phases import Phase
from core.config import RunConfig


@dataclass(frozen=True)
class Plan:
    """What decides the shape of the script's optimizer: layers, each one's factor of the learning rate, and later changes."""

    config: RunConfig
    layers: Layers
    multipliers: Mapping[str, float]
    phases: Sequence[Phase]

    @property
    def factors(self) -> tuple[float, ...]:
        """Every factor that a layer ever has, the first layers' first."""
        later = (factor for phase in self.phases for factor in phase.multipliers.values())
        return tuple(dict.fromkeys([*self.multipliers.values(), *later])) or (1.0,)

    @property
    def grouped(self) -> bool:
        """True where layers learn at different rates, or will."""
        return self.factors != (1.0,)

    @property
    def clocked(self) -> bool:
        """True where torch's schedules cannot drive the optimizer themselves, so that they drive a stand-in which it follows.

        They do not know of a learning rate that somebody changes half-way, take a lowest rate as it is for every group, and round each group's
        rate on its own.
        """
        changed = any(phase.learning_rate is not None for phase in self.phases)
        return self.config.schedule != "constant" and (changed or self.grouped)


def learning_lines(plan: Plan, classes: int) -> str:
    """From `loss_of` to `optimizer` and `schedule`, and the functions that change what learns."""
    config = plan.config
    settings = optimizer_catalog.settings(config)
    usual = {
        option.name: tuple(option.default) if isinstance(option.default, list) else option.default
        for option in optimizer_catalog.OPTIMIZERS[config.optimizer].options
    }
    given = _arguments({name: value for name, value in settings.items() if name not in usual or usual[name] != value})
    lines = ["# Loss and optimizer", *_class_weights(config, classes), *_loss(config, classes)]
    if not plan.grouped:
        lines += [
            "parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]",
            f"optimizer = torch.optim.{config.optimizer}(parameters, {given})",
        ]
    elif not plan.phases:
        lines += [*_groups(plan), f"optimizer = torch.optim.{config.optimizer}(groups, {given})"]
    else:
        lines += [*_moving_groups(plan), f"optimizer = torch.optim.{config.optimizer}(groups, {given})"]
    lines += _clock(plan, given.removesuffix(", fused=True")) if plan.clocked else _schedule(plan, "optimizer")
    return "\n".join(_apart([*lines, *_changers(plan, given)]))


def _apart(lines: list[str]) -> list[str]:
    """Two empty lines around functions, and no more than two anywhere."""
    kept: list[str] = []
    for line in "\n".join(lines).split("\n"):
        if line or kept[-2:] != ["", ""]:
            kept.append(line)
    while kept and not kept[-1]:
        kept.pop()
    return kept


def _groups(plan: Plan) -> list[str]:
    """A parameter group for each factor, of what learns."""
    rate = plan.config.learning_rate
    learning = [name for name, frozen in plan.layers if not frozen]
    groups = []
    for factor in dict.fromkeys(plan.multipliers[name] for name in learning):
        own = [name for name in learning if plan.multipliers[name] == factor]
        starts = ", ".join(f'"{start}"' for start in cover(own, (name for name in learning if plan.multipliers[name] != factor)))
        named = f', "factor": {factor!r}' if plan.clocked else ""
        groups.append(f'    {{"params": learning({starts}), "lr": {rate!r} * {factor!r}{named}}},')
    return [
        "",
        "",
        "def learning(*beginnings):",
        '    """The parameters that learn and whose names begin so."""',
        "    return [parameter for name, parameter in model.named_parameters() if parameter.requires_grad and name.startswith(beginnings)]",
        "",
        "",
        "groups = [",
        *groups,
        "]",
    ]


def _moving_groups(plan: Plan) -> list[str]:
    """A parameter group for each factor that is ever used: some are empty at first, so that a schedule knows them from the start."""
    names = [name for name, _ in plan.layers]
    factors = ", ".join(map(repr, plan.factors)) + ("," if len(plan.factors) == 1 else "")
    own = {name: factor for name, factor in plan.multipliers.items() if factor != 1}
    return [
        "# What the learning rate is multiplied by, by the beginning of a name: the last that matches decides; 1 for the rest.",
        f"FACTORS = {factor_list(own, names)}",
        "",
        "",
        "def learning(factor):",
        '    """The parameters that learn at the learning rate times `factor`."""',
        "",
        "    def factor_of(name):",
        "        return next((factor for beginning, factor in reversed(FACTORS) if name.startswith(beginning)), 1)",
        "",
        "    return [parameter for name, parameter in model.named_parameters() if parameter.requires_grad and factor_of(name) == factor]",
        "",
        "",
        f'groups = [{{"params": learning(factor), "lr": {plan.config.learning_rate!r} * factor, "factor": factor}} for factor in ({factors})]',
    ]


_FRESH_STATE = """
    # Adagrad makes its state when it is built, so what begins to learn takes that of a new one.
    fresh = [parameter for parameter in model.parameters() if parameter.requires_grad and parameter not in optimizer.state]
    if fresh:
        optimizer.state.update(torch.optim.Adagrad(fresh, {given}).state)"""


def _changers(plan: Plan, given: str) -> list[str]:
    """The functions that the loop calls to change what learns, and how fast."""
    lines: list[str] = []
    if any(phase.learns or phase.frozen or phase.multipliers for phase in plan.phases):
        grouped = (
            '    for group in optimizer.param_groups:\n        group["params"] = learning(group["factor"])'
            if plan.grouped
            else '    optimizer.param_groups[0]["params"] = [parameter for parameter in model.parameters() if parameter.requires_grad]'
        )
        lines += ["", "", set_trainable_lines(grouped + (_FRESH_STATE if plan.config.optimizer == "Adagrad" else "").format(given=given)), "", ""]
    factor = ' * group["factor"]' if plan.grouped else ""
    if plan.clocked:
        cycled = [
            "        # The schedule moves these together with the learning rate.",
            '        group.update({key: clock.param_groups[0][key] for key in ("momentum", "betas") if key in group})',
        ]
        lines += [
            "",
            "",
            "def set_rates():",
            '    """Every group follows the schedule."""',
            "    for group in optimizer.param_groups:",
            f'        group["lr"] = clock.param_groups[0]["lr"] * correction{factor}',
            *(cycled if plan.config.schedule in ("OneCycleLR", "CyclicLR") else []),
            "",
            "",
        ]
    if any(phase.learning_rate is not None for phase in plan.phases):
        body = (
            ["    global correction", '    correction = rate / clock.param_groups[0]["lr"]', "    set_rates()"]
            if plan.clocked
            else [
                f"    correction = rate / {plan.config.learning_rate!r}",
                "    for group in optimizer.param_groups:",
                f'        group["lr"] = {plan.config.learning_rate!r} * correction{factor}',
            ]
        )
        lines += ["", "", "def set_learning_rate(rate):", '    """From here on; a schedule goes on from it."""', *body, "", ""]
    if plan.clocked:
        lines += ["set_rates()"]
    return lines


def _clock(plan: Plan, given: str) -> list[str]:
    """A schedule that drives a stand-in."""
    return [
        "# The schedule moves the learning rate of this stand-in, an optimizer of one number; set_rates makes the groups follow it.",
        f"clock = torch.optim.{plan.config.optimizer}([torch.zeros(1)], {given})",
        *_schedule(plan, "clock"),
        "correction = 1.0  # what a changed learning rate is of the scheduled one",
    ]


# The loss


def divides_by_weights(config: RunConfig) -> bool:
    """True where the mean over a batch is divided by the sum of its class weights, not by the number of its images."""
    return config.class_weights == "balanced" and config.loss in ("CrossEntropyLoss", "NLLLoss")


def _class_weights(config: RunConfig, classes: int) -> list[str]:
    if config.class_weights == "none":
        return []
    return [
        "# Over the training set the weights of each class add up to the same, however few images it has: N / (classes * N_c).",
        f"counts = torch.bincount(torch.from_numpy(train_set.labels), minlength={classes}).double()",
        "balanced = len(train_set) / ((counts > 0).sum() * counts)",
        "class_weights = torch.where(counts > 0, balanced, 1).float().to(device)",
    ]


def _loss(config: RunConfig, classes: int) -> list[str]:
    name = config.loss
    weighted = config.class_weights == "balanced"
    by_torch = weighted and name in ("CrossEntropyLoss", "NLLLoss", "MultiMarginLoss")
    by_hand = weighted and not by_torch
    given = [
        *(["weight=class_weights"] if by_torch else []),
        *([_arguments(config.loss_options)] if config.loss_options else []),
        *(['reduction="none"'] if by_hand else []),
    ]
    options, further = ", ".join(given), "".join(f", {argument}" for argument in given)
    over_classes = ".mean(dim=1)"
    prepared: list[str] = []
    match name:
        case "CrossEntropyLoss" | "MultiMarginLoss":
            return [f"loss_of = nn.{name}({options})"]
        case "NLLLoss":
            loss = f"F.nll_loss(F.log_softmax(logits, dim=1), labels{further})"
        case "KLDivLoss":
            smoothing = config.loss_options.get("label_smoothing", 0.1)
            spread = f"{smoothing} / {classes}"
            prepared = [f"targets = torch.full_like(logits, {spread}).scatter_(1, labels.unsqueeze(1), 1 - {smoothing} + {spread})"]
            reduction, over_classes = ("none" if by_hand else "batchmean"), ".sum(dim=1)"
            loss = f'F.kl_div(F.log_softmax(logits, dim=1), targets, reduction="{reduction}")'
        case "SoftMarginLoss":
            loss = f"F.soft_margin_loss(logits, 2.0 * F.one_hot(labels, {classes}) - 1{further})"
        case _:
            loss = f"nn.{name}({options})(logits, F.one_hot(labels, {classes}).to(logits.dtype))"
    if name == "MultiLabelSoftMarginLoss":
        over_classes = ""  # it takes their mean itself
    returned = [f"each = {loss}{over_classes}", "return (each * class_weights[labels]).mean()"] if by_hand else [f"return {loss}"]
    return ["", "", "def loss_of(logits, labels):", *(f"    {line}" for line in [*prepared, *returned]), "", ""]


# The schedule


def _schedule(plan: Plan, optimizer: str) -> list[str]:
    """The lines that make `schedule`, which counts in steps; none where the learning rate stays as it is."""
    config = plan.config
    if config.schedule == "constant":
        return []
    entry = schedule_catalog.SCHEDULES[config.schedule]
    values: dict[str, str] = {}
    for option in entry.options:
        value = config.schedule_options.get(option.name, option.default)
        if option.unit == "epochs":
            values[option.name] = _steps(config.schedule, option.name, value)
        elif value is not None:
            values[option.name] = repr(value)
    lines = ["steps = len(order(1))", f"total = {config.epochs} * steps"]
    rate = config.learning_rate
    name = config.schedule
    match name:
        case "WarmupCosine":
            return [
                *lines,
                f"warmup = min({values['warmup']}, max(total - 1, 1))",
                f"rise = torch.optim.lr_scheduler.LinearLR({optimizer}, start_factor={values['start_factor']}, total_iters=warmup)",
                f"fall = torch.optim.lr_scheduler.CosineAnnealingLR({optimizer}, T_max=max(1, total - warmup), eta_min={values['eta_min']})",
                f"schedule = torch.optim.lr_scheduler.SequentialLR({optimizer}, [rise, fall], milestones=[warmup])",
            ]
        case "OneCycleLR":
            least = math.ceil(2 / min(share := float(values["pct_start"]), 1 - share))  # else a phase of a very short run has no length
            values = {"max_lr": repr(rate), "total_steps": f"max(total, {least})", **values}
        case "CyclicLR":
            base = config.schedule_options.get("base_lr")
            if config.schedule_options.get("step_size_down") is None:
                values["step_size_down"] = values["step_size_up"]
            low = rate / 10 if not isinstance(base, int | float) else base
            values |= {"base_lr": repr(low), "max_lr": repr(rate)}
        case "ExponentialLR":
            values["gamma"] += " ** (1 / steps)"
    if "cycle_momentum" in {option.name for option in entry.options} and "cycle_momentum" not in values:
        values["cycle_momentum"] = repr(schedule_catalog.cycles_momentum(None, config))
    arguments = ", ".join(f"{key}={value}" for key, value in values.items())
    return [*lines, f"schedule = torch.optim.lr_scheduler.{name}({optimizer}, {arguments})"]


_SHARES: Mapping[tuple[str, str], str] = {("PolynomialLR", "total_iters"): "1", ("CosineAnnealingLR", "T_max"): "1",
    ("StepLR", "step_size"): "(1 / 3)", ("CosineAnnealingWarmRestarts", "T_0"): "0.25"}  # fmt: skip
"""Length of a schedule's part as a share of the run, where the option is left empty and it is no tenth."""


def _steps(schedule: str, option: str, epochs: Any) -> str:
    """An option in epochs as an expression in steps."""
    if option == "milestones":
        if epochs:
            return f"[max(1, round(epoch * steps)) for epoch in {epochs!r}]"
        return "[max(1, round(total * share)) for share in (0.5, 0.75)]"
    if epochs is not None:
        return f"max(1, round({epochs!r} * steps))"
    share = _SHARES.get((schedule, option), "0.1")
    return "total" if share == "1" else f"max(1, round(total * {share}))"


def _arguments(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={tuple(value) if isinstance(value, list) else value!r}" for name, value in values.items())
