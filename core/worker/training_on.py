"""A run is trained on for more epochs than it was begun with: only where it is the run that was begun with as many. No torch."""

from __future__ import annotations

from pathlib import Path

from core.catalog.schedules import lengths
from core.config import ConfigError
from core.records.events import RunStatus
from core.store import Run
from core.store.continued import ResumeRequest
from core.store.resume_files import resume_points

ANEW = "start a new run, which may begin with the weights of this one"


def refuse_to_train_on(run: Run, folder: Path, epochs: int) -> None:
    """Raises ConfigError on `epochs` where `run`, whose files are in `folder`, cannot be trained on to so many epochs as the same run."""
    if epochs <= run.config.epochs:
        raise ConfigError("epochs", f"must be more than the {run.config.epochs:,} that it is trained for already, got {epochs:,}")
    run.config.replace(epochs=epochs)  # first: what no run may have is no number to reckon with
    if run.status is RunStatus.FINISHED:
        if run.result is not None and run.result.epochs < run.config.epochs:
            raise ConfigError("epochs", _stopped_early(f"after epoch {run.result.epochs:,}"))
        if not resume_points(folder):
            raise ConfigError("epochs", f"its last checkpoint is not there any more, and nothing else has all that decides the rest of it; {ANEW}")
    changed = changed_lengths(run, epochs)
    if changed:
        raise ConfigError(
            "epochs",
            f"the schedule {run.config.schedule} follows the number of epochs ({'; '.join(changed)}), so a run of {epochs:,} epochs would have "
            f"learned at other rates from its first step on; {ANEW}",
        )


def changed_lengths(run: Run, epochs: int, steps_per_epoch: int | None = None) -> list[str]:
    """What of a run's schedule would be longer or shorter with so many epochs, in words: 'T_max would be 200 steps, and was 100'.

    Args:
        steps_per_epoch: of the other run; None: as many as this one has.
    """
    if run.plan is None:
        return []
    each = run.plan.steps_per_epoch
    other = steps_per_epoch or each
    _, before = lengths(run.config, each * run.config.epochs, each)
    _, after = lengths(run.config.replace(epochs=epochs), other * epochs, other)
    return [f"{name} would be {after[name]:,} steps, and was {before[name]:,}" for name in before if before[name] != after[name]]


def refuse_after_early_stopping(epochs_since: int, patience: int | None) -> None:
    """Raises ConfigError on `epochs` where a run of more epochs would have ended in the same place.

    Args:
        epochs_since: epochs since the one with the lowest validation loss.
        patience: after how many of them early stopping ends a run; None: it is off.
    """
    if patience is not None and epochs_since >= patience:
        raise ConfigError("epochs", _stopped_early("at its last epoch"))


def trained_on(request: ResumeRequest) -> list[str]:
    """What is said of a run that was trained on: nothing of another one."""
    if request.epochs is None:
        return []
    return [
        f"trained on to {request.epochs:,} epochs in all: steps and weights are those of a run that was begun with as many; only the doctor looked, "
        "up to there, as often as a shorter run asks for"
    ]


def _stopped_early(where: str) -> str:
    return f"early stopping ended it {where}, where it would have ended a run of any number of epochs; {ANEW}, without early stopping"
