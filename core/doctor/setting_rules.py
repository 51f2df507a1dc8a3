"""Rules about what a run was set up with, and what became of it in the model: freezing, normalisation, weight decay."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from core import catalog
from core.code.names import cover
from core.config.errors import ConfigError
from core.doctor.remedies import Settings
from core.doctor.rule import Rule, Sign, listed, rounded
from core.doctor.signs import Signs
from core.records.events import AuditRow, Verdict
from core.records.findings import Remedy
from core.records.layers import frozen_parameters

SMALL_BATCH = 8
"""Pictures from which on BatchNorm's mean and variance are worth something (Wu & He, Group Normalization, 2018, fig. 1)."""

DECAYED = 0.5
"""Share of a value that weight decay alone takes away over a run before it matters for normalisation and biases."""


def drifting(signs: Signs) -> Sign | None:
    """Frozen normalisation layers whose running statistics move."""
    rows = [row for row in signs.audit.rows if row.verdict == Verdict.DRIFTING] if signs.audit else []
    if not rows:
        return None
    modules = tuple(dict.fromkeys(row.name.rpartition(".")[0] if row.count else row.name for row in rows))
    change = _freeze_again(signs, rows)
    training = sum(row.mode == "train" for row in rows)
    mode = f"{training:,} of {len(rows):,} of their tensors belong to layers in train mode, which move them with every batch"
    return Sign(
        "serious",
        f"Running mean and variance of {len(modules):,} frozen normalisation {'layer' if len(modules) == 1 else 'layers'} ({listed(modules)}) are "
        f"not what they were when they were frozen: {mode if training else 'something moved them, though the layers are in eval mode now'}.",
        Remedy(
            "Put frozen normalisation layers into eval mode after each model.train(); freezing them again does.",
            change,
            {"fault": "none"} if signs.config.fault != "none" else {},
        ),
        "settings", 1, signs.step, modules[:6],
    )  # fmt: skip


def held_frozen(signs: Signs) -> Sign | None:
    """Frozen parameters that the optimizer was given, and may move."""
    held = [row for row in signs.audit.rows if row.count and not row.requires_grad and row.in_optimizer] if signs.audit else []
    names = tuple(row.name for row in held) or signs.facts.in_optimizer
    leaking = [row.name for row in (signs.audit.rows if signs.audit else ()) if row.verdict == Verdict.LEAKING]
    if (signs.audit is not None and not held and not leaking) or not names and not leaking:
        return None
    both = [name for name in leaking if name in names]
    elsewhere = [name for name in leaking if name not in names]
    said = []
    if names:
        moved = f", and {len(both):,} of them have moved ({listed(both)})" if both else "; none of them was seen to move"
        said.append(f"{len(names):,} frozen tensors ({listed(names)}) are in the optimizer{moved}.")
    if elsewhere:
        said.append(f"{len(elsewhere):,} frozen tensors that are in no optimizer have moved ({listed(elsewhere)}).")
    if names:
        said.append("With a gradient of 0 that is not None, weight decay and momentum go on.")
    return Sign(
        "serious" if leaking else "warning",
        " ".join(said),
        Remedy(
            "Give the optimizer only what learns, and drop the gradients of the rest (set them to None); freezing them again does both.",
            _freeze_again(signs, held or [row for row in (signs.audit.rows if signs.audit else ()) if row.name in leaking]),
            {"fault": "none"} if signs.config.fault != "none" else {},
        ),
        "settings", 1, signs.step, tuple(leaking or names)[:6],
    )  # fmt: skip


def _freeze_again(signs: Signs, rows: Sequence[AuditRow]) -> str:
    """The `Change` that freezes these tensors anew, written with as few rules as will do. '' where it would freeze all there is."""
    faulty = {row.name for row in rows if row.count}
    others = [name for name in signs.names if name not in faulty]
    if not faulty or not others:
        return ""
    return ", ".join(start.rstrip(".") for start in cover((name for name in signs.names if name in faulty), others))


