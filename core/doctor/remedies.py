"""Another learning rate as a remedy: in words, for a run that goes on, and for the next one. What the words say is what the settings do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from core.catalog.optimizers import FIRST_STEP_ONLY, OPTIMIZERS, rate_limit
from core.catalog.rate_advice import outside, rate_advice
from core.catalog.rates import step_of
from core.config.plans import Change, TimedChange, Timeline
from core.doctor.rule import rounded
from core.doctor.signs import Signs
from core.records.events import ChangeRow

HIGHEST = 1000.0
"""The highest learning rate that a run takes."""

USUAL_HIGHEST = 1.0
"""No higher rate is proposed, unless one that is as high already does too little: then three times as much."""

Settings = dict[str, bool | int | float | str | None]


@dataclass(frozen=True)
class OtherRate:
    """`words` is a sentence without its full stop; `change` and `settings` are a remedy's, empty where there is none."""

    words: str
    change: str = ""
    settings: Settings = field(default_factory=dict)

    @property
    def moves(self) -> bool:
        """Whether it is about a rate that a run takes, now or next time."""
        return bool(self.change) or not {"learning_rate", "timeline"}.isdisjoint(self.settings) and "optimizer" not in self.settings


def scaled(rate: float, factor: float) -> float | None:
    """`rate` times `factor` in one digit, in the direction of `factor` and within what a run takes; None where that cannot be had."""
    if rate <= 0:
        return None
    wanted = rounded(rate * factor)
    if factor < 1:
        return wanted if 0 < wanted < rate else None
    wanted = min(wanted, max(USUAL_HIGHEST, rounded(3 * rate)), HIGHEST)
    return wanted if wanted > rate else None


def other_rate(signs: Signs, factor: float) -> OtherRate:
    """The learning rate times `factor`: now, and where a next run has it from (the settings, or a change of the timeline)."""
    verb = "Lower" if factor < 1 else "Raise"
    if signs.config.optimizer in FIRST_STEP_ONLY:
        return another_optimizer(signs)
    limit = rate_limit(signs.config.optimizer, signs.step)
    now = None if signs.final or (factor > 1 and signs.rate >= limit) else scaled(min(signs.rate, limit), factor)
    change = f"learning_rate={now:g}" if now else ""
    row = signs.rate_change
    if row is not None and row.source == "live":
        own = f"it was set while the run went on (step {row.step:,}), and a next run with the same settings does not have it"
        return OtherRate(f"{verb} the learning rate to {now:g}; {own}" if now else f"{verb} the learning rate: {own}", change)
    begin = row.learning_rate if row is not None else signs.config.learning_rate
    later = scaled(begin, factor)
    if later is None:
        return OtherRate(f"{verb} the learning rate to {now:g}" if now else f"{verb} the learning rate", change)
    if row is None:
        settings: Settings = {"learning_rate": later}
        where = ""
    else:
        settings = {"timeline": timeline_with(signs, row, lambda rules: with_rate(rules, later))}
        where = " in the timeline"
    if now is None:
        return OtherRate(f"{verb} the learning rate to {later:g}{where} in the next run", "", settings)
    if now == later and not where:
        return OtherRate(f"{verb} the learning rate to {now:g}", change, settings)
    return OtherRate(f"{verb} the learning rate to {now:g} now, and in the next run to {later:g}{where}", change, settings)


def lower_rate(signs: Signs) -> OtherRate:
    """A tenth of the learning rate; where that would still be far above what is usual for the run, the usual rate."""
    advice = rate_advice(signs.config)
    tenth = signs.config.model_copy(update={"learning_rate": signs.rate / 10})
    far = advice is not None and tenth.learning_rate > advice.high and outside(tenth)
    return other_rate(signs, advice.usual / signs.rate if advice and far else 0.1)


def another_optimizer(signs: Signs) -> OtherRate:
    """For one that takes the learning rate for its first step only: no rate makes its steps longer or shorter."""
    own = signs.config.optimizer
    rate = OPTIMIZERS["AdamW"].learning_rate
    words = f"Use another optimizer, such as AdamW at {rate:g}: {own} takes the learning rate for its first step only and sizes the others itself"
    # Options of one optimizer are none of another's.
    return OtherRate(words, "", {} if signs.config.optimizer_options else {"optimizer": "AdamW", "learning_rate": rate})


def timeline_with(signs: Signs, row: ChangeRow, of: Callable[[tuple[str, ...]], Sequence[str]]) -> str:
    """The run's timeline as text, with `of(rules)` for the rules that it has at the step of `row`; a change without rules is left out."""
    changes = []
    for timed in signs.config.timeline.changes:
        rules = tuple(of(timed.change.rules)) if step_of(timed, signs.plan.steps_per_epoch) == row.step else timed.change.rules
        if rules:
            changes.append(TimedChange(unit=timed.unit, at=timed.at, change=Change(rules=rules)))
    return str(Timeline(changes=tuple(changes)))


def with_rate(rules: Sequence[str], rate: float) -> tuple[str, ...]:
    """These rules of a change with this learning rate, in place of the one that they set if they do."""
    return (*(rule for rule in rules if not rule.startswith("learning_rate=")), f"learning_rate={rate:g}")
