"""From a plan to the runs of a sweep: which settings come next, and which of them no run can use."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from core.catalog.check import check
from core.config import ConfigError, RunConfig
from core.sweeps.plan import OF_OPTUNA, Plan
from core.sweeps.vary import as_text

Given = dict[str, Any]
Refused = tuple[Given, str]
Check = Callable[[RunConfig], RunConfig]

PATIENCE = 5
"""A sweep by chance gives up after so many times as many draws as runs were asked for."""


@dataclass(frozen=True)
class Drawn:
    """Runs that can begin, each with its number, what it is given and its settings; what was refused; and how many were tried in all."""

    runs: tuple[tuple[int, Given, RunConfig], ...]
    refused: tuple[Refused, ...]
    tried: int


def settings_of(plan: Plan, start: int = 0) -> Iterator[Given]:
    """What each run is given from number `start` on, in order: a function of the plan alone. Endless where it goes by chance.

    A seed comes last of all in a grid, so that every setting is seen once before any is seen again. A grid of which not all is wanted is gone
    through by chance, in an order that the plan's seed decides.
    """
    if plan.method != "grid":
        number = start
        while True:
            chance = random.Random(f"{plan.seed} {number}")
            yield {vary.field: vary.drawn(chance) for vary in plan.vary}
            number += 1
    fields = sorted(plan.vary, key=lambda vary: vary.field != "seed")
    listed = [vary.listed or () for vary in fields]
    every = plan.combinations or 0
    if not plan.whole_grid:
        order: Sequence[int] = random.Random(f"{plan.seed}").sample(range(every), every)
        for number in itertools.islice(order, start, None):
            values = []
            for each in reversed(listed):
                number, place = divmod(number, len(each))
                values.append(each[place])
            yield dict(zip((vary.field for vary in fields), reversed(values), strict=True))
        return
    for values_ in itertools.islice(itertools.product(*listed), start, None):
        yield dict(zip((vary.field for vary in fields), values_, strict=True))


def draw(plan: Plan, wanted: int, start: int = 0, checked: Check = check, progress: Callable[[int], None] = lambda done: None) -> Drawn:
    """`wanted` runs that can begin, from number `start` on; fewer where there are no more. For all but Optuna's samplers.

    Args:
        checked: the config in its canonical spelling; raises ConfigError where no run can use it.
        progress: told how many were tried.
    """
    assert plan.method not in OF_OPTUNA
    runs: list[tuple[int, Given, RunConfig]] = []
    refused: list[Refused] = []
    tried = 0
    most = wanted if plan.method == "grid" else PATIENCE * wanted + 20
    for given in itertools.islice(settings_of(plan, start), most):
        tried += 1
        try:
            runs.append((start + tried - 1, given, checked(plan.with_values(given))))
        except ConfigError as error:
            refused.append((given, str(error)))
        progress(tried)
        if len(runs) == wanted:
            break
    return Drawn(tuple(runs), tuple(refused), start + tried)


def refuse_all(plan: Plan, refused: Sequence[Refused], checked: Check = check) -> ConfigError:
    """The error for a sweep of which no run could begin: the field and the value that are in the way of all of them, and why."""
    given = refused[0][0] if refused else {}
    try:
        checked(plan.with_values(given))
    except ConfigError as error:
        every = f"none of the {len(refused):,} settings that were tried can be used" if len(refused) > 1 else "the only settings cannot be used"
        return ConfigError(error.field, f"{error.message} ({every}; nothing was started)")
    return ConfigError("vary", "leaves nothing to try; give other values")


def in_words(refused: Sequence[Refused], most: int = 5) -> list[str]:
    """A sentence for each value, or for each settings, that no run can use: 'learning_rate=5000: must be 1000 or less, ... (3 runs)'."""
    by_reason: dict[str, list[Given]] = {}
    for given, reason in refused:
        by_reason.setdefault(reason, []).append(given)
    lines = []
    for reason, all_given in by_reason.items():
        same = {name: value for name, value in all_given[0].items() if all(other.get(name) == value for other in all_given)}
        field = reason.partition(":")[0]
        shown = {field: same[field]} if field in same else same or all_given[0]
        told = ", ".join(f"{name}={as_text(value)}" for name, value in shown.items())
        lines.append(f"{told} was left out ({len(all_given):,} run{'' if len(all_given) == 1 else 's'}): {reason}")
    return lines if len(lines) <= most else [*lines[:most], f"... and {len(lines) - most:,} more reasons"]
