"""Screens without a browser: speed, the Model screen, what is frozen, and the buttons of a run."""

from __future__ import annotations

from dataclasses import replace

import pytest
import streamlit as st
from streamlit.config import get_option
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.runtime.forward_msg_queue import ForwardMsgQueue

from core import networks
from core.catalog.faults import PRESETS
from core.config import RunConfig
from core.config.plans import Change
from core.lab.lab import Lab
from core.machine.home import Home
from core.model import anatomy
from core.records.events import RunStatus
from core.records.layers import frozen_parameters
from core.store import RunStore
from core.worker.supervisor import Supervisor
from pages._parts.autograd import faults_view
from pages._parts.components.freeze_tree.tree import rows
from pages._parts.home import demo
from pages._parts.run import steering_view
from pages._parts.setup import form
from pages._parts.shared import layer_rules, once, words
from pages._parts.shared.once import Click
from pages._parts.shared.services import Services
from tests.pages.pages_cases import SMALL, errors, expander, figures, healthy, open_page, press, shown, widget


def test_what_automatic_would_decide_but_is_set_stays_within_reach(shared_services: Services) -> None:
    app = open_page("train.py", **SMALL, speed="automatic", precision="float16")
    assert "cannot be chosen where speed is automatic" in errors(app)
    assert expander(app, "Speed").proto.expanded, "an error must not hide"
    healthy(widget(app, "Precision").set_value("float32").run())
    assert not app.error


@pytest.mark.parametrize(
    ("query", "group", "complaint"),
    [
        ({"optimizer": "RMSprop", "fused_optimizer": "True"}, "Speed", "True cannot be had with RMSprop"),
        ({"threads": "1000"}, "Speed", "more than this machine's"),
        ({"fold_norms": "True", "feature_cache": "off"}, "Speed", "nothing to fold into"),
        ({"fixed_views": "4"}, "Frozen layers, computed once", "needs random pictures"),
        ({"feature_cache_gigabytes": "0"}, "Frozen layers, computed once", "Must be above 0"),
        ({"watch_budget": "1.5"}, "More settings", "100 or less, in percent, got 150; try 2"),
        ({"accumulate": "36"}, None, "36 batches of 32 are more than the 1,150 images there are to train on; use 35 or less"),
        ({"clip_norm": "0"}, None, "Must be above 0"),
    ],
)
def test_what_cannot_be_had_is_said_in_its_group_and_starts_nothing(
    shared_services: Services, query: dict[str, str], group: str | None, complaint: str
) -> None:
    app = open_page("train.py", **SMALL, **query)
    assert complaint in errors(app)
    for label in ("Speed", "Frozen layers, computed once", "More settings"):
        assert expander(app, label).proto.expanded == (label == group)
    press(app, "Start training")
    assert "Nothing was started" in errors(app)
    assert not shared_services.store.runs()


def test_what_is_of_no_use_is_out_of_reach_and_says_why(shared_services: Services) -> None:
    app = open_page("train.py", **SMALL, optimizer="RMSprop", feature_cache="off")
    assert widget(app, "Fixed views").disabled
    assert widget(app, "Room for features (GB)").disabled
    assert {box.label for box in app.checkbox if box.disabled} == {"Fused optimizer", "Fold BatchNorm"}
    said = shown(app)
    assert "RMSprop has no such way; AdamW, SGD, Adam and Adagrad have" in said
    assert "Without augmentation every epoch shows the same pictures" in said
    assert "Every layer learns to begin with" in said
    app = open_page("train.py", **SMALL, augmentation="flip", freeze="head only")
    said = shown(app)
    assert "Flipping makes two pictures of an image" in said
    assert "Every layer learns to begin with" not in said


# What the Model screen and the form share


ON_MODEL = {
    "freeze": "head only", "timeline": "2: !stage3; step 9: learning_rate=0.01", "learning_rate_multipliers": "stage3=0.5, stem=0.1",
    "head_dropout": "0.25", "head_hidden": "64", "watch_every": "3", "epochs": "4",
}  # fmt: skip


