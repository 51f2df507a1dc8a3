"""The logic of the screens, by AppTest, and what lies under them. What needs a real browser is in `test_browser.py`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from streamlit.config import get_option
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.runtime.forward_msg_queue import ForwardMsgQueue
from streamlit.testing.v1 import AppTest

from core import catalog, networks
from core.config import RunConfig
from core.config.plans import Change
from core.lab.lab import Lab
from core.machine.home import Home
from core.model import anatomy
from core.records.events import EpochRow, Layer, Reuse, RunPlan, RunResult, RunStatus
from core.records.findings import Diagnosis, Finding, Remedy
from core.records.layers import frozen_parameters
from core.store import RunStore
from core.worker.supervisor import Supervisor
from pages._parts.components.freeze_tree.tree import rows
from pages._parts.run import steering_view
from pages._parts.shared import draft, words
from pages._parts.shared.layer_rules import RULE_FIELDS
from pages._parts.shared.services import Services, services
from tests.support import ROOT

LABELS = (
    "Dataset", "Model", "Device", "Learning rate", "Epochs", "Batch size", "Image size", "Optimizer", "Loss", "Starting weights", "Freeze", "Seed",
)  # fmt: skip


SMALL = {"model": "small_cnn", "image_size": "32"}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """One real lab for all tests: it takes seconds to start and remembers nothing that matters."""
    lab = Lab(Home.from_environment(str(tmp_path_factory.mktemp("lab"))))
    lab.machine()  # started here, it belongs to no test's home and is not killed with one
    yield lab
    lab.close()


@pytest.fixture
def shared_services(home: Home, lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Services:
    """The services that the pages use, of an empty home. Starting a run only queues it: no worker is launched."""
    monkeypatch.setenv("THAW_HOME", str(home.path))
    monkeypatch.setattr("pages._parts.shared.services.Lab", lambda home: lab)

    def queue(supervisor: Supervisor, config: RunConfig) -> str:
        return supervisor.store.create_run(catalog.check(config))

    monkeypatch.setattr(Supervisor, "start", queue)
    return services()


def open_page(page: str = "home.py", **query: str) -> AppTest:
    """A screen, run once."""
    app = AppTest.from_file(ROOT / "pages" / "_app.py", default_timeout=60).run()
    app.switch_page(page)
    for name, value in query.items():
        app.query_params[name] = value
    return healthy(app.run())


def healthy(app: AppTest) -> AppTest:
    assert not app.exception, app.exception[0].value
    return app


def widget(app: AppTest, label: str) -> Any:
    """The one widget with this label."""
    (found,) = [element for kind in (app.selectbox, app.number_input, app.text_input) for element in kind if element.label == label]
    return found


def radio(app: AppTest, label: str) -> Any:
    (found,) = [element for element in app.radio if element.label == label]
    return found


def expander(app: AppTest, label: str) -> Any:
    (found,) = [element for element in app.expander if element.label == label]
    return found


def shown(app: AppTest) -> str:
    return "\n".join(element.value for kind in (app.markdown, app.caption, app.warning) for element in kind)


def press(app: AppTest, label: str) -> AppTest:
    (button,) = [button for button in app.button if button.label == label]
    return healthy(button.click().run())


def figures(app: AppTest) -> dict[str, str]:
    return {metric.label: metric.value for metric in app.metric}


def errors(app: AppTest) -> str:
    return "\n".join(error.value for error in app.error)


def test_the_form_has_every_promised_field_once(shared_services: Services) -> None:
    app = open_page("train.py")
    for label in LABELS:
        assert widget(app, label) is not None
    assert [button.label for button in app.button].count("Start training") == 1


def test_counts_follow_the_preset_and_add_up(shared_services: Services) -> None:
    app = open_page("train.py", model="small_cnn", image_size="32")
    total = shared_services.lab.describe("small_cnn", 10, 32).count
    assert figures(app)["Trainable parameters"] == f"{total:,}"
    assert figures(app)["Frozen parameters"] == "0"
    healthy(widget(app, "Freeze").set_value("head only").run())
    head = 128 * 10 + 10
    assert figures(app)["Trainable parameters"] == f"{head:,}"
    assert figures(app)["Frozen parameters"] == f"{total - head:,}"


def test_rules_typed_by_hand_decide_what_is_frozen(shared_services: Services) -> None:
    app = open_page("train.py", model="small_cnn", image_size="32", freeze="head only, !stage3")
    assert widget(app, "Freeze").value == "custom"
    assert figures(app)["Trainable parameters"] == f"{64 * 128 * 9 + 2 * 128 + 1290:,}"
    healthy(widget(app, "Rules").set_value("no_such_layer").run())
    assert "no_such_layer" in errors(app)
    assert "matches no layer" in errors(app)


@pytest.mark.parametrize(
    ("label", "value", "complaint"),
    [
        ("Learning rate", 0.0, "above 0"),
        ("Learning rate", -0.1, "above 0"),
        ("Epochs", 0, "1 or more"),
        ("Batch size", 5000, "more than the 1,150 images"),
        ("Image size", 4, "8 or more"),
        ("Seed", -1, "0 or more"),
    ],
)
def test_a_bad_value_is_said_and_starts_nothing(shared_services: Services, label: str, value: float, complaint: str) -> None:
    app = open_page("train.py", model="small_cnn", image_size="32")
    healthy(widget(app, "Weight decay").set_value(0.25).run())
    healthy(widget(app, label).set_value(value).run())
    assert complaint in errors(app)
    press(app, "Start training")
    assert "Nothing was started" in errors(app)
    assert widget(app, "Weight decay").value == 0.25, "what else was filled in stays"
    assert not shared_services.store.runs()


def test_an_image_size_that_the_model_cannot_take_is_said_by_its_field(shared_services: Services) -> None:
    app = open_page("train.py", model="inception_v3")
    assert "inception_v3 needs at least 299 pixels" in errors(app)
    healthy(widget(app, "Image size").set_value(299).run())
    assert not app.error


def test_every_wrong_field_is_said_at_once(shared_services: Services) -> None:
    app = open_page("train.py", model="small_cnn", learning_rate="0", epochs="0")
    assert len(app.error) == 2


def test_an_error_among_the_further_settings_opens_them(shared_services: Services) -> None:
    app = open_page("train.py", model="small_cnn", image_size="32")
    assert not expander(app, "More settings").proto.expanded
    healthy(widget(app, "Momentum").set_value(0.5).run())  # AdamW has none
    assert expander(app, "More settings").proto.expanded
    assert "momentum" in errors(app)


def test_start_queues_a_run_with_what_the_form_says_and_shows_it(shared_services: Services) -> None:
    app = open_page("train.py", model="small_cnn", image_size="32", freeze="norms only")
    healthy(widget(app, "Epochs").set_value(3).run())
    healthy(widget(app, "Optimizer").select("SGD").run())
    assert widget(app, "Learning rate").value == 0.01, "a learning rate that nobody touched follows the optimizer"
    press(app, "Start training")
    (run,) = shared_services.store.runs()
    wanted = RunConfig(model="small_cnn", image_size=32, freeze="norms only", epochs=3, optimizer="SGD", learning_rate=0.01)
    assert run.config == wanted
    assert app.query_params["run"] in (run.id, [run.id])
    assert "digits with small_cnn" in app.title[0].value
    assert {button.label for button in app.button} >= {"Pause", "Stop and save"}


def test_the_draft_is_in_the_url_and_a_new_session_reads_it(shared_services: Services) -> None:
    app = open_page("train.py", model="small_cnn", image_size="32")
    healthy(widget(app, "Epochs").set_value(17).run())
    healthy(widget(app, "label_smoothing").set_value(0.1).run())
    query = {name: value if isinstance(value, str) else value[-1] for name, value in app.query_params.items()}
    assert query["epochs"] == "17"
    again = open_page("train.py", **query)
    assert widget(again, "Epochs").value == 17
    assert widget(again, "label_smoothing").value == 0.1
    assert widget(again, "Model").value == "small_cnn"


def test_nonsense_in_the_url_leaves_the_defaults(shared_services: Services) -> None:
    app = open_page("train.py", epochs="many", precision="1 bit", optimizer_options="{", dataset="shapes", image_size="32", model="mlp")
    assert widget(app, "Epochs").value == RunConfig().epochs
    assert widget(app, "Precision").value == "float32"
    assert widget(app, "Dataset").value == "shapes"


@pytest.mark.parametrize("name", ["dataset", "model", "optimizer", "loss", "schedule", "augmentation", "device"])
def test_a_name_in_the_url_that_does_not_exist_breaks_nothing(shared_services: Services, name: str) -> None:
    open_page("train.py", **{"model": "small_cnn", "image_size": "32", name: "no such thing"})


def test_a_missing_folder_is_said_by_the_dataset(shared_services: Services) -> None:
    app = open_page("train.py", dataset="folder:/no/such/folder", model="small_cnn", image_size="32")
    assert widget(app, "Folder").value == "/no/such/folder"
    assert "there is no folder" in errors(app).lower()


def paint(root: Path, folders: dict[str, int]) -> str:
    """So many pictures in each folder of `root`; its path as text."""
    for folder, count in folders.items():
        (root / folder).mkdir(parents=True)
        for number in range(count):
            Image.new("RGB", (8, 8)).save(root / folder / f"{number}.png")
    return str(root)


def test_the_form_says_how_a_folder_is_read_and_offers_the_other_way(shared_services: Services, tmp_path: Path) -> None:
    photos = paint(tmp_path / "my_photos", {"train/ants": 20, "train/bees": 20, "val/ants": 5, "val/bees": 5, "@eaDir": 3})
    app = open_page("train.py", new="1", dataset=f"folder:'{photos}/'", batch_size="16", **SMALL)
    assert not errors(app)
    assert "train/ trains 2 classes (ants, bees; 40 images); val/ measures progress (10 images); a fifth of train/" in shown(app)
    assert "32 images train, 10 measure progress and 8 test it, if all can be read." in shown(app)
    assert words.plain("were left out: 1 (@eaDir).") in shown(app)
    assert "; 2 steps an epoch" in shown(app)
    app = press(app, words.plain("Instead: train/ trains and val/ is the test set"))
    assert widget(app, "Folder").value == f"{photos}::train=train,test=val"
    assert "32 images train, 8 measure progress and 10 test it" in shown(app)
    app = press(app, "Start training")
    (run,) = shared_services.store.runs(1)
    assert run.config.dataset == f"folder:{photos}::train=train,test=val"


def test_a_folder_that_can_be_read_in_several_ways_is_asked_about_on_the_form(shared_services: Services, tmp_path: Path) -> None:
    photos = paint(tmp_path / "vehicles", {"train/steam": 12, "train/diesel": 12, "car": 12, "bus": 12})
    app = open_page("train.py", new="1", dataset=f"folder:{photos}", batch_size="8", **SMALL)
    assert "could be the training images, or a class beside bus/, car/" in errors(app)
    press(app, "Start training")
    assert not shared_services.store.runs(1)
    app = press(app, words.plain("Take it so: every folder in it is a class"))
    assert not errors(app)
    assert "3 classes (bus, car, train; 48 images)" in shown(app)


def test_what_a_folder_lacks_is_said_before_start_and_mended_without_delay(shared_services: Services, tmp_path: Path) -> None:
    photos = paint(tmp_path / "photos", {"cat": 20, "dog": 0})
    app = open_page("train.py", new="1", dataset=f"folder:folder:{photos}", batch_size="8", **SMALL)
    assert f"No images in {photos}/dog" in errors(app)
    for number in range(20):
        Image.new("RGB", (8, 8)).save(tmp_path / "photos" / "dog" / f"{number}.png")
    assert not errors(healthy(app.run()))


def test_without_an_address_the_active_run_is_shown(shared_services: Services) -> None:
    run_id = shared_services.store.create_run(RunConfig(model="mlp"))
    app = open_page("train.py")
    assert "digits with mlp" in app.title[0].value
    assert app.query_params["run"] in (run_id, [run_id])
    press(app, "Set up another run")
    assert widget(app, "Dataset").value == "digits"


def test_an_unknown_run_is_said_and_the_way_on_is_shown(shared_services: Services) -> None:
    app = open_page("train.py", run="20200101-000000-abcd")
    assert "Choose one of the runs below" in errors(app)
    assert widget(press(app, "Set up a run"), "Dataset").value == "digits"


def test_a_failed_run_keeps_its_reason_and_its_settings(shared_services: Services) -> None:
    run_id = shared_services.store.create_run(RunConfig(model="mlp", epochs=11))
    shared_services.store.end(run_id, RunStatus.FAILED, error="batch_size: 5,000 is more than there are\nTraceback: here")
    app = open_page("train.py", run=run_id)
    assert "Batch size: 5,000 is more than there are" in errors(app)
    (first, *_) = [button for button in app.button if button.label == "Use these settings again"]
    healthy(first.click().run())
    assert (widget(app, "Model").value, widget(app, "Epochs").value) == ("mlp", 11)


def test_a_finished_run_shows_its_result_and_offers_its_weights(shared_services: Services, tmp_path: Path) -> None:
    store = shared_services.store
    run_id = store.create_run(RunConfig(model="small_cnn", epochs=1))
    layers = (Layer("head.weight", (10, 128), 1280, False), Layer("stage1.0.weight", (32, 3, 3, 3), 864, True))
    store.begin(run_id, RunPlan(layers, 36, 36, tuple("0123456789"), 1150, 288, 359, "cpu"))
    store.append_epoch(run_id, EpochRow(1, 36, 1.0, 0.5, 0.8, 0.4, 0.9))
    weights = tmp_path / "weights.pth"
    weights.write_bytes(b"weights")
    store.end(run_id, RunStatus.FINISHED, RunResult(1, 36, 0.5, 0.8, 0.4, 0.9, 0.3, 0.912, 2.0, 575.0, str(weights)))
    app = open_page("train.py", run=run_id)
    assert figures(app)["Test accuracy"] == "91.2 %"
    assert [getattr(button, "label", None) for button in app.get("download_button")] == ["Download weights"]
    assert any("load_state_dict" in code.value for code in app.code)


def test_a_run_whose_torch_compile_gave_up_says_so(shared_services: Services) -> None:
    run_id = shared_services.store.create_run(RunConfig(**SMALL, compile_model=True))
    shared_services.store.set_reuse(run_id, Reuse("off", "it is switched off", passes=1200, untranslated=1100))
    app = open_page("train.py", run=run_id)
    (warning,) = app.warning
    assert warning.value.startswith("torch.compile gave up: 1,100 of 1,200 passes of a batch ran as they would without it.")


@pytest.mark.parametrize(
    ("rule", "settings", "label", "said"),
    [
        ("class imbalance", {"class_weights": "balanced"}, "Class weights", "The rarer a class is among the training pictures, the more"),
        ("leakage", {"doubles": "leave out"}, "Pictures in two sets", "pixel for pixel, are not trained on"),
        ("much cut away", {"fit": "pad"}, "Pictures that are not square", "in its own shape, with black at two of its sides"),
    ],
)
def test_a_finding_about_the_data_is_mended_at_one_click(
    shared_services: Services, rule: str, settings: dict[str, Any], label: str, said: str
) -> None:
    store = shared_services.store
    run_id = store.create_run(RunConfig(model="small_cnn", epochs=7))
    store.begin(run_id, RunPlan((), 36, 252, tuple("0123456789"), 1150, 288, 359, "cpu", ("Left out of the 1,159 training pictures: 9.",)))
    finding = Finding(rule, "warning", "Uneven", "It is.", "Never.", "settings", 0, 0, (), Remedy("Use it.", "", settings), 0)
    store.set_findings(run_id, Diagnosis(252, True, (rule,), (finding,)))
    store.end(run_id, RunStatus.STOPPED)
    app = open_page("train.py", run=run_id)
    assert "Left out of the 1,159 training pictures: 9." in "\n".join(info.value for info in app.info)
    assert words.plain(f"{label}: {next(iter(settings.values()))}") in shown(app)
    app = press(app, "Use these settings")
    assert (widget(app, label).value, widget(app, "Epochs").value) == (next(iter(settings.values())), 7)
    assert said in shown(app)


def test_the_form_shows_what_each_fit_does_to_ones_own_picture(shared_services: Services, tmp_path: Path) -> None:
    assert "A drawn picture, 144 x 72." in shown(open_page("train.py", **SMALL))
    for name in ("a", "b"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        Image.new("RGB", (30, 30)).save(tmp_path / "photos" / name / "even.png")
    Image.new("RGB", (64, 16)).save(tmp_path / "photos" / "a" / "long*.png")
    app = open_page("train.py", **{**SMALL, "dataset": f"folder:{tmp_path / 'photos'}", "fit": "squash"})
    assert r"Your long\*.png, 64 x 16." in shown(app)
    assert "its longer side pressed together" in shown(app)


def test_home_says_what_to_do_when_nothing_has_run(shared_services: Services) -> None:
    app = open_page()
    assert any("No run yet" in caption.value for caption in app.caption)
    assert "Processor cores" in figures(app)


def test_home_starts_the_demo_and_goes_to_it(shared_services: Services) -> None:
    app = press(open_page(), "Start the demo")
    (run,) = shared_services.store.runs()
    assert (run.config.dataset, run.config.model, str(run.config.freeze), run.config.image_size) == ("digits", "resnet18", "head only", 64)
    assert "digits with resnet18" in app.title[0].value


# How fast, and at what price

ALL_NEW = {
    "accumulate": 4, "clip_norm": 0.5, "precision": "bfloat16", "memory_format": "channels_last", "fused_optimizer": True, "compile_model": True,
    "fold_norms": True, "threads": 1, "feature_cache": "float16", "feature_cache_gigabytes": 2.5, "augmentation": "shift", "fixed_views": 3,
    "watch_budget": 0.07, "watch_every": 3, "class_weights": "balanced", "doubles": "leave out", "fit": "pad",
}  # fmt: skip


def test_every_field_of_a_run_can_be_set_on_a_screen(shared_services: Services) -> None:
    keys: set[str] = set()
    for page in ("train.py", "model.py"):
        app = open_page(page, **SMALL)
        keys |= {str(element.key) for kind in (app.selectbox, app.number_input, app.text_input, app.checkbox, app.radio) for element in kind}
    keys |= {draft.key(field) for field in (*RULE_FIELDS, *draft.OPTIONS)}  # several widgets each: other tests set them
    assert {field for field in RunConfig.model_fields if draft.key(field) not in keys} == set()


def test_all_that_is_set_about_speed_and_frozen_layers_is_what_the_run_gets(shared_services: Services) -> None:
    app = open_page("train.py", **SMALL, freeze="head only", augmentation="shift")
    for label, value in (
        ("Gradient accumulation", 4), ("Longest gradient", 0.5), ("Precision", "bfloat16"), ("Memory format", "channels_last"), ("Threads", 1),
        ("Room for features (GB)", 2.5), ("Fixed views", 3), ("Watching budget (%)", 7.0), ("Watch every", 3),
        ("Class weights", "balanced"), ("Pictures in two sets", "leave out"), ("Pictures that are not square", "pad"),
    ):  # fmt: skip
        widget(app, label).set_value(value)
    for box in app.checkbox:
        if box.label in ("Fused optimizer", "torch.compile", "Fold BatchNorm"):
            box.check()
    radio(app, "Features of frozen layers").set_value("float16")
    healthy(app.run())
    assert not app.error
    assert "32 x 4 = 128 images in one step; 9 steps an epoch" in shown(app)
    wanted = RunConfig(model="small_cnn", image_size=32, freeze="head only", **ALL_NEW)
    query = {name: value if isinstance(value, str) else value[-1] for name, value in app.query_params.items()}
    again = open_page("train.py", **query)  # a refresh in the browser
    press(again, "Start training")
    (run,) = shared_services.store.runs()
    assert run.config == wanted


def test_automatic_hides_what_it_decides_and_gives_it_back_to_measuring(shared_services: Services) -> None:
    app = open_page("train.py", **SMALL, precision="bfloat16", memory_format="channels_last", fused_optimizer="true", threads="1")
    assert widget(app, "Precision").value == "bfloat16"
    healthy(radio(app, "Speed").set_value("automatic").run())
    assert not app.error
    labels = {element.label for kind in (app.selectbox, app.checkbox, app.number_input) for element in kind}
    assert labels.isdisjoint({"Precision", "Memory format", "Fused optimizer", "torch.compile", "Fold BatchNorm"})
    assert "Threads" in labels
    press(app, "Start training")
    (run,) = shared_services.store.runs()
    assert run.config == RunConfig(model="small_cnn", image_size=32, speed="automatic", threads=1)


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
        steering_view._ask(shared, run, Change.parse(text))
    assert [command.payload for command in store.commands(run.id)] == ["layer1", "!layer1", "layer1"]
