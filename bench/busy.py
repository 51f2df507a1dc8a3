"""A step of a head on kept features while the machine is quiet, and while two other processes keep it busy.

Each round trains twice as often as there are rows: with the number of threads that the config says, and with that which
`core.measuring.threads` chooses, first beside nobody, then beside two processes of this bench that compute without end. A
step is the time between two reports of the trainer; the first tenth of the steps, in which numbers are tried, is in `whole run` alone.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from bench.table import median, table
from core.config import RunConfig
from core.machine.home import Home
from core.records.events import ThreadsUsed
from core.reuse.counts import AllThreads
from core.training.steps import THREADS
from core.training.trainer import StepReport
from core.worker.assembly import assemble

WORK = {
    "resnet18, head only": RunConfig(dataset="digits", model="resnet18", image_size=64, freeze="head only", epochs=8),
    "mobilenet_v3_small, head only": RunConfig(dataset="digits", model="mobilenet_v3_small", image_size=64, freeze="head only", epochs=8),
}

BUSY = 2
"""Processes beside the training."""

Weights = tuple[torch.Tensor, ...]


@dataclass(frozen=True)
class _Trained:
    """Median seconds of a step and those of the whole run; the weights that it ended with; how many threads were used in the end."""

    step: float
    whole: float
    weights: Weights
    used: ThreadsUsed | None


def measure(folder: Path, rounds: int, work: dict[str, RunConfig] | None = None) -> Iterator[str]:
    """A table of two rows a model. Raises SystemExit where the chosen number of threads gave other weights."""
    home = Home.from_environment(str(folder / "home"))
    rows = []
    for name, config in (work or WORK).items():
        _trained(config, home, chosen=False)  # features are kept from here on
        found: dict[tuple[bool, bool], list[_Trained]] = {}
        for _ in range(rounds):
            for busy in (False, True):
                with beside(BUSY if busy else 0):
                    for chosen in (False, True):
                        found.setdefault((busy, chosen), []).append(_trained(config, home, chosen))
        rows += _rows(name, found)
    heads = ["digits at 64 px", "step, quiet, ms", f"beside {BUSY} busy processes, ms", "times as long", "whole run, busy, s", "threads, quiet, busy"]
    yield from table(heads, rows)
    yield ""
    yield "All runs of a model ended with the same weights, to the bit."


def _rows(name: str, found: dict[tuple[bool, bool], list[_Trained]]) -> list[tuple[str, ...]]:
    every = [run for runs in found.values() for run in runs]
    for run in every:
        if not all(torch.equal(left, right) for left, right in zip(run.weights, every[0].weights, strict=True)):
            sys.exit(f"{name}: another number of threads gave other weights, so the times cannot be compared")
    rows: list[tuple[str, ...]] = []
    for chosen, words in ((False, f"{THREADS} threads, as the config says"), (True, "number chosen by trying")):
        quiet, busy = (found[state, chosen] for state in (False, True))
        ratio = median([other.step / one.step for one, other in zip(quiet, busy, strict=True)])
        times = [f"{1000 * median([run.step for run in runs]):.2f}" for runs in (quiet, busy)]
        whole = f"{median([run.whole for run in busy]):.2f}"
        rows.append((f"{name}: {words}", *times, f"{ratio:.2f}", whole, f"{_threads(quiet)}, {_threads(busy)}"))
    return rows


def _threads(runs: list[_Trained]) -> str:
    counts = sorted({run.used.count if run.used else THREADS for run in runs})
    return " or ".join(map(str, counts))


def _trained(config: RunConfig, home: Home, chosen: bool) -> _Trained:
    torch.set_num_threads(THREADS)
    trainer = assemble(config, home).trainer
    if not chosen:
        trainer.partition.threads = AllThreads()
        trainer.head.given_up = True  # through autograd, on all threads
    began = last = time.perf_counter()
    steps = []
    for report in trainer.run():
        now = time.perf_counter()
        if isinstance(report, StepReport):
            steps.append(now - last)
        last = time.perf_counter()
    trainer.partition.close()
    weights = tuple(tensor.detach().clone() for tensor in trainer.model.state_dict().values())
    return _Trained(median(steps[len(steps) // 10 :]), last - began, weights, trainer.partition.tell().threads)


@contextmanager
def beside(number: int) -> Iterator[None]:
    """Within it so many processes compute without end; they end with it."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(number)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()
