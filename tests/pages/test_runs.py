"""The Runs screen, the run's page of a waiting run, and links to what is in the bin."""

from __future__ import annotations

from typing import Any

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from core.config import RunConfig
from core.records.events import RunStatus
from core.store.continued import ResumeRequest
from core.store.resume_files import resume_path, resume_points
from core.worker.supervisor import Supervisor, this_process
from pages._parts.runs import runs_view
from pages._parts.shared import asking
from pages._parts.shared.services import Services
from tests.pages.pages_cases import healthy, open_page, press, shown


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids of runs that were given a process, in place of giving them one."""
    found: list[str] = []
    monkeypatch.setattr(Supervisor, "_begin", lambda supervisor, run_id: found.append(run_id))
    return found


def button(app: AppTest, key: str) -> Any:
    (found,) = [each for each in app.button if each.key == key]
    return found


def test_empty_lists_say_what_comes_there(shared_services: Services) -> None:
    text = shown(open_page("runs.py"))
    for said in ("Nothing trains just now", "No run waits", "once they have ended", "The bin is empty"):
        assert said in text


def test_what_is_pressed_in_the_table_leads_to_a_comparison_or_a_run_and_nonsense_nowhere(shared_services: Services) -> None:
    ids = [shared_services.store.create_run(RunConfig(seed=seed)) for seed in range(2)]

    def pressed(asked: object) -> AppTest:
        app = open_page("runs.py")
        app.session_state["runs_table_asked"] = asked
        return healthy(app.run())

    app = pressed({"what": "compare", "ids": ids})
    assert app.title[0].value == "Compare"
    assert ",".join(ids) in app.query_params["runs"]
    assert ids[0] in pressed({"what": "open", "ids": ids[:1]}).query_params["run"]
    for asked in (None, {"what": "compare", "ids": []}, {"what": "<b>", "ids": ids}, {"what": "open", "ids": "x"}):
        assert pressed(asked).title[0].value == "Runs"


def test_waiting_runs_are_listed_ordered_started_and_cancelled(shared_services: Services, begun: list[str]) -> None:
    store = shared_services.store
    running = store.create_run(RunConfig(), this_process())
    ids = [store.create_run(RunConfig(seed=seed)) for seed in range(3)]
    app = open_page("runs.py")
    assert "Waits for digits with" in shown(app)
    assert button(app, f"up_{ids[0]}").disabled
    assert button(app, f"down_{ids[2]}").disabled
    healthy(button(app, f"up_{ids[1]}").click().run())
    assert [run.id for run in store.waiting_runs()] == [ids[1], ids[0], ids[2]]
    healthy(button(app, f"down_{ids[1]}").click().run())
    assert [run.id for run in store.waiting_runs()] == ids
    healthy(button(app, f"next_{ids[2]}").click().run())
    assert [run.id for run in store.waiting_runs()] == [ids[2], ids[0], ids[1]]
    healthy(button(app, f"cancel_{ids[0]}").click().run())
    healthy(button(app, f"now_{ids[1]}").click().run())
    assert begun == [ids[1]]
    assert store.run(ids[0]).status is RunStatus.STOPPED
    assert [run.id for run in store.waiting_runs()] == [ids[2]]
    assert store.run(running).status is RunStatus.QUEUED


def test_the_page_of_a_waiting_run_says_what_it_waits_for_and_takes_cancel_back(shared_services: Services, begun: list[str]) -> None:
    store = shared_services.store
    store.create_run(RunConfig(), this_process())
    run_id = store.create_run(RunConfig(seed=1))
    app = open_page("train.py", run=run_id)
    assert "Waits for" in shown(app)
    labels = {each.label for each in app.button}
    assert labels >= {"Start now", "Cancel"}
    assert not labels & {"Pause", "Stop and save"}
    healthy(button(app, f"cancel_{run_id}").click().run())
    app = open_page("train.py", run=run_id)
    assert "Cancelled before it began" in shown(app)
    press(app, "Put it back into the queue")
    assert store.run(run_id).waits


def test_a_run_is_deleted_after_a_question_and_undone(shared_services: Services) -> None:
    store = shared_services.store
    run_id = store.create_run(RunConfig())
    store.end(run_id, RunStatus.FINISHED)
    app = open_page("runs.py")
    (menu,) = app.menu_button
    healthy(menu.click("Delete").run())
    assert store.binned() == {}, "it asks first"
    healthy(button(app, "surely").click().run())
    assert list(store.binned()) == [run_id]
    healthy(button(app, "undo_delete").click().run())
    assert store.binned() == {}


def test_a_link_to_a_run_in_the_bin_says_so_and_offers_to_bring_it_back(shared_services: Services) -> None:
    store = shared_services.store
    ids = [store.create_run(RunConfig(seed=seed)) for seed in range(2)]
    for run_id in ids:
        store.end(run_id, RunStatus.FINISHED)
    store.put_into_bin(ids[0])
    for page in ("train.py", "evaluate.py"):
        app = open_page(page, run=ids[0])
        assert any("bring it back" in each.value for each in app.warning), page
    press(app, "Restore this run")
    assert store.binned() == {}


def test_of_many_waiting_runs_a_page_is_drawn(shared_services: Services) -> None:
    for seed in range(30):
        shared_services.store.create_run(RunConfig(seed=seed))
    app = open_page("runs.py")
    assert len([each for each in app.button if each.label == "Cancel"]) == 5
    press(app, "Show more")
    assert len([each for each in app.button if each.label == "Cancel"]) == 30
    assert "30 runs wait for a place" in shown(open_page("home.py"))


@pytest.mark.parametrize(("page", "key"), [("runs.py", "continue_{}"), ("train.py", "continue_run")])
def test_a_run_that_was_lost_is_continued_at_one_press(shared_services: Services, begun: list[str], page: str, key: str) -> None:
    store = shared_services.store
    run_id = store.create_run(RunConfig())
    store.lose(run_id, "the machine went down")
    point = resume_path(shared_services.home.run_folder(run_id), 418)
    point.parent.mkdir(parents=True)
    point.touch()
    app = open_page(page, run=run_id)
    pressed = button(app, key.format(run_id))
    assert "from step 418" in f"{pressed.label} {pressed.help}"
    healthy(button(app, key.format(run_id)).click().run())
    assert begun == [run_id]
    assert store.resume_request(run_id) == ResumeRequest()


def test_a_cancelled_run_waits_again_at_one_press_beside_the_queue_and_among_the_ended(shared_services: Services, begun: list[str]) -> None:
    store = shared_services.store
    store.create_run(RunConfig(), this_process())
    run_id = store.create_run(RunConfig(seed=1))
    app = open_page("runs.py")
    for key in ("undo_cancel", f"put_back_{run_id}"):
        healthy(button(app, f"cancel_{run_id}").click().run())
        assert not store.run(run_id).waits
        healthy(app.run())
        healthy(button(app, key).click().run())
        assert store.run(run_id).waits, key
        healthy(app.run())
    assert "undo_cancel" not in {each.key for each in app.button}


def test_room_is_freed_and_the_bin_emptied_only_after_a_question(shared_services: Services) -> None:
    store, home = shared_services.store, shared_services.home
    ids = [store.create_run(RunConfig(seed=seed)) for seed in range(2)]
    for run_id in ids:
        store.end(run_id, RunStatus.FINISHED)
        point = resume_path(home.run_folder(run_id), 8)
        point.parent.mkdir(parents=True)
        point.write_bytes(bytes(range(256)) * 16)
    store.put_into_bin(ids[1])
    app = open_page("runs.py")
    app.session_state["room_on_disk"] = True
    healthy(app.run())
    healthy(button(app, "free_checkpoints").click().run())
    assert resume_points(home.run_folder(ids[0])), "it asks first"
    assert "a finished run cannot be trained on" in shown(app)
    healthy(button(app, "surely").click().run())
    assert not resume_points(home.run_folder(ids[0]))
    assert resume_points(home.run_folder(ids[1])), "what lies in the bin comes back whole"
    healthy(button(app, "empty_bin").click().run())
    assert list(store.binned()) == [ids[1]], "it asks first"
    healthy(button(app, "surely").click().run())
    assert store.binned() == {}


def test_a_run_that_ends_closes_no_open_question(shared_services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    """The part that a clock redraws has the whole page drawn anew once a run has ended, which would close a dialog."""
    store = shared_services.store
    run_id = store.create_run(RunConfig())
    store.end(run_id, RunStatus.FINISHED)
    app = open_page("runs.py")
    (menu,) = app.menu_button
    healthy(menu.click("Delete").run())
    state = {name: app.session_state[name] for name in ("runs_ended", "question_is_open")}
    assert state["question_is_open"]
    redrawn: list[str] = []
    monkeypatch.setattr(st, "session_state", state)
    monkeypatch.setattr(st, "rerun", lambda scope="app": redrawn.append(scope))
    store.end(store.create_run(RunConfig(seed=1)), RunStatus.FINISHED)
    runs_view.going_on(shared_services)
    assert redrawn == []
    asking.page_is_drawn()
    runs_view.going_on(shared_services)
    assert redrawn == ["app"]


def test_a_finished_run_is_trained_on_from_its_page_or_says_why_not(shared_services: Services, begun: list[str]) -> None:
    store, home = shared_services.store, shared_services.home
    run_id = store.create_run(RunConfig(epochs=3))
    store.end(run_id, RunStatus.FINISHED)
    app = open_page("train.py", run=run_id)
    app.session_state[f"train_on_{run_id}"] = True
    healthy(app.run())
    assert "last checkpoint is not there any more" in shown(app)
    point = resume_path(home.run_folder(run_id), 12)
    point.parent.mkdir(parents=True)
    point.touch()
    healthy(app.run())
    (number,) = [each for each in app.number_input if each.label == "Epochs in all"]
    assert (number.value, number.min) == (6, 4)
    number.set_value(5.0)
    healthy(button(app, "train_on").click().run())
    assert begun == [run_id]
    assert store.run(run_id).config.epochs == 5
    assert store.resume_request(run_id) == ResumeRequest(epochs=5)
