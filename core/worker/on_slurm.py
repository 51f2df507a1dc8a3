"""Runs that are jobs of a cluster: submitted, looked after, cancelled. What a worker process is to a run here, a job is to a run there.

Nothing of it is in memory alone: the table of jobs says how far each is, so that any server, or a command, goes on where another left off.
"""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

from core.machine.home import Home
from core.machine.living import last_lines
from core.records.events import RunStatus
from core.slurm import words
from core.slurm.programs import SlurmError
from core.slurm.submitting import Cluster, Job, Refused, cluster
from core.slurm.words import GONE, Seen
from core.store import RunStore
from core.store.job_files import folder_of, pass_on, reports_of
from core.store.job_tables import JobRow
from core.store.queue_tables import CANCELLED, CANCELLED_AGAIN
from core.store.report_import import ReportStore
from core.store.run_folder import RunFolder, read_row

JOB = "core.worker.job"
"""The module that a job begins with."""

SOON_SECONDS, WAITING_SECONDS, WORKING_SECONDS = 2.0, 10.0, 15.0
"""How often the cluster is asked about a job: in its first minute, while it waits, while it works (its reports tell more)."""

LAST_SECONDS, GONE_SECONDS = 3.0, 20.0
"""How long the last reports of a job that is over may take to arrive; the same where the cluster does not know the job."""

SUBMIT_SECONDS = 180.0
"""A job that was not taken after so long never will be: who submitted it has died over it."""

LOG_LINES = 25
"""Lines of a log that are said of a job that is lost."""


