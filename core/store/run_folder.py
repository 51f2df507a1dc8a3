"""What a run's folder holds so that the run can be taken in again where the store has lost it, or could not be written.

`run.json` has the run's row, as the store has it. `rows.thaw` has its steps, epochs and changes: one `.npz` after the other, each behind
its length and checksum, so that a killed writer costs the last one at most. `trouble.json` says that the store cannot be written just now;
its room is taken before it is needed, since a full disk is what it most often has to tell of.
"""

from __future__ import annotations

import io
import json
import os
import struct
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.machine.files import written_whole
from core.records.events import ChangeRow, EpochRow, Signal, StepBlock
from core.records.summaries import NOTHING

FORMAT = 1
WRITE_SECONDS = 10.0
"""How often the files are renewed while the run goes on: what is lost if store and process are."""

MOST_WAITING = 20_000
"""Steps that wait to be written at most; past that, with a disk that cannot be written, no more are kept here."""

NOTICE_BYTES = 2048
FORGOTTEN = "forgotten"
"""A file of this name in a run's folder: the run was taken off the list on purpose."""

_FRAME = struct.Struct("<4sII")  # mark, length, checksum
_MARK = b"ROWS"
_COLUMNS = ("step", "epoch", "time", "loss", "learning_rate", "samples_per_second")
_SIGNALS = ("gradient_norms", "update_norms", "weight_norms")


@dataclass(frozen=True)
class Notice:
    """The store cannot be written: since when (Unix seconds), why, and how many steps wait in memory; `thinned` says what of them was dropped."""

    since: float
    reason: str
    steps: int
    thinned: str = ""

    def __str__(self) -> str:
        since = time.strftime("%H:%M:%S", time.localtime(self.since))
        kept = f"{self.steps:,} steps are kept in memory{f' ({self.thinned})' if self.thinned else ''}"
        return f"The store cannot be written since {since}: it {self.reason}. Training goes on; {kept} and written once that is possible."


@dataclass(frozen=True)
class Rows:
    """What `rows.thaw` has. `whole` is False where its end is damaged, or not there."""

    blocks: tuple[StepBlock, ...]
    epochs: tuple[EpochRow, ...]
    changes: tuple[ChangeRow, ...]
    whole: bool


