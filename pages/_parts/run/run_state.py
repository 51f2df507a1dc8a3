"""What a run's layers are doing now, and the change that takes another one back. Pure: rows of the store in, changes out."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from core.code.names import cover
from core.config import ConfigError
from core.config.plans import Change, FreezePlan
from core.records.events import ChangeRow, Command, CommandKind, RunPlan
from core.records.layers import ParameterInfo, frozen_parameters, matches


@dataclass(frozen=True)
class State:
    """Which parameter tensors are frozen, and what their learning rate is multiplied by, in the order of the run's layers."""

    frozen: tuple[bool, ...]
    factors: tuple[float, ...]


def first_state(plan: RunPlan) -> State:
    """What a run began with."""
    return State(tuple(layer.frozen for layer in plan.layers), tuple(_shown(layer.multiplier) for layer in plan.layers))


def state_after(row: ChangeRow) -> State:
    """What holds after a change."""
    return State(tuple(bool(frozen) for frozen in row.frozen), tuple(_shown(factor) for factor in row.multipliers))


def state_now(plan: RunPlan, changes: Sequence[ChangeRow]) -> State:
    """What holds after all `changes`."""
    return state_after(changes[-1]) if changes else first_state(plan)


def made(commands: Iterable[Command], changes: Sequence[ChangeRow]) -> dict[int, int]:
    """Command id to place among `changes` of what it changed: live changes are made in the order in which they were asked for."""
    asked = [command for command in commands if command.kind == CommandKind.CHANGE and command.applied_at_step is not None and not command.error]
    live = [place for place, row in enumerate(changes) if row.source == "live"]
    return {command.id: place for command, place in zip(asked, live, strict=False) if command.payload == changes[place].text}


@dataclass(frozen=True)
class Goal:
    """What would hold if one change had not been made: the state to go to, and whether the learning rate goes back too."""

    state: State
    rate: bool


def goal_without(plan: RunPlan, changes: Sequence[ChangeRow], place: int) -> Goal | None:
    """What holds now, but for what the change at `place` did; None where nothing of it holds any more."""
    before = state_after(changes[place - 1]) if place else first_state(plan)
    after, now = state_after(changes[place]), state_now(plan, changes)
    # What was changed again since stays: of that nothing holds.
    frozen = tuple(was if is_now == became else is_now for was, became, is_now in zip(before.frozen, after.frozen, now.frozen, strict=True))
    factors = tuple(was if is_now == became else is_now for was, became, is_now in zip(before.factors, after.factors, now.factors, strict=True))
    rate = _sets_rate(changes[place]) and not any(_sets_rate(row) for row in changes[place + 1 :])
    goal = Goal(State(frozen, factors), rate)
    return goal if rate or goal.state != now else None


def rate_before(changes: Sequence[ChangeRow], place: int, last: float | None, first: float) -> float:
    """The learning rate that the change at `place` took the place of.

    Args:
        last: that of the step before it; None: there was none, or it was not kept.
        first: what the run began with.
    """
    earlier = changes[place - 1] if place else None
    if earlier is not None and (last is None or earlier.step == changes[place].step):  # no step lies between the two
        return earlier.learning_rate
    return first if last is None else last


def towards(plan: RunPlan, now: State, goal: Goal, rate: float) -> Change:
    """The change that leads from `now` to `goal` and touches nothing else. `rate` is the learning rate that goes with it."""
    names = [layer.name for layer in plan.layers]
    rules: list[str] = []
    for freeze in (True, False):
        wanted = {name for name, to, still in zip(names, goal.state.frozen, now.frozen, strict=True) if to == freeze != still}
        rules += [("" if freeze else "!") + path for path in paths(names, wanted)]
    for factor in dict.fromkeys(goal.state.factors):
        wanted = {name for name, to, still in zip(names, goal.state.factors, now.factors, strict=True) if to == factor != still}
        rules += [f"{path}={factor:g}" for path in paths(names, wanted)]
    if goal.rate:
        rules.append(f"learning_rate={rate:.6g}")
    return Change(rules=tuple(rules))


def paths(names: Sequence[str], wanted: Collection[str]) -> list[str]:
    """The fewest modules and parameters that hold all of `wanted` and none of the other `names`: what a person would write."""
    found = cover((name for name in names if name in wanted), (name for name in names if name not in wanted))
    return [beginning.rstrip(".") for beginning in found]


def frozen_after(change: Change, frozen: frozenset[str], parameters: Sequence[ParameterInfo]) -> frozenset[str]:
    """What is frozen once `change` is made. A preset that does not fit the model changes nothing."""
    for rule in change.freezing:
        if FreezePlan(rules=(rule,)).preset == rule:
            try:
                frozen = frozen_parameters(FreezePlan(rules=(rule,)), parameters)
            except ConfigError:
                continue
        else:
            pattern = rule.removeprefix("!")
            matched = {parameter.name for parameter in parameters if any(matches(pattern, name) for name in parameter.names)}
            frozen = frozen - matched if rule.startswith("!") else frozen | matched
    return frozen


def _shown(factor: float) -> float:
    """A multiplier to six digits: the store keeps those of changes in float32, which must not look like other ones."""
    return float(f"{factor:.6g}")


def _sets_rate(row: ChangeRow) -> bool:
    return Change.parse(row.text).learning_rate is not None
