"""Pictures that are in two sets, pixel for pixel: looked for by a quick digest, and told apart for sure by SHA-256.

A quick digest is a sum of products of the picture's 8-byte words with fixed random odd numbers, modulo 2**64 (multiply-shift hashing: Dietzfelbinger
et al., A Reliable Randomized Algorithm for the Closest-Pair Problem, 1997): as fast as memory can be read.
"""

from __future__ import annotations

import hashlib
import math
import sys
import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from core.config import ConfigError, RunConfig
from core.data.loader import ImageDataset
from core.data.preparation import Data, check_batches
from core.data.rows import Images
from core.data.sources import Progress
from core.machine.files import written_whole
from core.records.findings import Overlap

CHUNK_BYTES = 8 * 2**20


def overlaps(data: Data, cache: Path | None = None) -> tuple[Overlap, ...]:
    """What of the validation and the test set is in the training set too.

    `cache`: the folder of decoded images. Digests of stores that are kept there are kept beside them.
    """
    known: dict[int, NDArray[np.uint64]] = {}
    return tuple(_overlap(name, data.train.images, held_out, cache, known) for name, held_out in _measured(data))


def with_doubles_as_asked(data: Data, config: RunConfig, cache: Path, progress: Progress) -> Data:
    """What `config.doubles` asks for: the same data, or `without_doubles`.

    Args:
        cache: that of `overlaps`.
        progress: told if pictures are compared, which may take a while.

    Raises:
        ConfigError: too few pictures are left to train on.
    """
    if config.doubles == "keep":
        return data
    progress("comparing the training pictures with those that measure", None)
    left = without_doubles(data, cache)
    check_batches(config, len(left.train.images))
    return left


def without_doubles(data: Data, cache: Path | None = None) -> Data:
    """The same without the training pictures that `overlaps` would find in the validation or the test set, and a note that says how many.

    Validation and test set stay as they are. `cache` is that of `overlaps`.

    Raises:
        ConfigError: on `doubles`, where no picture is left to train on.
    """
    train = data.train.images
    known: dict[int, NDArray[np.uint64]] = {}
    doubles: set[int] = set()
    for _, held_out in _measured(data):
        places, measured = _alike(train, held_out, cache, known)
        there = {_picture(held_out, place) for place in measured.tolist()}
        doubles |= {place for place in places.tolist() if _picture(train, place) in there}
    left = train.indices[~torch.isin(train.indices, torch.tensor(sorted(doubles), dtype=torch.int64))]
    where = "in the validation or the test set" if data.validation is not None else "in the test set"
    if len(left) == 0:
        remedy = "set doubles to keep, or give the dataset other pictures to measure on"
        raise ConfigError("doubles", f"'leave out' leaves nothing to train on: all {len(train):,} training pictures are {where} too; {remedy}")
    if len(left) == len(train):
        return replace(data, notes=(*data.notes, f"No training picture is {where} too, so none was left out."))
    notes = [f"Left out of the {len(train):,} training pictures: {len(train) - len(left):,} that are {where} too, pixel for pixel."]
    missing = sorted(set(train.labels[train.indices].tolist()) - set(train.labels[left].tolist()))
    if missing:
        rest = f" and {len(missing) - 3:,} more" if len(missing) > 3 else ""
        notes.append(f"No training picture is left of {', '.join(data.classes[label] for label in missing[:3])}{rest}, so that cannot be learned.")
    return replace(data, train=data.train.of(train.labels, left), notes=(*data.notes, *notes))


def _measured(data: Data) -> list[tuple[Literal["validation", "test"], ImageDataset]]:
    """The sets that are measured on."""
    validation: list[tuple[Literal["validation", "test"], ImageDataset]] = [("validation", data.validation.images)] if data.validation else []
    return [*validation, ("test", data.test.images)]


