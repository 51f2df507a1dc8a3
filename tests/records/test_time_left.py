"""How long a run still takes: from steps like those to come, whatever the ones before a change or the building of caches took."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.config import RunConfig
from core.machine.home import Home
from core.records.events import Layer, RunPlan, RunStatus, StepRow
from core.records.profile import StepTimes
from core.records.time_left import RECENT_SECONDS, TimeLeft
from core.store import RunStore
from core.worker.worker import Worker

TIMES = StepTimes(10, {"forward": 1.0}, 10, {"forward": 1.0}, False, 1, 10, 0.02, pace=0.5, between=3.0)
PLAN = RunPlan((Layer("a.weight", (1,), 1, False),), 10, 40, ("cat", "dog"), 100, 0, 10, "cpu")


def test_the_first_step_counts_only_as_long_as_it_is_alone() -> None:
    pace = TimeLeft()
    assert pace.seconds is None
    pace.step(8.0)
    assert pace.seconds == 8.0
    pace.step(1.0)
    pace.step(2.0)
    assert pace.seconds == 1.5


def test_a_first_step_that_translates_the_model_is_no_estimate() -> None:
    """It took 15 s, the next ones 10 ms: 180 steps were said to take 52 minutes."""
    pace = TimeLeft()
    pace.translated = True
    for _ in range(2):
        pace.step(15.0)
        assert pace.seconds is None
        pace.step(0.01)
        assert pace.seconds == 0.01
        pace.anew()


def test_steps_of_before_a_change_say_nothing_of_those_after_it() -> None:
    pace = TimeLeft()
    for _ in range(20):
        pace.step(0.1)
    pace.anew()
    assert pace.seconds is None
    pace.step(4.0)
    for _ in range(3):
        pace.step(2.0)
    assert pace.seconds == 2.0


def test_old_steps_of_a_long_stretch_fade() -> None:
    pace = TimeLeft()
    for _ in range(20):
        pace.step(0.5)
    for _ in range(40):
        pace.step(2.0)
    assert pace.seconds == 2.0
    assert pace.seconds * 15 == RECENT_SECONDS


def test_an_epoch_in_which_features_are_computed_is_no_estimate_of_those_that_fetch_them() -> None:
    pace = TimeLeft()
    pace.filling = True
    for _ in range(10):
        pace.step(20.0)
    assert pace.seconds is None  # not 2 h 18 min
    pace.aside(30.0)
    pace.epoch()
    assert pace.between == 0.0  # the validation pictures were computed too
    pace.filling = False
    pace.anew()
    pace.step(0.02)
    pace.step(0.01)
    assert pace.seconds == 0.01
    pace.aside(0.25)
    pace.aside(0.5)
    pace.epoch()
    assert pace.between == 0.75


def test_features_that_are_never_all_there_give_an_estimate_after_the_first_epoch() -> None:
    pace = TimeLeft()
    pace.filling = True
    pace.step(3.0)
    pace.step(2.0)
    pace.epoch()
    assert pace.seconds == 2.0


@pytest.mark.parametrize(
    ("step", "times", "left"),
    [
        (10, TIMES, 30 * 0.5 + 3 * 3.0),
        (15, TIMES, 25 * 0.5 + 3 * 3.0),
        (40, TIMES, 0.0),
        (10, replace(TIMES, pace=None), None),
    ],
)
def test_what_is_left_is_steps_and_what_lies_between_epochs(tmp_path: Path, step: int, times: StepTimes, left: float | None) -> None:
    store = RunStore(tmp_path / "runs.db")
    run_id = store.create_run(RunConfig())
    store.begin(run_id, PLAN)
    one = np.ones(1, np.float32)
    store.append(run_id, [StepRow(number, 1, 0.0, 1.0, 0.1, 1.0, one) for number in range(1, step + 1)], active_seconds=900.0, times=times)
    assert store.run(run_id).seconds_left == left
    store.end(run_id, RunStatus.STOPPED)
    assert store.run(run_id).seconds_left is None


def test_times_that_an_older_version_wrote_give_no_estimate(tmp_path: Path) -> None:
    store = RunStore(tmp_path / "runs.db")
    run_id = store.create_run(RunConfig())
    store.begin(run_id, PLAN)
    store.append(run_id, [StepRow(1, 1, 0.0, 1.0, 0.1, 1.0, np.ones(1, np.float32))], times=TIMES)
    store._connection.execute("UPDATE runs SET stages = json_remove(stages, '$.pace', '$.between')")
    assert store.run(run_id).stages == replace(TIMES, pace=None, between=0.0)
    assert store.run(run_id).seconds_left is None


def test_a_run_with_kept_features_and_a_thaw_begins_its_pace_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Home.from_environment(str(tmp_path))
    store = RunStore(home.database)
    begun: list[tuple[bool, int]] = []
    taken = 0

    class Told(TimeLeft):
        def anew(self) -> None:
            begun.append((self.filling, taken))
            super().anew()

        def step(self, seconds: float) -> None:
            nonlocal taken
            taken += 1
            super().step(seconds)

    monkeypatch.setattr("core.worker.recorder.TimeLeft", Told)
    values: dict[str, Any] = {"image_size": 8, "model": "small_cnn", "threads": 1, "freeze": "head only", "epochs": 4}
    run_id = store.create_run(RunConfig(**values, timeline="4: train everything"))
    Worker(home, store, run_id).run()
    run = store.run(run_id)
    assert run.plan is not None
    epoch = run.plan.steps_per_epoch
    assert begun[0] == (True, 1)  # the first batch was computed
    assert (False, epoch) in [(filling, step // epoch * epoch) for filling, step in begun]  # all of it is there from the second epoch on
    assert 3 * epoch in [step for _, step in begun]  # the thaw
