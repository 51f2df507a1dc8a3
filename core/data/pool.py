"""Decoded pictures on disk, told by what their files hold: each is decoded once, for whoever asks and whatever its file is called. No torch.

A pool is a folder for one way of decoding (size, fit, ...). It holds shards, files of pixels that never change, and beside each an index that
tells for the SHA-256 of a picture's file where its pixels lie, or why there are none. A shard counts once its index is there, so a process that
is killed leaves what it had finished; whoever wants to add takes a lock, so two never decode the same.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import numpy as np
from numpy.typing import NDArray

from core.data.sources import Progress
from core.machine.files import written_whole
from core.machine.locks import Held, locked

SHARD_BYTES = 256 * 2**20
"""Pixels of a shard, about: what is decoded again after a crash at most, and what is forgotten at a time."""

POOL_BYTES = 16 * 2**30
"""Decoded pictures of all pools are kept up to this size, the last used ones; a run that needs more has more for as long as it is the last."""

REASON = 120
"""Bytes of the reason why a picture cannot be read."""

_RECORD = np.dtype([("digest", "V32"), ("offset", "<i8"), ("side", "<i4"), ("beyond", "<f4"), ("flat", "?"), ("reason", f"S{REASON}")])

DAY = 86_400


@dataclass(frozen=True)
class Pixels:
    """A picture to be kept: uint8 [S, S, 3] or [3, S, S], and what is told of it (`core.data.images.Store`)."""

    values: NDArray[np.uint8]
    side: int
    beyond: float
    flat: bool


@dataclass(frozen=True)
class Found:
    """Where some pictures lie: int64 [N] `shard` (-1: not there), `offset` (bytes) and `side` (pixels; 0: it cannot be read, `reasons` says why).

    `shards`: their pixels, mapped into memory, uint8 [bytes].
    """

    shards: Sequence[NDArray[np.uint8]]
    shard: NDArray[np.int64]
    offset: NDArray[np.int64]
    side: NDArray[np.int64]
    beyond: NDArray[np.float32]
    flat: NDArray[np.bool_]
    reasons: Mapping[int, str]


class Pool:
    """The pictures of one folder. Another process may add to it, and forget shards, at any time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def missing(self, digests: Sequence[str]) -> list[int]:
        """Places of those that are not there, each picture once; what cannot be read counts as there."""
        known = {record for _, index in self._indices() for record in index["digest"].tolist()}
        new = {bytes.fromhex(digest): place for place, digest in reversed(list(enumerate(digests)))}
        return sorted(place for digest, place in new.items() if digest not in known)

    def find(self, digests: Sequence[str]) -> Found:
        """Where the pictures lie whose files have these SHA-256 digests (hexadecimal). What is used now is the last to be forgotten."""
        rows: dict[bytes, tuple[int, int]] = {}
        indices = list(self._indices())
        for number, (_, index) in enumerate(indices):
            rows |= {digest: (number, row) for row, digest in enumerate(index["digest"].tolist())}
        places = [rows.get(bytes.fromhex(digest), (-1, 0)) for digest in digests]
        shard, row = np.asarray(places, dtype=np.int64).reshape(-1, 2).T
        records = np.zeros(len(digests), _RECORD)
        used: list[NDArray[np.uint8]] = []
        renumbered = np.full(len(indices) + 1, -1)
        for number in np.unique(shard[shard >= 0]).tolist():
            path, index = indices[number]
            mapped = _mapped(path)
            records[shard == number] = index[row[shard == number]]
            if mapped is not None:
                renumbered[number] = len(used)
                used.append(mapped)
        reasons = {
            place: records["reason"][place].decode("utf-8", "ignore") for place in np.flatnonzero((shard >= 0) & (records["side"] == 0)).tolist()
        }
        values = {name: records[name].astype(np.int64) for name in ("offset", "side")}
        return Found(used, renumbered[shard], **values, beyond=records["beyond"], flat=records["flat"], reasons=reasons)

    @contextmanager
    def adding(self, progress: Progress) -> Iterator[None]:
        """The block may add pictures: one process at a time, others wait. Look again for what is missing inside it.

        Raises:
            OSError: the folder cannot be written.
        """
        with ExitStack() as stack:
            while True:
                try:
                    stack.enter_context(locked(self.folder / ".lock", patience=0.5))
                    break
                except Held:
                    progress("waiting for another run that decodes these pictures", None)
            yield

    def writer(self) -> Writer:
        """What adds pictures; call it inside of `adding`."""
        return Writer(self.folder)

    def _indices(self) -> Iterator[tuple[Path, NDArray[Any]]]:
        """The pixels' file and the index of each shard."""
        patterns = (f"*{_unsettled()}", "*.index")  # of a shard that has both, for a moment, the latter counts
        told = {path.stem: path for pattern in patterns for path in self.folder.glob(pattern)}
        for stem in sorted(told):
            pixels = self.folder / f"{stem}.uint8"
            with suppress(OSError, ValueError):  # forgotten just now, or damaged
                index = np.frombuffer(_read(told[stem]), _RECORD)
                if pixels.stat().st_size >= int((index["offset"] + 3 * index["side"].astype(np.int64) ** 2).max(initial=0)):
                    yield pixels, index


