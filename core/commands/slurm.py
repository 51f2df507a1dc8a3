"""`python -m core slurm`, and how a run that is a job of Slurm is submitted and followed by other commands."""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict
from typing import Any

from core.commands import Parsers
from core.config import ConfigError, RunConfig
from core.machine.home import Home
from core.store import RunStore
from core.worker.supervisor import Supervisor

NAMES = ("slurm",)
LOOK_SECONDS = 0.5


def add(commands: Parsers, shared: argparse.ArgumentParser, as_json: argparse.ArgumentParser) -> None:
    """Add the parser."""
    slurm = commands.add_parser("slurm", parents=[shared, as_json])
    slurm.add_argument(
        "run", metavar="RUN", nargs="?", help="a run's id, as listed by runs; without one: the partitions, and the jobs that are not over"
    )
    slurm.add_argument("--cancel", action="store_true", help="have its job end: at once where it waits, with a checkpoint where it works")
    slurm.add_argument("--log", action="store_true", help="print the end of what its job printed")


def run(home: Home, arguments: argparse.Namespace) -> int:
    """Carry it out."""
    supervisor = Supervisor(home, RunStore(home.database))
    if arguments.run is None:
        return _overview(supervisor, arguments.json)
    found = supervisor.store.run(arguments.run)
    if not supervisor.store.jobs_of(found.id):
        raise ConfigError("run", f"{found.id} was never a job of Slurm; submit one with: python -m core train --target slurm")
    supervisor.reconcile()
    if arguments.cancel and not supervisor.cancel_job(found.id):
        raise ConfigError("cancel", f"the job of {found.id} is over already")
    supervisor.reconcile()
    jobs = supervisor.store.jobs_of(found.id)
    if arguments.json:
        print(json.dumps([{**_told(asdict(job)), "log": supervisor.jobs.log(job) if arguments.log else None} for job in jobs]))
        return 0
    from core.slurm.words import job_in_words

    print(*(job_in_words(job.job, job.state, job.reason, job.node, over=job.ended is not None) for job in jobs), sep="\n")
    if arguments.log:
        print(supervisor.jobs.log(jobs[-1]) or "Its job has printed nothing yet.")
    return 0


def refuse(config: RunConfig) -> None:
    """Raises ConfigError where a run that is to be a job of Slurm cannot be submitted from here."""
    from core.slurm.submitting import cluster, refuse_impossible

    refuse_impossible(cluster(), config)


def follow(supervisor: Supervisor, run_id: str) -> bool:
    """Submit a waiting run, and follow it to its end. False: somebody pressed Ctrl-C; the job goes on. OSError: it cannot be submitted now."""
    from core.commands.progress import progress_bar

    supervisor.start_now(run_id)
    try:
        with progress_bar(supervisor.home, run_id):
            while supervisor.store.run(run_id).status.active:
                supervisor.reconcile()
                time.sleep(LOOK_SECONDS)
    except KeyboardInterrupt:
        print(f"thaw: the job goes on. Look with: python -m core show {run_id}; end it with: python -m core stop {run_id}", file=sys.stderr)
        return False
    return True


def _overview(supervisor: Supervisor, as_json: bool) -> int:
    from core.slurm.submitting import partitions_of
    from core.slurm.words import job_in_words

    supervisor.reconcile()
    partitions = partitions_of(supervisor.jobs.cluster)
    jobs = supervisor.store.open_jobs()
    if as_json:
        print(json.dumps({"partitions": [asdict(each) for each in partitions], "jobs": [_told(asdict(job)) for job in jobs]}))
        return 0
    for each in partitions:
        limit = "no time limit" if each.minutes is None else f"at most {each.minutes:,} min"
        print(f"{each.name:20} {limit}{', the usual one' if each.usual else ''}{'' if each.up else ', takes no jobs now'}")
    for job in jobs:
        print(f"{job.run}  {job_in_words(job.job, job.state, job.reason, job.node)}")
    if not jobs:
        print("No run is a job now. Submit one with: python -m core train --target slurm")
    return 0


def _told(job: dict[str, Any]) -> dict[str, Any]:
    """A job as JSON has it: what is known of it by people."""
    return {name: job[name] for name in ("run", "number", "job", "state", "reason", "node", "submitted", "ended")}
