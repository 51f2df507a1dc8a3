"""Grad-CAM, and the command line of an evaluation."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torchvision.models import SwinTransformer, VisionTransformer

from core.commands.cli import main
from core.config import ConfigError
from core.evaluation import evaluate, grad_cam
from core.evaluation.evaluate import Loaded
from core.evaluation.test_set import TestSet
from core.machine.home import Home
from core.networks.models import find_model
from core.networks.own_networks import Network
from core.records.evaluation import Evaluation
from core.records.events import RunStatus
from core.store import RunStore
from tests.evaluation.evaluate_cases import TINY, edit_config, loaded, made_run, run, tested, trained  # noqa: F401

pytestmark = pytest.mark.usefixtures("one_thread_each")


# Grad-CAM


def around(loaded: Loaded, model: nn.Module, name: str, size: int) -> Loaded:
    """`loaded` with another model in it, of the family of the catalogue's `name`."""
    return replace(loaded, model=model.eval(), entry=find_model(name), config=loaded.config.replace(image_size=size))


def test_behind_global_pooling_grad_cam_is_the_weights_of_the_head(loaded: Loaded, tested: TestSet) -> None:
    # Selvaraju et al. 2017, section 3.1: there it is CAM, up to a constant that scaling to 1 takes away.
    images = tested.pixels([11])
    model = loaded.model
    assert isinstance(model, Network)
    order = model.order
    with torch.no_grad():
        x = loaded.inputs(images)
        for name in order[: order.index("relu2") + 1]:
            x = model.get_submodule(name)(x)
        logits = model(loaded.inputs(images))
    for target in (0, 8):
        expected = (model.get_parameter("head.weight")[target][:, None, None] * x[0]).sum(dim=0).relu()
        made = grad_cam.explain(loaded, images, "relu2", target)
        assert np.allclose(made.heat, (expected / expected.max()).detach().numpy(), atol=1e-5)
        assert made.probability == pytest.approx(float(logits.softmax(1)[0, target]), abs=1e-6)
        assert (made.target, made.target_name, made.epoch) == (target, str(target), 2)
    assert grad_cam.explain(loaded, images, "relu2").target == int(logits.argmax())


def test_grad_cam_is_the_same_for_a_frozen_model_and_leaves_no_trace(loaded: Loaded, tested: TestSet) -> None:
    images = tested.pixels([3])
    made = grad_cam.explain(loaded, images, "conv1", 5)
    assert all(parameter.grad is None for parameter in loaded.model.parameters())
    for parameter in loaded.model.parameters():
        parameter.requires_grad_(False)
    try:
        assert grad_cam.explain(loaded, images, "conv1", 5) == made
        assert "conv1" in grad_cam.layers(loaded)
    finally:
        for parameter in loaded.model.parameters():
            parameter.requires_grad_(True)
    assert not loaded.model._forward_hooks
    assert len(made.heat) == 16
    assert max(map(max, made.heat)) == 1


def test_a_layer_changed_in_place_by_the_next_can_be_looked_at(loaded: Loaded, tested: TestSet) -> None:
    class Plain(nn.Module):
        def __init__(self, inplace: bool) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.conv1, self.relu = nn.Conv2d(3, 4, 3), nn.ReLU(inplace=inplace)
            self.fc = nn.Linear(4, 10)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = self.fc(self.relu(self.conv1(x)).mean(dim=(2, 3)))
            return logits

    first, second = (grad_cam.explain(around(loaded, Plain(inplace), "resnet18", 16), tested.pixels([3]), "conv1", 5) for inplace in (False, True))
    assert first == second


def test_vision_transformers_are_seen_as_patches_up_to_the_last_that_counts(loaded: Loaded, tested: TestSet) -> None:
    torch.manual_seed(0)
    model = VisionTransformer(image_size=16, patch_size=4, num_layers=2, num_heads=2, hidden_dim=8, mlp_dim=16, num_classes=10)
    nn.init.normal_(model.heads.head.weight)  # type: ignore[union-attr, arg-type]
    vit = around(loaded, model, "vit_b_16", 16)
    found = grad_cam.layers(vit)
    assert found[0] == "conv_proj"
    assert found[-1] == "encoder.layers.encoder_layer_1.ln_1", "of the last block's output only the class token is used"
    assert "encoder.layers.encoder_layer_0" in found
    assert not [path for path in found if path.startswith("heads")]
    made = grad_cam.explain(vit, tested.pixels([3]), found[-1], 2)
    assert (len(made.heat), len(made.heat[0])) == (4, 4)


