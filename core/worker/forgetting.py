"""The forgetting meter: how far each tensor is from its start, and how well the old task is still done, while a run trains."""

from __future__ import annotations

import time
from collections.abc import Collection
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from core.config import RunConfig
from core.machine.home import Home
from core.records.forgetting import ForgettingRow
from core.store.checkpoint import listed
from core.store.patience import PatientStore
from core.training.trainer import ChangeReport, EpochReport, Report, StepReport, TrainedReport, Trainer
from core.worker.old_task import OldTask, Progress, find

SHARE = 0.05
"""Part of the training time that measuring may take, besides once before the first step, before each change, and at the end."""

FEWEST_SECONDS = 0.5
"""What lies between two measurements at least, but for those."""


class Forgetting:
    """Measures one run, where its config asks for it; else it does nothing."""

    def __init__(self, store: PatientStore, run_id: str, config: RunConfig, folder: Path) -> None:
        self._store = store
        self._run_id = run_id
        self._config = config
        self._folder = folder
        self._task: OldTask | None = None
        self._start: dict[str, Tensor] = {}
        self._at_random: frozenset[str] = frozenset()
        self._last = -1
        self._began = self._ended = time.monotonic()
        self._spent = 0.0

    def begin(self, trainer: Trainer, home: Home, at_random: Collection[str], progress: Progress) -> str:
        """Find the old task and remember where each tensor started; returns a sentence on what is measured, empty where nothing is.

        Args:
            at_random: names of the tensors that start at random: they know nothing that could be forgotten.

        Raises:
            ConfigError: on `old_task`, see `core.worker.old_task.find`.
        """
        if not self._config.forgetting:
            return ""
        self._task, said = find(self._config, home, trainer.device, progress)
        self._start = {name: each.detach().to("cpu", copy=True) for name, each in trainer.model.named_parameters()}
        self._at_random = frozenset(at_random)
        self._began = time.monotonic()
        return said

    def go_on(self, trainer: Trainer) -> None:
        """The run goes on from a checkpoint: where it started is in its folder, and what started at random in what was measured then."""
        if not self._config.forgetting:
            return
        first = next((kept for kept in listed(self._folder) if kept.epoch == 0), None)
        if first is not None:
            self._start |= {name: tensor for name, tensor in torch.load(first.path, weights_only=True).items() if name in self._start}
        rows = self._store.forgetting_after(self._run_id)
        if rows:
            self._at_random = frozenset(name for name, moved in zip(self._start, rows[0].moved.tolist(), strict=True) if np.isnan(moved))
            self._last = rows[-1].step

    def see(self, trainer: Trainer, report: Report | None = None) -> bool:
        """Measure, if that is due behind what was reported (None: before the first step). True: it took time that is no step's."""
        if not self._config.forgetting:
            return False
        now = time.monotonic()
        worthwhile = self._spent <= SHARE * (now - self._began) and now - self._ended >= FEWEST_SECONDS
        match report:
            case None | ChangeReport() | TrainedReport():
                due = True
            case StepReport() | EpochReport():
                due = worthwhile
            case _:  # behind the last step early stopping may bring back the weights of an earlier epoch: what is told is of the training
                due = False
        if not due or trainer.step == self._last:
            return False
        self._measure(trainer)
        self._ended = time.monotonic()
        self._spent += self._ended - now
        return True

    @torch.no_grad()
    def _measure(self, trainer: Trainer) -> None:
        began = time.monotonic()
        moved, start = [], []
        for name, each in trainer.model.named_parameters():
            if name in self._at_random:
                moved.append(np.nan)
                start.append(np.nan)
                continue
            before = self._start[name].to(trainer.device)
            moved.append(float(torch.linalg.vector_norm((each.detach() - before).float())))
            start.append(float(torch.linalg.vector_norm(before.float())))
        accuracy = self._task.accuracy(trainer.model, trainer.device) if self._task else None
        pictures = len(self._task.labels) if self._task else 0
        self._last = trainer.step
        row = ForgettingRow(trainer.step, accuracy, pictures, time.monotonic() - began, np.array(moved, np.float32), np.array(start, np.float32))
        self._store.append_forgetting(self._run_id, row)
