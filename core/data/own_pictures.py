"""The test pictures that a run was measured on, found again where its dataset is today: those, and no others. No torch.

A picture is the one that was listed if it holds the same bytes; where it lies and what it is called may have changed.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.config import ConfigError
from core.data import datasets, own
from core.data.digests import file_digests, pixel_digests
from core.data.endings import is_picture
from core.data.folders import shown
from core.data.manifest import PICTURES, Picture, read_pictures, read_recipe
from core.data.sources import Progress, Source
from core.data.stock import MAX_FILES
from core.machine.home import Home

TOUCHED = " touched"

LEAST_SHARE = 0.5
"""Of the listed test pictures, so many must be left to be measured on."""


@dataclass(frozen=True)
class TestPictures:
    """The test pictures of a run that are there today, in the order of its list, labelled as they were, with their digests.

    `listed`: how many there were. `notes`: what became of the others, in sentences.
    """

    __test__ = False  # it is no test, pytest

    classes: tuple[str, ...]
    source: Source
    digests: tuple[str, ...]
    listed: int
    notes: tuple[str, ...]

    @property
    def key(self) -> str:
        """See `key_of`."""
        return key_of(self.classes, self.source.labels.tolist(), self.digests)


def key_of(classes: Sequence[str], labels: Sequence[int], digests: Sequence[str]) -> str:
    """Another text for other pictures, labels or classes, or the same in another order; whatever they are called."""
    lines = [*map(repr, classes), *(f"{label} {digest}" for label, digest in zip(labels, digests, strict=True))]
    return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()[:32]


def root_of(home: Home, run_id: str, dataset: str) -> Path | None:
    """The folder that a run's pictures lie in, as far as anybody has said; it need not be there. None for a dataset that is no folder."""
    folder = datasets.folder_of(dataset)
    if own.parse(dataset) and folder and folder.is_dir():
        return folder  # wherever the home was when the run was made
    recipe = read_recipe(home.run_folder(run_id)) if folder else None
    return Path(recipe.root) if recipe is not None and recipe.root is not None else folder


def is_listed(home: Home, run_id: str) -> bool:
    """False for a run that was made before Thaw kept lists of pictures."""
    return (home.run_folder(run_id) / PICTURES).is_file()


def find(home: Home, run_id: str, dataset: str, classes: Sequence[str], progress: Progress) -> TestPictures:
    """The run's own test pictures. It has to be one that `is_listed`.

    Args:
        dataset: that of the run's config.
        classes: the run's, by label.

    Raises:
        ConfigError: on `dataset`, it is not there, or too few of the pictures are: fewer than half, or none of a class that had some. On `run`,
            the list cannot be read.
    """
    listed = [picture for picture in read_pictures(home.run_folder(run_id)) or () if picture.part == "test"]
    strange = next((picture.name for picture in listed if picture.name not in classes), None)
    if strange is not None:
        raise ConfigError("run", f"the list of the pictures of {run_id} has a class {strange!r} that the run has not; train again")
    root = root_of(home, run_id, dataset)
    if root is not None and not root.is_dir() and (choice := own.parse(dataset)):
        own.resolve(home, choice)  # says that it is in the bin, or gone
    found = _numbered(home, run_id, dataset, listed, progress) if root is None else _in_folder(home, run_id, root, listed, progress)
    _check_enough(run_id, root, listed, found)
    labels = {name: label for label, name in reversed(list(enumerate(classes)))}
    there = [place for place, is_there in enumerate(found.there) if is_there]
    source = Source(found.images, np.asarray([labels[listed[place].name] for place in there], dtype=np.int64))
    return TestPictures(tuple(classes), source, tuple(listed[place].sha256 for place in there), len(listed), tuple(found.notes()))


