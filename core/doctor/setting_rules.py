"""Rules about what a run was set up with, and what became of it in the model: freezing, normalisation, weight decay."""

from __future__ import annotations

from collections.abc import Sequence

from core.code.names import cover
from core.doctor.rule import Rule, Sign, listed
from core.doctor.signs import Signs
from core.records.events import AuditRow, Verdict
from core.records.findings import Remedy

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
    return Sign(
        "serious",
        f"Running mean and variance of {len(modules):,} frozen normalisation {'layer' if len(modules) == 1 else 'layers'} ({listed(modules)}) are "
        "not what "
        f"they were when they were frozen: a layer in train mode moves them with every batch, and a frozen network gives other features then.",
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
    moved = f", and {len(leaking):,} of them have moved ({listed(leaking)})" if leaking else "; they rest as long as they have no gradient left over"
    return Sign(
        "serious" if leaking else "warning",
        f"{len(names or leaking):,} frozen tensors ({listed(names or leaking)}) are in the optimizer{moved}: with a gradient of 0 that is not None, "
        "weight "
        "decay and momentum go on.",
        Remedy(
            "Give the optimizer only what learns, and drop the gradients of the rest (set them to None); freezing them again does both.",
            _freeze_again(signs, held),
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


def decay(signs: Signs) -> Sign | None:
    """Weight decay that pulls normalisation and biases towards 0 far enough to matter."""
    rate, steps = signs.config.learning_rate, signs.plan.total_steps
    strength = signs.facts.weight_decay
    pull = 1 - (1 - min(rate * strength, 1.0)) ** steps
    names = [
        name
        for name, info, learns, layer in zip(signs.names, signs.infos, signs.learns.tolist(), signs.plan.layers, strict=True)
        if learns and ((info is not None and info.is_norm) or len(layer.shape) < 2)
    ]
    if not names or pull < DECAYED:
        return None
    explicit = signs.config.weight_decay is not None
    weaker = float(f"{0.1 / (rate * steps):.0e}")
    return Sign(
        "warning" if explicit and rate * strength >= 0.01 else "note",
        f"Weight decay {strength:g} at a learning rate of {rate:g} takes {100 * pull:.0f} % off everything that learns in {steps:,} steps, unless "
        "gradients "
        f"hold against it; {len(names):,} of these tensors are scales of normalisation layers or biases ({listed(names)}), whose size has nothing "
        "to do "
        "with overfitting.",
        Remedy(f"Use a weaker weight decay in the next run, such as {weaker:g}.", "", {"weight_decay": weaker}),
        "settings", 1, signs.step, tuple(names[:3]),
    )  # fmt: skip


def small_batch(signs: Signs) -> Sign | None:
    """BatchNorm layers that learn from very few pictures."""
    size = signs.config.batch_size
    modules = tuple(
        dict.fromkeys(
            info.module
            for info, learns in zip(signs.infos, signs.learns.tolist(), strict=True)
            if info and learns and info.kind.startswith("BatchNorm")
        )
    )
    if size >= SMALL_BATCH or not modules:
        return None
    settings: dict[str, bool | int | float | str | None] = {"batch_size": min(16, max(1, signs.plan.train_samples))}
    paths = ", ".join(modules)
    frozen_all = all(info is not None and info.module in modules for info, learns in zip(signs.infos, signs.learns.tolist(), strict=True) if learns)
    return Sign(
        "warning" if size <= 4 else "note",
        f"{len(modules):,} BatchNorm {'layer' if len(modules) == 1 else 'layers'} ({listed(modules)}) work out mean and variance from {size} "
        f"{'picture' if size == 1 else 'pictures'} at a time: figures that jump from batch to batch, and are others than those used for measuring.",
        Remedy(
            "Use batches of 16 or more, or freeze the normalisation layers, which then keep the figures that they have.",
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
        "weight decay", "Weight decay pulls on normalisation and biases",
        "weight decay times learning rate times steps, for normalisation and biases",
        "Networks that were trained like this from the start, as most of torchvision's were: then it is part of the recipe.", decay, hold=1,
    ),
    Rule(
        "small batch", "Batches are too small for BatchNorm", "pictures in a batch, where BatchNorm layers learn",
        "Large pictures: each channel has thousands of values in one picture already.", small_batch, hold=1,
    ),
)  # fmt: skip
