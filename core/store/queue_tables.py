"""The queue's part of the store: which runs wait, in which order, and who is about to start one.

A queued run without a process and without a claim waits. Nothing here assumes that it has never run: one that is to be continued waits
in the same way, with its rows and its folder. Every step that two processes could take at once is one transaction that begins with the
write lock (`BEGIN IMMEDIATE`), and says in what it returns whether it was this one that took it.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Mapping
from typing import Any

from core.config.cluster import SLURM
from core.records.events import CommandKind, RunStatus
from core.store.database import Database, new_id, unknown

LAST_PLACE = "SELECT COALESCE(MAX(place), 0) FROM runs"
WAITS = "status = 'queued' AND pid IS NULL AND claimed_by IS NULL AND binned IS NULL"
"""The condition that a run waits for a place."""

HOLDS = "(status IN ('preparing', 'running', 'paused') OR status = 'queued' AND (pid IS NOT NULL OR claimed_by IS NOT NULL))"
"""The condition that a run holds a place: it has a process, should have one, or is being started. A paused one keeps its memory, so its place."""

CANCELLED = "cancelled before it began"
CANCELLED_AGAIN = "cancelled before it went on"
"""What is said of a waiting run that was cancelled: `restore_cancelled` knows it by that."""

ELSEWHERE = SLURM
"""The device of runs that others give their places to: any number of them may go on."""

_FREE = "pid = NULL, process_started = NULL, claimed_by = NULL, claimed_at = NULL"
# A config that cannot be read is its worker's to complain of.
_TARGET, _OWN_DEVICE = (f"CASE WHEN json_valid(config) THEN json_extract(config, '$.{field}') END" for field in ("target", "device"))
_DEVICE = f"CASE WHEN {_TARGET} = '{SLURM}' THEN '{ELSEWHERE}' ELSE COALESCE({_OWN_DEVICE}, 'auto') END"
_SWEEP = "(SELECT sweep FROM sweep_runs WHERE sweep_runs.run = runs.id)"
_NEXT = f"SELECT id, {_DEVICE}, {_SWEEP} FROM runs WHERE {WAITS} ORDER BY place, created, id"
REFUSE_COMMANDS = "UPDATE commands SET error = ? WHERE run = ? AND applied_at_step IS NULL AND error IS NULL"


class QueueTables(Database):
    """Waiting, claiming, cancelling and putting back."""

    def count_waiting(self) -> int:
        """How many runs wait for a place."""
        return int(self._read(f"SELECT COUNT(*) FROM runs WHERE {WAITS}")[0][0])

    def count_ended(self) -> int:
        """How many runs neither wait nor hold a place, and are not in the bin."""
        return int(self._read(f"SELECT COUNT(*) FROM runs WHERE binned IS NULL AND status <> 'queued' AND NOT {HOLDS}")[0][0])

    def devices_asked(self) -> dict[str, str]:
        """The device that each active run's config names, by run id."""
        return dict(map(tuple, self._read(f"SELECT id, {_DEVICE} FROM runs WHERE {WAITS} OR {HOLDS}")))

    def target_of(self, run_id: str) -> str:
        """Where a run is to be computed, by its config: here, slurm. Raises KeyError for an unknown run."""
        return str(self._row(f"COALESCE({_TARGET}, 'here') AS target", run_id)["target"])

    def claim(self, claimer: str, slots: int, device_of: Callable[[str], str]) -> str | None:
        """Claim the next run that a place is free for, and return its id; None: no run waits, or no place is free.

        Args:
            claimer: the process that will start it, in words that only it has.
            slots: runs that may go on at once on a device.
            device_of: from what a config names (`auto`) to the device that it means here.
        """
        if not self.count_waiting():  # most looks find none: they need not wait for a lock
            return None
        with self._unforced(), self._transaction() as connection:
            held = _held(connection, device_of)
            full: set[str] = set()  # a run that waits for its device is not passed by those behind it
            for run_id, asked, sweep in connection.execute(_NEXT).fetchall():
                device = device_of(str(asked))
                if device == ELSEWHERE or device not in full and _has_room(connection, held.get(device, []), sweep, slots):
                    _claim(connection, run_id, claimer)
                    return str(run_id)
                full.add(device)
        return None

    def claim_next(self, ended: str, process: tuple[int, float], slots: int, device_of: Callable[[str], str]) -> str | None:
        """The process (pid, when it was started) that a run of a sweep has `ended` in takes the next one of that sweep, and lets go of the other.

        None: the next run that waits for this device is none of the sweep's, or no place is free. Arguments as for `claim`.
        """
        with self._transaction() as connection:
            row = connection.execute(f"SELECT {_DEVICE}, {_SWEEP}, {HOLDS} FROM runs WHERE id = ?", (ended,)).fetchone()
            if row is None or row[1] is None or row[2]:
                return None
            connection.execute("UPDATE runs SET pid = NULL, process_started = NULL WHERE id = ? AND pid = ?", (ended, process[0]))
            device = device_of(str(row[0]))
            following = next((found for found in connection.execute(_NEXT).fetchall() if device_of(str(found[1])) == device), None)
            if following is None or following[2] != row[1]:
                return None
            if not _has_room(connection, _held(connection, device_of).get(device, []), row[1], slots):
                return None
            query = f"UPDATE runs SET pid = ?, process_started = ? WHERE id = ? AND {WAITS}"
            connection.execute(query, (*process, following[0]))
            return str(following[0])

    def claim_this(self, run_id: str, claimer: str) -> bool:
        """Claim a waiting run whatever else goes on. False: it does not wait any more.

        Raises:
            KeyError: there is no such run.
        """
        with self._transaction() as connection:
            return _waits(connection, run_id) and _claim(connection, run_id, claimer)

    def give_back(self, run_id: str, claimer: str) -> bool:
        """Whoever claimed the run did not start it: it waits again, at its old place. One that was to be stopped meanwhile is cancelled."""
        with self._transaction() as connection:
            given = connection.execute(
                f"UPDATE runs SET {_FREE} WHERE id = ? AND status = 'queued' AND pid IS NULL AND claimed_by = ?", (run_id, claimer)
            ).rowcount
            stop = "SELECT 1 FROM commands WHERE run = ? AND kind = ? AND applied_at_step IS NULL AND error IS NULL"
            if given and connection.execute(stop, (run_id, CommandKind.STOP)).fetchone():
                _cancel(connection, run_id)
        return given > 0

    def set_launched(self, run_id: str, claimer: str, pid: int, process_started: float) -> bool:
        """Remember the process that `claimer` started for the run. False: the run has another one, or the claim was given back."""
        with self._unforced(), self._transaction() as connection:
            query = "UPDATE runs SET pid = ?, process_started = ? WHERE id = ? AND status = 'queued' AND pid IS NULL AND claimed_by = ?"
            return connection.execute(query, (pid, process_started, run_id, claimer)).rowcount > 0

    def take_up(self, run_id: str, pid: int, process_started: float) -> bool:
        """A worker begins with the run. False: it must not, since another process works on it, or the run has ended meanwhile.

        Raises:
            KeyError: there is no such run.
        """
        with self._unforced(), self._transaction() as connection:
            _status(connection, run_id)
            query = "UPDATE runs SET pid = ?, process_started = ? WHERE id = ? AND status = 'queued' AND (pid IS NULL OR pid = ?)"
            return connection.execute(query, (pid, process_started, run_id, pid)).rowcount > 0

    def enqueue(self, run_id: str, columns: Mapping[str, Any] | None = None, front: bool = False) -> bool:
        """Put a run that has ended to the end of the queue, or to its `front`, with all that it has. False: it has not ended, or is in the bin.

        Args:
            columns: other columns of its row that change with it.

        Raises:
            KeyError: there is no such run.
        """
        active = [status for status in RunStatus if status.active]
        with self._transaction() as connection:
            status = _status(connection, run_id)
            return status not in active and put_back(connection, run_id, columns or {}, front)

    def cancel(self, run_id: str) -> bool:
        """End a waiting run before it begins. False: it does not wait (any more). Raises KeyError for an unknown run."""
        with self._transaction() as connection:
            return _waits(connection, run_id) and _cancel(connection, run_id)

    def restore_cancelled(self, run_id: str) -> bool:
        """Have a run that was cancelled wait again, where it stood. False: it was not, or waits already. Raises KeyError for an unknown run."""
        with self._transaction() as connection:
            _status(connection, run_id)
            query = (
                f"UPDATE runs SET status = 'queued', {_FREE}, ended = NULL, error = NULL"
                " WHERE id = ? AND status = 'stopped' AND binned IS NULL AND error IN (?, ?)"
            )
            return connection.execute(query, (run_id, CANCELLED, CANCELLED_AGAIN)).rowcount > 0

    def run_next(self, run_id: str) -> bool:
        """Move a waiting run to the front. False: it does not wait (any more). Raises KeyError for an unknown run."""
        with self._transaction() as connection:
            if not _waits(connection, run_id):
                return False
            first = connection.execute(f"SELECT MIN(place) FROM runs WHERE {WAITS}").fetchone()[0]
            connection.execute("UPDATE runs SET place = ? WHERE id = ?", ((first or 0.0) - 1, run_id))
        return True

    def move(self, run_id: str, before: str) -> bool:
        """Move a waiting run in front of another one. False: one of them does not wait (any more). Raises KeyError for an unknown run."""
        with self._transaction() as connection:
            if not (_waits(connection, run_id) and _waits(connection, before)):
                return False
            order = [(row[0], row[1]) for row in connection.execute(f"SELECT id, place FROM runs WHERE {WAITS} ORDER BY place, created, id")]
            rest = [(each, place) for each, place in order if each != run_id]
            at = [each for each, _ in rest].index(before) if before != run_id else -1
            if at < 0:
                return True
            low = (rest[at - 1][1] if at else (rest[at][1] or 0.0) - 2) or 0.0
            high = rest[at][1] or 0.0
            middle = (low + high) / 2
            if low < middle < high:
                connection.execute("UPDATE runs SET place = ? WHERE id = ?", (middle, run_id))
            else:  # halved so often that no number is left between the two
                ids = [each for each, _ in rest]
                ids.insert(at, run_id)
                first = min((place or 0.0) for _, place in order)
                connection.executemany("UPDATE runs SET place = ? WHERE id = ?", [(first + number, each) for number, each in enumerate(ids)])
        return True


