"""A staging on disk: classes with their pictures, or files as they came; what was taken out of it, until that is undone.

`ID/classes/CLASS/FILE` are classes that somebody makes, `ID/files/PATH` is what was brought as it is (an archive, a folder, a table with its
pictures), `ID/out/NNNN/` what was taken out last, `ID/incoming/` what is being written, `ID/notes.json` what was said about it: a path meant in
place of files, corrections of the plan, a name. Thread-safe within one server.
"""

from __future__ import annotations

import filecmp
import json
import os
import re
import secrets
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from core.config import ConfigError
from core.config.limits import quoted
from core.data.folders import counted_pictures
from core.machine.files import written_whole
from core.machine.home import Home
from core.staging.file_names import class_name, file_name, inner_path

KEPT_DAYS = 14
"""Days after which a staging that nobody has touched is thrown away."""

MOST_CLASSES = 2_000
"""Classes that can be made on screen."""

_ID = re.compile(r"[a-z0-9-]{8,40}")
_locks: dict[str, threading.Lock] = {}
_locks_lock = threading.Lock()


@dataclass(frozen=True)
class StagedClass:
    """A class and the names of its files, oldest first."""

    name: str
    files: tuple[str, ...]


@dataclass(frozen=True)
class Staged:
    """What lies in a staging. `files`: how many came as they are, `first_file` the first of them; `undo`: what `undo` would bring back."""

    id: str
    classes: tuple[StagedClass, ...]
    files: int
    first_file: str
    bytes: int
    changed: float
    undo: str = ""

    @property
    def pictures(self) -> int:
        """Files in all classes."""
        return sum(len(each.files) for each in self.classes)

    @property
    def is_empty(self) -> bool:
        """True where nothing was brought yet."""
        return not (self.files or self.pictures or self.classes)


def root(home: Home) -> Path:
    """Where all stagings are."""
    return home.path / "staging"


def begin(home: Home) -> str:
    """A new, empty staging; its id."""
    sweep(home)
    made = f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(4)}"
    (root(home) / made / "classes").mkdir(parents=True)
    return made


def folder(home: Home, staging: str) -> Path:
    """Its folder. ConfigError on `staging`, where there is none of that name."""
    found = root(home) / staging
    if not _ID.fullmatch(staging) or not found.is_dir():
        raise ConfigError("staging", f"{quoted(staging)} is not here any more: it was imported or thrown away; begin anew")
    return found


def all_of(home: Home) -> list[str]:
    """Ids of what is there, newest first."""
    with suppress(FileNotFoundError):
        return sorted((each.name for each in root(home).iterdir() if _ID.fullmatch(each.name)), reverse=True)
    return []


def staged(home: Home, staging: str) -> Staged:
    """What lies in it. Raises ConfigError as `folder`."""
    place = folder(home, staging)
    classes, size = [], 0
    for name in _order(place):
        found = sorted(((file.stat(), file.name) for file in os.scandir(place / "classes" / name) if file.is_file()), key=_by_age)
        classes.append(StagedClass(name, tuple(file for _, file in found)))
        size += sum(stat.st_size for stat, _ in found)
    files = sorted(path for path in (place / "files").rglob("*") if path.is_file())
    size += sum(path.stat().st_size for path in files)
    first = files[0].relative_to(place / "files").as_posix() if files else ""
    return Staged(staging, tuple(classes), len(files), first, size, place.stat().st_mtime, _undoable(place))


def remember(home: Home, staging: str, **notes: Any) -> None:
    """Write down what was said about it, under names; what is there under other names stays. Raises ConfigError as `folder`."""
    place = folder(home, staging)
    with _locked(staging), written_whole(place / "notes.json") as file:
        file.write(json.dumps({**_notes(place), **notes}).encode())


def remembered(home: Home, staging: str) -> dict[str, Any]:
    """What was said about it, by name. Raises ConfigError as `folder`."""
    return _notes(folder(home, staging))


