"""What a timeline changes, as sets of parameter names: each moment by itself, so that epochs and steps need no common order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from core.config import ConfigError, RunConfig
from core.config.plans import PRESETS, Change, FreezePlan
from core.records.layers import ParameterInfo, frozen_parameters, matches


@dataclass(frozen=True)
class Phase:
    """A moment of a training at which something changes: before the first step of epoch `at`, or before step `at`.

    `frozen` are the parameters that are frozen from here on, `learns` those that learn from here on, `multipliers` the factors
    that are set; what is in none of them stays as it is. `learning_rate` is that of a factor of 1; None: it stays, too.
    """

    unit: Literal["epoch", "step"]
    at: int
    frozen: frozenset[str] = frozenset()
    learns: frozenset[str] = frozenset()
    multipliers: Mapping[str, float] = field(default_factory=dict)
    learning_rate: float | None = None


def phases(config: RunConfig, parameters: Iterable[ParameterInfo]) -> tuple[Phase, ...]:
    """The timeline of `config` for a model with these parameters, in the order in which it is written down.

    Raises:
        ConfigError: on `timeline`, for a rule that matches no parameter.
    """
    parameters = tuple(parameters)
    return tuple(_phase(timed.unit, timed.at, timed.change, parameters) for timed in config.timeline.changes)


def _phase(unit: Literal["epoch", "step"], at: int, change: Change, parameters: tuple[ParameterInfo, ...]) -> Phase:
    frozen: dict[str, bool] = {}
    for rule in change.freezing:
        if rule in PRESETS:
            plan = FreezePlan(rules=(rule,))
            held = frozen_parameters(plan, parameters)
            frozen = {parameter.name: parameter.name in held for parameter in parameters}
        else:
            frozen |= dict.fromkeys(_matched(rule.removeprefix("!"), parameters), not rule.startswith("!"))
    multipliers: dict[str, float] = {}
    for pattern, factor in change.multipliers:
        multipliers |= dict.fromkeys(_matched(pattern, parameters, roles=True), factor)
    return Phase(
        unit,
        at,
        frozenset(name for name, state in frozen.items() if state),
        frozenset(name for name, state in frozen.items() if not state),
        multipliers,
        change.learning_rate,
    )


def _matched(pattern: str, parameters: tuple[ParameterInfo, ...], roles: bool = False) -> list[str]:
    found = [
        parameter.name for parameter in parameters if (roles and parameter.role == pattern) or any(matches(pattern, name) for name in parameter.names)
    ]
    if not found and not roles:
        raise ConfigError("timeline", f"the pattern {pattern!r} matches no layer of this model; use the beginning of a layer's name")
    return found
