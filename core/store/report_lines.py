"""What a worker on another machine tells the store, as lines of text: which of the store's methods it called, in order, with what. No SQL.

A line is a checksum (CRC-32, eight hexadecimal digits), a space, and a JSON array: when (Unix seconds), the method's name, its arguments. The
methods are those of `METHODS` and no others, and each argument is read as what it must be: a report comes from a folder that others may write.
Arrays are base64 of their bytes, the lowest first, beside their type and shape. JSON's NaN and Infinity are Python's.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from core.records.events import AuditReport, ChangeRow, EpochRow, Inspection, Reuse, RunPlan, RunResult, RunStatus, Signal, StepBlock, StepRow
from core.records.findings import Diagnosis
from core.records.forgetting import ForgettingRow
from core.records.profile import Profile, StepTimes
from core.records.speed import Tuning
from core.records.summaries import LevelRow, block_of
from core.store.continued import Cut

LONGEST_LINE = 64 << 20
"""Bytes of a line at most: 4,096 steps of a model of 600 tensors take 13 MB."""

LONGEST_TEXT = 200_000
"""Characters of a text, such as an error with its traceback: what is beyond is cut off when it is written."""

_LARGEST = 2**53


class BadReport(ValueError):
    """A line is no report of a worker: the text says why."""


@dataclass(frozen=True)
class Call:
    """A method of the store that was called at a moment (Unix seconds), with its arguments but for the run's id."""

    at: float
    method: str
    arguments: tuple[Any, ...]


@dataclass(frozen=True)
class _Kind:
    """How a value becomes JSON, and is read again."""

    write: Callable[[Any], Any]
    read: Callable[[Any], Any]


def _plain(kind: Any) -> _Kind:
    adapter: TypeAdapter[Any] = TypeAdapter(kind)
    return _Kind(lambda value: adapter.dump_python(value, mode="json"), adapter.validate_python)


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > LONGEST_TEXT:
        raise BadReport(f"a text was expected, got {type(value).__name__}")
    return value


def _array(value: Any, kind: str, dimensions: int) -> NDArray[Any]:
    """An array of this type (`<f4`) with so many dimensions."""
    told, shape, packed = value
    if told != kind or not isinstance(shape, list) or len(shape) != dimensions or not all(isinstance(n, int) and 0 <= n < _LARGEST for n in shape):
        raise BadReport(f"an array of {kind} with {dimensions} dimensions was expected")
    content = base64.b64decode(packed, validate=True)
    if len(content) != math.prod(shape) * np.dtype(kind).itemsize:
        raise BadReport("an array is shorter or longer than it says")
    return np.frombuffer(content, kind).reshape(shape)


def _packed(array: NDArray[Any], kind: str) -> list[Any]:
    content = np.ascontiguousarray(array, dtype=kind)
    return [kind, list(array.shape), base64.b64encode(content.tobytes()).decode()]


_COLUMNS = {"step": "<i8", "epoch": "<i8", "time": "<f8", "loss": "<f8", "learning_rate": "<f8", "samples_per_second": "<f8"}
_SIGNALS = ("gradient_norms", "update_norms", "weight_norms")


def _write_block(steps: StepBlock | Sequence[StepRow]) -> dict[str, Any]:
    block = steps if isinstance(steps, StepBlock) else block_of(steps)
    signals = {name: getattr(block, name) for name in _SIGNALS}
    return {
        **{name: _packed(getattr(block, name), kind) for name, kind in _COLUMNS.items()},
        **{name: [_packed(signal.place, "<i8"), _packed(signal.rows, "<f4")] for name, signal in signals.items()},
        "blank": _packed(block.blank, "<f4"),
    }


def _read_block(value: Any) -> StepBlock:
    columns: dict[str, Any] = {name: _array(value[name], kind, 1) for name, kind in _COLUMNS.items()}
    count = len(columns["step"])
    signals: dict[str, Any] = {name: _signal(value[name], count) for name in _SIGNALS}
    blank = _array(value["blank"], "<f4", 1)
    if any(len(column) != count for column in columns.values()):
        raise BadReport("its columns are not of one length")
    if not count or columns["step"][0] < 1 or not np.all(np.diff(columns["step"]) > 0):
        raise BadReport("its steps do not come one after the other")
    if any(signal.rows.size and signal.rows.shape[1] != len(blank) for signal in signals.values()):
        raise BadReport("its norms are not those of one model")
    return StepBlock(**columns, **signals, blank=blank)


def _signal(value: Any, count: int) -> Signal:
    place, rows = _array(value[0], "<i8", 1), _array(value[1], "<f4", 2)
    if len(place) != count or (count and (place.min() < -1 or place.max() >= len(rows))):
        raise BadReport("its norms are of other steps")
    return Signal(place, rows)


_LEVEL = TypeAdapter(tuple[int, int, bool, float | None, float | None, float | None, float])


def _write_levels(rows: Sequence[LevelRow]) -> list[Any]:
    return [[*map(_number, row[:7]), *(None if norms is None else _packed(norms, "<f4") for norms in row[7:])] for row in rows]


