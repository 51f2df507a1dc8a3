"""Folders looked into, each once: the folders in it, the links, whether it holds pictures. Taken to be hostile: no link is followed. No torch.

`Folders` looks into those of the disk; what else has folders and files in it, such as an archive, is looked into by a class of its own that
says what lies in each (`core.importing.trees`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import islice
from pathlib import Path
from typing import Protocol

from core.config.errors import ConfigError
from core.data import endings
from core.data.endings import is_system

_FAR_ENOUGH = 20_000
"""Entries looked at to find a first picture: a folder without one in so many is taken to have none."""

PACKED = re.compile(r"\.(zip|7z|rar|tar|tgz|tbz2|txz|(tar\.)?(gz|bz2|xz|zst))$")


@dataclass(frozen=True)
class Inside:
    """What lies in a folder, without what is hidden or a system's own.

    Folders are sorted by name; links are those to folders, and to nothing; pictures and other files are numbers.
    """

    folders: tuple[Path, ...]
    links: tuple[str, ...]
    pictures: int
    others: int


class Entry(Protocol):
    """What lies in a folder, as `os.DirEntry` tells of it."""

    @property
    def name(self) -> str:
        """Its name in the folder."""

    @property
    def path(self) -> str:
        """Its whole path."""

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        """Whether it is a folder."""

    def is_file(self, *, follow_symlinks: bool = True) -> bool:
        """Whether it is a regular file."""

    def is_symlink(self) -> bool:
        """Whether it is a link."""


class Folders:
    """Looks into folders, and remembers what it saw."""

    def __init__(self) -> None:
        self._seen: dict[Path, Inside] = {}

    def scan(self, folder: Path) -> Iterator[Entry]:
        """All that is in a folder. Raises ConfigError on `dataset` if it may not be read."""
        try:
            with os.scandir(folder) as found:
                yield from found
        except OSError as error:
            raise unreadable(folder, error) from None

    def entries(self, folder: Path) -> Iterator[Entry]:
        """What is in a folder, without what is hidden or a system's own. Raises ConfigError as `scan`."""
        return (entry for entry in self.scan(folder) if not entry.name.startswith(".") and not is_system(entry.name))

    def is_picture(self, name: str) -> bool:
        """True for a name that ends as a picture does that can be read."""
        return endings.is_picture(name)

    def begins_as_picture(self, file: Path) -> bool:
        """True for a regular file that begins as the usual formats do, whatever its name."""
        return endings.begins_as_picture(file)

    def leads_inside(self, link: Path, root: Path) -> bool:
        """True for a link whose end lies below `root`, which is resolved."""
        try:
            return link.resolve(strict=True).is_relative_to(root)
        except (OSError, RuntimeError):  # a link to nothing, or in a circle
            return False

    def check(self, path: Path) -> None:
        """See that `path` is a folder that may be read. Raises ConfigError on `dataset` where it is not."""
        try:
            if path.is_symlink() and not path.exists():
                raise ConfigError("dataset", f"{path} is a link to something that is not there; check where it leads")
            if not path.exists():
                raise ConfigError("dataset", f"there is no folder {path}{_nearest(path)}; check the path, it must hold one folder of images a class")
            if not path.is_dir():
                what = "packed file; unpack it, and give the folder that comes out" if PACKED.search(path.name.casefold()) else "file; give a folder"
                raise ConfigError("dataset", f"{path} is a {what} that holds one folder of images a class")
        except OSError as error:
            raise unreadable(path, error) from None
        self.look(path)

    def look(self, path: Path) -> Inside:
        """What lies in a folder. Raises ConfigError on `dataset` for one that may not be read."""
        found = self._seen.get(path)
        if found is None:
            folders, links, pictures, others = [], [], 0, 0
            for entry in self.entries(path):
                if entry.is_symlink() and not _leads_to_file(entry):
                    links.append(shown(entry.name))
                elif entry.is_dir():
                    folders.append(Path(entry.path))
                elif self.is_picture(entry.name):
                    pictures += 1
                else:
                    others += 1
            found = Inside(tuple(sorted(folders, key=lambda folder: folder.name)), tuple(sorted(links)), pictures, others)
            self._seen[path] = found
        return found

    def unwrap(self, folder: Path) -> Path:
        """`folder`, or, where it only wraps another one that holds folders of images, that one: `photos/dataset/dataset/`.

        Folders beside it that hold files but no images (annotations, papers) do not count; empty ones may be classes still to be filled.
        """
        while (inner := self._wrapped(folder)) is not None:
            folder = inner
        return folder

    def _wrapped(self, folder: Path) -> Path | None:
        inside = self.look(folder)
        if inside.pictures or inside.links or not inside.folders:
            return None
        full: list[Path] = []
        for inner in inside.folders:
            if self.has_pictures(inner):
                full.append(inner)
            elif not self.has_other_files(inner):
                return None
            if len(full) > 1:
                return None
        if not full or self.begins_with_pictures(full[0]):
            return None
        return full[0] if any(map(self.has_pictures, self.look(full[0]).folders)) else None

    def has_pictures(self, folder: Path) -> bool:
        """True if a picture lies in `folder`, or in a folder below it."""
        waiting, left = [folder], _FAR_ENOUGH
        while waiting and left > 0:
            for entry in self.entries(waiting.pop(0)):
                left -= 1
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(Path(entry.path))
                elif self.is_picture(entry.name):
                    return True
        return False

    def has_other_files(self, folder: Path) -> bool:
        """True if a file lies in `folder`, or in a folder below it. A link is none: it may stand for what a person means to be used."""
        waiting = [folder]
        while waiting:
            for entry in self.entries(waiting.pop()):
                if entry.is_file(follow_symlinks=False):
                    return True
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(Path(entry.path))
        return False

    def begins_with_pictures(self, folder: Path) -> bool:
        """True if a picture lies in `folder` itself: in most class folders the first file that is looked at."""
        return any(self.is_picture(entry.name) and not entry.is_dir(follow_symlinks=False) for entry in self.entries(folder))