def put_in(connection: sqlite3.Connection, config: str, process: tuple[int, float] | None = None) -> str:
    """Insert a queued run with this config (JSON) at the end of the queue; returns its id. `process`: the one that works on it already."""
    now = time.time()
    run_id = new_id(connection, now)
    connection.execute(
        f"INSERT INTO runs (id, created, config, status, pid, process_started, place) VALUES (?, ?, ?, ?, ?, ?, ({LAST_PLACE}) + 1)",
        (run_id, now, config, RunStatus.QUEUED, *(process or (None, None))),
    )
    return run_id


def put_back(connection: sqlite3.Connection, run_id: str, columns: Mapping[str, Any], front: bool = False) -> bool:
    """Have a run that has ended wait again, behind all others or in `front` of them. False: it is in the bin.

    Args:
        columns: other columns of its row that change with it.
    """
    more = "".join(f", {name} = ?" for name in columns)
    place = f"(SELECT COALESCE(MIN(place), 1) FROM runs WHERE {WAITS}) - 1" if front else f"({LAST_PLACE}) + 1"
    query = (
        f"UPDATE runs SET status = 'queued', {_FREE}, activity = '', activity_share = NULL, ended = NULL, error = NULL, place = {place}{more}"
        " WHERE id = ? AND binned IS NULL"
    )
    return connection.execute(query, (*columns.values(), run_id)).rowcount > 0


