"""Rules about how far the weights move, and what that does to the loss."""

from __future__ import annotations

import math

import numpy as np

from core.doctor.gradient_rules import FAINT, faintness
from core.doctor.rule import Rule, Sign, listed, rounded
from core.doctor.signs import Signs
from core.records.findings import Remedy

GOOD_RATIO = 1e-3
"""An update a thousandth as long as the weights is a common rule of thumb (Karpathy, CS231n notes, "Ratio of weights:updates")."""

LARGE_RATIO = 0.1
SMALL_RATIO = 3e-6
"""Above the first, weights are thrown about; below the second, they hardly move in thousands of steps."""

FLAT = 0.02
"""Share of the first loss that it has to fall for the run to count as learning."""

PLATEAU_EPOCHS = 4
PLATEAU_GAIN = 0.005
"""A plateau is this many epochs in which the training loss falls by less than this share."""


def out_of_band(signs: Signs) -> Sign | None:
    """Updates far longer or shorter, for the size of the weights, than what usually learns."""
    places = np.flatnonzero(signs.learns & signs.is_weight)
    ratios = signs.recent_ratios()[places]
    known = np.isfinite(ratios)
    if not known.any() or signs.step < 0.05 * signs.plan.total_steps:
        return None
    middle = float(np.median(ratios[known]))
    falling = signs.rate < 0.5 * signs.highest_rate  # a schedule that comes to its end, or has not begun yet
    large = middle > LARGE_RATIO
    if not large and (middle > SMALL_RATIO or falling):
        return None
    order = places[known][np.argsort(-ratios[known] if large else ratios[known])][:3]
    names = signs.names_at(order)
    rate = min(rounded(signs.rate * min(max(GOOD_RATIO / max(middle, 1e-12), 0.01), 1000)), 1.0)
    what = "thrown about: what one step learns the next one overwrites" if large else "as good as standing still"
    return Sign(
        "serious" if middle > 1 else "warning",
        f"One update changes the weights by {middle:.2g} of their size (median of {known.sum():,} tensors at the last 5 looks; 0.001 is usual), so "
        "they "
        f"are {what}; {'most' if large else 'least'} in {listed(names)}.",
        Remedy(
            f"Try a learning rate of {rate:g}, which brings it nearer to 0.001.",
            f"learning_rate={rate:g}",
            {"learning_rate": rate},
        ),
        "update ratio", int(signs.look_steps[-5]), signs.step, names,
    )  # fmt: skip


def too_high(signs: Signs) -> Sign | None:
    """The loss goes up, or stays up while the weights move a lot."""
    now, first = signs.recent_loss, signs.first_loss
    if math.isnan(now) or math.isnan(first) or signs.step < signs.changed - 1 + 2 * signs.window:
        return None
    ratios = signs.recent_ratios()[signs.is_weight]
    ratio = float(np.nanmedian(ratios)) if np.isfinite(ratios).any() else 0.0
    worse = first > 0 and now > 1.5 * first
    stuck = now > (1 - FLAT) * first and ratio > LARGE_RATIO / 2
    if not worse and not stuck:
        return None
    rate = rounded(signs.rate / 10)
    how = f"{now / first:,.3g} times what it was in the first steps ({first:.4g})" if worse else f"no better than in the first steps ({first:.4g})"
    why = "each update overshoots" if worse else f"each update changes the weights by {ratio:.2g} of their size"
    return Sign(
        "serious",
        f"The loss is {now:.4g} (median of the last {signs.window} steps), {how}: at a learning rate of {signs.rate:g} {why}.",
        Remedy(
            f"Lower the learning rate to {rate:g}. Where weights have gone too far for that to help, start again with it.",
            f"learning_rate={rate:g}",
            {"learning_rate": rate},
        ),
        "loss", 1, signs.step,
    )  # fmt: skip


