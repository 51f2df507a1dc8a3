"""Weights on disk, written so that a crash at any moment leaves either the old file or the new one, whole."""

from __future__ import annotations

import errno
import os
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from core.machine.bits import digest, unchanged, writes
from core.machine.files import written_whole
from core.store.checkpoint import Checkpoint, checkpoint_path, listed

MOST_CHECKPOINTS = 12
"""How many epochs of a run keep their weights: its first, its last, and others between them, evenly."""

MOST_BYTES = 4_000_000_000
"""How much they may take on disk; where they take more, fewer are kept."""

SHARE = 0.03
"""Part of the training time that keeping epochs may take: where epochs last milliseconds, not all of them are kept."""


def save_weights(model: nn.Module, path: Path) -> None:
    """`torch.save(model.state_dict(), path)`, with all tensors on the CPU, written whole (`core.machine.files`).

    Raises:
        OSError: the disk is full or not writable; a file that was there before is untouched.
    """
    state = model.state_dict()  # torch keeps beside its tensors which versions the layers are of, without which MNASNet takes none back
    for name, tensor in state.items():
        state[name] = tensor.detach().cpu()
    save(state, path)


class Checkpoints:
    """Keeps a run's weights of some epochs in its folder, see `core.store.checkpoint`. They are written by a thread, from a copy.

    Of the first ones, what is frozen is written as it lies in the model: copying 45 MB into fresh memory takes as long as a training step.

    A disk that is full ends the keeping, with a line in the log, and not the run: it loses a look back, not its result.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._base: dict[str, str] = {}  # name -> digest of the tensor before training
        self._seconds = 0.0
        self._began = time.monotonic()
        self._thread: threading.Thread | None = None
        self._lent: dict[str, tuple[Tensor, int | None]] = {}  # what is written uncopied, and how often it had been written to before
        self._failed = False

    def begin(self, model: nn.Module, still: Iterable[Tensor] = ()) -> None:
        """Keep the weights before training. Those of an earlier attempt at the same run are dropped.

        Args:
            still: parameters of the model that nothing writes to before `settle` was called.
        """
        for old in listed(self._folder):
            old.path.unlink()
        self._keep(model, 0, 0, {id(tensor) for tensor in still})
        self._began = time.monotonic()

    def settle(self) -> None:
        """Wait until nothing of the model itself is being written: before what was frozen may move."""
        if self._lent:
            self.close()

    def go_on(self, epoch: int, finished: bool = False) -> None:
        """Keep on after `epoch` whole epochs; those of later ones will be kept again. What a `finished` run ended with is one of them."""
        for old in listed(self._folder):
            if old.epoch > epoch or (old.final and not finished):
                old.path.unlink()
            elif old.final:
                old.path.rename(checkpoint_path(self._folder, old.epoch, old.step))
        first = next((kept for kept in listed(self._folder) if kept.epoch == 0), None)
        if first is None:
            self._failed = True  # later epochs could not be read without it
            return
        state: dict[str, Tensor] = torch.load(first.path, map_location="cpu", weights_only=True)
        self._base = {name: digest([tensor]) for name, tensor in state.items()}
        self._began = time.monotonic()

    def epoch(self, model: nn.Module, epoch: int, step: int) -> None:
        """Keep the weights after an epoch, if that is worth its time; the last write must be over."""
        busy = self._thread is not None and self._thread.is_alive()
        if not busy and not self._failed and self._seconds <= SHARE * (time.monotonic() - self._began):
            self._keep(model, epoch, step)

    def finish(self, epoch: int, step: int, weights: Path) -> None:
        """Keep what the run ended with, which lies in `weights` already: a second name for the file, no copy where the disk allows it."""
        self.close()
        if self._failed:
            return
        final = checkpoint_path(self._folder, epoch, step, final=True)
        try:
            final.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(weights, final)
            except OSError:  # a disk without hard links
                save(torch.load(weights, weights_only=True), final)
            for other in listed(self._folder):
                if other.epoch == epoch and not other.final and epoch > 0:
                    other.path.unlink()
            self._thin()
        except OSError as error:
            self._fail(error)

    def close(self) -> None:
        """Wait until everything is written."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _keep(self, model: nn.Module, epoch: int, step: int, still: Collection[int] = ()) -> None:
        began = time.monotonic()
        tensors = model.state_dict(keep_vars=True)
        known = {name: unchanged(tensor) for name, tensor in tensors.items()}
        # What was read when the run began and not written to since is on disk already: it is neither copied nor read again.
        rest = {name for name, seen in known.items() if epoch and seen is not None and seen == self._base.get(name)}
        lent = {name: tensor for name, tensor in tensors.items() if id(tensor) in still and _can_be_lent(tensor)}
        self._lent = {name: (tensor, writes(tensor)) for name, tensor in lent.items()}
        state = {
            name: tensor.detach() if name in lent else tensor.detach().to("cpu", copy=True) for name, tensor in tensors.items() if name not in rest
        }
        self._thread = threading.Thread(target=self._save, args=(state, known, epoch, step, began), name="checkpoint", daemon=True)
        self._thread.start()

    def _save(self, state: dict[str, Tensor], known: dict[str, str | None], epoch: int, step: int, began: float) -> None:
        try:
            digests = {name: known[name] or digest([tensor]) for name, tensor in state.items()}
            changed = {name: tensor for name, tensor in state.items() if self._base.get(name) != digests[name]}
            if epoch == 0:
                self._base = digests
            save(changed, path := checkpoint_path(self._folder, epoch, step))
            self._take_back(path)
            self._thin()
        except OSError as error:
            self._fail(error)
        if epoch > 0:  # what is kept before training is no part of its time
            self._seconds += time.monotonic() - began

    def _take_back(self, path: Path) -> None:
        """What was lent is the model's own again. Raises OSError where something was written to it: the file may have half of that."""
        moved = [name for name, (tensor, before) in self._lent.items() if writes(tensor) != before]
        self._lent = {}
        if moved:
            path.unlink()
            raise OSError(errno.EBUSY, f"{moved[0]} is frozen, and was written to while it was saved")

    def _fail(self, error: OSError) -> None:
        self._failed = True
        log(f"No more epochs keep their weights: {error}")

    def _thin(self) -> None:
        """Drop epochs where they lie closest, until few enough are left. The first and the newest stay."""
        kept = list(listed(self._folder))
        sizes = {checkpoint: checkpoint.path.stat().st_size for checkpoint in kept}
        while len(kept) > 2 and (len(kept) > MOST_CHECKPOINTS or sum(sizes[checkpoint] for checkpoint in kept) > MOST_BYTES):
            kept.remove(dropped := _crowded(kept))
            dropped.path.unlink()


