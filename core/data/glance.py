"""A first look at a dataset before anything trains on it: a few of its pictures as a model will see them, and what is odd in its numbers. No torch.

Eight files are opened, whatever a dataset holds: this runs while a person fills in a form.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from core.data.decoding import FORMATS, File, Fit, fitted, sparing_notes
from core.data.endings import is_picture
from core.data.folders import Folders, counted_pictures, shown, some
from core.data.intake import UnreadableImage, check_size, decode, readable
from core.data.layouts import Layout, Part
from core.data.sources import Source

Thing = TypeVar("Thing")

MOST = 8
"""Pictures that are looked at."""

ENTRIES = 400
"""Files and folders of a class that are looked at to find some of its pictures: the first by name of so many."""

LARGEST = 25_000_000
"""Pixels of the largest picture that is decoded whole for a look. A JPEG may have more: it is decoded at an eighth of its size."""

UNEVEN = 20
"""So many times as many pictures as the rarest class has are called very uneven."""


@dataclass(frozen=True)
class Sight:
    """One picture of the class `label`, uint8 [3, S, S] as the model will see it; None where it cannot be shown, with the reason in `problem`.

    `name` is that of its file, as text that can be printed; empty for one that is no file. `damaged`: training would leave it out.
    """

    label: int
    name: str
    pixels: NDArray[np.uint8] | None
    problem: str = ""
    damaged: bool = False


@dataclass(frozen=True)
class Found:
    """A picture file of a class, with what tells that it was changed."""

    label: int
    file: Path
    changed: int
    size: int


def some_files(layout: Layout, most: int = MOST) -> tuple[Found, ...]:
    """Some of the training pictures, one of each class first; of more classes than that, classes from the first to the last.

    Raises:
        ConfigError: on `dataset`, for a folder that may not be read.
    """
    root = layout.root.resolve()
    return tuple(
        _found(label, file) for label, file in _in_turn({label: _of_class(layout, label, root) for label in _spread(layout.classes, most)}, most)
    )


def some_places(labels: NDArray[np.int64], classes: int, most: int = MOST) -> tuple[int, ...]:
    """Places of some samples, one of each class first, as `some_files`."""
    members = {label: iter(np.flatnonzero(labels == label)[:most].tolist()) for label in _spread(range(classes), most)}
    return tuple(place for _, place in _in_turn(members, most))


def _spread(classes: Sequence[object], most: int) -> list[int]:
    """The labels of at most so many classes, evenly from first to last."""
    return sorted({round(place) for place in np.linspace(0, len(classes) - 1, min(most, len(classes))).tolist()}) if classes else []


def _in_turn(members: Mapping[int, Iterator[Thing]], most: int) -> list[tuple[int, Thing]]:
    """One of each label, then another of each, until there are enough; in the order of the labels."""
    found: list[tuple[int, Thing]] = []
    left = dict(members)
    while left and len(found) < most:
        for label in list(left):
            one = next(left[label], None)
            if one is None:
                del left[label]
            elif len(found) < most:
                found.append((label, one))
    return sorted(found, key=lambda item: item[0])


def _of_class(layout: Layout, label: int, root: Path) -> Iterator[Path]:
    """The first picture files of a class by name, of those that are met first: a folder of 100,000 files is not read through."""
    for folder in layout.parts["train"]:
        home = folder / layout.folders[label]
        if home.is_dir():
            yield from sorted(islice(_pictures(home, root), ENTRIES))


def _pictures(home: Path, root: Path) -> Iterator[Path]:
    folders, waiting, left = Folders(), [home], ENTRIES
    while waiting and left > 0:
        for entry in folders.entries(waiting.pop(0)):
            left -= 1
            if entry.is_dir(follow_symlinks=False):
                waiting.append(Path(entry.path))
            elif is_picture(entry.name) and entry.is_file() and (not entry.is_symlink() or folders.leads_inside(Path(entry.path), root)):
                yield Path(entry.path)
            if left <= 0:
                return


def _found(label: int, file: Path) -> Found:
    with suppress(OSError):
        status = file.stat()
        return Found(label, file, status.st_mtime_ns, status.st_size)
    return Found(label, file, 0, 0)


def look_at(found: Found, image_size: int, fit: Fit) -> Sight:
    """A picture file as a model sees it: decoded as for training. Of values with more than 8 bits a range of its own is taken."""
    name = shown(found.file.name)
    try:
        with readable(found.file), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what Pillow finds odd in a file that it can read
            if _is_huge(found.file):
                return Sight(found.label, name, None, f"more than {LARGEST / 1e6:.0f} million pixels: not opened for a first look")
            return Sight(found.label, name, decode(found.file, image_size, fit))
    except UnreadableImage as error:
        return Sight(found.label, name, None, str(error), damaged=error.kind != "out of reach")


def _is_huge(file: Path) -> bool:
    """Whether decoding it could keep a form waiting. Only its head is read. Raises UnreadableImage for what is too large for training."""

    def look(file: File) -> bool:
        with Image.open(file, formats=FORMATS) as image:
            check_size(image)
            return image.format != "JPEG" and image.width * image.height > LARGEST

    return file.stat().st_size > 0 and sparing_notes(file, look)


def sights_of(source: Source, classes: int, image_size: int, fit: Fit) -> tuple[Sight, ...]:
    """Some pictures of a dataset that is at hand, as a model sees them. Arrays are scaled as in training, give or take a level."""
    found = []
    for place in some_places(source.labels, classes):
        label = int(source.labels[place])
        if isinstance(source.images, tuple):
            found.append(look_at(_found(label, source.images[place]), image_size, fit))
        else:
            found.append(Sight(label, "", _scaled(source.images[place], image_size, fit)))
    return tuple(found)


def _scaled(image: NDArray[np.uint8], image_size: int, fit: Fit) -> NDArray[np.uint8]:
    """uint8 [C, H, W] with 1 or 3 channels to [3, S, S]."""
    height, width = image.shape[1:]
    if fit == "crop":  # cut out before it is scaled, as `core.data.loader.resize` does
        side = min(height, width)
        image = image[:, (height - side) // 2 :, (width - side) // 2 :][:, :side, :side]
    colour = np.ascontiguousarray(np.broadcast_to(image, (3, *image.shape[1:])).transpose(1, 2, 0))
    pixels: NDArray[np.uint8] = np.asarray(fitted(Image.fromarray(colour), image_size, fit)).transpose(2, 0, 1)
    return pixels


def oddities(classes: Sequence[str], counts: Mapping[Part, Sequence[int]], batch: int | None) -> tuple[str, ...]:
    """What is odd in the numbers of pictures of each class in each of the three sets, in sentences; nothing where nothing is.

    `batch`: pictures of one batch; None where that is no number.
    """
    learn, validate, test = (np.asarray(counts[part], dtype=np.int64) for part in ("train", "validation", "test"))
    every = learn + validate + test
    said = []
    if batch is not None and batch > learn.sum():
        said.append(f"{counted_pictures(int(learn.sum()))} to learn from, fewer than one batch of {batch:,}.")
    if len(lone := [name for name, count in zip(classes, every, strict=True) if count == 1]):
        said.append(f"A single picture of {some(lone)}: it can be learned from, not measured.")
    for what, which, there in (("validate", "validation", validate), ("test", "test", test)):
        missing = [name for name, count, total in zip(classes, there, every, strict=True) if count == 0 and total != 1]
        if there.any() and missing:
            said.append(f"No picture of {some(missing)} to {what} on: the {which} accuracy says nothing of {'it' if len(missing) == 1 else 'them'}.")
    if learn.size and learn.min() > 0 and learn.max() > UNEVEN * learn.min():
        often, rare = classes[int(learn.argmax())], classes[int(learn.argmin())]
        said.append(
            f"Very uneven: {int(learn.max()):,} pictures of {often} to learn from, {int(learn.min()):,} of {rare}. "
            "Balanced class weights (More settings) let rare classes count as much."
        )
    return tuple(said)


def damage(sights: Sequence[Sight]) -> str:
    """That some of the pictures that were looked at cannot be read, as a sentence; empty where all can."""
    broken = [f"{sight.name} ({sight.problem})" for sight in sights if sight.damaged]
    return f"{len(broken)} of the {len(sights)} pictures that were looked at cannot be read and will be left out: {some(broken)}." if broken else ""
