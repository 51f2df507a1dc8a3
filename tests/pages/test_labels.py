"""Naming runs from where they are listed and from their page: rename, note, tags, star, delete, undo, and finding them by it."""

from __future__ import annotations

import shutil
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from core.config import RunConfig
from core.records.events import RunStatus
from core.records.labels import LabelChange, Labels
from core.store.labelling import read_beside
from core.worker.supervisor import this_process
from pages._parts.shared.services import Services
from tests.pages.pages_cases import healthy, open_page, shown

NAMES = ["'quoted' \"twice\"", "<b>bold</b><script>alert(1)</script>", "*stars* [link](http://a.b) :material/home: `x`", "x" * 120]


def ended(shared: Services, **settings: Any) -> str:
    run_id = shared.store.create_run(RunConfig(**{"model": "small_cnn", **settings}))
    shared.store.end(run_id, RunStatus.FINISHED)
    shared.home.run_folder(run_id).mkdir(parents=True)
    return run_id


def button(app: AppTest, key: str) -> Any:
    (found,) = [each for each in app.button if each.key == key]
    return found


def keys(app: AppTest) -> set[str]:
    return {str(each.key) for each in app.button}


def choose(app: AppTest, run_id: str, what: str) -> AppTest:
    """Choose something of a run's menu. A list that draws itself anew asks the page to, which a test has to do by hand."""
    (menu,) = [each for each in app.menu_button if each.key == f"menu_{run_id}"]
    return healthy(menu.click(what).run())


def written(app: AppTest, **texts: Any) -> AppTest:
    """Fill the dialog in, and save."""
    for kind in (app.text_input, app.text_area, app.multiselect):
        for element in kind:
            field = str(element.key).rpartition("_")[2]
            if str(element.key).startswith("label_") and field in texts:
                element.set_value(texts[field])
    (save,) = [each for each in app.button if each.label == "Save"]
    return healthy(save.click().run())


@pytest.mark.parametrize("page", ["runs.py", "home.py", "train.py"])
def test_a_run_is_renamed_where_it_is_listed_and_that_is_undone(shared_services: Services, page: str) -> None:
    run_id, other = ended(shared_services), ended(shared_services, seed=1)
    app = open_page(page, **({"run": other} if page == "train.py" else {}))
    app = written(choose(app, run_id, "Rename and note"), name="first *try*", note="one\ntwo", tags=["a b"])
    assert shared_services.store.labels(run_id) == Labels("first *try*", "one\ntwo", ("a b",))
    assert read_beside(shared_services.home.run_folder(run_id)) == shared_services.store.labels(run_id)
    healthy(app.run())
    assert not [each for each in app.text_area if str(each.key).startswith("label_")], "the dialog is closed"
    assert any("first \\*try\\*" in each.proto.label for each in app.get("page_link"))
    healthy(button(app, "undo_label").click().run())
    assert shared_services.store.labels(run_id) == Labels()
    assert "undo_label" not in keys(app)


@pytest.mark.parametrize("page", ["runs.py", "home.py", "train.py"])
def test_a_run_is_starred_and_deleted_where_it_is_listed_and_that_is_undone(shared_services: Services, page: str) -> None:
    run_id, other = ended(shared_services), ended(shared_services, seed=1)
    store = shared_services.store
    app = open_page(page, **({"run": other} if page == "train.py" else {}))
    app = choose(app, run_id, "Star")
    assert store.labels(run_id).starred
    app = choose(app, run_id, "Take the star away")
    assert not store.labels(run_id).starred
    app = choose(app, run_id, "Delete")
    assert store.binned() == {}, "it asks first"
    healthy(button(app, "surely").click().run())
    assert list(store.binned()) == [run_id]
    healthy(app.run())
    healthy(button(app, "undo_delete").click().run())
    assert store.binned() == {}


