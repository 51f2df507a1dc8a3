"""Many runs of one question against the bare loop doing the same: 16 heads, and which layers to unfreeze.

Thaw's side is what a person waits for: from the click (the runs are queued, the server and its nursery stand there) to the end of the last run,
with processes, validation, test, every signal, checkpoints and weights. The bare loop trains, validates after each epoch and tests at the end,
computes every layer in every step and records nothing; its epochs are alike, so it does a few of them and is scaled up.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
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
    rows = []
    began = starter(folder / "nursery.log")
    try:
        for name, plan, bare_ones in (
            (f"16 heads, {HEAD_EPOCHS} epochs each", heads, [{"optimizer": name} for name in ("AdamW", "SGD")]),
            (f"which layers: 4 depths, 2 seeds, {DEPTH_EPOCHS} epochs each", layers, [{"freeze": value} for value in layers.vary[0].values]),
        ):
            rows.append(_compared(name, plan, bare_ones, folder, began, max(1, rounds // 2)))
    finally:
        began.close()
    titles = ["resnet18, digits 64 px, exact", "bare loop, s (scaled up)", "Thaw, s", "times as fast, median (lowest to highest)"]
    return table(titles, rows)


def _config(freeze: str, epochs: int) -> RunConfig:
    return RunConfig(dataset="digits", image_size=64, model="resnet18", freeze=freeze, epochs=epochs, device="cpu")  # type: ignore[arg-type]


def _compared(name: str, plan: Plan, bare_ones: Sequence[dict[str, str]], folder: Path, began: Starter, rounds: int) -> tuple[str, ...]:
    pairs = []
    for number in range(rounds):
        home = Home.from_environment(str(folder / f"{plan.about}-{number}"))
        sides = {}
        for who in ("thaw", "bare") if number % 2 else ("bare", "thaw"):
            if who == "thaw":
                sides[who] = thaw(plan, home, began)
            else:
                each = [bare(plan.config.replace(**given), home) for given in bare_ones]
                sides[who] = sum(each) / len(each) * plan.total
        pairs.append((sides["bare"], sides["thaw"]))
    bares, ours = zip(*pairs, strict=True)
    return (name, f"{median(bares):.0f}", f"{median(ours):.1f}", spread([theirs / mine for theirs, mine in pairs], 1))


def thaw(plan: Plan, home: Home, began: Starter) -> float:
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
