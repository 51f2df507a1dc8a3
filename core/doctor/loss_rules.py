"""Rules about a loss that left where it was: after a change that was made while the run went on, or beyond anything that makes sense."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from core.catalog.optimizers import FIRST_STEP_ONLY
from core.code.names import cover
from core.config.plans import Change
from core.doctor.remedies import OtherRate, Settings, lower_rate, scaled, timeline_with, with_rate
from core.doctor.rule import Rule, Sign, apart, listed
from core.doctor.signs import Before, Signs
from core.records.events import EpochRow
from core.records.findings import Remedy

RISEN, RISEN_SHARE = 1.5, 0.05
"""How many times as high the loss must be as before a change, and by which share of the loss at the run's beginning it must have risen."""

LOST = 0.1
"""By how much (0 to 1) the accuracy of an epoch after a change must lie below that of the last one before."""

BLOWN_UP = 10.0
"""How many times the loss of giving every class the same chance is beyond anything that makes sense."""


def worse_since_change(signs: Signs) -> Sign | None:
    """The loss went up, or the accuracy down, after a change of what learns or how fast."""
    before = _last_good(signs)
    enough = signs.since >= max(signs.window, 2)
    if before is None or not (enough or signs.final):
        return None
    now, scale = signs.recent_loss, _scale(signs)
    if math.isnan(now):
        return None
    risen = enough and now > RISEN * before.loss and now > before.high and now - before.loss > RISEN_SHARE * scale
    # Right after a thaw running statistics have yet to catch up: an epoch that is not wholly after it counts only if nothing comes behind it.
    later = next((row for row in reversed(signs.epochs if signs.final else signs.era_epochs) if row.step >= signs.changed), None)
    lost = _lost(signs, before.epoch, later)
    if not risen and not lost:
        return None
    was, then = apart(before.loss, now)
    word = "has gone up" if now > before.loss else "has gone down"
    by = "made by the timeline" if before.change.source == "timeline" else "made while it went on"
    rate = f"; the learning rate was {before.rate:g} before and is {signs.rate:g} now" if before.rate != signs.rate else ""
    serious = now > max(10 * before.loss, 0.5 * scale) or lost
    learn = np.flatnonzero(signs.learns & ~before.learned)
    remedy = _taken_back(signs, before)
    return Sign(
        "serious" if serious else "warning",
        f"Since the change at step {before.change.step:,} ({before.change.text}, {by}) the training loss {word} from {was} (median of the "
        f"{before.steps:,} steps before it) to {then} (median of the last {min(signs.window, signs.since):,}){rate}.{_epochs(before.epoch, later)}",
        Remedy(f"{remedy.words}. Where weights have gone too far for that to help, start again without it.", remedy.change, remedy.settings),
        "loss", max(1, before.change.step - before.steps), signs.step, signs.names_at(learn[:6]), settled=lost,
    )  # fmt: skip


def _last_good(signs: Signs) -> Before | None:
    """How it went before the last change that was made while the loss was still about as low as before any."""
    known = [before for before in signs.befores if math.isfinite(before.loss)]
    lowest = min((before.loss for before in known), default=math.nan)
    limit = RISEN * lowest + RISEN_SHARE * _scale(signs)
    return next((before for before in reversed(known) if before.loss <= limit), None)


def _scale(signs: Signs) -> float:
    """The loss of a model that knows nothing: that of guessing, or of the first steps where that is not known."""
    return signs.facts.guess_loss or (signs.first_loss if math.isfinite(signs.first_loss) else 0.0)


def _lost(signs: Signs, before: EpochRow | None, later: EpochRow | None) -> bool:
    """Whether the newest epoch is less accurate than the last before the change, by more than chance does.

    Validation comes at the end of an epoch, so it is after the change also in the epoch in which that was made; training is not.
    """
    if before is None or later is None:
        return False
    pairs = [(before.train_accuracy, later.train_accuracy, signs.plan.train_samples)] if later in signs.era_epochs else []
    if before.validation_accuracy is not None and later.validation_accuracy is not None:
        pairs.append((before.validation_accuracy, later.validation_accuracy, sum(signs.facts.validation_counts)))
    return any(was - now > max(LOST, 3 * math.sqrt(was * (1 - was) / max(count, 1))) for was, now, count in pairs)


def _epochs(before: EpochRow | None, later: EpochRow | None) -> str:
    """The accuracies of both epochs, as they are."""
    if before is None or later is None:
        return ""
    said = (
        f" Right were {100 * before.train_accuracy:.1f} % of the training pictures in epoch {before.epoch:,} and {100 * later.train_accuracy:.1f} %"
    )
    if before.validation_accuracy is None or later.validation_accuracy is None:
        return f"{said} in epoch {later.epoch:,}."
    validation = f"{100 * before.validation_accuracy:.1f} and {100 * later.validation_accuracy:.1f} %"
    return f"{said} in epoch {later.epoch:,}, of the validation pictures {validation}."


