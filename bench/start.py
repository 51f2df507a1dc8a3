"""How soon something begins: a run's first step in the live stream, by kind of worker, and whole commands on the command line."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.table import spread, table
from core.config import RunConfig
from core.machine import children
from core.machine.home import Home
from core.store import RunStore, stream
from core.worker.supervisor import Supervisor

DEMO = RunConfig(dataset="digits", model="resnet18", freeze="head only", image_size=64, epochs=1)


IN_A_ROW = 10

TRAIN = ("train", "--dataset", "digits", "--model", "resnet18", "--freeze", "head only", "--image-size", "64", "--epochs", "1")
COMMANDS = {"train, one epoch on kept features": TRAIN, "--help": ("--help",), "runs": ("runs",), "catalog": ("catalog",)}
"""What is typed after `python -m core`."""


def measure(folder: Path, rounds: int) -> Iterator[str]:
    """Alternate the three ways to a worker, then ten starts right after each other; the time is to where `stream.message` has steps in it.

    Then commands, as a person types them.
    """
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
    yield from table(
        ["start of the demo (digits, resnet18, head only)", "seconds, median (range)"], [(kind, spread(taken)) for kind, taken in seconds.items()]
    )
    yield ""
    yield from table(["python -m core", "seconds, median (range)", "of a core"], _commands(home, rounds))


def _commands(home: Home, rounds: int) -> list[tuple[str, str, str]]:
    """Whole processes of the command line in turn, from the call to the end. One training before them keeps the features."""
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in COMMANDS}
    _command(home, TRAIN)
    for _ in range(rounds):
        for name, words in COMMANDS.items():
            taken[name].append(_command(home, words))
    return [(name, spread([wall for wall, _ in each]), spread([used for _, used in each])) for name, each in taken.items()]


def _command(home: Home, words: Sequence[str]) -> tuple[float, float]:
    """Seconds from the call to the end, and seconds of processor."""
    before, began = os.times(), time.perf_counter()
    subprocess.run([sys.executable, "-m", "core", *words], env={**os.environ, "THAW_HOME": str(home.path)}, capture_output=True, check=True)
    after = os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return time.perf_counter() - began, used


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
