"""Starts, steers and buries the worker processes.

A worker is detached: it lives on when the server stops, and the store says what became of it. A worker is known by pid *and*
process start time, since a pid alone is soon somebody else's.
"""

from __future__ import annotations

import os
import secrets
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from core.config import ConfigError, RunConfig
from core.config.cluster import SLURM
from core.config.plans import Change
from core.machine.children import Interpreters
from core.machine.hardware import device_of
from core.machine.home import Home
from core.machine.jobs import WORKER, Child, Starter
from core.machine.living import last_lines, lives
from core.machine.settings import Settings, read_settings
from core.records.events import CommandKind, RunStatus
from core.store import RunStore, StoreError, Working, recovery
from core.store.bin import clear_up
from core.store.continued import ResumeRequest
from core.store.resume_files import resume_points
from core.worker.leftovers import remove_left_over

if TYPE_CHECKING:
    from core.slurm.submitting import Cluster
    from core.worker.forking import Planned
    from core.worker.on_slurm import Jobs

LAUNCH_SECONDS = 60.0
"""A process that is to come is given this long before its run counts as lost, or waits again where it had only been claimed."""

STANDBY_PAUSE_SECONDS = 20.0
"""A new standby waits this long after a start: its imports would slow the run's first seconds down."""


CLEARING_SECONDS = 600.0
"""How often unfinished files are looked for where no run was lost meanwhile."""


def this_process() -> tuple[int, float]:
    """What this process is known by: its pid, and when it was started (Unix seconds)."""
    me = psutil.Process()
    return me.pid, me.create_time()


@dataclass
class _Standby:
    process: Child
    log: Path
    launched: float

    @property
    def ready(self) -> bool:
        return self.process.poll() is None and self.log.exists() and b"ready" in self.log.read_bytes()


