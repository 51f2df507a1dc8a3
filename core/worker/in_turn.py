"""Runs of one sweep, one after the other in one process: what is imported, read and proved for the first serves the others too.

Each is a run like any other, with its own row, folder, log and seed, and ends with the bits that it would have alone: whatever a run sets
of torch's it sets at its beginning (`assembly`). An exception ends its own run; a process that is killed takes one run with it, and the others
are begun again by whoever dispatches. Where torch.compile or measuring leave something behind, each run has a process of its own.
"""

from __future__ import annotations

import gc
from collections.abc import Callable

import psutil

from core.config import ConfigError, RunConfig
from core.config.devices import shared
from core.machine.hardware import device_of
from core.machine.home import Home
from core.machine.settings import Settings, read_settings
from core.records.events import EpochRow, RunStatus
from core.store import RunStore, StoreError, membership
from core.store.saving import log
from core.sweeps import engine, moving
from core.sweeps.engine import Past
from core.sweeps.plan import Plan
from core.worker.worker import Worker


def may_share(config: RunConfig) -> bool:
    """Whether another run may follow in the process of one with this config."""
    return not config.compile_model and config.speed == "exact" and not shared(config)


def next_run(home: Home, ended: str) -> str | None:
    """The run that this process does next, after `ended`: the next of its sweep, which is claimed. None: the process ends.

    Nothing is raised: what the store has to say then is for whoever dispatches.
    """
    me = psutil.Process()
    try:
        store = RunStore(home.database)
        member = store.member(ended)
        if member is None or store.run(ended).status is RunStatus.INTERRUPTED or not may_share(store.run(ended).config):
            return None
        try:
            slots = read_settings(home).slots
        except ConfigError:
            slots = Settings().slots
        moving.move_on(store, member.sweep_id)
        following = store.claim_next(ended, (me.pid, me.create_time()), slots, device_of)
    except (StoreError, ConfigError, KeyError) as error:
        log(f"No other run follows in this process: {error}")
        return None
    gc.collect()  # the run before is gone before the next one wants its memory
    return following


def take_part(worker: Worker, store: RunStore) -> None:
    """Let the worker of a run of a sweep, alone or the first of several, do what is asked of one: say so beside the run, end early. Else nothing."""
    membership.keep_beside(store, worker.folder, worker.run_id)
    worker.gives_up = judge(worker.home, store, worker.run_id)


def judge(home: Home, store: RunStore, run_id: str) -> Callable[[EpochRow], bool]:
    """For a run of a sweep that gives up early what does worse: whether it is to end after an epoch. For any other: never."""
    member = store.member(run_id)
    plan = Plan.from_json(store.sweep(member.sweep_id).plan) if member else None
    if member is None or plan is None or plan.pruner == "none" or engine.missing():
        return lambda row: False
    seen: list[tuple[int, float]] = []

    def gives_up(row: EpochRow) -> bool:
        if row.validation_accuracy is None or row.epoch >= plan.config.epochs:
            return False
        seen[:] = [*(pair for pair in seen if pair[0] < row.epoch), (row.epoch, row.validation_accuracy)]
        others = moving.past_of(store, member.sweep_id, but=run_id)
        if not engine.gives_up(plan, others, Past(member.given, RunStatus.RUNNING, None, tuple(seen))):
            return False
        store.set_pruned(run_id, row.epoch)
        membership.keep_beside(store, home.run_folder(run_id), run_id)
        log(f"Given up after epoch {row.epoch}: other runs of the sweep did better by then ({plan.pruner}).")
        return True

    return gives_up
