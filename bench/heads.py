"""What a step of a head on kept features costs in a real run, and how soon a whole one is done.

A run as a worker goes through it (every norm recorded, the audit, the doctor, validation after each epoch and the test) takes turns with the
same head by hand: the features in memory, one thread, the same batches and AdamW, a norm a tensor. By hand with as many threads as Thaw has, both
end with the same weights, which is checked first. So do whole runs of 20 epochs and the bare loop that computes every layer in every step.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

import torch
from torch import Tensor, nn

from bench.table import median, spread, table
from core.catalog import optimizers, schedules
from core.config import RunConfig
from core.machine.home import Home
from core.model.freezing import trainable
from core.store import RunStore
from core.training.audit import Audit
from core.training.trainer import TrainedReport
from core.worker.assembly import Assembly, assemble
from core.worker.recorder import Recorder
from core.worker.worker import Worker

MODELS = ("resnet18", "mobilenet_v3_small")
STEP_EPOCHS = 20
LONG_EPOCHS = 20

Weights = dict[str, Tensor]


class Timer:
    """Seconds, and those of the processors, since it was made."""

    def __init__(self) -> None:
        self._began = time.perf_counter(), time.process_time()

    def seconds(self) -> tuple[float, float]:
        """Both."""
        return time.perf_counter() - self._began[0], time.process_time() - self._began[1]


@dataclass(frozen=True)
class Side:
    """What one contestant took, in seconds and in seconds of processors, for how many steps, and where what learns ended."""

    seconds: float
    cpu_seconds: float
    steps: int
    weights: Weights

    @property
    def step_ms(self) -> float:
        """Milliseconds a step."""
        return 1000 * self.seconds / self.steps


def config(model: str, epochs: int, **fields: object) -> RunConfig:
    """Head only, exact, with Thaw's own settings for all else."""
    given = {"dataset": "digits", "image_size": 64, "freeze": "head only", "device": "cpu", **fields}
    return RunConfig(model=model, epochs=epochs, **given)  # type: ignore[arg-type]