@dataclass(frozen=True)
class _Found:
    """What became of each listed picture, in the order of the list; `images`: those that are there. `renamed` of them lie elsewhere now."""

    there: list[bool]
    changed: int
    images: NDArray[np.uint8] | tuple[Path, ...]
    renamed: int = 0
    relabelled: int = 0

    @property
    def gone(self) -> int:
        return len(self.there) - sum(self.there) - self.changed

    @property
    def lacking(self) -> str:
        """'3 of 42 test pictures are gone, 1 was changed'; empty if all are there."""
        total = len(self.there)
        gone = f"{self.gone:,} of {total:,} test pictures {_are(self.gone)} gone" if self.gone else ""
        changed = f"{self.changed:,} {'' if gone else f'of {total:,} test pictures '}{_were(self.changed)} changed" if self.changed else ""
        return ", ".join(filter(None, (gone, changed)))

    def notes(self) -> Iterator[str]:
        if self.lacking:
            yield f"{self.lacking}: measured on {sum(self.there):,}."
        if self.renamed:
            yield f"{self.renamed:,} of the test pictures {_are(self.renamed)} called otherwise, or in another folder, than when the run was made."
        if self.relabelled:
            lie, count = ("lies", "counts") if self.relabelled == 1 else ("lie", "count")
            yield f"{self.relabelled:,} of them {lie} in the folder of another class now, and {count} here as what the run was told."


def _in_folder(home: Home, run_id: str, root: Path, listed: Sequence[Picture], progress: Progress) -> _Found:
    check_there(root, run_id)
    paths = [_path(root, picture) for picture in listed]
    progress("looking for the test pictures", None)
    digests = file_digests([path or root for path in paths], root, home.cache, progress)
    found: dict[int, Path] = {}
    for place, (path, digest) in enumerate(zip(paths, digests, strict=True)):
        if path is not None and digest == listed[place].sha256:
            found[place] = path
    missing = [place for place in range(len(listed)) if place not in found]
    elsewhere = _elsewhere(home, root, {listed[place].sha256 for place in missing}, set(found.values()), progress) if missing else {}
    renamed = {place: elsewhere[listed[place].sha256] for place in missing if listed[place].sha256 in elsewhere}
    changed = sum(digests[place] is not None and paths[place] is not None for place in missing if place not in renamed)
    names = {picture.name for picture in listed}
    relabelled = sum(_says_another(path.relative_to(root), listed[place].name, names) for place, path in renamed.items())
    found |= renamed
    there = [place in found for place in range(len(listed))]
    return _Found(there, changed, tuple(found[place] for place in sorted(found)), len(renamed), relabelled)


def check_there(root: Path, run_id: str) -> None:
    """Raises ConfigError on `dataset`, with what can be said about it, for a run's folder that is not there."""
    if not root.is_dir():
        where = f"the folder {shown(str(root))} is not there: it was moved or renamed, or is on a drive that is not connected"
        raise ConfigError("dataset", f"{where}. Say where its pictures are now, on the Evaluate screen or with: python -m core moved {run_id} PATH")


def _path(root: Path, picture: Picture) -> Path | None:
    """Where a listed picture lies; None for what leads out of the folder: a list may come from elsewhere."""
    path = Path(picture.file)
    return None if picture.number is not None or path.is_absolute() or ".." in path.parts or "\0" in picture.file else root / path


def _elsewhere(home: Home, root: Path, wanted: set[str], known: set[Path], progress: Progress) -> dict[str, Path]:
    """Files below `root` that hold what is wanted: digest to file. Those that are `known` are what they are."""
    files = [path for path in image_files(root) if path not in known]
    digests = file_digests(files, root, home.cache, progress)
    return {digest: path for path, digest in reversed(list(zip(files, digests, strict=True))) if digest in wanted}


def image_files(root: Path) -> list[Path]:
    """All files below a folder that are called like images, hidden ones and links to folders aside, in the order of their names."""
    found: list[Path] = []
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += (Path(folder, name) for name in sorted(files) if not name.startswith(".") and is_picture(name))
        if len(found) > MAX_FILES:
            break
    return found[:MAX_FILES]


def _says_another(path: Path, name: str, names: set[str]) -> bool:
    """Whether the folders that a file lies in speak of another class than its own."""
    folders = {shown(part) for part in path.parts[:-1]}
    return name not in folders and bool(folders & names)


