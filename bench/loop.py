"""Samples per second of Thaw's trainer, every gradient norm recorded in a store, against the shortest loop that does the same training.

Both get the same seeds, model, batches, optimizer and schedule, and end with the same weights, which is checked. They take turns
of a few steps, and the ratio shown is the median over pairs of turns, so that what else the machine does strikes both.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor

from bench.table import median, table
from core.catalog import optimizers, schedules
from core.config import RunConfig
from core.machine.home import Home
from core.model.freezing import trainable
from core.store import RunStore
from core.training.audit import Audit
from core.training.trainer import StepReport
from core.worker.assembly import Assembly, assemble
from core.worker.recorder import Recorder

WORK = {
    "everything trains": RunConfig(dataset="digits", model="resnet18", image_size=64, freeze="train everything", epochs=1, validation_share=0.6),
    "head only": RunConfig(dataset="digits", model="resnet18", image_size=64, freeze="head only", epochs=1, validation_share=0.2),
}


TURN = 4  # steps


def measure(folder: Path, rounds: int) -> list[str]:
    """One epoch a round."""
    home = Home.from_environment(str(folder / "home"))
    store = RunStore(home.database)
    rows = []
    for name, config in WORK.items():
        turns: list[tuple[float, float]] = []
        for number in range(rounds + 1):
            ours, theirs = assemble(config, home), assemble(config, home)
            taken = race(thaw(ours, store, config), bare(theirs, config))
            if not same(weights(ours), weights(theirs)):
                sys.exit(f"{name}: the two loops end with different weights, so their speeds cannot be compared")
            if number:  # the first round warms up: allocator, caches, thread pool
                turns += taken
        samples = TURN * config.batch_size
        ratios = sorted(bare_seconds / thaw_seconds for thaw_seconds, bare_seconds in turns)
        quarter = len(ratios) // 4
        rates = [f"{samples / median([turn[who] for turn in turns]):.0f}" for who in (1, 0)]
        rows.append((name, *rates, f"{median(ratios):.3f} ({ratios[quarter]:.3f} to {ratios[-1 - quarter]:.3f})"))
    heads = ["resnet18, digits at 64 px", "bare loop, samples/s", "Thaw, every norm recorded, samples/s", "ratio, median (middle half)"]
    return table(heads, rows)


def race(left: Iterator[None], right: Iterator[None]) -> list[tuple[float, float]]:
    """Let two equally long generators take turns to the end; returns the seconds of each full turn. Who goes first changes each time."""
    turns: list[tuple[float, float]] = []
    while True:
        seconds = {}
        full = True
        for contestant in (left, right) if len(turns) % 2 else (right, left):
            began = time.perf_counter()
            full &= sum(1 for _ in islice(contestant, TURN)) == TURN
            seconds[contestant] = time.perf_counter() - began
        if not full:
            return turns
        turns.append((seconds[left], seconds[right]))


def thaw(assembly: Assembly, store: RunStore, config: RunConfig) -> Iterator[None]:
    """An epoch of the trainer, reports recorded as a worker does, one step at a time."""
    run_id = store.create_run(config)
    store.begin(run_id, assembly.plan)
    trainer = assembly.trainer
    recorder, audit = Recorder(store, run_id, trainer, assembly.doctor()), Audit(trainer.freezing, trainer.optimizer)
    for report in trainer.run():
        assert isinstance(report, StepReport)
        recorder.add(report)
        if report.sample is not None:
            store.set_audit(run_id, audit.look(report))
        if report.step == assembly.plan.total_steps:
            recorder.flush()
        yield
        if report.step == assembly.plan.total_steps:
            return  # before the validation


def bare(assembly: Assembly, config: RunConfig) -> Iterator[None]:
    """An epoch of the loop that everybody writes, recording nothing, one step at a time."""
    trainer = assembly.trainer
    model, criterion, normalise = trainer.model, trainer.loss, trainer.partition.normalise
    optimizer = optimizers.build(config, trainable(model))
    schedule = schedules.build(config, optimizer, assembly.plan.total_steps, assembly.plan.steps_per_epoch)
    trainer.freezing.train()
    for images, labels in trainer.train.batches(1):
        loss = criterion(model(normalise(images)), labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        yield


def weights(assembly: Assembly) -> dict[str, Tensor]:
    """A copy of the model's state."""
    return {name: tensor.detach().clone() for name, tensor in assembly.trainer.model.state_dict().items()}


def same(left: dict[str, Tensor], right: dict[str, Tensor]) -> bool:
    """True if two states are equal, bit for bit."""
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)