def measure(folder: Path, rounds: int) -> list[str]:
    """`rounds` pairs of runs for the step of each model; one for the whole runs for every two of these."""
    home = Home.from_environment(str(folder / "home"))
    heads = [
        "digits, 64 px",
        "by hand, ms a step",
        "Thaw, ms a step, all that belongs to it",
        "ratio, median (lowest to highest)",
        "the same of processor time",
    ]
    lines = table(heads, [_steps(model, home, rounds) for model in MODELS])
    heads = [f"resnet18, {LONG_EPOCHS} epochs", "bare loop, s", "Thaw, s", "times as fast, median (lowest to highest)"]
    return [*lines, "", *table(heads, _whole_runs(home, max(1, rounds // 2)))]


def _steps(model: str, home: Home, rounds: int) -> tuple[str, ...]:
    asked = config(model, STEP_EPOCHS)
    reference = by_hand(asked, home, torch.get_num_threads())  # another number of threads rounds otherwise
    check(model, reference, thaw(asked, home))  # fills the table, and warms up
    pairs: list[tuple[Side, Side]] = []
    for number in range(rounds):
        both: dict[Callable[[RunConfig, Home], Side], Side] = {}
        for contestant in (thaw, by_hand) if number % 2 else (by_hand, thaw):
            both[contestant] = contestant(asked, home)
        pairs.append((both[by_hand], both[thaw]))
        check(model, reference, pairs[-1][1])
    times = [f"{median([pair[who].step_ms for pair in pairs]):.2f}" for who in (0, 1)]
    ratios = [[theirs.seconds / mine.seconds for mine, theirs in pairs], [theirs.cpu_seconds / mine.cpu_seconds for mine, theirs in pairs]]
    return (model, *times, *map(spread, ratios))


def _whole_runs(home: Home, rounds: int) -> list[tuple[str, ...]]:
    asked = config("resnet18", LONG_EPOCHS, validation_share=0.0)
    bare(asked.replace(epochs=1), home)
    taken: dict[str, list[tuple[float, float]]] = {"from scratch": [], "on features that exist": []}
    for _ in range(rounds):
        reference = bare(asked, home)
        shutil.rmtree(home.features, ignore_errors=True)
        for name in taken:
            ours = thaw(asked, home, tested=False)
            check("resnet18", reference, ours)
            taken[name].append((reference.seconds, ours.seconds))
    return [
        (name, *(f"{median([pair[who] for pair in pairs]):.2f}" for who in (0, 1)), spread([theirs / ours for theirs, ours in pairs], 1))
        for name, pairs in taken.items()
    ]


def check(what: str, first: Side, second: Side) -> None:
    """End the measurement where two contestants did not do the same."""
    if first.steps != second.steps or not all(torch.equal(tensor, second.weights[name]) for name, tensor in first.weights.items()):
        sys.exit(f"{what}: the two ended with different weights, so their times cannot be compared")


def thaw(asked: RunConfig, home: Home, tested: bool = True) -> Side:
    """A whole run as a worker goes through it, from the first batch to the test's score and the last row in the store.

    `tested` False: to the last training step and its row, which is all that a bare loop does.
    """
    assembly = assemble(asked, home)
    trainer, store = assembly.trainer, RunStore(home.database)
    if not tested:
        reports = trainer.run()
        steps = takewhile(lambda report: not isinstance(report, TrainedReport), reports)
        trainer.run = lambda: steps  # type: ignore[method-assign]
    run_id = store.create_run(asked)
    store.begin(run_id, assembly.plan)
    recorder, audit = Recorder(store, run_id, trainer, assembly.doctor()), Audit(trainer.freezing, trainer.optimizer)
    worker = Worker(home, store, run_id)
    worker.weights.epochs.begin(trainer.model)  # as a worker does before the first step
    timer = Timer()
    worker._train(trainer, recorder, audit)
    recorder.flush()
    seconds = timer.seconds()
    trainer.partition.close()
    worker.checkpoints.wait()
    return Side(*seconds, trainer.step, _learned(trainer.model))


def by_hand(asked: RunConfig, home: Home, number: int = 1) -> Side:
    """The head alone on features that are in memory: no more than batch, loss, gradients, their norms and the update; no validation.

    `number` of threads.
    """
    assembly = assemble(asked, home)
    assembly.trainer.freezing.train()
    features = _features(assembly)  # with the number of threads that Thaw has: another gives other bits
    threads = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        return _by_hand(asked, assembly, features)
    finally:
        torch.set_num_threads(threads)


def _by_hand(asked: RunConfig, assembly: Assembly, features: Tensor) -> Side:
    trainer = assembly.trainer
    head = _head(trainer.model)
    learning = [parameter for parameter in head.parameters() if parameter.requires_grad]
    optimizer, criterion = optimizers.build(asked, learning), trainer.loss
    schedule = schedules.build(asked, optimizer, assembly.plan.total_steps, assembly.plan.steps_per_epoch)
    batches = [[(batch.pictures, batch.labels) for batch in trainer.train.batches(epoch)] for epoch in range(1, asked.epochs + 1)]
    norms = []
    steps = 0
    timer = Timer()
    for epoch in batches:
        for pictures, labels in epoch:
            loss = criterion(head(features[pictures]), labels)
            loss.backward()
            norms.append([parameter.grad.norm() for parameter in learning if parameter.grad is not None])
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
            steps += 1
    return Side(*timer.seconds(), steps, _learned(trainer.model))


def bare(asked: RunConfig, home: Home) -> Side:
    """The loop that everybody writes: every layer in every step, nothing recorded, torch's own number of threads."""
    assembly = assemble(asked.replace(feature_cache="off"), home)
    trainer = assembly.trainer
    model, criterion, normalise = trainer.model, trainer.loss, trainer.partition.normalise
    optimizer = optimizers.build(asked, trainable(model))
    schedule = schedules.build(asked, optimizer, assembly.plan.total_steps, assembly.plan.steps_per_epoch)
    steps = 0
    timer = Timer()
    for epoch in range(1, asked.epochs + 1):
        trainer.freezing.train()
        for images, labels in trainer.train.batches(epoch):
            loss = criterion(model(normalise(images)), labels)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
            steps += 1
    return Side(*timer.seconds(), steps, _learned(model))


def _features(assembly: Assembly) -> Tensor:
    """What the head is given for each picture of the training store, float32 [pictures, F], as batches of Thaw's size give it."""
    trainer = assembly.trainer
    trainer.partition.begin("train", trainer.train)
    rows: Tensor | None = None
    for batch in trainer.train.batches(1):
        border = trainer.partition.border(batch, trainer.stages)
        assert border is not None, trainer.partition.tell().reason
        given = border[0].flatten(1)
        rows = torch.zeros(len(trainer.train.images.images), given.shape[1]) if rows is None else rows
        rows[batch.pictures] = given
    assert rows is not None
    return rows


def _head(model: nn.Module) -> nn.Module:
    """What follows the last frozen layer."""
    if isinstance(model.get_submodule("classifier") if hasattr(model, "classifier") else None, nn.Sequential):
        return model.classifier[2:]  # type: ignore[index,return-value]
    return model.get_submodule("fc" if hasattr(model, "fc") else "head")


def _learned(model: nn.Module) -> Weights:
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters() if parameter.requires_grad}
