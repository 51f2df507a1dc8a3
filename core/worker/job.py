"""A run as a job on a node of a cluster: what submitit calls there. The same worker as ever, with a database of the job's own.

What it writes there is told to the machine that submitted it (`core.store.reporting`). The folder of the run, this code, its Python, the data and
the weights are where they are on the machine that submitted: on a file system that both see. The job's database lies on the node's own disk and goes
with the job. Of several nodes the first one leads the run, and the others join it (`core.worker.job_nodes`).
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from pathlib import Path
from types import FrameType

from core.machine.children import can_fork
from core.machine.home import SCRATCH, Home
from core.machine.leaving import log_to
from core.records.events import RunStatus
from core.store import RunStore
from core.store.job_files import NUMBER, asked
from core.store.labelling import read_beside
from core.store.recovery import levels_of
from core.store.reporting import Replaced, begun_before
from core.store.run_folder import read_row, read_rows
from core.worker.job_nodes import share_in


def main(home: str, run_id: str, number: int) -> str:
    """Do the run `run_id` of `home` as its job `number`; returns how it has ended, or why nothing was done."""
    scratch = Path(tempfile.mkdtemp(prefix=f"thaw-{run_id}-", dir=os.environ.get("SLURM_TMPDIR")))
    os.environ |= {SCRATCH: str(scratch), NUMBER: str(number)}
    if cpus := os.environ.get("SLURM_CPUS_PER_TASK"):  # the node has more, which are others'
        os.environ.setdefault("OMP_NUM_THREADS", cpus)
    _hear_signals(scratch)
    try:
        from submitit import JobEnvironment  # it has started this process

        if (node := JobEnvironment().global_rank) > 0:
            return share_in(home, run_id, number, node, scratch)
        place = Home.from_environment(home)
        folder = place.run_folder(run_id)
        log_to(folder / "worker.log")
        if asked(folder, run_id)[0] != number or begun_before(folder, number):
            return "nothing is done: another job has this run, or has begun it"
        take_along(RunStore(place.database), folder)
        from core.worker.process import work  # torch

        return str(work(place, run_id, forks=can_fork()))
    except Replaced as replaced:
        return str(replaced)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def take_along(store: RunStore, folder: Path) -> None:
    """Have the job's own `store` know the run as its folder has it: waiting, with all that it has made before.

    Raises:
        OSError, ValueError: the folder does not say.
    """
    row, rows = read_row(folder), read_rows(folder)
    row |= {"status": RunStatus.QUEUED, "pid": None, "process_started": None, "claimed_by": None, "claimed_at": None, "activity": ""}
    store.take_in(row, rows.blocks, levels_of(rows.blocks, row), rows.epochs, rows.changes, labels=read_beside(folder))


def _hear_signals(scratch: Path) -> None:
    """Until a worker hears them: that the job is to end (SIGTERM) ends it; that its time is soon over (SIGUSR2) is for it to end in good order."""
    me = os.getpid()

    def leave(number: int, frame: FrameType | None) -> None:
        if os.getpid() == me:
            shutil.rmtree(scratch, ignore_errors=True)
        os._exit(128 + number)

    def soon(number: int, frame: FrameType | None) -> None:
        if os.getpid() == me:  # what was forked from it hears it too
            os.kill(me, signal.SIGTERM)

    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGUSR2, soon)
