"""What differs, what is a repeat, the table of runs, and the lanes."""

from __future__ import annotations

import json
import sqlite3

import pytest

from core.comparing.lanes import always_frozen, lanes
from core.comparing.rows import Wanted, in_order, row_of, sweeps_called
from core.comparing.settings import differing, repeats, spread
from core.comparing.summary import as_json, compared
from core.config import ConfigError, RunConfig
from core.machine.home import Home
from core.records.labels import LabelChange
from core.store import RunStore
from core.sweeps.plan import make
from core.sweeps.vary import parse_all
from tests.comparing.compare_cases import MadeRun

HOSTILE = '"quotes" & <img src=x onerror=alert(1)> *bold*'


def test_only_what_differs_is_told_and_a_field_that_one_lacks_differs() -> None:
    configs = {"a": {"model": "x", "seed": 0, "freeze": "head only"}, "b": {"model": "x", "seed": 1}, "c": {"model": "x", "seed": 0}}
    assert differing(configs) == {"seed": {"a": 0, "b": 1, "c": 0}, "freeze": {"a": "head only", "b": None, "c": None}}
    assert differing({"a": configs["a"]}) == {}


def test_repeats_differ_in_their_seed_and_in_nothing_that_is_learned() -> None:
    base = {"model": "x", "optimizer_options": {"eps": 1}, "threads": None}
    configs = {"a": {**base, "seed": 0}, "b": {**base, "seed": 1, "threads": 2}, "c": {**base, "seed": 0, "model": "y"}, "d": {**base, "seed": 0}}
    assert repeats(configs) == [("a", "b", "d")]
    assert repeats({"a": {**base, "seed": 0}, "d": {**base, "seed": 0}}) == [], "the same twice is no other seed"
    assert repeats({"a": {}, "b": {}}) == []
    assert spread([0.5, None, 1.0]) == {"mean": 0.75, "low": 0.5, "high": 1.0, "runs": 2}
    assert spread([None]) is None


def test_the_table_has_the_best_value_and_its_epoch_beside_the_last(store: RunStore) -> None:
    run = MadeRun(store, dataset="digits", timeline="2: !conv")
    run.train(80)
    run.end()
    store.label(run.id, LabelChange(HOSTILE, "a note", ("one",), starred=True))
    (row,) = map(row_of, store.listed())
    assert (row["name"], row["note"], row["tags"], row["starred"]) == (HOSTILE, "a note", ["one"], True)
    assert (row["best_epoch"], row["last_epoch"]) == (5, 8), "the first of equals"
    assert row["best_validation_accuracy"] == row["validation_accuracy"] == pytest.approx(5 / 6)
    assert (row["status"], row["dataset"], row["version"], row["device"]) == ("finished", "digits", None, "cpu")
    assert row["freeze"] == "train everything; 2: !conv"


def test_a_damaged_run_is_one_row_and_spoils_no_other(store: RunStore, home: Home) -> None:
    ids = [MadeRun(store, seed=seed).id for seed in range(3)]
    with sqlite3.connect(home.database) as connection:
        connection.execute("UPDATE runs SET config = '{', plan = 'x' WHERE id = ?", (ids[1],))
    connection.close()
    rows = {row["run_id"]: row["status"] for row in map(row_of, store.listed())}
    assert rows == {ids[0]: "running", ids[1]: "unreadable", ids[2]: "running"}
    store.end(ids[0], "finished")  # type: ignore[arg-type]
    store.put_into_bin(ids[0])
    assert [run.id for run in store.listed()] == [ids[2], ids[1]]


