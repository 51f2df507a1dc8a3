"""Finished runs that differ from a config in nothing but freeze plan and seed: what they came to."""

from __future__ import annotations

from core.config import RunConfig
from core.records.events import RunStatus
from core.records.how_much import Tried, tried
from core.store.run_store import RunStore

LOOKED_AT = 1_000
"""The newest runs that are looked at."""

_FREE = (
    "freeze",
    "seed",
    "threads",
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
    "watch_budget",
    "watch_every",
    "checkpoint_minutes",
    "forgetting",
    "old_task",
)
"""The fields that may differ: the plan and the seed, and what changes no more than the last digits or nothing at all."""


def plans_tried(store: RunStore, config: RunConfig) -> tuple[Tried, ...]:
    """What finished runs like `config` came to on their validation pictures, by freeze plan. Raises StoreError."""
    wanted = config.model_dump(exclude=set(_FREE))
    found = []
    for run in store.runs(LOOKED_AT, active=False):
        accuracy = run.result.validation_accuracy if run.result else None
        if run.status == RunStatus.FINISHED and accuracy is not None and run.config.model_dump(exclude=set(_FREE)) == wanted:
            found.append((str(run.config.freeze), run.config.seed, accuracy))
    return tried(found)
