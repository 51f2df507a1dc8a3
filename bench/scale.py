"""How the time of a step goes with the number of processes: a model fitted on one and two of them, and checked on four.

    seconds(n) = (start + picture x pictures / n) x crowd(n) + meeting x meetings(n > 1) + number x numbers that are sent

`start` and `picture` (the work of a step, and of each picture) are fitted for each freeze plan on one process with whole, half and quarter
batches; `meeting` (ranks meet once) and `number` (a gradient is added up) on two processes with all plans at once, by least squares that cannot
be negative. `crowd(n)` is 1 where each process has a core, n / cores where it has not: a check on four processes on two cores checks that too.
Prints what is fitted, what four processes were predicted to take and took, and what follows for GPUs from figures of makers (see docs/scale.md).
"""

from __future__ import annotations

import multiprocessing
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.optimize import nnls
from torch._C._distributed_c10d import TCPStore

from bench import ranks as bench_ranks
from bench.ranks import PLANS, WORK
from bench.table import median, table
from core.machine.hardware import cores
from core.machine.home import Home
from core.machine.memory import keep_for_next_step
from core.ranks import signs
from core.ranks.group import Group
from core.ranks.signs import Signs
from core.worker.assembly import assemble

BATCH = WORK.batch_size
PARTS = (1, 2, 4)

WITHIN, BETWEEN = (300e9, 3e-6), (10e9, 15e-6)
"""Bytes a second that a GPU sends, and seconds from one to the next: between GPUs of a machine (NVLink 4 has 450 GB/s each way; two thirds of it),
between machines (one port of 100 Gbit/s; four fifths of it)."""

STEP_SECONDS = (0.005, 0.05)
"""Of a GPU for its part of a batch: a small model or few pictures, and a large one or many."""


@dataclass(frozen=True)
class Seen:
    """A step of `plan` on so many processes: seconds, numbers sent by each, and how often they met in it."""

    plan: str
    ranks: int
    seconds: float
    numbers: int
    meetings: float


@dataclass(frozen=True)
class Costs:
    """What is fitted: (`start`, `picture`) of each plan, and a `meeting` and a `number` of all, in seconds."""

    work: Mapping[str, tuple[float, float]]
    meeting: float
    number: float

    def step(self, plan: str, ranks: int, numbers: int, meetings: float, there: int) -> float:
        """Seconds of a step of `BATCH` pictures on so many processes, of which `there` have a core of their own."""
        start, picture = self.work[plan]
        busy = (start + picture * BATCH / ranks) * max(1.0, ranks / there)
        return busy if ranks == 1 else busy + self.meeting * meetings + self.number * numbers


def fit(alone: Mapping[str, Mapping[int, float]], pairs: list[Seen], there: int) -> Costs:
    """The costs by which a step takes what was seen.

    Args:
        alone: seconds of a step of one process, by plan and pictures.
        pairs: steps of two processes.
        there: cores.
    """
    work = {}
    for plan, taken in alone.items():
        rows = np.array([[1.0, pictures] for pictures in taken])
        (start, picture), _ = nnls(rows, np.array(list(taken.values())))
        work[plan] = (float(start), float(picture))
    costs = Costs(work, 0.0, 0.0)
    over = np.array([max(0.0, seen.seconds - costs.step(seen.plan, seen.ranks, 0, 0, there)) for seen in pairs])
    scale = np.array([max(seen.seconds, 1e-9) for seen in pairs])  # so that each plan counts by its share, not by its milliseconds
    (meeting, number), _ = nnls(np.array([[seen.meetings, seen.numbers] for seen in pairs]) / scale[:, None], over / scale)
    return Costs(work, float(meeting), float(number))