def test_rows_are_filtered_and_sorted_and_what_is_not_known_comes_last() -> None:
    base = {"name": "", "tags": [], "status": "finished", "dataset": "digits", "model": "resnet18", "created": 1.0, "seconds": 1.0, "epochs": 1}
    rows = [base | {"run_id": name, "best_validation_accuracy": best} for name, best in (("a", None), ("b", 0.5), ("c", 0.9))]
    assert [row["run_id"] for row in in_order(rows, "best")] == ["c", "b", "a"]
    assert [row["run_id"] for row in in_order(rows, "-best")] == ["b", "c", "a"]
    rows[1] |= {"tags": ["Keep"], "status": "failed"}
    assert [row["run_id"] for row in Wanted(tags=("keep",), status=("failed",), dataset="DIGITS").of(rows)] == ["b"]
    assert Wanted(model="vit").of(rows) == []
    with pytest.raises(ConfigError, match=r"status: there is no status 'gone'; there are queued"):
        Wanted(status=("gone",))
    with pytest.raises(ConfigError, match=r"sort: runs cannot be sorted by 'luck'"):
        Wanted(sort="luck")


def test_a_row_names_the_sweep_that_it_is_of_and_two_of_one_name_are_told_apart(store: RunStore) -> None:
    def sweep(name: str) -> str:
        plan = make(RunConfig(), parse_all(["seed=0|1"]), name=name)
        return store.create_sweep(plan.to_json(), 1, [(0, {"seed": 0}, plan.config.to_json())], 1)

    ids = [sweep(name) for name in (HOSTILE, HOSTILE, "another", "")]
    alone = MadeRun(store).id
    rows = [row_of(run) for run in store.listed()]
    assert [row["sweep"] for row in rows] == [None, *reversed(ids)]
    assert sweeps_called(rows) == {ids[0]: f"{HOSTILE} · {ids[0]}", ids[1]: f"{HOSTILE} · {ids[1]}", ids[2]: "another", ids[3]: ids[3]}
    assert [row["sweep"] for row in Wanted(sweep="ANOTHER").of(rows)] == [ids[2]]
    assert [row["sweep"] for row in Wanted(sweep=ids[0]).of(rows)] == [ids[0]]
    assert Wanted(sweep=alone).of(rows) == []
    store.forget_sweep(ids[2])
    assert all(row["sweep_name"] != "another" for row in map(row_of, store.listed()))


def test_lanes_say_what_was_frozen_when(store: RunStore) -> None:
    run = MadeRun(store)
    run.train(20)
    plan = store.run(run.id).plan
    assert plan is not None
    assert always_frozen(plan, store.changes_after(run.id)) == ("conv.weight",)
    run.thaw()
    found = lanes(plan, store.changes_after(run.id))
    assert [(lane.name, [(each.first, each.state) for each in lane.stretches]) for lane in found] == [
        ("conv", [(1, "frozen"), (21, "learns")]),
        ("fc", [(1, "learns")]),
    ]
    assert always_frozen(plan, store.changes_after(run.id)) == ()


def test_a_comparison_names_who_is_gone_and_averages_repeats(home: Home, store: RunStore) -> None:
    runs = [MadeRun(store, seed=seed) for seed in range(2)]
    for run, steps in zip(runs, (20, 50), strict=True):
        run.train(steps)
    other = MadeRun(store, model="resnet18", freeze="head only")
    ids = [run.id for run in (*runs, other)]
    found = compared(home, store, [*ids, "no-such-run"])
    assert found.gone == ("no-such-run",)
    assert found.repeats == [(ids[0], ids[1])]
    (spreads,) = found.spreads()
    assert spreads["best_validation_accuracy"] == pytest.approx({"mean": (2 / 3 + 5 / 6) / 2, "low": 2 / 3, "high": 5 / 6, "runs": 2})
    assert set(found.differs) >= {"model", "freeze", "seed"}
    told = as_json(home, store, ids)
    assert json.loads(json.dumps(told)) == told
    assert [len(run["history"]) for run in told["runs"]] == [2, 5, 0]
    runs[0].end()
    store.put_into_bin(ids[0])
    with pytest.raises(ConfigError, match=f"run: there is no run '{ids[0]}', or it lies in the bin"):
        as_json(home, store, ids)
