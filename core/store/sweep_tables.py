"""The sweeps' part of the store: what each was asked, and which runs are its own. What that means is for `core.sweeps` to say.

A run knows nothing of its sweep, and no worker writes here but to say that it has given one up early: a sweep is what lies in these two tables.
"""

from __future__ import annotations

import json
import math
import sqlite3
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from core.config.limits import quoted
from core.store.database import Database, new_id
from core.store.queue_tables import HOLDS, WAITS, put_in


@dataclass(frozen=True)
class SweepRow:
    """One row of `sweeps`. Times are Unix seconds. `plan` is the JSON of a `core.sweeps.plan.Plan`."""

    id: str
    created: float
    plan: str
    stopped: float | None
    """When it was stopped; None: it goes on, or has done all that was asked."""
    at_once: int
    """How many of its runs may go on side by side where nothing else does."""
    tried: int
    """How many settings were drawn, those that no run can use included: the next has this number."""
    refused: tuple[tuple[dict[str, Any], str], ...]
    """Settings that no run can use, with the reason."""
    trouble: str
    """Why nothing more can be drawn just now; empty: it can."""


@dataclass(frozen=True)
class SweepMember:
    """A run of a sweep: its `number`, what it was `given` (field to value), and the epoch at which it was given up early, if it was."""

    run_id: str
    sweep_id: str
    number: int
    given: dict[str, Any]
    pruned: int | None


@dataclass(frozen=True)
class SweepStanding:
    """A run of a sweep and what it has come to, as its row says it: accuracies from 0 to 1, Unix times, seconds without pauses.

    `learning` numbers of the model learn; None: not known yet. `whole`: its settings can be read.
    """

    member: SweepMember
    status: str
    epoch: int
    error: str | None
    ended: float | None
    seconds: float | None
    validation_accuracy: float | None
    test_accuracy: float | None
    learning: int | None
    validation_samples: int
    whole: bool


Draw = tuple[int, Mapping[str, Any], str]
"""A number, what the run is given, and its whole config as JSON."""

_ROW = "id, created, plan, stopped, at_once, tried, refused, trouble"
_MEMBER = "run, sweep, number, given, pruned"
_LED = "json_valid(plan) AND json_extract(plan, '$.method') NOT IN ('grid', 'random')"
_RESULT = "CASE WHEN json_valid(result) THEN json_extract(result, '$.{}') END AS {}"
_STANDING = "run, sweep, number, given, pruned, status, epoch, error, ended, active_seconds, plan, json_valid(config) AS whole, " + ", ".join(
    _RESULT.format(name, name) for name in ("validation_accuracy", "test_accuracy", "seconds")
)
_HERE = "EXISTS (SELECT 1 FROM runs WHERE runs.id = sweep_runs.run AND binned IS NULL)"