class Writer:
    """Adds pictures to a pool, shard by shard: they are there once their shard is full, and all when the `with` block ends without error."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open = ExitStack()
        self._file: BinaryIO | None = None
        self._path = folder
        self._records: list[tuple[bytes, int, int, float, bool, bytes]] = []
        self._bytes = 0

    def add(self, digest: str, picture: Pixels | str) -> None:
        """A picture whose file has this digest, or the reason why it cannot be read. Raises OSError where it cannot be written."""
        # Written, not mapped: on a full disk a write fails with an error, a mapped page kills the process.
        file = self._file or self._begin()
        if isinstance(picture, str):
            self._records.append((bytes.fromhex(digest), 0, 0, 0.0, False, picture.encode()[:REASON]))
        else:
            file.write(np.ascontiguousarray(picture.values).data)
            self._records.append((bytes.fromhex(digest), self._bytes, picture.side, picture.beyond, picture.flat, b""))
            self._bytes += picture.values.nbytes
        if self._bytes >= SHARD_BYTES:
            self._end()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None:
            self._end()
            _settle_later(self._folder)
        else:
            self._open.__exit__(kind, error, trace)

    def _begin(self) -> BinaryIO:
        self._path = self._folder / f"{time.time_ns():016x}-{os.getpid()}.uint8"
        self._file = self._open.enter_context(written_whole(self._path, settled=not _boot()))
        return self._file

    def _end(self) -> None:
        if self._file is None:
            return
        self._open.close()
        with written_whole(self._path.with_suffix(_unsettled()), settled=not _boot()) as index:
            index.write(np.array(self._records, _RECORD).tobytes())
        self._file, self._records, self._bytes = None, [], 0


def settle(folder: Path) -> None:
    """Have on the disk what was added to a pool since the machine was started, and take the marks off. What cannot be had there is forgotten."""
    for marked in sorted(folder.glob(f"*{_unsettled()}")) if _boot() else ():
        try:
            with marked.with_suffix(".uint8").open("rb+") as pixels:
                os.fsync(pixels.fileno())
            told = marked.read_bytes()  # gone, where the shard was forgotten meanwhile
            with written_whole(marked.with_suffix(".index")) as index:
                index.write(told)
        except OSError:  # forgotten meanwhile, or a disk that fails
            pass
        with suppress(OSError):
            marked.unlink()


def _settle_later(folder: Path) -> None:
    """`settle` while whoever decoded goes on."""
    threading.Thread(target=settle, args=(folder,), name="settling", daemon=True).start()


@cache
def _boot() -> str:
    """What tells this start of the machine from all others; "" where the system does not say it: there each shard is waited for."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text()[:8]
    except OSError:
        return ""


def _unsettled() -> str:
    """The ending of an index whose pixels may not be on the disk yet."""
    boot = _boot()
    return f".index-{boot}" if boot else ".index"


def _read(index: Path) -> bytes:
    """An index, or what it has become just now: one without the mark."""
    try:
        return index.read_bytes()
    except FileNotFoundError:
        return index.with_suffix(".index").read_bytes()


def _mapped(path: Path) -> NDArray[np.uint8] | None:
    """A shard's pixels, uint8 [bytes]; None where it was forgotten just now.

    Mapped, not read: the system keeps what it has memory for. Copy-on-write, because torch wants memory it may write to.
    """
    try:
        os.utime(path)  # used just now: the last to be forgotten
        return np.memmap(path, dtype=np.uint8, mode="c") if path.stat().st_size else np.empty(0, np.uint8)
    except OSError:
        return None


def forget_oldest(decoded: Path, keep: Sequence[Pool], room: int | None = None) -> int:
    """Remove the shards that were not used for longest until those of all pools in `decoded` take at most `room` bytes; returns the bytes freed.

    Args:
        keep: nothing is removed of these.
        room: None: `POOL_BYTES`.
    """
    left = POOL_BYTES if room is None else room
    freed = 0
    kept = {pool.folder for pool in keep}
    for path, status in sorted(_shards(decoded), key=lambda shard: (shard[0].parent not in kept, -shard[1].st_mtime)):
        left -= status.st_size
        if left < 0 and path.parent not in kept:
            # A run that has it mapped keeps its pages. Windows refuses instead, then it stays.
            with suppress(OSError):
                path.unlink()
                for index in (path.with_suffix(".index"), path.with_suffix(_unsettled())):
                    index.unlink(missing_ok=True)
                freed += status.st_size
    _remove_left_over(decoded)
    return freed


def _shards(decoded: Path) -> list[tuple[Path, os.stat_result]]:
    found = []
    for path in decoded.glob("*/*.uint8"):
        with suppress(OSError):  # forgotten by another process
            found.append((path, path.stat()))
    return found


def _remove_left_over(decoded: Path) -> None:
    """What killed processes left unfinished, files of pixels without an index, and what earlier versions of Thaw kept here."""
    old = list(decoded.glob("*.uint8"))
    for path in [*old, *(path.with_suffix(".json") for path in old)]:
        with suppress(OSError):
            path.unlink()
    for path in [*decoded.glob("*/.*.partial-*"), *decoded.glob("*/*.uint8"), *decoded.glob("*/*.index-*")]:
        with suppress(OSError):
            lone = path.suffix not in (".uint8", _unsettled()) or not any(path.with_suffix(end).is_file() for end in (".index", _unsettled()))
            if lone and time.time() - path.stat().st_mtime > DAY:
                path.unlink()
