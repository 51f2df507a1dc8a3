"""A process of a run that several share: what the elastic agent (`core.worker.together`) runs for each device.

Its place among the ranks of this machine (RANK) and how often the group was begun again (TORCHELASTIC_RESTART_COUNT) come from the agent, in the
environment; what all of them are to do is a `Share`.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import FrameType

import torch
from torch._C._distributed_c10d import PrefixStore, TCPStore

from core.config import ConfigError, RunConfig
from core.machine.home import Home
from core.machine.leaving import log_to
from core.machine.memory import keep_for_next_step
from core.ranks import notes, signs
from core.ranks.collectives import Parted
from core.ranks.group import PARTED_STATUS, Group
from core.ranks.signs import Signs
from core.records.forks import Fork
from core.store.job_files import in_a_job
from core.store.patience import open_patiently
from core.store.saving import log
from core.worker import in_turn
from core.worker.following import Followed, follow
from core.worker.leading import OVER, LeadingWorker

FIND_SECONDS = 60.0
"""How long a rank looks for the store of the group."""


@dataclass(frozen=True)
class Share:
    """What the ranks of one machine are to do.

    Args:
        home: path of this machine's home.
        folder: where this machine's signs of life and logs are: the run's, on the machine that has it.
        host, port: of the store by which ranks find each other.
        places: the device of each rank of this machine.
        first: number of the first of them.
        ranks: how many there are on all machines.
        machine, machines: which this one is, from 0, of how many.
        names: what the machines are called; empty where the run is another machine's.
        interface: of the network over which ranks talk; empty: their loopback on one machine, else as the machine is called.
        attempt: how often all machines have begun again together.
        parent: the process that watches over the ranks: without it they end.
        config, fork: of a run that is another machine's: its settings as JSON, and where it branched off.
    """

    home: str
    run_id: str
    folder: str
    host: str
    port: int
    places: tuple[str, ...]
    ranks: int
    first: int = 0
    machine: int = 0
    machines: int = 1
    names: tuple[str, ...] = ()
    interface: str = ""
    attempt: int = 0
    parent: int = 0
    config: str = ""
    fork: Fork | None = None

    @property
    def own(self) -> range:
        """The ranks of this machine."""
        return range(self.first, self.first + len(self.places))


def main(share: Share) -> None:
    """Do one rank's share of a run. Ends the process with a status of its own where that is not all well."""
    place, attempt = int(os.environ["RANK"]), share.attempt + int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))
    rank, run_id = share.first + place, share.run_id
    os.setsid()  # Ctrl-C at a terminal is for the process that watches: it asks the first rank to stop
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN if number == signal.SIGINT or in_a_job() else signal.SIG_DFL)
    if in_a_job():  # a cluster tells all processes of a job that it is to end, and soon is: the first rank decides for all
        signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    keep_for_next_step()
    home = Home.from_environment(share.home)
    folder = Path(share.folder)
    mine = Signs(folder, rank, share.parent)
    mine.set("attempt", attempt)
    mine.phase(signs.STARTING)
    if rank:
        log_to(log_of(folder, rank))
    phase, status = signs.FAILED, 1
    try:
        found = TCPStore(share.host, share.port, is_master=False, timeout=timedelta(seconds=FIND_SECONDS))
        store = PrefixStore(f"{run_id}/{attempt}", found)
        device = torch.device(share.places[place])
        if device.type == "cuda":
            torch.cuda.set_device(device)
        group = Group(rank, share.ranks, store, mine, device, share.machines, share.interface)
        if rank:
            _hear_the_agent(group)
            mine.phase(signs.TRAINING)
        try:
            _lead(home, share, group, attempt) if rank == 0 else follow(home, _followed(home, share), group)
            phase, status = signs.LEFT, 0
        except Parted as error:
            over = group.said(OVER)
            phase, status = (signs.LEFT, 0) if over else (signs.PARTED, PARTED_STATUS)
            if not over:
                log(f"Rank {rank} ends, since another one is gone: {str(error).splitlines()[0][:300]}")
        except ConfigError as error:
            log(str(error))  # the first rank has told the store
            phase, status = (signs.LEFT, 0) if rank == 0 else (signs.FAILED, 1)
        mine.close(phase)
        if status == 0:
            group.close()
    except Parted as error:
        log(f"Rank {rank} did not find the others: {error}")
        phase, status = signs.PARTED, PARTED_STATUS
    except BaseException:  # noqa: BLE001  whatever it is, it is in the log, and the group is told by the status
        traceback.print_exc()
    mine.close(phase)
    sys.stdout.flush()
    sys.stderr.flush()
    if status:
        os._exit(status)  # no thread of the group is waited for: it may hang where another rank is gone


def log_of(folder: Path, rank: int) -> Path:
    """Where a rank of the run in `folder` writes what it has to say."""
    return folder / ("worker.log" if rank == 0 else f"rank-{rank}.log")


def _followed(home: Home, share: Share) -> Followed:
    """The run of a rank that is not the first."""
    if share.config:
        return Followed(share.run_id, Path(share.folder), RunConfig.from_json(share.config), share.fork, None)
    store = open_patiently(home.database)
    run = store.run(share.run_id)
    return Followed(share.run_id, Path(share.folder), run.config, run.fork, store.tuning(share.run_id))


def _lead(home: Home, share: Share, group: Group, attempt: int) -> None:
    again = notes.why_again(Path(share.folder), attempt) if attempt else ""
    store = open_patiently(home.database)
    if attempt and not store.run(share.run_id).status.active:  # it had ended before the group broke
        group.say(OVER)
        return
    worker = LeadingWorker(home, store, share.run_id, group, again, share.names)
    in_turn.take_part(worker, store)

    def stop(number: int, frame: FrameType | None) -> None:
        if os.getppid() != share.parent:  # torch has the system send SIGINT when the agent dies: then the run is lost, and may have begun elsewhere
            os._exit(1)
        worker.stop_soon(number, frame)

    signal.signal(signal.SIGTERM, worker.interrupt_soon)
    signal.signal(signal.SIGINT, stop)
    group.signs.phase(signs.TRAINING)  # from here on whoever watches passes on what it was sent
    worker.run()


def _hear_the_agent(group: Group) -> None:
    """SIGTERM is for the first rank, which interrupts the run for all: a machine that goes down sends it to all processes at once.

    It ends this one where the agent sends it, to whoever is left of a group that broke.
    """

    def end(number: int, frame: FrameType | None) -> None:
        if group.left_behind:
            group.signs.phase(signs.PARTED)
            os._exit(PARTED_STATUS)

    if not in_a_job():
        signal.signal(signal.SIGTERM, end)