def nothing_learns(signs: Signs) -> Sign | None:
    """Every parameter is frozen."""
    if signs.learns.any() or not len(signs.learns):
        return None
    return Sign(
        "serious",
        f"All {len(signs.names):,} tensors are frozen, so no operation of the forward pass is written down for autograd: the loss has no grad_fn, "
        "and "
        "loss.backward() raises an error (element 0 of tensors does not require grad).",
        Remedy("Let at least the head learn.", "", {"freeze": "head only", "fault": "none"}),
        "settings", 1, 1,
    )  # fmt: skip


def frozen_at_random(signs: Signs) -> Sign | None:
    """Layers that are frozen with the random values they began with: they have learned nothing, and cannot."""
    random = set(signs.facts.at_random)
    stuck = np.array([name in random for name in signs.names], np.bool_) & signs.is_weight & ~signs.ever_learned & ~_thawed_later(signs)
    if not stuck.any() or not signs.learns.any():
        return None
    names = signs.names_at(np.flatnonzero(stuck))
    values, all_values = int(signs.counts[stuck].sum()), int(signs.counts[signs.is_weight].sum())
    settings: Settings = {"freeze": "train everything"}
    advice = "In the next run let everything learn (freeze 'train everything')"
    if signs.config.fault in ("drifting BatchNorm", "frozen in optimizer"):
        settings["fault"] = "none"  # those are about what is frozen
    heads = any(info is not None and info.role == "head" for info, still in zip(signs.infos, stuck.tolist(), strict=True) if still)
    if signs.config.starting_weights == "random" and not heads and catalog.find_model(signs.config.model).published:
        settings = {"starting_weights": "pretrained"}
        advice = "In the next run start from published weights (starting_weights pretrained), which is what freezing is for"
    change = "" if signs.final else ", ".join(f"!{start.rstrip('.')}" for start in cover(names, [name for name in signs.names if name not in names]))
    several = len(names) > 1
    are, they, them, these = ("are", "they", "them", "these layers") if several else ("is", "it", "it", "this layer")
    now = f"Let {them} learn now, or: in" if change else "In"
    never = "the timeline thaws none of" if several else "the timeline does not thaw"
    not_thawed = f"and {never if signs.config.timeline.changes else 'nothing is planned that thaws'} {them}"
    return Sign(
        "warning",
        f"{len(names):,} of the {int(signs.is_weight.sum()):,} weight tensors ({listed(names)}), {100 * values / max(all_values, 1):.3g} % of all "
        f"weights, {are} frozen with the random values that {they} began with, {not_thawed}: {these} will never learn anything, and what comes "
        f"after {them} has to make do with that.",
        Remedy(f"{now}{advice[2:]}.", change, settings),
        "settings", 1, signs.step, names[:6],
    )  # fmt: skip


def _thawed_later(signs: Signs) -> NDArray[np.bool_]:
    """bool[layers]: what the timeline lets learn at a step to come."""
    spe = signs.plan.steps_per_epoch
    plan = signs.config.freeze
    later = np.zeros(len(signs.names), np.bool_)
    for timed in sorted(signs.config.timeline.changes, key=lambda timed: timed.at if timed.unit == "step" else (timed.at - 1) * spe + 1):
        plan = plan.then(timed.change)
        if (timed.at if timed.unit == "step" else (timed.at - 1) * spe + 1) > signs.step and not signs.final:
            try:
                frozen = frozen_parameters(plan, signs.facts.parameters)
            except ConfigError:
                continue
            later |= np.array([name not in frozen for name in signs.names], np.bool_)
    return later


