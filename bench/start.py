"""Seconds from `Supervisor.start` to the first training step that the live stream would send: cold, standby and forked workers."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from bench.table import spread, table
from core.config import RunConfig
from core.machine import children
from core.machine.home import Home
from core.store import RunStore, stream
from core.worker.supervisor import Supervisor

DEMO = RunConfig(dataset="digits", model="resnet18", freeze="head only", image_size=64, epochs=1)


IN_A_ROW = 10


def measure(folder: Path, rounds: int) -> list[str]:
    """Alternate the three ways to a worker, then ten starts right after each other; the time is to where `stream.message` has steps in it."""
    home = Home.from_environment(str(folder / "home"))
    store = RunStore(home.database)
    seconds: dict[str, list[float]] = {"cold worker": [], "standby worker": [], "forked by the nursery": []}
    nursery = children.Nursery(home.logs / "nursery.log")
    _wait(lambda: nursery.ready, "the nursery")
    for _ in range(rounds):
        for kind, taken in seconds.items():
            # A new supervisor each time: it has no standby worker until it is asked for one.
            supervisor = Supervisor(home, store, nursery if kind == "forked by the nursery" else None)
            if kind == "standby worker":
                supervisor.keep_standby()
                _wait(lambda: supervisor.standby_ready, "the standby worker")  # noqa: B023 (called at once)
            taken.append(_start_to_point(supervisor))
            supervisor.close()
    supervisor = Supervisor(home, store, nursery)
    seconds[f"forked by the nursery, {IN_A_ROW} starts in a row"] = [_start_to_point(supervisor) for _ in range(IN_A_ROW)]
    nursery.close()
    return table(
        ["start of the demo (digits, resnet18, head only)", "seconds, median (range)"], [(kind, spread(taken)) for kind, taken in seconds.items()]
    )


def _start_to_point(supervisor: Supervisor) -> float:
    began = time.perf_counter()
    run_id = supervisor.start(DEMO)

    def charted() -> bool:
        run = supervisor.store.run(run_id)
        assert run.error is None, run.error
        message, _ = stream.message(supervisor.store, run_id, None)
        return message is not None and "steps" in message

    _wait(charted, "the first point")
    taken = time.perf_counter() - began
    supervisor.stop(run_id)
    _wait(lambda: not supervisor.store.run(run_id).status.active, "the end of the run")
    return taken


def _wait(condition: object, what: str, seconds: float = 90) -> None:
    assert callable(condition)
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            sys.exit(f"waited {seconds:g} s for {what} in vain")
        time.sleep(0.01)
