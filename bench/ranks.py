"""Two processes of one thread each that share every step, against one process of two threads, and against torch's and Lightning's
DistributedDataParallel.

And how long a run whose rank is killed takes to its first step after it.

Each contestant does the same steps in processes of its own, in turn, so that whatever else the machine does falls on all of them. DDP is
used as its documentation has it (SyncBatchNorm trains on GPUs alone, so its BatchNorm sees a rank's part), and records gradient norms as ours does.
Lightning runs in the environment of the peers (`bench.ranks_peer`), where that can be had. Thaw's own processes treat memory as its workers do.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from functools import partial
from itertools import islice
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch._C._distributed_c10d import TCPStore

from bench.arena import environment, figures_of, versions
from bench.table import median, spread, table
from core import catalog
from core.catalog import optimizers
from core.config import RunConfig
from core.data import Normalise
from core.machine.children import Interpreters
from core.machine.home import Home, child_environment
from core.machine.memory import keep_for_next_step
from core.ranks import notes, signs
from core.ranks.group import Group
from core.ranks.signs import Sign, Signs
from core.records.events import CommandKind
from core.records.layers import frozen_parameters
from core.signals.watch import gradient_norms
from core.store import RunStore
from core.training.trainer import StepReport
from core.worker.assembly import Assembly, assemble
from core.worker.supervisor import Supervisor

RANKS = 2
STEPS = 8
WARM = 3
WORK = RunConfig(dataset="digits", model="resnet18", image_size=64, batch_size=32, epochs=1, feature_cache="off", threads=RANKS, optimizer="SGD")
PLANS = ("train everything", "last stage", "head only")

Measured = tuple[float, int]
"""Seconds of a step (median), and the bytes that each process sends in it."""


def measure(folder: Path, rounds: int) -> Iterator[str]:
    """A table a plan."""
    home = str(folder / "home")
    _run_all(_alone, home, PLANS[0], 1)  # the pictures are made once
    contestants: dict[str, Callable[[str], Measured]] = {
        "one process, two threads": partial(_run_all, _alone, home, ranks=1),
        "two processes that share it": partial(_run_all, _shared, home, ranks=RANKS),
        "two processes, DDP": partial(_run_all, _ddp, home, ranks=RANKS),
    }
    python, missing = environment()
    if "lightning" in missing:
        yield f"Lightning's DDP was not run: {missing['lightning']}"
    else:
        contestants["two processes, Lightning's DDP"] = partial(_lightning, python, home)
        yield f"{versions(python, ['lightning'])}."
    yield ""
    for plan in PLANS:
        taken: dict[str, list[float]] = {name: [] for name in contestants}
        sent: dict[str, int] = {}
        for _ in range(rounds):
            for name, work in contestants.items():
                seconds, sent[name] = work(plan)
                taken[name].append(seconds)
        ours = taken["two processes that share it"]
        rows = [
            (name, spread([1e3 * each for each in times]), f"{median([a / b for a, b in zip(times, ours, strict=True)]):.2f}", f"{sent[name]:,}")
            for name, times in taken.items()
        ]
        yield from table(
            [f"resnet18, 64 px, 32 pictures a step, {plan}: ms a step", "median (range)", "times as long as ours", "bytes sent a step"], rows
        )
        yield ""
    noticed, begun, stepped = zip(*(_killed(home) for _ in range(rounds)), strict=True)
    yield from table(
        ["resnet18, 64 px, 32 pictures a step, train everything: seconds since a rank was killed", "median (range)"],
        [
            (what, spread(list(taken)))
            for what, taken in (("noticed, and named", noticed), ("both ranks begun again", begun), ("first step after it", stepped))
        ],
    )
    yield ""


def _run_all(work: Callable[..., Measured], home: str, plan: str, ranks: int) -> Measured:
    """What `work` measures in so many processes of its own; of several the slowest."""
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        signs.make(Path(folder), ranks)
        store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
        pipes = [context.Pipe() for _ in range(ranks)]
        processes = [context.Process(target=_do, args=(pipes[rank][1], work, (home, plan, rank, store.port, folder))) for rank in range(ranks)]
        for process in processes:
            process.start()
        for _, theirs in pipes:
            theirs.close()  # so that the end of a process that fails is heard
        found = [pipe.recv() for pipe, _ in pipes]
        for process in processes:
            process.join()
    return max(found)


def _do(pipe: Connection, work: Callable[..., Measured], arguments: tuple[Any, ...]) -> None:
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
    with closing(pipe):
        pipe.send(work(*arguments))


def _alone(home: str, plan: str, rank: int, port: int, folder: str) -> Measured:
    keep_for_next_step()
    return _median_step(assemble(WORK.replace(freeze=plan), Home.from_environment(home))), 0


def _shared(home: str, plan: str, rank: int, port: int, folder: str) -> Measured:
    keep_for_next_step()
    store = TCPStore("127.0.0.1", port, is_master=False, timeout=timedelta(seconds=60))
    group = Group(rank, RANKS, store, Signs(Path(folder), rank), torch.device("cpu"))
    assembly = assemble(WORK.replace(freeze=plan), Home.from_environment(home), group=group)
    return _median_step(assembly), group.step_bytes


def _median_step(assembly: Assembly) -> float:
    taken, last = [], time.perf_counter()
    for _ in islice((report for report in assembly.trainer.run() if isinstance(report, StepReport)), STEPS + WARM):
        now = time.perf_counter()
        taken.append(now - last)
        last = now
    return median(taken[WARM:])


def _ddp(home: str, plan: str, rank: int, port: int, folder: str) -> Measured:
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    store = TCPStore("127.0.0.1", port, is_master=False, timeout=timedelta(seconds=60))
    dist.init_process_group("gloo", store=store, rank=rank, world_size=RANKS)
    config = WORK.replace(freeze=plan)
    assembly = assemble(config, Home.from_environment(home))  # the same weights and pictures
    torch.set_num_threads(1)
    model = assembly.trainer.model
    frozen = frozen_parameters(config.freeze, assembly.trainer.steering.layers)
    for name, parameter in model.named_parameters():
        parameter.requires_grad = name not in frozen
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    wrapped = torch.nn.parallel.DistributedDataParallel(model)
    assembly.trainer.freezing.train()
    normalise = Normalise(*catalog.find_model(config.model).normalise)
    optimizer = optimizers.build(config, learning)
    taken, last, norms = [], time.perf_counter(), []
    for batch in islice(assembly.trainer.train.batches(1), STEPS + WARM):
        half = len(batch) // RANKS
        mine = batch.some(slice(rank * half, (rank + 1) * half))
        torch.nn.functional.cross_entropy(wrapped(normalise(mine.images)), mine.labels).backward()
        norms.append(gradient_norms(learning))
        optimizer.step()
        optimizer.zero_grad()
        now = time.perf_counter()
        taken.append(now - last)
        last = now
    dist.barrier()
    return median(taken[WARM:]), 4 * sum(each.numel() for each in learning)


def _lightning(python: Path, home: str, plan: str) -> Measured:
    """What Lightning takes, started as a person starts it: one process, which starts the other one."""
    with tempfile.TemporaryDirectory() as folder:
        found = figures_of([str(python), "-m", "bench.ranks_peer", plan, "--home", home], Path(folder), child_environment())
    return found["seconds"], found["bytes"]


def _killed(place: str) -> tuple[float, float, float]:
    """Seconds since the second rank of a run was killed until it was named, until both had been begun again, and until the first step after that."""
    home = Home.from_environment(place)
    store = RunStore(home.database)
    run_id = Supervisor(home, store, Interpreters()).start(WORK.replace(devices=RANKS, epochs=100, restarts=1))
    folder = home.run_folder(run_id)
    _until(lambda: all(row.step >= WARM for row in _rows(folder)), "the first steps")
    os.kill(signs.read(folder)[1].pid, signal.SIGKILL)
    began = time.perf_counter()
    try:
        _until(lambda: "of at most" in notes.why_again(folder, 1), "a name")
        noticed = time.perf_counter() - began
        _until(lambda: all(row.attempt == 1 for row in _rows(folder)), "the ranks")
        begun, before = time.perf_counter() - began, _rows(folder)[0].step_seconds
        _until(lambda: _rows(folder)[0].step_seconds != before, "the first step")
        return noticed, begun, time.perf_counter() - began
    finally:
        store.request(run_id, CommandKind.STOP)
        _until(lambda: not store.run(run_id).status.active, "the end")


def _rows(folder: Path) -> list[Sign]:
    """Signs of life of all ranks; those of nobody, before any."""
    return list(signs.read(folder)) or [Sign(0, 0, 0.0, 0, 0.0, 0.0, 0, "", 0, 0, 0)]


def _until(holds: Callable[[], bool], what: str) -> None:
    end = time.perf_counter() + 180
    while not holds():
        if time.perf_counter() > end:
            raise TimeoutError(f"{what} did not come within 180 s")
        time.sleep(0.01)