class SweepTables(Database):
    """Sweeps and their runs."""

    def create_sweep(self, plan: str, at_once: int, draws: Sequence[Draw], tried: int, refused: Sequence[tuple[Mapping[str, Any], str]] = ()) -> str:
        """Remember a sweep and put its first runs at the end of the queue, all or none; returns its id, which sorts by time."""
        now = time.time()
        with self._transaction() as connection:
            sweep_id = "sweep-" + new_id(connection, now)
            connection.execute(
                "INSERT INTO sweeps (id, created, plan, at_once, tried, refused) VALUES (?, ?, ?, ?, ?, ?)",
                (sweep_id, now, plan, at_once, tried, json.dumps(list(refused))),
            )
            _add(connection, sweep_id, draws)
        return sweep_id

    def add_to_sweep(
        self, sweep_id: str, draws: Sequence[Draw], before: int, tried: int, refused: Sequence[tuple[Mapping[str, Any], str]] = (), plan: str = ""
    ) -> list[str]:
        """Queue further runs of a sweep of which `before` settings were drawn so far; empty: somebody else has drawn meanwhile, or it was stopped.

        Args:
            tried: how many are drawn now, all together.
            plan: what is asked of it from now on; empty: the same as before.

        Raises:
            KeyError: there is no such sweep.
        """
        with self._transaction() as connection:
            row = connection.execute("SELECT tried, stopped, refused, plan FROM sweeps WHERE id = ?", (sweep_id,)).fetchone()
            if row is None:
                raise unknown_sweep(sweep_id)
            if row["tried"] != before or row["stopped"] is not None:
                return []
            more = [*json.loads(row["refused"]), *refused]
            query = "UPDATE sweeps SET tried = ?, refused = ?, plan = ?, trouble = '' WHERE id = ?"
            connection.execute(query, (tried, json.dumps(more), plan or row["plan"], sweep_id))
            return _add(connection, sweep_id, draws)

    def sweep(self, sweep_id: str) -> SweepRow:
        """The sweep with this id. Raises KeyError if there is none."""
        rows = self._read(f"SELECT {_ROW} FROM sweeps WHERE id = ?", (sweep_id,))
        if not rows:
            raise unknown_sweep(sweep_id)
        return _sweep(rows[0])

    def sweeps(self, limit: int = 50) -> list[SweepRow]:
        """The newest sweeps, newest first."""
        return [_sweep(row) for row in self._read(f"SELECT {_ROW} FROM sweeps ORDER BY created DESC, id DESC LIMIT ?", (limit,))]

    def members(self, sweep_id: str) -> list[SweepMember]:
        """The runs of a sweep that are not in the bin, in the order in which they were drawn. Raises KeyError where there is no such sweep."""
        self.sweep(sweep_id)
        return [_member(row) for row in self._read(f"SELECT {_MEMBER} FROM sweep_runs WHERE sweep = ? AND {_HERE} ORDER BY number", (sweep_id,))]

    def standings(self, sweep_id: str) -> list[SweepStanding]:
        """The members of a sweep with what each has come to. Reads few columns: a sweep of 10,000 runs is looked at every two seconds."""
        query = f"SELECT {_STANDING} FROM sweep_runs JOIN runs ON runs.id = run WHERE sweep = ? AND binned IS NULL ORDER BY number"
        return [_standing(row) for row in self._read(query, (sweep_id,))]

    def member(self, run_id: str) -> SweepMember | None:
        """Which sweep a run is of, and as which; None: of none."""
        rows = self._read(f"SELECT {_MEMBER} FROM sweep_runs WHERE run = ?", (run_id,))
        return _member(rows[0]) if rows else None

    def open_members(self, sweep_id: str) -> int:
        """How many of its runs wait or go on."""
        query = f"SELECT COUNT(*) FROM runs WHERE id IN (SELECT run FROM sweep_runs WHERE sweep = ?) AND ({WAITS} OR {HOLDS})"
        return int(self._read(query, (sweep_id,))[0][0])

    def led_sweeps(self) -> list[str]:
        """The ids of the sweeps that were not stopped and of which each next run is drawn when it is wanted, oldest first."""
        led = f"stopped IS NULL AND {_LED}"
        short = "(SELECT COUNT(*) FROM sweep_runs WHERE sweep = sweeps.id) < json_extract(plan, '$.runs')"
        return [str(row["id"]) for row in self._read(f"SELECT id FROM sweeps WHERE {led} AND {short} ORDER BY created")]

    def set_sweep(self, sweep_id: str, **columns: Any) -> None:
        """Change columns of a sweep's row."""
        names = ", ".join(f"{name} = ?" for name in columns)
        self._write((f"UPDATE sweeps SET {names} WHERE id = ?", [(*columns.values(), sweep_id)]))

    def set_pruned(self, run_id: str, epoch: int) -> None:
        """A run of a sweep is given up after this epoch: others have done better by then."""
        self._write(("UPDATE sweep_runs SET pruned = ? WHERE run = ?", [(epoch, run_id)]))

    def take_in_member(self, row: SweepRow, member: SweepMember) -> None:
        """Have a run that is here be one of a sweep again, which is made where it is gone. One of which each next run is drawn stands still then."""
        with self._transaction() as connection:
            here = connection.execute("SELECT 1 FROM sweeps WHERE id = ?", (row.id,)).fetchone()
            if here is None:
                values = (row.id, row.created, row.plan, row.at_once)
                connection.execute("INSERT INTO sweeps (id, created, plan, at_once) VALUES (?, ?, ?, ?)", values)
                connection.execute(f"UPDATE sweeps SET stopped = ? WHERE id = ? AND {_LED}", (time.time(), row.id))
            connection.execute("UPDATE sweeps SET tried = max(tried, ?) WHERE id = ?", (member.number + 1, row.id))
            query = "INSERT OR IGNORE INTO sweep_runs (run, sweep, number, given, pruned) VALUES (?, ?, ?, ?, ?)"
            connection.execute(query, (member.run_id, row.id, member.number, json.dumps(member.given), member.pruned))

    def forget_sweep(self, sweep_id: str) -> None:
        """Forget a sweep; its runs stay, as runs of none."""
        self._write(("DELETE FROM sweeps WHERE id = ?", [(sweep_id,)]))

    def validation_by_epoch(self, run_ids: Sequence[str]) -> dict[str, list[tuple[int, float]]]:
        """For each of these runs (epoch, validation accuracy from 0 to 1), in order, where it was measured."""
        query = (
            "SELECT run, epoch, validation_accuracy FROM epochs WHERE run IN (SELECT value FROM json_each(?))"
            " AND validation_accuracy IS NOT NULL ORDER BY run, epoch"
        )
        found: dict[str, list[tuple[int, float]]] = {}
        for run, epoch, accuracy in self._read(query, (json.dumps(list(run_ids)),)):
            found.setdefault(str(run), []).append((int(epoch), float(accuracy)))
        return found


