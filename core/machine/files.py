"""Files written whole: a crash at any moment, a full disk or a second writer leaves either the old file or the new one."""

from __future__ import annotations

import errno
import os
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

LEFT_OVER = 86_400
"""Seconds after which an unfinished file that nobody has written to is one of a process that was killed."""


@contextmanager
def written_whole(path: Path, settled: bool = True) -> Iterator[BinaryIO]:
    """A file to write to that becomes `path` when the block ends; where the block fails, what was at `path` stays as it was.

    The folder is made if it is not there. Until then the file lies beside `path` as `.NAME.partial-PROCESS-THREAD`, so several may write at
    once and the last to end wins. It is on the disk (fsync of the file, then of the folder) when the block is over.

    Args:
        settled: False: not forced onto the disk, which takes some 10 ms a file: for what can be made or brought again after a loss of power.

    Raises:
        OSError: the disk is full or cannot be written. The unfinished file is removed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_left_over(path)
    partial = path.with_name(f".{path.name}.partial-{os.getpid()}-{threading.get_ident()}")
    try:
        with partial.open("wb") as file:
            yield file
            file.flush()
            if settled:
                os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    if settled:
        _settle(path.parent)


@contextmanager
def folder_written_whole(path: Path, over: bool = False) -> Iterator[Path]:
    """A folder beside `path` to write into: what is in it when the block ends lies beside `path` then, the file or folder `path` itself last.

    Where the block fails, all that was there stays as it was, and nothing is left. Folders above are made if they are not there.

    Args:
        over: what is at `path`, and what is called like the files beside it, makes way. Else what is in the way is an error.

    Raises:
        OSError: the disk is full or cannot be written; FileExistsError: something is in the way.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_left_over(path)
    folder = path.with_name(f".{path.name}.partial-{os.getpid()}-{threading.get_ident()}")
    folder.mkdir()
    try:
        yield folder
        written = sorted(folder.iterdir(), key=lambda part: part.name == path.name)
        for part in written:
            _sync(part)
            if not over and _in_the_way(path.parent / part.name):
                raise FileExistsError(errno.EEXIST, "something of that name has come to be there", str(path.parent / part.name))
        for part in written:
            _put(part, path.parent / part.name, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    _settle(path.parent)


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    return path.stat().st_size if path.is_file() else sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def _in_the_way(path: Path) -> bool:
    """True if something is there that is not an empty folder."""
    return os.path.lexists(path) and not (path.is_dir() and not any(path.iterdir()))


def _put(part: Path, place: Path, folder: Path) -> None:
    """Rename `part` to `place`. What a rename cannot replace at once (a folder is one of the two) is moved into `folder`, and back if that fails."""
    if not os.path.lexists(place) or not (part.is_dir() or (place.is_dir() and not place.is_symlink())):
        part.replace(place)
        return
    old = folder / f"{part.name}.old"
    place.rename(old)
    try:
        part.rename(place)
    except OSError:
        old.rename(place)
        raise


def _sync(part: Path) -> None:
    """Have a file, or all files of a folder, on the disk."""
    for file in [part, *part.rglob("*")] if part.is_dir() else [part]:
        if file.is_file():
            with file.open("rb") as opened:
                os.fsync(opened.fileno())


def _settle(folder: Path) -> None:
    """The rename itself is durable only once the folder is."""
    if os.name != "posix":
        return
    with suppress(OSError):  # network drives that know no such thing: the file is there all the same
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)


def _remove_left_over(path: Path) -> None:
    for partial in path.parent.iterdir():
        if partial.name.startswith(f".{path.name}.partial-"):
            with suppress(OSError):  # another process was quicker
                if time.time() - partial.stat().st_mtime > LEFT_OVER:
                    shutil.rmtree(partial) if partial.is_dir() else partial.unlink()