def _status(connection: sqlite3.Connection, run_id: str) -> str:
    row = connection.execute("SELECT status FROM runs WHERE id = ?", (run_id,)).fetchone()
    if row is None:
        raise unknown(run_id)
    return str(row[0])


def _waits(connection: sqlite3.Connection, run_id: str) -> bool:
    _status(connection, run_id)
    return connection.execute(f"SELECT 1 FROM runs WHERE id = ? AND {WAITS}", (run_id,)).fetchone() is not None


def _held(connection: sqlite3.Connection, device_of: Callable[[str], str]) -> dict[str, list[str | None]]:
    """For each device the runs that hold a place on it: of each the sweep, None for one of no sweep."""
    held: dict[str, list[str | None]] = {}
    for asked, sweep in connection.execute(f"SELECT {_DEVICE}, {_SWEEP} FROM runs WHERE {HOLDS}").fetchall():
        held.setdefault(device_of(str(asked)), []).append(sweep)
    return held


def _has_room(connection: sqlite3.Connection, held: list[str | None], sweep: str | None, slots: int) -> bool:
    """Whether a waiting run has a place beside those that are held on its device.

    Runs of a sweep that are small enough go on side by side beyond the slots, where nothing else does, once one has kept what they share.
    """
    if len(held) < slots:
        return True
    if sweep is None or any(other != sweep for other in held):
        return False
    at_once = connection.execute("SELECT at_once FROM sweeps WHERE id = ?", (sweep,)).fetchone()
    if at_once is None or len(held) >= at_once[0]:
        return False
    kept = "(status = 'finished' OR CASE WHEN json_valid(reuse) THEN json_extract(reuse, '$.state') = 'serving' END)"
    done = f"SELECT 1 FROM sweep_runs JOIN runs ON runs.id = sweep_runs.run WHERE sweep = ? AND {kept} LIMIT 1"
    return connection.execute(done, (sweep,)).fetchone() is not None


def _claim(connection: sqlite3.Connection, run_id: str, claimer: str) -> bool:
    connection.execute("UPDATE runs SET claimed_by = ?, claimed_at = ? WHERE id = ?", (claimer, time.time(), run_id))
    return True


def _cancel(connection: sqlite3.Connection, run_id: str) -> bool:
    said = f"CASE WHEN step > 0 THEN '{CANCELLED_AGAIN}' ELSE '{CANCELLED}' END"
    connection.execute(
        f"UPDATE runs SET status = ?, activity = '', activity_share = NULL, ended = ?, error = {said} WHERE id = ?",
        (RunStatus.STOPPED, time.time(), run_id),
    )
    connection.execute(REFUSE_COMMANDS, (f"the run was {CANCELLED}", run_id))
    return True
