"""Checkpoints of a run as it goes on: taken between two steps, copied while the next one computes its gradients, written by a thread.

A checkpoint holds all that decides the rest of the run (`core.training.state`), where its signals stand, and the digests by which the one
that goes on proves that it is the same run (`core.worker.resuming`). What never learned is not in it: the weights before training are on
disk once (`core.store.saving`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from core.machine.bits import digest
from core.records.events import RunStatus
from core.store.patience import PatientStore
from core.store.resume_files import FORMAT, resume_path, resume_points
from core.store.saving import log, save
from core.training.state import large_tensors, may_learn, small_state
from core.training.trainer import Trainer
from core.worker.where import here

KEPT = 2
"""Newest checkpoints that stay, beside the best: where the last one is damaged, there is the one before."""

EARLIER, EARLIER_BYTES = 6, 1_000_000_000
"""How many earlier ones stay, spread evenly, for branches to begin from, and how much they may take on disk; where they take more, fewer stay."""

SHARE = 0.01
"""Part of the training time that checkpoints at the ends of epochs may take, writing included: where epochs last milliseconds, few have one."""


class RunCheckpoints:
    """Makes the checkpoints of one run, at most one at a time. The last two stay, that behind the epoch with the lowest validation loss, and
    some of the earlier ones, from which a branch can begin.

    A disk that does not take one costs that checkpoint: the one before stays, the run goes on and says so.

    Args:
        minutes: time after which one is made in the middle of an epoch.
    """

    def __init__(self, store: PatientStore, run_id: str, folder: Path, minutes: float) -> None:
        self._store = store
        self._run_id = run_id
        self._folder = folder
        self._every = 60 * minutes
        self._learned: frozenset[str] = frozenset()
        self._best: tuple[float, int] | None = None  # validation loss, and the step of the checkpoint
        self._copies = _Copies()
        self._writer: threading.Thread | None = None
        self._failed: OSError | None = None
        self._told = False
        self._began = self._last = time.monotonic()
        self._spent = 0.0

    def follow(self, trainer: Trainer) -> None:
        """Something else may learn from here on; call it at the beginning, and at each change."""
        self._learned |= may_learn(trainer)
        trainer.before_update = self._copies.wait

    def remember(self, content: Mapping[str, Any]) -> None:
        """The run goes on from this checkpoint. Files of later steps could not be read: these steps are done again, and kept again."""
        self._learned |= frozenset(content["learned"])
        self._best = content["best"]
        for point in resume_points(self._folder):
            if point.step > content["small"]["step"]:
                point.path.unlink(missing_ok=True)

    def forget_best(self) -> None:
        """What was measured before cannot be compared with what is measured from here on."""
        self._best = None

    @property
    def due(self) -> bool:
        """Whether one is to be made in the middle of an epoch."""
        return time.monotonic() - self._last > self._every and not self._busy

    @property
    def worthwhile(self) -> bool:
        """Whether one may be made at the end of an epoch."""
        return not self._busy and self._spent <= SHARE * (time.monotonic() - self._began)

    def take(self, trainer: Trainer, run: Mapping[str, Any], first_digests: Mapping[str, str]) -> None:
        """Make one of this moment, between two steps; nothing where only some changes of this moment are made.

        Args:
            run: what the worker, its recorder, its doctor and its audit know.
            first_digests: of the parameters that never learned, by name.
        """
        if not trainer.at_rest:
            return
        self.wait()
        self._last = time.monotonic()
        small = small_state(trainer)
        content = {
            "format": FORMAT, "small": small, "run": dict(run),
            "where": here(trainer.device, trainer.partition.threads.base, trainer.ranks), "learned": sorted(self._learned),
            "next_pictures": trainer.train.places(trainer.place.epoch, trainer.place.batches),
            "shapes": {name: tuple(each.shape) for name, each in trainer.model.named_parameters()}, "best": self._best_with(trainer),
        }  # fmt: skip
        untouched = {name: value for name, value in first_digests.items() if name not in self._learned}
        self._copies.begin(large_tensors(trainer, self._learned))
        self._writer = threading.Thread(target=self._write, args=(content, untouched, trainer.step), name="resume checkpoint", daemon=True)
        self._writer.start()

    def wait(self) -> None:
        """Until the last one is on the disk, or could not be written."""
        if self._writer is not None:
            self._writer.join()
            self._writer = None
        self.tell()

    def tell(self) -> None:
        """Say that the last one could not be written, if that is so, and when they can be written again. From the worker's own thread."""
        if (self._failed is not None) == self._told:
            return
        self._told = self._failed is not None
        reason = (
            f"no checkpoint can be written ({self._failed.strerror or self._failed}); the last good one stays, trying again" if self._failed else ""
        )
        self._store.set_status(self._run_id, RunStatus.RUNNING, reason)

    def keep_last(self) -> None:
        """The run is over: it can be trained on from the last one. Of the others only those stay that a branch can begin from."""
        self.wait()
        self._thin(newest=1)

    def _thin(self, newest: int = KEPT) -> None:
        """Drop all but the newest, the best, and as many of the others as there is room for, evenly."""
        points = resume_points(self._folder)
        best = self._best[1] if self._best else None
        earlier = [point for point in points[newest:] if point.step != best]
        sizes = {point: point.path.stat().st_size for point in earlier}
        while earlier and (len(earlier) > EARLIER or sum(sizes[point] for point in earlier) > EARLIER_BYTES):
            dropped = crowded([point.step for point in earlier])
            earlier.pop(dropped).path.unlink(missing_ok=True)

    def _best_with(self, trainer: Trainer) -> tuple[float, int] | None:
        """What is the best one once that of this moment is written."""
        measured = trainer.epoch.validation if trainer.epoch and not trainer.place.batches else None
        lower = measured is not None and measured.loss < (self._best[0] if self._best else float("inf"))
        return (measured.loss, trainer.step) if measured is not None and lower else self._best

    @property
    def _busy(self) -> bool:
        return self._writer is not None and self._writer.is_alive()

    def _write(self, content: dict[str, Any], untouched: Mapping[str, str], step: int) -> None:
        began = time.monotonic()
        try:
            self._copies.wait()
            large = self._copies.result()
            learned = {key.removeprefix("parameter "): tensor for key, tensor in large.items() if key.startswith("parameter ")}
            content |= {"large": large, "digests": {**untouched, **{name: digest([tensor]) for name, tensor in learned.items()}}}
            save(content, resume_path(self._folder, step))
            self._best = content["best"]
            self._thin()
            self._failed = None
        except OSError as error:
            self._failed = error
            log(f"No checkpoint could be written, the one before stays: {error}")
        except RuntimeError as error:  # too little memory for the copies
            self._failed = OSError(str(error))
            log(f"No checkpoint could be made, the one before stays: {error}")
        self._spent += time.monotonic() - began


