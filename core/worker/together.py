"""Starts the ranks that share a run with torch's elastic agent, watches over them, and says what became of them.

This process is the run's in the store; it computes nothing. The agent (`torch.distributed.elastic`, what `torchrun` runs) begins a process
for each device and begins all of them again where one fails, as often as the run's `restarts` says: they go on from the last checkpoint. What
the agent does not see, a process that hangs or was stopped, a thread here does: a rank without a sign of life for `silence_seconds` is
ended, and is a failure like any other from then on. The first rank to be gone in an attempt is the one that is named.

All of it listens on 127.0.0.1 alone: the store that the ranks find each other by is made on a socket of ours, since torch's own listens everywhere.
"""

from __future__ import annotations

import os
import platform
import signal
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
from torch._C._distributed_c10d import Store, TCPStore
from torch.distributed.elastic.agent.server.api import WorkerSpec
from torch.distributed.elastic.agent.server.local_elastic_agent import LocalElasticAgent
from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs
from torch.distributed.elastic.rendezvous.c10d_rendezvous_backend import C10dRendezvousBackend
from torch.distributed.elastic.rendezvous.dynamic_rendezvous import DynamicRendezvousHandler

from core.config import RunConfig
from core.machine.home import Home
from core.machine.living import last_lines, lives
from core.ranks import notes, signs
from core.ranks.group import PARTED_STATUS
from core.ranks.signs import Sign
from core.records.events import RunStatus
from core.store import RunStore
from core.store.patience import PatientStore
from core.worker import rank

LOOK_SECONDS = 0.1
"""How often the signs of life are looked at; the agent looks more seldom, so that who was first to be gone is seen here."""

AGENT_SECONDS = 0.5
"""How often the agent looks whether its processes live."""

CLOSE_SECONDS = 5
"""How long ranks have to end by themselves once the group is to end."""

LOG_LINES = 20


