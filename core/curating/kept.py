"""What is known of pictures by their content: rows of numbers in one file, so that a new version asks only about what is new. No torch."""

from __future__ import annotations

import os
import time
import zipfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from core.machine.files import written_whole
from core.machine.home import Home

Array = NDArray[Any]
Thing = TypeVar("Thing")

BYTES = 2 * 2**30
"""What is kept of all datasets of a home takes at most so much; what was not used for longest goes first."""


def folder_of(home: Home, dataset: str) -> Path:
    """Where everything stands that was found out about the pictures of a dataset; all of it can be worked out again."""
    return home.cache / "curating" / dataset


class Kept:
    """Columns of arrays [N, ...] with a row for each picture, known by the SHA-256 of its file in hexadecimal digits.

    A file that is damaged, or that has other columns, counts as empty: everything on it can be worked out again.
    """

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self._path = path
        self._columns: dict[str, list[Array]] = {name: [] for name in columns}
        self._places: dict[str, int] = {}
        self._changed = False
        with suppress(OSError, ValueError, KeyError, zipfile.BadZipFile), np.load(path, allow_pickle=False) as kept:
            digests = [bytes(row).hex() for row in kept["digests"]]
            found = {name: kept[name] for name in columns}
            if all(len(values) == len(digests) for values in found.values()):
                self._columns = {name: [values] for name, values in found.items()}
                self._places = {digest: place for place, digest in enumerate(digests)}
                os.utime(path)

    def __len__(self) -> int:
        return len(self._places)

    def missing(self, digests: Sequence[str]) -> list[str]:
        """Those that nothing is known of, each once, in their order."""
        return [digest for digest in dict.fromkeys(digests) if digest not in self._places]

    def places(self, digests: Sequence[str]) -> NDArray[np.int64]:
        """The row of each, int64 [N]; -1 for one that nothing is known of."""
        return np.fromiter((self._places.get(digest, -1) for digest in digests), np.int64, len(digests))

    def add(self, digests: Sequence[str], values: Mapping[str, Array]) -> None:
        """Add a row for each of `digests`, none of which is there; `values` has an array [N, ...] for each column."""
        if digests:
            self._places.update({digest: len(self._places) + place for place, digest in enumerate(digests)})
            for name, arrays in self._columns.items():
                arrays.append(values[name])
            self._changed = True

    def column(self, name: str) -> Array:
        """All rows of a column [N, ...]. KeyError where there is no row yet, and so no shape."""
        arrays = self._columns[name]
        if not arrays:
            raise KeyError(name)
        if len(arrays) > 1:
            arrays[:] = [np.concatenate(arrays)]
        return arrays[0]

    def save(self) -> None:
        """Write it, whole or not at all; on a full disk it is left: it can be worked out again."""
        if self._changed:
            self._changed = False
            digests = np.frombuffer(bytes.fromhex("".join(self._places)), np.uint8).reshape(-1, 32)
            with suppress(OSError):
                self._path.parent.mkdir(parents=True, exist_ok=True)
                with written_whole(self._path) as file:
                    np.savez(file, allow_pickle=False, digests=digests, **{name: self.column(name) for name in self._columns})
                make_room(self._path.parent.parent, self._path)


def put(path: Path, content: bytes) -> None:
    """Keep something that was found out; on a full disk it is left: it can be found out again."""
    with suppress(OSError):
        with written_whole(path) as file:
            file.write(content)
        make_room(path.parent.parent, path)


def taken(path: Path, kind: TypeAdapter[Thing]) -> Thing | None:
    """What `put` kept; None where nothing is, or nothing that can be used. What was read lately is remembered."""
    try:
        found: Thing = _read(path, path.stat().st_mtime_ns, kind)
    except (OSError, ValueError):
        return None
    with suppress(OSError):
        os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns))
    return found


@lru_cache(maxsize=16)
def _read(path: Path, changed: int, kind: TypeAdapter[Thing]) -> Thing:
    found: Thing = kind.validate_json(path.read_bytes())
    return found


def make_room(folder: Path, keep: Path) -> None:
    """Remove what was not used for longest until the rest of `folder` takes less than `BYTES`; `keep` stays."""
    room = BYTES
    files = [
        (max(file.stat().st_mtime, file.stat().st_atime), file) for file in folder.rglob("*") if file.is_file() and not file.name.startswith(".")
    ]  # an unfinished one
    for _, file in sorted(files, key=lambda entry: (entry[1] != keep, -entry[0])):
        room -= file.stat().st_size
        if room < 0 and file != keep:
            with suppress(OSError):  # on Windows somebody may be reading it
                file.unlink()
