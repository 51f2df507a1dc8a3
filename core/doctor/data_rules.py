"""Rules about what is learned from what: epochs, labels, splits, and how quickly pictures come."""

from __future__ import annotations

import math

from core.doctor.remedies import Settings
from core.doctor.rule import Rule, Sign, apart
from core.doctor.signs import Signs
from core.records.findings import Remedy

GAP_EPOCHS = 3
"""Epochs since the best validation loss after which it counts as rising."""

MOST_BY_CHANCE = 0.1
"""By how much (0 to 1) a share may lie above that of the most frequent class and still count as no better, however few the pictures."""

SETTLED = 4
"""How many times as long as one layer's running statistics take it may be until those of a whole network are right."""

UNEVEN, VERY_UNEVEN = 5.0, 10.0
"""How many times as many pictures the largest class may have as the smallest before it is noted, and before it is a warning."""

SLOW_SHARE, SLOW_SECONDS = 0.6, 0.01
"""Share of a step, and seconds of it, from which on reading pictures is slow."""

SLOW_FOR = 0.7
"""Seconds of training that this must have been so: another process on the same machine can hold up a moment."""


def overfitting(signs: Signs) -> Sign | None:
    """The validation loss rises while the training loss falls."""
    rows = [row for row in signs.era_epochs if row.validation_loss is not None and math.isfinite(row.validation_loss)]
    if len(rows) < GAP_EPOCHS + 1:
        return None
    best = min(rows, key=lambda row: row.validation_loss or 0.0)
    last = rows[-1]
    now = sum(row.validation_loss or 0.0 for row in rows[-2:]) / 2
    lowest, accuracy = best.validation_loss or 0.0, last.validation_accuracy or 0.0
    gap = last.train_accuracy - accuracy
    if last.epoch - best.epoch < GAP_EPOCHS or not now > 1.2 * lowest or not last.train_loss < min(0.7 * now, best.train_loss) or gap < 0.04:
        return None
    was, then = apart(best.train_loss, last.train_loss)
    advice, settings = _against_overfitting(signs)
    return Sign(
        "warning",
        f"The validation loss has risen from {lowest:.4g} (epoch {best.epoch:,}) to {now:.4g} (mean of epochs {rows[-2].epoch:,} and "
        f"{last.epoch:,}), while the training loss fell from {was} to {then}: "
        f"{100 * last.train_accuracy:.1f} % of the training pictures are right, and {100 * accuracy:.1f} % of the validation pictures.",
        Remedy(advice, "", settings),
        "accuracy", best.step, last.step,
    )  # fmt: skip


def _against_overfitting(signs: Signs) -> tuple[str, Settings]:
    """What makes a run stop sooner, or its training pictures more, of what is not chosen already."""
    settings: Settings = {}
    said = []
    patience = signs.config.early_stopping
    if patience is None or patience > GAP_EPOCHS:
        settings["early_stopping"] = GAP_EPOCHS
        said.append(f"stop once the validation loss has not fallen for {GAP_EPOCHS} epochs (early_stopping {GAP_EPOCHS})")
    if signs.config.augmentation == "none":
        settings["augmentation"] = "shift"
        said.append("change the training pictures by chance (augmentation shift)")
    advice = " and ".join(said)
    return f"{advice[:1].upper()}{advice[1:]}; more pictures help most." if said else "More pictures help most.", settings


