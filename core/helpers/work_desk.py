"""Work that takes minutes, one job after the other in a helper's process. Nobody waits here: who asks is told how far it is."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, TypeVar

from core.config import ConfigError
from core.helpers.helper import Helper, LabError
from core.records.evaluation import Work


@dataclass(kw_only=True)
class Job:
    """One question to the helper, how far its work is, and the answer once that is done."""

    number: int
    question: str
    work: Work = field(default_factory=lambda: Work("working", None, "waiting for its turn"))
    answer: Any = None
    cancelled: bool = False

    @property
    def goes_on(self) -> bool:
        """Whether it waits or is at work."""
        return self.work.state == "working" and not self.cancelled


Kind = TypeVar("Kind", bound=Job)


class WorkDesk(Generic[Kind]):
    """Thread-safe. A thread of its own works while there are jobs, and the process is started by the first one.

    Those that derive from it put jobs into `_jobs` and call `_wake`, both while they hold `_lock`; what a job is called is theirs.
    """

    def __init__(self, helper: Helper, name: str) -> None:
        self._helper = helper
        self._name = name
        self._lock = threading.Lock()  # around all below
        self._jobs: OrderedDict[str, Kind] = OrderedDict()
        self._number = 0
        self._thread: threading.Thread | None = None
        self._closed = False

    def rest(self) -> bool:
        """End the process if it was asked nothing for minutes, or hangs. True: it went home."""
        return self._helper.rest()

    def close(self) -> None:
        """End the process, for good."""
        with self._lock:
            self._closed = True
            thread = self._thread
        self._helper.close()
        if thread is not None:
            thread.join()

    def _wake(self) -> None:
        """Have what waits done. Holds the lock."""
        if self._thread is None and not self._closed and any(job.goes_on for job in self._jobs.values()):
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()

    def _give_up(self, job: Kind) -> None:
        """Cancel a job that goes on. Holds the lock."""
        job.cancelled = True
        self._helper.tell(cancel=job.number)

    def _next(self, waiting: list[Kind]) -> Kind:
        """Which of those that wait is done next: the one that was asked for first."""
        return min(waiting, key=lambda job: job.number)

    def _run(self) -> None:
        while (job := self._take()) is not None:
            answer, work = None, Work("done", 1.0)
            try:
                answer = self._helper.ask(job.question, job.number, partial(self._heard, job))
            except (ConfigError, LabError, OSError) as error:  # OSError: no process could be started
                work = Work("failed", message=error.message if isinstance(error, ConfigError) else str(error))
            with self._lock:
                if answer is None and work.state == "done":  # it was given up
                    job.cancelled = True
                else:
                    job.answer, job.work = answer, work

    def _take(self) -> Kind | None:
        with self._lock:
            waiting = [job for job in self._jobs.values() if job.goes_on]
            if not waiting or self._closed:
                self._thread = None
                return None
            job = self._next(waiting)
            job.work = Work("working", None, "starting")
            return job

    def _heard(self, job: Kind, text: str, share: float | None) -> None:
        with self._lock:
            if job.goes_on:
                job.work = Work("working", share, text)
