"""A freeze plan and its timeline as a grid of blocks x epochs, and what an edit of that grid makes of both. Pure: texts in, texts out.

An edit touches what it is about and nothing else: rules about other blocks, presets inside the timeline, learning rates and
changes that come at a step stay as they were written. Where a rule that stays would undo the edit, a rule is added behind it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from core.config import ConfigError
from core.config.plans import Change, FreezePlan, Multipliers, TimedChange, Timeline
from core.records.layers import ParameterInfo, frozen_parameters, matches, multipliers_by_parameter

MOST_COLUMNS = 40
"""More epochs than these share columns: narrower ones could not be pointed at."""

FROZEN, LEARNS, MIXED = "1", "0", "2"


@dataclass(frozen=True)
class Stretch:
    """Epochs in which the same tensors are frozen: from epoch `first` to where the next stretch begins, or to the end."""

    first: int
    frozen: frozenset[str]


def stretches(plan: FreezePlan, timeline: Timeline, parameters: Iterable[ParameterInfo]) -> tuple[Stretch, ...]:
    """What is frozen when, the first epoch first. Changes that come at a step are left out: in which epoch it lies is not known here.

    Raises:
        ConfigError: on `freeze` or `timeline`, for a pattern that matches nothing and where nothing would be left to train.
    """
    parameters = tuple(parameters)
    frozen_parameters(plan, parameters)
    found: list[Stretch] = []
    for epoch, later in plans(plan, timeline):
        try:
            frozen = frozen_parameters(later, parameters)
        except ConfigError as error:
            raise ConfigError("timeline", f"in epoch {epoch}: {error.message}") from None
        if not found or frozen != found[-1].frozen:
            found.append(Stretch(epoch, frozen))
    return tuple(found)


def plans(plan: FreezePlan, timeline: Timeline) -> tuple[tuple[int, FreezePlan], ...]:
    """The freeze plan from each epoch on in which it changes, the first epoch first."""
    found = []
    for epoch in sorted({1, *(timed.at for timed in _by_epoch(timeline))}):
        for change in timeline.due("epoch", epoch):
            plan = plan.then(change)
        found.append((epoch, plan))
    return tuple(found)


def columns(epochs: int, most: int = MOST_COLUMNS) -> tuple[tuple[int, int], ...]:
    """First and last epoch of each column: an epoch each, or as few epochs each as make at most `most` columns."""
    width = -(-epochs // most)
    return tuple((first, min(first + width - 1, epochs)) for first in range(1, epochs + 1, width))


def cells(course: Sequence[Stretch], names: Iterable[str], spans: Sequence[tuple[int, int]]) -> str:
    """One character a column for the tensors `names`: all frozen in all its epochs, all learning, or mixed."""
    names = frozenset(names)
    states = [FROZEN if names <= stretch.frozen else MIXED if names & stretch.frozen else LEARNS for stretch in course]
    ends = [stretch.first - 1 for stretch in course[1:]] + [spans[-1][1]]
    row = []
    for first, last in spans:
        met = {state for state, stretch, end in zip(states, course, ends, strict=True) if stretch.first <= last and first <= end}
        row.append(met.pop() if len(met) == 1 else MIXED)
    return "".join(row)


def with_block(
    plan: FreezePlan, timeline: Timeline, parameters: Iterable[ParameterInfo], path: str, first: int, last: int | None, frozen: bool
) -> tuple[FreezePlan, Timeline]:
    """Plan and timeline with all below `path` frozen, or learning, in the epochs `first` to `last` (None: to the end), else as they are.

    Raises:
        ConfigError: on `timeline` or `freeze`, where nothing would be left to train in some epoch.
    """
    parameters = tuple(parameters)
    names = frozenset(parameter.name for parameter in parameters if any(matches(path, name) for name in parameter.names))
    before = stretches(plan, timeline, parameters)
    touched = (first, 10**9 if last is None else last + 1)  # behind the last epoch stands what was put there to end an earlier edit

    def wanted(epoch: int) -> frozenset[str]:
        now = [stretch.frozen for stretch in before if stretch.first <= epoch][-1]
        if epoch < first or last is not None and epoch > last:
            return now
        return now | names if frozen else now - names

    start, changed = plan, []
    for epoch in sorted({1, first, *([last + 1] if last is not None else []), *(timed.at for timed in _by_epoch(timeline))}):
        here = [timed for timed in _by_epoch(timeline) if timed.at == epoch]
        if touched[0] <= epoch <= touched[1]:
            stripped = _without(here, path)
            here = stripped if _frozen(_after(plan, stripped), parameters) == wanted(epoch) else here
            if _frozen(_after(plan, here), parameters) != wanted(epoch):
                here = stripped
        rules = _rules_between(_frozen(_after(plan, here), parameters), wanted(epoch), parameters)
        if rules and epoch == 1 and not here:
            start = plan = plan.then(Change(rules=rules))
        elif rules:
            here = [*here[:-1], _with_rules(here[-1], rules)] if here else [TimedChange(unit="epoch", at=epoch, change=Change(rules=rules))]
        plan = _after(plan, here)
        changed += here
    result = Timeline(changes=(*changed, *(timed for timed in timeline.changes if timed.unit == "step")))
    stretches(start, result, parameters)  # refuses a course in which nothing would be left to train
    return start, result


def block_factors(multipliers: Multipliers, parameters: Iterable[ParameterInfo], blocks: Mapping[str, Sequence[str]]) -> dict[str, tuple[float, ...]]:
    """The different learning-rate multipliers within each block, smallest first: one number where they are all the same.

    Raises:
        ConfigError: for a rule that matches no parameter.
    """
    found = multipliers_by_parameter(multipliers, parameters)
    return {path: tuple(sorted({found[name] for name in names})) for path, names in blocks.items()}


def with_factor(multipliers: Multipliers, parameters: Iterable[ParameterInfo], path: str, factor: float) -> Multipliers:
    """These multipliers with `factor` for all below `path`. A factor of 1 leaves no rule behind where none is needed.

    Raises:
        ConfigError: on `learning_rate_multipliers`, for a factor that is none.
    """
    try:
        changed = multipliers.with_module(path, factor)
    except ValueError as error:
        raise ConfigError("learning_rate_multipliers", f"{factor:g} for {path} cannot be used; give a number above 0 and up to 1000") from error
    plain = Multipliers(rules=changed.rules[:-1])
    same = multipliers_by_parameter(plain, parameters) == multipliers_by_parameter(changed, parameters)
    return plain if factor == 1 and same else changed


def _by_epoch(timeline: Timeline) -> list[TimedChange]:
    return [timed for timed in timeline.changes if timed.unit == "epoch"]


def _after(plan: FreezePlan, changes: Iterable[TimedChange]) -> FreezePlan:
    for timed in changes:
        plan = plan.then(timed.change)
    return plan


def _frozen(plan: FreezePlan, parameters: tuple[ParameterInfo, ...]) -> frozenset[str]:
    """Like `frozen_parameters`, but all may be frozen: that is refused at the end, not half-way through an edit."""
    try:
        return frozen_parameters(plan, parameters)
    except ConfigError:
        return frozenset(parameter.name for parameter in parameters)


def _without(changes: Iterable[TimedChange], path: str) -> list[TimedChange]:
    """The changes without rules that freeze or thaw what lies at or below `path`; one without rules goes."""
    kept = []
    for timed in changes:
        rules = tuple(rule for rule in timed.change.rules if "=" in rule or not (rule.removeprefix("!") + ".").startswith(path + "."))
        if rules:
            kept.append(TimedChange(unit=timed.unit, at=timed.at, change=Change(rules=rules)))
    return kept


def _with_rules(timed: TimedChange, rules: tuple[str, ...]) -> TimedChange:
    return TimedChange(unit=timed.unit, at=timed.at, change=Change(rules=(*timed.change.rules, *rules)))


def _rules_between(have: frozenset[str], want: frozenset[str], parameters: tuple[ParameterInfo, ...]) -> tuple[str, ...]:
    """The fewest rules that make `want` of `have`: of each changed tensor the outermost module in which all shall be in its state."""
    rules: list[str] = []
    covered: set[str] = set()
    for parameter in parameters:
        freeze = parameter.name in want
        if freeze == (parameter.name in have) or parameter.name in covered:
            continue
        parts = parameter.name.split(".")
        for depth in range(1, len(parts) + 1):
            path = ".".join(parts[:depth])
            inside = [other.name for other in parameters if any(matches(path, name) for name in other.names)]
            if depth == len(parts) or all((name in want) == freeze for name in inside):
                rules.append(path if freeze else f"!{path}")
                covered.update(inside)
                break
    return tuple(rules)
