"""A run that nobody trained: made-up steps in a real store, for measuring what looking at it costs."""

from __future__ import annotations

import math
import os
import threading
import time

import numpy as np
import psutil

from core.config import RunConfig
from core.records.events import Layer, RunPlan, StepRow
from core.records.summaries import Summarizer
from core.store import RunStore

LAYERS = 62
"""As many parameter tensors as resnet18 has."""


class SyntheticRun:
    """A run with `steps` steps of history, which `grow` then goes on with. It belongs to this process, so it counts as alive."""

    def __init__(self, store: RunStore, steps: int) -> None:
        self.store = store
        self.id = store.create_run(RunConfig(epochs=100_000))
        self.step = 0
        self._summarizer = Summarizer()
        self._norms = np.random.default_rng(0).lognormal(-2, 1, (64, LAYERS)).astype(np.float32)
        layers = tuple(Layer(f"layer{index // 15}.{index}.weight", (64, 64), 4096, False) for index in range(LAYERS))
        me = psutil.Process(os.getpid())
        store.set_process(self.id, me.pid, me.create_time())
        store.begin(self.id, RunPlan(layers, 1000, 100_000_000, ("a", "b"), 32_000, 0, 1000, "cpu"))
        while self.step < steps:
            self.append(min(10_000, steps - self.step))

    def append(self, count: int) -> None:
        """Add `count` steps in one transaction, with the summaries that they complete."""
        rows: list[StepRow] = []
        for step in range(self.step + 1, self.step + count + 1):
            loss = 2.3 / math.sqrt(1 + step / 100) + 0.1 * math.sin(step)
            row = StepRow(step, 1 + step // 1000, step / 20, loss, 1e-3, 640.0, self._norms[step % 64])
            rows.append(row)
        self.step += count
        self.store.append(self.id, rows, self._summarizer.add(rows), self.step / 20)

    def grow(self, steps_a_second: float, until: threading.Event) -> None:
        """Append steps four times a second, as a worker does, until the event is set."""
        began, before = time.monotonic(), self.step
        while not until.wait(0.25):
            self.append(max(0, int((time.monotonic() - began) * steps_a_second) - (self.step - before)))