def by_chance(signs: Signs) -> Sign | None:
    """No better than saying the most frequent class each time."""
    rows = signs.epochs[-3:]
    count = sum(signs.facts.validation_counts)
    if len(rows) < 3 or not count or any(row.validation_accuracy is None for row in rows):
        return None
    chance = signs.chance
    limit = chance + min(3 * math.sqrt(chance * (1 - chance) / count), MOST_BY_CHANCE)
    reached = sorted(row.validation_accuracy or 0.0 for row in rows)[1]
    if max(reached, rows[-1].validation_accuracy or 0.0) > limit or chance > 0.9:
        return None
    training = rows[-1].train_accuracy
    by_heart = training > limit + 0.1
    if not by_heart and _told_apart(signs, training):
        return None  # it has begun to learn, and few validation pictures do not show it yet
    forget = signs.facts.statistics_steps
    if rows[0].step < SETTLED * forget:
        return _lagging(signs, reached, training, forget) if by_heart else None
    guess, measured = signs.facts.guess_loss, rows[-1].validation_loss
    if by_heart and guess is not None and measured is not None and measured < guess:
        return None  # what it learned helps with new pictures too: the loss shows that before the accuracy does
    below = signs.facts.guess_loss is None or rows[-1].train_loss < signs.facts.guess_loss
    if not by_heart and below and rows[-1].train_loss < 0.98 * rows[0].train_loss:
        return None  # slow, but on its way
    settings: dict[str, bool | int | float | str | None] = {"fault": "none"} if signs.config.fault != "none" else {}
    why = (
        "it gets right what it was trained on, and nothing else: labels that do not fit the pictures do that"
        if by_heart
        else "neither tells the classes apart: labels that do not fit the pictures do that, and a learning rate or network that cannot learn"
    )
    return Sign(
        "serious",
        f"After {rows[-1].epoch:,} epochs {100 * reached:.1f} % of {count:,} validation pictures are right (median of the last 3 epochs), where "
        f"always saying the most frequent class would give {100 * chance:.1f} %, give or take {100 * (limit - chance):.1f} by chance, and "
        f"{100 * training:.1f} % of the training pictures; {why}.",
        Remedy("Look at some training pictures with their labels first; then try another learning rate.", "", settings),
        "accuracy", rows[0].step, rows[-1].step,
    )  # fmt: skip


def _told_apart(signs: Signs, training: float) -> bool:
    """Whether this share of right training pictures is beyond that of always saying their most frequent class, by more than chance does."""
    counts = signs.facts.class_counts
    count = sum(counts)
    share = max(counts) / count if count else 1.0
    return training > share + 3 * math.sqrt(share * (1 - share) / max(count, 1))


def _lagging(signs: Signs, reached: float, training: float, forget: int) -> Sign:
    """Good while training, and no better than chance when measured with running statistics that cannot have caught up yet."""
    rows = signs.epochs[-3:]
    return Sign(
        "note",
        f"{100 * training:.1f} % of the training pictures are right, and {100 * reached:.1f} % of the validation pictures. Measuring uses the "
        f"running statistics of BatchNorm, which take {forget:,} steps in this model to forget what they began with, in each layer anew: after "
        f"{signs.step:,} steps they are not those of these weights yet.",
        Remedy("Train for more steps: more epochs, or smaller batches.", "", {"epochs": 2 * signs.config.epochs}),
        "accuracy", rows[0].step, rows[-1].step,
    )  # fmt: skip


def imbalance(signs: Signs) -> Sign | None:
    """Classes with far fewer training pictures than others, each of which counts as little as those of the others."""
    counts = signs.facts.class_counts
    if signs.config.class_weights == "balanced" or len(counts) < 2 or min(counts) == 0 or max(counts) < UNEVEN * min(counts):
        return None
    names = signs.plan.classes
    most, least = counts.index(max(counts)), counts.index(min(counts))
    times = max(counts) / min(counts)
    remedy = Remedy(
        f"Have each picture count by how rare its class is (class_weights balanced): one of {names[least]} then counts {times:,.0f} times as much as "
        f"one of {names[most]}. More pictures of the rare classes help more. Judge by the figures of each class, not by the accuracy.",
        "",
        {"class_weights": "balanced"},
    )
    if signs.config.fault == "imbalanced classes":
        advice = "They were made rare on purpose: take the fault away, or set class_weights to balanced and see how much that mends."
        remedy = Remedy(advice, "", {"fault": "none"})
    return Sign(
        "warning" if times >= VERY_UNEVEN else "note",
        f"There are {counts[most]:,} training pictures of {names[most]} and {counts[least]:,} of {names[least]}, {times:,.0f} times fewer: saying "
        "the "
        "frequent classes too often pays, and the accuracy hides it.",
        remedy,
    )  # fmt: skip


