"""Starts the ranks that share a run with torch's elastic agent, watches over them, and says what became of them.

This process is the run's in the store; it computes nothing. The agent (`torch.distributed.elastic`, what `torchrun` runs) begins a process
for each device and begins all of them again where one fails, as often as the run's `restarts` says: they go on from the last checkpoint. What
the agent does not see, a process that hangs or was stopped, a thread here does: a rank without a sign of life for `silence_seconds` is
ended, and is a failure like any other from then on. The first rank to be gone in an attempt is the one that is named.

On one machine all of it listens on 127.0.0.1 alone: the store that the ranks find each other by is made on a socket of ours, since torch's own
listens everywhere. Where several machines share the run, each has an agent and a watcher; those of the first one wait for the others (`meeting`,
`joined`), and whoever notices that a rank or a machine is gone tells the rest. There an agent begins nothing again by itself: where `restarts`
allow it, the first machine has all of them begin anew, as long as none of them has left.
"""

from __future__ import annotations

import os
import platform
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import psutil
from torch._C._distributed_c10d import Store
from torch.distributed.elastic.agent.server.api import WorkerSpec
from torch.distributed.elastic.agent.server.local_elastic_agent import LocalElasticAgent
from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs
from torch.distributed.elastic.rendezvous.c10d_rendezvous_backend import C10dRendezvousBackend
from torch.distributed.elastic.rendezvous.dynamic_rendezvous import DynamicRendezvousHandler

from core.config import ConfigError, RunConfig
from core.machine.home import Home
from core.machine.living import last_lines, lives
from core.ranks import notes, signs
from core.ranks.group import PARTED_STATUS
from core.ranks.joining import NODES_SECONDS
from core.ranks.signs import Sign
from core.records.events import CommandKind, RunStatus
from core.store import RunStore
from core.store.job_files import JOBS, in_a_job
from core.store.patience import PatientStore
from core.store.reporting import cannot_begin, store_of_worker
from core.worker import rank
from core.worker.meeting import Meeting, interface_of, store_at
from core.worker.rank import Share

LOOK_SECONDS = 0.1
"""How often the signs of life are looked at; the agent looks more seldom, so that who was first to be gone is seen here."""

AGENT_SECONDS = 0.5
"""How often the agent looks whether its processes live."""

CLOSE_SECONDS = 5
"""How long ranks have to end by themselves once the group is to end."""

LOG_LINES = 20


class Elsewhere(Protocol):
    """The other machines of a run."""

    def look(self, rows: Sequence[Sign]) -> str:
        """Exchange signs of life with them. What is wrong with one of them, in words; empty: nothing is."""

    def tell(self, problem: str) -> None:
        """Say what is wrong with a rank of this machine."""


def share(home: Home, store: RunStore, run_id: str, places: tuple[str, ...], forks: bool) -> RunStatus:
    """Have run `run_id` done by a process for each of `places`, here and on as many machines as it says, and say how it ended.

    Args:
        forks: this process has computed nothing with torch yet, so that ranks can be forked from it instead of importing torch anew.

    Raises:
        OSError: the ranks could not be started.
        ConfigError: on `rendezvous`, other machines cannot be waited for there; the store has it too.
    """
    run = store.run(run_id)
    config, folder = run.config, home.run_folder(run_id)
    patient = store_of_worker(store, run_id, folder)
    task = Share(str(home.path), run_id, str(folder), "127.0.0.1", 0, places, config.nodes * len(places), machines=config.nodes)
    notes.forget(folder)
    others: Meeting | None = None
    if config.nodes > 1:
        try:
            others = Meeting(folder, run_id, config, places, run.fork)
        except ConfigError as error:
            cannot_begin(patient, run_id, str(error))
            raise
    watcher = Watcher(folder, task.ranks, config, task.own, others)
    how = "its process was ended"
    try:
        with watcher.hears_signals():
            if others is not None and (ended := _wait(others, patient, run_id, watcher)) is not None:
                patient.end(run_id, ended, run.result, _why_alone(others) if ended is RunStatus.FAILED else None)
            else:
                if others is None:
                    signs.make(folder, task.ranks)
                    problem = have_done(task, watcher, config.restarts, forks)
                else:
                    problem = _have_all_do(task, watcher, config.restarts, forks, others, lambda: store.run(run_id).status.active)
                if (broken := store.run(run_id)).status.active:
                    patient.look_again()
                    patient.end(run_id, RunStatus.FAILED, broken.result, problem or "The processes of this run have ended without a word.")
        ended_as = store.run(run_id)
        how = ": ".join([str(ended_as.status), *(ended_as.error or "").splitlines()[:1]])
    finally:
        if others is not None:
            others.close(how)
    return store.run(run_id).status