def test_the_form_says_what_the_model_screen_has_set_and_runs_it(shared_services: Services) -> None:
    app = open_page("train.py", **SMALL, **ON_MODEL)
    said = shown(app)
    assert "The head learns from epoch 1, stage3 from 2." in said
    for text in (ON_MODEL["timeline"], ON_MODEL["learning_rate_multipliers"], "Head dropout 0.25", "A hidden layer of 64 units"):
        assert text in said
    press(app, "Start training")
    (run,) = shared_services.store.runs()
    assert run.config == RunConfig(**SMALL, **ON_MODEL)


def test_settings_of_a_run_are_used_again_with_all_that_concerns_layers(shared_services: Services) -> None:
    run_id = shared_services.store.create_run(RunConfig(**SMALL, **ON_MODEL))
    shared_services.store.end(run_id, RunStatus.FAILED, error="for no reason")
    app = open_page("train.py", run=run_id)
    (first, *_) = [button for button in app.button if button.label == "Use these settings again"]
    healthy(first.click().run())
    query = {name: value if isinstance(value, str) else value[-1] for name, value in app.query_params.items()}
    assert {name: query[name] for name in ON_MODEL} == ON_MODEL
    app = healthy(app.switch_page("model.py").run())
    assert (widget(app, "Image size").value, widget(app, "Epochs").value) == (32, 4), "a page switch changes nothing in the draft"
    assert [widget(app, label).value for label in ("Rules", "Timeline", "Learning rate multipliers", "Head dropout", "Hidden layer")] == [
        "head only", "2: !stage3; step 9: learning_rate=0.01", "stage3=0.5, stem=0.1", 0.25, 64,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("field", "text", "complaint"),
    [
        ("timeline", "9: !stage3", "comes after the last epoch (4)"),
        ("timeline", "soon: !stage3", "does not begin with an epoch and a colon"),
        ("timeline", "2: !stage9", "matches no layer"),
        ("timeline", "2: head", "nothing would learn"),
        ("learning_rate_multipliers", "stage9=2", "matches no layer"),
        ("learning_rate_multipliers", "stage3=fast", "needs a number above 0"),
        ("head_dropout", "1", "Must be below 1"),
        ("head_hidden", "0", "Must be 1 or more"),
    ],
)
@pytest.mark.parametrize("page", ["train.py", "model.py"])
def test_what_is_wrong_with_rules_and_head_is_said_and_starts_nothing(
    shared_services: Services, page: str, field: str, text: str, complaint: str
) -> None:
    app = open_page(page, **SMALL, **{"freeze": "head only", "epochs": "4", field: text})
    assert complaint in errors(app)
    (start,) = [button for button in app.button if button.label == "Start training"]
    if not start.disabled:
        press(app, "Start training")
    assert not shared_services.store.runs()


@pytest.mark.parametrize("page", ["train.py", "model.py"])
def test_another_model_drops_what_it_has_no_layers_for_and_keeps_the_rest(shared_services: Services, page: str) -> None:
    app = open_page(page, **SMALL, **{**ON_MODEL, "freeze": "head only, !stage3"})
    healthy(widget(app, "Model").set_value("mlp").run())
    query = {name: value if isinstance(value, str) else value[-1] for name, value in app.query_params.items()}
    assert (query["freeze"], query["learning_rate_multipliers"], query["head_dropout"]) == ("head only", "stem=0.1", "0.25")
    assert "timeline" not in query
    said = shown(app)
    for gone in ("head only, !stage3", "stage3=0.5", ON_MODEL["timeline"]):
        assert f"`{gone}` w" in said, "what was dropped is named"
    assert not app.error
    healthy(widget(app, "Model").set_value("small_cnn").run())
    assert "dropped." not in shown(app), "it is said once"


