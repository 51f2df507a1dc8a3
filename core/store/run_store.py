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
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from pydantic import TypeAdapter

from core.config import RunConfig
from core.config.limits import quoted
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
from core.store.reading import PLAN, RESULT, TIMES, UnreadableRun, read_run, readable
from core.store.rows import StepColumns, as_blob, level_values, step_columns, step_values
from core.store.trouble import StoreError, in_words

__all__ = ["Run", "RunStore", "Statement", "StoreError", "UnreadableRun"]

Long = TypeVar("Long")

_AUDIT = TypeAdapter(AuditReport)
_PROFILE = TypeAdapter(Profile)
_TUNING = TypeAdapter(Tuning)
_DIAGNOSIS = TypeAdapter(Diagnosis)
_REUSE = TypeAdapter(Reuse)
_HISTOGRAM = TypeAdapter(Histogram)

Statement = tuple[str, Sequence[Sequence[Any]]]
"""SQL, and the rows of values that it is carried out with."""

PATIENCE = 10.0
"""Seconds that a read or a write waits while another process holds the lock."""

_ADD_STEPS = "INSERT INTO steps VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_ADD_LEVELS = "INSERT INTO levels VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_ADD_CHANGE = "INSERT INTO changes (run, step, source, text, learning_rate, frozen, multipliers) VALUES (?, ?, ?, ?, ?, ?, ?)"
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
        """Estimate in seconds, from the steps since the last change and what lies between epochs; None where none says anything."""
        if self.plan is None or self.stages is None or self.stages.pace is None or not self.status.active:
            return None
        left = max(self.plan.total_steps - self.step, 0)
        return self.stages.pace * left + self.stages.between * -(-left // max(self.plan.steps_per_epoch, 1))


@dataclass(frozen=True)
class Working:
    """What is known of the process of a run that should have one. Times are Unix seconds."""

    id: str
    created: float
    pid: int | None
    process_started: float | None


_RUN = ", ".join(field.name for field in fields(Run))  # not *: an audit is long, and seldom wanted


class RunStore:
    """The only SQL of the project. One object serves all threads of a process; each thread gets its own connection.

    Whatever reads or writes raises `StoreError`, with nothing half-written, where the file cannot be used. The next call opens it anew: a
    file that was mended, or put in place of another, is used at once.
    """

    def __init__(self, database: Path, patience: float = PATIENCE) -> None:
        """Open `database`, made if it is not there. `patience`: seconds to wait for a lock.

        Raises:
            StoreError: it cannot be opened, is not Thaw's, or was written by a newer Thaw.
        """
        self.database = database
        self._patience = patience
        self._local = threading.local()
        self._openings = 0
        with self._told():
            self._connection  # noqa: B018 opens it

    @property
    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is not None and self._local.opened != (self._openings, _identity(self.database)):
            self.close()
            connection = None
        if connection is None:
            # Kept open: opening and closing for each write costs 7 ms.
            connection = self._open()
            self._local.connection = connection
            self._local.opened = (self._openings, _identity(self.database))
        return connection

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.database, isolation_level=None, timeout=self._patience)
        try:
            connection.row_factory = sqlite3.Row
            # A byte that is no text spoils its own value, and no other row.
            connection.text_factory = lambda text: str(text, "utf-8", "replace")
            migrate(connection, self.database)  # first: what is not ours is not touched
            connection.execute("PRAGMA journal_mode = WAL")
            # FULL, not NORMAL: in WAL mode NORMAL may lose the last commits when the power goes.
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
        except BaseException:
            connection.close()
            raise
        return connection

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Within it, what SQLite complains of is said for a person, and after trouble with the file all threads open it anew."""
        try:
            yield
        except sqlite3.Error as error:
            trouble = in_words(self.database, error)
            if trouble is None:
                raise
            if trouble.kind not in ("locked", "full"):
                self._openings += 1
            raise trouble from error

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._told():
            connection = self._connection
            try:
                connection.execute("BEGIN IMMEDIATE")
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def _write(self, *statements: Statement) -> None:
        """Carry out all of them in one transaction."""
        with self._transaction() as connection:
            for sql, rows in statements:
                connection.executemany(sql, rows)

    def _read(self, query: str, values: Sequence[Any] = ()) -> list[sqlite3.Row]:
        with self._told():
            return self._connection.execute(query, values).fetchall()

    def damage(self) -> str:
        """What a look through the whole file finds wrong with it; empty if it is well."""
        found = str(self._read("PRAGMA quick_check(1)")[0][0])
        return "" if found == "ok" else found

    def _wait_for_locks(self, seconds: float) -> None:
        """How long this thread waits for a lock from now on."""
        self._patience = seconds
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is not None:
            connection.execute(f"PRAGMA busy_timeout = {int(1000 * seconds)}")

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
            UnreadableRun: its row was written by a newer Thaw, or is damaged.
        """
        return _run(self._row(_RUN, run_id))

    def runs(self, limit: int = 50, active: bool | None = None) -> list[Run]:
        """The newest runs that can be read, newest first; with `active` only those that still have (or have no longer) a process."""
        return [run for run in self._entries(active, limit, lambda run: isinstance(run, Run)) if isinstance(run, Run)]

    def entries(self, limit: int = 50, active: bool | None = None) -> list[Run | UnreadableRun]:
        """The newest runs as `runs` gives them, and in their places those that cannot be read, with the reason."""
        return self._entries(active, limit, lambda run: True)

    def _entries(self, active: bool | None, limit: int, wanted: Callable[[Run | UnreadableRun], bool]) -> list[Run | UnreadableRun]:
        going = [status for status in RunStatus if status.active]
        # A status that only a newer Thaw knows is not taken for that of a run that goes on.
        condition = "" if active is None else f"WHERE status {'' if active else 'NOT '}IN ({', '.join('?' * len(going))})"
        found: list[Run | UnreadableRun] = []
        with self._told():
            rows = self._connection.execute(f"SELECT {_RUN} FROM runs {condition} ORDER BY created DESC, id DESC", () if active is None else going)
            for row in rows:
                if len(found) >= limit:
                    break
                run = _run_or_reason(row)
                if wanted(run):
                    found.append(run)
        return found

    def ids(self) -> set[str]:
        """The ids of all runs, also of those that cannot be read."""
        return {str(row["id"]) for row in self._read("SELECT id FROM runs")}

    def processes(self) -> list[Working]:
        """The runs that should have a process, whatever else of their rows can be read."""
        going = [status for status in RunStatus if status.active]
        query = f"SELECT id, created, pid, process_started FROM runs WHERE status IN ({', '.join('?' * len(going))})"
        return [Working(*row) for row in self._read(query, going)]

    def delete_run(self, run_id: str) -> None:
        """Forget a run and all its rows. Its folder is the caller's to remove."""
        with self._transaction() as connection:
            connection.execute("DELETE FROM runs WHERE id = ?", (run_id,))

    def columns(self, run_id: str) -> dict[str, Any]:
        """All columns of a run's row as they lie in the store. Raises KeyError for an unknown run."""
        return dict(self._row("*", run_id))

    def take_in(
        self,
        columns: Mapping[str, Any],
        blocks: Sequence[StepBlock],
        levels: Sequence[LevelRow],
        epochs: Sequence[EpochRow],
        changes: Sequence[ChangeRow],
        over: bool = False,
    ) -> None:
        """Add what is known of a run and missing here, all at once; `over`: its row takes these `columns` even where it is here."""
        run_id = columns["id"]
        known = [row["name"] for row in self._read("SELECT name FROM pragma_table_info('runs')")]
        names = [name for name in columns if name in known]
        with self._transaction() as connection:
            here = connection.execute("SELECT 1 FROM runs WHERE id = ?", (run_id,)).fetchone() is not None
            values = [columns[name] for name in names]
            if here and over:
                connection.execute(f"UPDATE runs SET {', '.join(f'{name} = ?' for name in names)} WHERE id = ?", (*values, run_id))
            elif not here:
                connection.execute(f"INSERT INTO runs ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})", values)
            for sql, rows in (
                (_ADD_STEPS, [row for block in blocks for row in step_values(run_id, block)]),
                (_ADD_LEVELS, [level_values(run_id, row) for row in levels]),
                (_ADD_EPOCH, [(run_id, *asdict(row).values()) for row in epochs]),
            ):
                connection.executemany(sql.replace("INSERT", "INSERT OR IGNORE"), rows)
            there = {tuple(row) for row in connection.execute("SELECT step, source, text FROM changes WHERE run = ?", (run_id,))}
            missing = [_change_values(run_id, row) for row in changes if (row.step, row.source, row.text) not in there]
            connection.executemany(_ADD_CHANGE, missing)

    def set_process(self, run_id: str, pid: int, process_started: float) -> None:
        """Remember which process works on the run: a pid alone may belong to somebody else by now."""
        self._update(run_id, pid=pid, process_started=process_started)

    def begin(self, run_id: str, plan: RunPlan) -> None:
        """The run has its model and data and takes its first step now."""
        self._update(run_id, status=RunStatus.RUNNING, activity="", activity_share=None, started=time.time(), plan=PLAN.dump_json(plan).decode())

    def set_status(self, run_id: str, status: RunStatus, activity: str = "", share: float | None = None) -> None:
        """Move an active run between its states. `activity` says what it is doing, for a person; `share` from 0 to 1 how much of that is done."""
        self._update(run_id, status=status, activity=activity, activity_share=share)

    def end(self, run_id: str, status: RunStatus, result: RunResult | None = None, error: str | None = None) -> None:
        """The run has ended with `status`: the worker's own word. Commands still open get an error: nobody is left to obey them."""
        text = RESULT.dump_json(result).decode() if result else None
        self._write(
            self._assign(run_id, status=status, activity="", activity_share=None, ended=time.time(), result=text, error=error),
            (_REFUSE_COMMANDS, [(f"the run had already ended ({status})", run_id)]),
        )

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
        self._write(self._assign(run_id, **columns))

    def _assign(self, run_id: str, **columns: Any) -> Statement:
        """The statement that sets columns of a run's row."""
        return f"UPDATE runs SET {', '.join(f'{name} = ?' for name in columns)} WHERE id = ?", [(*columns.values(), run_id)]

    def _row(self, columns: str, run_id: str) -> sqlite3.Row:
        rows = self._read(f"SELECT {columns} FROM runs WHERE id = ?", (run_id,))
        if not rows:
            raise _unknown(run_id)
        return rows[0]

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
        columns = progress_of(block, active_seconds, step_seconds, watch_seconds, times)
        self._write(*self._appending(run_id, block, levels, epochs, columns))

    def _appending(
        self, run_id: str, block: StepBlock, levels: Sequence[LevelRow], epochs: Sequence[EpochRow], columns: Mapping[str, Any]
    ) -> tuple[Statement, ...]:
        return (
            (_ADD_STEPS, list(step_values(run_id, block))),
            (_ADD_LEVELS, [level_values(run_id, row) for row in levels]),
            (_ADD_EPOCH, [(run_id, *asdict(row).values()) for row in epochs]),
            self._assign(run_id, **columns),
        )

    def append_epoch(self, run_id: str, row: EpochRow) -> None:
        """Add a finished epoch."""
        self._write((_ADD_EPOCH, [(run_id, *asdict(row).values())]))

    def steps_after(self, run_id: str, level: int, after: int, limit: int = 10_000) -> StepColumns:
        """Complete buckets of `level` (0: the steps themselves) that end after step `after`, oldest first."""
        if level == 0:
            query = (
                "SELECT step, loss IS NOT NULL AND abs(loss) <= 1.7976931348623157e308 AS finite, loss,"
                " loss AS loss_low, loss AS loss_high, learning_rate, gradient_norms, update_norms, weight_norms"
                " FROM steps WHERE run = ? AND step > ? ORDER BY step LIMIT ?"
            )
            rows = self._read(query, (run_id, after, limit))
        else:
            query = (
                "SELECT step, finite, loss, loss_low, loss_high, learning_rate, gradient_norms, update_norms, weight_norms"
                " FROM levels WHERE run = ? AND level = ? AND step > ? ORDER BY step LIMIT ?"
            )
            rows = self._read(query, (run_id, level, after, limit))
        with readable(run_id, "steps"):
            return step_columns(rows)

    def last_step(self, run_id: str) -> int:
        """Number of steps recorded."""
        return int(self._read("SELECT coalesce(max(step), 0) FROM steps WHERE run = ?", (run_id,))[0][0])

    def epochs_after(self, run_id: str, after: int = 0) -> list[EpochRow]:
        """Epochs whose number is above `after`, oldest first."""
        query = (
            "SELECT epoch, step, time, train_loss, train_accuracy, validation_loss, validation_accuracy"
            " FROM epochs WHERE run = ? AND epoch > ? ORDER BY epoch"
        )
        return [_epoch(row) for row in self._read(query, (run_id, after))]

    # What was changed, looked into and proved

    def append_change(self, run_id: str, row: ChangeRow) -> None:
        """Add what holds from a step on. `row.id` is given here."""
        self._write((_ADD_CHANGE, [_change_values(run_id, row)]))

    def changes_after(self, run_id: str, after: int = 0) -> list[ChangeRow]:
        """Changes whose id is above `after`, in the order in which they were made."""
        query = "SELECT id, step, source, text, learning_rate, frozen, multipliers FROM changes WHERE run = ? AND id > ? ORDER BY id"
        with readable(run_id, "changes"):
            return [_change(row) for row in self._read(query, (run_id, after))]

    def append_inspection(self, run_id: str, row: Inspection) -> None:
        """Add the histograms of one tensor. `row.id` is given here."""
        gradient = _HISTOGRAM.dump_json(row.gradient).decode() if row.gradient else None
        self._write(
            (
                "INSERT INTO inspections (run, step, name, weight, gradient) VALUES (?, ?, ?, ?, ?)",
                [(run_id, row.step, row.name, _HISTOGRAM.dump_json(row.weight).decode(), gradient)],
            )
        )

    def inspections_after(self, run_id: str, after: int = 0) -> list[Inspection]:
        """Inspections whose id is above `after`, oldest first."""
        query = "SELECT id, step, name, weight, gradient FROM inspections WHERE run = ? AND id > ? ORDER BY id"
        with readable(run_id, "histograms"):
            return [
                Inspection(
                    row["id"], row["step"], row["name"], _HISTOGRAM.validate_json(row["weight"]),
                    _HISTOGRAM.validate_json(row["gradient"]) if row["gradient"] else None,
                )
                for row in self._read(query, (run_id, after))
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
        text = self._row(name, run_id)[name]
        with readable(run_id, name):
            return kind.validate_json(text) if text else None

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
        kinds = ", ".join(f"'{kind}'" for kind in CommandKind)  # what only a newer Thaw can ask for is no command here
        columns = "id, run AS run_id, kind, requested_at, requested_at_step, payload, applied_at_step, error"
        query = f"SELECT {columns} FROM commands WHERE run = ? AND kind IN ({kinds}) {condition} ORDER BY id"
        with readable(run_id, "commands"):
            return [Command(**{**dict(row), "kind": CommandKind(row["kind"])}) for row in self._read(query, (run_id,))]

    def acknowledge(self, command: Command, step: int, error: str | None = None) -> None:
        """The command took effect after `step` steps, or was refused with `error`."""
        self._write(("UPDATE commands SET applied_at_step = ?, error = ? WHERE id = ?", [(step, error, command.id)]))


def _unknown(run_id: str) -> KeyError:
    return KeyError(f"There is no run {quoted(run_id)}; list the runs with: python -m core runs")


def _epoch(row: sqlite3.Row) -> EpochRow:
    values = dict(row)
    # SQLite stores NaN as NULL. A validation that was measured has an accuracy, so its missing loss was NaN too.
    measured = ("train_loss", "validation_loss") if values["validation_accuracy"] is not None else ("train_loss",)
    return EpochRow(**{**values, **{name: math.nan for name in measured if values[name] is None}})


def _run_or_reason(row: sqlite3.Row) -> Run | UnreadableRun:
    try:
        return _run(row)
    except UnreadableRun as error:
        return error


def _run(row: sqlite3.Row) -> Run:
    return Run(**read_run(row))


def _change(row: sqlite3.Row) -> ChangeRow:
    frozen = np.frombuffer(row["frozen"], np.uint8).astype(np.bool_)
    return ChangeRow(**{**dict(row), "frozen": frozen, "multipliers": np.frombuffer(row["multipliers"], "<f4")})


def _change_values(run_id: str, row: ChangeRow) -> tuple[Any, ...]:
    return run_id, row.step, row.source, row.text, row.learning_rate, row.frozen.astype(np.uint8).tobytes(), as_blob(row.multipliers)


def progress_of(
    block: StepBlock, active_seconds: float | None, step_seconds: float | None, watch_seconds: float | None, times: StepTimes | None
) -> dict[str, Any]:
    """The columns of a run's row that these steps change."""
    columns = {
        "step": int(block.step[-1]),
        "epoch": int(block.epoch[-1]),
        "active_seconds": active_seconds,
        "step_seconds": step_seconds,
        "watch_seconds": watch_seconds,
        "stages": TIMES.dump_json(times).decode() if times else None,
    }
    return {name: value for name, value in columns.items() if value is not None}


def _identity(file: Path) -> tuple[int, int] | None:
    """Which file lies there now: another one of the same name is another one."""
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