def too_low(signs: Signs) -> Sign | None:
    """The loss hardly falls, because the weights hardly move."""
    now, first = signs.recent_loss, signs.first_loss
    if math.isnan(now) or math.isnan(first) or signs.step < max(30, 2 * signs.window) or signs.rate < 0.5 * signs.highest_rate:
        return None
    ratios = signs.recent_ratios()[signs.learns & signs.is_weight]
    if not np.isfinite(ratios).any() or not first > 0:
        return None
    largest, fallen = float(np.nanmax(ratios)), (first - now) / first
    faint = faintness(signs)
    if largest > 10 * SMALL_RATIO or abs(fallen) > FLAT or (faint is not None and faint[0] < FAINT):
        return None
    rate = min(rounded(signs.rate * min(max(GOOD_RATIO / max(largest, 1e-12), 3), 10_000)), 1.0)
    return Sign(
        "serious",
        f"The loss went from {first:.4g} to {now:.4g} in {signs.step:,} steps, and one update changes no layer's weights by more than "
        f"{largest:.1e} of "
        f"their size: at a learning rate of {signs.rate:g} they hardly move.",
        Remedy(f"Raise the learning rate to {rate:g}.", f"learning_rate={rate:g}", {"learning_rate": rate}),
        "loss", 1, signs.step,
    )  # fmt: skip


def plateau(signs: Signs) -> Sign | None:
    """The training loss has stopped falling though there is something left to learn."""
    rows = signs.epochs
    if len(rows) < PLATEAU_EPOCHS + 2 or rows[-PLATEAU_EPOCHS - 1].step < signs.changed - 1 or signs.rate < 0.1 * signs.highest_rate:
        return None
    recent, before = rows[-PLATEAU_EPOCHS:], rows[:-PLATEAU_EPOCHS]
    lowest, was = min(row.train_loss for row in recent), min(row.train_loss for row in before)
    accuracy = recent[-1].train_accuracy
    if not lowest > (1 - PLATEAU_GAIN) * was or accuracy > 0.9:
        return None
    rate = rounded(signs.rate / 10)
    return Sign(
        "note" if accuracy > max(0.5, 3 * signs.chance) else "warning",
        f"The training loss has been at {lowest:.4g} or more for {PLATEAU_EPOCHS} epochs (it had been down to {was:.4g} before), with "
        f"{100 * accuracy:.1f} % of the training pictures right.",
        Remedy(
            f"Lower the learning rate to {rate:g}; if that brings nothing, let more layers learn, or use a larger model.",
            f"learning_rate={rate:g}",
            {"schedule": "CosineAnnealingLR"} if signs.config.schedule == "constant" else {},
        ),
        "accuracy", before[-1].step, rows[-1].step,
    )  # fmt: skip


RULES = (
    Rule(
        "update ratio", "Updates are out of band", "how long an update is for the size of the weights, at each look",
        "The first steps of an adaptive optimizer; the end of a schedule; layers that begin near 0 and have to grow.", out_of_band,
        explained_by=("not a number", "dead units", "vanishing gradients", "learning rate too high", "learning rate too low"),
    ),
    Rule(
        "learning rate too high", "The learning rate is too high", "the loss of the last stretch against that of the first steps",
        "A schedule that is still warming up over its highest point; a loss that begins at 0 by accident.", too_high,
    ),
    Rule(
        "learning rate too low", "The learning rate is too low", "how far the loss has fallen, and how far one update moves the weights",
        "A warm-up that has only begun; a task that the pretrained weights had solved already.", too_low,
    ),
    Rule(
        "plateau", "The loss has stopped falling", f"the training loss of the last {PLATEAU_EPOCHS} epochs against the lowest before",
        "A frozen network that cannot do better, or a model that has reached what the data allows.", plateau, hold=1,
        explained_by=("not a number", "dead units", "vanishing gradients", "learning rate too high", "learning rate too low",
            "no better than chance"),
    ),
)  # fmt: skip
