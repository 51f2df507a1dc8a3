"""How often a test set was looked at, and what looking costs: whoever chooses by test figures makes the chosen one look better than it is. No torch.

A look is the whole test set through weights that it had not been put through before, so that somebody can see the figures: the run's own test at its
end, and each other epoch that is evaluated. Drawing the screen anew, or evaluating the same weights again, is none; nor are the weights before
training, which maps and comparisons begin with: nobody chooses them. A run's folder keeps looks in `looks.csv`, a line `step,epoch` each, also
once the evaluation itself is dropped. Runs that were deleted have taken theirs along.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from core.config import ConfigError
from core.data import own
from core.data.datasets import FOLDER
from core.data.own_pictures import root_of
from core.machine.home import Home
from core.records.events import EpochRow
from core.store import Run
from core.store.checkpoint import Checkpoint, newest

LOOKS = "looks.csv"

_KEPT = re.compile(r"epoch-\d+-(\d+)\.npz")
_LINE = re.compile(r"(\d+),\d+")
_TO, _PARTS = 8.0, 4_000


@dataclass(frozen=True)
class Looks:
    """Looks at a test set: `own` with weights of this run, and `all_runs` with those of `runs` runs that are tested on it, this one among them."""

    own: int
    runs: int
    all_runs: int


def note(home: Home, run_id: str, checkpoint: Checkpoint) -> None:
    """Write a look down. A disk that cannot be written costs the note, not the evaluation."""
    file = home.run_folder(run_id) / LOOKS
    with suppress(OSError), file.open("a", encoding="ascii") as stream:
        stream.write(f"{checkpoint.step},{checkpoint.epoch}\n")


def steps_looked_at(home: Home, run: Run) -> set[int]:
    """The steps of the trained weights of `run` that the test set was put through."""
    folder = home.run_folder(run.id) / "evaluations"
    found: set[int] = set()
    with suppress(OSError):
        found |= {int(match[1]) for name in folder.glob("epoch-*.npz") if (match := _KEPT.fullmatch(name.name))}
    with suppress(OSError, ValueError):
        lines = (home.run_folder(run.id) / LOOKS).read_text(encoding="ascii").splitlines()
        found |= {int(match[1]) for line in lines if (match := _LINE.fullmatch(line))}
    found.discard(0)  # before training, unless the run ended there: then it is what the run has to show
    if run.result is not None and run.result.test_accuracy is not None:
        last = newest(home, run)
        found.add(last.step if last is not None and last.final else run.result.steps)
    return found


def looks(home: Home, run: Run, runs: Sequence[Run]) -> Looks:
    """How often the test set of `run` was looked at, by itself and by all of these `runs` that are on the same dataset."""
    where = pictures_of(home, run)
    same = [each for each in runs if each.id != run.id and pictures_of(home, each) == where]
    counts = [len(steps_looked_at(home, each)) for each in same]
    own = len(steps_looked_at(home, run))
    return Looks(own, 1 + sum(count > 0 for count in counts), own + sum(counts))


def pictures_of(home: Home, run: Run) -> str:
    """What tells datasets apart: a folder is where it is now, whatever it was called when a run was made; all versions of a dataset are one."""
    if choice := own.parse(run.config.dataset):
        return own.Choice(choice.name).text.casefold()
    if run.config.dataset.partition(":")[0] != FOLDER:
        return run.config.dataset
    try:
        return str(root_of(home, run.id, run.config.dataset))
    except ConfigError:  # its recipe is damaged
        return run.config.dataset


def best_by_validation(rows: Sequence[EpochRow], epochs: Sequence[int]) -> EpochRow | None:
    """The epoch of these `epochs` with the highest validation accuracy; of equals the one with the lowest validation loss, then the earliest.

    None where nothing was measured on a validation set.
    """
    measured = [row for row in rows if row.epoch in epochs and row.validation_accuracy is not None]
    return max(measured, key=lambda row: (row.validation_accuracy or 0.0, -_finite(row.validation_loss), -row.epoch), default=None)


def _finite(loss: float | None) -> float:
    return loss if loss is not None and math.isfinite(loss) else math.inf


def optimism(choices: int, samples: int, accuracy: float) -> float:
    """By how much (0 to 1) the best of some test accuracies is too high on average, if all had the same true `accuracy` and none to do with another.

    The expected maximum of `choices` normal figures, each with the spread that chance gives an accuracy on `samples` pictures. Weights that are right
    about the same pictures, such as neighbouring epochs of a run, have less: it is the most that choosing gives away on average by chance alone.
    """
    if choices < 2 or samples < 1:
        return 0.0
    width = 2 * _TO / _PARTS
    mean = 0.0
    for part in range(_PARTS):
        at = -_TO + (part + 0.5) * width
        below = 0.5 * math.erfc(-at / math.sqrt(2))
        mean += at * choices * below ** (choices - 1) * math.exp(-(at**2) / 2) / math.sqrt(2 * math.pi) * width
    return mean * math.sqrt(max(0.0, accuracy * (1 - accuracy)) / samples)
