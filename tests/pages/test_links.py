"""What a link asks for and the form cannot show is said beside its field, as is what a failed run ended with; numbers are never rounded."""

# a fixture that is imported is an argument of the same name
from __future__ import annotations

import json

import pytest
from streamlit.testing.v1 import AppTest

from core.commands.cli import main
from core.config import RunConfig
from core.config.plans import Change
from core.machine.home import Home
from core.records.events import RunResult, RunStatus
from core.store import RunStore
from pages._parts.run import steering_view
from pages._parts.shared import draft, words
from pages._parts.shared.services import Services
from tests.pages.pages_cases import SMALL, errors, healthy, open_page, press, widget

FIELDS = {
    "model": "resnet9000", "dataset": "nothing", "loss": "FooLoss", "optimizer": "Adamm9", "schedule": "sometimes", "augmentation": "blur9",
    "speed": "warp", "precision": "float8", "memory_format": "diagonal", "fused_optimizer": "perhaps", "compile_model": "maybe",
    "im2col_gradients": "9x",
    "fold_norms": "9x", "feature_cache": "full", "frozen_randomness": "some", "class_weights": "heavy", "doubles": "drop", "fault": "fire",
    "epochs": "ten", "seed": "nan", "learning_rate": "quick", "optimizer_options": "{'eps'", "loss_options": '{"nonsense": 1}',
    "starting_weights": "",
}  # fmt: skip


def said(app: AppTest) -> str:
    return "\n".join(element.value for element in app.warning)


@pytest.mark.parametrize("field", FIELDS)
def test_a_link_that_cannot_be_followed_is_said_beside_the_field(shared_services: Services, field: str) -> None:
    app = open_page("train.py", new="1", **{**SMALL, field: FIELDS[field]})
    (warning,) = [element.value for element in app.warning]
    assert warning.startswith("The link cannot be followed here. ")
    assert "The form has" in warning
    if FIELDS[field] not in ("", "{'eps'", '{"nonsense": 1}'):
        assert FIELDS[field] in warning.replace("\\", "")
    assert not errors(app)


def test_what_a_link_says_is_made_plain_once(shared_services: Services) -> None:
    app = open_page("train.py", new="1", **{**SMALL, "optimizer": "*A*_b", "_odd_*": "1"})
    warnings = said(app)
    assert words.plain("*A*_b") in warnings
    assert words.plain("_odd_*") in warnings
    assert "\\\\" not in warnings


def test_it_goes_once_the_field_is_used_and_stands_in_no_way(shared_services: Services) -> None:
    app = open_page("train.py", new="1", **{**SMALL, "optimizer": "Adamm9", "epochs": "ten"})
    assert len(app.warning) == 2
    widget(app, "Optimizer").set_value("SGD")
    app.run()
    assert "The form has “5” instead." in said(app)
    assert "Adamm9" not in said(app)
    press(app, "Start training")
    (run,) = shared_services.store.runs()
    assert (run.config.optimizer, run.config.epochs) == ("SGD", 5)


@pytest.mark.parametrize(("field", "text", "message"), [
    ("epochs", "2.5", "Must be a whole number, got 2.5; try 5."),
    ("seed", "9" * 20, "Must be 4294967295 or less, got 100000000000000000000; try 0."),
    ("batch_size", "-3", "Must be 1 or more, got -3; try 32."),
    ("head_dropout", "7", "Must be below 1, got 7"),
])  # fmt: skip
def test_a_number_that_cannot_be_used_is_shown_with_what_is_wrong_with_it(shared_services: Services, field: str, text: str, message: str) -> None:
    assert message in errors(open_page("train.py", new="1", **{**SMALL, field: text}))


def test_the_options_of_a_link_are_those_of_its_own_optimizer(shared_services: Services) -> None:
    app = open_page("train.py", new="1", **SMALL, optimizer_options=json.dumps({"nesterov": True}), momentum="0.9", optimizer="SGD")
    assert not app.warning
    press(app, "Start training")
    (run,) = shared_services.store.runs()
    assert run.config.optimizer_options == {"nesterov": True}


def test_a_setting_that_no_run_has_is_said(shared_services: Services) -> None:
    app = open_page("train.py", new="1", **SMALL, lerning_rate="0.1")
    assert said(app) == "The link sets lerning_rate, which is no setting of a run; it was left out."


def test_numbers_of_the_form_are_not_rounded(shared_services: Services) -> None:
    app = open_page("train.py", new="1", **SMALL)
    for label, wrong in (("Epochs", 2.5), ("Batch size", 31.5), ("Seed", 9e28), ("Image size", 32.25)):
        right = widget(app, label).value
        widget(app, label).set_value(wrong)
        app.run()
        assert ("Must be a whole number, got" if wrong < 1e9 else "Must be 4294967295 or less, got") in errors(app), label
        widget(app, label).set_value(right)
        app.run()
        assert not errors(app), label
    widget(app, "Epochs").set_value(7.0)
    press(app.run(), "Start training")
    (run,) = shared_services.store.runs()
    assert run.config.epochs == 7