def decay(signs: Signs) -> Sign | None:
    """Weight decay that pulls normalisation and biases towards 0 far enough to matter."""
    strength = signs.facts.weight_decay
    if not signs.facts.direct_decay or strength == 0:
        return None
    steps = signs.step if signs.final else signs.plan.total_steps
    pull, rate = signs.decay(steps)
    names = [
        name
        for name, info, learns, layer in zip(signs.names, signs.infos, signs.learns.tolist(), signs.plan.layers, strict=True)
        if learns and ((info is not None and info.is_norm) or len(layer.shape) < 2)
    ]
    if not names or pull < DECAYED:
        return None
    weaker = _weaker(strength, pull, rate * steps)
    which = "" if (signs.multipliers == 1).all() else " (where the rate has no multiplier)"
    said = f"{signs.config.optimizer} and its schedule" if signs.config.schedule != "constant" else signs.config.optimizer
    return Sign(
        "warning" if signs.config.weight_decay is not None and rate * strength >= 0.01 else "note",
        f"Weight decay {strength:g} takes {100 * pull:.3g} % off a value in {steps:,} steps of {said}{which}, unless gradients hold against it; "
        f"{len(names):,} tensors that learn are scales of normalisation layers or biases ({listed(names)}), whose size has nothing to do with "
        "overfitting.",
        Remedy(f"Use a weaker weight decay in the next run, such as {weaker:g}, which takes about a tenth.", "", {"weight_decay": weaker}),
        "settings", 1, signs.step, tuple(names[:3]),
    )  # fmt: skip


def _weaker(strength: float, pull: float, travelled: float) -> float:
    """The weight decay that takes about a tenth where `strength` takes `pull`: what is left falls with e to the power of it."""
    if pull < 1 - 1e-12:
        return rounded(strength * math.log(0.9) / math.log(1 - pull))
    return rounded(0.1 / max(travelled, 1e-12))


def small_batch(signs: Signs) -> Sign | None:
    """BatchNorm layers that learn from very few pictures."""
    size = min(signs.config.batch_size, signs.plan.train_samples)
    modules = tuple(
        dict.fromkeys(
            info.module
            for info, learns in zip(signs.infos, signs.learns.tolist(), strict=True)
            if info and learns and info.kind.startswith("BatchNorm")
        )
    )
    if size >= SMALL_BATCH or not modules:
        return None
    larger = min(16, signs.plan.train_samples)
    settings: Settings = {"batch_size": larger} if larger > signs.config.batch_size else {}
    paths = ", ".join(modules)
    frozen_all = all(info is not None and info.module in modules for info, learns in zip(signs.infos, signs.learns.tolist(), strict=True) if learns)
    return Sign(
        "warning" if size <= 4 else "note",
        f"{len(modules):,} BatchNorm {'layer' if len(modules) == 1 else 'layers'} ({listed(modules)}) work out mean and variance from {size} "
        f"{'picture' if size == 1 else 'pictures'} at a time: figures that jump from batch to batch, and are others than those used for measuring.",
        Remedy(
            f"{f'Use batches of {larger} or more' if settings else 'Use more pictures'}, or freeze the normalisation layers, which then keep the "
            "figures that they have.",
            "" if frozen_all else paths,
            settings,
        ),
        "settings", 1, signs.step, modules[:6],
    )  # fmt: skip


RULES = (
    Rule(
        "BatchNorm mode", "Frozen BatchNorm is not at rest", "running mean and variance of frozen normalisation layers, compared by the freeze audit",
        "Statistics that are meant to follow the new pictures while the weights rest (as in test-time adaptation).", drifting, hold=1, clear=1,
    ),
    Rule(
        "frozen in optimizer", "The optimizer holds frozen parameters", "what the optimizer was given, and whether frozen values have moved",
        "A plan that will let them learn later with the same optimizer: they rest as long as their gradients are None.", held_frozen, hold=1, clear=1,
        explained_by=("nothing learns",),
    ),
    Rule(
        "nothing learns", "Nothing learns", "whether any parameter is trainable", "Never.", nothing_learns, hold=1, clear=1,
    ),
    Rule(
        "frozen at random", "Frozen layers know nothing", "whether layers are frozen with the random values that they began with",
        "An experiment with random features, where the layers behind them are meant to do all the work.", frozen_at_random, hold=1, clear=1,
    ),
    Rule(
        "weight decay", "Weight decay pulls on normalisation and biases",
        "what weight decay alone takes off normalisation and biases, by the optimizer's rule at the rates of all steps",
        "Networks that were trained like this from the start, as most of torchvision's were: then it is part of the recipe.", decay, hold=1, clear=1,
    ),
    Rule(
        "small batch", "Batches are too small for BatchNorm", "pictures in a batch, where BatchNorm layers learn",
        "Large pictures: each channel has thousands of values in one picture already.", small_batch, hold=1,
    ),
)  # fmt: skip
