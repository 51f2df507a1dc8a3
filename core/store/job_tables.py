"""Jobs of a cluster that work on runs: one row each, with how far its reports were brought in. No other table knows where a run is computed."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from core.records.events import Command, RunStatus
from core.store.database import Database


@dataclass(frozen=True)
class JobRow:
    """A job. Times are Unix seconds.

    `number` counts a run's jobs from 1, `job` is what the cluster calls it (empty: it was not taken yet), `executor` who started it, `state` and
    `reason` what the cluster said last, at `looked`. Of its reports `imported` bytes are in the store, `skipped` lines could not be read;
    `trouble` says why no more are read.
    """

    run: str
    number: int
    executor: str
    job: str
    state: str
    reason: str
    node: str
    submitted: float
    looked: float
    imported: int
    skipped: int
    trouble: str
    cancelled: float | None
    ended: float | None


_JOB = ", ".join(field.name for field in fields(JobRow))


class JobTables(Database):
    """Submitted, looked after, ended."""

    def open_jobs(self) -> list[JobRow]:
        """The jobs that are not over, oldest first."""
        return [JobRow(*row) for row in self._read(f"SELECT {_JOB} FROM jobs WHERE ended IS NULL ORDER BY submitted, run")]

    def jobs_of(self, run_id: str) -> list[JobRow]:
        """All jobs of a run, oldest first."""
        return [JobRow(*row) for row in self._read(f"SELECT {_JOB} FROM jobs WHERE run = ? ORDER BY number", (run_id,))]

    def add_job(self, run_id: str, claimer: str, executor: str) -> int | None:
        """A job will work on the run that `claimer` has claimed: its number. None: the claim is not good any more, or a job works on it already."""
        with self._transaction() as connection:
            claimed = "SELECT 1 FROM runs WHERE id = ? AND status = 'queued' AND pid IS NULL AND claimed_by = ?"
            still = connection.execute("SELECT 1 FROM jobs WHERE run = ? AND ended IS NULL", (run_id,)).fetchone()
            if still or not connection.execute(claimed, (run_id, claimer)).fetchone():
                return None
            number = int(connection.execute("SELECT coalesce(max(number), 0) + 1 FROM jobs WHERE run = ?", (run_id,)).fetchone()[0])
            connection.execute("INSERT INTO jobs (run, number, executor, submitted) VALUES (?, ?, ?, ?)", (run_id, number, executor, time.time()))
        return number

    def job_taken(self, run_id: str, number: int, job: str, activity: str) -> None:
        """The cluster has taken the job, and calls it `job`: its run is prepared from here on, whoever claimed it."""
        with self._transaction() as connection:
            connection.execute("UPDATE jobs SET job = ? WHERE run = ? AND number = ?", (job, run_id, number))
            connection.execute("UPDATE runs SET status = ?, activity = ? WHERE id = ? AND status = 'queued'", (RunStatus.PREPARING, activity, run_id))

    def job_not_taken(self, run_id: str, number: int, reason: str) -> None:
        """The cluster has not taken the job. Its number is not given again: somebody may have died between asking and hearing the answer."""
        query = "UPDATE jobs SET ended = ?, state = 'REFUSED', reason = ? WHERE run = ? AND number = ? AND job = '' AND ended IS NULL"
        self._write((query, [(time.time(), reason, run_id, number)]))

    def job_seen(self, run_id: str, number: int, state: str, reason: str, node: str, activity: str | None) -> None:
        """What the cluster says of the job now; `activity`: what is shown of its run for that while it is prepared and nothing was reported."""
        with self._transaction() as connection:
            columns = "state = ?, reason = ?, node = ?, looked = ?"
            connection.execute(f"UPDATE jobs SET {columns} WHERE run = ? AND number = ?", (state, reason, node, time.time(), run_id, number))
            if activity is not None:
                silent = "(SELECT imported FROM jobs WHERE jobs.run = runs.id AND number = ?) = 0"
                query = f"UPDATE runs SET activity = ? WHERE id = ? AND status = 'preparing' AND activity <> ? AND {silent}"
                connection.execute(query, (activity, run_id, activity, number))

    def job_cancelled(self, run_id: str, number: int) -> None:
        """Somebody wants the job to end."""
        self._write(("UPDATE jobs SET cancelled = coalesce(cancelled, ?) WHERE run = ? AND number = ?", [(time.time(), run_id, number)]))

    def job_ended(self, run_id: str, number: int, error: str | None = None) -> bool:
        """The job is over. False: it was before. `error`: what is said of its run where that was interrupted and does not say why."""
        with self._transaction() as connection:
            query = "UPDATE jobs SET ended = ? WHERE run = ? AND number = ? AND ended IS NULL"
            changed = connection.execute(query, (time.time(), run_id, number)).rowcount
            if changed and error is not None:
                connection.execute("UPDATE runs SET error = ? WHERE id = ? AND status = 'interrupted' AND error IS NULL", (error, run_id))
        return changed > 0

    def job_refused(self, run_id: str, number: int, trouble: str) -> None:
        """No more of its reports are read."""
        self._write(("UPDATE jobs SET trouble = ? WHERE run = ? AND number = ?", [(trouble, run_id, number)]))

    def imported(self, run_id: str, number: int) -> int | None:
        """How many bytes of a job's reports are in the store; None: it is over, or none are read any more."""
        query = "SELECT imported FROM jobs WHERE run = ? AND number = ? AND ended IS NULL AND trouble = ''"
        rows = self._read(query, (run_id, number))
        return int(rows[0][0]) if rows else None

    def set_imported(self, run_id: str, number: int, imported: int, skipped: int) -> None:
        """So many bytes of a job's reports are in the store; of them `skipped` more lines could not be read."""
        self._write(("UPDATE jobs SET imported = ?, skipped = skipped + ? WHERE run = ? AND number = ?", [(imported, skipped, run_id, number)]))

    def set_moments(self, run_id: str, **moments: float) -> None:
        """When a run began (`started`) or `ended`, by the clock of the machine that works on it (Unix seconds)."""
        self._update(run_id, **{name: moments[name] for name in ("started", "ended") if name in moments})

    def take_commands(self, run_id: str, commands: list[Command]) -> None:
        """Commands that were asked for in another store, with the ids that they have there. Those that are here stay as they are."""
        rows: list[tuple[Any, ...]] = [(each.id, run_id, each.kind, each.payload, each.requested_at, each.requested_at_step) for each in commands]
        query = "INSERT OR IGNORE INTO commands (id, run, kind, payload, requested_at, requested_at_step) VALUES (?, ?, ?, ?, ?, ?)"
        self._write((query, rows))


class Unfit(ValueError):
    """The store cannot hold what it was told: the text says why."""


class Nesting(Database):
    """Whose transactions inside another one are part of that one."""

    def __init__(self, database: Path) -> None:
        self._within = threading.local()
        super().__init__(database)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        outer: sqlite3.Connection | None = getattr(self._within, "connection", None)
        if outer is not None:
            yield outer
            return
        with super()._transaction() as connection:
            self._within.connection = connection
            try:
                yield connection
            finally:
                self._within.connection = None

    @contextmanager
    def _apart(self) -> Iterator[None]:
        """Within a transaction: what is done in it is taken back where it fails, and nothing else is. Raises `Unfit` for what cannot be held."""
        with self._transaction() as connection:
            connection.execute("SAVEPOINT apart")
            try:
                yield
            except BaseException as error:
                connection.execute("ROLLBACK TO apart")
                connection.execute("RELEASE apart")
                if isinstance(error, sqlite3.IntegrityError | sqlite3.DataError | sqlite3.InterfaceError | OverflowError | UnicodeError):
                    raise Unfit(f"{type(error).__name__}: {error}") from None
                raise
            connection.execute("RELEASE apart")