def test_swin_is_seen_though_its_channels_come_last(loaded: Loaded, tested: TestSet) -> None:
    torch.manual_seed(0)
    model = SwinTransformer([2, 2], embed_dim=8, depths=[2, 2], num_heads=[2, 2], window_size=[4, 4], num_classes=10)
    swin = around(loaded, model, "swin_t", 16)
    found = grad_cam.layers(swin)
    assert {"features.0.0", "features.0", "features.1.0", "features.3.0", "norm"} <= set(found)
    images = tested.pixels([3])
    assert len(grad_cam.explain(swin, images, "features.1.0", 2).heat) == 8
    maps = grad_cam._pass(swin, images, "features.1.0", 2)[0]
    assert maps.shape[-1] == 8
    assert grad_cam._as_maps(swin, "features.1.0", torch.arange(128.0).view(1, 4, 4, 8))[0, 3, 1, 2] == (1 * 4 + 2) * 8 + 3


def test_a_network_without_maps_has_no_layers_to_look_at(loaded: Loaded, tested: TestSet) -> None:
    from core.networks.models import build

    for name in ("mlp", "flat: flatten, linear 4, relu"):
        flat = around(loaded, build(name, 10, 16), name, 16)
        assert grad_cam.layers(flat) == ()
        with pytest.raises(ConfigError, match="none: this model has no layer with a map"):
            grad_cam.explain(flat, tested.pixels([0]), "head", 0)


def test_the_layers_of_a_residual_network_are_blocks_and_convolutions(loaded: Loaded) -> None:
    from core.networks.models import build

    found = grad_cam.layers(around(loaded, build("resnet18", 10, 64), "resnet18", 64))
    assert found[0] == "conv1"
    assert found[-1] == "layer4"
    assert "layer2.0.conv1" in found
    assert "layer4.1" not in found, "its output is that of layer4"
    assert not {"fc", "avgpool", "layer1.0.bn1"} & set(found)