def unknown_sweep(sweep_id: str) -> KeyError:
    """What is raised where there is no sweep with this id."""
    return KeyError(f"There is no sweep {quoted(sweep_id)}; list the sweeps with: python -m core sweep --list")


def _add(connection: sqlite3.Connection, sweep_id: str, draws: Sequence[Draw]) -> list[str]:
    added = []
    for number, given, config in draws:
        run_id = put_in(connection, config)
        query = "INSERT INTO sweep_runs (run, sweep, number, given) VALUES (?, ?, ?, ?)"
        connection.execute(query, (run_id, sweep_id, number, json.dumps(dict(given))))
        added.append(run_id)
    return added


def _sweep(row: sqlite3.Row) -> SweepRow:
    refused = tuple((dict(given), str(reason)) for given, reason in json.loads(row["refused"]))
    return SweepRow(**{**dict(row), "refused": refused})


def _member(row: sqlite3.Row) -> SweepMember:
    return SweepMember(row["run"], row["sweep"], row["number"], json.loads(row["given"]), row["pruned"])


def _standing(row: sqlite3.Row) -> SweepStanding:
    learning, samples = _learning(row["plan"]) if isinstance(row["plan"], str) else (None, 0)
    error = None if row["error"] is None else str(row["error"])
    seconds = _number(row["seconds"]) or _number(row["active_seconds"]) or None
    accuracies = _number(row["validation_accuracy"]), _number(row["test_accuracy"])
    epoch, whole = int(_number(row["epoch"]) or 0), bool(row["whole"])
    return SweepStanding(_member(row), str(row["status"]), epoch, error, _number(row["ended"]), seconds, *accuracies, learning, samples, whole)


@lru_cache(maxsize=64)
def _learning(plan: str) -> tuple[int | None, int]:
    """How many numbers learn, and how many pictures validate; runs of a sweep have few plans between them."""
    try:
        found = json.loads(plan)
        return sum(int(layer["count"]) for layer in found["layers"] if not layer["frozen"]), int(found["validation_samples"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return None, 0


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
