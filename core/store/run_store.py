"""`RunStore`: everything that is remembered about runs, in one SQLite file that server, workers and command line share.

WAL mode, so readers never wait for the writer. A step is one row with all gradient norms in one float32 blob; beside the
rows lie their power-of-two summaries (*levels*): a bucket of level `k` stands for `2**k` consecutive steps. A chart of any length of
history reads about a thousand rows from the level that fits.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from core.config import RunConfig
from core.records.events import ChangeRow, Command, CommandKind, EpochRow, RunPlan, RunResult, RunStatus, StepBlock
from core.records.forks import Fork
from core.records.labels import NONE, Labels
from core.records.profile import StepTimes
from core.records.summaries import LevelRow
from core.store.bin_tables import BinTables
from core.store.compare_tables import CompareTables
from core.store.continued import ContinuedRuns
from core.store.database import unknown
from core.store.forgetting_tables import ForgettingTables
from core.store.fork_tables import ForkTables
from core.store.job_tables import JobTables
from core.store.label_tables import LABELS, LabelTables
from core.store.queue_tables import HOLDS, REFUSE_COMMANDS, WAITS, QueueTables, put_in
from core.store.reading import PLAN, RESULT, UnreadableRun, read_run, readable
from core.store.rows import level_values, step_values
from core.store.signal_tables import ADD_CHANGE, ADD_EPOCH, ADD_LEVELS, ADD_STEPS, change_values
from core.store.sweep_tables import SweepTables


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
    place: float | None = None
    """Where it stands in the queue: the lower, the earlier."""
    claimed_by: str | None = None
    """The process that is about to start it, or did."""
    binned: float | None = None
    """When it was put into the bin; None: it is not there."""
    labels: Labels = NONE
    """What people call it."""
    fork: Fork | None = None
    """Where it branched off from another run; None: it began by itself."""

    @property
    def waits(self) -> bool:
        """True while it waits in the queue for a place."""
        return self.status == RunStatus.QUEUED and self.pid is None and self.claimed_by is None and self.binned is None

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
    status: str = RunStatus.RUNNING
    claimed_by: str | None = None
    claimed_at: float | None = None

    @property
    def claimed(self) -> bool:
        """True while a process is to start it, and none is known that works on it yet."""
        return self.status == RunStatus.QUEUED and self.pid is None and self.claimed_by is not None


_RUN = ", ".join(LABELS if field.name == "labels" else field.name for field in fields(Run))  # not *: an audit is long, and seldom wanted


class RunStore(ContinuedRuns, QueueTables, BinTables, LabelTables, CompareTables, ForkTables, ForgettingTables, SweepTables, JobTables):
    """The only SQL of the project. One object serves all threads of a process; each thread gets its own connection.

    Whatever reads or writes raises `StoreError`, with nothing half-written, where the file cannot be used.
    """

    # Runs

    def create_run(self, config: RunConfig, process: tuple[int, float] | None = None) -> str:
        """Insert a queued run and return its id, which sorts by time: `20261123-102233-a1b2`.

        It waits at the end of the queue, unless a `process` (its pid and when it was started) works on it already.
        """
        with self._transaction() as connection:
            return put_in(connection, config.to_json(), process)

    def run(self, run_id: str) -> Run:
        """The run with this id.

        Raises:
            KeyError: there is none.
            UnreadableRun: its row was written by a newer Thaw, or is damaged.
        """
        return _run(self._row(_RUN, run_id))

    def runs(self, limit: int = 50, active: bool | None = None, binned: bool = False) -> list[Run]:
        """The newest runs that can be read, newest first; with `active` only those that still have (or have no longer) a process.

        Those in the bin are left out, unless `binned` asks for them: then they alone are listed.
        """
        found = self._entries(active, limit, lambda run: isinstance(run, Run), binned)
        return [run for run in found if isinstance(run, Run)]

    def entries(
        self, limit: int = 50, active: bool | None = None, binned: bool = False, among: Collection[str] | None = None
    ) -> list[Run | UnreadableRun]:
        """The newest runs as `runs` gives them, and in their places those that cannot be read, with the reason. `among`: these ids alone."""
        return self._entries(active, limit, lambda run: True, binned, among)

    def waiting_runs(self, limit: int = -1) -> list[Run | UnreadableRun]:
        """The runs that wait for a place, the next one first; at most `limit`, -1: all."""
        return self._listed(f"{WAITS} ORDER BY place, created, id LIMIT ?", (limit,))

    def holding_runs(self, limit: int = -1) -> list[Run | UnreadableRun]:
        """The runs that hold a place, newest first: those with a process, also paused ones, and those that are being started."""
        return self._listed(f"{HOLDS} ORDER BY created DESC, id DESC LIMIT ?", (limit,))

    def _listed(self, condition: str, values: tuple[Any, ...]) -> list[Run | UnreadableRun]:
        return [_run_or_reason(row) for row in self._read(f"SELECT {_RUN} FROM runs WHERE {condition}", values)]

    def _entries(
        self, active: bool | None, limit: int, wanted: Callable[[Run | UnreadableRun], bool], binned: bool, among: Collection[str] | None = None
    ) -> list[Run | UnreadableRun]:
        going = [status for status in RunStatus if status.active]
        # A status that only a newer Thaw knows is not taken for that of a run that goes on.
        condition = "" if active is None else f"AND status {'' if active else 'NOT '}IN ({', '.join('?' * len(going))})"
        values: list[Any] = [] if active is None else list(going)
        if among is not None:
            condition += " AND id IN (SELECT value FROM json_each(?))"
            values.append(json.dumps(list(among)))
        query = f"SELECT {_RUN} FROM runs WHERE binned IS {'NOT ' if binned else ''}NULL {condition} ORDER BY created DESC, id DESC"
        found: list[Run | UnreadableRun] = []
        with self._told():
            for row in self._connection.execute(query, values):
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
        """The runs that should have a process, or are to get one; not those that wait in the queue. Whatever else of their rows can be read."""
        columns = "id, created, pid, process_started, status, claimed_by, claimed_at"
        return [Working(*row) for row in self._read(f"SELECT {columns} FROM runs WHERE {HOLDS}")]

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
        labels: Labels | None = None,
    ) -> None:
        """Add what is known of a run and missing here, all at once; `over`: its row takes these `columns` even where it is here.

        One that is here is called what it is called here; `labels` are for one that is not.
        """
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
                connection.execute(*self._labelling(run_id, labels or NONE))
            for sql, rows in (
                (ADD_STEPS, [row for block in blocks for row in step_values(run_id, block)]),
                (ADD_LEVELS, [level_values(run_id, row) for row in levels]),
                (ADD_EPOCH, [(run_id, *asdict(row).values()) for row in epochs]),
            ):
                connection.executemany(sql.replace("INSERT", "INSERT OR IGNORE"), rows)
            there = {tuple(row) for row in connection.execute("SELECT step, source, text FROM changes WHERE run = ?", (run_id,))}
            missing = [change_values(run_id, row) for row in changes if (row.step, row.source, row.text) not in there]
            connection.executemany(ADD_CHANGE, missing)

    def set_process(self, run_id: str, pid: int, process_started: float) -> None:
        """Remember which process works on the run: a pid alone may belong to somebody else by now."""
        with self._unforced():
            self._update(run_id, pid=pid, process_started=process_started)

    def begin(self, run_id: str, plan: RunPlan) -> None:
        """The run has its model and data and takes its first step now, or its next: what it had come to before holds no more."""
        plan_text = PLAN.dump_json(plan).decode()
        self._update(run_id, status=RunStatus.RUNNING, activity="", activity_share=None, started=time.time(), plan=plan_text, result=None)

    def set_status(self, run_id: str, status: RunStatus, activity: str = "", share: float | None = None) -> None:
        """Move an active run between its states. `activity` says what it is doing, for a person; `share` from 0 to 1 how much of that is done."""
        self._update(run_id, status=status, activity=activity, activity_share=share)

    def end(self, run_id: str, status: RunStatus, result: RunResult | None = None, error: str | None = None) -> None:
        """The run has ended with `status`: the worker's own word. Commands still open get an error: nobody is left to obey them."""
        text = RESULT.dump_json(result).decode() if result else None
        self._write(
            self._assign(run_id, status=status, activity="", activity_share=None, ended=time.time(), result=text, error=error),
            (REFUSE_COMMANDS, [(f"the run had already ended ({status})", run_id)]),
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
                connection.execute(REFUSE_COMMANDS, ("the run's process is gone", run_id))
        return changed > 0

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
                raise unknown(run_id)
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


def _run_or_reason(row: sqlite3.Row) -> Run | UnreadableRun:
    try:
        return _run(row)
    except UnreadableRun as error:
        return error


def _run(row: sqlite3.Row) -> Run:
    return Run(**read_run(row))
