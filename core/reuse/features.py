"""What frozen layers computed for each picture, kept on disk or in memory: a table with a row a picture.

A table on disk is one file that is mapped into memory, so the system keeps of it what it has memory for. Two runs may build
the same table at the same time: equal keys mean equal bits, so it does not matter who writes a row. A row counts as there only
when its bytes have reached the disk before the mark that says so.
"""

from __future__ import annotations

import errno
import json
import math
import mmap
import os
import shutil
import threading
import weakref
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import psutil
import torch
from torch import Tensor

from core.machine.bits import same
from core.records import telling

FORMAT = 2
"""Part of each file: raise it when what lies where changes."""

PAGE = 4096

SIZES = 512
"""Bytes at the end of a file's first page: a bit for each size of batch that was seen to give the same rows as full batches, 0 to 4095."""

DISK_RESERVE = 2**30
"""Bytes of the disk that are left to others."""

MEMORY_SHARE = 0.25
"""Share of the free memory that features may take where the disk has no room for them."""


class NoRoom(Exception):
    """Features cannot be kept; the text says why and what to do."""


@dataclass(frozen=True)
class Column:
    """One tensor of a picture's row.

    `shape` is that of one picture with its dimensions in the order in which they lie in memory; `order` says which of the tensor's
    dimensions that is: (0, 1, 2, 3), or (0, 2, 3, 1) for channels_last. `stored` and `given` name the number formats of the
    file and of what is given out.
    """

    shape: tuple[int, ...]
    order: tuple[int, ...]
    stored: str
    given: str

    @classmethod
    def of(cls, tensor: Tensor, half: bool) -> Column:
        """The column for tensors [N, ...] like this one, rounded to float16 if `half` and they are float32."""
        strides = tensor.stride()
        order = (0, *sorted(range(1, tensor.dim()), key=lambda dimension: (-strides[dimension], dimension)))
        given = str(tensor.dtype).removeprefix("torch.")
        return cls(tuple(tensor.shape[place] for place in order[1:]), order, "float16" if half and given == "float32" else given, given)

    @property
    def row_bytes(self) -> int:
        """What one picture takes."""
        return math.prod(self.shape) * _dtype(self.stored).itemsize

    def to_rows(self, tensor: Tensor) -> Tensor:
        """[N, ...] on any device to uint8 [N, row_bytes] on the CPU."""
        values = tensor.detach().permute(self.order).to("cpu", _dtype(self.stored)).contiguous()
        return values.reshape(len(values), -1).view(torch.uint8)

    def as_stored(self, rows: Tensor) -> Tensor:
        """uint8 [N, row_bytes] as numbers [N, *shape]: the same memory."""
        return rows.view(_dtype(self.stored)).view(-1, *self.shape)

    def as_given(self, values: Tensor) -> Tensor:
        """Numbers [N, *shape] as they are given out."""
        values = values.to(_dtype(self.given))
        return values if self.plain else values.permute(tuple(np.argsort(self.order).tolist()))

    def from_rows(self, rows: Tensor) -> Tensor:
        """What `to_rows` was given, but for rounding."""
        return self.as_given(self.as_stored(rows))

    @cached_property
    def plain(self) -> bool:
        """Whether the dimensions lie in memory in their own order."""
        return self.order == tuple(range(len(self.order)))


