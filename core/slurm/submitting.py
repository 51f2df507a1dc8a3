"""How a job gets to a cluster: through submitit, whose `sbatch` script starts a Python of ours on the node.

`Cluster` is what a run's life asks of any: `SlurmCluster` is one, `LocalCluster` submitit's local executor, which starts the same job as a process
of this machine, for tests.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import shlex
import signal
import sys
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from core.config import ConfigError, RunConfig, devices
from core.config.cluster import options
from core.machine.home import child_environment
from core.machine.living import lives
from core.slurm import programs
from core.slurm.programs import Partition, SlurmError
from core.slurm.words import GONE, Seen

REQUIREMENTS = Path(__file__).resolve().parents[2] / "requirements-slurm.txt"

EXECUTOR = "THAW_SLURM_EXECUTOR"
"""In the environment: `local` has jobs be processes of this machine."""

LONGEST_NOTICE, NOTICE_SHARE = 120, 0.1
"""So many seconds before its time is over, and at most such a share of it, a job is told, so that it makes a checkpoint."""


LEAVING_SECONDS = 60
"""How long the processes of a job on several nodes have to end once one of them has."""


class Refused(Exception):
    """Slurm does not take a job as it is: the text is what it said."""


@dataclass(frozen=True)
class Job:
    """What a job does, pickled by submitit: calls `main(home, run_id, number)` of a module that has torch."""

    module: str
    home: str
    run_id: str
    number: int

    def __call__(self) -> str:
        """Do it, on the node. Returns how the run has ended."""
        return str(importlib.import_module(self.module).main(self.home, self.run_id, self.number))


class Cluster(Protocol):
    """Takes jobs, tells where they are, and ends them."""

    name: str

    def missing(self) -> str:
        """What there is not here that is needed, with its remedy; empty: nothing."""

    def partitions(self) -> Sequence[Partition]:
        """The partitions that there are; none where that cannot be told. Raises SlurmError."""

    def submit(self, job: Job, config: RunConfig, folder: Path) -> str:
        """Have the cluster take a job, whose files lie in `folder`; returns what it calls the job.

        Raises:
            Refused: it does not take it as it is.
            SlurmError: it does not answer just now.
            OSError: the folder cannot be written.
        """

    def seen(self, jobs: Sequence[str]) -> Mapping[str, Seen]:
        """Where jobs are. Raises SlurmError."""

    def cancel(self, job: str) -> None:
        """Have a job end. Raises SlurmError."""


def cluster(environment: Mapping[str, str] = os.environ) -> Cluster:
    """The cluster that this machine submits to."""
    return LocalCluster() if environment.get(EXECUTOR) == "local" else SlurmCluster()


def missing_package() -> str:
    """Why submitit cannot be had, with the command that installs it; empty: it can."""
    if importlib.util.find_spec("submitit") is not None:
        return ""
    command = f'"{sys.executable}" -m pip install -r "{REQUIREMENTS}"'
    return f"needs the package submitit, which is not installed; install it with: {command}, or set target to here"


class SlurmCluster:
    """Slurm, by its programs on this machine."""

    name = "slurm"

    def missing(self) -> str:
        """See `Cluster.missing`."""
        if lacking := programs.missing():
            return f"needs the programs of Slurm, and this machine has no {lacking}; start Thaw on a machine that submits jobs, or set target to here"
        return missing_package()

    def partitions(self) -> Sequence[Partition]:
        """See `Cluster.partitions`."""
        return programs.partitions()

    def submit(self, job: Job, config: RunConfig, folder: Path) -> str:
        """See `Cluster.submit`."""
        import submitit

        executor = submitit.SlurmExecutor(folder=folder)
        executor.update_parameters(**parameters(job, config))
        try:
            return str(executor.submit(job).job_id)
        except submitit.core.utils.FailedJobError as error:
            said = _said(str(error))
            if re.search(r"unable to contact|connection refused|timed out|try again|temporar", said, re.IGNORECASE):
                raise SlurmError(f"sbatch says: {said}") from None
            raise Refused(said) from None

    def seen(self, jobs: Sequence[str]) -> Mapping[str, Seen]:
        """See `Cluster.seen`."""
        return programs.seen(jobs)

    def cancel(self, job: str) -> None:
        """See `Cluster.cancel`."""
        programs.cancel(job)


def parameters(job: Job, config: RunConfig) -> dict[str, Any]:
    """What submitit is told of a job, in the names of its `SlurmExecutor`."""
    given = options(config.sbatch)
    more: dict[str, Any] = {"no-requeue": True, **{name: given[name] or True for name in given}}
    processes = devices.number(config.devices, 1)
    if config.device.startswith("cuda"):
        if not {"gres", "gpus-per-node"} & given.keys():
            more["gpus-per-node"] = processes
    elif "cpus-per-task" not in given and processes * (config.threads or 1) > 1:
        more["cpus-per-task"] = processes * (config.threads or 1)
    environment = {name: value for name, value in child_environment().items() if os.environ.get(name) != value}
    found: dict[str, Any] = {
        "job_name": f"thaw-{job.run_id}",
        "nodes": config.nodes,
        "ntasks_per_node": 1,
        "stderr_to_stdout": True,
        "setup": [f"export {name}={shlex.quote(value)}" for name, value in environment.items()],
        "additional_parameters": more,
    }
    if config.nodes > 1:  # once the first has ended, the others have nothing to wait for
        found["srun_args"] = [f"--wait={LEAVING_SECONDS}"]
    if config.partition is not None:
        found["partition"] = config.partition
    found["time"] = config.time_limit  # None: left out; submitit would ask for 5 minutes
    if config.time_limit is not None:
        found |= {"signal_delay_s": max(10, min(LONGEST_NOTICE, int(60 * config.time_limit * NOTICE_SHARE)))}
    return found


def _said(text: str) -> str:
    """What sbatch said, without submitit's words and colours around it."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    told = re.findall(r"sbatch: (?:error: )?(.+)", plain)
    return " ".join(" ".join(told or [plain]).split())[:600]


