"""Many pictures from outside: those of folders, zip files and single files are listed before the first is opened. No torch."""

from __future__ import annotations

import io
import os
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from core.config import ConfigError
from core.data import endings
from core.data.folders import PACKED, shown
from core.data.sources import Progress
from core.evaluation import packed

MOST_FILES = 500_000
"""Entries of folders that are looked at, at most."""


@dataclass(frozen=True)
class Picture:
    """A picture to look at: its name for a table, and its file, or the zip file in which it is member number `member`, called `inside` there."""

    name: str
    path: Path
    member: int | None = None
    inside: str = ""

    def open(self, reader: packed.Reader) -> Path | io.BytesIO:
        """What can be decoded. Raises UnreadableImage for a member that cannot be unpacked."""
        return self.path if self.member is None else io.BytesIO(reader.read(self.path, self.member, self.inside))


@dataclass(frozen=True)
class Refused:
    """A picture that is left out, and why, in a few words."""

    name: str
    reason: str


@dataclass(frozen=True)
class Gathered:
    """The pictures in the order of their names, those that are left out already, and what is no picture, counted in sentences."""

    pictures: tuple[Picture, ...]
    refused: tuple[Refused, ...] = ()
    passed_over: tuple[str, ...] = ()


@dataclass
class _Basket:
    """What was found so far."""

    progress: Progress
    pictures: list[Picture] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)
    seen: int = 0

    def count(self, root: Path) -> None:
        self.seen += 1
        if self.seen > MOST_FILES:
            raise ConfigError("pictures", f"{root} holds more than {MOST_FILES:,} files; is it what you meant? Give one with fewer")
        if self.seen % 5_000 == 0:
            self.progress(f"looking for pictures: {self.seen:,} files", None)


def gather(sources: Sequence[tuple[str, Path]], progress: Progress = lambda text, share: None) -> Gathered:
    """All pictures of some folders (with all folders below), zip files and files.

    Args:
        sources: what the names of a source's pictures begin with ('' for nothing), and where it is.

    Raises:
        ConfigError: on `pictures`, a source is not there, cannot be read or holds far too much, or there is no picture in all of them.
    """
    basket = _Basket(progress)
    for label, path in sources:
        _look_into(path, label, basket)
    if not basket.pictures:
        why = "".join(f"; {refused.name} ({refused.reason})" for refused in basket.refused[:1])
        rest = f", but others: {_counted(basket.others)}" if basket.others else ""
        where = ", ".join(str(path) for _, path in sources[:3])
        remedy = f"give a folder or a zip file with pictures ({', '.join(endings.USUAL)} ...)"
        raise ConfigError("pictures", f"there is no picture that can be used in {shown(where)}{rest}{why}; {remedy}")
    passed_over = (f"Passed over, since they are no pictures that can be read: {_counted(basket.others)}.",) if basket.others else ()
    return Gathered(tuple(basket.pictures), tuple(basket.refused), passed_over)


def _look_into(path: Path, label: str, basket: _Basket) -> None:
    try:
        if path.is_dir():
            _folder(path, label, basket)
            return
        if not path.exists():
            what = f"{path} is a link to something that is not there" if path.is_symlink() else f"there is no file or folder {path}"
            raise ConfigError("pictures", f"{shown(what)}; check the path")
        if not path.is_file():
            raise ConfigError("pictures", f"{shown(str(path))} is neither a file nor a folder; give a folder, a zip file or pictures")
    except OSError as error:
        raise _unreadable(path, error) from None
    if endings.ending(path.name) == ".zip":
        _zip_file(path, label, basket)
    elif PACKED.search(path.name.casefold()):
        raise ConfigError(
            "pictures", f"{shown(str(path))} is a packed file of a kind that is not read; unpack it, and give the folder that comes out"
        )
    else:
        basket.pictures.append(Picture(_text(label or path.name), path))


def is_many(path: Path) -> bool:
    """Whether a path is a folder or a zip file, so that many pictures may be in it. What is not there is neither."""
    return path.is_dir() or endings.ending(path.name) == ".zip"


def _folder(root: Path, label: str, basket: _Basket) -> None:
    found: list[Picture] = []
    waiting = [root]
    while waiting:
        folder = waiting.pop()
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    basket.count(root)
                    _entry(entry, root, label, waiting, found, basket)
        except OSError as error:
            if folder == root:
                raise _unreadable(root, error) from None
            basket.refused.append(Refused(_name(label, folder.relative_to(root).as_posix()) + "/", f"this folder cannot be read: {error.strerror}"))
    basket.pictures += sorted(found, key=lambda picture: picture.name)


def _entry(entry: os.DirEntry[str], root: Path, label: str, folders: list[Path], found: list[Picture], basket: _Basket) -> None:
    """Sort an entry of a folder. Links to files are read, as in training; links to folders are not followed, so that no way leads in a circle."""
    name = entry.name
    if name.startswith(".") or endings.is_system(name):
        return
    if entry.is_dir(follow_symlinks=False):
        folders.append(Path(entry.path))
        return
    is_file = False
    with suppress(OSError):
        is_file = entry.is_file()
    path = Path(entry.path)
    if not is_file:  # a pipe named x.jpg would never end
        basket.others["links to folders or to nothing" if entry.is_symlink() else "of no kind that can be read"] += 1
    elif endings.is_picture(name) or (not endings.ending(name) and endings.begins_as_picture(path)):
        found.append(Picture(_name(label, path.relative_to(root).as_posix()), path))
    elif endings.ending(name) in endings.UNREAD:
        reason = f"pictures of the format {endings.ending(name)} are not read; convert it to JPEG or PNG"
        basket.refused.append(Refused(_name(label, path.relative_to(root).as_posix()), reason))
    else:
        basket.others[_kind(name)] += 1


def _zip_file(path: Path, label: str, basket: _Basket) -> None:
    found: list[Picture] = []
    for member in packed.members(path):
        basket.count(path)
        name, file = _name(label, member.name), PurePosixPath(member.name).name
        if member.passed and endings.ending(file) not in endings.UNREAD:
            basket.others[_kind(file)] += 1
        elif member.passed:
            basket.refused.append(Refused(name, f"pictures of the format {endings.ending(file)} are not read; convert it to JPEG or PNG"))
        elif member.refused:
            basket.refused.append(Refused(name, member.refused))
        else:
            found.append(Picture(name, path, member.number, member.name))
    basket.pictures += sorted(found, key=lambda picture: picture.name)


def _kind(name: str) -> str:
    return shown(endings.ending(name))[:12] or "without an ending"


def _counted(others: Counter[str]) -> str:
    """'.txt (3), .csv (1) and 2 others'."""
    common = others.most_common(4)
    rest = others.total() - sum(count for _, count in common)
    return ", ".join(f"{kind} ({count:,})" for kind, count in common) + (f" and {rest:,} others" if rest else "")


def _name(label: str, inside: str) -> str:
    return _text(f"{label.rstrip('/')}/{inside}" if label else inside)


def _text(name: str) -> str:
    """A name that can be written as UTF-8: on disk it may be any bytes. Else it stays as it is, line breaks and all."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return shown(name)
    return name


def _unreadable(path: Path, error: OSError) -> ConfigError:
    return ConfigError("pictures", f"{shown(str(path))} cannot be read ({error.strerror}); allow this user to read it, or copy it elsewhere")
