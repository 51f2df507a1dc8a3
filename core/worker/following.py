"""A rank that is not the first: it trains along, hears what was decided, and writes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from core.config import RunConfig
from core.config.plans import Change
from core.machine.home import Home
from core.ranks.digests import compare
from core.ranks.group import Group
from core.records.forks import Fork
from core.records.speed import Tuning
from core.signals.watch import Pace
from core.store.resume_files import resume_points
from core.training.over_ranks import RankTrainer
from core.worker.across import pictures_digest, pictures_of, take_in
from core.worker.assembly import GoesOn, assemble, images_of
from core.worker.branching import beginning, with_steps
from core.worker.leading import OVER, READY
from core.worker.resuming import Loaded, put_into, read

NEVER = 2**62
"""Steps between two measurements that nobody reads."""


@dataclass(frozen=True)
class Followed:
    """The run that is shared: of the store where this machine has it, else as the first machine told it.

    Args:
        folder: where its checkpoints are, or are put.
    """

    id: str
    folder: Path
    config: RunConfig
    fork: Fork | None
    tuning: Tuning | None


def follow(home: Home, run: Followed, group: Group) -> None:
    """Train along until the run is over.

    Raises:
        Parted: another rank is gone.
        ConfigError: this process could not put together what the first one could.
    """
    if group.machine and group.rank % group.ranks_here == 0:
        group.say(pictures_of(group.machine), pictures_digest(images_of(run.config, home)))
    if not group.wait_for(READY, else_over=OVER):
        return
    begins_at = group.mark(READY)
    if begins_at and group.machines > 1:
        take_in(group, run.folder)
    trainer = _assembled(home, run, group, int(begins_at) if begins_at else None)
    if compare(group, trainer.model, trainer.step).differing:
        return  # the first rank says so
    if not _hears(group, trainer):
        return
    for _ in trainer.run():
        if trainer.meets and not _hears(group, trainer):
            return


def _assembled(home: Home, run: Followed, group: Group, step: int | None) -> RankTrainer:
    """The trainer, standing where the first rank's does: behind `step` steps of a checkpoint; None: at the beginning."""
    goes_on = None if step is None else GoesOn(run.tuning)
    assembly = with_steps(assemble(run.config, home, goes_on=goes_on, group=group), run.fork)
    trainer = assembly.trainer
    assert isinstance(trainer, RankTrainer)
    if step is not None:
        point = next(point for point in resume_points(run.folder) if point.step == step)
        loaded = Loaded(point, read(point.path), ())
        put_into(trainer, loaded, run.folder, beginning(run, loaded))
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
