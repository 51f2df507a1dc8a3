"""What the form judges before a start, and what it sets by itself: said beside the field, mended at one click, and taken back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from streamlit.testing.v1 import AppTest

from core.config import RunConfig
from core.networks.model_entries import MODELS
from core.records.events import RunStatus
from core.records.starting_weights import WeightsFit
from pages._parts.components.freeze_tree.tree import LayerTable
from pages._parts.setup import judging, trained
from pages._parts.shared.services import Services
from tests.pages.pages_cases import SMALL, errors, expander, healthy, open_page, press, shown, widget
from tests.support import wait_until

SENTENCE = WeightsFit(60, 62, ("fc",), 0, 1000)


class Network:
    """In the place of the real one: nothing is asked for."""

    def __init__(self, found: bool | None) -> None:
        self.found = found

    def known(self) -> bool | None:
        return self.found


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trained, "NETWORK", Network(False))


@pytest.fixture
def downloaded(shared_services: Services, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Services:
    """As if the weights of every model lay on this machine."""
    file = tmp_path / "there.pth"
    file.write_bytes(b"weights")
    for asked in ("published", "published_at"):
        monkeypatch.setattr(shared_services.lab, asked, lambda model: file)
    shared_services.lab.machine()
    return shared_services


def radio(app: AppTest) -> Any:
    return widget(app, "Starting weights")


def judged(services: Services, images: int | None = 1150, fit: WeightsFit | None = None, place: trained.Where = "nowhere", **values: Any) -> str:
    config = RunConfig(**{**SMALL, **values})
    table = LayerTable(services.lab.describe(config.model, 10, config.image_size))
    return " ".join(
        f"{hint.field}: {hint.text} {[each.label for each in hint.remedies]}" for hint in judging.hints(config, table, images, fit, place)
    )


# Random numbers that never learn


def test_frozen_layers_with_random_weights_are_said_once_and_mended(shared_services: Services) -> None:
    said = judged(shared_services, freeze="head only")
    assert said == (
        "freeze: stage1, stage2, stage3 begin as random numbers and stay frozen: those layers will never learn anything, and what learns has to "
        "make do with what they make of the pictures. ['Train everything']"
    )
    assert "'Start from trained weights', 'Train everything'" in judged(shared_services, freeze="head only", place="here")
    app = open_page("train.py", **SMALL, freeze="head only")
    assert shown(app).count("will never learn anything") == 1
    app = press(app, "Train everything")
    assert widget(app, "Freeze").value == "train everything"
    assert not app.warning


def test_an_empty_path_is_asked_for_and_is_no_fault_yet(shared_services: Services) -> None:
    app = open_page("train.py", new="1", **SMALL)
    app = healthy(widget(app, "Dataset").set_value("folder").run())
    app = healthy(radio(app).set_value("file").run())
    assert not app.error
    said = [info.value for info in app.info]
    assert any(text.startswith("Paste the path of your folder.") for text in said)
    app = healthy(widget(app, "Dataset").set_value("digits").run())
    assert [info.value for info in app.info] == ["Paste the path of your file of weights."]


def test_the_model_screen_says_it_too(shared_services: Services) -> None:
    app = open_page("model.py", **SMALL, freeze="head only")
    assert shown(app).count("will never learn anything") == 1
    app = press(app, "Train everything")
    assert not app.warning


def test_weights_that_ship_are_advised_for_what_they_suit_alone(shared_services: Services) -> None:
    for dataset, labels in (("digits_5_9", {"Start from trained weights", "Train everything"}), ("shapes", {"Train everything"})):
        app = open_page("train.py", **{**SMALL, "dataset": dataset, "freeze": "head only"})
        assert {button.label for button in app.button if str(button.key).startswith("remedy_freeze")} == labels
        app = open_page("train.py", **{**SMALL, "dataset": dataset})
        assert ("Trained weights of small_cnn are on this machine." in shown(app)) == (dataset == "digits_5_9")
        app = open_page("train.py", new="1", **{**SMALL, "dataset": dataset, "model": "mlp"})
        healthy(widget(app, "Model").set_value("small_cnn").run())
        assert radio(app).value == ("pretrained" if dataset == "digits_5_9" else "random")


@pytest.mark.parametrize("values", [
    {}, {"starting_weights": "/some/file.pth", "freeze": "head only"}, {"freeze": "head only", "timeline": "2: !stage3; 3: all"},
    {"freeze": "head only", "fault": "drifting BatchNorm"},
])  # fmt: skip
def test_nothing_is_said_where_all_layers_learn_at_some_time_or_begin_trained(shared_services: Services, values: dict[str, Any]) -> None:
    assert judged(shared_services, **values) == ""


def test_of_a_block_that_learns_in_part_the_layers_are_named(shared_services: Services) -> None:
    said = judged(shared_services, model="resnet18", freeze="layer1, layer2.0.conv1, !layer1.0.bn1")
    assert said.startswith("freeze: layer1, layer2.0.conv1 begin as random numbers")


def test_layers_that_a_timeline_thaws_are_not_counted(shared_services: Services) -> None:
    said = judged(shared_services, freeze="head only", timeline="2: !stage3, !stage2")
    assert said.startswith("freeze: stage1 begins as random numbers and stays frozen: it will never learn anything")


# Sizes and batches


def test_small_pictures_for_weights_of_imagenet_are_said_with_the_price_of_larger_ones(shared_services: Services) -> None:
    def said(**values: Any) -> str:
        return judged(shared_services, **{"model": "resnet18", "image_size": 64, **values})

    assert "at about 224 px; at 64 px, what they know comes 3.5 times smaller. 224 px cost about 12 times" in said(starting_weights="pretrained")
    assert "Use 224 px" in said(starting_weights="/a/file.pth", fit=SENTENCE)
    assert said(starting_weights="/a/file.pth", fit=replace(SENTENCE, classes=5)) == ""
    assert said(starting_weights="pretrained", image_size=192) == ""
    assert said() == ""


def test_a_batch_of_one_and_a_last_batch_of_one_are_said_where_norms_learn(shared_services: Services) -> None:
    assert "stage1.1 and 2 more BatchNorm layers learn, and work out" in judged(shared_services, batch_size=1)
    assert judged(shared_services, batch_size=1, model="mlp") == ""
    last = judged(shared_services, images=33)
    assert last == "batch_size: 33 pictures in batches of 32 leave a last batch of one, which is left out: one is not seen in each epoch. ['Use 31']"
    assert judged(shared_services, images=32) == judged(shared_services, images=1, batch_size=16) == ""


@pytest.mark.parametrize(("model", "wanted", "offered"), [
    ("vit_b_16", 50, [48, 64, 224]), ("vit_b_16", 4, [16, 224]), ("inception_v3", 64, [299]), ("resnet18", 2000.0, [224, 1024]),
    ("maxvit_t", 230, [224, 448]), ("small_cnn", None, [32]),
])  # fmt: skip
def test_sizes_next_to_the_wanted_one_are_offered_that_the_model_takes(model: str, wanted: float | None, offered: list[int]) -> None:
    assert judging.sizes(MODELS[model], wanted) == offered
    for size in offered:
        MODELS[model].check_image_size(size)


def test_what_cannot_work_is_mended_at_one_click(shared_services: Services) -> None:
    app = open_page("train.py", **{**SMALL, "batch_size": "5000", "model": "vit_b_16", "image_size": "50"})
    app = press(app, "Use 48 px")
    assert "5,000 is more than the 1,150 images" in errors(app)
    app = press(app, "Use 32")
    assert not errors(app)
    app = healthy(widget(app, "Gradient accumulation").set_value(40).run())
    assert not errors(press(app, "Use 35"))


# Weights from a file


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "weights_of_mine.pth"
    torch.save(torchvision.models.mobilenet_v3_small(num_classes=7).state_dict(), path)
    return str(path)


def looked_at(app: AppTest) -> AppTest:
    """Once the helper has looked at the file."""
    wait_until(lambda: "Looking whether" not in shown(healthy(app.run())), what="the look at the file")
    return app


def test_a_file_says_how_it_fits_and_one_that_does_not_which_model_it_is_of(shared_services: Services, file: str) -> None:
    app = open_page("train.py", **{**SMALL, "freeze": "stage1", "starting_weights": file})
    wait_until(
        lambda: "does not fit small_cnn: its stage1.0.weight is 72 x 16 x 1 x 1" in errors(healthy(app.run())), what="what is said of the file"
    )
    press(app, "Start training")
    assert not shared_services.store.runs()
    app = looked_at(press(app, "Use mobilenet_v3_small"))
    assert "242 of 244 tensors fit, the head is new (classifier.3)." in shown(app)
    assert "has other layers, so the rules `stage1` were dropped" in shown(app)
    assert not errors(app)


def test_choosing_a_file_trains_the_head_first_and_that_can_be_undone(shared_services: Services, file: str) -> None:
    app = open_page("train.py", **{**SMALL, "model": "mobilenet_v3_small"})
    healthy(radio(app).set_value("file").run())
    assert widget(app, "Freeze").value == "head only"
    assert "What learns was set to head only" in shown(app)
    healthy(widget(app, "Weights file").set_value(f'"{file}"').run())
    assert "242 of 244" in shown(looked_at(app))
    app = press(app, "Undo")
    assert (radio(app).value, widget(app, "Freeze").value) == ("file", "train everything")
    assert "What learns was set" not in shown(app)
    healthy(radio(app).set_value("random").run())
    assert widget(app, "Freeze").value == "train everything"


def test_what_a_person_has_frozen_stays(shared_services: Services) -> None:
    app = open_page("train.py", **{**SMALL, "freeze": "norms only"})
    healthy(radio(app).set_value("file").run())
    assert widget(app, "Freeze").value == "norms only"


# Trained weights first


def test_a_model_whose_weights_are_here_begins_from_them_and_that_can_be_undone(downloaded: Services) -> None:
    app = open_page("train.py", new="1", **SMALL)
    healthy(widget(app, "Model").set_value("resnet34").run())
    assert (radio(app).value, widget(app, "Freeze").value) == ("pretrained", "head only")
    assert "The trained weights of resnet34 are on this machine, so the form starts from them and trains the head only." in shown(app)
    app = press(app, "Undo")
    assert (radio(app).value, widget(app, "Freeze").value) == ("random", "train everything")
    healthy(widget(app, "Model").set_value("resnet18").run())
    assert radio(app).value == "random", "chosen by a person now"
    assert "Trained weights of resnet18 are on this machine." in shown(app)
    app = press(app, "Start from them, head only")
    assert (radio(app).value, widget(app, "Freeze").value) == ("pretrained", "head only")


def test_a_new_form_begins_from_weights_that_are_here_and_keeps_to_what_a_person_or_a_link_says(downloaded: Services) -> None:
    app = open_page("train.py", new="1")
    assert (radio(app).value, widget(app, "Freeze").value) == ("pretrained", "head only")
    assert "The trained weights of resnet18 are on this machine, so the form starts from them and trains the head only." in shown(app)
    app = press(app, "Undo")
    assert (radio(app).value, widget(app, "Freeze").value) == ("random", "train everything")
    assert app.query_params["starting_weights"] == "random", "a refresh finds what was chosen"
    for link in ({"starting_weights": "random"}, {"epochs": "3"}):
        assert radio(open_page("train.py", new="1", **link)).value == "random"


def test_where_weights_cannot_be_had_the_form_says_so_and_changes_nothing(shared_services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    shared_services.lab.published("resnet18")
    app = open_page("train.py", new="1", **SMALL)
    healthy(widget(app, "Model").set_value("resnet18").run())
    assert (radio(app).value, widget(app, "Freeze").value) == ("random", "train everything")
    assert "Trained weights of resnet18 are not on this machine and the network cannot be reached; a file of weights can be chosen." in shown(app)
    healthy(radio(app).set_value("pretrained").run())
    assert shown(app).count("the network cannot be reached") == 1
    monkeypatch.setattr(trained, "NETWORK", Network(True))
    healthy(radio(app).set_value("random").run())
    assert "Trained weights of resnet18 can be downloaded (47 MB)." in shown(app)


# Settings of a run


def test_settings_of_a_run_are_marked_where_they_differ_and_their_sections_open(shared_services: Services) -> None:
    run_id = shared_services.store.create_run(RunConfig(**SMALL, epochs=7, class_weights="balanced", watch_budget=0.05))
    shared_services.store.end(run_id, RunStatus.FAILED, error="for no reason")
    app = open_page("train.py", run=run_id)
    (first, *_) = [button for button in app.button if button.label == "Use these settings again"]
    app = healthy(first.click().run())
    said = shown(app)
    for mark in ("default: 5", "default: none", "default: 2 %", "default: resnet18"):
        assert f":blue-badge[{mark}]" in said, mark
    assert said.count(":blue-badge[") == 5
    assert expander(app, "More settings").proto.expanded
    assert not expander(app, "Speed").proto.expanded
    healthy(widget(app, "Epochs").set_value(9).run())
    assert shown(app).count(":blue-badge[") == 4, "what was changed by hand is a person's own"