class RunFolder:
    """The files of one run, as its worker writes them. A disk that cannot be written costs these copies, and never the run."""

    def __init__(self, folder: Path) -> None:
        self.path = folder
        self._blocks: list[StepBlock] = []
        self._epochs: list[EpochRow] = []
        self._changes: list[ChangeRow] = []
        self._size = 0  # of rows.thaw, up to the end of its last whole part
        self._given_up = False
        self._written = 0.0

    def begin(self, keep: bool = False) -> None:
        """Make room; what an earlier attempt at the same run left is dropped, or kept until `go_on` says what of it counts."""
        self._written = time.monotonic()
        with suppress(OSError):
            self.path.mkdir(parents=True, exist_ok=True)
            if not keep:
                (self.path / "rows.thaw").write_bytes(b"")
            self._notice().write_bytes(b"".ljust(NOTICE_BYTES))

    def go_on(self, blocks: Sequence[StepBlock], epochs: Sequence[EpochRow], changes: Sequence[ChangeRow]) -> None:
        """Hold these rows and no others: the run goes on from there."""
        self._blocks, self._epochs, self._changes = list(blocks), list(epochs), list(changes)
        self._size, self._given_up = 0, False

    def add(self, block: StepBlock | None = None, epochs: Sequence[EpochRow] = (), change: ChangeRow | None = None) -> None:
        """Keep these rows, to be written before long."""
        if self._given_up:
            return
        self._blocks += [] if block is None else [block]
        self._epochs += epochs
        self._changes += [] if change is None else [change]

    def renew(self, row: Callable[[], Mapping[str, Any]], now: bool = False, settled: bool = True) -> None:
        """Write what waits and the run's row, if that is due or to be `now`.

        Args:
            settled: False: nobody waits until the row has reached the disk, and it is due again at once.
        """
        if not now and time.monotonic() - self._written < WRITE_SECONDS:
            return
        self._written = time.monotonic() if settled else -WRITE_SECONDS
        try:
            self._append()
            text = json.dumps({"format": FORMAT, "written": time.time(), "rows": not self._given_up, "row": dict(row())}, indent=1)
            with written_whole(self.path / "run.json", settled) as file:
                file.write(text.encode())
        except OSError:
            if sum(map(len, self._blocks)) > MOST_WAITING:
                self._given_up = True
                self._blocks, self._epochs, self._changes = [], [], []

    def say(self, notice: Notice) -> None:
        """Tell whoever looks into the folder that the store cannot be written."""
        text = json.dumps({**asdict(notice), "reason": notice.reason[: NOTICE_BYTES // 4]}).encode()
        with suppress(OSError), self._notice().open("r+b") as file:  # into the room taken at the beginning: a full disk has no other
            file.write(text.ljust(NOTICE_BYTES))

    def all_well(self) -> None:
        """The store can be written again."""
        with suppress(OSError), self._notice().open("r+b") as file:
            file.write(b"".ljust(NOTICE_BYTES))

    def _notice(self) -> Path:
        return self.path / "trouble.json"

    def _append(self) -> None:
        if not (self._blocks or self._epochs or self._changes):
            return
        part = _packed(self._blocks, self._epochs, self._changes)
        path = self.path / "rows.thaw"
        with path.open("r+b" if path.exists() else "wb") as file:
            file.truncate(self._size)  # half a part, from a time when the disk was full
            file.seek(self._size)
            file.write(_FRAME.pack(_MARK, len(part), zlib.crc32(part)) + part)
            file.flush()
            os.fsync(file.fileno())
        self._size += _FRAME.size + len(part)
        self._blocks, self._epochs, self._changes = [], [], []


def read_notice(folder: Path) -> Notice | None:
    """What the run's worker has to tell of the store, if there is anything."""
    try:
        values = json.loads((folder / "trouble.json").read_text(encoding="utf-8").strip() or "null")
        return Notice(**values) if values else None
    except (OSError, ValueError, TypeError):
        return None  # none, or just being written


def read_row(folder: Path) -> dict[str, Any]:
    """The run's row from `run.json`.

    Raises:
        FileNotFoundError: there is none: the run was made by a Thaw that kept none.
        ValueError: it is damaged, or of a newer Thaw.
    """
    values = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    if not isinstance(values, dict) or values.get("format") != FORMAT or not isinstance(values.get("row"), dict):
        raise ValueError("run.json is not as this Thaw writes it")
    return dict(values["row"])


def read_rows(folder: Path) -> Rows:
    """Steps, epochs and changes from `rows.thaw`, up to the first damage; nothing where there is no such file."""
    blocks: list[StepBlock] = []
    epochs: list[EpochRow] = []
    changes: list[ChangeRow] = []
    try:
        for part in _parts(folder / "rows.thaw"):
            more = _unpacked(part)
            blocks += more[0]
            epochs += more[1]
            changes += more[2]
    except (OSError, ValueError, KeyError, TypeError, zlib.error, struct.error, EOFError, zipfile.BadZipFile):
        return Rows(tuple(blocks), tuple(epochs), tuple(changes), whole=False)
    return Rows(tuple(blocks), tuple(epochs), tuple(changes), whole=True)


def _parts(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while head := file.read(_FRAME.size):
            mark, length, checksum = _FRAME.unpack(head)
            part = file.read(length) if mark == _MARK else b""
            if len(part) != length or zlib.crc32(part) != checksum:
                raise ValueError("a part of the rows is damaged")
            yield part


def _packed(blocks: Sequence[StepBlock], epochs: Sequence[EpochRow], changes: Sequence[ChangeRow]) -> bytes:
    """Rows as the bytes of an `.npz`: columns of all blocks one after the other, with the size of each; the rest as JSON."""
    arrays: dict[str, NDArray[Any]] = {"sizes": np.array([len(block) for block in blocks], np.int64)}
    if blocks:
        arrays |= {name: np.concatenate([getattr(block, name) for block in blocks]) for name in _COLUMNS}
        arrays["blank"] = np.stack([block.blank for block in blocks])
    for name in _SIGNALS:
        signals = [getattr(block, name) for block in blocks]
        measured = [signal.rows for signal in signals if signal.rows.size]
        arrays[f"{name}_counts"] = np.array([len(signal.rows) for signal in signals], np.int64)
        arrays[f"{name}_place"] = np.concatenate([signal.place for signal in signals]) if signals else np.empty(0, np.int64)
        arrays[f"{name}_rows"] = np.concatenate(measured) if measured else NOTHING
    rest = {
        "epochs": [asdict(row) for row in epochs],
        "changes": [{**vars(row), "frozen": row.frozen.tolist(), "multipliers": row.multipliers.tolist()} for row in changes],
    }
    arrays["rest"] = np.array(json.dumps(rest))
    packed = io.BytesIO()
    np.savez_compressed(packed, **arrays)  # type: ignore[arg-type]  # its stub takes the names for its own options
    return packed.getvalue()


def _unpacked(part: bytes) -> tuple[list[StepBlock], list[EpochRow], list[ChangeRow]]:
    with np.load(io.BytesIO(part), allow_pickle=False) as arrays:
        sizes = arrays["sizes"]
        columns = {name: np.split(arrays[name], np.cumsum(sizes)[:-1]) for name in _COLUMNS} if len(sizes) else {}
        signals = {name: _signals(arrays, name, sizes) for name in _SIGNALS}
        by_name: dict[str, Any] = {**columns, **signals, "blank": arrays["blank"] if len(sizes) else []}
        blocks = [StepBlock(**{name: values[number] for name, values in by_name.items()}) for number in range(len(sizes))]
        rest = json.loads(str(arrays["rest"]))
    known = {field.name for field in fields(EpochRow)}
    epochs = [EpochRow(**{name: value for name, value in row.items() if name in known}) for row in rest["epochs"]]
    changes = [
        ChangeRow(**{**row, "frozen": np.array(row["frozen"], np.bool_), "multipliers": np.array(row["multipliers"], np.float32)})
        for row in rest["changes"]
    ]
    return blocks, epochs, changes


def _signals(arrays: Mapping[str, NDArray[Any]], name: str, sizes: NDArray[np.int64]) -> list[Signal]:
    if not len(sizes):
        return []
    places = np.split(arrays[f"{name}_place"], np.cumsum(sizes)[:-1])
    counts = arrays[f"{name}_counts"]
    ends = np.cumsum(counts)
    rows = arrays[f"{name}_rows"]
    return [Signal(place, rows[end - count : end] if count else NOTHING) for place, count, end in zip(places, counts, ends, strict=True)]