def share(home: Home, store: RunStore, run_id: str, places: tuple[str, ...], forks: bool) -> RunStatus:
    """Have run `run_id` done by a process for each of `places`, and say how it ended.

    Args:
        forks: this process has computed nothing with torch yet, so that ranks can be forked from it instead of importing torch anew.

    Raises:
        OSError: the ranks could not be started.
    """
    config = store.run(run_id).config
    folder = home.run_folder(run_id)
    patient = PatientStore(store, run_id, folder)
    watcher = _Watcher(folder, len(places), config)
    signs.make(folder, len(places))
    notes.forget(folder)
    listening = socket.create_server(("127.0.0.1", 0))
    port = int(listening.getsockname()[1])
    meeting = TCPStore("127.0.0.1", port, is_master=True, wait_for_workers=False, multi_tenant=True, master_listen_fd=listening.detach())
    before = {number: signal.signal(number, watcher.forward) for number in (signal.SIGTERM, signal.SIGINT)}
    changed = {"TORCHELASTIC_SIGNALS_TO_HANDLE": "SIGHUP", "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
    os.environ.update(changed)
    problem = ""
    watcher.start()
    try:
        agent = LocalElasticAgent(
            _spec(config, run_id, meeting, (str(home.path), run_id, port, places, os.getpid())),
            DefaultLogsSpecs(),
            start_method="fork" if forks else "spawn",
            shutdown_timeout=CLOSE_SECONDS,
        )
        result = agent.run()
        if result.is_failed():
            problem = watcher.told(result.failures)
    except Exception as error:  # noqa: BLE001  the agent has no error of its own
        problem = f"The processes of this run could not be started or watched: {type(error).__name__}: {error}"
    finally:
        watcher.stop()
        for name in changed:
            os.environ.pop(name, None)
        for number, old in before.items():
            signal.signal(number, old)
    if store.run(run_id).status.active:
        patient.end(run_id, RunStatus.FAILED, error=problem or "The processes of this run have ended without a word.")
    return store.run(run_id).status


def _spec(config: RunConfig, run_id: str, meeting: Store, arguments: tuple[Any, ...]) -> WorkerSpec:
    """What the agent is to run, and where agents of one run would find each other."""
    handler = DynamicRendezvousHandler.from_backend(
        run_id, meeting, C10dRendezvousBackend(meeting, run_id), min_nodes=1, max_nodes=1, local_addr="127.0.0.1"
    )
    return WorkerSpec(
        role="rank",
        local_world_size=len(arguments[3]),
        entrypoint=rank.main,
        args=arguments,
        rdzv_handler=handler,
        max_restarts=config.restarts,
        monitor_interval=AGENT_SECONDS,
        local_addr="127.0.0.1",
    )


class _Watcher(threading.Thread):
    """Looks at the signs of life, ends who gives none, and keeps who was the first to be gone in each attempt."""

    def __init__(self, folder: Path, ranks: int, config: RunConfig) -> None:
        super().__init__(name="watch over ranks", daemon=True)
        self._folder = folder
        self._ranks = ranks
        self._silence = config.silence_seconds
        self._notes: dict[int, str] = {}
        self._restarts = config.restarts
        self._over = threading.Event()
        self._asked: list[int] = []
        self._began = time.monotonic()

    def forward(self, number: int, frame: object = None) -> None:
        """A signal to this process is one to the first rank, which stops or checkpoints in good order. Fit for a signal handler."""
        self._asked.append(number)

    def stop(self) -> None:
        """All is over."""
        self._over.set()
        if self.is_alive():
            self.join()

    def run(self) -> None:
        """Look until all is over."""
        while not self._over.wait(LOOK_SECONDS):
            rows = signs.read(self._folder)
            for row in rows:
                if problem := self._problem(row):
                    self._keep(row, problem)
            if self._asked and rows and rows[0].pid and rows[0].phase == "training":
                with suppress(OSError):
                    os.kill(rows[0].pid, self._asked.pop(0))

    def told(self, failures: dict[int, Any]) -> str:
        """What the run's error says, after the agent has given up. `failures`: torch's `ProcessFailure` by rank."""
        if self._notes:
            return self._notes[max(self._notes)]
        parted = {number for number, each in failures.items() if each.exitcode == PARTED_STATUS}
        number, failure = next(iter([pair for pair in failures.items() if pair[0] not in parted] or failures.items()))
        how = f"was ended by signal {-failure.exitcode}" if failure.exitcode < 0 else f"ended with status {failure.exitcode}"
        return self._sentence(number, how, signs.read(self._folder))

    def _problem(self, row: Sign) -> str:
        """What is wrong with a rank; empty: nothing, or it was told before."""
        if row.attempt in self._notes or row.phase in ("ended", "ended with the others"):
            return ""
        if not row.pid:
            return self._late(row)
        if row.phase == "failed":
            return "failed"
        if not lives(row.pid):
            if signs.read(self._folder)[row.rank] != row:  # it has said meanwhile how it ended: looked at again
                return ""
            return "is gone without a word (killed, or out of memory)"
        if time.time() - row.alive > self._silence:
            with suppress(OSError):
                os.kill(row.pid, signal.SIGKILL)
            return f"gave no sign of life for {self._silence:g} s (stopped, or the machine was too busy) and was ended"
        return ""

    def _late(self, row: Sign) -> str:
        if time.monotonic() - self._began <= max(2 * self._silence, rank.FIND_SECONDS):
            return ""
        known = {each.pid for each in signs.read(self._folder)}
        for child in psutil.Process().children():
            if child.pid not in known:
                with suppress(psutil.Error):
                    child.kill()
        return "did not begin in time"

    def _keep(self, row: Sign, how: str) -> None:
        self._notes[row.attempt] = self._sentence(row.rank, how, signs.read(self._folder))
        self._began = time.monotonic()
        notes.keep(self._folder, self._restarts, self._notes)

    def _sentence(self, number: int, how: str, rows: tuple[Sign, ...]) -> str:
        step = rows[number].step if number < len(rows) else 0
        when = f"after step {step:,}" if step else "before the first step"
        tail = _tail(rank.log_of(self._folder, number))
        return f"Rank {number} of {self._ranks} on {platform.node()} {how} {when}.\n\n{tail or 'Its log is empty.'}"


def _tail(path: Path) -> str:
    try:
        return last_lines(path, LOG_LINES)
    except OSError:
        return ""