def _nearest(path: Path) -> str:
    """How much of a path is there, and what is called nearly as the first part that is not."""
    found = next((parent for parent in path.parents if parent.is_dir()), None)
    if found is None:
        return ""
    missing = path.relative_to(found).parts[0]
    try:
        with os.scandir(found) as inside:
            names = {entry.name.casefold(): entry.name for entry in islice(inside, _FAR_ENOUGH)}
    except OSError:
        return f" ({found} is there, but may not be read)"
    close = [shown(names[name]) for name in get_close_matches(missing.casefold(), names, n=1)]
    return f" ({found} is there, {shown(missing)!r} in it is not{f'; {close[0]!r} is' if close else ''})"


def _leads_to_file(link: Entry) -> bool:
    try:
        return link.is_file()
    except OSError:  # to where this user may not look
        return False


def unreadable(folder: Path, error: OSError) -> ConfigError:
    """What to say of a folder that cannot be read."""
    return ConfigError("dataset", f"{folder} cannot be read ({error.strerror}); allow this user to read it, or copy the images to another folder")


def refused(inside: Inside) -> str:
    """For a message about what is missing in a folder: that there are links, which are not followed."""
    if not inside.links:
        return ""
    number = len(inside.links)
    return f" but {number:,} link{'' if number == 1 else 's'} ({some(inside.links)}), which are not followed: copy in what they lead to (cp -rL)"


def shown(name: str) -> str:
    """A file name as text that can be printed and stored: names on disk may be any bytes."""
    if name.isprintable():
        return name
    return "".join(letter if letter.isprintable() else "?" for letter in os.fsencode(name).decode("utf-8", "replace"))


def counted_pictures(count: int) -> str:
    """So many of them: '1 picture', '1,200 pictures'."""
    return "1 picture" if count == 1 else f"{count:,} pictures"


def some(names: Sequence[str], shown_at_most: int = 3) -> str:
    """The first of some names, and how many more there are."""
    rest = len(names) - shown_at_most
    return ", ".join(names[:shown_at_most]) + (f" and {rest:,} more" if rest > 0 else "")
