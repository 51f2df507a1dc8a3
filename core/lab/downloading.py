"""Datasets of the catalogue downloaded ahead of a run: the server's end, and the process that does it, since torchvision has to be imported.

One after the other. A download is whole or not there (`core.data.downloads`): what is cancelled or breaks off leaves nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

from core.config.errors import Cancelled, ConfigError
from core.data.datasets import DATASETS
from core.data.downloads import remove_unfinished
from core.helpers.helper import Helper, Progress, serve_home
from core.helpers.work_desk import Job, WorkDesk
from core.machine.home import Home
from core.machine.jobs import DOWNLOADING, Starter
from core.records.evaluation import Work


class DownloadDesk(WorkDesk[Job]):
    """Downloads by the names of their datasets. The process is started by the first one, and goes home after some minutes without one."""

    def __init__(self, home: Home, starter: Starter | None = None) -> None:
        helper = Helper(home.logs / "downloading.log", "--home", str(home.path), "--niced", module=DOWNLOADING, starter=starter)
        super().__init__(helper, "download-desk")

    def begin(self, dataset: str) -> None:
        """Have a dataset of the catalogue downloaded; `state` tells how far it is. One that is under way goes on."""
        if dataset not in DATASETS or not DATASETS[dataset].megabytes:
            raise ConfigError("dataset", f"{dataset!r} is none that is downloaded")
        with self._lock:
            job = self._jobs.get(dataset)
            if self._closed or (job is not None and job.goes_on):
                return
            self._number += 1
            self._jobs[dataset] = Job(number=self._number, question=json.dumps({"question": "download", "dataset": dataset}))
            self._wake()

    def state(self, dataset: str) -> Work | None:
        """The download that was asked for last; None: none since the server started, or it was cancelled."""
        with self._lock:
            job = self._jobs.get(dataset)
            return None if job is None else job.work

    def cancel(self, dataset: str) -> None:
        """Give a download up, if one goes on; nothing of it is left."""
        with self._lock:
            job = self._jobs.get(dataset)
            if job is not None and job.goes_on:
                self._give_up(job)
                del self._jobs[dataset]


def answer(home: Home, question: dict[str, Any], cancelled: Callable[[], bool], progress: Progress) -> Any:
    """True once the dataset that a question names is on disk; None if it was cancelled. Raises ConfigError as `DatasetEntry.read`."""
    match question:
        case {"question": "download", "dataset": dataset}:
            remove_unfinished(home.data)

            def told(text: str, share: float | None) -> None:
                if cancelled():
                    raise Cancelled
                progress(text, share)

            try:
                DATASETS[dataset].read(home.data, told)
            except Cancelled:
                return None
            return True
        case _:
            raise ValueError(f"Unknown question {question!r}")


def main() -> None:
    """Answer until standard input ends."""
    serve_home("core.lab.downloading", lambda home: partial(answer, home))


if __name__ == "__main__":
    main()