@pytest.mark.parametrize("name", NAMES)
def test_any_name_is_shown_as_it_is_on_every_screen(shared_services: Services, name: str) -> None:
    run_id = ended(shared_services)
    shared_services.store.label(run_id, LabelChange(name))
    from pages._parts.shared import words

    for page in ("home.py", "runs.py"):
        labels = [each.proto.label for each in open_page(page).get("page_link")]
        assert f"**{words.plain(name)}**" in labels, page
    app = open_page("train.py", run=run_id)
    assert app.title[0].value == words.plain(name)
    app = open_page("evaluate.py", run=run_id)
    (box,) = [each for each in app.selectbox if each.label == "Run"]
    assert box.options[0] == f"{name} · digits with small_cnn · train everything · {run_id}"


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("name", "x" * 300, "has 300 characters"),
        ("name", "   ", "nothing but spaces"),
        ("note", "\x00", "cannot be shown"),
        ("tags", ["y" * 50], "50 characters"),
    ],
)
def test_a_refusal_stands_beside_its_field_and_what_was_typed_stays(shared_services: Services, field: str, value: Any, said: str) -> None:
    run_id = ended(shared_services)
    app = written(choose(open_page("runs.py"), run_id, "Rename and note"), **{"note": "mine", field: value})
    assert [said in each.value for each in app.error] == [True]
    assert shared_services.store.labels(run_id) == Labels()
    typed = {str(each.key).rpartition("_")[2]: each.value for kind in (app.text_input, app.text_area, app.multiselect) for each in kind if each.key}
    assert typed[field] == value
    app = written(app, note="mine", name="", tags=[])
    assert shared_services.store.labels(run_id).note == "mine"


def test_what_another_browser_changed_meanwhile_stays(shared_services: Services) -> None:
    run_id = ended(shared_services)
    store = shared_services.store
    store.label(run_id, LabelChange("old", add_tags=("a",)))
    app = choose(open_page("runs.py"), run_id, "Rename and note")
    store.label(run_id, LabelChange(note="theirs", add_tags=("b",), remove_tags=("a",), starred=True))
    app = written(app, name="mine", tags=["a", "c"])
    assert store.labels(run_id) == Labels("mine", "theirs", ("b", "c"), starred=True)
    healthy(app.run())
    store.label(run_id, LabelChange(name="newer still"))
    healthy(app.run())
    assert "undo_label" not in keys(app), "what somebody else has renamed is not taken back"


def test_a_name_that_another_browser_gave_meanwhile_is_not_written_over_by_a_note(shared_services: Services) -> None:
    run_id = ended(shared_services)
    app = choose(open_page("runs.py"), run_id, "Rename and note")
    shared_services.store.label(run_id, LabelChange(name="theirs"))
    written(app, note="mine")
    assert shared_services.store.labels(run_id) == Labels("theirs", "mine")


def test_on_its_page_a_run_that_trains_is_starred_and_renamed(shared_services: Services) -> None:
    store = shared_services.store
    run_id = store.create_run(RunConfig(model="small_cnn"), this_process())
    app = open_page("train.py", run=run_id)
    assert app.title[0].value == "digits with small\\_cnn" or app.title[0].value == "digits with small_cnn"
    healthy(button(app, "run_star").click().run())
    assert store.labels(run_id).starred
    assert button(app, "run_star").label == "★ Starred"
    healthy(button(app, "run_rename").click().run())
    app = written(app, name="while it trains", note="a note")
    healthy(app.run())
    assert app.title[0].value == "while it trains"
    assert "digits with small_cnn · a note" in shown(app)
    healthy(button(app, "run_undo").click().run())
    assert store.labels(run_id) == Labels(starred=True)


def test_a_waiting_run_and_one_that_goes_on_can_be_renamed_and_only_the_first_deleted(shared_services: Services) -> None:
    store = shared_services.store
    going, waits = store.create_run(RunConfig(), this_process()), store.create_run(RunConfig(seed=1))
    app = open_page("runs.py")
    offered = {str(each.key): list(each.options) for each in app.menu_button}
    assert offered == {f"menu_{going}": ["Rename and note", "Star"], f"menu_{waits}": ["Rename and note", "Star", "Delete"]}
    for run_id in (going, waits):
        app = choose(open_page("runs.py"), run_id, "Rename and note")
        written(healthy(app.run()), name=f"named {run_id}")
        assert store.labels(run_id).name == f"named {run_id}"
    assert f"Waits for named {going}" in shown(open_page("runs.py"))


def test_home_tells_a_run_that_goes_on_from_one_that_has_ended(shared_services: Services) -> None:
    ended(shared_services, starting_weights="pretrained")
    shared_services.store.create_run(RunConfig(model="small_cnn"), this_process())
    links = [each.proto.label for each in open_page("home.py").get("page_link")]
    assert [label for label in links if "small" in label] == [
        "**digits with small_cnn** · random weights",
        "**digits with small_cnn** · pretrained weights",
    ]


