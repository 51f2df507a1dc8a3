"""The server's end of looking through datasets: one question after the other, in a process that yields to everything else. No torch.

Nobody waits here: who asks is told how far it is. What was found is kept by the version's hash, so that only new versions cost anything.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TypeVar

from pydantic import TypeAdapter

from core.curating import checking, doubts, layout
from core.curating.checking import Check
from core.curating.doubts import Doubts
from core.curating.features import AUTO
from core.curating.layout import Map
from core.helpers.helper import Helper
from core.helpers.work_desk import Job, WorkDesk
from core.machine.home import Home
from core.machine.jobs import CURATING, Starter
from core.records.evaluation import Work
from core.versions import Version

WANTED_SECONDS = 15.0
"""Work that nobody has asked about for so long makes way for other work."""

REMEMBERED = 16
"""Answers that are remembered: what could not be kept (a picture was missing), and what failed."""

Found = TypeVar("Found")


@dataclass(kw_only=True)
class _Job(Job):
    asked: float


class CuratingDesk(WorkDesk[_Job]):
    """The process is started by the first question that nothing is known of, and ends with the server."""

    def __init__(self, home: Home, starter: Starter | None = None) -> None:
        helper = Helper(home.logs / "curating.log", "--home", str(home.path), "--niced", module=CURATING, starter=starter)
        super().__init__(helper, "curating-desk")
        self._home = home

    def check(self, version: Version, retry: bool = False) -> tuple[Work, Check | None]:
        """What is wrong with a version: how far finding out is, and what was found once it is done. `retry`: after a failure."""
        return self._known(checking.kept(self._home, version), checking.CHECK, version, retry, question="check")

    def map(self, version: Version, model: str = AUTO, method: str = "pca", retry: bool = False) -> tuple[Work, Map | None]:
        """The map of a version, as `check`."""
        return self._known(layout.kept(self._home, version, model, method), layout.MAP, version, retry, question="map", model=model, method=method)

    def doubts(self, version: Version, model: str = AUTO, retry: bool = False) -> tuple[Work, Doubts | None]:
        """The doubted labels of a version, as `check`."""
        return self._known(doubts.kept(self._home, version, model), doubts.DOUBTS, version, retry, question="doubts", model=model)

    def cancel(self, version: Version) -> None:
        """Give up all that is being found out about a version; asked again it begins anew, with the pictures that were seen already."""
        with self._lock:
            for key, job in list(self._jobs.items()):
                about = json.loads(job.question)
                if job.goes_on and (about["dataset"], about["number"]) == (version.dataset, version.number):
                    self._give_up(job)
                    del self._jobs[key]

    def _known(self, kept: Found | None, kind: TypeAdapter[Found], version: Version, retry: bool, **question: str) -> tuple[Work, Found | None]:
        if kept is not None:
            return Work("done", 1.0), kept
        job = self._job(json.dumps({**question, "dataset": version.dataset, "number": version.number}), version.hash, retry)
        return job.work, kind.validate_python(job.answer) if job.work.state == "done" else None

    def _job(self, question: str, stamp: str, retry: bool) -> _Job:
        key = f"{question} {stamp}"
        now = time.monotonic()
        with self._lock:
            job = self._jobs.get(key)
            if job is None or (retry and job.work.state == "failed"):
                self._number += 1
                job = self._jobs[key] = _Job(number=self._number, question=question, asked=now)
            job.asked = now
            self._jobs.move_to_end(key)
            self._make_way(now)
            self._wake()
            return job

    def _make_way(self, now: float) -> None:
        """Drop work that nobody has asked about for long where other work waits, and the oldest answers. Holds the lock."""
        wanted = [job for job in self._jobs.values() if job.goes_on and now - job.asked <= WANTED_SECONDS]
        for key, job in list(self._jobs.items()):
            if wanted and job.goes_on and now - job.asked > WANTED_SECONDS:
                self._give_up(job)
                del self._jobs[key]
        for key in [key for key, job in self._jobs.items() if not job.goes_on][:-REMEMBERED]:
            del self._jobs[key]

    def _next(self, waiting: list[_Job]) -> _Job:
        """What was asked about last is done first: it is what somebody looks at."""
        return max(waiting, key=lambda job: job.asked)
