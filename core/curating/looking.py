"""One look at each picture of a version: a few bytes that tell whether two pictures show the same, kept by content. Pillow and numpy."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from core.curating.kept import Kept, folder_of
from core.data import decoding
from core.data.intake import UnreadableImage, readable, upright
from core.machine.home import Home
from core.versions import Item, Version, path_of

Progress = Callable[[str, float | None], None]

LOOK = 1
"""Part of the file's name: raise it when a look at the same file gives something else."""

SIDE, THUMB = 32, 16
"""Pixels a side of the grey picture that the hash is made of, and of the coloured one that two pictures are compared by."""

CHUNK = 256
"""Pictures between two reports."""

_FREQUENCIES = np.cos(np.pi * (2 * np.arange(SIDE)[None] + 1) * np.arange(8)[:, None] / (2 * SIDE))
"""The eight lowest rows of the discrete cosine transform (DCT-II, without its factors): float64 [8, SIDE]."""


class Look(NamedTuple):
    """What `look_at` gives."""

    hash: int
    thumb: NDArray[np.uint8]
    flat: bool


@dataclass(frozen=True)
class Looks:
    """What was seen of the N pictures of a version, in its order.

    `hashes` uint64 [N], `thumbs` uint8 [N, THUMB, THUMB, 3], `flat` bool [N]: as good as one colour. `problems`: place to reason of pictures that
    could not be read; their rows mean nothing.
    """

    hashes: NDArray[np.uint64]
    thumbs: NDArray[np.uint8]
    flat: NDArray[np.bool_]
    problems: dict[int, str]

    @property
    def seen(self) -> NDArray[np.bool_]:
        """Whether it could be read, bool [N]."""
        seen = np.ones(len(self.hashes), dtype=bool)
        seen[list(self.problems)] = False
        return seen


def look_at_all(home: Home, version: Version, progress: Progress) -> Looks:
    """All pictures of a version. Only those are opened that no earlier version of the dataset had.

    Args:
        progress: told how far it is; what it raises ends the work, and what was seen until then is kept.
    """
    kept = Kept(folder_of(home, version.dataset) / f"looks-{LOOK}.npz", ("hashes", "thumbs", "flat"))
    digests = [item.sha256 for item in version.items]
    wanted = set(kept.missing(digests))
    first = {item.sha256: item for item in reversed(version.items) if item.sha256 in wanted}
    items = [first[digest] for digest in dict.fromkeys(digests) if digest in first]
    problems: dict[str, str] = {}
    try:
        for start, part in _looked([path_of(home, version.dataset, item) for item in items]):
            progress(f"looking at pictures: {start:,} of {len(items):,}", start / len(items))
            seen = [(item.sha256, look) for item, look in zip(items[start:], part, strict=False) if not isinstance(look, str)]
            problems.update({item.sha256: look for item, look in zip(items[start:], part, strict=False) if isinstance(look, str)})
            if seen:
                hashes, thumbs, flat = zip(*(look for _, look in seen), strict=True)
                values = {"hashes": np.array(hashes, np.uint64), "thumbs": np.stack(thumbs), "flat": np.array(flat, bool)}
                kept.add([digest for digest, _ in seen], values)
    finally:
        kept.save()
    return _in_order(version.items, kept, problems)


def _looked(files: Sequence[Path]) -> Iterator[tuple[int, list[Look | str]]]:
    """Place of the first, and looks or the reasons why there is none, a chunk of files at a time. Pillow decodes outside of Python's lock."""

    def look_or_reason(file: Path) -> Look | str:
        try:
            with readable(file):
                return look_at(upright(file, 2 * SIDE))
        except UnreadableImage as error:
            return str(error)

    with ThreadPoolExecutor(os.cpu_count()) as pool, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what Pillow finds odd in a file that it can read
        for start in range(0, len(files), CHUNK):
            yield start, list(pool.map(look_or_reason, files[start : start + CHUNK]))


def look_at(picture: Image.Image) -> Look:
    """What tells an RGB picture from others: a hash of 64 bits, uint8 [THUMB, THUMB, 3], and whether it is as good as one colour.

    The hash has a bit for each of the 63 lowest frequencies but the mean: whether it is above their median. Source: C. Zauner, Implementation and
    Benchmarking of Perceptual Image Hash Functions (2010), section 3.2.1; as `phash` of the library imagehash.
    """
    grey = np.asarray(picture.convert("L").resize((SIDE, SIDE), Image.Resampling.BILINEAR), dtype=np.float64)
    low = (_FREQUENCIES @ grey @ _FREQUENCIES.T).ravel()
    low[0] = -np.inf
    bits = low > np.median(low[1:])
    thumb = np.asarray(picture.resize((THUMB, THUMB), Image.Resampling.BILINEAR))
    return Look(int(np.packbits(bits).view(">u8")[0]), thumb, decoding.is_flat(picture))


def _in_order(items: Sequence[Item], kept: Kept, problems: dict[str, str]) -> Looks:
    places = kept.places([item.sha256 for item in items])
    missing = {place: problems[items[place].sha256] for place in np.flatnonzero(places < 0).tolist()}
    if len(missing) == len(items):
        return Looks(np.zeros(len(items), np.uint64), np.zeros((len(items), THUMB, THUMB, 3), np.uint8), np.zeros(len(items), bool), missing)
    return Looks(kept.column("hashes")[places], kept.column("thumbs")[places], kept.column("flat")[places], missing)