class Table:
    """Rows for `rows` pictures, each written once and read often. Made by `open_table`."""

    def __init__(self, columns: Sequence[Column], filled: Tensor, blocks: Sequence[Tensor], file: _File | None, found: bool) -> None:
        self.columns = tuple(columns)
        self.found = found
        self.place: Literal["disk", "memory"] = "disk" if file else "memory"
        self._filled = filled  # bool [rows]
        self._blocks = tuple(blocks)  # uint8 [rows, row_bytes], one a column
        self._values = tuple(column.as_stored(block) for column, block in zip(columns, blocks, strict=True))
        self._file = file
        self._settled = (0, 0)
        self._writes = 0
        self.sizes: set[int] = set() if file is None else file.sizes()
        """Sizes of batches that were seen to give the rows that full batches give."""
        self._settling: threading.Thread | None = None

    @property
    def picture_bytes(self) -> int:
        """What one picture takes."""
        return sum(column.row_bytes for column in self.columns)

    def has(self, pictures: Tensor) -> bool:
        """Whether the rows of all these pictures, int64 [N], are there."""
        return bool(self._filled[pictures].all())

    def count(self, pictures: Tensor) -> int:
        """How many of these pictures are there."""
        return int(self._filled[pictures].sum())

    def write(self, pictures: Tensor, tensors: Sequence[Tensor]) -> None:
        """Keep a tensor [N, ...] for each column.

        Raises:
            OSError: the disk is full or broken. Nothing that was there before is lost.
        """
        for number, (column, tensor) in enumerate(zip(self.columns, tensors, strict=True)):
            rows = column.to_rows(tensor)
            if self._file is None:
                self._blocks[number][pictures] = rows
            else:
                self._file.write(number, pictures, rows)
        self._filled[pictures] = True
        self._writes += 1

    def read(self, pictures: Tensor) -> list[Tensor]:
        """A tensor [N, ...] for each column, on the CPU; the rows must be there."""
        return [column.as_given(values.index_select(0, pictures)) for column, values in zip(self.columns, self._values, strict=True)]

    def rounded(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """What `read` gives after `write`."""
        if all(column.stored == column.given for column in self.columns):
            return list(tensors)
        return [column.from_rows(column.to_rows(tensor)).to(tensor.device) for column, tensor in zip(self.columns, tensors, strict=True)]

    def agree(self, left: Sequence[Tensor], right: Sequence[Tensor]) -> bool:
        """Whether both would be the same rows, bit for bit."""
        return all(same(column.to_rows(one), column.to_rows(other)) for column, one, other in zip(self.columns, left, right, strict=True))

    def settle(self, wait: bool = False) -> None:
        """Have what was written so far survive this process, and a power failure; in a thread, since disks are slow."""
        if self._settling is not None and (wait or not self._settling.is_alive()):
            self._settling.join()
            self._settling = None
        count = self._writes, len(self.sizes)
        if self._file is not None and self._settling is None and count != self._settled:
            self._settled = count
            given = self._filled.numpy().copy(), frozenset(self.sizes)
            self._settling = threading.Thread(target=self._file.settle, args=given, name="settle features")
            self._settling.start()
            if wait:
                self.settle(wait=True)

    def look_again(self) -> None:
        """Take notice of the rows that other processes have written since, and settled."""
        if self._file is not None:
            self._filled = self._filled | torch.from_numpy(self._file.marks().astype(bool))
            self.sizes |= self._file.sizes()

    def delete(self) -> None:
        """Forget all of it."""
        self.settle(wait=True)
        self._filled[:] = False
        self.sizes.clear()
        if self._file is not None:
            self._file.path.unlink(missing_ok=True)


def open_table(folder: Path, key: str, columns: Sequence[Column], rows: int, pictures: int, budget: int) -> Table:
    """The table of this key, with what an earlier run left in it; made if it is not there, or is damaged.

    Args:
        folder: where tables lie; those that were not used for longest are removed to keep to the budget.
        key: a name that is another one wherever the features would be others.
        rows: pictures are numbered from 0 to `rows` - 1.
        pictures: how many of them will be kept.
        budget: bytes that all tables together may take.

    Raises:
        NoRoom: they do not fit into the budget, or neither on the disk nor into memory.
    """
    need = pictures * sum(column.row_bytes for column in columns)
    too_much = f"the features of {pictures:,} pictures take {telling.size(need)}"
    if need > budget:
        half = ", set feature_cache to float16" if need / 2 <= budget and all(column.stored == "float32" for column in columns) else ""
        remedy = f"raise feature_cache_gigabytes to {math.ceil(need / 1e8) / 10:g}{half}, or set feature_cache to off to do without"
        raise NoRoom(f"{too_much}, more than the {telling.size(budget)} allowed; {remedy}")
    layout = _Layout(tuple(columns), rows)
    path = folder / f"{key}.features"
    problem = ""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = _File.existing(path, layout)
        if file is None:
            _forget_oldest(folder, budget - need)
            free = shutil.disk_usage(folder).free
            if free - DISK_RESERVE < need:
                problem = f"the disk has {telling.size(free)} free"
            else:
                file = _File.new(path, layout)
        if file is not None:
            os.utime(path)  # used just now: the last to be forgotten
            filled = torch.from_numpy(file.marks().astype(bool))
            return Table(columns, filled, file.blocks(), file, found=bool(filled.any()))
    except OSError as error:
        problem = f"the disk says {error.strerror}"
    free = psutil.virtual_memory().available
    if need > free * MEMORY_SHARE:
        raise NoRoom(f"{too_much}, but {problem}, and memory has {telling.size(free)} free; free some disk")
    # Memory that is never written to is never taken.
    blocks = [torch.empty((rows, column.row_bytes), dtype=torch.uint8) for column in columns]
    return Table(columns, torch.zeros(rows, dtype=torch.bool), blocks, None, found=False)


@dataclass(frozen=True)
class _Layout:
    """What lies where in a file: a header, a mark a row, and then the rows of each column."""

    columns: tuple[Column, ...]
    rows: int

    @property
    def header(self) -> bytes:
        text = json.dumps({"format": FORMAT, "rows": self.rows, "columns": [asdict(column) for column in self.columns]}).encode()
        return text.ljust(_pages(len(text) + SIZES) - SIZES)

    @property
    def marks(self) -> int:
        return len(self.header) + SIZES

    def start(self, column: int) -> int:
        """Place of a column's first row."""
        before = sum(_pages(self.rows * earlier.row_bytes) for earlier in self.columns[:column])
        return self.marks + _pages(self.rows) + before

    @property
    def size(self) -> int:
        return self.start(len(self.columns))


class _File:
    def __init__(self, path: Path, layout: _Layout) -> None:
        self.path = path
        self._layout = layout
        self._file = os.open(path, os.O_RDWR)
        weakref.finalize(self, os.close, self._file)

    @classmethod
    def existing(cls, path: Path, layout: _Layout) -> _File | None:
        """The file, if it is there and whole; what is damaged or of another version is removed."""
        try:
            file = cls(path, layout)
        except FileNotFoundError:
            return None
        if os.fstat(file._file).st_size == layout.size and os.pread(file._file, len(layout.header), 0) == layout.header:
            return file
        path.unlink(missing_ok=True)
        return None

    @classmethod
    def new(cls, path: Path, layout: _Layout) -> _File:
        partial = path.with_suffix(f".partial-{os.getpid()}-{threading.get_ident()}")
        try:
            with partial.open("wb") as file:
                file.write(layout.header + bytes(SIZES))
                file.truncate(layout.size)  # a hole: it takes room as rows are written
            try:
                os.link(partial, path)
            except FileExistsError:
                pass  # another run was quicker: its file is as good
        finally:
            partial.unlink(missing_ok=True)
        return cls(path, layout)

    def marks(self) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
        return np.frombuffer(os.pread(self._file, self._layout.rows, self._layout.marks), np.uint8)

    def sizes(self) -> set[int]:
        bits = np.frombuffer(os.pread(self._file, SIZES, len(self._layout.header)), np.uint8)
        return set(np.flatnonzero(np.unpackbits(bits)).tolist())

    def blocks(self) -> list[Tensor]:
        mapped = np.frombuffer(mmap.mmap(self._file, self._layout.size), np.uint8)  # writable only because torch wants it so
        return [
            torch.from_numpy(mapped[start : start + self._layout.rows * column.row_bytes]).view(self._layout.rows, -1)
            for start, column in ((self._layout.start(number), column) for number, column in enumerate(self._layout.columns))
        ]

    def write(self, column: int, pictures: Tensor, rows: Tensor) -> None:
        # Written, not mapped: on a full disk a write fails with an error, a mapped page kills the process.
        start, size = self._layout.start(column), self._layout.columns[column].row_bytes
        for picture, row in zip(pictures.tolist(), rows.numpy(), strict=True):
            written = os.pwrite(self._file, row.data, start + picture * size)
            if written != size:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def settle(self, filled: np.ndarray[tuple[int], np.dtype[np.bool_]], sizes: frozenset[int]) -> None:
        """First the rows, then the marks: a mark is never there without its row."""
        try:
            os.fsync(self._file)
            os.pwrite(self._file, (filled | (self.marks() > 0)).astype(np.uint8).tobytes(), self._layout.marks)
            if sizes:
                bits = np.zeros(8 * SIZES, np.uint8)
                bits[[size for size in sizes | self.sizes() if size < len(bits)]] = 1
                os.pwrite(self._file, np.packbits(bits).tobytes(), len(self._layout.header))
            os.fsync(self._file)
        except OSError:
            return  # a row without its mark is computed again by the next run


def _forget_oldest(folder: Path, room: int) -> None:
    """Remove the tables that were not used for longest until the others take at most `room` bytes."""
    for file in sorted(folder.glob("*.features"), key=lambda file: -file.stat().st_mtime):
        room -= file.stat().st_blocks * 512
        if room < 0:
            file.unlink(missing_ok=True)  # a run that has it mapped keeps it


def _dtype(name: str) -> torch.dtype:
    dtype = getattr(torch, name)
    assert isinstance(dtype, torch.dtype)
    return dtype


def _pages(size: int) -> int:
    return -(-size // PAGE) * PAGE
