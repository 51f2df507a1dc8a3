"""How long a run will take, by those that were like it: a figure only where one is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from core.config import RunConfig
from core.records.events import RunPlan, RunResult, RunStatus, StepRow
from core.records.profile import StepTimes
from core.store import RunStore
from core.store.time_taken import NO_MATTER, time_taken

TEN = RunConfig(model="small_cnn", image_size=32, epochs=10)


@pytest.fixture
def known(store: RunStore) -> RunStore:
    """A store with a run of 10 epochs that took 30 s: 36 steps an epoch, of 0.05 s at the end, and 0.2 s between two epochs."""
    finished(store, TEN, 30.0)
    return store


def finished(store: RunStore, config: RunConfig, seconds: float, status: RunStatus = RunStatus.FINISHED) -> None:
    run_id = store.create_run(config)
    store.begin(run_id, RunPlan((), 36, 36 * config.epochs, tuple("0123456789"), 1150, 288, 359, "cpu"))
    times = StepTimes(1, {}, 1, {}, False, 1, 1, 0.02, pace=0.05, between=0.2)
    store.append(
        run_id,
        [StepRow(1, 1, 0.0, 1.0, 0.001, 100.0, np.zeros(1, np.float32))],
        (),
        active_seconds=seconds,
        step_seconds=seconds,
        watch_seconds=0.1,
        times=times,
    )
    store.end(run_id, status, RunResult(config.epochs, 36 * config.epochs, 0.5, 0.8, 0.4, 0.9, 0.3, 0.9, seconds, 575.0, "weights.pth"))


def test_a_run_with_the_same_settings_takes_as_long_as_the_last_one_did(known: RunStore) -> None:
    assert time_taken(known, TEN.replace(seed=3, learning_rate=0.1), 1150) == 30.0
    finished(known, TEN, 40.0)
    assert time_taken(known, TEN, 1150) == 40.0
    assert time_taken(known, TEN, None) == 40.0


def test_further_epochs_take_what_the_last_ones_did(known: RunStore) -> None:
    an_epoch = 36 * 0.05 + 0.2
    assert time_taken(known, TEN.replace(epochs=25), 1150) == pytest.approx(30 + 15 * an_epoch)
    assert time_taken(known, TEN.replace(epochs=9), 1150) == pytest.approx(30 - an_epoch)


@pytest.mark.parametrize("other", [
    {"model": "mlp"}, {"image_size": 64}, {"batch_size": 16}, {"freeze": "head only"}, {"device": "cpu"}, {"dataset": "shapes"},
    {"timeline": "2: all"}, {"feature_cache": "off"},
])  # fmt: skip
def test_no_time_is_said_from_a_run_that_was_another(known: RunStore, other: dict[str, Any]) -> None:
    assert not other.keys() & set(NO_MATTER)
    assert time_taken(known, TEN.replace(**other), 1150) is None


def test_no_time_is_said_where_pictures_came_or_a_run_did_not_finish(store: RunStore) -> None:
    finished(store, TEN, 30.0, RunStatus.STOPPED)
    assert time_taken(store, TEN, 1150) is None
    finished(store, TEN, 30.0)
    assert time_taken(store, TEN, 1151) is None


def test_with_a_timeline_only_as_many_epochs_are_alike(store: RunStore) -> None:
    thawing = TEN.replace(freeze="head only", timeline="3: all")
    finished(store, thawing, 30.0)
    assert time_taken(store, thawing, 1150) == 30.0
    assert time_taken(store, thawing.replace(epochs=20), 1150) is None
