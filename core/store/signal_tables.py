"""What was measured of runs: their steps, epochs, changes, and what was looked into. The tables of `RunStore` but for the runs themselves."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, TypeVar

import numpy as np
from pydantic import TypeAdapter

from core.records.events import AuditReport, ChangeRow, EpochRow, Histogram, Inspection, Reuse, StepBlock, StepRow
from core.records.findings import Diagnosis
from core.records.profile import Profile, StepTimes
from core.records.speed import Tuning
from core.records.summaries import LevelRow, block_of
from core.store.database import Database, Statement
from core.store.reading import TIMES, readable
from core.store.rows import StepColumns, StepRecord, as_blob, level_values, step_columns, step_record, step_values

Long = TypeVar("Long")

_AUDIT = TypeAdapter(AuditReport)
_PROFILE = TypeAdapter(Profile)
_TUNING = TypeAdapter(Tuning)
_DIAGNOSIS = TypeAdapter(Diagnosis)
_REUSE = TypeAdapter(Reuse)
_HISTOGRAM = TypeAdapter(Histogram)

ADD_STEPS = "INSERT INTO steps VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
ADD_LEVELS = "INSERT INTO levels VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
ADD_CHANGE = "INSERT INTO changes (run, step, source, text, learning_rate, frozen, multipliers) VALUES (?, ?, ?, ?, ?, ?, ?)"
ADD_EPOCH = "INSERT INTO epochs VALUES (?, ?, ?, ?, ?, ?, ?, ?)"


class SignalTables(Database):
    """The tables of what a run reports."""

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
        self._add(run_id, block, levels, epochs, progress_of(block, active_seconds, step_seconds, watch_seconds, times))

    def _add(self, run_id: str, block: StepBlock, levels: Sequence[LevelRow], epochs: Sequence[EpochRow], columns: Mapping[str, Any]) -> None:
        """Write what `append` was given, `columns` being those of the run's row."""
        self._write(*self._appending(run_id, block, levels, epochs, columns))

    def _appending(
        self, run_id: str, block: StepBlock, levels: Sequence[LevelRow], epochs: Sequence[EpochRow], columns: Mapping[str, Any]
    ) -> tuple[Statement, ...]:
        return (
            (ADD_STEPS, list(step_values(run_id, block))),
            (ADD_LEVELS, [level_values(run_id, row) for row in levels]),
            (ADD_EPOCH, [(run_id, *asdict(row).values()) for row in epochs]),
            self._assign(run_id, **columns),
        )

    def append_epoch(self, run_id: str, row: EpochRow) -> None:
        """Add a finished epoch."""
        self._write((ADD_EPOCH, [(run_id, *asdict(row).values())]))

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

    def record_after(self, run_id: str, after: int, limit: int = 4096) -> StepRecord:
        """All that was recorded of the first `limit` steps after step `after`, oldest first."""
        query = (
            "SELECT step, epoch, time, loss, learning_rate, samples_per_second, gradient_norms, update_norms, weight_norms"
            " FROM steps WHERE run = ? AND step > ? ORDER BY step LIMIT ?"
        )
        rows = self._read(query, (run_id, after, limit))
        with readable(run_id, "steps"):
            return step_record(rows)

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
        self._write((ADD_CHANGE, [change_values(run_id, row)]))

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


def _epoch(row: sqlite3.Row) -> EpochRow:
    values = dict(row)
    # SQLite stores NaN as NULL. A validation that was measured has an accuracy, so its missing loss was NaN too.
    measured = ("train_loss", "validation_loss") if values["validation_accuracy"] is not None else ("train_loss",)
    return EpochRow(**{**values, **{name: math.nan for name in measured if values[name] is None}})


def _change(row: sqlite3.Row) -> ChangeRow:
    frozen = np.frombuffer(row["frozen"], np.uint8).astype(np.bool_)
    return ChangeRow(**{**dict(row), "frozen": frozen, "multipliers": np.frombuffer(row["multipliers"], "<f4")})


def change_values(run_id: str, row: ChangeRow) -> tuple[Any, ...]:
    """A change as a row of its table, without the id."""
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