def _taken_back(signs: Signs, before: Before) -> OtherRate:
    """What takes the change back, as far as it can be: the rate, the multipliers or what is frozen; what learns now learns more slowly."""
    row = before.change
    change = Change.parse(row.text)
    raised = signs.learns & before.learned & (row.multipliers > before.multipliers * 1.0001)
    thawed = signs.learns & ~before.learned
    if signs.config.optimizer in FIRST_STEP_ONLY and (change.learning_rate is not None or raised.any() or thawed.any()):
        return lower_rate(signs)
    if change.learning_rate is not None and change.learning_rate > 1.0001 * before.rate or not (raised.any() or thawed.any() or change.freezing):
        return _rate_back(signs, before)
    if raised.any():
        rules = _multipliers_back(signs, before, raised)
        words = f"Put the multipliers back to what they were ({listed(rules)})"
        live = "" if signs.final else ", ".join(rules)
        return _of_the_change(signs, before, words, live, lambda old: [rule for rule in old if "=" not in rule or rule.startswith("learning_rate=")])
    if thawed.any():
        rate = scaled(before.rate, 0.1)
        if rate is None:
            return lower_rate(signs)
        words = f"Let all learn at {rate:g} from that change on, a tenth of the rate that it met"
        live = f"learning_rate={rate:g}" if signs.rate > rate and not signs.final else ""
        return _of_the_change(signs, before, words, live, lambda old: with_rate(old, rate))
    stopped = [name for name, was, still in zip(signs.names, before.learned.tolist(), signs.learns.tolist(), strict=True) if was and not still]
    if not stopped:
        return OtherRate("Nothing of it holds any more")
    paths = [f"!{start.rstrip('.')}" for start in cover(stopped, [name for name in signs.names if name not in stopped])]
    words = f"Let what it froze learn again ({listed(paths)})"
    return _of_the_change(signs, before, words, "" if signs.final else ", ".join(paths), lambda old: [rule for rule in old if "=" in rule])


def _rate_back(signs: Signs, before: Before) -> OtherRate:
    rate = float(f"{before.rate:.6g}")
    if math.isclose(signs.rate, rate, rel_tol=1e-3) or rate <= 0:
        return OtherRate(f"The learning rate is {signs.rate:g} again: see whether the loss comes down")
    live = "" if signs.final else f"learning_rate={rate:g}"

    def without(rules: tuple[str, ...]) -> list[str]:
        return [rule for rule in rules if not rule.startswith("learning_rate=")]

    return _of_the_change(signs, before, f"Put the learning rate back to {rate:g}, as it was before", live, without)


def _multipliers_back(signs: Signs, before: Before, raised: np.ndarray) -> list[str]:
    """`path=factor` for what had another factor before."""
    rules: list[str] = []
    for factor in dict.fromkeys(before.multipliers[raised].tolist()):
        wanted = {name for name, up, was in zip(signs.names, raised.tolist(), before.multipliers.tolist(), strict=True) if up and was == factor}
        rules += [f"{start.rstrip('.')}={factor:g}" for start in cover(sorted(wanted), [name for name in signs.names if name not in wanted])]
    return rules


def _of_the_change(signs: Signs, before: Before, words: str, live: str, of: Callable[[tuple[str, ...]], Sequence[str]]) -> OtherRate:
    """`words`, and what a next run has to do for it: `of` the rules of its timeline there; nothing for what a person did."""
    if before.change.source == "live":
        return OtherRate(f"{words}; a next run with the same settings does not have that change, which was made by hand", live)
    settings: Settings = {"timeline": timeline_with(signs, before.change, of)}
    return OtherRate(f"{words}; in the next run, by its timeline ({settings['timeline'] or 'without that change'})", live, settings)


def blown_up(signs: Signs) -> Sign | None:
    """A loss far above that of knowing nothing, which is not on its way down."""
    guess = signs.facts.guess_loss
    if guess is None or not guess > 0:
        return None
    row = signs.epochs[-1] if signs.epochs else None
    now, earlier = signs.recent_loss, signs.earlier_loss
    enough = signs.since >= 2 * signs.window or (signs.final and signs.since >= 2)
    falling = now < 0.7 * earlier
    training = enough and now > BLOWN_UP * guess and not falling
    value = row.validation_loss if row else None
    lagging = row is not None and row.step < 4 * signs.facts.statistics_steps and row.train_loss < 2 * guess
    measured = row is not None and value is not None and row.step >= signs.changed and not value <= BLOWN_UP * guess and not lagging
    if not training and not measured:
        return None
    said = []
    if training:
        said.append(f"the training loss is {now:.4g} (median of the last {min(signs.window, signs.since):,} steps), {now / guess:,.3g} times as much")
    if measured and row is not None and value is not None:
        times = f"{value:.4g}, {value / guess:,.3g} times as much" if math.isfinite(value) else "no finite number"
        said.append(f"the validation loss is {times} (epoch {row.epoch:,})")
    lower = lower_rate(signs)
    return Sign(
        "serious" if training else "warning",
        f"Giving every class the same chance would have a loss of {guess:.4g}: {' and '.join(said)}.",
        Remedy(f"{lower.words}. Where weights have gone too far for that to help, start again with it.", lower.change, lower.settings),
        "loss" if training else "accuracy", max(1, signs.changed), signs.step,
    )  # fmt: skip


RULES = (
    Rule(
        "worse since a change", "It got worse after a change", "loss and accuracy before each change, against what they are now",
        "Layers that were thawed just now: the loss may go up for some steps, and come down below what it was.", worse_since_change, hold=2, clear=3,
        explained_by=("not a number",), ready=lambda signs: signs.since >= 2 * signs.window, last_word=True,
    ),
    Rule(
        "loss blown up", "The loss has blown up", "training and validation loss, against that of giving every class the same chance",
        "A network that begins with very large outputs and comes down from there.", blown_up, hold=2, clear=3,
        explained_by=("not a number", "learning rate too high", "worse since a change", "gradients add up"),
    ),
)  # fmt: skip
