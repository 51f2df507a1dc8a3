"""The Sweeps screen and the question on the Model screen, without a browser."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from core.config import RunConfig
from core.records.events import RunStatus
from core.store import RunStore
from core.sweeps import depths, engine, moving
from core.sweeps.plan import Plan, make
from core.sweeps.vary import parse_all
from core.worker.supervisor import Supervisor
from pages._parts.shared.services import Services
from tests.pages.pages_cases import SMALL, errors, healthy, open_page, press, shown
from tests.sweeps.sweep_cases import finished, layers_of

HOSTILE = """<img src=x onerror=alert(1)> **bold** `code` "it's" :smile:"""
BASE = RunConfig(model="small_cnn", image_size=32, freeze="head only")


@pytest.fixture(autouse=True)
def begun(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids of runs that were given a process, in place of giving them one."""
    found: list[str] = []
    monkeypatch.setattr(Supervisor, "_begin", lambda supervisor, run_id: found.append(run_id))
    return found


def button(app: AppTest, key: str) -> Any:
    (found,) = [each for each in app.button if each.key == key]
    return found


def field(app: AppTest, label: str) -> Any:
    (found,) = [each for each in (*app.text_input, *app.selectbox, *app.number_input, *app.multiselect) if each.label == label]
    return found


def progress(app: AppTest) -> str:
    return "".join(str(each.text) for each in app.get("progress"))


def test_without_a_sweep_the_screen_says_what_to_do(shared_services: Services) -> None:
    app = open_page("sweep.py")
    assert "No sweep yet. Choose above what varies" in shown(app)
    assert button(app, "sweep_begin").label == "Begin 24 runs"


def test_settings_are_tried_from_the_form_and_come_back_from_the_address(shared_services: Services, begun: list[str]) -> None:
    app = open_page("sweep.py", new="1", model="small_cnn", image_size="32", vary="learning_rate=0.1|0.01\nseed=0|1", called=HOSTILE)
    assert field(app, "Values of learning rate").value == "0.1|0.01"
    assert field(app, "Runs").placeholder == "all"
    assert button(app, "sweep_begin").label == "Begin 4 runs"
    healthy(button(app, "sweep_begin").click().run())
    store = shared_services.store
    (sweep,) = store.sweeps()
    assert [member.given for member in store.members(sweep.id)] == [{"seed": seed, "learning_rate": rate} for seed in (0, 1) for rate in (0.1, 0.01)]
    assert store.run(store.members(sweep.id)[0].run_id).config.model == "small_cnn"
    assert begun == [store.members(sweep.id)[0].run_id]
    app = open_page("sweep.py", sweep=sweep.id)
    assert "<img" not in app.title[0].value.replace("\\<img", "")
    assert "0 of 4 runs" in progress(app)


def test_the_number_of_runs_that_are_drawn_stands_where_none_was_given(shared_services: Services) -> None:
    app = open_page("sweep.py", new="1", vary="learning_rate=1e-4..1e-1 log", **SMALL)
    assert field(app, "Runs").placeholder == "24"
    assert button(app, "sweep_begin").label == "Begin 24 runs"


def test_what_cannot_be_used_is_said_beside_its_field_and_nothing_begins(shared_services: Services) -> None:
    app = open_page("sweep.py", vary="learning_rate=1..0.1", **SMALL)
    assert "the first end must be the lower one" in errors(app)
    assert button(app, "sweep_begin").disabled
    app = open_page("sweep.py", vary="learning_rate=5000|6000", new="1", **SMALL)
    app = healthy(button(app, "sweep_begin").click().run())
    assert "must be 1000 or less, got 5000" in errors(app)
    assert "nothing was started" in errors(app)
    assert shared_services.store.sweeps() == []


def test_ten_thousand_combinations_are_asked_about_first(shared_services: Services) -> None:
    app = open_page("sweep.py", vary="learning_rate=1e-4..1e-1 log in 100\nseed=0..99", new="1", **SMALL)
    assert button(app, "sweep_begin").label == "Begin 10,000 runs"
    assert button(app, "sweep_begin").disabled
    (sure,) = [box for box in app.checkbox if box.key == "sweep_sure"]
    assert sure.label == "Yes, begin all 10,000 runs"
    assert not button(healthy(sure.check().run()), "sweep_begin").disabled


def test_where_optuna_is_missing_the_screen_says_how_to_get_it(shared_services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "missing", lambda: "needs the package optuna, which is not installed; install it with: pip")
    app = open_page("sweep.py", vary="seed=0|1", method="tpe", new="1", **SMALL)
    assert "needs the package optuna" in errors(app)


def sweep_of(store: RunStore, accuracies: list[float]) -> str:
    plan = make(BASE, parse_all(["learning_rate=1e-4..1e-1 log", "optimizer=AdamW|SGD"]), runs=len(accuracies) + 1, name=HOSTILE)
    sweep_id, _ = moving.begin(store, plan)
    for member, accuracy in zip(store.members(sweep_id), accuracies, strict=False):
        finished(store, member.run_id, accuracy)
    return sweep_id


