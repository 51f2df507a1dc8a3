"""Runs that go on after their process ended: asked for, cut back to the step of a checkpoint, and what the worker proved then."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.config import ConfigError, RunConfig
from core.records.events import ChangeRow, RunStatus, StepBlock, StepRow
from core.records.summaries import block_of
from core.store.database import unknown
from core.store.queue_tables import REFUSE_COMMANDS, put_back
from core.store.signal_tables import SignalTables

_AT_ONCE = 4096
"""Steps of a block that is read back."""


@dataclass(frozen=True)
class Cut:
    """Where a run goes on: behind `step` steps, `epochs` whole epochs and `changes` changes of its plan."""

    step: int
    epochs: int
    changes: int


@dataclass(frozen=True)
class ResumeRequest:
    """How a run was asked to go on.

    `accept_other_bits`: also where this machine or torch computes other bits, which is marked then. `epochs`: to so many in all; None: as
    many as it was begun with.
    """

    accept_other_bits: bool = False
    epochs: int | None = None


class ContinuedRuns(SignalTables):
    """What the store knows of runs that go on."""

    def ask_to_resume(self, run_id: str, request: ResumeRequest, process: tuple[int, float] | None = None) -> None:
        """Put a run that has ended behind those that wait, unless a `process` (see `create_run`) works on it. Of two who ask at once one is refused.

        With `epochs` its config has that number from here on; whether the rest stays the same is for `core.worker.training_on` to say.

        Raises:
            ConfigError: on `run`, it is going on, or is finished and is not to train for more epochs; on `epochs`, they cannot be had.
            KeyError: there is no such run.
        """
        with self._transaction() as connection:
            row = connection.execute("SELECT status, ended, config FROM runs WHERE id = ? AND binned IS NULL", (run_id,)).fetchone()
            if row is None:
                raise unknown(run_id)
            status = RunStatus(row["status"])
            if status.active or (request.epochs is None and not status.continuable):
                why = "its process works on it" if status.active else "all its steps are done; train it on with --epochs N"
                raise ConfigError("run", f"{run_id} cannot be continued: it is {status}, {why}; continue one that was stopped, interrupted or lost")
            before = {"status": status, "ended": row["ended"]}
            columns = {}
            if request.epochs is not None:
                before["config"] = row["config"]
                columns["config"] = RunConfig.from_json(row["config"]).replace(epochs=request.epochs).to_json()
            asked = {"accept_other_bits": request.accept_other_bits, "epochs": request.epochs, "before": before}
            put_back(connection, run_id, {"resume": json.dumps(asked), **columns})
            if process is not None:
                connection.execute("UPDATE runs SET pid = ?, process_started = ? WHERE id = ?", (*process, run_id))

    def resume_request(self, run_id: str) -> ResumeRequest | None:
        """How the run was asked to go on; None for one that begins. Raises KeyError for an unknown run."""
        text = self._row("resume", run_id)["resume"]
        asked = json.loads(text) if text else {}
        return ResumeRequest(bool(asked.get("accept_other_bits")), asked.get("epochs")) if text else None

    def refuse_to_resume(self, run_id: str, error: str) -> None:
        """The run cannot go on, and nothing of it was changed: it is again as it was before it was asked to, with the reason."""
        before = json.loads(self._row("resume", run_id)["resume"])["before"]
        status = RunStatus(before["status"])
        columns = {"config": before["config"]} if "config" in before else {}
        self._write(
            self._assign(run_id, status=status, ended=before["ended"], error=error, activity="", activity_share=None, **columns),
            (REFUSE_COMMANDS, [(f"the run had ended ({status})", run_id)]),
        )

    def say_continued(self, run_id: str, line: str) -> None:
        """Keep a sentence on how the run went on, behind those of earlier times."""
        self._update(run_id, continued=json.dumps([*self.continued(run_id), line]))

    def continued(self, run_id: str) -> list[str]:
        """How the run went on each time, oldest first. Raises KeyError for an unknown run."""
        text = self._row("continued", run_id)["continued"]
        return [str(line) for line in json.loads(text)] if text else []

    def cut(self, run_id: str, at: Cut) -> list[ChangeRow]:
        """Forget what came after a checkpoint, all at once: it will be done again. Histograms that were asked for stay, they come out the same.

        Returns:
            The changes that were forgotten, in their order: those that a person made are to be made again.
        """
        rows = self._read("SELECT id FROM changes WHERE run = ? ORDER BY id LIMIT 1 OFFSET ?", (run_id, at.changes))
        dropped = self.changes_after(run_id, int(rows[0]["id"]) - 1) if rows else []
        with self._transaction() as connection:
            connection.execute("DELETE FROM steps WHERE run = ? AND step > ?", (run_id, at.step))
            connection.execute("DELETE FROM levels WHERE run = ? AND step > ?", (run_id, at.step))
            connection.execute("DELETE FROM epochs WHERE run = ? AND epoch > ?", (run_id, at.epochs))
            connection.execute("DELETE FROM forgetting WHERE run = ? AND step > ?", (run_id, at.step))
            connection.executemany("DELETE FROM changes WHERE id = ?", [(change.id,) for change in dropped])
            last = connection.execute("SELECT max(epoch) FROM steps WHERE run = ?", (run_id,)).fetchone()[0]
            connection.execute("UPDATE runs SET step = ?, epoch = ? WHERE id = ?", (at.step, last or 0, run_id))
        return dropped

    def blocks(self, run_id: str) -> list[StepBlock]:
        """All steps of a run, oldest first."""
        query = (
            "SELECT step, epoch, time, loss, learning_rate, samples_per_second, gradient_norms, update_norms, weight_norms"
            " FROM steps WHERE run = ? AND step > ? ORDER BY step LIMIT ?"
        )
        blocks: list[StepBlock] = []
        after = 0
        while rows := self._read(query, (run_id, after, _AT_ONCE)):
            blocks.append(block_of([_step(dict(row)) for row in rows]))
            after = int(rows[-1]["step"])
        return blocks


def _step(values: dict[str, object]) -> StepRow:
    norms = {
        name: None if values[name] is None else np.frombuffer(values[name], "<f4")  # type: ignore[call-overload]
        for name in ("gradient_norms", "update_norms", "weight_norms")
    }
    numbers = {name: math.nan if value is None else value for name, value in values.items() if name not in norms}
    return StepRow(**numbers, **norms)  # type: ignore[arg-type]


def changes_of_a_person(changes: Sequence[ChangeRow]) -> list[tuple[int, str]]:
    """The changes that the timeline does not make by itself: (the step from which they held, their text)."""
    return [(change.step, change.text) for change in changes if change.source == "live"]
