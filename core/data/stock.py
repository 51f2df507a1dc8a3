"""The files of a folder whose layout is known: the images of each part and class, and what is left out, counted with its reason. No torch."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.config.errors import ConfigError
from core.data import endings
from core.data.folders import Entry, Folders, shown, some
from core.data.layouts import CLASSES, Layout, LeftOut, Part
from core.data.sources import Progress, Source
from core.data.splits import TEST_SHARE, quotas

MAX_FILES = 500_000

_OPENED_AT_MOST = 2_000

_REASONS: Mapping[str, tuple[str, str]] = {
    "links": (
        "Links that lead out of the folder, or to folders, are not followed and",
        "if these are images of yours, copy in what the links lead to (cp -rL)",
    ),
    "unlabelled": ("Images without a class, since they lie in no class folder,", ""),
    "elsewhere": ("Images in folders that are not used", ""),
    "unread": ("Pictures of formats that are not read", "convert them to JPEG or PNG"),
    "misnamed": ("Files that begin as an image but do not end as one", f"rename them ({', '.join(endings.USUAL)}) if they are images of yours"),
    "system": ("Files and folders that systems keep for themselves (thumbnails, recycle bins, indexes)", ""),
    "hidden": ("Hidden files and folders, whose names begin with a dot,", ""),
    "others": (f"Files without the name of an image ({', '.join(endings.USUAL)} ...)", ""),
}
"""Why something is left out, as the start of `... were left out: 3`, and what to do if it should not be."""


class _Enough(Exception):
    """The time to count is over."""


@dataclass
class _Left:
    """What was left out for one reason."""

    count: int = 0
    names: Counter[str] = field(default_factory=Counter)


@dataclass
class Walk:
    """One way through all folders of a layout. `files` are the pictures, by the folder of their part and the name of their class folder.

    Args:
        until: the moment (`time.monotonic`) at which it is given up.
        strict: a class that only validation or test images have is an error; else its pictures are taken like others.
    """

    layout: Layout
    progress: Progress
    until: float | None = None
    folders: Folders = field(default_factory=Folders)
    strict: bool = True
    seen: int = 0
    opened: int = 0
    left: dict[str, _Left] = field(default_factory=dict)
    files: dict[tuple[Path, str], list[Path]] = field(default_factory=dict)
    links_in: Counter[Path] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.root = self.layout.root.resolve()
        self.homes: dict[Path, Part] = {folder: part for part, folders in self.layout.parts.items() for folder in folders}

    def go(self) -> None:
        """Look at everything below the root once."""
        waiting: list[Path] = [self.layout.root]
        while waiting:
            folder = waiting.pop()
            if folder in self.homes:
                self._part(folder, waiting)
            else:
                reason = "unlabelled" if self._leads_to_parts(folder) or any(map(folder.is_relative_to, self.layout.unlabelled)) else "elsewhere"
                self.entries(folder, waiting, None, reason)

    def _leads_to_parts(self, folder: Path) -> bool:
        return any(home.is_relative_to(folder) for home in self.homes)

    def _part(self, folder: Path, waiting: list[Path]) -> None:
        """The class folders of one part. What leads on to another part, of a split that lies in it, is looked through as a folder by itself."""
        inner: list[Path] = []
        self.entries(folder, inner, None, "unlabelled")
        for home in inner:
            if home.name in self.layout.folders or not self.strict:
                files = self.files.setdefault((folder, home.name), [])
                below = [home]
                while below:
                    self.entries(below.pop(), below, files, "unlabelled")
            else:
                self._foreign(home, self.homes[folder])

    def _foreign(self, home: Path, part: Part) -> None:
        root, train = self.layout.root, self.layout.label(self.layout.parts["train"][0]).rstrip("/")
        twin = next((name for name in self.layout.folders if name.casefold() == home.name.casefold()), None)
        remedy = f"rename it to {shown(twin)}, as it is called there" if twin else f"remove it, or add images of it to {train}/"
        ways = f"{root}::train={train} to leave the {part} images out, {root}::{CLASSES} if every folder is a class"
        raise ConfigError("dataset", f"{shown(str(home))} is a class that the training images do not have; {remedy}, or write {ways}")

    def entries(self, folder: Path, folders: list[Path], files: list[Path] | None, reason: str) -> None:
        """Sort what lies in a folder: folders to look through, images into `files` (None: left out, for `reason`), the rest counted."""
        for entry in self.folders.scan(folder):
            self._count()
            self._sort(entry, folder, folders, files, reason)

    def _sort(self, entry: Entry, folder: Path, folders: list[Path], files: list[Path] | None, reason: str) -> None:
        name = entry.name
        if endings.is_system(name):
            self.leave("system", name, entry)
        elif name.startswith("."):
            self.leave("hidden", name, entry)
        elif entry.is_dir(follow_symlinks=False):
            folders.append(Path(entry.path))
        elif entry.is_symlink() and not (self.folders.leads_inside(Path(entry.path), self.root) and entry.is_file()):
            self.leave("links", name, entry)
            self.links_in[folder] += 1
        elif not entry.is_file():  # a pipe named x.jpg would never end
            self.leave("others", name, entry)
        elif self.folders.is_picture(name) or (not endings.ending(name) and self.folders.begins_as_picture(Path(entry.path))):
            if files is None:
                self.leave(reason, self.layout.label(folder), entry)
            else:
                files.append(Path(entry.path))
        elif endings.ending(name) in endings.UNREAD:
            self.leave("unread", endings.ending(name), entry)
        else:
            self.leave("misnamed" if self._is_misnamed(entry) else "others", endings.ending(name) or name, entry)

    def _is_misnamed(self, entry: Entry) -> bool:
        """True if a file of another ending begins as a picture. Some thousand are opened: more would take minutes on a network drive."""
        self.opened += 1
        return self.opened <= _OPENED_AT_MOST and self.folders.begins_as_picture(Path(entry.path))

    def leave(self, reason: str, name: str, entry: Entry) -> None:
        """Count what is left out, under a `name` that stands for others of its kind."""
        left = self.left.setdefault(reason, _Left())
        left.count += 1
        if name in left.names or len(left.names) < 100:
            left.names[name] += 1

    def _count(self) -> None:
        self.seen += 1
        if self.seen > MAX_FILES:
            raise ConfigError("dataset", f"{self.layout.root} holds more than {MAX_FILES:,} files; is it the folder you meant? Give one with fewer")
        if self.seen % 5_000 == 0:
            self.progress(f"looking through the folder: {self.seen:,} files", None)
        if self.until is not None and self.seen % 200 == 0 and time.monotonic() > self.until:
            raise _Enough

    def source(self, part: Part) -> Source:
        """The images of a part, those of each folder and class sorted by path, with the place of the class as label."""
        files: list[Path] = []
        labels: list[int] = []
        for folder in self.layout.parts[part]:
            for label, name in enumerate(self.layout.folders):
                members = sorted(self.files.get((folder, name), ()))
                files += members
                labels += [label] * len(members)
        return Source(tuple(files), np.asarray(labels, dtype=np.int64))

    def links_below(self, folder: Path) -> int:
        """Links that were left out in `folder` and below it."""
        return sum(count for place, count in self.links_in.items() if place.is_relative_to(folder))

    def left_out(self) -> tuple[LeftOut, ...]:
        """What was left out, the reasons in the order of their table."""
        found = []
        for reason, (text, remedy) in _REASONS.items():
            if reason in self.left:
                left = self.left[reason]
                counted = reason in ("unread", "unlabelled", "elsewhere", "misnamed")
                names = [f"{shown(name)} {count:,}" if counted else shown(name) for name, count in left.names.most_common()]
                found.append(LeftOut(text, left.count, tuple(names), remedy))
        return tuple(found)


def take_stock(layout: Layout, progress: Progress) -> tuple[Layout, dict[Part, Source]]:
    """The layout with its counts and what is left out, and the images of each part.

    Raises:
        ConfigError: for a class or a part without images, a class that training does not have, and far too many files.
    """
    walk = Walk(layout, progress)
    walk.go()
    return _checked(walk)


def survey(layout: Layout, seconds: float) -> Layout:
    """As `take_stock`, without the images and for so many seconds at most: then `at_least` says how many files were seen.

    Raises ConfigError as `take_stock`.
    """
    walk = Walk(layout, lambda text, share: None, time.monotonic() + seconds)
    try:
        walk.go()
    except _Enough:
        return replace(layout, at_least=walk.seen)
    return _checked(walk)[0]


Counts = Mapping[Part, tuple[int, ...]]
"""Images of each class, by set."""


def divided(counts: Counts, validation_share: float) -> Counts:
    """How many images of each class train, validate and test, if all can be read: as `core.data.preparation` cuts them.

    `counts`: those of the training images, and of validation and test images where a dataset brings some of its own.
    """
    train, none = counts["train"], (0,) * len(counts["train"])
    validation, test = counts.get("validation", none), counts.get("test", none)
    if "test" not in counts:
        train, test = _cut(train, TEST_SHARE)
    if validation_share == 0:
        validation = none
    elif "validation" not in counts:
        train, validation = _cut(train, validation_share)
    return {"train": train, "validation": validation, "test": test}


def planned(layout: Layout, validation_share: float) -> tuple[int, int, int]:
    """How many images of a counted layout train, validate and test, all classes together."""
    counts = divided(layout.counts or {}, validation_share)
    return sum(counts["train"]), sum(counts["validation"]), sum(counts["test"])


def _cut(counts: tuple[int, ...], share: float) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """How many images of each class `stratified_split` keeps, and holds out: which ones they are takes far longer to say."""
    out = iter(quotas([count for count in counts if count], share))
    aside = tuple(next(out) if count else 0 for count in counts)
    return tuple(count - held for count, held in zip(counts, aside, strict=True)), aside


def counted(labels: NDArray[np.int64], classes: int) -> tuple[int, ...]:
    """How many labels there are of each class."""
    return tuple(np.bincount(labels, minlength=classes).tolist())


def _checked(walk: Walk) -> tuple[Layout, dict[Part, Source]]:
    layout = walk.layout
    sources = {part: walk.source(part) for part in layout.parts}
    counts = {part: counted(source.labels, len(layout.classes)) for part, source in sources.items()}
    empty = [name for name, count in zip(layout.folders, counts["train"], strict=True) if count == 0]
    if empty:
        homes = [folder / name for name in empty for folder in layout.parts["train"] if (folder / name).is_dir()]
        if len(empty) == len(layout.folders) and not _why_empty(walk, homes):
            none = f"no images in {layout.root}, in none of its folders ({some([shown(name) for name in empty])})"
            raise ConfigError("dataset", f"{none}; give the folder in which each class has a folder of images")
        what = f"put images there ({', '.join(endings.USUAL)} ...) or remove the folder"
        raise ConfigError("dataset", f"no images in {some([shown(str(home)) for home in homes])}{_why_empty(walk, homes)}; {what}")
    for part, source in sources.items():
        if len(source) == 0:
            homes = list(layout.parts[part])
            where = shown(" and ".join(map(str, homes)))
            raise ConfigError("dataset", f"no images in {where}{_why_empty(walk, homes)}; put a folder of images a class there, or remove it")
    return replace(layout, counts=counts, left_out=walk.left_out()), sources


def _why_empty(walk: Walk, homes: list[Path]) -> str:
    """That there are links, or pictures of formats that are not read, where images are missing."""
    links = sum(map(walk.links_below, homes))
    if links:
        return f" but {links:,} link{'' if links == 1 else 's'} that lead out of the folder or to folders, which are not followed (copy with cp -rL)"
    unread = walk.left.get("unread")
    return f" that can be read ({some([f'{count:,} {name}' for name, count in unread.names.most_common()])} cannot; convert them)" if unread else ""