class LocalCluster:
    """submitit's local executor: a job is a process of this machine (one for each of its nodes), which is told to end like one of Slurm's."""

    name = "local"

    def missing(self) -> str:
        """See `Cluster.missing`."""
        return missing_package()

    def partitions(self) -> Sequence[Partition]:
        """See `Cluster.partitions`."""
        return ()

    def submit(self, job: Job, config: RunConfig, folder: Path) -> str:
        """See `Cluster.submit`. The job's name is a pid and when it was started."""
        import psutil
        import submitit

        executor = submitit.LocalExecutor(folder=folder)
        executor.update_parameters(timeout_min=config.time_limit or 600, stderr_to_stdout=True, tasks_per_node=config.nodes)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            pid = int(executor.submit(job).job_id)
        return f"{pid}@{psutil.Process(pid).create_time():.2f}"

    def seen(self, jobs: Sequence[str]) -> Mapping[str, Seen]:
        """See `Cluster.seen`."""
        return {job: Seen("RUNNING", "", "this machine") if lives(*_process(job)) else Seen(GONE) for job in jobs}

    def cancel(self, job: str) -> None:
        """See `Cluster.cancel`."""
        pid, started = _process(job)
        if lives(pid, started):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)


def _process(job: str) -> tuple[int, float]:
    pid, _, started = job.partition("@")
    return int(pid), float(started)


def partitions_of(where: Cluster) -> Sequence[Partition]:
    """The partitions of a cluster that this machine submits to. Raises ConfigError on `target` where it cannot, or the cluster does not answer."""
    if why := where.missing():
        raise ConfigError("target", f"'slurm' {why}")
    try:
        return where.partitions()
    except SlurmError as error:
        raise ConfigError("target", f"'slurm' cannot be reached: {error}; try again once it answers, or set target to here") from None


def refuse_impossible(where: Cluster, config: RunConfig) -> None:
    """Raises ConfigError where a run cannot be submitted from here: on `target`, `partition` or `time_limit`."""
    there = partitions_of(where)
    names = [each.name for each in there]
    if config.partition is not None and there and config.partition not in names:
        raise ConfigError("partition", f"{config.partition!r} is no partition of this cluster; choose one of {', '.join(names)}, or leave it empty")
    meant = next((each for each in there if each.name == config.partition or (config.partition is None and each.usual)), None)
    if meant is not None and meant.minutes is not None and config.time_limit is not None and config.time_limit > meant.minutes:
        raise ConfigError("time_limit", f"{config.time_limit:,} min is more than {meant.name} gives a job; use {meant.minutes:,} or less")
