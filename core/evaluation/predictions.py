"""What a run's weights said about each test image, kept beside them: the second look at a checkpoint is instant. No torch.

A file `evaluations/epoch-NNNN-STEP.npz` in the run's folder has the logits, the labels, what came out of the layer before the last for some of
the images, and the figures. It is good for exactly the weights that it was made from, and is made again for others (`core.evaluation.evaluate`).
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from core.config import ConfigError
from core.evaluation import metrics
from core.machine.files import written_whole
from core.machine.home import Home
from core.records.evaluation import Difference, Evaluation
from core.store import Run, RunStore, StoreError
from core.store.checkpoint import Checkpoint, checkpoints, newest

FORMAT = 4
"""Raised when a file of before would be read wrongly or has other figures in it."""

POINTS = 2_000
"""Test images whose embeddings are kept, at most: as many as a map shows."""

_EVALUATION = TypeAdapter(Evaluation)
_UNREADABLE = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, ValidationError)


@dataclass(frozen=True, eq=False)
class Predictions:
    """The test set through the weights of one checkpoint, image by image, in the order of the test set.

    `logits` float32 [N, C]; `labels` int64 [N]; `points` int64 [M]: the images of which `embeddings` float32 [M, D] has the input of the last
    layer of the head, `layer`; `test_set` is another text for other images, or the same in another order. `evaluation`: the figures, whose first
    `about_pictures` notes are about the test set. `stamp`: how the pictures' files were when they were last looked at (`core.data.own_pictures`).
    """

    logits: NDArray[np.float32]
    labels: NDArray[np.int64]
    points: NDArray[np.int64]
    embeddings: NDArray[np.float32]
    layer: str
    test_set: str
    evaluation: Evaluation
    stamp: str | None = None
    about_pictures: int = 0

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, by label."""
        return self.evaluation.classes

    @property
    def epoch(self) -> int:
        """The epoch of the weights."""
        return self.evaluation.epoch

    @property
    def step(self) -> int:
        """The step of the weights."""
        return self.evaluation.step

    @property
    def notes_on_pictures(self) -> tuple[str, ...]:
        """What is not as it was with the run's test pictures, in sentences."""
        return self.evaluation.notes[: self.about_pictures]

    @cached_property
    def probabilities(self) -> NDArray[np.float32]:
        """Softmax of the logits, float32 [N, C]; a row of NaN where logits are not finite."""
        return metrics.probabilities(self.logits)

    @cached_property
    def predicted(self) -> NDArray[np.int64]:
        """The likeliest class, int64 [N]; -1 where logits are not finite."""
        return metrics.predictions(self.logits)

    @cached_property
    def confidence(self) -> NDArray[np.float32]:
        """Probability of the likeliest class, float32 [N]; NaN where logits are not finite."""
        highest: NDArray[np.float32] = self.probabilities.max(axis=1)
        return highest

    @cached_property
    def right(self) -> NDArray[np.bool_]:
        """Whether the likeliest class is the label, bool [N]."""
        right: NDArray[np.bool_] = self.predicted == self.labels
        return right

    def cell(self, label: int, predicted: int) -> tuple[int, ...]:
        """The images of a cell of the confusion matrix, most confident first; `predicted` -1: those whose logits are not finite."""
        return self.surest_first(np.flatnonzero((self.labels == label) & (self.predicted == predicted)))

    def mistakes(self, most: int) -> tuple[int, ...]:
        """The images that are taken for another class, most confident first, then those whose logits are not finite; `most` of them."""
        return self.surest_first(np.flatnonzero(~self.right))[:most]

    def surest_first(self, indices: Sequence[int] | NDArray[np.int64]) -> tuple[int, ...]:
        """These images, most confident first; those whose logits are not finite come last."""
        places = np.asarray(indices, dtype=np.int64)
        order = np.argsort(-np.nan_to_num(self.confidence[places], nan=-1.0), kind="stable")
        return tuple(int(place) for place in places[order])


def find_run(home: Home, run_id: str) -> Run:
    """The run with this id.

    Raises:
        ConfigError: on `home`, the store cannot be read;
            on `run`, there is none, or its row is damaged; or on the field of its config that this Thaw does not know.
    """
    try:
        return RunStore(home.database).run(run_id)
    except StoreError as error:
        raise ConfigError("home", str(error)) from None
    except KeyError:
        raise ConfigError("run", f"there is no run {run_id!r}, or it was deleted; list the runs with: python -m core runs") from None


def find_checkpoint(home: Home, run: Run, epoch: int | None = None) -> Checkpoint:
    """The weights of `run` after `epoch`, 0 being before training; None: the newest.

    Raises:
        ConfigError: on `epoch`, those were not kept; on `run`, none were.
    """
    found = checkpoints(home, run)
    if not found:
        if run.status.active:
            remedy = "the first come before its first step: ask again in a moment"
            raise ConfigError("run", f"{run.id} has not saved weights yet ({run.activity or run.status}); {remedy}")
        raise ConfigError("run", f"{run.id} has no weights: it ended ({run.status}) before it saved any, or they were deleted; train again")
    if epoch is None:
        return newest(home, run) or found[-1]
    # A run that was stopped in its first epoch has two of epoch 0: what it began with is meant, and None gets the other.
    matching = [checkpoint for checkpoint in found if checkpoint.epoch == epoch]
    if not matching:
        kept = ", ".join(dict.fromkeys(str(checkpoint.epoch) for checkpoint in found))
        raise ConfigError("epoch", f"the weights of epoch {epoch} of run {run.id} were not kept; choose one of {kept} (0: before training)")
    return matching[0] if epoch == 0 else matching[-1]