class Supervisor:
    """Runs of one home. One object serves all threads of a server; several servers may share a home."""

    def __init__(self, home: Home, store: RunStore, starter: Starter | None = None, cluster: Cluster | None = None) -> None:
        self.home = home
        self._cluster = cluster
        self._jobs: Jobs | None = None
        self._starter = starter or Interpreters()
        self.store = store
        self._lock = threading.Lock()
        self._standby: _Standby | None = None
        self._last_start = 0.0
        self._next_clearing = 0.0
        self._children: list[Child] = []
        pid, started = this_process()
        self._claimer = f"{pid} {started!r} {secrets.token_hex(4)}"
        self.settings_problem = ""
        """Why `settings.json` of the home cannot be used; empty: it can, or there is none."""

    def start(self, config: RunConfig) -> str:
        """Put a run at the end of the queue, where it begins at once if a place is free; returns its id at once.

        Raises:
            ConfigError: a name or option of the config is not in the catalogue, or the cluster cannot do it. Nothing is started then.
            StoreError: the store cannot be written. Nothing is started then.
            OSError: this machine starts no process just now. The run waits then, and is begun by one of the next looks.
        """
        from core.catalog.check import check  # a list of runs need not read what could be picked

        config = check(config)
        if config.target == SLURM:
            from core.slurm.submitting import refuse_impossible

            refuse_impossible(self.jobs.cluster, config)
        run_id = self.store.create_run(config)
        with suppress(StoreError):  # it is in the queue, and the next look comes soon
            self.look_after()
        return run_id

    def go_on(self, run_id: str, request: ResumeRequest | None = None) -> None:
        """Have a run that was stopped, interrupted, lost or failed go on from its last checkpoint; without one it begins anew.

        With `epochs` in the request also a finished one, to so many in all. It waits in the queue like any other, behind those that wait already.

        Raises:
            ConfigError: on `run`, it is going on, its process still lives, or it is finished; on `epochs`, it would not be the same run.
            KeyError: there is no such run.
        """
        ask_to_go_on(self.home, self.store, run_id, request or ResumeRequest())
        with suppress(StoreError):
            self.look_after()

    def branch_off(self, planned: Planned) -> str:
        """Put a branch together and at the end of the queue; returns its id. Raises as `core.worker.forking.make`, and OSError as `start`."""
        from core.worker.forking import make

        run_id = make(self.home, self.store, planned)
        with suppress(StoreError):
            self.look_after()
        return run_id

    def go_on_where_lost(self) -> list[str]:
        """When a server starts: put the runs that were lost or interrupted into the queue, oldest first, where the settings ask for that.

        Returns:
            Their ids. One without a checkpoint is left, and so is one that cannot be continued.
        """
        if not self.settings().resume_lost:
            return []
        self.reconcile()
        asked = []
        for run in reversed(self.store.runs(limit=1000, active=False)):
            if run.status in (RunStatus.LOST, RunStatus.INTERRUPTED) and resume_points(self.home.run_folder(run.id)):
                with suppress(ConfigError):
                    ask_to_go_on(self.home, self.store, run.id, ResumeRequest())
                    asked.append(run.id)
        return asked

    def look_after(self) -> None:
        """What a server does every few seconds: `reconcile`, then `dispatch`. Raises StoreError, and OSError where a process cannot be started."""
        self.reconcile()
        self.dispatch()

    def dispatch(self) -> list[str]:
        """Begin the waiting runs that a place is free for, and return their ids.

        A run is claimed in one transaction before it is given a process, so that of several servers one begins it. What the settings say
        wrongly is kept in `settings_problem`, and places are counted as if they said nothing.
        """
        slots = self.settings().slots
        for sweep in self.store.led_sweeps():
            from core.sweeps.moving import move_on  # a list of runs need not read what could be picked

            move_on(self.store, sweep)
        begun = []
        while (run_id := self.store.claim(self._claimer, slots, device_of)) is not None:
            self._begin(run_id)
            begun.append(run_id)
        return begun

    def settings(self) -> Settings:
        """The home's settings as they are now; where they cannot be used, those that hold without any."""
        try:
            settings = read_settings(self.home)
        except ConfigError as error:
            self.settings_problem = str(error)
            return Settings()
        self.settings_problem = ""
        return settings

    def start_now(self, run_id: str) -> bool:
        """Begin a waiting run beyond the places that there are. False: it does not wait any more. Raises KeyError for an unknown run."""
        claimed = self.store.claim_this(run_id, self._claimer)
        if claimed:
            self._begin(run_id)
        return claimed

    def run_next(self, run_id: str) -> bool:
        """Move a waiting run to the front of the queue. False: it does not wait any more. Raises KeyError for an unknown run."""
        return self.store.run_next(run_id)

    def move(self, run_id: str, before: str) -> bool:
        """Move a waiting run in front of another. False: one of them does not wait any more. Raises KeyError for an unknown run."""
        return self.store.move(run_id, before)

    def cancel(self, run_id: str) -> bool:
        """End a waiting run before it begins; one that is just being started is asked to stop. True: it never began. Raises KeyError."""
        if self.store.cancel(run_id):
            return True
        if self.store.run(run_id).status.active:
            self._ask(run_id, CommandKind.STOP)
        return False

    def restore_cancelled(self, run_id: str) -> bool:
        """Have a run that was cancelled wait again, where it stood. False: it waits already, or was not cancelled."""
        return self.store.restore_cancelled(run_id)

    def pause(self, run_id: str) -> None:
        """Ask the run to wait after the step at hand."""
        self._ask(run_id, CommandKind.PAUSE)

    def resume(self, run_id: str) -> None:
        """Ask a paused run to go on."""
        self._ask(run_id, CommandKind.RESUME)

    def stop(self, run_id: str) -> None:
        """Ask the run to end after the step at hand and save its weights. One that waits, here or in a cluster's queue, is cancelled."""
        if self.store.cancel(run_id):
            return
        if self.store.open_jobs() and self.jobs.waits(run_id):
            self.jobs.cancel(run_id)
        else:
            self._ask(run_id, CommandKind.STOP)

    def change(self, run_id: str, change: Change) -> int:
        """Ask the run to freeze, unfreeze or learn at another rate from its next step on; returns the command's id."""
        return self._ask(run_id, CommandKind.CHANGE, str(change))

    def inspect(self, run_id: str, name: str) -> int:
        """Ask the run for histograms of the parameter `name` and its gradient at its next step; returns the command's id."""
        return self._ask(run_id, CommandKind.INSPECT, name)

    def profile(self, run_id: str) -> int:
        """Ask the run to look where the time of its next few steps goes; returns the command's id."""
        return self._ask(run_id, CommandKind.PROFILE)

    def reconcile(self) -> None:
        """Mark as lost every active run whose process is gone, with the end of its log as the reason; clear up after the killed.

        What was claimed and never got a process waits again. Cheap: call it often. Nothing is begun: that is `dispatch`.
        """
        with self._lock:
            # poll() buries children that have ended; a zombie would still have a pid.
            self._children = [child for child in self._children if child.poll() is None]
        elsewhere = self.jobs.look_after() if self.store.open_jobs() else set()
        for run in self.store.processes():
            if run.id in elsewhere:
                continue
            if run.claimed:
                if not _may_still_come(run):
                    self.store.give_back(run.id, str(run.claimed_by))
                continue
            coming = run.pid is None and 0 <= time.time() - run.created < LAUNCH_SECONDS
            if not coming and not _lives(run.pid, run.process_started, self.home.run_folder(run.id)):
                recovery.bury(self.home, self.store, run, self.log_tail(run.id, lines=20))
                self._next_clearing = 0.0
        if time.monotonic() >= self._next_clearing:
            self._next_clearing = time.monotonic() + CLEARING_SECONDS
            remove_left_over(self.home)
            clear_up(self.home, self.store)

    def keep_standby(self) -> None:
        """See to it that a standby worker waits, or will soon, where a start takes seconds. Cheap: call it often."""
        if self._starter.quick:
            self._starter.look_after()
            return
        with self._lock:
            if self._standby is not None and self._standby.process.poll() is None:
                return
            if self._last_start and time.monotonic() - self._last_start < STANDBY_PAUSE_SECONDS:
                return
            log = self.home.logs / f"standby-{os.getpid()}.log"  # other servers may share the home
            log.unlink(missing_ok=True)
            self._standby = _Standby(self._launch(["--standby"], log, talk=True), log, time.monotonic())

    @property
    def jobs(self) -> Jobs:
        """The runs that are jobs of a cluster."""
        if self._jobs is None:
            from core.worker.on_slurm import Jobs  # most homes have none

            self._jobs = Jobs(self.home, self.store, self._cluster)
        return self._jobs

    def bring_in(self) -> bool:
        """Bring in what jobs of a cluster have told, for whoever watches them. False: there are none. Cheap: call it twice a second."""
        return bool(self.store.open_jobs() and self.jobs.bring_in())

    def cancel_job(self, run_id: str) -> bool:
        """Have the job of a run end: at once where it waits, with a checkpoint where it works. False: it has none."""
        return self.jobs.cancel(run_id)

    @property
    def standby_ready(self) -> bool:
        """True when the next start will be quick."""
        with self._lock:
            return self._standby is not None and self._standby.ready

    def log_tail(self, run_id: str, lines: int = 40) -> str:
        """The last lines of what the run's process printed; empty if it printed nothing."""
        try:
            return last_lines(self.home.run_folder(run_id) / "worker.log", lines)
        except FileNotFoundError:
            return ""

    def close(self) -> None:
        """Send the standby worker away. Runs go on."""
        with self._lock:
            standby, self._standby = self._standby, None
        if standby is not None and standby.process.stdin is not None:
            standby.process.stdin.close()

    def _ask(self, run_id: str, kind: CommandKind, payload: str = "") -> int:
        """Ask a run for something, be it here or a job of a cluster; returns the command's id."""
        command = self.store.request(run_id, kind, payload)
        for job in self.store.open_jobs():
            if job.run == run_id:
                self.jobs.pass_on(job)
        return command

    def _begin(self, run_id: str) -> None:
        """Give a run that this object has claimed a process: a standby worker if one is ready. Where that fails, the run waits again."""
        if self.store.target_of(run_id) == SLURM:
            self.jobs.submit(run_id, self._claimer)
            return
        try:
            process = self._wake_standby(run_id) or self._launch(["--run", run_id], self.home.run_folder(run_id) / "worker.log")
        except OSError as error:
            self.store.give_back(run_id, self._claimer)
            why = f"No process could be started for {run_id} ({error.strerror or error})"
            raise OSError(f"{why}. It waits in the queue and is tried again every few seconds; if memory is short, stop something else.") from error
        self._last_start = time.monotonic()
        with suppress(psutil.NoSuchProcess, StoreError):  # gone already: `reconcile` will say so; or it says so itself, once the store can be written
            self.store.set_launched(run_id, self._claimer, process.pid, psutil.Process(process.pid).create_time())

    def _wake_standby(self, run_id: str) -> Child | None:
        with self._lock:
            standby = self._standby
            if standby is None or not standby.ready or standby.process.stdin is None:
                return None
            self._standby = None
        try:
            standby.process.stdin.write(f"{run_id}\n")
            standby.process.stdin.close()
            if standby.process.stdout is not None:  # from now on it writes to the run's log
                standby.process.stdout.close()
        except BrokenPipeError:
            return None
        return standby.process

    def _launch(self, arguments: list[str], log: Path, talk: bool = False) -> Child:
        process = self._starter.start(WORKER, ["--home", str(self.home.path), *arguments], log, talk)
        self._children.append(process)
        return process


