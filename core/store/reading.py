"""What a run's row in the store says, or why it cannot be read: a newer Thaw wrote it, or it is damaged. No SQL."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from pydantic import TypeAdapter, ValidationError

from core.config import ConfigError, RunConfig
from core.records.events import RunPlan, RunResult, RunStatus
from core.records.forks import Fork
from core.records.profile import StepTimes
from core.store.label_tables import labels_of
from core.store.rows import Row

PLAN = TypeAdapter(RunPlan)
RESULT = TypeAdapter(RunResult)
TIMES = TypeAdapter(StepTimes)
FORK = TypeAdapter(Fork)

SAID = 200
"""Characters that are shown of what was found in place of a value."""

_BAD_VALUE = (ValueError, TypeError, OverflowError, RecursionError)


class UnreadableRun(ConfigError):
    """A run that this Thaw cannot read. `status` and `created` are what its row says all the same, empty and 0 where it does not."""

    def __init__(self, run_id: str, reason: str, field: str = "run", status: str = "", created: float = 0.0) -> None:
        super().__init__(field, f"run {run_id} cannot be read: {reason}")
        self.id = run_id
        self.reason = reason
        self.status = status
        self.created = created

    def __reduce__(self) -> Any:
        return type(self), (self.id, self.reason, self.field, self.status, self.created)


def read_run(row: Row) -> dict[str, Any]:
    """The columns of a row of `runs` as the values that a `Run` has.

    Raises:
        UnreadableRun: one of them is damaged, or of a newer Thaw.
    """
    return {name: _value(row, name, read) for name, read in _READERS.items() if name not in _LATER or _has(row, name)}


@contextmanager
def readable(run_id: str, what: str) -> Iterator[None]:
    """Within it, rows are read that may be damaged, or of a newer Thaw: that is said as UnreadableRun, `what` in the plural."""
    try:
        yield
    except _BAD_VALUE as error:
        raise UnreadableRun(run_id, f"its {what} are damaged, or of a newer Thaw ({_brief(error)})") from None


def _has(row: Row, name: str) -> bool:
    try:
        row[name]
    except (KeyError, IndexError):  # as a dict says it, and as sqlite3 does
        return False
    return True


def _value(row: Row, name: str, read: Callable[[Any], Any]) -> Any:
    try:
        return read(row[name])
    except _BAD_VALUE as error:
        created = row["created"] if isinstance(row["created"], float | int) and math.isfinite(row["created"]) else 0.0
        field, reason = "run", f"its {name} is damaged, or of a newer Thaw ({_brief(error)})"
        if isinstance(error, ConfigError):
            field, reason = error.field, f"its settings are damaged, or of a newer Thaw ({_brief(error)})"
        raise UnreadableRun(str(row["id"]), reason, field, str(row["status"]), created) from None


def _brief(error: BaseException) -> str:
    said = str(error)
    if isinstance(error, ValidationError):  # of several lines, with the address of a page about each
        first = error.errors(include_url=False)[0]
        said = ": ".join(filter(None, (".".join(str(part) for part in first["loc"]), first["msg"])))
    text = " ".join(said.split())
    return text if len(text) <= SAID else f"{text[:SAID]} ..."


def _number(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{number} is no number")
    return number


def _or_none(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None else read(value)


def _json(kind: TypeAdapter[Any]) -> Callable[[Any], Any]:
    return lambda text: kind.validate_json(text) if text else None


@lru_cache(maxsize=64)
def _plan(text: str) -> RunPlan | None:
    # Every tick of every viewer reads a plan, some hundreds of layers, that never changes.
    return PLAN.validate_json(text) if text else None


@lru_cache(maxsize=1024)
def _config(text: str) -> RunConfig:
    # A list of some hundred runs is drawn anew every few seconds, and settings, which are never changed, take 0.4 ms to check.
    return RunConfig.from_json(text)


_READERS: dict[str, Callable[[Any], Any]] = {
    "id": str,
    "created": _number,
    "config": _config,
    "status": RunStatus,
    "activity": str,
    "activity_share": _or_none(_number),
    "step": int,
    "epoch": int,
    "started": _or_none(_number),
    "ended": _or_none(_number),
    "active_seconds": _number,
    "pid": _or_none(int),
    "process_started": _or_none(_number),
    "error": _or_none(str),
    "plan": _or_none(_plan),
    "result": _json(RESULT),
    "step_seconds": _number,
    "watch_seconds": _number,
    "stages": _json(TIMES),
    "place": _or_none(_number),
    "claimed_by": _or_none(str),
    "binned": _or_none(_number),
    "labels": labels_of,
    "fork": _json(FORK),
}

_LATER = ("place", "claimed_by", "binned", "labels", "fork")
"""What the `run.json` of an earlier Thaw does not have."""