def open_predictions(home: Home, run_id: str, epoch: int | None) -> Predictions | None:
    """What was kept of the weights after `epoch` (None: the newest); None if they were not evaluated yet.

    Raises:
        ConfigError: there is no such run, or it has no such weights.
    """
    return kept(home, run_id, find_checkpoint(home, find_run(home, run_id), epoch))


def kept(home: Home, run_id: str, checkpoint: Checkpoint) -> Predictions | None:
    """What was kept of these weights, if it is of exactly these."""
    file = _file(home, run_id, checkpoint)
    try:
        status = file.stat()
        return _open(file, status.st_mtime_ns, status.st_size, fingerprint(checkpoint))
    except _UNREADABLE:
        return None  # there is none, it is damaged, or of another Thaw: it can be made again


def keep(home: Home, run_id: str, checkpoint: Checkpoint, weights: str, predictions: Predictions, others: Sequence[Checkpoint]) -> Path:
    """Write `predictions` down, whole or not at all, and drop those of weights that are neither `checkpoint`'s nor one of the `others`'.

    Args:
        weights: the `fingerprint` from before the weights were read.

    Raises:
        ConfigError: on `home`, the disk is full or cannot be written.
    """
    file = _file(home, run_id, checkpoint)
    about = {
        "format": FORMAT,
        "weights": weights,
        "layer": predictions.layer,
        "test_set": predictions.test_set,
        "stamp": predictions.stamp,
        "about_pictures": predictions.about_pictures,
        "evaluation": _EVALUATION.dump_python(predictions.evaluation, mode="json"),
    }
    try:
        with written_whole(file) as stream:
            np.savez(
                stream,
                logits=predictions.logits,
                labels=predictions.labels,
                points=predictions.points,
                embeddings=predictions.embeddings,
                about=np.array(json.dumps(about)),
            )
    except OSError as error:
        raise ConfigError("home", f"{file.parent} cannot be written ({error.strerror}); free some space there and ask again") from None
    wanted = {_file(home, run_id, other).name for other in (checkpoint, *others)}
    for old in file.parent.glob("epoch-*.npz"):
        if old.name not in wanted:
            old.unlink(missing_ok=True)
    return file


def drop(home: Home, run_id: str) -> None:
    """Forget all that was kept of a run: it is of other images than its dataset has now."""
    for file in (home.run_folder(run_id) / "evaluations").glob("epoch-*.npz"):
        file.unlink(missing_ok=True)


def fingerprint(checkpoint: Checkpoint) -> str:
    """Another text for other weights: the files they lie in, with size and time of change.

    Raises:
        OSError: they are not there.
    """
    files = [file for file in (checkpoint.base, checkpoint.path) if file is not None]
    return " ".join(f"{file.name} {status.st_size} {status.st_mtime_ns}" for file in files for status in [file.stat()])


def difference(first: Predictions, second: Predictions) -> Difference:
    """Which images one gets right and the other wrong; both must have seen the same test set in the same order.

    Raises:
        ConfigError: on `run`, they have not.
    """
    if first.classes != second.classes:
        what = f"have other classes ({_some(first.classes)}; {_some(second.classes)})"
    elif len(first.labels) != len(second.labels):
        what = f"were tested on other images ({len(first.labels):,} and {len(second.labels):,})"
    elif first.test_set != second.test_set or not np.array_equal(first.labels, second.labels):
        what = "were tested on other images, or on the same in another order"
    else:
        mine, other = first.right, second.right
        only_first, only_second = np.flatnonzero(mine & ~other), np.flatnonzero(~mine & other)
        return Difference(
            tuple(int(place) for place in only_first),
            tuple(int(place) for place in only_second),
            int((mine & other).sum()),
            int((~mine & ~other).sum()),
            metrics.mcnemar(len(only_first), len(only_second)),
        )
    names = f"{first.evaluation.run_id} and {second.evaluation.run_id}"
    raise ConfigError("run", f"{names} {what}, so they cannot be compared image by image; choose two runs on the same dataset")


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3:,} more" if len(names) > 3 else "")


def _file(home: Home, run_id: str, checkpoint: Checkpoint) -> Path:
    return home.run_folder(run_id) / "evaluations" / f"epoch-{checkpoint.epoch:04d}-{checkpoint.step}.npz"


@lru_cache(maxsize=6)
def _open(file: Path, changed: int, size: int, weights: str) -> Predictions:
    """The predictions in `file`, as it was when it was `changed`. Raises ValueError for those of other weights."""
    with file.open("rb") as stream, np.load(stream, allow_pickle=False) as content:
        about: dict[str, Any] = json.loads(str(content["about"]))
        if about["format"] != FORMAT or about["weights"] != weights:
            raise ValueError("not of these weights")
        return Predictions(
            logits=content["logits"],
            labels=content["labels"],
            points=content["points"],
            embeddings=content["embeddings"],
            layer=about["layer"],
            test_set=about["test_set"],
            evaluation=_EVALUATION.validate_python(about["evaluation"]),
            stamp=about["stamp"],
            about_pictures=about["about_pictures"],
        )
