"""The server's end of the learning-rate finder: trials one after the other, in a process that yields to everything else. Nobody waits here."""

from __future__ import annotations

import json
from dataclasses import dataclass

from core.config import RunConfig
from core.helpers.helper import Helper
from core.helpers.work_desk import Job, WorkDesk
from core.lab import kinds
from core.machine.home import Home
from core.machine.jobs import Starter
from core.records.evaluation import Work
from core.records.rate_curve import USUAL_STEPS, RateCurve

REMEMBERED = 64
"""Trials whose outcome is remembered."""

LEFT_OUT = (
    "learning_rate",
    "epochs",
    "timeline",
    "schedule",
    "schedule_options",
    "early_stopping",
    "watch_every",
    "watch_budget",
    "checkpoint_minutes",
    "restarts",
    "silence_seconds",
    "target",
    "partition",
    "time_limit",
    "sbatch",
    "forgetting",
    "old_task",
)
"""Fields of a config that a trial does not depend on: another value of one of them makes no other trial."""


@dataclass(frozen=True)
class Trial:
    """One trial: how far it is, and the curve once its `work.state` is "done"; "failed": `work.message` says why."""

    work: Work
    curve: RateCurve | None = None


class RateDesk(WorkDesk[Job]):
    """Trials, known by the settings that they depend on: who asks for the same again, after a refresh say, finds the same."""

    def __init__(self, home: Home, starter: Starter | None = None) -> None:
        super().__init__(Helper(home.logs / "rates.log", "--niced", starter=starter), "rate-desk")
        self._home = home

    def begin(self, config: RunConfig, steps: int = USUAL_STEPS) -> None:
        """Have rates tried for a run with these settings; `state` tells how far it is. One that failed is tried again."""
        key = self._key(config, steps)
        with self._lock:
            job = self._jobs.get(key)
            if job is not None and (job.goes_on or job.work.state == "done"):
                return
            self._number += 1
            self._jobs.pop(key, None)
            self._jobs[key] = Job(number=self._number, question=key)
            ended = [each for each, other in self._jobs.items() if not other.goes_on]
            for each in ended[: max(0, len(self._jobs) - REMEMBERED)]:
                del self._jobs[each]
            self._wake()

    def state(self, config: RunConfig, steps: int = USUAL_STEPS) -> Trial | None:
        """The trial for these settings; None: nobody has asked for one, or it was cancelled."""
        with self._lock:
            job = self._jobs.get(self._key(config, steps))
            if job is None or job.cancelled:
                return None
            return Trial(job.work, kinds.RATES.validate_python(job.answer) if job.answer is not None else None)

    def cancel(self, config: RunConfig, steps: int = USUAL_STEPS) -> None:
        """Give a trial up, if it goes on."""
        with self._lock:
            job = self._jobs.get(self._key(config, steps))
            if job is not None and job.goes_on:
                self._give_up(job)

    def _key(self, config: RunConfig, steps: int) -> str:
        values = config.model_dump(exclude=set(LEFT_OUT))
        return json.dumps({"question": "rate", "config": values, "home": str(self._home.path), "asked": {"steps": steps}})