def _alike(
    train: ImageDataset, held_out: ImageDataset, cache: Path | None, known: dict[int, NDArray[np.uint64]]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The places in their stores of the training and the measured pictures whose digests are in both sets: few that are not doubles."""
    trained, measured = train.indices.numpy(), held_out.indices.numpy()
    if train.images.shape[1:] != held_out.images.shape[1:]:
        return trained[:0], measured[:0]
    train_digests, held_digests = _digests(train, cache, known)[trained], _digests(held_out, cache, known)[measured]
    common = np.intersect1d(train_digests, held_digests)
    return trained[np.isin(train_digests, common)], measured[np.isin(held_digests, common)]


def _picture(dataset: ImageDataset, place: int) -> bytes:
    """SHA-256 of the picture at a place of the dataset's store: the pixels themselves would not all fit into memory."""
    return hashlib.sha256(dataset.images[place].numpy().tobytes()).digest()


def _overlap(
    name: Literal["validation", "test"], train: ImageDataset, held_out: ImageDataset, cache: Path | None, known: dict[int, NDArray[np.uint64]]
) -> Overlap:
    trained, measured = _alike(train, held_out, cache, known)
    labels: dict[bytes, set[int]] = defaultdict(set)
    for place in trained.tolist():
        labels[_picture(train, place)].add(int(train.labels[place]))
    twins = [(int(held_out.labels[place]), labels[picture]) for place in measured.tolist() if (picture := _picture(held_out, place)) in labels]
    return Overlap(name, len(twins), len(held_out), sum(label not in others for label, others in twins))


def _digests(dataset: ImageDataset, cache: Path | None, known: dict[int, NDArray[np.uint64]]) -> NDArray[np.uint64]:
    """A digest of every picture of the dataset's store: read where it is kept, else worked out."""
    images = dataset.images
    if id(images) in known:
        return known[id(images)]
    file = cache / "decoded" / f"{dataset.store_key}.digests.npy" if cache and dataset.store_key else None
    found = _kept(file, len(images))
    if found is None:
        found = _worked_out(images)
        if file is not None and file.parent.is_dir():
            _keep(file, found)
    known[id(images)] = found
    return found


def _worked_out(images: Images) -> NDArray[np.uint64]:
    step = max(1, CHUNK_BYTES // max(1, math.prod(images.shape[1:])))
    parts = [picture_digests(images[start : start + step].numpy()) for start in range(0, len(images), step)]
    return np.concatenate([np.empty(0, np.uint64), *parts])


def picture_digests(images: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """uint64 [N] of pictures uint8 [N, ...]: equal for equal pictures, and as good as never for others."""
    flat = images.reshape(len(images), -1)
    words = -(-flat.shape[1] // 8)
    factors = np.random.default_rng(0).integers(0, 2**63, words, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    digests = np.empty(len(flat), np.uint64)
    step = max(1, CHUNK_BYTES // max(1, flat.shape[1]))
    for start in range(0, len(flat), step):
        part = np.zeros((len(flat[start : start + step]), words * 8), np.uint8)
        part[:, : flat.shape[1]] = flat[start : start + step]
        mixed = part.view(np.uint64)
        # A multiplication alone leaves the low bits of a word where they are: the high ones are folded in first.
        digests[start : start + step] = ((mixed ^ (mixed >> np.uint64(32))) * factors).sum(axis=1, dtype=np.uint64)
    return digests


def _kept(file: Path | None, count: int) -> NDArray[np.uint64] | None:
    try:
        found = np.load(file, allow_pickle=False) if file is not None and file.is_file() else None
    except (OSError, ValueError):
        return None
    return found if found is not None and found.shape == (count,) and found.dtype == np.uint64 else None


def _keep(file: Path, digests: NDArray[np.uint64]) -> None:
    """Write them, or leave it: they can be worked out again."""
    with suppress(OSError), written_whole(file) as stream:
        np.save(stream, digests)


class Search:
    """Looks for overlaps beside training, in a thread of its own (numpy lets others work meanwhile), and tells `listener` what it found."""

    def __init__(self, data: Data, cache: Path | None, listener: Callable[[Sequence[Overlap]], object]) -> None:
        self._thread = threading.Thread(target=self._look, args=(data, cache, listener), name="leakage", daemon=True)
        self._thread.start()

    def _look(self, data: Data, cache: Path | None, listener: Callable[[Sequence[Overlap]], object]) -> None:
        try:
            listener(overlaps(data, cache))
        except (OSError, MemoryError) as error:  # pictures that cannot be read any more end the run by themselves
            sys.stderr.write(f"Pictures could not be looked through for doubles: {error}\n")

    def wait(self) -> None:
        """Until it is over."""
        self._thread.join()
