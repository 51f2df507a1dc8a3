"""What can be counted of a version: classes, sizes, colours, and the pictures that stand out. Numpy and Pillow."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.curating.looking import CHUNK, Looks, Progress
from core.data.intake import UnreadableImage, readable, upright
from core.machine.home import Home
from core.versions import Version, path_of

SAMPLED = 1_000
"""Pictures that are decoded for the figures of the channels. The mean of so many is known to a hundredth of the spread between pictures' means."""

SIDE = 256
"""A JPEG is decoded at a half, a quarter or an eighth of its size where its sides stay at least this long."""

LONG = 4.0
"""Sides of which one is so many times the other are odd: a square cut out of such a picture shows a quarter of it at most."""

SMALL = 16
"""Pixels: a picture with a shorter side shows little."""

APART = 6.0
"""A picture is called much darker or brighter where its mean lies so many robust standard deviations (1.48 x median deviation) from the median."""

RARE = 0.02
"""Grey pictures are odd among coloured ones where they are at most this share."""

COMMON = 0.1
"""What more than this share of the pictures have in common makes none of them odd: it is said of them all."""


@dataclass(frozen=True)
class Channels:
    """Figures of red, green and blue on the scale of 0 to 1, of `pictures` pictures, each of which counts as much as any other.

    `histograms` are shares of the values, a list of 256 for each channel. `of`: how many pictures there are.
    """

    pictures: int
    of: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    histograms: tuple[tuple[float, ...], ...]

    @property
    def sentence(self) -> str:
        """What they rest on."""
        if self.pictures == self.of:
            return f"Of all {self.of:,} pictures, each counting alike."
        return f"Of {self.pictures:,} pictures drawn at random from {self.of:,} (seed 0), each counting alike."


@dataclass(frozen=True)
class Odd:
    """A picture, by its place in the version, that stands out, and why."""

    picture: int
    reason: str


def channels(home: Home, version: Version, progress: Progress) -> Channels | None:
    """Mean, standard deviation and histogram of each channel, over a sample that a seed draws; None where none of it can be read."""
    chosen = np.sort(np.random.default_rng(0).permutation(len(version.items))[:SAMPLED])
    files = [path_of(home, version.dataset, version.items[place]) for place in chosen]
    counts: list[NDArray[np.float64]] = []
    with ThreadPoolExecutor(os.cpu_count()) as pool, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what Pillow finds odd in a file that it can read
        for start in range(0, len(files), CHUNK):
            progress(f"counting colours: {start:,} of {len(files):,}", start / len(files))
            counts += [found for found in pool.map(_histograms, files[start : start + CHUNK]) if found is not None]
    if not counts:
        return None
    shares = np.mean(counts, axis=0)
    values = np.arange(256) / 255
    mean = shares @ values
    spread = np.sqrt(np.maximum(shares @ values**2 - mean**2, 0))
    return Channels(len(counts), len(version.items), tuple(mean.tolist()), tuple(spread.tolist()), tuple(tuple(row) for row in shares.tolist()))


def _histograms(file: Path) -> NDArray[np.float64] | None:
    """The share of each value in each channel, float64 [3, 256]; None for what cannot be read."""
    try:
        with readable(file):
            counts = np.array(upright(file, SIDE).histogram(), dtype=np.float64).reshape(3, 256)
    except UnreadableImage:
        return None
    shares: NDArray[np.float64] = counts / counts.sum(axis=1, keepdims=True)
    return shares


def odd(version: Version, looks: Looks) -> tuple[tuple[Odd, ...], tuple[str, ...]]:
    """Pictures that stand out, with a reason for each, in the order of the version (a picture may be there for several), and what many of them have
    in common, in sentences.
    """
    sides = [sorted((item.width, item.height)) for item in version.items]
    small = [Odd(place, f"it has few pixels, {short:,} at its shorter side") for place, (short, _) in enumerate(sides) if 0 < short < SMALL]
    slim = [
        Odd(place, f"one side is {long / short:.1f} times the other") for place, (short, long) in enumerate(sides) if short and long >= LONG * short
    ]
    flat = [Odd(place, "it is as good as one colour") for place in np.flatnonzero(looks.flat & looks.seen).tolist()]
    rest = np.flatnonzero(looks.seen & ~looks.flat)
    thumbs = looks.thumbs[rest]
    found = [Odd(place, f"it cannot be read any more ({reason})") for place, reason in looks.problems.items()]
    said = []
    for what, each in (
        ("have fewer than 16 pixels a side", small),
        ("have one side four times the other", slim),
        ("are as good as one colour", flat),
    ):
        if len(each) > COMMON * len(version.items):
            said.append(f"{len(each):,} of {len(version.items):,} pictures {what}.")
        else:
            found += each
    if len(rest):
        found += [*_apart(rest, thumbs.mean(axis=(1, 2, 3), dtype=np.float64)), *_grey(rest, thumbs)]
    return tuple(sorted(found, key=lambda each: each.picture)), tuple(said)


def _apart(places: NDArray[np.int64], means: NDArray[np.float64]) -> list[Odd]:
    middle = float(np.median(means))
    spread = 1.4826 * float(np.median(np.abs(means - middle)))
    if spread == 0:
        return []
    far = np.flatnonzero(np.abs(means - middle) > APART * spread)
    return [Odd(int(places[one]), f"it is much {'brighter' if means[one] > middle else 'darker'} than the others") for one in far]


def _grey(places: NDArray[np.int64], thumbs: NDArray[np.uint8]) -> list[Odd]:
    spread = (thumbs.max(axis=3).astype(np.int16) - thumbs.min(axis=3)).max(axis=(1, 2))
    grey = np.flatnonzero(spread <= 8)
    return [Odd(int(places[one]), "it is grey, and nearly all others have colours") for one in grey] if 0 < len(grey) <= RARE * len(places) else []


def rare_classes(version: Version, least: int = 3) -> tuple[str, ...]:
    """The classes of a version with fewer than `least` pictures, as sentences tell them: 'owl (2)'."""
    counts = Counter(item.label for item in version.items)
    return tuple(f"{name} ({counts[name]:,})" for name in version.classes if counts[name] < least)


def ratios(version: Version) -> NDArray[np.float64]:
    """Width by height of each picture whose size is known, float64 [N]."""
    return np.array([item.width / item.height for item in version.items if item.width and item.height], dtype=np.float64)


def sizes(version: Version, most: int = 12) -> Sequence[tuple[str, int]]:
    """The commonest sizes and how many pictures have them: ('500 x 375', 120)."""
    counts = Counter((item.width, item.height) for item in version.items if item.width)
    return [(f"{width:,} x {height:,}", count) for (width, height), count in counts.most_common(most)]
