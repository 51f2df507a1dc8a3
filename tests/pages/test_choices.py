"""What is offered to choose from keeps its words: a browser says by an option's text what was chosen, and that text must still be one by then."""

from __future__ import annotations

import ast
import time
from collections.abc import Iterator

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from core.config import RunConfig
from core.helpers.helper import LabError
from core.lab.lab import Lab
from core.machine.home import Home
from core.records.events import ChangeRow, Layer, RunPlan, RunResult, RunStatus, StepRow
from core.store import RunStore
from core.store.checkpoint import checkpoint_path
from pages._parts.evaluate import confusion
from pages._parts.setup import model_choice
from tests.pages.pages_cases import open_page
from tests.support import ROOT

PICKERS = {"selectbox", "multiselect", "radio", "segmented_control", "pills", "select_slider"}

# What makes an option's text, each looked at: nothing in it depends on the clock or on how far a run is.
STEADY = {
    "lambda name: PARTS[name][0]",
    "lambda name: EXAMPLES[name]",
    "lambda name: METHODS[name]",
    "lambda each: TITLES[each][0]",
    "lambda name: NAMES.get(name, name)",
    "lambda name: called.get(name, name)",  # a way to compare, or a run's id and the epoch that its validation set chose
    "lambda name: _KEPT[name][0]",
    "lambda each: label(found[each])",
    "lambda each: label(others[each])",
    "lambda each: subject.classes[each]",
    "lambda each: every if each == ALL else found.classes[each]",
    "lambda each: 'nothing' if each == NOTHING else subject.option(each)",
    "subject.option",
    "words.field",  # a name of a setting
    "other.option",
    "lambda each: option(each, saved)",
    "lambda each: FORMATS[each].label",
    "lambda each: 'the newest' if each == NEWEST else 'before training' if each == 0 else f'after epoch {each:,}'",
    "lambda value: words_of[value]",  # of three answers, in `option`
    "lambda each: PARTS[each][0]",
    "lambda each: GROUPS[each]",
    "lambda name: GROUPS[name]",
    "lambda each: WAYS[each]",
    "lambda place: PLACES[place]",
    "lambda each: each or 'none'",
    "lambda each: 'all (no splits yet)' if each == 'all' else each",
    "lambda spec: words.plain(words.sentence(meanings[spec]).rstrip('.'))",  # what a way to read a source means
    "lambda name: f'{STEPS[name].label} ({name})'",
    "lambda each: each or 'nothing: each run says'",
    "lambda each: dataset_called(each)",  # its name, and the number of a version
    "lambda id: texts[id]",  # `option` of compare/subject.py: what a run is called, its freeze plan and id
    "named",  # a version and its note, neither of which changes
}

TINY = RunConfig(model="small_cnn", image_size=16, epochs=40, threads=1, device="cpu")
LAYERS = (Layer("conv.weight", (4, 3, 3, 3), 108, False), Layer("fc.weight", (10, 4), 40, False))
PLAN = RunPlan(LAYERS, 36, 1440, tuple("0123456789"), 1150, 287, 359, "cpu")


def pickers() -> Iterator[tuple[str, ast.Call]]:
    for path in [ROOT / "dashboard.py", *sorted((ROOT / "pages").rglob("*.py"))]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in PICKERS:
                yield f"{path.relative_to(ROOT)}:{node.lineno}", node


def test_every_options_text_was_looked_at() -> None:
    found = [(where, ast.unparse(each.value)) for where, call in pickers() for each in call.keywords if each.arg == "format_func"]
    assert len(found) >= 10
    new = [f"{where} offers options with the text of {text}" for where, text in found if text not in STEADY]
    assert not new, f"see to it that nothing in these texts ever changes, then add them to STEADY: {new}"


def test_no_option_is_put_together_in_its_list() -> None:
    """An option without `format_func` is its own text."""
    for where, call in pickers():
        options = call.args[1:2] + [each.value for each in call.keywords if each.arg == "options"]
        written = [node for each in options for node in ast.walk(each) if isinstance(node, ast.JoinedStr)]
        assert not written, f"{where}: {ast.unparse(options[0])}"


def offered(app: AppTest) -> dict[str, list[str]]:
    """Label to options of everything that is chosen from."""
    return {element.label: list(element.options) for kind in (app.selectbox, app.select_slider, app.radio) for element in kind}


def reached(store: RunStore, home: Home, run_id: str, epoch: int) -> None:
    """The run goes on to the end of an epoch, and keeps its weights."""
    step = store.last_step(run_id)
    norms = np.ones(2, np.float32)
    store.append(run_id, [StepRow(number, epoch, time.time(), 0.5, 0.1, 1.0, norms) for number in range(step + 1, 36 * epoch + 1)])
    file = checkpoint_path(home.run_folder(run_id), epoch, 36 * epoch)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"weights")


@pytest.fixture
def going(home: Home, store: RunStore, monkeypatch: pytest.MonkeyPatch) -> str:
    """A run after its third epoch, the third of three."""
    monkeypatch.setenv("THAW_HOME", str(home.path))

    def silent(*_: object, **__: object) -> None:
        raise LabError("not asked here")

    for name in ("predict", "samples", "cam_layers", "evaluation", "embedding", "describe"):
        monkeypatch.setattr(Lab, name, silent)
    monkeypatch.setattr(Lab, "warm", lambda lab: None)
    for _ in range(2):
        store.end(store.create_run(TINY), RunStatus.STOPPED)
    run_id = store.create_run(TINY)
    store.begin(run_id, PLAN)
    for epoch in range(4):
        reached(store, home, run_id, epoch)
    return run_id