def crowded(steps: Sequence[int]) -> int:
    """The place of the step that lies closest between its neighbours; of ends alone the newest, which has others behind it. Newest first."""
    inner = range(1, len(steps) - 1)
    return min(inner, key=lambda place: steps[place - 1] - steps[place + 1], default=0)


class _Copies:
    """Copies of tensors in memory that is used again, made by a thread: nothing moves them before the next update."""

    def __init__(self) -> None:
        self._room: dict[str, Tensor] = {}
        self._thread: threading.Thread | None = None
        self._error: RuntimeError | None = None

    def begin(self, tensors: Mapping[str, Tensor]) -> None:
        """Copy these. The copies of before must not be needed any more."""
        room, self._room, self._error = self._room, {}, None
        for name, tensor in tensors.items():
            old = room.get(name)
            fits = old is not None and old.shape == tensor.shape and old.dtype == tensor.dtype and old.stride() == tensor.stride()
            self._room[name] = old if fits and old is not None else torch.empty_like(tensor, device="cpu")
        self._thread = threading.Thread(target=self._copy, args=(dict(tensors),), name="copies for a checkpoint", daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Until all are copied. For any thread: the next update waits, and the writer does."""
        if self._thread is not None:
            self._thread.join()

    def result(self) -> dict[str, Tensor]:
        """The copies, once `wait` is over. Raises RuntimeError where they could not be made."""
        if self._error is not None:
            raise self._error
        return self._room

    def _copy(self, tensors: Mapping[str, Tensor]) -> None:
        try:
            with torch.no_grad():
                for name, tensor in tensors.items():
                    self._room[name].copy_(tensor)
        except RuntimeError as error:
            self._error = error
