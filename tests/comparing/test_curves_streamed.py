"""Curves of many runs for one chart: history once, then only what is new; what is gone is said and spoils nothing."""

from __future__ import annotations

import json
from dataclasses import astuple
from typing import Any

import numpy as np
import pytest

from core.comparing import imported
from core.comparing.imported import Imported
from core.comparing.stream import MOST_RUNS, At, Cursor, active, level_for, message, most_points, read_cursor
from core.machine.home import Home
from core.records.events import Layer, RunStatus
from core.store import RunStore
from tests.comparing.compare_cases import MadeRun


def parts(body: dict[str, Any] | None) -> dict[int, dict[str, Any]]:
    return {part["run"]: part for part in (body or {"parts": []})["parts"]}


def test_history_comes_once_and_then_what_is_new(home: Home, store: RunStore) -> None:
    runs = [MadeRun(store, seed=seed) for seed in range(2)]
    runs[0].train(25)
    ids = [run.id for run in runs]
    body, cursor = message(home, store, ids, {}, "fc.weight")
    found = parts(body)
    assert found[0]["reset"]
    assert found[0]["about"] == {"total": 1000, "per_epoch": 10}
    assert found[0]["steps"]["step"] == list(range(1, 26))
    assert found[0]["steps"]["norm"] == [0.5] * 25
    assert found[0]["steps"]["time"][-1] == 50
    assert found[0]["epochs"]["epoch"] == [1, 2]
    assert found[0]["lanes"] == [["conv", 108, [[1, "frozen"]]], ["fc", 40, [[1, "learns"]]]]
    assert active(cursor)
    assert message(home, store, ids, cursor)[0] is None
    runs[0].thaw()
    runs[0].train(2)
    runs[1].train(1)
    body, cursor = message(home, store, ids, cursor)
    found = parts(body)
    assert found[0]["steps"]["step"] == [26, 27]
    assert "epochs" not in found[0]
    assert found[0]["lanes"][0][2] == [[1, "frozen"], [26, "learns"]]
    assert found[1]["reset"], "its first step"
    for run in runs:
        run.end()
    body, cursor = message(home, store, ids, cursor)
    assert not active(cursor)
    assert message(home, store, ids, cursor)[0] is None


def test_a_frozen_tensor_has_no_norm_and_a_model_without_it_none_at_all(home: Home, store: RunStore) -> None:
    run = MadeRun(store)
    other = MadeRun(store, (Layer("head.weight", (3, 4), 12, False, "head"),), model="resnet18")
    for each in (run, other):
        each.train(3)
    found = parts(message(home, store, [run.id, other.id], {}, "conv.weight")[0])
    assert found[0]["steps"]["norm"] == [None] * 3
    assert "norm" not in found[1]["steps"]


def test_a_long_run_is_summarised_and_a_tick_is_small(home: Home, store: RunStore) -> None:
    run = MadeRun(store)
    run.train(2000)
    ids = [run.id, *(MadeRun(store, seed=seed).id for seed in range(1, 20))]
    body, cursor = message(home, store, ids, {})
    steps = parts(body)[0]["steps"]
    assert len(steps["step"]) <= most_points(20)
    assert steps["step"][0] == 8 == 2 ** level_for(2000, most_points(20))
    assert steps["low"][0] == pytest.approx(100 / 8, rel=1e-3)
    assert steps["high"][0] == 100
    run.train(16)
    body, after = message(home, store, ids, cursor)
    assert body is not None
    assert len(json.dumps(body, separators=(",", ":"))) < 2000
    back = {id: astuple(at) for id, at in after.items()}
    assert message(home, store, ids, read_cursor(json.loads(json.dumps(back))))[0] is None, "a browser gives back what it was given"


def test_a_run_that_is_deleted_meanwhile_is_said_once_and_the_others_go_on(home: Home, store: RunStore) -> None:
    runs = [MadeRun(store, seed=seed) for seed in range(3)]
    for run in runs:
        run.train(5)
        run.end()
    ids = [run.id for run in runs]
    _, cursor = message(home, store, ids, {})
    store.delete_run(ids[0])
    store.put_into_bin(ids[1])
    body, cursor = message(home, store, ids, cursor)
    assert {place: part.get("gone") for place, part in parts(body).items()} == {0: "deleted", 1: "bin"}
    assert message(home, store, ids, cursor)[0] is None
    fresh = parts(message(home, store, ids, {})[0])
    assert fresh[0]["gone"] == "deleted"
    assert fresh[2]["steps"]["step"] == [1, 2, 3, 4, 5]


def test_a_run_of_a_newer_thaw_is_said_to_be_unreadable(home: Home, store: RunStore) -> None:
    run = MadeRun(store)
    run.train(3)
    store._write(("UPDATE runs SET plan = '{' WHERE id = ?", [(run.id,)]))
    body, cursor = message(home, store, [run.id], {})
    assert parts(body)[0]["gone"] == "unreadable"
    assert message(home, store, [run.id], cursor)[0] is None


def test_imported_curves_stand_beside_runs_and_start_over_when_read_anew(home: Home, store: RunStore) -> None:
    curves = (
        imported.curve_of("val_loss", [(step, 1.0, float(step)) for step in range(3000)]),
        imported.curve_of("memory", [(0, 5.0, 0.0)]),
    )
    (id,) = imported.keep(home, [Imported("other", "/somewhere", curves)])
    body, cursor = message(home, store, [id], {})
    part = parts(body)[0]
    assert [(curve["name"], curve["as"]) for curve in part["curves"]] == [("val_loss", "validation_loss")]
    assert len(part["curves"][0]["step"]) <= most_points(1)
    assert message(home, store, [id], cursor)[0] is None
    assert [curve["name"] for curve in parts(message(home, store, [id], {}, "", ["memory"])[0])[0]["curves"]] == ["val_loss", "memory"]
    imported.remove(home, id)
    assert parts(message(home, store, [id], cursor)[0])[0]["gone"] == "deleted"


@pytest.mark.parametrize(
    "values", [[], {"a": 1}, {"a": [1, 2, 3]}, {"a": [0, 0, 0, 0, 0, 0]}, {"a": [0, 0, 0, 0, 2**70, ""]}, {"a": [True, 0, 0, 0, 0, ""]}]
)
def test_a_cursor_that_is_none_is_refused(values: object) -> None:
    with pytest.raises(ValueError, match="cursor"):
        read_cursor(values)


def test_cursors_are_read_as_they_were_written() -> None:
    cursor: Cursor = {"a": At(3, 8, 1, 0, 9, "running")}
    assert read_cursor({"a": [3, 8, 1, 0, 9, "running"]}) == cursor
    with pytest.raises(ValueError, match="cursors"):
        read_cursor({str(number): list(astuple(At())) for number in range(MOST_RUNS + 1)})


def test_points_of_a_run_are_bounded_whatever_its_length() -> None:
    for runs in (1, 2, 20, 40):
        for steps in np.unique(np.geomspace(1, 1e7, 50).astype(int)).tolist():
            assert steps / 2 ** level_for(steps, most_points(runs)) <= most_points(runs)


def test_a_run_that_ended_long_ago_is_not_read_again(home: Home, store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    run = MadeRun(store)
    run.train(3)
    run.end(RunStatus.STOPPED)
    _, cursor = message(home, store, [run.id], {})
    monkeypatch.setattr(RunStore, "run", lambda *_: pytest.fail("it was read"))
    assert message(home, store, [run.id], cursor)[0] is None