def ask_to_go_on(home: Home, store: RunStore, run_id: str, request: ResumeRequest, process: tuple[int, float] | None = None) -> None:
    """See `RunStore.ask_to_resume`; ConfigError also where a process of it still lives, or where more epochs would make it another run."""
    refuse_living(store, run_id, home.run_folder(run_id))
    if request.epochs is not None and not (run := store.run(run_id)).status.active:
        from core.worker.training_on import refuse_to_train_on

        refuse_to_train_on(run, home.run_folder(run_id), request.epochs)
    store.ask_to_resume(run_id, request, process)


def refuse_living(store: RunStore, run_id: str, folder: Path) -> None:
    """Raises ConfigError on `run` where the process of a run still lives, whatever its row says: two may not work on one run."""
    row = store.columns(run_id)
    if _lives(row["pid"], row["process_started"], folder):
        raise ConfigError("run", f"the process of {run_id} (pid {row['pid']}) still works; wait until it has ended, or stop it")


def _lives(pid: int | None, started: float | None, folder: Path | None = None) -> bool:
    """Whether the process with this pid is still the one that was started then (Unix seconds): pids are used again, sooner after a reboot.

    Where the clock was set since, every process is told to have been started at another moment: one that works in the run's `folder` all the
    same is the run's.
    """
    if pid is None or started is None:
        return False
    return lives(pid, started) or (folder is not None and lives(pid) and _works_in(pid, folder))


def _works_in(pid: int, folder: Path) -> bool:
    """Whether a process writes the log of the run in `folder`, as each does that a server has started. False where the system does not tell."""
    try:
        return Path(f"/proc/{pid}/fd/1").readlink() == (folder / "worker.log").resolve()
    except OSError:
        return False


def _may_still_come(run: Working) -> bool:
    """Whether a claimed run may still get its process: the claimer lives, and has not had time enough."""
    pid, _, rest = str(run.claimed_by).partition(" ")
    try:
        still = _lives(int(pid), float(rest.partition(" ")[0]))
    except ValueError:  # of another Thaw
        still = False
    return still and 0 <= time.time() - (run.claimed_at or 0.0) < LAUNCH_SECONDS
