"""A rank that is not the first: it trains along, hears what was decided, and writes nothing."""

from __future__ import annotations

from core.config import RunConfig
from core.config.plans import Change
from core.machine.home import Home
from core.ranks.digests import compare
from core.ranks.group import Group
from core.signals.watch import Pace
from core.store import RunStore
from core.store.resume_files import resume_points
from core.training.over_ranks import RankTrainer
from core.worker.assembly import GoesOn, assemble
from core.worker.branching import beginning, with_steps
from core.worker.leading import OVER, READY
from core.worker.resuming import Loaded, put_into, read

NEVER = 2**62
"""Steps between two measurements that nobody reads."""


def follow(home: Home, store: RunStore, run_id: str, group: Group) -> None:
    """Train along until the run is over.

    Raises:
        Parted: another rank is gone.
        ConfigError: this process could not put together what the first one could.
    """
    if not group.wait_for(READY, else_over=OVER):
        return
    begins_at = group.mark(READY)
    trainer = _assembled(home, store, run_id, group, int(begins_at) if begins_at else None)
    if compare(group, trainer.model, trainer.step).differing:
        return  # the first rank says so
    if not _hears(group, trainer):
        return
    for _ in trainer.run():
        if trainer.meets and not _hears(group, trainer):
            return


def _assembled(home: Home, store: RunStore, run_id: str, group: Group, step: int | None) -> RankTrainer:
    """The trainer, standing where the first rank's does: behind `step` steps of a checkpoint; None: at the beginning."""
    run = store.run(run_id)
    config: RunConfig = run.config
    folder = home.run_folder(run_id)
    goes_on = None if step is None else GoesOn(store.tuning(run_id))
    assembly = with_steps(assemble(config, home, goes_on=goes_on, group=group), run.fork)
    trainer = assembly.trainer
    assert isinstance(trainer, RankTrainer)
    if step is not None:
        point = next(point for point in resume_points(folder) if point.step == step)
        loaded = Loaded(point, read(point.path), ())
        put_into(trainer, loaded, folder, beginning(run, loaded))
    trainer.watch.on_bad_loss = None
    trainer.watch.pace = Pace(NEVER, NEVER)
    return trainer


def _hears(group: Group, trainer: RankTrainer) -> bool:
    """Do what the first rank has decided. False: the run is over."""
    words = group.hear()
    while words.get("still"):
        words = group.hear()
    for text in words["changes"]:
        trainer.change(Change.parse(text))
    differing = words["compare"] and compare(group, trainer.model, trainer.step).differing
    return not differing and not words["over"]
