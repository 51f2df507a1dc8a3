"""What waiting runs are said to wait for, and for how long."""

from __future__ import annotations

from typing import Any

import pytest

from core.config import RunConfig
from core.records.events import RunPlan, RunStatus
from core.records.profile import StepTimes
from core.store import Run, RunStore
from core.store.waiting import in_words, queue_of, told

PLAN = RunPlan((), 10, 100, ("a", "b"), 20, 5, 5, "cpu")


def run(name: str, left: float | None = None, **columns: Any) -> Run:
    """A run with so many seconds left: 100 steps and nothing between epochs."""
    times = None if left is None else StepTimes(1, {}, 0, {}, False, 1, 1, 0.1, left / 100, 0.0)
    values: dict[str, Any] = {
        "id": name, "created": 0.0, "config": RunConfig(), "status": RunStatus.QUEUED, "activity": "", "activity_share": None, "step": 0, "epoch": 0,
        "started": None, "ended": None, "active_seconds": 0.0, "pid": None, "process_started": None, "error": None,
        "plan": None if left is None else PLAN, "result": None, "step_seconds": 0.0, "watch_seconds": 0.0, "stages": times,
    }  # fmt: skip
    return Run(**{**values, **columns})


def sentences(holding: list[Run], waiting: list[Run], slots: int = 1, devices: dict[str, str] | None = None) -> list[str]:
    return [in_words(each, lambda run: run.id) for each in told(holding, waiting, slots, devices or {})]


def test_the_next_one_names_what_it_waits_for_and_for_about_how_long() -> None:
    assert sentences([run("A", 240, status=RunStatus.RUNNING)], [run("B"), run("C"), run("D")]) == [
        "waits for A on cpu, about 4 min 0 s",
        "waits on cpu, after another one",
        "waits on cpu, after 2 others",
    ], "how long a run takes that has never run is not made up"


def test_runs_that_have_run_before_have_an_estimate_behind_them() -> None:
    found = told([run("A", 60, status=RunStatus.RUNNING)], [run("B", 30), run("C", 5), run("D")], 1, {})
    assert [each.seconds for each in found] == [pytest.approx(60), pytest.approx(90), pytest.approx(95)]


def test_with_more_places_the_first_that_is_free_counts() -> None:
    holding = [run("A", 60, status=RunStatus.RUNNING), run("B", 20, status=RunStatus.RUNNING)]
    found = told(holding, [run("C", 100), run("D", 1), run("E", 1)], 2, {})
    assert [each.seconds for each in found] == [pytest.approx(20), pytest.approx(60), pytest.approx(61)]
    assert sentences(holding, [run("C")], 2) == ["waits for one of 2 runs on cpu, about 20 s"]


def test_more_runs_than_places_have_to_end_first() -> None:
    holding = [run("A", 60, status=RunStatus.RUNNING), run("B", 20, status=RunStatus.RUNNING)]
    assert told(holding, [run("C")], 1, {})[0].seconds == pytest.approx(60), "one was started beyond the places"


def test_a_paused_run_keeps_its_place_and_says_so() -> None:
    paused = run("A", 60, status=RunStatus.PAUSED)
    assert sentences([paused], [run("B")]) == ["waits for A on cpu, which is paused and keeps its place"]


def test_devices_have_queues_of_their_own() -> None:
    devices = {"A": "cpu", "B": "cuda:0", "C": "cpu", "D": "cuda:0"}
    found = sentences([run("A", 50, status=RunStatus.RUNNING)], [run("B"), run("C"), run("D")], 1, devices)
    assert found[0].startswith("begins on cuda:0 as soon as")
    assert found[1:] == ["waits for A on cpu, about 50 s", "waits on cuda:0, after another one"]


def test_a_run_whose_row_is_damaged_waits_too_and_spoils_nothing(store: RunStore) -> None:
    good, bad, last = (store.create_run(RunConfig()) for _ in range(3))
    with store._transaction() as connection:
        connection.execute("UPDATE runs SET config = 'no JSON' WHERE id = ?", (bad,))
    found = queue_of(store, 1, lambda asked: "cpu")
    assert [each.run.id for each in found] == [good, bad, last]
    assert found[2].before == bad
    assert store.claim("me", 1, lambda asked: "cpu") == good
