"""The figures that a run ends with, measured with a clock that is made up: what counts as training, and what does not."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

from core.config import RunConfig
from core.data.loader import Batch
from core.machine.home import Home
from core.records.events import CommandKind, RunStatus
from core.reuse.partition import Partition
from core.signals.profiling import Stages
from core.store import RunStore
from core.training import trainer
from core.worker import recorder, worker
from core.worker.process import work

STEP, MEASURING, PAUSE = 0.25, 8.0, 1000.0
"""Seconds that the forward pass of a step takes here, that of a batch which is only measured, and a pause. Nothing else takes any."""

QUICK: dict[str, Any] = {
    "dataset": "digits_5_9", "validation_share": 0.5, "model": "small_cnn", "image_size": 8, "batch_size": 90,
    "epochs": 3, "threads": 1, "watch_budget": 1.0,
    "feature_cache": "off",
}  # fmt: skip


class MadeUp:
    """A clock that goes on only where something is done that takes time here; `sleep` is what a paused run does."""

    def __init__(self) -> None:
        self.now = 5000.0
        self.slept = 0
        self.module = SimpleNamespace(perf_counter=self, monotonic=self, time=self, sleep=self.sleep)
        self.on_sleep: Callable[[], object] = lambda: None

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += PAUSE
        self.slept += 1
        self.on_sleep()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch, one_thread: None) -> MadeUp:
    clock = MadeUp()
    for module in (worker, recorder):
        monkeypatch.setattr(module, "time", clock.module)
    monkeypatch.setattr(trainer, "Stages", lambda: Stages(clock))
    return clock


def forwards(monkeypatch: pytest.MonkeyPatch, clock: MadeUp, at: dict[int, Callable[[], object]]) -> None:
    """Have forward passes take their time, and `at` the forward pass of some steps something happen."""
    really, steps = Partition.forward, iter(range(1, 1000))

    def forward(partition: Partition, batch: Batch, *stages: Any) -> Any:
        output = really(partition, batch, *stages)
        clock.now += STEP if stages else MEASURING
        if stages:  # only a step of training times its parts
            at.get(next(steps), lambda: None)()
        return output

    monkeypatch.setattr(Partition, "forward", forward)


def test_seconds_leave_pauses_out_and_samples_a_second_all_but_training(
    home: Home, store: RunStore, clock: MadeUp, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = store.create_run(RunConfig(**QUICK))
    pause, resume = (partial(store.request, run_id, kind) for kind in (CommandKind.PAUSE, CommandKind.RESUME))
    clock.on_sleep = lambda: resume() if clock.slept == 3 else None
    forwards(monkeypatch, clock, {2: pause})
    assert work(home, run_id) is RunStatus.FINISHED
    run = store.run(run_id)
    assert clock.slept == 3, "it was paused, and three looks for commands later it was not any more"
    assert run.plan is not None
    assert run.result is not None
    steps = run.plan.total_steps
    assert steps == run.result.steps == 3 * -(-run.plan.train_samples // 90)
    validating, testing = (MEASURING * -(-samples // 90) for samples in (run.plan.validation_samples, run.plan.test_samples))
    assert run.result.seconds == pytest.approx(steps * STEP + 3 * validating + testing)
    assert run.result.samples_per_second == pytest.approx(3 * run.plan.train_samples / (steps * STEP))
    assert run.step_seconds == pytest.approx(steps * STEP)
    assert run.stages is not None
    assert run.stages.seconds["forward"] == pytest.approx(steps * STEP)
    rows = store.epochs_after(run_id)
    in_an_epoch = run.plan.steps_per_epoch * STEP + validating
    assert [row.time for row in rows] == pytest.approx([in_an_epoch, 2 * in_an_epoch, 3 * in_an_epoch])


def test_the_pace_of_a_step_counts_neither_the_pause_nor_the_measuring_before_it(
    home: Home, store: RunStore, clock: MadeUp, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = store.create_run(RunConfig(**QUICK))
    pause, resume = (partial(store.request, run_id, kind) for kind in (CommandKind.PAUSE, CommandKind.RESUME))
    clock.on_sleep = resume
    forwards(monkeypatch, clock, {2: pause, 5: pause})
    work(home, run_id)
    run = store.run(run_id)
    assert clock.slept == 2
    assert run.stages is not None
    assert run.stages.pace == pytest.approx(STEP)
    assert run.active_seconds < PAUSE


def test_a_run_that_is_stopped_while_it_is_paused_does_not_count_the_pause(
    home: Home, store: RunStore, clock: MadeUp, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = store.create_run(RunConfig(**QUICK))
    clock.on_sleep = partial(store.request, run_id, CommandKind.STOP)
    forwards(monkeypatch, clock, {2: partial(store.request, run_id, CommandKind.PAUSE)})
    assert work(home, run_id) is RunStatus.STOPPED
    run = store.run(run_id)
    assert run.result is not None
    assert (clock.slept, run.result.steps) == (1, 2)
    assert run.result.seconds == pytest.approx(2 * STEP)
    assert run.result.samples_per_second == pytest.approx(2 * 90 / (2 * STEP))


def test_a_run_that_is_stopped_before_its_first_step_divides_by_nothing(home: Home, store: RunStore, clock: MadeUp) -> None:
    run_id = store.create_run(RunConfig(**QUICK))
    store.request(run_id, CommandKind.STOP)
    assert work(home, run_id) is RunStatus.STOPPED
    run = store.run(run_id)
    assert run.result is None or run.result.samples_per_second == run.result.seconds == 0