def test_a_run_without_its_folder_is_renamed_and_one_that_was_deleted_says_why_not(shared_services: Services) -> None:
    store = shared_services.store
    gone, binned, forgotten = (ended(shared_services, seed=seed) for seed in range(3))
    shutil.rmtree(shared_services.home.run_folder(gone))
    written(choose(open_page("runs.py"), gone, "Rename and note"), name="without a folder")
    assert store.labels(gone).name == "without a folder"
    assert not shared_services.home.run_folder(gone).exists()
    app = choose(open_page("runs.py"), binned, "Rename and note")
    store.put_into_bin(binned)
    app = written(app, name="too late")
    assert "lies in the bin" in app.error[0].value
    app = choose(open_page("runs.py"), forgotten, "Rename and note")
    store.delete_run(forgotten)
    app = written(app, name="too late")
    assert any("There is no run" in each.value for each in app.toast)


def test_an_unreadable_run_keeps_its_name_in_the_list(shared_services: Services) -> None:
    run_id = ended(shared_services)
    shared_services.store.label(run_id, LabelChange("my best"))
    shared_services.store._update(run_id, config="{")
    for page in ("home.py", "runs.py"):
        assert "my best" in shown(open_page(page)), page
    written(choose(open_page("runs.py"), run_id, "Rename and note"), name="still my best")
    assert shared_services.store.labels(run_id).name == "still my best"
    assert "still my best" in shown(open_page("train.py", run=run_id))


def test_runs_are_found_by_words_and_stars_which_the_link_keeps(shared_services: Services) -> None:
    store = shared_services.store
    ids = [ended(shared_services, seed=seed) for seed in range(3)]
    store.label(ids[0], LabelChange("Baseline", add_tags=("talk",), starred=True))
    store.label(ids[1], LabelChange(note="worse than the baseline"))

    def listed(app: AppTest) -> set[str]:
        return {str(each.key).removeprefix("menu_") for each in app.menu_button}

    app = open_page("runs.py")
    assert listed(app) == set(ids)
    (box,) = [each for each in app.text_input if each.label == "Find runs"]
    healthy(box.set_value("baseline").run())
    assert listed(app) == set(ids[:2])
    assert "2 runs have 'baseline'." in shown(app)
    healthy(app.toggle[0].set_value(True).run())
    assert listed(app) == {ids[0]}
    (box,) = [each for each in app.text_input if each.label == "Find runs"]
    healthy(box.set_value("*nothing* such").run())
    assert listed(app) == set()
    assert "No run that has ended has '\\*nothing\\* such' and a star" in shown(app)
    assert "List all runs" in shown(app)
    healthy(button(app, "find_nothing").click().run())
    assert listed(app) == set(ids)
    assert listed(open_page("runs.py", find="talk")) == {ids[0]}
    assert listed(open_page("runs.py", starred="true")) == {ids[0]}


def test_what_waits_and_goes_on_is_found_too(shared_services: Services) -> None:
    store = shared_services.store
    going, waits = store.create_run(RunConfig(dataset="digits"), this_process()), store.create_run(RunConfig(model="small_cnn"))
    app = open_page("runs.py", find="small_cnn")
    assert {str(each.key) for each in app.menu_button} == {f"menu_{waits}"}
    assert "No run that goes on has 'small" in shown(app)
    assert store.run(going).status is RunStatus.QUEUED


def test_a_question_of_another_screen_is_not_asked_here(shared_services: Services) -> None:
    run_id = ended(shared_services)
    app = choose(open_page("runs.py"), run_id, "Delete")
    app.switch_page("home.py")
    healthy(app.run())
    assert "surely" not in keys(app)


def test_an_option_of_before_a_run_was_renamed_still_chooses_it(shared_services: Services) -> None:
    one, other = ended(shared_services), ended(shared_services, seed=1)
    app = open_page("evaluate.py", run=one)
    (box,) = [each for each in app.selectbox if each.label == "Run"]
    stale = f"called otherwise · digits with small_cnn · train everything · {other}"
    box.options.append(stale)
    healthy(box.set_value(stale).run())
    assert app.query_params["run"] in (other, [other])


def test_of_two_hundred_runs_five_are_drawn_and_all_are_found(shared_services: Services) -> None:
    store = shared_services.store
    ids = [store.create_run(RunConfig(seed=seed)) for seed in range(200)]
    for run_id in ids:
        store.end(run_id, RunStatus.FINISHED)
    store.label(ids[0], LabelChange("the oldest"))
    app = open_page("runs.py")
    assert len(app.menu_button) == 5
    assert len({each.proto.label for each in app.get("page_link") if each.proto.label.startswith("**")}) == 5
    assert [each.key for each in open_page("runs.py", find="oldest").menu_button] == [f"menu_{ids[0]}"]
