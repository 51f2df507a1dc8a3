"""From a trainer's step reports, still on the device, to rows in the store: a few times a second, all steps at once."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from core.doctor.doctor import Doctor, Units
from core.records.events import FROZEN, NOT_MEASURED, EpochRow, Signal, Stage, StepBlock
from core.records.profile import StepTimes
from core.records.summaries import NOTHING, Summarizer
from core.records.time_left import TimeLeft
from core.signals.watch import Spent, pace_for
from core.store import RunStore
from core.training.trainer import StepReport, Trainer

FLUSH_SECONDS = 0.25
"""How often steps are written, at most: often enough to look live, seldom enough that a commit and a device wait cost little."""

FIRST_FLUSH_SECONDS = 0.05
"""The first steps are written sooner: somebody waits for them, and they tell what watching costs."""

LONGEST_FLUSH_SECONDS = 1.0
"""How seldom steps are written where writing is slow: a crash costs no more, and a chart still looks live."""

FLUSH_SHARE = 0.35
"""Part of the budget for watching that writing may take."""

THIN_SECONDS = 0.1
"""Training after which it is worked out anew how often to measure."""

RECENT_SECONDS = 5.0
"""What counts as recent in `StepTimes`."""

MOST_WAITING = 4096
"""Steps kept on the device at most before they are written, whatever the clock says."""


class Clock:
    """Seconds of training: a stopwatch that a pause stops."""

    def __init__(self, before: float = 0.0) -> None:
        self._before = before
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
    """Collects the step reports of `trainer` and writes them in batches, with what watching costs; has it watch less where that is too much.

    `clock` runs from the first step. `doctor` is told what was recorded, and what it finds is written too.
    """

    def __init__(self, store: RunStore, run_id: str, trainer: Trainer, doctor: Doctor) -> None:
        self.store = store
        self.run_id = run_id
        self.clock = Clock()
        self.samples = 0
        self.steps = 0
        self.time_left = TimeLeft()
        self.time_left.translated = trainer.partition.compiled
        self._over = False  # whether an epoch is over, and the next has not begun
        self._stages = trainer.stages
        self._watch = trainer.watch
        self.doctor = doctor
        self._launches = trainer.device.type != "cpu"
        self._summarizer = Summarizer()
        self._waiting: list[tuple[StepReport, float, float]] = []
        self._epochs: list[EpochRow] = []
        self._last_time = 0.0
        self._last_flush = time.perf_counter()
        self._patience = FIRST_FLUSH_SECONDS
        self._norm_seconds = 0.0  # spent on writing gradient norms down
        self._before = Spent()
        self._norm_cost = self._look_cost = 0.0
        self._history: deque[tuple[float, int, dict[Stage, float]]] = deque([(time.perf_counter(), 0, {})])

    def memory(self) -> dict[str, Any]:
        """Where signals stand. For after `flush`."""
        return {
            "seconds": self.clock.seconds,
            "samples": self.samples,
            "steps": self.steps,
            "stages": dict(self._stages.seconds),
            "buckets": self._summarizer.memory(),
        }

    def remember(self, memory: Mapping[str, Any]) -> None:
        """Go on where another recorder of the same run stood."""
        self.clock = Clock(memory["seconds"])
        self.samples, self.steps = memory["samples"], memory["steps"]
        self._stages.seconds.update(memory["stages"])
        self._summarizer.remember(memory["buckets"])
        self._last_time = memory["seconds"]
        self._history = deque([(time.perf_counter(), self.steps, dict(self._stages.seconds))])
        watch = self._watch
        self._before = Spent(
            self.steps, self.step_seconds, self.watch_seconds, watch.norm_seconds, watch.norms_measured, watch.look_seconds, watch.looks_taken
        )

    @property
    def step_seconds(self) -> float:
        """Seconds of training steps so far, without validation and pauses."""
        return sum(self._stages.seconds.values())

    @property
    def watch_seconds(self) -> float:
        """What watching them has cost: measuring, and all that is done with what was measured."""
        return self._stages.seconds.get("watching", 0.0) + self._stages.seconds.get("recording", 0.0)

    def add(self, report: StepReport) -> None:
        """Take a step. Waits for the device only when it is time to write."""
        now = self.clock.seconds
        if self._over:
            self._over = False
            self.time_left.epoch()
        self.time_left.step(now - self._last_time)
        self._waiting.append((report, now, report.samples / max(now - self._last_time, 1e-9)))
        self._last_time = now
        if time.perf_counter() - self._last_flush > self._patience or len(self._waiting) >= MOST_WAITING:
            self._write()

    def add_epoch(self, row: EpochRow) -> None:
        """Take an epoch, which is over. It is written with its last steps: where an epoch takes milliseconds, a commit for each would take longer."""
        self._epochs.append(row)
        self._over = True
        self.doctor.epoch(row)
        if time.perf_counter() - self._last_flush > self._patience:
            self.flush()

    def not_a_step(self) -> None:
        """Time up to now went into something else (validation, a pause): the next step's pace does not count it."""
        now = self.clock.seconds
        self.time_left.aside(now - self._last_time)
        self._last_time = now
        self._stages.begin()

    def flush(self) -> None:
        """Write what is waiting. For between two steps: `add` does it by itself."""
        self._stages.begin()
        self._write()

    def _write(self) -> None:
        waiting, self._waiting = self._waiting, []
        epochs, self._epochs = self._epochs, []
        self._last_flush = time.perf_counter()
        if not waiting:
            for row in epochs:
                self.store.append_epoch(self.run_id, row)
            return
        reports = [report for report, _, _ in waiting]
        if self._launches:
            self._stages.done("recording")
        columns = _fetch(reports)
        if self._launches:  # fetching waits for training
            self._stages.done("waiting")
        began = time.perf_counter()
        measured = [report for report in reports if report.gradient_norms is not None]
        looked = [report for report in reports if report.sample is not None]
        norms = _signal(columns.gradient_norms, measured, reports)
        self._norm_seconds += time.perf_counter() - began
        block = StepBlock(
            np.array([report.step for report in reports]),
            np.array([report.epoch for report in reports]),
            np.array([seconds for _, seconds, _ in waiting]),
            columns.loss,
            np.array([report.learning_rate for report in reports]),
            np.array([pace for _, _, pace in waiting]),
            norms,
            _signal(columns.update_norms, looked, reports),
            _signal(columns.weight_norms, looked, reports),
            np.where(reports[-1].frozen, FROZEN, NOT_MEASURED).astype(np.float32),
        )
        self.steps += len(waiting)
        self.samples += sum(report.samples for report in reports)
        self._thin()
        levels = self._summarizer.add(block, np.array([report.samples for report in reports], np.float64))
        times = self._times()
        self.store.append(self.run_id, block, levels, self.clock.seconds, self.step_seconds, self.watch_seconds, times, epochs)
        units = [Units(report.step, report.frozen, row) for report, row in zip(looked, columns.unit_norms, strict=True)]
        self.doctor.steps(block, units, times)
        if self.doctor.news:
            self.store.set_findings(self.run_id, self.doctor.diagnosis())
        # A commit waits for the disk: where that is slow, fewer of them.
        self._patience = min(max(FLUSH_SECONDS, (time.perf_counter() - began) / (FLUSH_SHARE * self._watch.budget)), LONGEST_FLUSH_SECONDS)
        self._stages.done("recording")

    def _thin(self) -> None:
        """Have the watch measure as often as its budget allows, after what the last steps cost."""
        watch = self._watch
        spent = Spent(
            self.steps, self.step_seconds, self.watch_seconds, watch.norm_seconds + self._norm_seconds, watch.norms_measured,
            watch.look_seconds, watch.looks_taken,
        )  # fmt: skip
        new = spent.since(self._before)
        if new.seconds < THIN_SECONDS:
            return
        self._before = spent
        if new.norms_measured:
            self._norm_cost = new.norms / new.norms_measured
        if new.looks_taken:
            self._look_cost = new.looks / new.looks_taken
        watch.pace = pace_for(new, self._norm_cost, self._look_cost, watch.pace, watch.every, watch.budget)

    def _times(self) -> StepTimes:
        seconds = dict(self._stages.seconds)
        now = time.perf_counter()
        self._history.append((now, self.steps, seconds))
        while len(self._history) > 2 and now - self._history[1][0] > RECENT_SECONDS:
            self._history.popleft()
        _, steps, before = self._history[0]
        recent = {stage: total - before.get(stage, 0.0) for stage, total in seconds.items()}
        pace = self._watch.pace
        return StepTimes(
            self.steps, seconds, self.steps - steps, recent, self._launches, pace.norms, pace.looks, self._watch.budget,
            self.time_left.seconds, self.time_left.between,
        )  # fmt: skip