def test_a_saved_network_is_chosen_like_any_model(shared_services: Services) -> None:
    text = networks.save(shared_services.home, "mynet: conv 8, relu, pool, conv 16, global pool")
    app = open_page("model.py", model="small_cnn", image_size="32")
    assert widget(app, "Model").options[-1] == "mynet"
    healthy(widget(app, "Model").set_value(text).run())
    assert not app.error
    networks.delete(shared_services.home, "mynet")
    healthy(app.run())
    assert widget(app, "Model").value == text, "the draft keeps its network, whatever becomes of the saved one"
    assert figures(app)["Trainable parameters"] == f"{shared_services.lab.describe(text, 10, 32).count:,}"


def test_the_model_screen_says_what_a_plan_costs_before_anything_is_measured(shared_services: Services) -> None:
    app = open_page("model.py", model="resnet18", image_size="64", freeze="train everything, layer1, layer2, layer3, layer4, fc, bn1")
    assert "**the backward pass still crosses 100\u00a0% of the network**" in shown(app)
    assert figures(app)["Trainable parameters"] == "9,408"
    assert figures(app)["Gradient memory"] == "38 kB"


def test_a_head_that_takes_no_options_says_so_and_lets_them_be_taken_away(shared_services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    known = shared_services.lab.describe("small_cnn", 10, 40)
    fixed = replace(known, head=tuple(replace(head, options=False) for head in known.head))
    monkeypatch.setattr(shared_services.lab, "describe", lambda *asked: fixed)
    app = open_page("model.py", model="small_cnn", image_size="40")
    assert [widget(app, label).disabled for label in ("Head dropout", "Hidden layer")] == [True, True]
    assert "not for this model" in shown(app)
    app = open_page("model.py", model="small_cnn", image_size="40", head_dropout="0.5")
    assert not widget(app, "Head dropout").disabled, "what cannot be had but is set stays within reach"


# The freeze tree


def test_the_tree_has_a_row_for_every_module_and_lone_parameter_in_order() -> None:
    description = anatomy.describe("vit_b_32", 10, 224)
    table = rows(description)
    paths = [row.path for row in table]
    assert len(set(paths)) == len(paths)
    assert {"class_token", "encoder.pos_embedding", "heads.head"} <= set(paths)
    for place, row in enumerate(table):
        above = row.path.rpartition(".")[0]
        assert not above or above in paths[:place], "a parent comes before what is below it"
    assert sum(row.count for row in table if row.level == 1) == description.count


@pytest.mark.parametrize("model", ["resnet18", "small_cnn", "densenet121", "googlenet"])
def test_a_group_is_frozen_in_part_when_only_some_of_it_is(model: str) -> None:
    description = anatomy.describe(model, 10, 64)
    plan = RunConfig(freeze="head only").freeze
    frozen = frozen_parameters(plan, description.parameters)
    for row in rows(description):
        below = [parameter.name in frozen for parameter in description.parameters if (parameter.name + ".").startswith(row.path + ".")]
        state = row.state(frozen)
        assert state == ("true" if all(below) else "mixed" if any(below) else "false")
        if state == "true":  # the switch does what it says
            thawed = frozen_parameters(plan.with_module(row.path, frozen=False), description.parameters)
            assert len(frozen) - len(thawed) == len(below)


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (200, "3 min 20 s"), (7500, "2 h 5 min")])
def test_durations_read_as_people_say_them(seconds: float, text: str) -> None:
    assert words.duration(seconds) == text


def test_what_fragments_draw_is_sent_whole_while_references_lose_their_fragment() -> None:
    # Of what a fragment has waiting in the queue when it is drawn anew, a reference is left alone, without its block: the page would stop.
    queue = ForwardMsgQueue()
    block, reference = ForwardMsg(), ForwardMsg()
    block.delta.fragment_id, reference.ref_hash = "fragment", "what the browser has"
    block.delta.add_block.SetInParent()
    for message, path in ((block, [0, 3]), (reference, [0, 3, 2])):
        message.metadata.delta_path.extend(path)
        queue.enqueue(message)
    queue.clear(retain_lifecycle_msgs=True, fragment_ids_this_run=["fragment"])
    left = [message.WhichOneof("type") for message in queue.flush()]
    assert left == ["ref_hash"], "Streamlit has mended it: take minCachedMessageSize out of .streamlit/config.toml, and this test"
    assert get_option("global.minCachedMessageSize") >= 1_000_000, "the audit of 700 tensors takes a third of that"


