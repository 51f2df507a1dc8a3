"""Pictures that are in two sets: found by a digest of their pixels, and compared pixel for pixel before anybody is told.

A digest is a sum of products of the picture's 8-byte words with fixed random odd numbers, modulo 2**64 (multiply-shift hashing: Dietzfelbinger
et al., A Reliable Randomized Algorithm for the Closest-Pair Problem, 1997): as fast as memory can be read.
"""

from __future__ import annotations

import os
import sys
import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from core.data.loader import ImageDataset
from core.data.preparation import Data
from core.events import Overlap

CHUNK_BYTES = 8 * 2**20

TWINS = 20
"""Training pictures with the same digest that a picture is compared with, at most: a thousand empty ones need not all be."""


def overlaps(data: Data, cache: Path | None = None) -> tuple[Overlap, ...]:
    """What of the validation and the test set is in the training set too.

    `cache`: the folder of decoded images. Digests of stores that are kept there are kept beside them.
    """
    measured: list[tuple[Literal["validation", "test"], ImageDataset]] = [("test", data.test.images)]
    if data.validation is not None:
        measured.insert(0, ("validation", data.validation.images))
    known: dict[int, NDArray[np.uint64]] = {}
    return tuple(_overlap(name, data.train.images, held_out, cache, known) for name, held_out in measured)


def _overlap(
    name: Literal["validation", "test"], train: ImageDataset, held_out: ImageDataset, cache: Path | None, known: dict[int, NDArray[np.uint64]]
) -> Overlap:
    trained, measured = train.indices.numpy(), held_out.indices.numpy()
    train_digests, held_digests = _digests(train, cache, known), _digests(held_out, cache, known)
    if train.images.shape[1:] != held_out.images.shape[1:]:
        return Overlap(name, 0, len(measured))
    places: dict[int, list[int]] = defaultdict(list)
    common = np.intersect1d(train_digests[trained], held_digests[measured])
    for place in trained[np.isin(train_digests[trained], common)].tolist():
        places[int(train_digests[place])].append(place)
    shared = other = 0
    for place in measured[np.isin(held_digests[measured], common)].tolist():
        same = [twin for twin in places[int(held_digests[place])][:TWINS] if bool((train.images[twin] == held_out.images[place]).all())]
        shared += bool(same)
        other += bool(same) and all(int(train.labels[twin]) != int(held_out.labels[place]) for twin in same)
    return Overlap(name, shared, len(measured), other)


def _digests(dataset: ImageDataset, cache: Path | None, known: dict[int, NDArray[np.uint64]]) -> NDArray[np.uint64]:
    """A digest of every picture of the dataset's store: read where it is kept, else worked out."""
    images = dataset.images
    if images.data_ptr() in known:
        return known[images.data_ptr()]
    file = cache / "decoded" / f"{dataset.store_key}.digests.npy" if cache and dataset.store_key else None
    found = _kept(file, len(images))
    if found is None:
        found = picture_digests(images.numpy())
        if file is not None and file.parent.is_dir():
            _keep(file, found)
    known[images.data_ptr()] = found
    return found


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
    partial = file.with_name(f"{file.name}.partial-{os.getpid()}")
    try:
        with partial.open("wb") as stream:
            np.save(stream, digests)
        partial.replace(file)
    except OSError:
        partial.unlink(missing_ok=True)


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
