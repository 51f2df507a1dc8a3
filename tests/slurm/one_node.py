"""A Slurm of one node, this machine, or of several that are all this machine: munged, slurmctld and slurmd of Debian's packages, with all that they
keep in one folder, ended by pid.

apt-get install slurm-wlm munge
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import psutil

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "sinfo", "scontrol", "squeue", "scancel")
PARTITIONS = {"debug": "01:00:00", "small": "00:02:00"}
"""Partitions, and the longest time of their jobs."""


class OneNode:
    """Slurm in `folder`, with so many `nodes`. `environment` is what its programs need to find it."""

    def __init__(self, folder: Path, nodes: int = 1) -> None:
        self.nodes = [_host()] if nodes == 1 else [f"node{number}" for number in range(1, nodes + 1)]
        self.folder = folder
        self.conf = folder / "slurm.conf"
        self.socket = folder / "munge" / "socket"
        self.environment: Mapping[str, str] = {**os.environ, "SLURM_CONF": str(self.conf), "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}
        self._started: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> OneNode:
        try:
            self._begin()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the jobs that there are, and what was started, the youngest first."""
        with suppress(subprocess.SubprocessError, OSError):
            self.ask("scancel", "--quiet", "--user=root")
            _wait(lambda: not self.ask("squeue", "--noheader"), "jobs do not end", 30)
        for process in reversed(self._started):
            for child in _children(process.pid):
                with suppress(psutil.NoSuchProcess):
                    child.terminate()
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._started.clear()

    def ask(self, *command: str) -> str:
        """What one of Slurm's programs prints."""
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, check=True, timeout=30).stdout

    def _begin(self) -> None:
        for name in ("munge", "state", "spool", "log"):
            (self.folder / name).mkdir(parents=True, mode=0o755)
        key = self.folder / "munge" / "key"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o400)
        self.folder.chmod(0o755)
        (self.folder / "munge").chmod(0o755)
        self._start("munged", "--foreground", "--force", f"--key-file={key}", f"--socket={self.socket}", f"--pid-file={self.folder}/munge/pid",
                    f"--log-file={self.folder}/log/munged", f"--seed-file={self.folder}/munge/seed")  # fmt: skip
        _wait(self.socket.exists, "munged makes no socket")
        self.conf.write_text(self._text())
        self._start("slurmctld", "-D", "-c", "-f", str(self.conf))
        for name in self.nodes:
            self._start("slurmd", "-D", "-c", "-N", name, "-f", str(self.conf))
        all_idle = f"{len(self.nodes)} idle"
        _wait(lambda: all_idle in self.ask("sinfo", "--noheader", "--partition=debug", "--format=%D %T"), "the nodes do not become idle", 40)

    def _start(self, *command: str) -> None:
        program = shutil.which(command[0], path=self.environment["PATH"]) or command[0]
        log = (self.folder / "log" / f"{command[0]}.out").open("ab")
        self._started.append(subprocess.Popen([program, *command[1:]], env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log))

    def _text(self) -> str:
        cores = psutil.cpu_count() or 1
        memory = psutil.virtual_memory().total // 2**20 - 500
        lines = [
            f"PartitionName={name} Nodes=ALL Default={'YES' if name == 'debug' else 'NO'} MaxTime={limit} State=UP"
            for name, limit in PARTITIONS.items()
        ]
        return "\n".join(
            [
                "ClusterName=thaw", f"SlurmctldHost={_host()}(127.0.0.1)", f"SlurmctldPort={_port()}", f"SlurmdPort={_port()}",
                "SlurmUser=root", "SlurmdUser=root", "AuthType=auth/munge", f"AuthInfo=socket={self.socket}", "CredType=cred/munge",
                "ProctrackType=proctrack/linuxproc", "TaskPlugin=task/none", "JobAcctGatherType=jobacct_gather/none", "MpiDefault=none",
                "AccountingStorageType=accounting_storage/none", "SelectType=select/cons_tres", "SelectTypeParameters=CR_Core",
                "SchedulerType=sched/backfill", "SchedulerParameters=sched_min_interval=100000", "ReturnToService=2",
                "KillWait=10", "MinJobAge=300", "OverTimeLimit=0", "InactiveLimit=0",
                "CommunicationParameters=NoInAddrAny,NoCtldInAddrAny", "SlurmdParameters=config_overrides", f"StateSaveLocation={self.folder}/state",
                f"SlurmdSpoolDir={self.folder}/spool/%n", f"SlurmctldPidFile={self.folder}/slurmctld.pid",
                f"SlurmdPidFile={self.folder}/slurmd-%n.pid",
                f"SlurmctldLogFile={self.folder}/log/slurmctld", f"SlurmdLogFile={self.folder}/log/slurmd-%n",
                *(f"NodeName={name} NodeHostname={_host()} NodeAddr=127.0.0.1 Port={_port()} CPUs={cores} RealMemory={memory} State=UNKNOWN"
                  for name in self.nodes),
                *lines, "",
            ]
        )  # fmt: skip


def lacking() -> str:
    """Which programs are not here; empty: none."""
    where = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    return ", ".join(name for name in PROGRAMS if shutil.which(name, path=where) is None)


def _host() -> str:
    return socket.gethostname().partition(".")[0]


def _port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _children(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _wait(ready: Callable[[], object], problem: str, seconds: float = 15) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if ready():
                return
        except subprocess.CalledProcessError:
            pass
        time.sleep(0.2)
    raise TimeoutError(problem)
