"""From a trainer's step reports, still on the device, to rows in the store: a few times a second, all steps at once."""

from __future__ import annotations

import time

import numpy as np
import torch

from core.events import FROZEN, RunPlan, StepRow
from core.store import LevelRow, RunStore, Summarizer
from core.trainer import StepReport

FLUSH_SECONDS = 0.25
"""How often steps are written: often enough to look live, seldom enough that a commit and a device wait cost nothing."""

MOST_WAITING = 4096
"""Steps kept on the device at most before they are written, whatever the clock says."""


class Clock:
    """Seconds of training: a stopwatch that a pause stops."""

    def __init__(self) -> None:
        self._before = 0.0
        self._since: float | None = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Seconds run so far."""
        return self._before + (time.perf_counter() - self._since if self._since is not None else 0.0)

    def pause(self) -> None:
        """Stop counting."""
        self._before, self._since = self.seconds, None

    def resume(self) -> None:
        """Count on."""
        self._since = time.perf_counter()


class Recorder:
    """Collects step reports and writes them in batches. `clock` runs from the first step."""

    def __init__(self, store: RunStore, run_id: str, plan: RunPlan) -> None:
        self.store = store
        self.run_id = run_id
        self.clock = Clock()
        self.samples = 0
        self.step_seconds = 0.0  # training steps alone, without validation and pauses
        self._trainable = np.array([not layer.frozen for layer in plan.layers])
        self._summarizer = Summarizer()
        self._waiting: list[tuple[StepReport, float, float]] = []
        self._last_time = 0.0
        self._last_flush = time.monotonic()

    def add(self, report: StepReport) -> None:
        """Take a step. Waits for the device only when it is time to write."""
        now = self.clock.seconds
        seconds = max(now - self._last_time, 1e-9)
        self._waiting.append((report, now, report.samples / seconds))
        self._last_time = now
        self.step_seconds += seconds
        self.samples += report.samples
        if time.monotonic() - self._last_flush > FLUSH_SECONDS or len(self._waiting) >= MOST_WAITING:
            self.flush()

    def not_a_step(self) -> None:
        """Time up to now went into something else (validation, a pause): the next step's pace does not count it."""
        self._last_time = self.clock.seconds

    def flush(self) -> None:
        """Write what is waiting."""
        waiting, self._waiting = self._waiting, []
        self._last_flush = time.monotonic()
        if not waiting:
            return
        # One transfer for all: [steps, 1 + trainable tensors].
        measured = torch.stack([torch.cat([report.loss.float().reshape(1), report.gradient_norms]) for report, _, _ in waiting]).cpu().numpy()
        norms = np.full((len(waiting), len(self._trainable)), FROZEN, dtype=np.float32)
        norms[:, self._trainable] = measured[:, 1:]
        steps: list[StepRow] = []
        levels: list[LevelRow] = []
        for (report, seconds, pace), row, row_norms in zip(waiting, measured, norms, strict=True):
            step = StepRow(report.step, report.epoch, seconds, float(row[0]), report.learning_rate, pace, row_norms)
            steps.append(step)
            levels.extend(self._summarizer.add(step))
        self.store.append(self.run_id, steps, levels, self.clock.seconds)
