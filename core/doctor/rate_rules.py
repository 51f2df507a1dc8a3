"""Rules about how far the weights move, and what that does to the loss."""

from __future__ import annotations

import math

import numpy as np

from core.catalog.optimizers import FIRST_STEP_ONLY
from core.doctor.gradient_rules import FAINT, faintness
from core.doctor.remedies import OtherRate, lower_rate, other_rate
from core.doctor.rule import Rule, Sign, apart, listed
from core.doctor.signs import Signs
from core.records.findings import Remedy
from core.records.telling import digits

GOOD_RATIO = 1e-3
"""An update a thousandth as long as the weights is a common rule of thumb (Karpathy, CS231n notes, "Ratio of weights:updates")."""

LARGE_RATIO = 0.1
SMALL_RATIO = 3e-6
"""Above the first, weights are thrown about; below the second, they hardly move in thousands of steps."""

FALLING = 0.9
"""A stretch whose loss is below this share of that of the one before is on its way down."""

TREND = 2.0
"""By how many standard deviations of chance a loss has to lie on its way down (Kendall's rank correlation with the step) to count as falling."""

FEW = 5
"""A stretch of fewer steps is no higher than another figure unless all of them are: the median of two batches is one of them."""

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
    rate = other_rate(signs, max(GOOD_RATIO / middle, 0.01) if large else min(GOOD_RATIO / max(middle, 1e-12), 1000))
    return Sign(
        "serious" if middle > 1 else "warning",
        f"One update changes the weights by {middle:.2g} of their size (median of {known.sum():,} tensors at the last {signs.looks} looks; 0.001 is "
        f"usual){f', as long as the weights themselves after {1 / middle:,.3g} in one direction' if 0 < middle < 0.5 else ''}; "
        f"{'most' if large else 'least'} in {listed(names)}.",
        Remedy(f"{rate.words}{', which brings it nearer to 0.001' if rate.moves else ''}.", rate.change, rate.settings),
        "update ratio", int(signs.look_steps[-signs.looks]), signs.step, names,
    )  # fmt: skip


def too_high(signs: Signs) -> Sign | None:
    """The loss went up, or stays up while the weights move a lot."""
    now, first = signs.recent_loss, signs.first_loss
    if math.isnan(now) or math.isnan(first) or signs.since < 2 * signs.window:
        return None
    ratios = signs.recent_ratios()[signs.is_weight]
    ratio = float(np.nanmedian(ratios)) if np.isfinite(ratios).any() else 0.0
    falling = signs.changed > 1 and now < FALLING * signs.earlier_loss  # what was changed helps: see how far
    worse = first > 0 and not falling and _surely(signs) > 1.5 * first
    stuck = now > (1 - FLAT) * first and ratio > LARGE_RATIO / 2 and not _slowly_falling(signs)
    if not worse and not stuck:
        return _risen(signs, now, first)
    how = f"{now / first:,.3g} times what it was in the first steps ({first:.4g})" if worse else f"{_against(now, first)} in the first steps"
    why = f", and one update changes the weights by {ratio:.2g} of their size (0.001 is usual)" if ratio > LARGE_RATIO / 2 else ""
    return _high(signs, f"The loss is {now:.4g} (median of the last {signs.window:,} steps), {how}, {_at(signs)}{why}.", 1)


def _surely(signs: Signs) -> float:
    """What the loss of the last stretch is at least: the lowest one of few steps, the median of more."""
    if signs.window >= FEW:
        return signs.recent_loss
    return float(np.nanmin(signs.loss[signs.steps > signs.step - signs.window]))


def _slowly_falling(signs: Signs) -> bool:
    """Whether the loss of the last stretches is on its way down, however little it has fallen in so few steps."""
    recent = signs.loss[signs.steps > signs.step - min(signs.since, 4 * signs.window, 64)]
    recent = recent[np.isfinite(recent)]
    count = len(recent)
    if count < 4:
        return False
    later, earlier = np.tril_indices(count, -1)
    score = np.sign(recent[later] - recent[earlier]).sum()
    return bool(score < -TREND * math.sqrt(count * (count - 1) * (2 * count + 5) / 18))


def _risen(signs: Signs, now: float, first: float) -> Sign | None:
    """The loss had come down since the last change, and is far above that again."""
    low = signs.lowest
    if low is None or not first > 0 or not _surely(signs) > max(3 * low.loss, low.loss + 0.15 * first) or low.loss > 0.7 * first:
        return None
    rate = f"the learning rate was {low.rate:g} then and is {signs.rate:g} now" if low.rate != signs.rate else f"the learning rate is {signs.rate:g}"
    if signs.config.optimizer in FIRST_STEP_ONLY:
        rate = f"its steps are {_at(signs)}"
    cause = (
        f"The loss is {now:.4g} (median of the last {signs.window:,} steps), after it had been down to {low.loss:.4g} (median of steps "
        f"{low.first_step:,} to {low.last_step:,}): {rate}."
    )
    return _high(signs, cause, low.first_step)


def _at(signs: Signs) -> str:
    """'at a learning rate of 0.1', or that the steps are the optimizer's own."""
    if signs.config.optimizer in FIRST_STEP_ONLY:
        return f"of {signs.config.optimizer}'s own size, whatever the learning rate"
    return f"at a learning rate of {signs.rate:g}"