def _can_be_lent(tensor: Tensor) -> bool:
    """Whether a file of it has no more than its own numbers, and no device need be asked for them."""
    return tensor.device.type == "cpu" and tensor.untyped_storage().nbytes() == tensor.nbytes


def _crowded(kept: list[Checkpoint]) -> Checkpoint:
    """The checkpoint between whose neighbours the fewest epochs lie; neither the first, nor the last, nor the final one."""
    inner = [place for place in range(1, len(kept) - 1) if not kept[place].final]
    return kept[min(inner or [1], key=lambda place: kept[place + 1].epoch - kept[place - 1].epoch)]


def cannot_save(error: OSError, path: Path) -> str:
    """Why weights could not be written, and what to do, in a sentence."""
    left = "those that were saved before are still there" if path.exists() else "none were saved before"
    return f"{error.strerror or error} ({path.parent}); {left}. Free some space or make the folder writable, and train again."


def log(text: str) -> None:
    """Write to the run's log, if that can be written: a full disk takes no line either, and that must end nothing."""
    with suppress(OSError, ValueError):  # ValueError: it was closed
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


def save(content: Mapping[str, Any], path: Path) -> None:
    """`torch.save(content, path)`, written whole. Raises OSError where the disk does not take it; what was there before is untouched."""
    with written_whole(path) as file:
        try:
            torch.save(content if isinstance(content, OrderedDict) else dict(content), file)
        except RuntimeError as error:
            # torch says "unexpected pos" where the file could not be written; why, Python has kept.
            if isinstance(error.__context__, OSError):
                raise error.__context__ from None
            raise
