"""What the tests of comparing share: runs that nobody trained, whose rows are made up and written here."""

from __future__ import annotations

from typing import Any

import numpy as np

from core.config import RunConfig
from core.records.events import FROZEN, ChangeRow, EpochRow, Layer, RunPlan, RunStatus, StepRow
from core.records.summaries import Summarizer
from core.store import RunStore
from core.worker.supervisor import this_process

LAYERS = (Layer("conv.weight", (4, 3, 3, 3), 108, True, "conv"), Layer("fc.weight", (10, 4), 40, False, "fc"))


class MadeRun:
    """A run with as many steps as `train` is asked for, ten to an epoch; its loss at step n is 100 / n."""

    def __init__(self, store: RunStore, layers: tuple[Layer, ...] = LAYERS, alive: bool = False, **settings: Any) -> None:
        """`alive`: it belongs to this process, so that no server takes it for lost."""
        self.store = store
        self.id = store.create_run(
            RunConfig(**{"model": "small_cnn", "image_size": 32, "epochs": 100, **settings}), this_process() if alive else None
        )
        self.layers = layers
        self.step = 0
        self._summarizer = Summarizer()
        store.begin(self.id, RunPlan(layers, 10, 1000, ("a", "b"), 320, 32, 32, "cpu"))

    def train(self, count: int) -> None:
        """Take `count` more steps, and end the epochs that they complete."""
        frozen = np.array([layer.frozen for layer in self.layers])
        norms = np.where(frozen, FROZEN, 0.5).astype(np.float32)
        first = self.step + 1
        self.step += count
        rows = [StepRow(step, 1 + (step - 1) // 10, step * 2.0, 100 / step, 1e-3, 640.0, norms) for step in range(first, self.step + 1)]
        self.store.append(self.id, rows, self._summarizer.add(rows), self.step * 2.0)
        for step in range(first, self.step + 1):
            if step % 10 == 0:
                epoch = step // 10
                self.store.append_epoch(self.id, EpochRow(epoch, step, step * 2.0, 1 / epoch, 0.5, 1 / epoch, 1 - 1 / (1 + min(epoch, 5))))

    def thaw(self) -> None:
        """Everything learns from the next step on."""
        held = np.zeros(len(self.layers), np.bool_)
        self.store.append_change(self.id, ChangeRow(0, self.step + 1, "live", "all", 1e-3, held, np.ones(len(self.layers), np.float32)))

    def end(self, status: RunStatus = RunStatus.FINISHED) -> None:
        self.store.end(self.id, status)