def _wait(others: Meeting, store: PatientStore, run_id: str, watcher: Watcher) -> RunStatus | None:
    """Until all machines are here. How the run has ended, if somebody wanted that before, or a node of its job does not come."""
    said, began = "", time.monotonic()
    while waits := others.waits:
        if waits != said:
            said = waits
            store.set_status(run_id, RunStatus.PREPARING, waits)
        others.greet()
        if number := watcher.asked():  # before it is looked who has left: a cluster tells all nodes of a job to end
            return RunStatus.INTERRUPTED if number == signal.SIGTERM else RunStatus.STOPPED
        if in_a_job() and (others.turned_away or time.monotonic() - began > NODES_SECONDS):
            return RunStatus.FAILED
        for command in store.commands(run_id, waiting=True):
            stops = command.kind is CommandKind.STOP
            store.acknowledge(command, 0, None if stops else "the run waits for other machines; try again once it trains")
            if stops:
                return RunStatus.STOPPED
        time.sleep(LOOK_SECONDS)
    store.set_status(run_id, RunStatus.PREPARING, "starting")
    return None


def _why_alone(others: Meeting) -> str:
    """Why the nodes of a job do not share its run, as an error of the run."""
    why = f"The nodes of its job did not come together: {others.turned_away or f'{others.waits} for {NODES_SECONDS:g} s, in vain'}."
    return f"{why} What each of them printed is in the folder {JOBS} of the run, in files that end with _log.out."


def _have_all_do(task: Share, watcher: Watcher, restarts: int, forks: bool, others: Meeting, goes_on: Callable[[], bool]) -> str:
    """`have_done` on all machines, and again after a failure, as often as `restarts` says and nothing else has ended the run."""
    for attempt in range(restarts + 1):
        signs.make(Path(task.folder), task.ranks, attempt)
        problem = have_done(replace(task, attempt=attempt), watcher, 0, forks, others)
        if not problem or attempt == restarts or watcher.asked() or not goes_on() or not others.again(attempt + 1):
            break
        watcher = watcher.again(others.trouble)
    return problem


