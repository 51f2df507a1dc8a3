"""A worker as a process: `python -m core.worker.process`.

One that has done a run of a sweep takes the next of that sweep itself (`in_turn`): what is imported and kept serves all of them.

A *standby* worker has imported torch already and waits for a run's id on its standard input, so that Start is quick; when the server that
waits at the other end goes away, it reads the end of the file and leaves.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys

import psutil

from core.config import ConfigError
from core.config.devices import shared
from core.machine import devices
from core.machine.children import can_fork
from core.machine.home import Home
from core.machine.leaving import leave, log_to
from core.machine.memory import keep_for_next_step
from core.records.events import RunStatus
from core.store import RunStore, StoreError
from core.store.patience import open_patiently
from core.store.reporting import cannot_begin, store_of_worker
from core.store.saving import log
from core.worker import in_turn
from core.worker.worker import Worker


def work(home: Home, run_id: str, forks: bool = False) -> RunStatus:
    """Do the run `run_id` in this process, or have it done by one for each of its devices.

    SIGINT means stop and save, SIGTERM (the machine goes down) make a checkpoint and end as interrupted.

    Args:
        forks: this process has computed nothing with torch yet.

    Raises:
        ConfigError: what the config asks for cannot be had; the store has it too.
    """
    keep_for_next_step()
    me = psutil.Process()
    store = open_patiently(home.database)
    # Before the worker is made: it empties files that another process may be writing.
    if not _may_begin(store, run_id, me):
        return store.run(run_id).status
    if len(places := _places(home, store, run_id)) > 1 or store.run(run_id).config.nodes > 1:
        from core.worker import together  # torch's agent is for runs that need it

        store.set_process(run_id, me.pid, me.create_time())
        return together.share(home, store, run_id, places, forks)
    worker = Worker(home, store, run_id)
    in_turn.take_part(worker, store)
    worker.store.set_process(run_id, me.pid, me.create_time())
    handlers = {signal.SIGTERM: worker.interrupt_soon, signal.SIGINT: worker.stop_soon}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        return worker.run()
    finally:
        for number, old in before.items():
            signal.signal(number, old)


def _places(home: Home, store: RunStore, run_id: str) -> tuple[str, ...]:
    """The devices that the run asks for. Raises ConfigError where they are not on this machine; the store has it too."""
    config = store.run(run_id).config
    if not shared(config):
        return ("",)
    try:
        return devices.places(config)
    except ConfigError as error:
        cannot_begin(store_of_worker(store, run_id, home.run_folder(run_id)), run_id, str(error))
        raise


def _may_begin(store: RunStore, run_id: str, me: psutil.Process) -> bool:
    """Whether the run is this process's to do: not where another works on it, or where it has ended meanwhile."""
    try:
        if store.take_up(run_id, me.pid, me.create_time()):
            return True
    except StoreError:  # it cannot be written just now: whoever started this process has claimed the run before
        return True
    log(f"Nothing is done: run {run_id} has another process, or has ended.")
    return False


def main() -> int:
    """`python -m core.worker.process --home DIR (--run ID | --standby)`; exit status 1 for a failed run."""
    parser = argparse.ArgumentParser(prog="python -m core.worker.process")
    parser.add_argument("--home", required=True)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--run", metavar="ID")
    what.add_argument("--standby", action="store_true")
    arguments = parser.parse_args()
    home = Home.from_environment(arguments.home)
    run_id: str = arguments.run or ""
    if arguments.standby:
        _warm_up()
        print("ready", file=sys.stderr, flush=True)
        run_id = sys.stdin.readline().strip()
        if not run_id:
            return 0
        log_to(home.run_folder(run_id) / "worker.log")
    # The page and its server come first; training takes what is left.
    os.nice(5)
    fresh = not arguments.standby  # a standby worker has warmed up by computing
    while True:
        try:
            status = work(home, run_id, forks=fresh and can_fork())
        except (ConfigError, StoreError) as error:
            log(str(error))
            status = RunStatus.FAILED
        fresh = False
        following = in_turn.next_run(home, run_id)
        if following is None:
            return 0 if status is not RunStatus.FAILED else 1
        run_id = following
        log_to(home.run_folder(run_id) / "worker.log")


def _warm_up() -> None:
    """Import what torch and torchvision import only on first use, so that a run's first step does not wait for it."""
    import torch
    import torchvision.models
    import torchvision.transforms.v2  # noqa: F401

    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Flatten(), torch.nn.Linear(4 * 36, 2))
    optimizer = torch.optim.AdamW(model.parameters())
    torch.nn.functional.cross_entropy(model(torch.zeros(2, 3, 8, 8)), torch.zeros(2, dtype=torch.long)).backward()
    optimizer.step()


if __name__ == "__main__":
    leave(main())
