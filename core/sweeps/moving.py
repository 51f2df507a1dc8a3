"""Sweeps on their way: begun, moved on, stopped, resumed, and given more runs. All of it is rows in the store; processes are the queue's matter."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from core.catalog.check import check
from core.config import ConfigError, RunConfig
from core.records.events import CommandKind, RunStatus
from core.store import Run, RunStore, UnreadableRun
from core.store.continued import ResumeRequest
from core.store.sweep_tables import Draw, SweepRow
from core.sweeps import engine
from core.sweeps.drawing import Check, Drawn, Given, Refused, draw, refuse_all
from core.sweeps.engine import Past
from core.sweeps.plan import MOST_RUNS, OF_OPTUNA, Plan

ASKS = 20
"""Settings that a sampler may suggest in vain for one run."""

MOST_SEEDS = 100
"""Seeds that are added at a time."""


def begin(store: RunStore, plan: Plan, checked: Check = check, progress: Callable[[int], None] = lambda done: None) -> tuple[str, Drawn]:
    """Queue the runs of a sweep; of one that Optuna leads, those that can go on at once. Returns its id, and what was drawn.

    Raises:
        ConfigError: no run of it could begin, or Optuna is wanted and missing. Nothing is started then.
        StoreError: the store cannot be written. Nothing is started then.
    """
    engine.refuse_missing(plan)
    drawn = _next(plan, (), 0, plan.side_by_side, checked) if plan.method in OF_OPTUNA else draw(plan, plan.total, 0, checked, progress)
    if not drawn.runs:
        raise refuse_all(plan, drawn.refused, checked)
    return store.create_sweep(plan.to_json(), plan.side_by_side, _draws(drawn), drawn.tried, drawn.refused), drawn


def move_on(store: RunStore, sweep_id: str) -> list[str]:
    """Queue what Optuna wants to be tried next, as far as there is room; the ids of these runs. Cheap where there is nothing to do.

    Any process may call it at any time: of two that draw at once one is left.
    """
    row = store.sweep(sweep_id)
    plan = Plan.from_json(row.plan)
    if plan.method not in OF_OPTUNA or row.stopped is not None:
        return []
    members = store.members(sweep_id)
    wanted = min(row.at_once - store.open_members(sweep_id), plan.total - len(members))
    if wanted <= 0 or row.tried >= ASKS * plan.total:
        return []
    try:
        engine.refuse_missing(plan)
    except ConfigError as error:  # it was there when the sweep began
        if row.trouble != str(error):
            store.set_sweep(sweep_id, trouble=str(error))
        return []
    drawn = _next(plan, past_of(store, sweep_id), row.tried, wanted, check)
    return store.add_to_sweep(
        sweep_id, [(number, given, config.to_json()) for number, given, config in drawn.runs], row.tried, drawn.tried, drawn.refused
    )


def _next(plan: Plan, past: Sequence[Past], tried: int, wanted: int, checked: Check) -> Drawn:
    """`wanted` runs as Optuna suggests them, each told of those before it."""
    told = list(past)
    runs: list[tuple[int, Given, RunConfig]] = []
    refused: list[Refused] = []
    before = tried
    while len(runs) < wanted and tried - before < ASKS * wanted:
        given = engine.ask(plan, told, tried)
        try:
            runs.append((tried, given, checked(plan.with_values(given))))
            told.append(Past(given, RunStatus.QUEUED))
        except ConfigError as error:
            refused.append((given, str(error)))
            told.append(Past(given, RunStatus.FAILED))
        tried += 1
    return Drawn(tuple(runs), tuple(refused), tried)


def past_of(store: RunStore, sweep_id: str, but: str = "") -> list[Past]:
    """The runs of a sweep as Optuna is told of them, in the order in which they were drawn, without one of them."""
    members = [member for member in store.members(sweep_id) if member.run_id != but]
    ids = [member.run_id for member in members]
    by_epoch = store.validation_by_epoch(ids)
    runs = {run.id: run for run in store.entries(limit=len(ids) + 1, among=ids)}
    found = []
    for member in members:
        run = runs.get(member.run_id)
        if run is None:
            continue
        status = run.status if isinstance(run, Run) else RunStatus.FAILED
        value = run.result.validation_accuracy if isinstance(run, Run) and run.result else None
        found.append(Past(member.given, status, value, tuple(by_epoch.get(member.run_id, ())), member.pruned is not None))
    return found


def stop(store: RunStore, sweep_id: str) -> int:
    """Let no run of a sweep begin any more, and end those that go on after the step at hand; how many there were of both."""
    store.set_sweep(sweep_id, stopped=time.time())
    count = 0
    for member in store.members(sweep_id):
        if store.cancel(member.run_id):
            count += 1
        elif _status(store, member.run_id).active:
            store.request(member.run_id, CommandKind.STOP)
            count += 1
    return count


def resume(store: RunStore, sweep_id: str) -> int:
    """Have the runs of a sweep go on that did not come to their end; how many. What was given up early stays so, and what failed failed.

    Raises:
        KeyError: there is no such sweep.
    """
    store.set_sweep(sweep_id, stopped=None)
    count = 0
    for member in store.members(sweep_id):
        status = _status(store, member.run_id)
        if status.active or status in (RunStatus.FINISHED, RunStatus.FAILED) or member.pruned is not None:
            continue
        if store.restore_cancelled(member.run_id):
            count += 1
            continue
        try:
            store.ask_to_resume(member.run_id, ResumeRequest())
            count += 1
        except ConfigError:  # somebody else was quicker
            continue
    move_on(store, sweep_id)
    return count


def add_more(store: RunStore, sweep_id: str, runs: int, checked: Check = check, progress: Callable[[int], None] = lambda done: None) -> Drawn:
    """Try `runs` further settings in a sweep, of a grid as many as are left; also one that was stopped goes on then. `progress` as in `draw`.

    Raises:
        ConfigError: on `runs`, all combinations of the grid are there, or there would be too many; and as `begin`.
        KeyError: there is no such sweep.
    """
    row, plan, members = _to_add_to(store, sweep_id)
    if not 1 <= runs <= MOST_RUNS - members:
        raise ConfigError("runs", f"must be 1 to {MOST_RUNS - members:,} more, got {runs:,}; try 8")
    if plan.method == "grid":
        left = 0 if plan.whole_grid else (plan.combinations or 0) - row.tried
        if left <= 0:
            raise ConfigError("runs", _grid_is_full(plan))
        runs = min(runs, left)
        return _added(store, row, replace(plan, runs=row.tried + runs, by_chance=True), runs, checked, progress)
    return _added(store, row, replace(plan, runs=max(plan.total, members) + runs), runs, checked, progress)


def add_seeds(store: RunStore, sweep_id: str, seeds: int, checked: Check = check, progress: Callable[[int], None] = lambda done: None) -> Drawn:
    """Repeat all runs of a grid with `seeds` further seeds; also one that was stopped goes on then. `progress` as in `draw`.

    Raises:
        ConfigError: on `seeds`, it is no grid of which all combinations are tried, or there would be too many runs; and as `begin`.
        KeyError: there is no such sweep.
    """
    row, plan, members = _to_add_to(store, sweep_id)
    if not plan.whole_grid:
        raise ConfigError("seeds", "are added to a sweep that tries every combination; this one does not: add runs to it instead")
    larger = plan.with_seeds(max(seeds, 1))
    runs = (larger.combinations or 0) - (plan.combinations or 0)
    if not 1 <= seeds <= MOST_SEEDS or runs > MOST_RUNS - members:
        raise ConfigError("seeds", f"must be 1 to {MOST_SEEDS} more, and at most {MOST_RUNS:,} runs in all, got {seeds:,}; try 2")
    return _added(store, row, larger, runs, checked, progress)


def _to_add_to(store: RunStore, sweep_id: str) -> tuple[SweepRow, Plan, int]:
    """A sweep, its plan, and how many runs it has."""
    row = store.sweep(sweep_id)
    plan = Plan.from_json(row.plan)
    engine.refuse_missing(plan)
    return row, plan, len(store.members(sweep_id))


def _added(store: RunStore, row: SweepRow, larger: Plan, runs: int, checked: Check, progress: Callable[[int], None]) -> Drawn:
    """Have a sweep go on with a larger plan, by `runs` settings more."""
    if larger.method in OF_OPTUNA:
        if row.stopped is not None:
            resume(store, row.id)
        store.add_to_sweep(row.id, (), row.tried, row.tried, (), larger.to_json())
        move_on(store, row.id)
        return Drawn((), (), row.tried)
    drawn = draw(larger, runs, row.tried, checked, progress)
    if not drawn.runs:
        raise refuse_all(larger, drawn.refused, checked)
    if row.stopped is not None:
        resume(store, row.id)
    if not store.add_to_sweep(row.id, _draws(drawn), row.tried, drawn.tried, drawn.refused, larger.to_json()):
        raise ConfigError("runs", "somebody else has added to this sweep, or stopped it, at the same moment: nothing was added; add them again")
    return drawn


def _draws(drawn: Drawn) -> list[Draw]:
    return [(number, given, config.to_json()) for number, given, config in drawn.runs]


def _grid_is_full(plan: Plan) -> str:
    said = f"all {plan.combinations or 0:,} combinations of this grid are in it"
    seeds = "repeat them with further seeds (--seeds 2), or " if plan.whole_grid else ""
    return f"{said}; {seeds}begin another sweep with other values, or with the method random over ranges"


def _status(store: RunStore, run_id: str) -> RunStatus:
    try:
        return store.run(run_id).status
    except UnreadableRun:
        return RunStatus.FAILED


def finished(row: SweepRow, plan: Plan, members: int, open_members: int) -> bool:
    """Whether a sweep has done all that was asked of it."""
    more = plan.method in OF_OPTUNA and members < plan.total and row.tried < ASKS * plan.total and not row.trouble
    return not open_members and not (more and row.stopped is None)