def test_what_came_out_is_shown_while_it_goes_on_and_can_be_stopped_resumed_and_added_to(
    shared_services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = shared_services.store
    sweep_id = sweep_of(store, [0.8, 0.9])
    app = open_page("sweep.py", sweep=sweep_id)
    assert "Best so far: learning rate" in shown(app)
    assert "2 of 3 runs" in progress(app)
    assert len(app.get("plotly_chart")) == 3
    table = app.dataframe[0].value
    assert table["Validation"].tolist()[:2] == [90.0, 80.0]
    healthy(button(app, "sweep_stop").click().run())
    assert store.sweep(sweep_id).stopped is not None
    app = open_page("sweep.py", sweep=sweep_id)
    healthy(button(app, "sweep_go_on").click().run())
    assert store.sweep(sweep_id).stopped is None
    app = open_page("sweep.py", sweep=sweep_id)
    app.session_state["sweep_more"] = True
    app = healthy(app.run())
    healthy(button(app, "sweep_add").click().run())
    assert len(store.members(sweep_id)) == 11
    app = healthy(field(app, "Further runs").set_value(250.0).run())
    assert button(app, "sweep_add").disabled, "many are asked about first"
    (sure,) = [box for box in app.checkbox if box.key == "sweep_more_sure"]
    assert sure.label == "Yes, add 250 runs"
    app = healthy(button(healthy(sure.check().run()), "sweep_add").click().run())
    assert len(store.members(sweep_id)) == 261
    monkeypatch.setattr(engine, "missing", lambda: "needs the package optuna")
    store.set_sweep(sweep_id, plan=replace(Plan.from_json(store.sweep(sweep_id).plan), pruner="median").to_json())
    app = healthy(button(healthy(field(app, "Further runs").set_value(2.0).run()), "sweep_add").click().run())
    assert "'median' needs the package optuna" in errors(app)
    assert len(store.members(sweep_id)) == 261


def test_a_full_grid_says_so_and_offers_further_seeds_and_a_form_with_its_values(shared_services: Services) -> None:
    store = shared_services.store
    sweep_id, _ = moving.begin(store, make(BASE, parse_all(["optimizer=AdamW|SGD"]), name=HOSTILE))
    for member in store.members(sweep_id):
        finished(store, member.run_id, 0.5)
    app = open_page("sweep.py", sweep=sweep_id)
    assert "All 2 combinations are in it." in shown(app)
    assert "2 runs a seed" in shown(app)
    app = healthy(button(app, "sweep_add").click().run())
    assert [member.given.get("seed", BASE.seed) for member in store.members(sweep_id)] == [BASE.seed] * 2 + [BASE.seed + 1] * 2
    assert len(app.get("plotly_chart")) == 3, "runs from before the seeds have their place on its axis"
    app = healthy(button(app, "sweep_like_this").click().run())
    assert field(app, "Values of optimizer").value == "AdamW|SGD"
    assert field(app, "Name").value == HOSTILE
    assert app.session_state["setup_model"] == "small_cnn"


def test_the_best_settings_fill_the_form(shared_services: Services) -> None:
    sweep_id = sweep_of(shared_services.store, [0.8, 0.9])
    best = shared_services.store.members(sweep_id)[1].given
    app = healthy(button(open_page("sweep.py", sweep=sweep_id), "sweep_use_best").click().run())
    assert app.title[0].value == "Set up a run"
    assert app.session_state["setup_learning_rate"] == best["learning_rate"]
    assert app.session_state["setup_model"] == "small_cnn"


def test_the_answer_to_which_layers_is_a_sentence_a_chart_and_a_button_each(shared_services: Services) -> None:
    store = shared_services.store
    sweep_id, _ = moving.begin(store, depths.question(BASE, depths.depths(layers_of()), 2, 3))
    for member in store.members(sweep_id):
        finished(store, member.run_id, 0.9 if member.given["freeze"] == "head only" else 0.902, samples=400)
    app = open_page("sweep.py", sweep=sweep_id)
    assert "cannot be told from it" in shown(app) or "least time" in shown(app)
    assert len([each for each in app.button if each.label == "Use this"]) == 5


def test_a_click_on_the_model_screen_tries_every_depth(shared_services: Services) -> None:
    app = open_page("model.py", **SMALL)
    assert "Which layers should I unfreeze?" in shown(app)
    assert "8 runs (4 depths, 2 seeds each, 5 epochs)" in shown(app) or "6 runs (3 depths, 2 seeds each, 5 epochs)" in shown(app)
    press(app, "Find out")
    (sweep,) = shared_services.store.sweeps()
    members = shared_services.store.members(sweep.id)
    assert {member.given["seed"] for member in members} == {0, 1}
    assert members[0].given["freeze"] == "head only"
    assert all(shared_services.store.run(member.run_id).config.epochs == 5 for member in members)


def test_a_sweep_that_is_not_there_and_one_that_cannot_be_read_are_said(shared_services: Services) -> None:
    assert "There is no sweep" in str([each.value for each in open_page("sweep.py", sweep=HOSTILE).error]) or open_page("sweep.py", sweep="x").error
    sweep_id = shared_services.store.create_sweep("{}", 1, [], 0)
    assert "cannot be read" in errors(open_page("sweep.py", sweep=sweep_id))
    assert "cannot be read" in errors(open_page("sweep.py"))


def test_a_deleted_run_is_left_out_of_its_sweep(shared_services: Services) -> None:
    store = shared_services.store
    sweep_id = sweep_of(store, [0.8, 0.9])
    assert store.put_into_bin(store.members(sweep_id)[1].run_id)
    app = open_page("sweep.py", sweep=sweep_id)
    assert app.dataframe[0].value["Validation"].dropna().tolist() == [80.0]
    assert all(status != RunStatus.FAILED for status in app.dataframe[0].value["Status"])