def _number(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _read_levels(value: Any) -> list[LevelRow]:
    found = []
    for row in value:
        gradients, updates, weights = (None if each is None else _array(each, "<f4", 1) for each in row[7:10])
        if gradients is None:
            raise BadReport("a summary has no gradient norms")
        found.append(LevelRow(*_LEVEL.validate_python(tuple(row[:7])), gradients, updates, weights))
    return found


def _write_change(row: ChangeRow) -> dict[str, Any]:
    arrays = {"frozen": _packed(row.frozen, "|u1"), "multipliers": _packed(row.multipliers, "<f4")}
    return {"step": row.step, "source": row.source, "text": row.text, "learning_rate": row.learning_rate, **arrays}


def _read_change(value: Any) -> ChangeRow:
    frozen, multipliers = _array(value["frozen"], "|u1", 1), _array(value["multipliers"], "<f4", 1)
    if value["source"] not in ("timeline", "live") or len(frozen) != len(multipliers):
        raise BadReport("a change is not as this Thaw writes it")
    return ChangeRow(
        0, _whole(value["step"]), value["source"], _text(value["text"]), float(value["learning_rate"]), frozen.astype(np.bool_), multipliers
    )


def _write_forgetting(row: ForgettingRow) -> list[Any]:
    return [row.step, row.accuracy, row.pictures, row.seconds, _packed(row.moved, "<f4"), _packed(row.start, "<f4")]


def _read_forgetting(value: Any) -> ForgettingRow:
    step, accuracy, pictures, seconds, moved, start = value
    share = None if accuracy is None else float(accuracy)
    return ForgettingRow(_whole(step), share, _whole(pictures), float(seconds), _array(moved, "<f4", 1), _array(start, "<f4", 1))


def _whole(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not -_LARGEST < value < _LARGEST:
        raise BadReport("a whole number was expected")
    return value


def _cut_text(value: str) -> str:
    return value if len(value) <= LONGEST_TEXT else f"{value[: LONGEST_TEXT - 4]} ..."


def _or_none(kind: _Kind) -> _Kind:
    return _Kind(lambda value: None if value is None else kind.write(value), lambda value: None if value is None else kind.read(value))


_TEXT = _Kind(_cut_text, _text)
_WHOLE = _Kind(int, _whole)
_SECONDS = _plain(float | None)
_STATUS = _plain(RunStatus)
_CHANGE = _Kind(_write_change, _read_change)
_EPOCH = _plain(EpochRow)

METHODS: Mapping[str, tuple[_Kind, ...]] = {
    "begin": (_plain(RunPlan),),
    "set_status": (_STATUS, _TEXT, _plain(float | None)),
    "end": (_STATUS, _or_none(_plain(RunResult)), _or_none(_TEXT)),
    "refuse_to_resume": (_TEXT,),
    "say_continued": (_TEXT,),
    "cut": (_plain(Cut),),
    "append": (
        _Kind(_write_block, _read_block), _Kind(_write_levels, _read_levels), _SECONDS, _SECONDS, _SECONDS, _or_none(_plain(StepTimes)),
        _Kind(lambda rows: [_EPOCH.write(row) for row in rows], lambda rows: [_EPOCH.read(row) for row in rows]),
    ),
    "append_epoch": (_EPOCH,),
    "append_change": (_CHANGE,),
    "append_inspection": (_plain(Inspection),),
    "append_forgetting": (_Kind(_write_forgetting, _read_forgetting),),
    "set_audit": (_plain(AuditReport),),
    "set_reuse": (_plain(Reuse),),
    "set_tuning": (_plain(Tuning),),
    "set_findings": (_plain(Diagnosis),),
    "set_profile": (_plain(Profile),),
    "acknowledge": (_WHOLE, _WHOLE, _or_none(_TEXT)),
}  # fmt: skip
"""The methods that may be called by a line, and what each of their arguments is. `acknowledge` has a command's id in place of the command."""


def line(method: str, arguments: Sequence[Any], at: float | None = None) -> bytes:
    """A call as a line, with its end. `at`: Unix seconds; None: now."""
    told = [kind.write(value) for kind, value in zip(METHODS[method], arguments, strict=True)]
    text = json.dumps([time.time() if at is None else at, method, told], separators=(",", ":")).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def whole(text: bytes) -> bool:
    """Whether a line (without its end) is as it was written: one that was cut off is not."""
    return len(text) > 9 and text[8:9] == b" " and text[:8] == b"%08x" % zlib.crc32(text[9:])


def read(text: bytes) -> Call:
    """The call of a line that is `whole`.

    Raises:
        BadReport: it is none that may be made, or not with these arguments.
    """
    try:
        at, method, told = json.loads(text[9:])
        kinds = METHODS.get(method) if isinstance(method, str) else None
        if kinds is None:
            raise BadReport(f"{str(method)[:60]!r} is nothing that a worker may ask of the store")
        return Call(float(at), method, tuple(kind.read(value) for kind, value in zip(kinds, told, strict=True)))
    except BadReport:
        raise
    except (ValueError, TypeError, KeyError, IndexError, OverflowError, RecursionError, AttributeError, binascii.Error, ValidationError) as error:
        raise BadReport(f"it is not as this Thaw writes it ({type(error).__name__}: {' '.join(str(error).split())[:200]})") from None