def moved_on(store: RunStore, home: Home, run_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An hour later the run is two epochs further, then it ends; another one is there."""
    now = time.time()
    monkeypatch.setattr("pages._parts.shared.words.time.time", lambda: now + 3600.0)
    for epoch in (4, 5):
        reached(store, home, run_id, epoch)
    store.end(run_id, RunStatus.FINISHED, RunResult(5, 180, 0.1, 0.9, 0.1, 0.9, 0.1, 0.931, 60.0, 100.0, None))
    store.create_run(TINY)


@pytest.mark.parametrize("view", ["try", "compare", "map", "metrics", "confusion", "mistakes"])
def test_options_on_evaluate_keep_their_words_while_time_and_run_go_on(
    home: Home, store: RunStore, going: str, monkeypatch: pytest.MonkeyPatch, view: str
) -> None:
    query = {"run": going, "view": view, "with": going}
    before = offered(open_page("evaluate.py", **query))
    assert before["Run"]
    assert before["Weights"]
    moved_on(store, home, going, monkeypatch)
    after = offered(open_page("evaluate.py", **query))
    gone = {label: options for label in before if (options := [text for text in before[label] if text not in after[label]])}
    assert gone == {}
    assert len(after["Run"]) == len(before["Run"]) + 1
    assert len(set(after["Run"])) == len(after["Run"]), "each is another one"


def test_what_changes_about_a_run_stands_beside_the_choice(home: Home, store: RunStore, going: str, monkeypatch: pytest.MonkeyPatch) -> None:
    moved_on(store, home, going, monkeypatch)
    app = open_page("evaluate.py", run=going)
    captions = [caption.value.replace("\u00a0", " ") for caption in app.caption]
    assert "finished · test accuracy 93.1 % · 1 h ago" in captions
    assert "The newest are those after epoch 5 (newest)." in captions or "The newest are those after epoch 5 (final)." in captions


def test_a_choice_that_is_not_offered_changes_nothing(going: str) -> None:
    """A browser that has slept may send an option of long ago."""
    app = open_page("evaluate.py", run=going)
    box = next(each for each in app.selectbox if each.label == "Run")
    stale = "digits with small_cnn · nothing · 7 min ago"
    box.options.append(stale)
    box.set_value(stale).run()
    assert not app.exception
    assert not [error for error in app.error if "no run" in error.proto.title]
    assert app.query_params["run"] in (going, [going])


def steering() -> None:
    """The part of a run's page that asks for a multiplier, as a page of its own."""
    from pages._parts.run import steering_view
    from pages._parts.run.run_state import state_now
    from pages._parts.shared.services import services

    shared = services()
    (run,) = shared.store.runs(active=True)
    assert run.plan is not None
    steering_view._multiplier(shared, run, run.plan, state_now(run.plan, shared.store.changes_after(run.id)))


def test_blocks_that_are_steered_keep_their_names(store: RunStore, going: str) -> None:
    before = offered(AppTest.from_function(steering).run())["Block"]
    assert before == ["conv", "fc"]
    store.append_change(going, ChangeRow(0, 109, "live", "fc=0.1", 0.1, np.zeros(2, np.bool_), np.array([1.0, 0.1], np.float32)))
    app = AppTest.from_function(steering).run()
    assert offered(app)["Block"] == before
    app.selectbox[0].set_value("fc").run()
    assert "which is 0.1 now" in app.caption[0].value


def test_a_refusal_stays_beside_its_field_until_something_else_is_typed_or_asked_for(store: RunStore, going: str) -> None:
    app = AppTest.from_function(steering).run()

    def ask(text: str) -> str:
        app.text_input[0].set_value(text).run()
        app.button[0].click().run()
        app.run()  # a run that goes on draws its page anew by itself
        return "".join(error.value for error in app.error)

    assert ask("fast").startswith("'fast' is no number")
    app.run()
    assert app.error[0].value.startswith("'fast' is no number")
    app.text_input[0].set_value("0.5").run()
    assert not app.error, "it is about another text"
    assert ask("-1").startswith("The multiplier of conv must be above 0")
    assert ask("0.5") == ""
    assert [command.payload for command in store.commands(going)] == ["conv=0.5"]


def test_two_networks_of_one_name_are_two_choices() -> None:
    one, other = "mynet: conv 8, global pool", "mynet: conv 16, global pool"
    assert model_choice.option(one, {}) == model_choice.option(one, {"mynet": one}) == "mynet"
    found = model_choice.option(other, {"mynet": one})
    assert found.startswith("mynet · ")
    assert found != model_choice.option("mynet: conv 32, global pool", {"mynet": one})
    assert model_choice.option("resnet18", {"mynet": one}) == "resnet18"


@pytest.mark.parametrize("classes", [("cat", "dog"), ("cat", "All classes"), ("All classes", "All classes together")])
def test_the_choice_of_all_classes_is_called_as_none_of_them(classes: tuple[str, ...]) -> None:
    assert confusion.all_of(classes) not in classes
    assert confusion.all_of(classes).startswith("All classes")