def test_the_settings_of_a_failed_run_come_with_its_error_beside_the_field(shared_services: Services) -> None:
    store = shared_services.store
    run_id = store.create_run(RunConfig(**SMALL, batch_size=16))
    store.end(run_id, RunStatus.FAILED, error="batch_size: 16 images do not fit into memory; use fewer")
    app = open_page("train.py", run=run_id)
    again = [button for button in app.button if button.label == "Use these settings again"]
    app = healthy(again[0].click().run())
    assert said(app) == "The run failed because of this: 16 images do not fit into memory; use fewer"
    widget(app, "Batch size").set_value(8)
    app.run()
    assert said(app) == ""


@pytest.mark.parametrize("where", ["", "batch_size: "], ids=["nowhere", "beside its field"])
def test_what_a_failed_run_said_is_shown_as_it_is(shared_services: Services, where: str) -> None:
    store = shared_services.store
    run_id = store.create_run(RunConfig(**SMALL, batch_size=16))
    store.end(run_id, RunStatus.FAILED, error=f"{where}no room for [x](http://a.example/a.png) and *all*\nTraceback")
    app = open_page("train.py", run=run_id)
    app = healthy(next(button for button in app.button if button.label == "Use these settings again").click().run())
    assert said(app).endswith(": " + words.plain("no room for [x](http://a.example/a.png) and *all*")), "escaped once, not twice"


def test_a_batch_of_one_is_refused_beside_the_field_and_starts_nothing(shared_services: Services) -> None:
    app = open_page("train.py", new="1", model="resnet18", image_size="32", batch_size="1")
    assert "1 gives 'layer4.0.bn1' and 4 more a single value a channel" in errors(app)
    press(app, "Start training")
    assert shared_services.store.runs() == []


@pytest.mark.parametrize(("text", "says"), [
    ("", "enter the new learning rate first, for example 0.0005"),
    ("0,001", "'0,001' is no number; write a point in place of the comma: 0.001"),
    ("fast", "'fast' is no number; enter one such as 0.0005"),
    ("-1", "the new learning rate must be above 0 and 1000 or less, not '-1'; enter for example 0.0005, or freeze what is not to learn"),
    ("nan", "the new learning rate must be above 0 and 1000 or less, not 'nan'"),
])  # fmt: skip
def test_a_live_change_is_refused_in_the_words_of_its_field(store: RunStore, text: str, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    refused: list[tuple[str, str, str]] = []
    monkeypatch.setattr(steering_view, "_refuse", lambda _, *said: refused.append(said))
    run = store.run(store.create_run(RunConfig(**SMALL)))
    assert steering_view._number(run, "rate", text, "the new learning rate", "0.0005") is None
    ((part, message, typed),) = refused
    assert (part, typed) == ("rate", text)
    assert message.startswith(says)
    assert "learning_rate=" not in message


def test_a_refusal_belongs_to_the_part_that_it_came_from(store: RunStore) -> None:
    parts = {"learning_rate=0.1": "rate", "layer4=0.3": "factor", "head only": "freeze", "!layer4, learning_rate=0.1": "freeze"}
    assert {text: steering_view.part_of(Change.parse(text)) for text in parts} == parts
    assert "head only" not in steering_view.in_screen_words(
        "'head only, fc' freezes every layer, so nothing would learn; leave one, with 'head only'"
    )


def test_names_of_other_screens_are_no_unknown_settings() -> None:
    assert {"run", "new", "chart", "steps", "layers", "finding", "example", "network"} <= set(draft.OTHERS_IN_URL)


def test_other_screens_say_what_a_link_asks_for_and_is_not_there(shared_services: Services) -> None:
    assert said(open_page("autograd.py", example="modern")).startswith("The link asks for the example 'modern', which there is not")
    app = open_page("build.py", network="mine: conv 8", size="2.5", classes="none")
    assert "2.5 cannot be used: it must be a whole number from 8 to 1,024." in errors(app)
    assert "It is empty, and must be a whole number from 2 to 100,000." in errors(app)


def test_a_stopped_run_offers_to_measure_its_test_accuracy(shared_services: Services) -> None:
    store = shared_services.store
    run_id = store.create_run(RunConfig(**SMALL))
    weights = shared_services.home.run_folder(run_id) / "weights.pth"
    weights.parent.mkdir(parents=True, exist_ok=True)
    weights.write_bytes(b"1")
    store.end(run_id, RunStatus.STOPPED, RunResult(1, 36, 0.5, 0.8, None, None, None, None, 2.0, 575.0, str(weights)))
    app = open_page("train.py", run=run_id)
    assert "Measure the test accuracy" in [getattr(link, "label", "") for link in app.get("page_link")]


def test_show_says_how_to_measure_what_a_stopped_run_has_not(home: Home, store: RunStore, capsys: pytest.CaptureFixture[str]) -> None:
    run_id = store.create_run(RunConfig(**SMALL))
    store.end(run_id, RunStatus.STOPPED, RunResult(1, 36, 0.5, 0.8, None, None, None, None, 2.0, 575.0, "weights.pth"))
    assert main(["show", run_id, "--home", str(home.path)]) == 0
    assert f"test accuracy -, measure it with: python -m core evaluate {run_id}" in capsys.readouterr().out
