"""`RunStore`: everything that is remembered about runs, in one SQLite file that server, workers and command line share.

WAL mode, so readers never wait for the writer. A step is one row with all gradient norms in one float32 blob; beside the
rows lie their power-of-two summaries (*levels*): a bucket of level `k` stands for `2**k` consecutive steps. A chart of any length of
history reads about a thousand rows from the level that fits.
"""

from __future__ import annotations

import math
import secrets
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from pydantic import TypeAdapter

from core.config import RunConfig
from core.records.events import (  # fmt: skip
    AuditReport,
    ChangeRow,
    Command,
    CommandKind,
    EpochRow,
    Histogram,
    Inspection,
    Profile,
    Reuse,
    RunPlan,
    RunResult,
    RunStatus,
    StepBlock,
    StepRow,
    StepTimes,
)
from core.records.findings import Diagnosis
from core.records.speed import Tuning
from core.records.summaries import LevelRow, block_of
from core.store.migrations import migrate
from core.store.rows import StepColumns, as_blob, level_values, step_columns, step_values

_PLAN = TypeAdapter(RunPlan)
_RESULT = TypeAdapter(RunResult)
Long = TypeVar("Long")

_AUDIT = TypeAdapter(AuditReport)
_TIMES = TypeAdapter(StepTimes)
_PROFILE = TypeAdapter(Profile)
_TUNING = TypeAdapter(Tuning)
_DIAGNOSIS = TypeAdapter(Diagnosis)
_REUSE = TypeAdapter(Reuse)
_HISTOGRAM = TypeAdapter(Histogram)

_ADD_EPOCH = "INSERT INTO epochs VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_REFUSE_COMMANDS = "UPDATE commands SET error = ? WHERE run = ? AND applied_at_step IS NULL AND error IS NULL"


@dataclass(frozen=True)
class Run:
    """One row of `runs`. Times are Unix seconds; `active_seconds` leaves pauses out and counts up to the last report.

    `step_seconds` were spent in training steps, `watch_seconds` of them on measuring and recording; `stages` tells it more finely.
    """

    id: str
    created: float
    config: RunConfig
    status: RunStatus
    activity: str
    activity_share: float | None
    step: int
    epoch: int
    started: float | None
    ended: float | None
    active_seconds: float
    pid: int | None
    process_started: float | None
    error: str | None
    plan: RunPlan | None
    result: RunResult | None
    step_seconds: float
    watch_seconds: float
    stages: StepTimes | None

    @property
    def watching(self) -> float | None:
        """Share of the steps' time (0 to 1) that watching them costs: measuring, recording and auditing; None before the first step."""
        return self.watch_seconds / self.step_seconds if self.step_seconds else None

    @property
    def seconds_left(self) -> float | None:
        """Estimate from the mean pace so far, in seconds; None before the first step and after the end."""
        if self.plan is None or self.step == 0 or not self.status.active:
            return None
        return self.active_seconds / self.step * (self.plan.total_steps - self.step)


_RUN = ", ".join(field.name for field in fields(Run))  # not *: an audit is long, and seldom wanted


class StoreError(OSError):
    """The store could not be written: a full disk, a folder without write permission, a lock held for half a minute."""


