"""From a trainer's step reports, still on the device, to rows in the store: a few times a second, all steps at once."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from core.events import FROZEN, StepRow
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
    """Collects step reports and writes them in batches. `clock` runs from the first step.

    `watch_seconds` is what recording has cost so far, in seconds; `elsewhere` are seconds that others spent on watching.
    """

    def __init__(self, store: RunStore, run_id: str) -> None:
        self.store = store
        self.run_id = run_id
        self.clock = Clock()
        self.samples = 0
        self.step_seconds = 0.0  # training steps alone, without validation and pauses
        self.watch_seconds = 0.0
        self.elsewhere = 0.0
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
        reports = [report for report, _, _ in waiting]
        columns = _fetch([tensor for report in reports for tensor in _tensors(report)])
        began = time.perf_counter()  # not before: on an accelerator, fetching waits for training
        steps: list[StepRow] = []
        levels: list[LevelRow] = []
        for report, seconds, pace in waiting:
            loss, *norms = (next(columns) for _ in _tensors(report))
            rows = [_whole(row, report.frozen) for row in norms]
            step = StepRow(report.step, report.epoch, seconds, float(loss[0]), report.learning_rate, pace, *rows)
            steps.append(step)
            levels.extend(self._summarizer.add(step))
        watched = self.watch_seconds + self.elsewhere
        self.store.append(self.run_id, steps, levels, self.clock.seconds, self.step_seconds, watched)
        self.watch_seconds += time.perf_counter() - began


def _tensors(report: StepReport) -> tuple[torch.Tensor, ...]:
    """What is to be fetched of a report: the loss, then norms in the order of `StepRow`."""
    sample = report.sample
    return (report.loss, report.gradient_norms, *((sample.update_norms, sample.weight_norms) if sample else ()))


def _fetch(tensors: list[torch.Tensor]) -> Iterator[NDArray[np.float32]]:
    """The tensors' values, flat, with a single transfer and a single wait for all of them."""
    flat = torch.cat([tensor.float().reshape(-1) for tensor in tensors]).cpu().numpy()
    ends = np.cumsum([tensor.numel() for tensor in tensors])
    return iter(np.split(flat, ends[:-1]))


def _whole(norms: NDArray[np.float32], frozen: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Norms of the tensors that learn, with `FROZEN` in the places of the others."""
    row = np.full(len(frozen), FROZEN, dtype=np.float32)
    row[~frozen] = norms
    return row