def _numbered(home: Home, run_id: str, dataset: str, listed: Sequence[Picture], progress: Progress) -> _Found:
    """The pictures of a dataset that is no folder, by their numbers in it."""
    entry = datasets.find_dataset(dataset)
    progress(f"reading {entry.label}", None)
    raw = entry.read(home.data, progress)
    recipe = read_recipe(home.run_folder(run_id))
    part = recipe.sources.get("test") if recipe else None
    source = raw.train if part == "train" or raw.test is None else raw.test
    numbers = [picture.number if picture.number is not None and picture.number < len(source) else -1 for picture in listed]
    inside = [number for number in numbers if number >= 0]
    if isinstance(source.images, tuple):
        found = file_digests([source.images[number] for number in inside], home.data, home.cache, progress)
    else:
        found = [*pixel_digests(source.images[inside])]
    digests = iter(found)
    there = [number >= 0 and next(digests) == picture.sha256 for number, picture in zip(numbers, listed, strict=True)]
    left = [number for number, is_there in zip(numbers, there, strict=True) if is_there]
    images = tuple(source.images[number] for number in left) if isinstance(source.images, tuple) else source.images[left]
    return _Found(there, len(inside) - len(left), images)


def _check_enough(run_id: str, root: Path | None, listed: Sequence[Picture], found: _Found) -> None:
    there = [picture.name for picture, is_there in zip(listed, found.there, strict=True) if is_there]
    without = sorted({picture.name for picture in listed} - set(there))
    if listed and len(there) >= LEAST_SHARE * len(listed) and not without:
        return
    why = f"no test picture of {shown(without[0])} is left" if without and 2 * len(there) >= len(listed) else "that is too few to measure on"
    where = f"bring them back into {shown(str(root))}, or say where the run's pictures are now with: python -m core moved {run_id} PATH"
    remedy = where if root is not None else "bring the dataset back to what it was, or train again"
    raise ConfigError("dataset", f"{found.lacking or 'the run has no test pictures'} of those that {run_id} was tested on, and {why}; {remedy}")


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


def _were(count: int) -> str:
    return "was" if count == 1 else "were"


def stamp(home: Home, run_id: str, dataset: str) -> str | None:
    """Another text once a run's test pictures, or the folders in which they could be found again, were touched; quick: no picture is read.

    None where that cannot be said: the folder is not there, or the run has no list. Empty for a dataset that is no folder. It ends in TOUCHED where
    pictures may have changed since the run was made.

    Raises:
        ConfigError: on `run`, the list cannot be read.
    """
    root = root_of(home, run_id, dataset)
    if root is None:
        return ""
    file = home.run_folder(run_id) / PICTURES
    if not (root.is_dir() and file.is_file()):
        return None
    made = file.stat().st_mtime_ns
    key = hashlib.blake2b(os.fsencode(root), digest_size=16)
    touched = lacking = False
    for path in _listed_files(file, made, root):
        try:
            status = path.stat()
        except (OSError, ValueError):
            lacking = True
            key.update(b"gone\0")
            continue
        key.update(f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}\0".encode())
        touched = touched or max(status.st_mtime_ns, status.st_ctime_ns) >= made
    if lacking:  # they may turn up anywhere
        for folder, folders, _ in os.walk(root):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            key.update(os.fsencode(folder) + f" {Path(folder).stat().st_mtime_ns}\0".encode())
    return key.hexdigest() + (TOUCHED if lacking or touched else "")


def last_change(root: Path) -> float:
    """When anything below a folder was changed, added or removed last, in Unix seconds."""
    newest = 0.0
    for folder, _, files in os.walk(root):
        for path in (Path(folder), *(Path(folder, name) for name in files)):
            with suppress(OSError):
                newest = max(newest, path.lstat().st_mtime)
    return newest


@lru_cache(maxsize=8)
def _listed_files(file: Path, changed: int, root: Path) -> tuple[Path, ...]:
    """Where the test pictures of a list lie, as it was when it was `changed`."""
    return tuple(path for each in read_pictures(file.parent) or () if each.part == "test" and (path := _path(root, each)) is not None)