def measure(folder: Path, rounds: int) -> Iterator[str]:
    """Tables in Markdown."""
    home, there = str(folder / "home"), cores()
    _run_all(home, PLANS[0], 1, BATCH)  # the pictures are made once
    alone = {plan: {BATCH // part: _often(home, plan, 1, BATCH // part, rounds).seconds for part in PARTS} for plan in PLANS}
    pairs, fours = ([_often(home, plan, ranks, BATCH, rounds) for plan in PLANS] for ranks in (2, 4))
    costs = fit(alone, pairs, there)
    yield f"Fitted on 1 and 2 processes, {there} cores: a meeting {1e6 * costs.meeting:.0f} us, a number {1e9 * costs.number:.2f} ns."
    yield ""
    rows = [(plan, f"{1e3 * costs.work[plan][0]:.1f}", f"{1e3 * costs.work[plan][1]:.2f}") for plan in PLANS]
    yield from table(["plan", "start of a step (ms)", "each picture (ms)"], rows)
    yield ""
    lines: list[tuple[str, ...]] = []
    for seen in [*pairs, *fours]:
        said = costs.step(seen.plan, seen.ranks, seen.numbers, seen.meetings, there)
        figures = (
            f"{4 * seen.numbers:,}",
            f"{seen.meetings:.0f}",
            f"{1e3 * said:.1f}",
            f"{1e3 * seen.seconds:.1f}",
            f"{said / seen.seconds - 1:+.0%}",
        )
        lines.append((seen.plan, str(seen.ranks), *figures))
    yield from table(["plan", "processes", "bytes", "meetings", "model (ms)", "measured (ms)", "off by"], lines)
    yield ""
    yield from predicted({seen.plan: 4 * seen.numbers for seen in pairs})


def gpus(bytes_sent: int, seconds: float, ranks: int, each: int = 8) -> float:
    """Share of its time in which a GPU works that is one of so many, `each` on a machine: by makers' figures, see docs/scale.md.

    A ring sends 2 (n - 1) / n of the bytes over its slowest link, and passes 2 (n - 1) links one after the other (Patarasuk and Yuan 2009,
    "Bandwidth Optimal All-reduce Algorithms", section 3). Nothing is sent while gradients are still computed.

    Args:
        bytes_sent: gradients of a step.
        seconds: of a step on one GPU with its part of the batch.
    """
    rate, latency = WITHIN if ranks <= each else BETWEEN
    return seconds / (seconds + 2 * (ranks - 1) * (bytes_sent / ranks / rate + latency)) if ranks > 1 else 1.0


def predicted(measured: Mapping[str, int]) -> list[str]:
    """A table of what follows for GPUs, from the bytes that each plan sends."""
    rows = [
        (plan, f"{count:,}", *(f"{gpus(count, seconds, ranks):.0%}" for seconds in STEP_SECONDS for ranks in (8, 64)))
        for plan, count in measured.items()
    ]
    heads = [f"{1e3 * seconds:g} ms a step, {ranks} GPUs" for seconds in STEP_SECONDS for ranks in (8, 64)]
    return table(["plan", "bytes", *heads], rows)


def _often(home: str, plan: str, ranks: int, pictures: int, rounds: int) -> Seen:
    """The median of so many rounds."""
    found = [_run_all(home, plan, ranks, pictures) for _ in range(rounds)]
    return Seen(plan, ranks, median([each.seconds for each in found]), found[0].numbers, found[0].meetings)


def _run_all(home: str, plan: str, ranks: int, pictures: int) -> Seen:
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        signs.make(Path(folder), ranks)
        store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
        pipes = [context.Pipe() for _ in range(ranks)]
        processes = [
            context.Process(target=_do, args=(pipes[rank][1], home, plan, rank, ranks, pictures, store.port, folder)) for rank in range(ranks)
        ]
        for process in processes:
            process.start()
        for _, theirs in pipes:
            theirs.close()
        found: list[Seen] = [pipe.recv() for pipe, _ in pipes]
        for process in processes:
            process.join()
    return max(found, key=lambda seen: seen.seconds)


def _do(pipe: Any, home: str, plan: str, rank: int, ranks: int, pictures: int, port: int, folder: str) -> None:
    keep_for_next_step()  # as workers do
    with closing(pipe):
        config = WORK.replace(freeze=plan, batch_size=pictures, threads=min(ranks, cores()))  # a thread for each process
        if ranks == 1:
            assembly = assemble(config, Home.from_environment(home))
            torch.set_num_threads(1)
            pipe.send(Seen(plan, 1, bench_ranks._median_step(assembly), 0, 0.0))
            return
        store = TCPStore("127.0.0.1", port, is_master=False, timeout=timedelta(seconds=60))
        group = Group(rank, ranks, store, Signs(Path(folder), rank), torch.device("cpu"))
        assembly = assemble(config, Home.from_environment(home), group=group)
        before = signs.read(Path(folder))[rank].meetings
        seconds = bench_ranks._median_step(assembly)
        steps = bench_ranks.STEPS + bench_ranks.WARM
        pipe.send(Seen(plan, ranks, seconds, group.step_bytes // 4, (signs.read(Path(folder))[rank].meetings - before) / steps))
