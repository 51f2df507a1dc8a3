"""Starts, steers and buries the worker processes. The only process code beside `lab.py`.

A worker is detached: it lives on when the server stops, and the store says what became of it. A worker is known by pid *and*
process start time, since a pid alone is soon somebody else's.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psutil

from core import catalog
from core.config import ConfigError, RunConfig
from core.config.plans import Change
from core.machine.home import Home, child_environment
from core.records.events import CommandKind
from core.store import RunStore, StoreError, Working, recovery
from core.store.continued import ResumeRequest
from core.worker.leftovers import remove_left_over

LAUNCH_SECONDS = 60.0
"""A queued run without a process is given this long before it counts as lost."""

STANDBY_PAUSE_SECONDS = 20.0
"""A new standby waits this long after a start: its imports would slow the run's first seconds down."""


CLEARING_SECONDS = 600.0
"""How often unfinished files are looked for where no run was lost meanwhile."""


@dataclass
class _Standby:
    process: subprocess.Popen[bytes]
    log: Path
    launched: float

    @property
    def ready(self) -> bool:
        return self.process.poll() is None and self.log.exists() and b"ready" in self.log.read_bytes()


class Supervisor:
    """Runs of one home. One object serves all threads of a server; several servers may share a home."""

    def __init__(self, home: Home, store: RunStore) -> None:
        self.home = home
        self.store = store
        self._lock = threading.Lock()
        self._standby: _Standby | None = None
        self._last_start = 0.0
        self._next_clearing = 0.0
        self._children: list[subprocess.Popen[bytes]] = []

    def start(self, config: RunConfig) -> str:
        """Queue a run and give it a process, a standby worker if one is ready; returns the run's id at once.

        Raises:
            ConfigError: a name or option of the config is not in the catalogue. Nothing is started then.
        """
        config = catalog.check(config)
        run_id = self.store.create_run(config)
        self._begin(run_id)
        return run_id

    def go_on(self, run_id: str, request: ResumeRequest | None = None) -> None:
        """Have a run that was stopped, interrupted, lost or failed go on from its last checkpoint; without one it begins anew.

        Raises:
            ConfigError: on `run`, it is going on, its process still lives, or it is finished.
            KeyError: there is no such run.
        """
        refuse_living(self.store, run_id)
        self.store.ask_to_resume(run_id, request or ResumeRequest())
        self._begin(run_id)

    def _begin(self, run_id: str) -> None:
        process = self._wake_standby(run_id) or self._launch(["--run", run_id], self.home.run_folder(run_id) / "worker.log")
        self._last_start = time.monotonic()
        try:
            self.store.set_process(run_id, process.pid, psutil.Process(process.pid).create_time())
        except psutil.NoSuchProcess:
            pass  # it is gone already: `reconcile` will say so
        except StoreError:
            pass  # it says so itself, once the store can be written

    def pause(self, run_id: str) -> None:
        """Ask the run to wait after the step at hand."""
        self.store.request(run_id, CommandKind.PAUSE)

    def resume(self, run_id: str) -> None:
        """Ask a paused run to go on."""
        self.store.request(run_id, CommandKind.RESUME)

    def stop(self, run_id: str) -> None:
        """Ask the run to end after the step at hand and save its weights."""
        self.store.request(run_id, CommandKind.STOP)

    def change(self, run_id: str, change: Change) -> int:
        """Ask the run to freeze, unfreeze or learn at another rate from its next step on; returns the command's id."""
        return self.store.request(run_id, CommandKind.CHANGE, str(change))

    def inspect(self, run_id: str, name: str) -> int:
        """Ask the run for histograms of the parameter `name` and its gradient at its next step; returns the command's id."""
        return self.store.request(run_id, CommandKind.INSPECT, name)

    def profile(self, run_id: str) -> int:
        """Ask the run to look where the time of its next few steps goes; returns the command's id."""
        return self.store.request(run_id, CommandKind.PROFILE)

    def reconcile(self) -> None:
        """Mark as lost every active run whose process is gone, with the end of its log as the reason; clear up after the killed.

        Cheap: call it often.
        """
        with self._lock:
            # poll() buries children that have ended; a zombie would still have a pid.
            self._children = [child for child in self._children if child.poll() is None]
        for run in self.store.processes():
            if not _lives(run) and not (run.pid is None and time.time() - run.created < LAUNCH_SECONDS):
                recovery.bury(self.home, self.store, run, self.log_tail(run.id, lines=20))
                self._next_clearing = 0.0
        if time.monotonic() >= self._next_clearing:
            self._next_clearing = time.monotonic() + CLEARING_SECONDS
            remove_left_over(self.home)

    def keep_standby(self) -> None:
        """See to it that a standby worker waits, or will soon. Cheap: call it often."""
        with self._lock:
            if self._standby is not None and self._standby.process.poll() is None:
                return
            if self._last_start and time.monotonic() - self._last_start < STANDBY_PAUSE_SECONDS:
                return
            log = self.home.logs / f"standby-{os.getpid()}.log"  # other servers may share the home
            log.unlink(missing_ok=True)
            self._standby = _Standby(self._launch(["--standby"], log, stdin=subprocess.PIPE), log, time.monotonic())

    @property
    def standby_ready(self) -> bool:
        """True when the next start will be quick."""
        with self._lock:
            return self._standby is not None and self._standby.ready

    def log_tail(self, run_id: str, lines: int = 40) -> str:
        """The last lines of what the run's process printed; empty if it printed nothing."""
        log = self.home.run_folder(run_id) / "worker.log"
        try:
            with log.open("rb") as file:
                file.seek(max(0, log.stat().st_size - 64_000))
                return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])
        except FileNotFoundError:
            return ""

    def close(self) -> None:
        """Send the standby worker away. Runs go on."""
        with self._lock:
            standby, self._standby = self._standby, None
        if standby is not None and standby.process.stdin is not None:
            standby.process.stdin.close()

    def _wake_standby(self, run_id: str) -> subprocess.Popen[bytes] | None:
        with self._lock:
            standby = self._standby
            if standby is None or not standby.ready or standby.process.stdin is None:
                return None
            self._standby = None
        try:
            standby.process.stdin.write(run_id.encode() + b"\n")
            standby.process.stdin.close()
        except BrokenPipeError:
            return None
        return standby.process

    def _launch(self, arguments: list[str], log: Path, stdin: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
        log.parent.mkdir(parents=True, exist_ok=True)
        output: IO[bytes]
        # To a file: a pipe that nobody reads fills up and stops its writer.
        with log.open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "core.worker.process", "--home", str(self.home.path), *arguments],
                env=child_environment(),
                stdin=stdin,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self._children.append(process)
        return process


def refuse_living(store: RunStore, run_id: str) -> None:
    """Raises ConfigError on `run` where the process of a run still lives, whatever its row says: two may not work on one run."""
    row = store.columns(run_id)
    if _lives(Working(run_id, row["created"], row["pid"], row["process_started"])):
        raise ConfigError("run", f"the process of {run_id} (pid {row['pid']}) still works; wait until it has ended, or stop it")


def _lives(run: Working) -> bool:
    if run.pid is None or run.process_started is None:
        return False
    try:
        process = psutil.Process(run.pid)
        return abs(process.create_time() - run.process_started) < 1.0 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
