"""Parquet files in an archive, unpacked into a temporary folder: they can be read in any order there, and a few rows at a time."""

from __future__ import annotations

import os
import re
import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir

import psutil

from core.config.errors import ConfigError
from core.data.endings import is_system
from core.data.folders import shown
from core.importing.archives import ERRORS, ArchiveTree
from core.importing.rows_inside import MOST_FILES, Rows, RowsTree, looked_at
from core.importing.trees import Tree

SPARE = 50_000_000
"""Bytes that are left free where files of an archive are unpacked."""

KEPT_SECONDS = 600.0
"""How long what was unpacked stays for whoever corrects a plan, counted from when it was used last."""

_PREFIX = "thaw-rows-"


@contextmanager
def unpacked(tree: Tree, column: str = "", keep: bool = False) -> Iterator[RowsTree | None]:
    """As `rows_inside.tree_of`, for Parquet files in an archive without pictures beside them: they lie in a temporary folder within the block.

    Args:
        keep: the last archive's stay for a while, so that looking at it once more, read in another way, unpacks nothing.

    Raises:
        ConfigError: as `tree_of`; on `source`, where there is no room for them, or one is damaged.
    """
    tables = [path for path in tree.files(".parquet") if not is_system(path.name)] if isinstance(tree, ArchiveTree) else []
    if not isinstance(tree, ArchiveTree) or not tables or any(tree.is_picture(path.name) and not is_system(path.name) for path in tree.files()):
        yield None
        return
    _sweep()
    with (_kept.of if keep else _once)(tree, sorted(tables)[:MOST_FILES]) as found:
        yield RowsTree(tree.path, found, column) if found else None


@contextmanager
def _once(tree: Tree, tables: Sequence[Path]) -> Iterator[list[Rows]]:
    with _folder() as place:
        yield _rows(tree, tables, Path(place))


@dataclass(eq=False)
class _Entry:
    """What was unpacked of one archive; nothing yet while `found` is None."""

    place: TemporaryDirectory[str] | None = None
    found: list[Rows] | None = None
    users: int = 0
    used: float = 0.0
    unpacking: threading.Lock = field(default_factory=threading.Lock)


class _Kept:
    """What stays unpacked in this process: the archive that was used last, and those that are in use. Thread-safe."""

    def __init__(self) -> None:
        self._entries: dict[tuple[object, ...], _Entry] = {}
        self._lock = threading.Lock()
        self._clock: threading.Timer | None = None

    @contextmanager
    def of(self, tree: Tree, tables: Sequence[Path]) -> Iterator[list[Rows]]:
        """The files of an archive, unpacked by whoever asks first."""
        status = tree.path.stat()
        with self._lock:
            entry = self._entries.setdefault((tree.path, status.st_size, status.st_mtime_ns), _Entry())
            entry.users += 1
        try:
            with entry.unpacking:
                if entry.found is None:
                    entry.place = entry.place or _folder()
                    entry.found = _rows(tree, tables, Path(entry.place.name))
            yield entry.found
        finally:
            with self._lock:
                entry.users, entry.used = entry.users - 1, time.monotonic()
            self.forget()

    def forget(self) -> None:
        """Remove what nobody uses: all but the last, and that too once its time is over. What could not be unpacked goes at once."""
        with self._lock:
            idle = sorted((entry.used, key) for key, entry in self._entries.items() if not entry.users)
            last = [key for used, key in idle[-1:] if self._entries[key].found is not None and time.monotonic() - used < KEPT_SECONDS]
            gone = [self._entries.pop(key) for _, key in idle if key not in last]
            if self._clock is not None:
                self._clock.cancel()
                self._clock = None
            if last:
                self._clock = threading.Timer(KEPT_SECONDS, self.forget)
                self._clock.daemon = True
                self._clock.start()
        for entry in gone:
            if entry.place is not None:
                entry.place.cleanup()


_kept = _Kept()


def _folder() -> TemporaryDirectory[str]:
    return TemporaryDirectory(prefix=f"{_PREFIX}{os.getpid()}-", ignore_cleanup_errors=True)


def _sweep() -> None:
    """Remove what processes left unpacked that were killed."""
    for left in Path(gettempdir()).glob(f"{_PREFIX}*-*"):
        process = left.name.removeprefix(_PREFIX).partition("-")[0]
        if process.isdecimal() and not psutil.pid_exists(int(process)):
            shutil.rmtree(left, ignore_errors=True)


def _rows(tree: Tree, tables: Sequence[Path], place: Path) -> list[Rows]:
    """Of those of the files that hold pictures."""
    return [rows for number, path in enumerate(tables) if (rows := looked_at(_copied(tree, path, place / str(number)))) is not None]


def _copied(tree: Tree, path: Path, folder: Path) -> Path:
    """A file of an archive, unpacked: what it is called may say which split its rows are of."""
    assert isinstance(tree, ArchiveTree)
    remedy = "unpack the archive where there is room, and give the folder"
    free = shutil.disk_usage(folder.parent).free
    if tree.size(path) > free - SPARE:
        what = f"{tree.name(path)} unpacks to {tree.size(path) / 1e6:,.0f} MB, and {max(free - SPARE, 0) / 1e6:,.0f} MB are free in {folder.parent}"
        raise ConfigError("source", f"{what}; {remedy}")
    folder.mkdir()
    target = folder / re.sub(r"[^\w.-]", "_", path.name)[-100:]
    try:
        with target.open("wb") as stream:
            tree.copy(path, stream)
    except ERRORS as error:
        raise ConfigError("source", f"{tree.name(path)} cannot be unpacked ({shown(str(error))[:120]}); {remedy}, or pack it anew") from None
    return target
