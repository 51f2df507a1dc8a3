"""A process of a run that several share: what the elastic agent (`core.worker.together`) runs for each device.

Its place (RANK, WORLD_SIZE) and how often the group was begun again (TORCHELASTIC_RESTART_COUNT) come from the agent, in the environment.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from datetime import timedelta
from pathlib import Path
from types import FrameType

import torch
from torch._C._distributed_c10d import PrefixStore, TCPStore

from core.config import ConfigError
from core.machine.home import Home
from core.machine.leaving import log_to
from core.machine.memory import keep_for_next_step
from core.ranks import notes, signs
from core.ranks.collectives import Parted
from core.ranks.group import PARTED_STATUS, Group
from core.ranks.signs import Signs
from core.store.patience import open_patiently
from core.store.saving import log
from core.worker import in_turn
from core.worker.following import follow
from core.worker.leading import OVER, LeadingWorker

FIND_SECONDS = 60.0
"""How long a rank looks for the store of the group."""


def main(home_path: str, run_id: str, port: int, places: tuple[str, ...], parent: int) -> None:
    """Do one rank's share of run `run_id`. Ends the process with a status of its own where that is not all well.

    Args:
        port: on 127.0.0.1, of the store by which ranks find each other.
        places: the device of each rank.
        parent: the process that watches over the ranks: without it they end.
    """
    rank, attempt = int(os.environ["RANK"]), int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))
    os.setsid()  # Ctrl-C at a terminal is for the process that watches: it asks the first rank to stop
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN if number == signal.SIGINT else signal.SIG_DFL)
    keep_for_next_step()
    home = Home.from_environment(home_path)
    folder = home.run_folder(run_id)
    mine = Signs(folder, rank, parent)
    mine.set("attempt", attempt)
    mine.phase(signs.STARTING)
    if rank:
        log_to(log_of(folder, rank))
    phase, status = signs.FAILED, 1
    try:
        found = TCPStore("127.0.0.1", port, is_master=False, timeout=timedelta(seconds=FIND_SECONDS))
        store = PrefixStore(f"{run_id}/{attempt}", found)
        device = torch.device(places[rank])
        if device.type == "cuda":
            torch.cuda.set_device(device)
        group = Group(rank, len(places), store, mine, device)
        mine.phase(signs.TRAINING)
        try:
            _lead(home, run_id, group, attempt, parent) if rank == 0 else follow(home, open_patiently(home.database), run_id, group)
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


def _lead(home: Home, run_id: str, group: Group, attempt: int, parent: int) -> None:
    again = notes.why_again(home.run_folder(run_id), attempt) if attempt else ""
    store = open_patiently(home.database)
    worker = LeadingWorker(home, store, run_id, group, again)
    in_turn.take_part(worker, store)

    def stop(number: int, frame: FrameType | None) -> None:
        if os.getppid() != parent:  # torch has the system send SIGINT when the agent dies: then the run is lost, and may have begun elsewhere
            os._exit(1)
        worker.stop_soon(number, frame)

    signal.signal(signal.SIGTERM, worker.interrupt_soon)
    signal.signal(signal.SIGINT, stop)
    worker.run()