@pytest.mark.parametrize(
    ("layer", "target", "field", "words"),
    [
        ("layer9", 0, "layer", "no layer 'layer9'; choose one of those with a map"),
        ("", 0, "layer", "relu2"),
        ("head", 0, "layer", r"no places to point at \(its shape is \(1, 10\)\)"),
        ("relu2", 10, "target", "use 0 to 9"),
        ("relu2", -1, "target", "no class -1"),
    ],
)
def test_grad_cam_of_what_is_not_there_names_the_remedy(loaded: Loaded, tested: TestSet, layer: str, target: int, field: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        grad_cam.explain(loaded, tested.pixels([0]), layer, target)
    assert caught.value.field == field


def test_before_an_average_and_one_linear_layer_the_whole_map_adds_up_to_the_classes_value(loaded: Loaded, tested: TestSet) -> None:
    """What the Try it part says of late layers, and that earlier ones are a first guess."""
    images = tested.pixels([5])

    def off(layer: str) -> float:
        output, logits, gradient = grad_cam._pass(loaded, images, layer, 3)
        whole = (gradient.mean(dim=(2, 3), keepdim=True) * output).sum()
        bias = dict(loaded.model.named_parameters())[f"{loaded.last_layer}.bias"]
        return abs(float(whole) - float(logits[0, 3] - bias[3].detach()))

    late, early = grad_cam.layers(loaded)[-1], grad_cam.layers(loaded)[0]
    assert off(late) < 1e-4
    assert off(early) > 0.05


# The command line


def thaw(home: Home, *arguments: str) -> tuple[int, str, str]:
    output, errors = io.StringIO(), io.StringIO()
    with redirect_stdout(output), redirect_stderr(errors):
        status = main([*arguments, "--home", str(home.path)])
    return status, output.getvalue(), errors.getvalue()


def test_evaluate_prints_all_figures_as_json_or_in_a_table(trained: tuple[Home, str, str]) -> None:
    home, run_id, _ = trained
    status, output, errors = thaw(home, "evaluate", run_id, "--json")
    made = evaluate.evaluate(home, run_id).evaluation
    assert (status, errors) == (0, "")
    printed = json.loads(output)
    assert printed["accuracy"]["value"] == made.accuracy.value
    assert set(printed) == {*Evaluation.__dataclass_fields__, "calibration_judged", "known", "data_notes"}
    status, output, _ = thaw(home, "evaluate", run_id, "--epoch", "1")
    assert status == 0
    assert "epoch 1, step" in output
    assert "top-5 accuracy" in output
    assert len(output.splitlines()) == 27
    assert "another seed would train other weights" in output
    assert "The validation set chooses epoch" in output
    assert "This test set was looked at" in output
    assert "None of them is among the 1,150 pictures that this run learned from" in output
    rows = RunStore(home.database).epochs_after(run_id)
    best = max(rows, key=lambda row: row.validation_accuracy or 0)
    status, output, _ = thaw(home, "evaluate", run_id, "--epoch", "best")
    assert status == 0
    assert f"epoch {best.epoch}, step {best.step}" in output
    for arguments, words in (
        (("evaluate", run_id, "--epoch", "one"), "epoch: must be a whole number, got 'one'"),
        (("evaluate", run_id, "--epoch", "9"), "choose one of 0, 1, 2"),
        (("predict", "20990101-000000-abcd", "a.png"), "there is no run"),
    ):
        status, _, errors = thaw(home, *arguments)
        assert status == 2
        assert words in errors


class Terminal(io.StringIO):
    """What is printed where somebody looks on."""

    def isatty(self) -> bool:
        return True


def test_progress_is_shown_on_a_terminal_and_keeps_out_of_the_json(home: Home, run: str, tmp_path: Path) -> None:
    picture, bad = tmp_path / "a.png", tmp_path / "bad.png"
    Image.new("RGB", (8, 8)).save(picture)
    bad.write_bytes(b"no picture")
    for arguments, words in (
        (("evaluate", run), "of 359 images"),
        (("predict", run, str(picture), str(bad), str(picture)), "of 3 pictures"),
    ):
        output, errors = io.StringIO(), Terminal()
        with redirect_stdout(output), redirect_stderr(errors):
            main([*arguments, "--json", "--home", str(home.path)])
        assert words in errors.getvalue()
        assert json.loads(output.getvalue())
    assert "\rthaw: picture: 'bad.png' cannot be read" in errors.getvalue(), "on a line of its own"


def test_predict_names_what_it_cannot_read_and_predicts_the_rest(trained: tuple[Home, str, str], tmp_path: Path) -> None:
    home, run_id, _ = trained
    good, bad = tmp_path / "good.png", tmp_path / "bad.png"
    Image.new("LA", (30, 20), (9, 0)).save(good)
    bad.write_bytes(b"no picture")
    status, output, errors = thaw(home, "predict", run_id, str(bad), str(good), "--json")
    printed = json.loads(output)
    assert status == 2
    assert "'bad.png' cannot be read as a picture" in errors
    assert [part["image"] for part in printed] == [str(bad), str(good)]
    assert "not an image" in printed[0]["error"]
    assert len(printed[1]["guesses"]) == 5
    assert printed[1]["guesses"][0]["probability"] >= printed[1]["guesses"][1]["probability"]
    assert "Its transparent parts were put on white." in printed[1]["notes"]
    status, output, _ = thaw(home, "predict", run_id, str(good), "--epoch", "0")
    assert status == 0
    assert output.startswith(f"{good}: ")


def test_predict_on_a_run_that_cannot_answer_is_one_clear_line(home: Home, run: str, tmp_path: Path) -> None:
    picture = tmp_path / "a.png"
    Image.new("RGB", (8, 8)).save(picture)
    assert thaw(home, "predict", run, str(picture))[0] == 0
    without = made_run(home, TINY, RunStatus.QUEUED, weights=False)
    gone, deleted = made_run(home, TINY), made_run(home, TINY)
    edit_config(home, gone, model="resnet81")
    RunStore(home.database).delete_run(deleted)
    for run_id, words in ((without, "has not saved weights yet"), (gone, "there is no model 'resnet81'"), (deleted, "it was deleted")):
        status, output, errors = thaw(home, "predict", run_id, str(picture), "--json")
        assert (status, output) == (2, "")
        assert words in errors
        assert run_id in errors
        assert len(errors.splitlines()) == 1