@dataclass(frozen=True)
class _Fetched:
    """Values of some steps: losses float64[n], and rows of norms for those at which they were measured, oldest first."""

    loss: NDArray[np.float64]
    gradient_norms: list[NDArray[np.float32]]
    update_norms: list[NDArray[np.float32]]
    weight_norms: list[NDArray[np.float32]]
    unit_norms: list[NDArray[np.float32]]


def _fetch(reports: Sequence[StepReport]) -> _Fetched:
    """What the reports hold on the device, with a single transfer and a single wait for all of it."""
    samples = [report.sample for report in reports if report.sample is not None]
    kinds = (
        [report.gradient_norms for report in reports if report.gradient_norms is not None],
        [sample.update_norms for sample in samples],
        [sample.weight_norms for sample in samples],
        [sample.unit_norms for sample in samples],
    )
    losses = torch.stack([report.loss for report in reports]).float()
    flat = torch.cat([losses, *(tensor for kind in kinds for tensor in kind)]).cpu().numpy()
    first = len(losses)
    found: list[list[NDArray[np.float32]]] = []
    for kind in kinds:
        found.append([])
        for tensor in kind:
            found[-1].append(flat[first : first + tensor.numel()])
            first += tensor.numel()
    return _Fetched(flat[: len(losses)].astype(np.float64), *found)


def _signal(rows: list[NDArray[np.float32]], measured: Sequence[StepReport], reports: Sequence[StepReport]) -> Signal:
    """The norms in `rows`, one for each of the reports in `measured`, with their places among all `reports`; `FROZEN` where a tensor was frozen."""
    if not rows:
        return Signal(np.full(len(reports), -1), NOTHING)
    steps = np.array([report.step for report in measured])
    place = np.full(len(reports), -1)
    place[steps - reports[0].step] = np.arange(len(rows))
    whole = np.full((len(rows), len(measured[0].frozen)), FROZEN, np.float32)
    first = 0
    for _, those in groupby(measured, key=lambda report: id(report.frozen)):  # the same array until the plan changes
        last = first + sum(1 for _ in those)
        whole[first:last, ~measured[first].frozen] = rows[first:last]
        first = last
    return Signal(place, whole)
