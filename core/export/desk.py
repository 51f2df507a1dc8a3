"""The server's end of exporting: one after the other, in a process that yields to everything else. Nobody waits here. No torch."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from core.config import ConfigError
from core.evaluation import predictions
from core.export.export import EXPORTED
from core.export.formats import find_format
from core.helpers.helper import Helper
from core.helpers.work_desk import Job, WorkDesk
from core.machine.home import Home
from core.machine.jobs import EXPORTING, Starter
from core.records.evaluation import Work
from core.records.export import Exported

REMEMBERED = 32
"""Exports whose outcome is remembered: the last of so many runs."""


@dataclass(frozen=True)
class Export:
    """The export of a run that was asked for last: what was wanted, how far it is, and what it came to once its work is done.

    `work.state` is "working", "done" or "failed" (`work.message` says why). One that was cancelled is forgotten.
    """

    format: str
    epoch: int | None
    work: Work
    made: Exported | None = None


@dataclass(kw_only=True)
class _Job(Job):
    format: str
    epoch: int | None


class ExportDesk(WorkDesk[_Job]):
    """One export a run, known by the run. What is begun is finished, whoever looks on."""

    def __init__(self, home: Home, starter: Starter | None = None) -> None:
        helper = Helper(home.logs / "exporting.log", "--home", str(home.path), "--niced", module=EXPORTING, starter=starter)
        super().__init__(helper, "export-desk")
        self._home = home

    def begin(self, run_id: str, format: str, epoch: int | None = None, output: str | Path | None = None, force: bool = False) -> None:
        """Have a run exported (arguments as of `core.export.export.export`); `state` tells how far it is.

        Raises:
            ConfigError: on `format`, there is no such one, or what it needs is not installed; on `run` or `epoch`, there is no such one; on `run`,
                another export of this run goes on. What shows later makes the work fail.
        """
        entry = find_format(format)
        entry.check_installed()
        run = predictions.find_run(self._home, run_id)
        if entry.weights or epoch is not None:
            predictions.find_checkpoint(self._home, run, epoch)
        question = {"question": "export", "run": run_id, "format": entry.name, "epoch": epoch, "output": output and str(output), "force": force}
        with self._lock:
            before = self._jobs.get(run_id)
            if before is not None and before.goes_on:
                raise ConfigError("run", f"{run_id} is being exported as {before.format}; wait for its end, or cancel it")
            self._number += 1
            self._jobs.pop(run_id, None)
            self._jobs[run_id] = _Job(number=self._number, question=json.dumps(question), format=entry.name, epoch=epoch)
            self._forget_oldest()
            self._wake()

    def state(self, run_id: str) -> Export | None:
        """The export of a run that was asked for last; None: none since the server started, or it was cancelled or dismissed."""
        with self._lock:
            job = self._jobs.get(run_id)
            if job is None or job.cancelled:
                return None
            made = EXPORTED.validate_python(job.answer) if job.answer is not None else None
            return Export(job.format, job.epoch, job.work, made)

    def cancel(self, run_id: str) -> None:
        """Give up the export of a run, if one goes on; nothing of it is left."""
        with self._lock:
            job = self._jobs.get(run_id)
            if job is not None and job.goes_on:
                self._give_up(job)

    def dismiss(self, run_id: str) -> None:
        """Forget how the last export of a run ended. What was exported stays where it is."""
        with self._lock:
            job = self._jobs.get(run_id)
            if job is not None and not job.goes_on:
                del self._jobs[run_id]

    def _forget_oldest(self) -> None:
        """Holds the lock."""
        ended = [run_id for run_id, job in self._jobs.items() if not job.goes_on]
        for run_id in ended[: max(0, len(self._jobs) - REMEMBERED)]:
            del self._jobs[run_id]