def source(home: Home, staging: str) -> Path:
    """What an import reads: the path that was said, the only file that came as it is (an archive), the folder of all of them, or of the classes."""
    place = folder(home, staging)
    if path := _notes(place).get("path"):
        return Path(path)
    files = [path for path in (place / "files").rglob("*") if path.is_file()]
    if len(files) == 1:
        return files[0]
    return place / "files" if files else place / "classes"


def add_class(home: Home, staging: str, name: str) -> str:
    """Make an empty class; its name as it is kept. ConfigError on `class`, for a name that cannot be or is there (case does not count)."""
    place, name = folder(home, staging), class_name(name)
    with _locked(staging):
        there = _order(place)
        if name.casefold() in {each.casefold() for each in there}:
            raise ConfigError("class", f"there is a class {quoted(name)} already; give another name")
        if len(there) >= MOST_CLASSES:
            raise ConfigError("class", f"{MOST_CLASSES:,} classes are the most that can be made here; bring a folder of folders, or an archive")
        (place / "classes" / name).mkdir(parents=True)
        _put_in_order(place, [*there, name])
    _touch(place)
    return name


def rename_class(home: Home, staging: str, old: str, new: str) -> str:
    """Call a class something else. Raises ConfigError as `add_class`, and where there is no class `old`."""
    new = class_name(new)
    with _locked(staging):
        before = _class_folder(home, staging, old)
        place = before.parent.parent
        there = _order(place)
        if new.casefold() in {each.casefold() for each in there if each != before.name}:
            raise ConfigError("class", f"there is a class {quoted(new)} already; give another name")
        if before.name != new:
            before.rename(before.with_name(new))
            _put_in_order(place, [new if each == before.name else each for each in there])
    return new


@contextmanager
def arriving(home: Home, staging: str, class_: str | None, name: str) -> Iterator[BinaryIO]:
    """A file to write to that lies in the staging once the block ends: in a class, or as it came (`class_` None, `name` a path).

    One that is there already, byte for byte, is not kept twice; another one of the same name is given a number. Where the block fails, nothing
    is left.

    Raises:
        ConfigError: there is no such staging or class. OSError: the disk is full.
    """
    place = folder(home, staging)
    target = _class_folder(home, staging, class_) / file_name(name) if class_ is not None else place / "files" / inner_path(name)
    incoming = place / "incoming" / secrets.token_hex(8)
    with written_whole(incoming, settled=False) as file:
        yield file
    try:
        with _locked(staging):
            target.parent.mkdir(parents=True, exist_ok=True)
            free = _free(target, incoming)
            if free is not None:
                incoming.rename(free)
    finally:
        incoming.unlink(missing_ok=True)
    _touch(place)


def bring(home: Home, staging: str, class_: str | None, name: str, data: bytes) -> None:
    """Put a small file in. Arguments and errors as of `arriving`."""
    with arriving(home, staging, class_, name) as file:
        file.write(data)


def take_out(home: Home, staging: str, class_: str, names: tuple[str, ...] | None = None) -> None:
    """Take files out of a class, or (None) the class with all that is in it. `undo` brings it back."""
    place = folder(home, staging)
    with _locked(staging):
        before = _class_folder(home, staging, class_)
        out = place / "out" / f"{_last(place) + 1:04}"
        (out / "class").mkdir(parents=True)
        chosen = names if names is not None else tuple(file.name for file in os.scandir(before))
        moved = 0
        for name in chosen:
            file = before / file_name(name)
            if file.is_file():
                file.rename(out / "class" / file.name)
                moved += 1
        if names is None:
            before.rmdir()
        told = f"the class {before.name}" if names is None else counted_pictures(moved)
        with written_whole(out / "what.json") as written:
            written.write(json.dumps({"class": before.name, "told": told}).encode())
    _touch(place)


def undo(home: Home, staging: str) -> str:
    """Bring back what was taken out last; what that was, '' for nothing."""
    place = folder(home, staging)
    with _locked(staging):
        last = _last(place)
        out = place / "out" / f"{last:04}"
        if not last or not (out / "what.json").is_file():
            return ""
        what = json.loads((out / "what.json").read_text())
        target = place / "classes" / class_name(what["class"])
        target.mkdir(parents=True, exist_ok=True)
        for file in list(os.scandir(out / "class")):
            free = _free(target / file.name, Path(file.path))
            if free is not None:
                Path(file.path).rename(free)
        shutil.rmtree(out)
    return str(what["told"])