def have_done(task: Share, watcher: Watcher, restarts: int, forks: bool, others: Meeting | None = None) -> str:
    """Have this machine's ranks do their `task`, and watch over them. What went wrong, in words; empty: nothing did.

    Where this machine leads the run, `others` are sent off with its ranks; one that joins has a task that says where ranks meet.
    """
    changed = {"TORCHELASTIC_SIGNALS_TO_HANDLE": "SIGHUP", "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
    os.environ.update(changed)
    watcher.start()
    try:
        meeting = store_at("127.0.0.1")
        if others is not None:
            ranks_meet = others.begin(task.attempt)
            task = replace(task, host=ranks_meet.host, port=ranks_meet.port, names=others.names, interface=interface_of(others.host))
        elif not task.port:
            task = replace(task, port=meeting.port)
        agent = LocalElasticAgent(
            _spec(restarts, meeting, replace(task, parent=os.getpid())),
            DefaultLogsSpecs(),
            start_method="fork" if forks and set(task.places) == {"cpu"} else "spawn",  # what has asked for GPUs cannot be forked
            shutdown_timeout=CLOSE_SECONDS,
        )
        result = agent.run()
        return watcher.told(result.failures) if result.is_failed() else ""
    except Exception as error:  # noqa: BLE001  the agent has no error of its own
        return f"The processes of this run could not be started or watched: {type(error).__name__}: {error}"
    finally:
        watcher.stop()
        for name in changed:
            os.environ.pop(name, None)


def _spec(restarts: int, meeting: Store, task: Share) -> WorkerSpec:
    """What the agent is to run, and where it finds itself: each machine has an agent of its own."""
    handler = DynamicRendezvousHandler.from_backend(
        task.run_id, meeting, C10dRendezvousBackend(meeting, task.run_id), min_nodes=1, max_nodes=1, local_addr="127.0.0.1"
    )
    return WorkerSpec(
        role="rank",
        local_world_size=len(task.places),
        entrypoint=rank.main,
        args=(task,),
        rdzv_handler=handler,
        max_restarts=restarts,
        monitor_interval=AGENT_SECONDS,
        local_addr="127.0.0.1",
    )


class Watcher(threading.Thread):
    """Looks at the signs of life, ends who gives none, and keeps who was the first to be gone in each attempt.

    Args:
        ranks: of the run, on all machines.
        own: those of this machine; None: all of them.
        others: the other machines; None: there are none.
    """

    def __init__(self, folder: Path, ranks: int, config: RunConfig, own: range | None = None, others: Elsewhere | None = None) -> None:
        super().__init__(name="watch over ranks", daemon=True)
        self._folder = folder
        self._config = config
        self._ranks = ranks
        self._own = range(ranks) if own is None else own
        self._others = others
        self._silence = config.silence_seconds
        self._notes: dict[int, str] = {}
        self._heard: dict[int, tuple[float, float]] = {}
        """The last sign of life of each rank, and when it was seen first: the clock that they say it by may be set, and a machine may sleep."""
        self._attempt = 0  # the one that is watched over, where machines begin again together
        self._over = threading.Event()
        self._asked: list[int] = []
        self._began = time.monotonic()
        self._lost_at: float | None = None

    def again(self, problem: str = "") -> Watcher:
        """One that watches over the next attempt; it hears the signals of this one. `problem`: of another machine, which it has told of since."""
        if problem:
            self._known(self._attempt, problem, told=True)
        other = Watcher(self._folder, self._ranks, self._config, self._own, self._others)
        other._attempt, other._notes, other._asked = self._attempt + 1, self._notes, self._asked
        return other

    @contextmanager
    def hears_signals(self) -> Iterator[None]:
        """Signals to this process are for the first rank, which stops or checkpoints in good order; on a machine that joined, for it to leave."""
        before = {number: signal.signal(number, self._forward) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, old in before.items():
                signal.signal(number, old)

    def _forward(self, number: int, frame: object = None) -> None:
        if in_a_job() and self._own.start:  # a cluster tells all nodes of a job: the first one decides for all
            return
        self._asked.append(number)

    def asked(self) -> int:
        """The signal that came; 0: none did."""
        return self._asked[0] if self._asked else 0

    def stop(self) -> None:
        """All is over."""
        self._over.set()
        if self.is_alive():
            self.join()

    def run(self) -> None:
        """Look until all is over."""
        self._began = time.monotonic()
        while not self._over.wait(LOOK_SECONDS):
            rows = signs.read(self._folder)
            for row in rows:
                if row.rank in self._own and (problem := self._problem(row)):
                    self._keep(row, problem)
            if self._others is not None and (lost := self._others.look(rows)):
                self._lost(lost, rows)
            if self._asked and self._own.start:
                self._leave(rows)
            elif self._asked and rows and rows[0].pid and rows[0].phase == "training":
                with suppress(OSError):
                    os.kill(rows[0].pid, self._asked.pop(0))

    def told(self, failures: dict[int, Any]) -> str:
        """What the run's error says, after the agent has given up. `failures`: torch's `ProcessFailure` by rank of this machine."""
        parted = {number for number, each in failures.items() if each.exitcode == PARTED_STATUS}
        if self._others is not None and len(parted) == len(failures):
            end = time.monotonic() + min(self._silence, CLOSE_SECONDS)
            while self._attempt not in self._notes and time.monotonic() < end:  # the machine of whoever is gone says so in a moment
                time.sleep(LOOK_SECONDS)
        if last := [attempt for attempt in self._notes if attempt >= self._attempt]:
            return self._notes[max(last)]
        number, failure = next(iter([pair for pair in failures.items() if pair[0] not in parted] or failures.items()))
        how = f"was ended by signal {-failure.exitcode}" if failure.exitcode < 0 else f"ended with status {failure.exitcode}"
        return self._known(self._attempt, self._sentence(self._own.start + number, how, signs.read(self._folder)))

    def _lost(self, problem: str, rows: Sequence[Sign]) -> None:
        """Another machine, or a rank of it, is gone: those of this one notice that themselves, or are ended after a while."""
        if self._lost_at is None:
            self._lost_at = time.monotonic()
            self._known(self._attempt, problem, told=True)
        elif time.monotonic() - self._lost_at > CLOSE_SECONDS:
            self._end(rows)

    def _leave(self, rows: Sequence[Sign]) -> None:
        if self._others is not None and self._attempt not in self._notes:
            self._notes[self._attempt] = "This machine was asked to leave the run (Ctrl-C, or its process was ended)."
            self._others.tell("has left: somebody ended it there")
        self._end(rows)

    def _end(self, rows: Sequence[Sign]) -> None:
        for row in rows:
            if row.rank in self._own and row.pid:
                with suppress(OSError):
                    os.kill(row.pid, signal.SIGKILL)

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
        if self._silent(row):
            with suppress(OSError):
                os.kill(row.pid, signal.SIGKILL)
            return f"gave no sign of life for {self._silence:g} s (stopped, or the machine was too busy) and was ended"
        return ""

    def _silent(self, row: Sign) -> bool:
        sign, since = self._heard.get(row.rank, (None, 0.0))
        if row.alive != sign:
            self._heard[row.rank] = (row.alive, time.monotonic())
            return False
        return time.monotonic() - since > self._silence

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
        self._known(row.attempt, self._sentence(row.rank, how, signs.read(self._folder)))
        self._began = time.monotonic()

    def _known(self, attempt: int, problem: str, told: bool = False) -> str:
        """What was wrong in an attempt: what was known first. Other machines are told, but of what they have `told` themselves."""
        if attempt not in self._notes:
            self._notes[attempt] = problem
            if self._others is not None and not told:
                self._others.tell(problem)
            notes.keep(self._folder, self._config.restarts, self._notes)
        return self._notes[attempt]

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