class RunStore:
    """The only SQL of the project. One object serves all threads of a process; each thread gets its own connection.

    Whatever writes raises `StoreError`, with nothing half-written, where the file cannot be written.

    Raises:
        RuntimeError: the file was written by a newer Thaw.
    """

    def __init__(self, database: Path) -> None:
        self._database = database
        self._local = threading.local()
        migrate(self._connection)

    @property
    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            # Kept open: opening and closing for each write costs 7 ms.
            connection = sqlite3.connect(self._database, isolation_level=None, timeout=30)
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA journal_mode = WAL")
            # FULL, not NORMAL: in WAL mode NORMAL may lose the last commits when the power goes.
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
            self._local.connection = connection
        return connection

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")
        except BaseException as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            if isinstance(error, sqlite3.OperationalError):
                remedy = "free some space, or set THAW_HOME to another folder"
                raise StoreError(f"The store {self._database} cannot be written ({error}); {remedy}.") from error
            raise

    def close(self) -> None:
        """Close this thread's connection. Another call opens it again."""
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is not None:
            connection.close()
            self._local.connection = None

    # Runs

    def create_run(self, config: RunConfig) -> str:
        """Insert a queued run and return its id, which sorts by time: `20261123-102233-a1b2`."""
        now = time.time()
        run_id = time.strftime("%Y%m%d-%H%M%S", time.localtime(now)) + "-" + secrets.token_hex(2)
        with self._transaction() as connection:
            connection.execute(
                "INSERT INTO runs (id, created, config, status) VALUES (?, ?, ?, ?)",
                (run_id, now, config.to_json(), RunStatus.QUEUED),
            )
        return run_id

    def run(self, run_id: str) -> Run:
        """The run with this id.

        Raises:
            KeyError: there is none.
        """
        row = self._connection.execute(f"SELECT {_RUN} FROM runs WHERE id = ?", (run_id,)).fetchone()
        if row is None:
            raise _unknown(run_id)
        return _run(row)

    def runs(self, limit: int = 50, active: bool | None = None) -> list[Run]:
        """The newest runs, newest first; with `active` only those that still have (or have no longer) a process."""
        statuses = [status for status in RunStatus if active is None or status.active == active]
        marks = ", ".join("?" * len(statuses))
        query = f"SELECT {_RUN} FROM runs WHERE status IN ({marks}) ORDER BY created DESC, id DESC LIMIT ?"
        return [_run(row) for row in self._connection.execute(query, (*statuses, limit))]

    def delete_run(self, run_id: str) -> None:
        """Forget a run and all its rows. Its folder is the caller's to remove."""
        with self._transaction() as connection:
            connection.execute("DELETE FROM runs WHERE id = ?", (run_id,))

    def set_process(self, run_id: str, pid: int, process_started: float) -> None:
        """Remember which process works on the run: a pid alone may belong to somebody else by now."""
        self._update(run_id, pid=pid, process_started=process_started)

    def begin(self, run_id: str, plan: RunPlan) -> None:
        """The run has its model and data and takes its first step now."""
        self._update(run_id, status=RunStatus.RUNNING, activity="", activity_share=None, started=time.time(), plan=_PLAN.dump_json(plan).decode())

    def set_status(self, run_id: str, status: RunStatus, activity: str = "", share: float | None = None) -> None:
        """Move an active run between its states. `activity` says what it is doing, for a person; `share` from 0 to 1 how much of that is done."""
        self._update(run_id, status=status, activity=activity, activity_share=share)

    def end(self, run_id: str, status: RunStatus, result: RunResult | None = None, error: str | None = None) -> None:
        """The run has ended with `status`: the worker's own word. Commands still open get an error: nobody is left to obey them."""
        text = _RESULT.dump_json(result).decode() if result else None
        with self._transaction() as connection:
            connection.execute(
                "UPDATE runs SET status = ?, activity = '', activity_share = NULL, ended = ?, result = ?, error = ? WHERE id = ?",
                (status, time.time(), text, error, run_id),
            )
            connection.execute(_REFUSE_COMMANDS, (f"the run had already ended ({status})", run_id))

    def lose(self, run_id: str, error: str) -> bool:
        """The run's process is gone. False if the run has ended after all: what a worker said of itself is never overwritten."""
        active = [status for status in RunStatus if status.active]
        with self._transaction() as connection:
            changed = connection.execute(
                "UPDATE runs SET status = ?, activity = '', activity_share = NULL, ended = ?, error = ?"
                f" WHERE id = ? AND status IN ({', '.join('?' * len(active))})",
                (RunStatus.LOST, time.time(), error, run_id, *active),
            ).rowcount
            if changed:
                connection.execute(_REFUSE_COMMANDS, ("the run's process is gone", run_id))
        return changed > 0

    def _update(self, run_id: str, **columns: Any) -> None:
        assignments = ", ".join(f"{name} = ?" for name in columns)
        with self._transaction() as connection:
            connection.execute(f"UPDATE runs SET {assignments} WHERE id = ?", (*columns.values(), run_id))

    # Steps and epochs

    def append(
        self,
        run_id: str,
        steps: StepBlock | Sequence[StepRow],
        levels: Sequence[LevelRow] = (),
        active_seconds: float | None = None,
        step_seconds: float | None = None,
        watch_seconds: float | None = None,
        times: StepTimes | None = None,
        epochs: Sequence[EpochRow] = (),
    ) -> None:
        """Add steps, and the level buckets and epochs that they completed, in one transaction. Steps count from 1 and come in order.

        The seconds are totals of the run so far, see `Run`; they and `times` stay as they are where they are None.
        """
        if not len(steps):
            return
        block = steps if isinstance(steps, StepBlock) else block_of(steps)
        with self._transaction() as connection:
            connection.executemany("INSERT INTO steps VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", step_values(run_id, block))
            connection.executemany("INSERT INTO levels VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", (level_values(run_id, row) for row in levels))
            connection.executemany(_ADD_EPOCH, [(run_id, *asdict(row).values()) for row in epochs])
            connection.execute(
                "UPDATE runs SET step = ?, epoch = ?, active_seconds = coalesce(?, active_seconds), step_seconds = coalesce(?, step_seconds),"
                " watch_seconds = coalesce(?, watch_seconds), stages = coalesce(?, stages) WHERE id = ?",
                (
                    int(block.step[-1]), int(block.epoch[-1]), active_seconds, step_seconds, watch_seconds,
                    _TIMES.dump_json(times).decode() if times else None, run_id,
                ),
            )  # fmt: skip

    def append_epoch(self, run_id: str, row: EpochRow) -> None:
        """Add a finished epoch."""
        with self._transaction() as connection:
            connection.execute(_ADD_EPOCH, (run_id, *asdict(row).values()))

    def steps_after(self, run_id: str, level: int, after: int, limit: int = 10_000) -> StepColumns:
        """Complete buckets of `level` (0: the steps themselves) that end after step `after`, oldest first."""
        if level == 0:
            query = (
                "SELECT step, loss IS NOT NULL AND abs(loss) <= 1.7976931348623157e308 AS finite, loss,"
                " loss AS loss_low, loss AS loss_high, learning_rate, gradient_norms, update_norms, weight_norms"
                " FROM steps WHERE run = ? AND step > ? ORDER BY step LIMIT ?"
            )
            rows = self._connection.execute(query, (run_id, after, limit)).fetchall()
        else:
            query = (
                "SELECT step, finite, loss, loss_low, loss_high, learning_rate, gradient_norms, update_norms, weight_norms"
                " FROM levels WHERE run = ? AND level = ? AND step > ? ORDER BY step LIMIT ?"
            )
            rows = self._connection.execute(query, (run_id, level, after, limit)).fetchall()
        return step_columns(rows)

    def last_step(self, run_id: str) -> int:
        """Number of steps recorded."""
        return int(self._connection.execute("SELECT coalesce(max(step), 0) FROM steps WHERE run = ?", (run_id,)).fetchone()[0])

    def epochs_after(self, run_id: str, after: int = 0) -> list[EpochRow]:
        """Epochs whose number is above `after`, oldest first."""
        query = (
            "SELECT epoch, step, time, train_loss, train_accuracy, validation_loss, validation_accuracy"
            " FROM epochs WHERE run = ? AND epoch > ? ORDER BY epoch"
        )
        return [_epoch(row) for row in self._connection.execute(query, (run_id, after))]

    # What was changed, looked into and proved

    def append_change(self, run_id: str, row: ChangeRow) -> None:
        """Add what holds from a step on. `row.id` is given here."""
        with self._transaction() as connection:
            connection.execute(
                "INSERT INTO changes (run, step, source, text, learning_rate, frozen, multipliers) VALUES (?, ?, ?, ?, ?, ?, ?)",
                (run_id, row.step, row.source, row.text, row.learning_rate, row.frozen.astype(np.uint8).tobytes(), as_blob(row.multipliers)),
            )

    def changes_after(self, run_id: str, after: int = 0) -> list[ChangeRow]:
        """Changes whose id is above `after`, in the order in which they were made."""
        rows = self._connection.execute(
            "SELECT id, step, source, text, learning_rate, frozen, multipliers FROM changes WHERE run = ? AND id > ? ORDER BY id", (run_id, after)
        )
        return [
            ChangeRow(
                **{
                    **dict(row),
                    "frozen": np.frombuffer(row["frozen"], np.uint8).astype(np.bool_),
                    "multipliers": np.frombuffer(row["multipliers"], "<f4"),
                }
            )
            for row in rows
        ]

    def append_inspection(self, run_id: str, row: Inspection) -> None:
        """Add the histograms of one tensor. `row.id` is given here."""
        gradient = _HISTOGRAM.dump_json(row.gradient).decode() if row.gradient else None
        with self._transaction() as connection:
            connection.execute(
                "INSERT INTO inspections (run, step, name, weight, gradient) VALUES (?, ?, ?, ?, ?)",
                (run_id, row.step, row.name, _HISTOGRAM.dump_json(row.weight).decode(), gradient),
            )

    def inspections_after(self, run_id: str, after: int = 0) -> list[Inspection]:
        """Inspections whose id is above `after`, oldest first."""
        query = "SELECT id, step, name, weight, gradient FROM inspections WHERE run = ? AND id > ? ORDER BY id"
        return [
            Inspection(
                row["id"], row["step"], row["name"], _HISTOGRAM.validate_json(row["weight"]),
                _HISTOGRAM.validate_json(row["gradient"]) if row["gradient"] else None,
            )
            for row in self._connection.execute(query, (run_id, after))
        ]  # fmt: skip

    def set_audit(self, run_id: str, report: AuditReport) -> None:
        """Keep the newest freeze audit in place of the one before."""
        self._update(run_id, audit=_AUDIT.dump_json(report).decode())

    def audit(self, run_id: str) -> AuditReport | None:
        """The newest freeze audit, None before the first. Raises KeyError for an unknown run."""
        return self._long_column(run_id, "audit", _AUDIT)

    def set_reuse(self, run_id: str, reuse: Reuse) -> None:
        """Keep what is known of kept features in place of what was known before."""
        self._update(run_id, reuse=_REUSE.dump_json(reuse).decode())

    def reuse(self, run_id: str) -> Reuse | None:
        """What is known of kept features, None before the first step. Raises KeyError for an unknown run."""
        return self._long_column(run_id, "reuse", _REUSE)

    def set_tuning(self, run_id: str, tuning: Tuning) -> None:
        """Keep how the fastest way to train was found."""
        self._update(run_id, tuning=_TUNING.dump_json(tuning).decode())

    def tuning(self, run_id: str) -> Tuning | None:
        """How the fastest way to train was found, None where nobody looked for it. Raises KeyError for an unknown run."""
        return self._long_column(run_id, "tuning", _TUNING)

    def set_findings(self, run_id: str, diagnosis: Diagnosis) -> None:
        """Keep what the doctor knows now in place of what it knew before."""
        self._update(run_id, findings=_DIAGNOSIS.dump_json(diagnosis).decode())

    def findings(self, run_id: str) -> Diagnosis | None:
        """What the doctor knows, None before its first look. Raises KeyError for an unknown run."""
        return self._long_column(run_id, "findings", _DIAGNOSIS)

    def set_profile(self, run_id: str, profile: Profile) -> None:
        """Keep the newest profile in place of the one before."""
        self._update(run_id, profile=_PROFILE.dump_json(profile).decode())

    def profile(self, run_id: str) -> Profile | None:
        """Where the time of a few steps went, None before that was looked into. Raises KeyError for an unknown run."""
        return self._long_column(run_id, "profile", _PROFILE)

    def _long_column(self, run_id: str, name: str, kind: TypeAdapter[Long]) -> Long | None:
        """A column that is no part of `Run`, because it is long and seldom wanted; None while it is empty. KeyError for an unknown run."""
        row = self._connection.execute(f"SELECT {name} FROM runs WHERE id = ?", (run_id,)).fetchone()
        if row is None:
            raise _unknown(run_id)
        return kind.validate_json(row[name]) if row[name] else None

    # Commands

    def request(self, run_id: str, kind: CommandKind, payload: str = "") -> int:
        """Ask a run to do something between two steps; returns the command's id. One to a run that has ended is kept as refused.

        Raises:
            KeyError: there is no such run.
        """
        with self._transaction() as connection:
            # Read under the lock: a run may end between a look at it and the request, and nobody would ever answer.
            row = connection.execute("SELECT step, status FROM runs WHERE id = ?", (run_id,)).fetchone()
            if row is None:
                raise _unknown(run_id)
            status = RunStatus(row["status"])
            error = None if status.active else f"the run had already ended ({status})"
            cursor = connection.execute(
                "INSERT INTO commands (run, kind, payload, requested_at, requested_at_step, error) VALUES (?, ?, ?, ?, ?, ?)",
                (run_id, kind, payload, time.time(), row["step"], error),
            )
        return int(cursor.lastrowid or 0)

    def commands(self, run_id: str, waiting: bool = False) -> list[Command]:
        """The run's commands in the order of request; with `waiting` only those not yet obeyed or refused."""
        condition = "AND applied_at_step IS NULL AND error IS NULL" if waiting else ""
        columns = "id, run AS run_id, kind, requested_at, requested_at_step, payload, applied_at_step, error"
        query = f"SELECT {columns} FROM commands WHERE run = ? {condition} ORDER BY id"
        return [Command(**{**dict(row), "kind": CommandKind(row["kind"])}) for row in self._connection.execute(query, (run_id,))]

    def acknowledge(self, command: Command, step: int, error: str | None = None) -> None:
        """The command took effect after `step` steps, or was refused with `error`."""
        with self._transaction() as connection:
            connection.execute("UPDATE commands SET applied_at_step = ?, error = ? WHERE id = ?", (step, error, command.id))


def _unknown(run_id: str) -> KeyError:
    return KeyError(f"There is no run {run_id!r}; list the runs with: python -m core runs")


def _epoch(row: sqlite3.Row) -> EpochRow:
    values = dict(row)
    # SQLite stores NaN as NULL. A validation that was measured has an accuracy, so its missing loss was NaN too.
    measured = ("train_loss", "validation_loss") if values["validation_accuracy"] is not None else ("train_loss",)
    return EpochRow(**{**values, **{name: math.nan for name in measured if values[name] is None}})


@lru_cache(maxsize=64)
def _plan(text: str) -> RunPlan:
    # Every tick of every viewer reads a plan, some hundreds of layers, that never changes.
    return _PLAN.validate_json(text)


def _run(row: sqlite3.Row) -> Run:
    values = dict(row)
    values["config"] = RunConfig.from_json(values["config"])
    values["status"] = RunStatus(values["status"])
    values["plan"] = _plan(values["plan"]) if values["plan"] else None
    values["stages"] = _TIMES.validate_json(values["stages"]) if values["stages"] else None
    values["result"] = _RESULT.validate_json(values["result"]) if values["result"] else None
    return Run(**values)