def throw_away(home: Home, staging: str) -> None:
    """Remove a staging from the disk. None of that name is no error: it is gone."""
    with suppress(ConfigError):
        place = folder(home, staging)
        away = place.with_name(f".{staging}.gone")
        with suppress(OSError):
            place.rename(away)  # gone at once for all who look; the disk is freed afterwards
        shutil.rmtree(away, ignore_errors=True)


def throw_idle_away(home: Home, seconds: float = 3_600.0) -> None:
    """Throw away all that nobody has touched for so long: what somebody is bringing, or is being imported, is hardly among it."""
    for name in all_of(home):
        place = root(home) / name
        with suppress(OSError):
            touched = max(path.stat().st_mtime for path in (place, *(place / "incoming").glob("*")))
            if time.time() - touched > seconds:
                throw_away(home, name)


def sweep(home: Home) -> None:
    """Throw away what nobody has touched for `KEPT_DAYS` (a day, where nothing was brought), and what is left of what was thrown away before."""
    for name in all_of(home):
        with suppress(OSError, ConfigError):
            days = (time.time() - (root(home) / name).stat().st_mtime) / 86_400
            if days > KEPT_DAYS or (days > 1 and staged(home, name).is_empty and not remembered(home, name)):
                throw_away(home, name)
    for left in root(home).glob(".*.gone"):
        shutil.rmtree(left, ignore_errors=True)


def _class_folder(home: Home, staging: str, name: str) -> Path:
    place = folder(home, staging) / "classes" / class_name(name)
    if not place.is_dir():
        raise ConfigError("class", f"there is no class {quoted(name)} any more; make it anew")
    return place


def _notes(place: Path) -> dict[str, Any]:
    with suppress(OSError, ValueError, TypeError):
        return dict(json.loads((place / "notes.json").read_text()))
    return {}


def _by_age(file: tuple[os.stat_result, str]) -> tuple[int, str]:
    return file[0].st_mtime_ns, file[1]


def _order(place: Path) -> list[str]:
    """The classes in the order in which they were made."""
    there = {each.name for each in _folders(place / "classes")}
    noted: list[str] = []
    with suppress(OSError, ValueError):
        noted = [str(name) for name in json.loads((place / "order.json").read_text())]
    known = [name for name in dict.fromkeys(noted) if name in there]
    return [*known, *sorted(there - set(known))]


def _put_in_order(place: Path, names: list[str]) -> None:
    with written_whole(place / "order.json") as file:
        file.write(json.dumps(names).encode())


def _folders(place: Path) -> list[os.DirEntry[str]]:
    with suppress(FileNotFoundError):
        return [each for each in os.scandir(place) if each.is_dir()]
    return []


def _free(target: Path, file: Path) -> Path | None:
    """Where `file` can lie: `target`, or that name with a number; None where it lies already, byte for byte."""
    free, number = target, 1
    while free.exists():
        if free.is_file() and filecmp.cmp(free, file, shallow=False):
            return None
        number += 1
        free = target.with_name(f"{target.stem} ({number}){target.suffix}")
    return free


def _last(place: Path) -> int:
    return max((int(each.name) for each in _folders(place / "out") if each.name.isdigit()), default=0)


def _undoable(place: Path) -> str:
    last = _last(place)
    with suppress(OSError, ValueError, KeyError):
        return str(json.loads((place / "out" / f"{last:04}" / "what.json").read_text())["told"]) if last else ""
    return ""


def _touch(place: Path) -> None:
    with suppress(OSError):
        os.utime(place)


@contextmanager
def _locked(staging: str) -> Iterator[None]:
    with _locks_lock:
        lock = _locks.setdefault(staging, threading.Lock())
    with lock:
        yield