class Jobs:
    """The jobs of a home's runs.

    Args:
        where: the cluster; None: the one that this machine submits to.
    """

    def __init__(self, home: Home, store: RunStore, where: Cluster | None = None) -> None:
        self.home = home
        self.store = store
        self.cluster = where or cluster()
        self._reports = ReportStore(home.database)

    def submit(self, run_id: str, claimer: str) -> None:
        """Submit a run that `claimer` has claimed. One that the cluster does not take has failed, with what it said, and can be continued.

        Raises:
            OSError: the cluster does not answer just now, or the run's folder cannot be written: it waits again.
            StoreError: the store cannot be written.
        """
        run, folder = self.store.run(run_id), self.home.run_folder(run_id)
        number = self.store.add_job(run_id, claimer, self.cluster.name)
        if number is None:
            return
        try:
            self._put_beside(run_id, folder)
            pass_on(folder, number, [])
            job = self.cluster.submit(Job(JOB, str(self.home.path), run_id, number), run.config, folder_of(folder, number))
        except Refused as refused:
            self.store.job_not_taken(run_id, number, str(refused))
            self.store.end(run_id, RunStatus.FAILED, run.result, words.refused(str(refused)))
            return
        except OSError as error:
            said = str(error) if isinstance(error, SlurmError) else f"{folder} cannot be written ({error.strerror or error})"
            self.store.job_not_taken(run_id, number, said)
            self.store.give_back(run_id, claimer)
            raise OSError(f"{run_id} could not be submitted: {said}. It waits in the queue and is tried again every few seconds.") from error
        self.store.job_taken(run_id, number, job, words.where(job, run.config.partition, Seen("PENDING")))

    def look_after(self) -> set[str]:
        """Bring in what jobs have told, pass on what was asked, and end what is over. Returns the ids of the runs that have a job."""
        jobs = self.bring_in()
        for job in jobs:
            if not job.job and time.time() - job.submitted > SUBMIT_SECONDS:
                self.store.job_not_taken(job.run, job.number, "nobody was told whether it was taken")
        self._ask([job for job in jobs if job.job and job.executor == self.cluster.name])
        return {job.run for job in jobs}

    def bring_in(self) -> list[JobRow]:
        """Bring in what jobs have told, and pass on what was asked of their runs. Quick where nothing is new."""
        jobs = self.store.open_jobs()
        for job in jobs:
            folder = self.home.run_folder(job.run)
            self._reports.bring_in(job.run, job.number, reports_of(folder, job.number))
            self.pass_on(job)
        return jobs

    def pass_on(self, job: JobRow) -> None:
        """Tell a job what is asked of its run."""
        with suppress(OSError):  # at the next look
            pass_on(self.home.run_folder(job.run), job.number, self.store.commands(job.run, waiting=True))

    def cancel(self, run_id: str) -> bool:
        """Have the run's job end: at once where it waits, with a checkpoint where it works. False: it has none.

        A cluster that does not answer just now is asked again at the next look.
        """
        open_jobs = [job for job in self.store.open_jobs() if job.run == run_id and job.job]
        for job in open_jobs:
            self.store.job_cancelled(run_id, job.number)
            with suppress(SlurmError):
                self.cluster.cancel(job.job)
        return bool(open_jobs)

    def waits(self, run_id: str) -> bool:
        """Whether the run's job waits in the cluster's queue, as far as is known."""
        return any(job.run == run_id and job.state in ("", *words.WAITS) and not job.imported for job in self.store.open_jobs())

    def _put_beside(self, run_id: str, folder: Path) -> None:
        """Put into the run's folder what the job begins with: its row, and the steps that it has made. Raises OSError."""
        kept = RunFolder(folder)
        folder.mkdir(parents=True, exist_ok=True)
        kept.begin()
        kept.go_on(self.store.blocks(run_id), self.store.epochs_after(run_id), self.store.changes_after(run_id))
        kept.renew(lambda: self.store.columns(run_id), now=True)
        with suppress(ValueError):
            if read_row(folder).get("id") == run_id:
                return
        raise OSError(f"{folder} cannot be written")

    def _ask(self, jobs: list[JobRow]) -> None:
        now = time.time()
        due = [job for job in jobs if now - job.looked >= _pause(job, now)]
        if not due:
            return
        try:
            there = self.cluster.seen([job.job for job in due])
        except SlurmError as error:
            for job in due:
                self.store.job_seen(job.run, job.number, job.state, f"{words.SILENT}: {error}", job.node, None)
            return
        for job in due:
            self._seen(job, there[job.job])

    def _seen(self, job: JobRow, seen: Seen) -> None:
        run = self.store.run(job.run)
        node = seen.node or job.node
        waits = seen.over or not run.status.active
        activity = None if waits else words.where(job.job, run.config.partition, seen)
        self.store.job_seen(job.run, job.number, seen.state, seen.reason, node, activity)
        if (job.trouble or job.cancelled) and seen.state != "COMPLETING" and not seen.over:
            with suppress(SlurmError):
                self.cluster.cancel(job.job)
        if not run.status.active and run.status is not RunStatus.INTERRUPTED:
            self.store.job_ended(job.run, job.number)
        elif seen.over and job.state == seen.state:  # seen before, and what it told last has had its time to arrive
            self._over(job, Seen(seen.state, seen.reason, node, seen.exit))

    def _over(self, job: JobRow, seen: Seen) -> None:
        """A job is over, and all that it told is in the store: its run has ended with it."""
        self._reports.bring_in(job.run, job.number, reports_of(self.home.run_folder(job.run), job.number))
        run = self.store.run(job.run)
        if run.status is RunStatus.INTERRUPTED and seen.state == "COMPLETED" and not job.cancelled:
            seen = Seen(words.WARNED)
        how = words.ended(job.job, seen, run.config.time_limit)
        if job.trouble:
            how = f"What its job told cannot be read: {job.trouble}. {how}"
        if run.status.active:
            if seen.state == "CANCELLED" and not job.imported:
                self.store.end(job.run, RunStatus.STOPPED, run.result, CANCELLED_AGAIN if run.step else CANCELLED)
            else:
                self.store.lose(job.run, "\n\n".join(filter(None, [how, self.log(job)])))
        self.store.job_ended(job.run, job.number, how)

    def log(self, job: JobRow, lines: int = LOG_LINES) -> str:
        """The end of what a job printed before its run had a log of its own; of the run's own log where there is that. Empty: nothing."""
        folder = self.home.run_folder(job.run)
        with suppress(OSError):
            log = folder / "worker.log"
            if log.stat().st_mtime >= job.submitted and (told := last_lines(log, lines)):
                return told
        for path in sorted(folder_of(folder, job.number).glob("*_log.out")):
            with suppress(OSError):
                return last_lines(path, lines)
        return ""


def _pause(job: JobRow, now: float) -> float:
    """Seconds between two looks at a job."""
    seen = Seen(job.state)
    if job.state and seen.over:
        return GONE_SECONDS if job.state == GONE and job.executor != "local" else LAST_SECONDS
    if job.executor == "local" or now - job.submitted < 60 or job.cancelled or job.trouble:
        return SOON_SECONDS
    return WORKING_SECONDS if job.state in words.WORKS else WAITING_SECONDS