def leakage(signs: Signs) -> Sign | None:
    """Pictures that are trained on and measured with."""
    found = [overlap for overlap in signs.overlaps if overlap.shared]
    if not found:
        return None
    worst = max(found, key=lambda overlap: overlap.shared / max(overlap.pictures, 1))
    share = worst.shared / max(worst.pictures, 1)
    said = " and ".join(f"{overlap.shared:,} of {overlap.pictures:,} {overlap.measured} pictures" for overlap in found)
    other = sum(overlap.other_label for overlap in found)
    labels = f" {other:,} of them have another label there." if other else ""
    remedy = Remedy(
        "Leave them out of training (doubles 'leave out'). What is alike but not equal stays: keep all pictures of one scene in one set.",
        "",
        {"doubles": "leave out"},
    )
    if signs.config.fault == "leaking split":
        advice = "They were put there on purpose: take the fault away, or set doubles to 'leave out', which takes them out again."
        remedy = Remedy(advice, "", {"fault": "none"})
    return Sign(
        "serious" if share >= 0.1 else "warning" if share >= 0.01 else "note",
        f"{said} are in the training set too, pixel for pixel: for these the accuracy measures memory.{labels}",
        remedy,
    )


def slow_data(signs: Signs) -> Sign | None:
    """Steps that wait for their pictures longer than they compute."""
    times = signs.times
    if times is None or times.recent_steps < 10:
        return None
    data = times.recent_seconds.get("data", 0.0)
    total = sum(seconds for stage, seconds in times.recent_seconds.items() if stage not in ("watching", "recording"))
    kept = times.recent_seconds.get("static prefix", 0.0) > 0  # then pictures are read once, and never again
    if kept or total < SLOW_FOR or data < SLOW_SHARE * total or data / times.recent_steps < SLOW_SECONDS:
        return None
    config = signs.config
    settings: dict[str, bool | int | float | str | None] = {}
    advice = "Make pictures smaller (image_size)."
    if config.augmentation not in ("none", "flip"):
        settings["augmentation"] = "flip"
        advice = f"Use a cheaper augmentation than {config.augmentation} (flip costs next to nothing), or smaller pictures."
    elif config.image_size > 64:
        settings["image_size"] = max(64, config.image_size // 2)
    return Sign(
        "warning",
        f"Reading and changing the pictures takes {1000 * data / times.recent_steps:,.1f} ms of a step, {100 * data / total:.0f} % of it, and all "
        f"else {1000 * (total - data) / times.recent_steps:,.1f} ms (means of the last {times.recent_steps:,} steps, without watching them).",
        Remedy(advice, "", settings),
        "settings", max(1, signs.step - times.recent_steps + 1), signs.step,
    )  # fmt: skip


RULES = (
    Rule(
        "overfitting", "It learns by heart", "validation loss against its lowest, and training loss",
        "A validation set of very few pictures; a loss that rises on a few pictures while the accuracy still rises.", overfitting, hold=1, clear=1,
        ready=lambda signs: len(signs.era_epochs) > GAP_EPOCHS or signs.changed == 1,
    ),
    Rule(
        "no better than chance", "No better than chance", "validation accuracy of the last 3 epochs against always saying the most frequent class",
        "A task with hundreds of classes that takes longer to begin.",
        by_chance, hold=1, clear=1,
        explained_by=(
            "not a number", "nothing learns", "dead units", "vanishing gradients", "gradients add up", "learning rate too high",
            "learning rate too low", "worse since a change", "loss blown up",
        ),
    ),
    Rule(
        "class imbalance", "Classes are uneven", "training pictures of each class",
        "Classes that are as rare where the model will be used, and as unimportant.", imbalance, hold=1,
    ),
    Rule(
        "leakage", "Pictures leak between the sets", "pictures of validation and test set that are in the training set, pixel for pixel",
        "Plain pictures that look the same by nature, such as empty ones.", leakage, hold=1,
    ),
    Rule(
        "slow data", "Data comes slower than the model works", "the time of a step for reading pictures, against all else",
        "A first pass over a dataset that is not in the machine's memory yet; a very small model.", slow_data, hold=1, clear=3,
    ),
)  # fmt: skip
