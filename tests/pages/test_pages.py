"""The logic of the screens, by AppTest, and what lies under them. What needs a real browser is in `test_browser.py`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from core.config import RunConfig
from core.records.events import EpochRow, Layer, Reuse, RunPlan, RunResult, RunStatus
from core.records.findings import Diagnosis, Finding, Remedy
from pages._parts.setup import looking
from pages._parts.shared import draft, words
from pages._parts.shared.layer_rules import RULE_FIELDS
from pages._parts.shared.services import Services
from tests.pages.pages_cases import SMALL, errors, expander, figures, healthy, open_page, opened, press, shown, widget

LABELS = (
    "Dataset", "Model", "Device", "Learning rate", "Epochs", "Batch size", "Image size", "Optimizer", "Loss", "Starting weights", "Freeze", "Seed",
)  # fmt: skip


def radio(app: AppTest, label: str) -> Any:
    (found,) = [element for element in app.radio if element.label == label]
    return found


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
    assert {button.label for button in app.button} >= {"Start now", "Cancel"}, "it waits for a place"


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
    assert "my_photos/ · 2 classes · 50 pictures" in shown(app)
    assert words.plain("were left out: 1 (@eaDir).") in shown(app)
    assert "; 2 steps an epoch" in shown(app)
    app = press(app, words.plain("Instead: train/ trains and val/ is the test set"))
    assert widget(app, "Folder").value == f"{photos}::train=train,test=val"
    assert "my_photos/ · 2 classes · 50 pictures" in shown(app)
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
    assert "vehicles/ · 3 classes · 48 pictures" in shown(app)


def test_what_a_folder_lacks_is_said_before_start_and_mended_without_delay(
    shared_services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looking, "AGAIN_AFTER", 0)  # on a busy machine the first look takes so long that it would count as new still
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
    assert "there is none yet" in errors(app)
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
    assert figures(app)["Test accuracy"] == "91.2\N{NO-BREAK SPACE}%"
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
    app = opened(open_page("train.py", run=run_id), f"chip_warning_{rule.replace(' ', '_')}_{run_id}")
    assert "Left out of the 1,159 training pictures: 9." in "\n".join(info.value for info in app.info)
    assert words.plain(f"{label}: {next(iter(settings.values()))}") in shown(app)
    app = press(app, "Use these settings")
    assert (widget(app, label).value, widget(app, "Epochs").value) == (next(iter(settings.values())), 7)
    assert said in shown(app)


def test_the_form_shows_what_each_fit_does_to_ones_own_picture(shared_services: Services, tmp_path: Path) -> None:
    assert "Its pictures are squares of 8 px" in shown(open_page("train.py", **SMALL)), "which way is chosen makes no difference then"
    assert "A drawn picture, 144 x 72 px." in shown(open_page("train.py", **SMALL, dataset="Flowers102"))
    for name in ("a", "b"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        Image.new("RGB", (30, 30)).save(tmp_path / "photos" / name / "even.png")
    Image.new("RGB", (64, 16)).save(tmp_path / "photos" / "a" / "long*.png")
    app = open_page("train.py", **{**SMALL, "dataset": f"folder:{tmp_path / 'photos'}", "fit": "squash"})
    assert r"Your long\*.png, 64 x 16 px." in shown(app)
    assert "its longer side pressed together" in shown(app)


def test_home_says_what_to_do_when_nothing_has_run(shared_services: Services) -> None:
    app = open_page()
    assert any("No run yet" in caption.value for caption in app.caption)
    assert "Processor cores" in figures(app)


def test_home_starts_the_demo_and_goes_to_it(shared_services: Services) -> None:
    app = press(open_page(), "Start the demo")
    (run,) = shared_services.store.runs()
    assert (run.config.dataset, run.config.model, run.config.starting_weights) == ("digits_5_9", "small_cnn", "pretrained")
    assert app.title[0].value == "Demo, trained weights"
    assert "digits_5_9 with small_cnn" in shown(app).replace("\\_", "_")


# How fast, and at what price


ALL_NEW = {
    "accumulate": 4, "clip_norm": 0.5, "precision": "bfloat16", "memory_format": "channels_last", "fused_optimizer": True, "compile_model": True,
    "im2col_gradients": True,
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
        if box.label in ("Fused optimizer", "torch.compile", "Fold BatchNorm", "im2col gradients"):
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
