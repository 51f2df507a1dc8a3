"""A branch takes its first step, or goes on: what of it is another than in a run that simply continues. How it is put together: `forking`."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

from core.config import ConfigError
from core.records.forks import Fork, told
from core.store import Run
from core.training.trainer import Best, Place, Trainer
from core.worker.assembly import Assembly
from core.worker.checkpoints import RunCheckpoints
from core.worker.forking import DATA
from core.worker.resuming import Loaded
from core.worker.training_on import changed_lengths


class Begins(Protocol):
    """A run, as far as its beginning goes."""

    @property
    def id(self) -> str:
        """Its id."""

    @property
    def fork(self) -> Fork | None:
        """Where it branched off; None: it began by itself."""


def beginning(run: Begins, loaded: Loaded) -> Fork | None:
    """Where the run branched off, if the checkpoint is its parent's still; None for a run that goes on from one of its own."""
    return run.fork if run.fork is not None and loaded.run.get("run") != run.id else None


def refuse_impossible(run: Run, fork: Fork, loaded: Loaded, trainer: Trainer) -> None:
    """See that something is left to do behind the checkpoint, at the rates that its schedule has for it.

    Raises:
        ConfigError: on `step`, early stopping had ended the parent there; on a field of `fork.changed`, a schedule that follows the number of
            steps would get others from the branch's pictures.
    """
    if trainer.early_stopping is not None and loaded.content["small"]["best"][1] >= trainer.early_stopping:
        raise ConfigError("step", f"early stopping had ended {fork.parent} behind step {fork.step:,}; branch off at an earlier step")
    changed = changed_lengths(run, run.config.epochs, len(trainer.train)) if fork.data_anew else []
    if changed:
        raise ConfigError(
            next(field for field, *_ in fork.changed if field in DATA),
            f"the schedule {run.config.schedule} follows the number of steps ({'; '.join(changed)}), and goes on with the parent's; choose pictures "
            "and a batch size that make as many steps, or start a new run with the weights of this one",
        )


def at_its_own_data(trainer: Trainer, checkpoints: RunCheckpoints) -> None:
    """The pictures are others than before: begin with a whole epoch, and compare no validation with one of other pictures."""
    trainer.place = Place(trainer.place.epoch, 0)
    trainer.best = Best(trainer.early_stopping)
    checkpoints.forget_best()


def with_steps(assembly: Assembly, fork: Fork | None) -> Assembly:
    """As it was put together, with the number of steps that a branch makes in all: those before it were of its parent's pictures."""
    if fork is None or not fork.data_anew:
        return assembly
    total = fork.step + assembly.plan.steps_per_epoch * (assembly.trainer.epochs - fork.epochs)
    return replace(assembly, plan=replace(assembly.plan, total_steps=total))


def with_note(assembly: Assembly, note: str) -> Assembly:
    """As it was put together, with one more sentence for the person, if it says anything."""
    return replace(assembly, plan=replace(assembly.plan, notes=(*assembly.plan.notes, note))) if note else assembly


def lines(fork: Fork | None) -> list[str]:
    """What is said of a branch that begins: nothing of another run."""
    return list(told(fork)) if fork else []