def test_click_that_is_played_back_asks_once(home: Home, store: RunStore) -> None:
    shared = Services(home, store, Supervisor(home, store), Lab(home))
    run = store.run(store.create_run(RunConfig()))
    for text in ("layer1", "layer1", "!layer1", "layer1"):
        steering_view.ask(shared, run, Change.parse(text))
    assert [command.payload for command in store.commands(run.id)] == ["layer1", "!layer1", "layer1"]


@pytest.mark.parametrize("applied", [False, True], ids=["while it waits", "once it was applied"])
@pytest.mark.parametrize("factor", steering_view.QUICK)
def test_a_click_on_a_factor_that_is_played_back_scales_the_rate_once(home: Home, store: RunStore, factor: float, applied: bool) -> None:
    shared = Services(home, store, Supervisor(home, store), Lab(home))
    run = store.run(store.create_run(RunConfig(learning_rate=0.1)))
    for click in (Click(), Click()):  # two drawings of the button: two clicks that were meant
        for _ in range(3):
            steering_view._scale_rate(shared, run, factor, click)
            waiting = store.commands(run.id, waiting=True)
            if applied and waiting:
                store.acknowledge(waiting[0], 1)
    rates = [Change.parse(command.payload).learning_rate for command in store.commands(run.id)]
    # No step is there yet that says what an applied change made of the rate.
    assert rates == pytest.approx([0.1 * factor, 0.1 * factor * (1 if applied else factor)])


def test_what_was_asked_for_with_a_text_is_asked_for_once_and_complains_of_nothing(home: Home, store: RunStore) -> None:
    shared = Services(home, store, Supervisor(home, store), Lab(home))
    run = store.run(store.create_run(RunConfig()))
    st.session_state.clear()
    for ask, texts in ((steering_view._set_rate, {"place": "0.02"}), (steering_view._set_factor, {"place": "0.5", "place_block": "layer1"})):
        st.session_state.update(texts)
        click = Click()
        for _ in range(2):
            ask(shared, run, "place", click)
            assert st.session_state["place"] == "", "the text is used up"
            for command in store.commands(run.id, waiting=True):
                store.acknowledge(command, 1)
    assert [command.payload for command in store.commands(run.id)] == ["learning_rate=0.02", "layer1=0.5"]
    assert steering_view._ERROR not in st.session_state


def test_undo_that_is_played_back_takes_back_one_change() -> None:
    desk = layer_rules.Desk()
    for plan in ("train everything", "head only", "layer1", "layer2"):
        desk.put(freeze=plan)
        desk.remember("resnet18")
    click = Click()
    for _ in range(3):
        desk.undo(click)
    assert desk.rules.freeze == "layer1"
    desk.undo(Click())
    assert desk.rules.freeze == "head only"


@pytest.mark.parametrize(("page", "label"), [("home.py", "Start the demo"), ("train.py", "Start training"), ("model.py", "Start training")])
def test_a_start_that_is_played_back_goes_to_the_run_that_it_started(
    shared_services: Services, monkeypatch: pytest.MonkeyPatch, page: str, label: str
) -> None:
    run_id = shared_services.store.create_run(RunConfig())
    for place in (once, form, demo):
        monkeypatch.setattr(place, "Click", lambda: Click(run_id))
    app = open_page(page, **({} if page == "home.py" else SMALL))
    next(button for button in app.button if button.label == label).click().run()
    assert [run.id for run in shared_services.store.runs()] == [run_id], "no second run"


def test_a_preset_that_is_played_back_is_started_once(home: Home, store: RunStore) -> None:
    shared = Services(home, store, Supervisor(home, store), Lab(home))
    run_id = store.create_run(RunConfig())
    faults_view._start(shared, next(iter(PRESETS.values())), Click(run_id))
    assert [run.id for run in store.runs()] == [run_id]
    assert st.session_state.pop(faults_view._GO_ON) == run_id
