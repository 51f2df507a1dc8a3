"""`Plan`: what a sweep is asked to do. A page, the command line and the store have it as the same JSON."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, Self

from core.config import ConfigError, RunConfig
from core.config.limits import LONGEST_NAME, quoted
from core.machine.hardware import cores, device_of
from core.sweeps.vary import Vary, parse_all

METHODS = {
    "grid": "Every combination once, in order.",
    "random": "Each run by chance, evenly within what was given.",
    "tpe": "Optuna's usual sampler: tries more where runs did well (tree-structured Parzen estimator).",
}
"""How the settings of the next run are found: name to what it does."""

PRUNERS = {
    "none": "Every run goes on to its end.",
    "median": "A run ends early where it does worse than the median of the runs before it at the same epoch.",
    "halving": "Of the runs at an epoch only the best part goes on (successive halving).",
}
"""How runs are given up early: name to what it does."""

OF_OPTUNA = tuple(name for name in METHODS if name not in ("grid", "random"))

MOST_RUNS = 100_000
ASKED_FIRST = 200
"""So many runs and more are asked about before they begin."""

MOST_AT_ONCE = 64
"""Runs of a sweep that may go on at once, at most."""

DEFAULT_RUNS = 24
"""Runs of a sweep that does not say how many, and does not list them."""


@dataclass(frozen=True)
class Plan:
    """A run's settings, what varies between runs, how, and how many.

    `runs` None: all combinations of a grid. `seed`: where the draws start from, not the runs'. `about`: "layers" for the question which layers
    to unfreeze. `by_chance`: a grid of which a part was wanted at first, and so is gone through by chance also where all of it is wanted now.
    Made by `make`, or read by `from_json`.
    """

    config: RunConfig
    vary: tuple[Vary, ...]
    method: str = "grid"
    pruner: str = "none"
    runs: int | None = None
    seed: int = 0
    at_once: int | None = None
    name: str = ""
    about: Literal["settings", "layers"] = "settings"
    by_chance: bool = False

    @property
    def combinations(self) -> int | None:
        """How many there are; None: a range makes them countless."""
        listed = [vary.listed for vary in self.vary]
        return None if None in listed else math.prod(len(values or ()) for values in listed)

    @property
    def total(self) -> int:
        """How many settings are to be tried."""
        every = self.combinations
        if self.method == "grid" and every is not None:
            return min(self.runs or every, every)
        return self.runs or DEFAULT_RUNS

    @property
    def engine(self) -> bool:
        """Whether Optuna is needed."""
        return self.method in OF_OPTUNA or self.pruner != "none"

    @property
    def side_by_side(self) -> int:
        """How many of its runs may go on at once where nothing else does.

        Where a run uses one thread, as many as there are cores: named, or because all that learns is a head on kept features.
        """
        if self.at_once is not None:
            return self.at_once
        if device_of(self.config.device) != "cpu":
            return 1
        if self.config.threads is not None and not self.varies("threads"):
            return max(1, cores() // self.config.threads)
        heads = str(self.config.freeze) == "head only" and not self.config.timeline.changes and self.config.augmentation == "none"
        of_heads = heads and self.config.feature_cache != "off" and not any(map(self.varies, ("freeze", "timeline", "augmentation", "feature_cache")))
        return max(1, cores()) if of_heads else 1

    @property
    def whole_grid(self) -> bool:
        """Whether every combination is tried, in order: then its runs can be repeated with other seeds, and nothing else can be added."""
        return self.method == "grid" and not self.by_chance and self.total == self.combinations

    def with_seeds(self, more: int) -> Plan:
        """The same grid with `more` seeds behind those that it has. What was drawn keeps its number: a grid has its seeds outermost."""
        before = next((vary.listed or () for vary in self.vary if vary.field == "seed"), (self.config.seed,))
        after = Vary("seed", (*before, *range(max(before) + 1, max(before) + 1 + more)))
        return replace(self, vary=(after, *(vary for vary in self.vary if vary.field != "seed")), runs=None)

    def varies(self, field: str) -> bool:
        """Whether a field is one of those that vary."""
        return any(vary.field == field for vary in self.vary)

    def with_values(self, given: dict[str, Any]) -> RunConfig:
        """The settings of the run that is given these values. Raises ConfigError for one that cannot be used."""
        return self.config.replace(**given)

    def to_json(self) -> str:
        """One line of JSON; `from_json` reads it."""
        fields = asdict(replace(self, vary=(), config=self.config))
        return json.dumps({**fields, "config": json.loads(self.config.to_json()), "vary": [str(vary) for vary in self.vary]})

    @classmethod
    def from_json(cls, text: str) -> Self:
        """What `to_json` wrote. Raises ConfigError for anything else."""
        try:
            found = json.loads(text)
            return cls(**{**found, "config": RunConfig(**found["config"]), "vary": parse_all(found["vary"])})
        except (ValueError, TypeError, KeyError) as error:
            raise ConfigError("sweep", f"cannot be read ({error}); it is damaged, or of a newer Thaw") from None


def make(
    config: RunConfig,
    vary: tuple[Vary, ...],
    method: str | None = None,
    pruner: str = "none",
    runs: int | None = None,
    at_once: int | None = None,
    name: str = "",
    seed: int = 0,
    about: Literal["settings", "layers"] = "settings",
) -> Plan:
    """A plan that can be carried out, as far as its own fields tell. `method` None: a grid where all values are listed, else by chance.

    Raises:
        ConfigError: on the field of the plan that cannot be used.
    """
    plan = Plan(config, vary, method or "", pruner, runs, seed, at_once, name.strip(), about)
    if not plan.method:
        plan = replace(plan, method="random" if plan.combinations is None else "grid")
    if plan.method != "grid":
        plan = replace(plan, runs=runs or DEFAULT_RUNS)
    if plan.method not in METHODS:
        raise ConfigError("method", f"there is no {quoted(plan.method)}; use one of {', '.join(METHODS)}")
    if pruner not in PRUNERS:
        raise ConfigError("pruner", f"there is no {quoted(pruner)}; use one of {', '.join(PRUNERS)}")
    if runs is not None and not 1 <= runs <= MOST_RUNS:
        raise ConfigError("runs", f"must be 1 to {MOST_RUNS:,}, got {runs:,}; try 24")
    if at_once is not None and not 1 <= at_once <= MOST_AT_ONCE:
        raise ConfigError("at_once", f"must be 1 to {MOST_AT_ONCE}, got {at_once:,}; try 1")
    if len(plan.name) > LONGEST_NAME:
        raise ConfigError("name", f"has {len(plan.name):,} characters, more than the {LONGEST_NAME} that a name may have; shorten it")
    if plan.method == "grid" and plan.combinations is None:
        endless = next(each for each in vary if each.listed is None)
        remedy = f"write '{endless} in 5' for five of them, or use the method random"
        raise ConfigError(endless.field, f"{endless.said} has countless values, and a grid tries all; {remedy}")
    if plan.method == "grid" and plan.total > MOST_RUNS:
        raise ConfigError(
            "vary", f"{plan.combinations:,} combinations are more than {MOST_RUNS:,}; give fewer values, or use random with a number of runs"
        )
    if config.validation_share == 0 and not plan.varies("validation_share"):
        raise ConfigError("validation_share", "0 leaves nothing to compare the runs by (the test set is for the one that is chosen); try 0.2")
    if pruner != "none" and any(plan.varies(field) for field in ("epochs", "dataset")):
        field = next(field for field in ("epochs", "dataset") if plan.varies(field))
        raise ConfigError("pruner", f"compares runs epoch by epoch, which means nothing where {field} varies; use none, or let {field} stay")
    return plan
