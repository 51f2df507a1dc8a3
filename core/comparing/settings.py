"""What differs between the settings of runs, and which of them are the same but for their seed. Plain values in and out, nothing is checked."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

SEED = "seed"

ABOUT_THE_MACHINE = (
    "device",
    "devices",
    "nodes",
    "rendezvous",
    "restarts",
    "silence_seconds",
    "target",
    "partition",
    "time_limit",
    "sbatch",
    "threads",
    "watch_every",
    "watch_budget",
    "checkpoint_minutes",
    "feature_cache_gigabytes",
)
"""Fields that change how a run is made and watched, but not what it learns: runs that differ in these alone are still repeats."""


def differing(configs: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """The fields in which the configs differ, in the order of the first config: field to {run: value}; None: that run does not have it."""
    fields = dict.fromkeys(field for config in configs.values() for field in config)
    found = {field: {run: config.get(field) for run, config in configs.items()} for field in fields}
    return {field: values for field, values in found.items() if len({_key(value) for value in values.values()}) > 1}


def repeats(configs: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """Groups of two and more runs whose settings are the same but for the seed, in the order of their first runs. An empty config is no repeat."""
    groups: dict[str, list[str]] = {}
    for run, config in configs.items():
        if config:
            groups.setdefault(_key({name: value for name, value in config.items() if name not in (SEED, *ABOUT_THE_MACHINE)}), []).append(run)
    return [tuple(runs) for runs in groups.values() if len({_key(configs[run].get(SEED)) for run in runs}) > 1]


def spread(values: Sequence[float | None]) -> dict[str, float | int] | None:
    """Mean, lowest, highest and number of those that are there; None where none is. Units as given."""
    there = [value for value in values if value is not None]
    return {"mean": sum(there) / len(there), "low": min(there), "high": max(there), "runs": len(there)} if there else None


def _key(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)