def _high(signs: Signs, cause: str, first_step: int) -> Sign:
    lower = lower_rate(signs)
    advice = f"{lower.words}. Where weights have gone too far for that to help, start again with it."
    return Sign("serious", cause, Remedy(advice, lower.change, lower.settings), "loss", first_step, signs.step)


def _against(now: float, first: float) -> str:
    """'2.31, which is 0.3 % above the 2.30': two losses that are nearly the same, compared."""
    share = (now - first) / abs(first) if first else 0.0
    return f"{digits(100 * abs(share), 2)} % {'above' if share > 0 else 'below'} the {first:.4g}" if share else f"as much as the {first:.4g}"


def too_low(signs: Signs) -> Sign | None:
    """The loss hardly falls, because the weights hardly move."""
    now, first = signs.recent_loss, signs.first_loss
    enough = signs.since >= 2 * signs.window and signs.step >= min(30, max(4, signs.plan.total_steps // 2))
    if math.isnan(now) or math.isnan(first) or not enough or signs.rate < 0.5 * signs.highest_rate:
        return None
    ratios = signs.recent_ratios()[signs.learns & signs.is_weight]
    if not np.isfinite(ratios).any() or not first > 0:
        return None
    largest, fallen = float(np.nanmax(ratios)), (first - now) / first
    faint = faintness(signs)
    if largest > 10 * SMALL_RATIO or abs(fallen) > FLAT or (faint is not None and faint[0] < FAINT):
        return None
    rate = other_rate(signs, min(max(GOOD_RATIO / max(largest, 1e-12), 3), 10_000))
    was, then = apart(first, now)
    return Sign(
        "serious",
        f"The loss was {was} in the first steps and is {then} after {signs.step:,} (median of the last {signs.window:,}), and one update changes "
        f"no layer's weights by more than {largest:.1e} of their size (median of the last {signs.looks} looks) {_at(signs)}.",
        Remedy(f"{rate.words}.", rate.change, rate.settings),
        "loss", 1, signs.step,
    )  # fmt: skip


def plateau(signs: Signs) -> Sign | None:
    """The training loss has stopped falling though there is something left to learn."""
    rows = signs.era_epochs
    if len(rows) < PLATEAU_EPOCHS + 2 or signs.rate < 0.1 * signs.highest_rate:
        return None
    recent, before = rows[-PLATEAU_EPOCHS:], rows[:-PLATEAU_EPOCHS]
    lowest, was = min(row.train_loss for row in recent), min(row.train_loss for row in before)
    accuracy = recent[-1].train_accuracy
    if not was > 0 or not lowest > (1 - PLATEAU_GAIN) * was or accuracy > 0.9:
        return None
    old, new = apart(was, lowest)
    gain = 100 * (was - lowest) / was
    how = f"{digits(gain, 2)} % lower" if gain > 0 else "no lower"
    advice, lower = _past_a_plateau(signs)
    return Sign(
        "note" if accuracy > max(0.5, 3 * signs.chance) else "warning",
        f"The lowest training loss of the last {PLATEAU_EPOCHS} epochs is {new}, {how} than the lowest of the {len(before):,} before ({old}), with "
        f"{100 * accuracy:.1f} % of the training pictures right.",
        Remedy(advice, lower.change, lower.settings),
        "accuracy", before[-1].step, rows[-1].step,
    )  # fmt: skip


def _past_a_plateau(signs: Signs) -> tuple[str, OtherRate]:
    """Smaller steps where they are long enough for that to help; else something else than the learning rate has to change."""
    more = "let more layers learn, or use a larger model"
    ratios = signs.recent_ratios()[signs.learns & signs.is_weight]
    ratio = float(np.nanmedian(ratios)) if np.isfinite(ratios).any() else math.nan
    if ratio < GOOD_RATIO / 10:
        said = f"One update changes the weights by {ratio:.2g} of their size already, so a lower learning rate would bring little"
        return f"{said}: {more}.", OtherRate("")
    lower = lower_rate(signs)
    return f"{lower.words}; if that brings nothing, {more}.", lower


def _whole(signs: Signs) -> bool:
    """Whether two stretches have passed since the last change."""
    return signs.since >= 2 * signs.window


RULES = (
    Rule(
        "update ratio", "Updates are out of band", "how long an update is for the size of the weights, at each look",
        "The first steps of an adaptive optimizer; the end of a schedule; layers that begin near 0 and have to grow.", out_of_band,
        explained_by=("not a number", "dead units", "vanishing gradients", "learning rate too high", "learning rate too low"),
    ),
    Rule(
        "learning rate too high", "The learning rate is too high",
        "the loss of the last stretch, against that of the first steps and the lowest since",
        "A schedule that is at its highest point for a while, or goes up again and again; a loss that begins at 0 by accident.", too_high,
        explained_by=("worse since a change", "gradients add up"), ready=_whole,
    ),
    Rule(
        "learning rate too low", "The learning rate is too low", "how far the loss has fallen, and how far one update moves the weights",
        "A warm-up that has only begun; a task that the pretrained weights had solved already.", too_low, ready=_whole,
    ),
    Rule(
        "plateau", "The loss has stopped falling", f"the training loss of the last {PLATEAU_EPOCHS} epochs against the lowest before",
        "A frozen network that cannot do better, or a model that has reached what the data allows.", plateau, hold=1,
        ready=lambda signs: len(signs.era_epochs) >= 1,
        explained_by=("not a number", "dead units", "vanishing gradients", "learning rate too high", "learning rate too low",
            "no better than chance", "worse since a change", "loss blown up"),
    ),
)  # fmt: skip
