"""Many runs of one question against the bare loop doing the same: 16 heads, and which layers to unfreeze.

Thaw's side is what a person waits for: from the click (the runs are queued, the server and its nursery stand there) to the end of the last run,
with processes, validation, test, every signal, checkpoints and weights. The bare loop trains, validates after each epoch and tests at the end,
computes every layer in every step and records nothing; its epochs are alike, so it does a few of them and is scaled up.
"""

from __future__ import annotations

import dataclasses
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch

from bench.heads import Timer
from bench.table import median, spread, table
from core import catalog
from core.catalog import optimizers, schedules
from core.config import RunConfig
from core.data import Loader
from core.machine.children import starter
from core.machine.home import Home
from core.machine.jobs import Starter
from core.model import anatomy
from core.model.freezing import trainable
from core.records.layers import head_options
from core.store import RunStore
from core.sweeps import depths, moving
from core.sweeps.outcome import outcome
from core.sweeps.plan import Plan, make
from core.sweeps.vary import parse_all
from core.worker.assembly import assemble
from core.worker.supervisor import Supervisor
from tests.support import end_processes_of

HEAD_EPOCHS, DEPTH_EPOCHS = 20, 5
BARE_EPOCHS = 2
HEADS = ("learning_rate=1e-4..0.3 log in 8", "optimizer=AdamW|SGD")
LOOK_SECONDS = 0.05


def measure(folder: Path, rounds: int) -> list[str]:
    """Both questions, Thaw and the bare loop in turn; one round for every two that are asked for."""
    heads = make(_config("head only", HEAD_EPOCHS), parse_all(HEADS))
    config = _config("train everything", DEPTH_EPOCHS)
    classes = len(catalog.class_names(config.dataset, folder))
    described = anatomy.describe(config.model, classes, config.image_size, head_options(config))
    layers = depths.question(config, depths.depths(described), 2, DEPTH_EPOCHS)
    rows: list[tuple[str, ...]] = []
    began = starter(folder / "nursery.log")
    try:
        for name, plans, bare_ones in (
            (f"16 heads, {HEAD_EPOCHS} epochs each", [heads], [{"optimizer": name} for name in ("AdamW", "SGD")]),
            (
                f"which layers: 4 depths, 2 seeds, {DEPTH_EPOCHS} epochs each",
                [layers, dataclasses.replace(layers, config=layers.config.replace(speed="automatic"))],
                [{"freeze": value} for value in layers.vary[0].values],
            ),
        ):
            rows += _compared(name, plans, bare_ones, folder, began, max(1, rounds // 2))
    finally:
        began.close()
    titles = ["resnet18, digits 64 px", "speed", "bare loop, s (scaled up)", "Thaw, s", "times as fast, median (lowest to highest)"]
    return table(titles, rows)


def _config(freeze: str, epochs: int) -> RunConfig:
    return RunConfig(dataset="digits", image_size=64, model="resnet18", freeze=freeze, epochs=epochs, device="cpu")  # type: ignore[arg-type]


def _compared(
    name: str, plans: Sequence[Plan], bare_ones: Sequence[dict[str, str]], folder: Path, began: Starter, rounds: int
) -> list[tuple[str, ...]]:
    """A row for each of `plans`, which ask for the same runs at several speeds."""
    taken: dict[str, list[float]] = {}
    for number in range(rounds):
        turns: list[tuple[str, Callable[[Home], float]]] = [
            ("bare", partial(_bare_ones, plans[0], bare_ones)),
            *((plan.config.speed, partial(thaw, plan, began)) for plan in plans),
        ]
        for who, work in turns if number % 2 else reversed(turns):
            seconds = work(Home.from_environment(str(folder / f"{plans[0].about}-{who}-{number}")))
            taken.setdefault(who, []).append(seconds)
            print(f"{time.strftime('%H:%M:%S')} {name}, round {number + 1}, {who}: {seconds:.1f} s", file=sys.stderr, flush=True)
    return [
        (
            name, plan.config.speed, f"{median(taken['bare']):.0f}", f"{median(taken[plan.config.speed]):.1f}",
            spread([theirs / ours for theirs, ours in zip(taken["bare"], taken[plan.config.speed], strict=True)], 1),
        )
        for plan in plans
    ]  # fmt: skip


def _bare_ones(plan: Plan, given: Sequence[dict[str, str]], home: Home) -> float:
    """Seconds of all runs of `plan`, from one of each of those in `given`."""
    return statistics.fmean(bare(plan.config.replace(**each), home) for each in given) * plan.total


def thaw(plan: Plan, began: Starter, home: Home) -> float:
    """Seconds from the click to the end of the last run, all of which came to their end."""
    while not getattr(began, "ready", True):
        time.sleep(LOOK_SECONDS)
    store = RunStore(home.database)
    supervisor = Supervisor(home, store, began)
    try:
        timer = Timer()
        sweep_id, _ = moving.begin(store, plan)
        while store.open_members(sweep_id):
            supervisor.look_after()
            time.sleep(LOOK_SECONDS)
        seconds, _ = timer.seconds()
    finally:
        end_processes_of(home.path)  # a run outlives whoever began it, and nobody wants these
    found = outcome(store, sweep_id)
    if any(entry.status != "finished" for entry in found.entries):
        raise SystemExit(f"a run of the sweep did not come to its end: {[str(entry.status) for entry in found.entries]}")
    return seconds


def bare(asked: RunConfig, home: Home) -> float:
    """Seconds of one run by the loop that everybody writes, from a few of its epochs and its test."""
    assembly = assemble(asked.replace(feature_cache="off"), home)
    trainer = assembly.trainer
    model, criterion, normalise = trainer.model, trainer.loss, trainer.partition.normalise
    optimizer = optimizers.build(asked, trainable(model))
    schedule = schedules.build(asked, optimizer, assembly.plan.total_steps, assembly.plan.steps_per_epoch)

    def right(loader: Loader) -> int:
        trainer.freezing.eval()
        with torch.inference_mode():
            return sum(int((model(normalise(images)).argmax(1) == labels).sum()) for images, labels in loader.batches(0))

    timer = Timer()
    for epoch in range(1, BARE_EPOCHS + 1):
        trainer.freezing.train()
        for images, labels in trainer.train.batches(epoch):
            criterion(model(normalise(images)), labels).backward()
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
        if trainer.validation is not None:
            right(trainer.validation)
    epochs, _ = timer.seconds()
    timer = Timer()
    right(trainer.test)
    return epochs * asked.epochs / BARE_EPOCHS + timer.seconds()[0]
