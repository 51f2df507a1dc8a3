"""What the tests of browser watch share."""

from __future__ import annotations

import json
import math
import os
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray
from playwright.sync_api import Locator, Page

from core.config import RunConfig
from core.config.plans import Change
from core.model import anatomy
from core.records.events import (  # fmt: skip
    FROZEN,
    ChangeRow,
    CommandKind,
    EpochRow,
    Histogram,
    Inspection,
    Layer,
    RunPlan,
    RunResult,
    RunStatus,
    StepRow,
)
from core.records.layers import blocks, frozen_parameters, multipliers_by_parameter
from core.records.summaries import Summarizer
from core.store import RunStore
from core.worker.supervisor import this_process
from tests.pages.test_browser import store_of, wait_for_steps
from tests.support import Server


class WrittenRun:
    """A run of a real model that nobody trained: its rows are made up and written here. It belongs to this process, so it counts as alive."""

    def __init__(self, store: RunStore, config: RunConfig, begins: bool = True) -> None:
        """`begins`: it knows its plan at once; else it prepares until `begin` is called."""
        self.store = store
        self.config = config
        self.parameters = anatomy.describe(config.model, 10, config.image_size).parameters
        self.names = [parameter.name for parameter in self.parameters]
        self.id = store.create_run(config, this_process())
        self.step = self.epoch = 0
        self.plan, self.multipliers, self.rate = config.freeze, config.learning_rate_multipliers, config.learning_rate
        self.total = config.epochs * 100
        if begins:
            self.begin()
        self._summarizer = Summarizer()
        self._random = np.random.default_rng(0)
        self._base = np.linspace(-2.5, -0.3, len(self.names)) + self._random.normal(0, 0.25, len(self.names))
        self._size = np.array([math.sqrt(parameter.count) * 0.05 for parameter in self.parameters])

    def begin(self) -> None:
        """It knows what it is going to do."""
        home = {name: block for block, names in blocks(self.names).items() for name in names}
        layers = [Layer(p.name, p.shape, p.count, bool(f), home[p.name]) for p, f in zip(self.parameters, self.frozen(), strict=True)]
        me = psutil.Process(os.getpid())
        self.store.set_process(self.id, me.pid, me.create_time())
        self.store.begin(self.id, RunPlan(tuple(layers), 100, self.total, tuple("0123456789"), 1438, 359, 360, "cpu"))

    def frozen(self) -> NDArray[np.bool_]:
        still = frozen_parameters(self.plan, self.parameters)
        return np.array([name in still for name in self.names])

    def factors(self) -> NDArray[np.float32]:
        """What the learning rates are multiplied by now, float32[tensors]."""
        found = multipliers_by_parameter(self.multipliers, self.parameters)
        return np.array([found[name] for name in self.names], np.float32)

    def train(self, count: int, special: dict[str, float] | None = None) -> None:
        """Write `count` more steps; `special` puts a value in place of some layers' gradient norms."""
        rows: list[StepRow] = []
        frozen, factors = self.frozen(), self.factors()
        for step in range(self.step + 1, self.step + count + 1):
            norms = 10 ** (self._base - 0.6 * math.log10(1 + step / 80) + self._random.normal(0, 0.08, len(self.names)))
            for name, value in (special or {}).items():
                norms[self.names.index(name)] = value
            norms[frozen] = FROZEN
            updates: NDArray[np.float32] | None = None
            weights: NDArray[np.float32] | None = None
            if step % self.config.watch_every == 0:
                size = self._size * (1 + step / 4000)
                moved = size * 10 ** (-3.2 + 0.35 * np.log10(np.abs(norms) + 1e-9) + 0.7) * factors * (self.rate / self.config.learning_rate)
                moved[norms == 0] = 0
                size[frozen] = moved[frozen] = FROZEN
                updates, weights = moved.astype(np.float32), size.astype(np.float32)
            loss = 2.3 / math.sqrt(1 + step / 60) + 0.06 * float(self._random.normal())
            row = StepRow(step, 1 + (step - 1) // 100, step / 12, loss, self.rate, 380.0, norms.astype(np.float32), updates, weights)
            rows.append(row)
        self.step += count
        self.store.append(
            self.id, rows, self._summarizer.add(rows), self.step / 12, step_seconds=self.step / 12, watch_seconds=self.step / 12 * 0.0117
        )
        while self.epoch < self.step // 100:
            self.epoch += 1
            gain = 1 - math.exp(-self.epoch / 3)
            row_ = EpochRow(self.epoch, 100 * self.epoch, self.epoch * 8.3, 2.3 - 1.8 * gain, 0.1 + 0.85 * gain, 2.3 - 1.7 * gain, 0.1 + 0.8 * gain)
            self.store.append_epoch(self.id, row_)

    def change(self, text: str, source: str = "live", ask: bool = True) -> None:
        """What a worker writes down when it has made a change, which holds from the next step on."""
        change = Change.model_validate(text)
        self.plan, self.multipliers = self.plan.then(change), self.multipliers.then(change)
        self.rate = change.learning_rate or self.rate
        if source == "live" and ask:
            command = self.store.request(self.id, CommandKind.CHANGE, str(change))
            (asked,) = [each for each in self.store.commands(self.id, waiting=True) if each.id == command]
            self.store.acknowledge(asked, self.step)
        row = ChangeRow(0, self.step + 1, "live" if source == "live" else "timeline", str(change), self.rate, self.frozen(), self.factors())
        self.store.append_change(self.id, row)

    def inspect(self, name: str, not_finite: int = 0) -> None:
        """Histograms of one layer, as a worker takes them."""
        counts, edges = np.histogram(self._random.normal(0, 0.05, 36_864), 60)
        weight = Histogram(float(edges[0]), float(edges[-1]), tuple(counts.tolist()))
        counts, edges = np.histogram(self._random.laplace(0, 2e-4, 36_864 - not_finite), 60)
        gradient = None if self.frozen()[self.names.index(name)] else Histogram(float(edges[0]), float(edges[-1]), tuple(counts.tolist()), not_finite)
        self.store.append_inspection(self.id, Inspection(0, self.step, name, weight, gradient))

    def finish(self, status: RunStatus = RunStatus.FINISHED, result: RunResult | None = None) -> None:
        """The run has ended."""
        self.store.end(self.id, status, result)


def lane(page: Page) -> dict[str, list[list[Any]]]:
    """The freeze lane: block to its stretches of steps, [first, last or None, state]."""
    found: dict[str, list[list[Any]]] = json.loads(page.locator(".thaw-live").last.evaluate("element => element.dataset.lane"))
    return found


def written(server: Server, page: Page, config: RunConfig, steps: int = 30) -> WrittenRun:
    """A run with some steps, on screen."""
    run = WrittenRun(store_of(server), config)
    run.train(steps)
    page.goto(f"{server.address}/train?run={run.id}")
    wait_for_steps(page, steps)
    return run


def section(page: Page, name: str) -> Locator:
    return page.locator(f"[data-panel={name}]")


FEW = RunConfig(model="resnet18", image_size=32, freeze="head only", epochs=10, learning_rate=0.002)
