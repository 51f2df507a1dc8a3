"""The static prefix: what is computed once must give, bit for bit, what computing it in every step gives."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, fx, nn

from core.machine.home import Home
from core.model.freezing import Freezing
from core.networks import models
from core.reuse import split as cutting
from core.reuse.split import NotSplit, split
from tests.reuse.partition_cases import Outcome, WithDropout, planned, small_partition, walk

pytestmark = pytest.mark.usefixtures("one_thread")


# Runs are the same with and without


@pytest.mark.parametrize(
    ("model", "size", "plan"),
    [
        ("resnet18", 32, "head only"),
        ("resnet18", 32, "last stage"),
        ("resnet18", 32, "*, !layer3.1.bn2, !fc"),
        ("mobilenet_v3_small", 32, "head only"),
        ("mobilenet_v3_small", 32, "last stage"),
        pytest.param("vit_b_16", 32, "*, !encoder.layers.encoder_layer_11.mlp, !heads", marks=pytest.mark.all_models),  # ten seconds
        ("densenet121", 32, "head only"),
        pytest.param("densenet121", 32, "last stage", marks=pytest.mark.all_models),
        pytest.param("googlenet", 32, "head only", marks=pytest.mark.all_models),
        ("googlenet", 32, "last stage"),
        ("small_cnn", 16, "all but stem"),
    ],
)
def test_run_is_the_same_to_the_bit_with_kept_features(model: str, size: int, plan: str, home: Home) -> None:
    fields: dict[str, Any] = {"model": model, "image_size": size, "freeze": plan, "batch_size": 16, "epochs": 2, "optimizer": "SGD", "few": 40}
    plain = Outcome(home, **fields, feature_cache="off")
    kept = Outcome(home, **fields)
    assert plain.reuse.state == "off"
    assert kept.reuse.state == "serving", kept.reuse.reason
    assert kept.reuse.checked > 0
    assert kept.equals(plain)


@pytest.mark.parametrize(
    "fields",
    [
        {"batch_size": 1, "image_size": 8, "few": 20},
        {"batch_size": 113, "few": 246},  # a last batch of 20
        {"batch_size": 96, "accumulate": 3, "few": 300},  # a last step of one batch
        {"augmentation": "flip", "epochs": 6, "few": 300},
        {"precision": "bfloat16", "batch_size": 32, "few": 80},  # slow without hardware for it
        {"head_dropout": 0.3, "few": 450},
        {"early_stopping": 1, "epochs": 6, "learning_rate": 1.0},
        {"clip_norm": 0.1, "few": 450},
        {"class_weights": "balanced", "fault": "imbalanced classes", "accumulate": 2, "batch_size": 50},
        {"doubles": "leave out", "fault": "leaking split"},
    ],
    ids=str,
)
def test_other_settings_are_the_same_to_the_bit_too(fields: dict[str, Any], home: Home) -> None:
    plain, kept = Outcome(home, feature_cache="off", **fields), Outcome(home, **fields)
    assert kept.reuse.state in ("serving", "filling"), kept.reuse.reason
    assert kept.equals(plain)


def test_second_run_computes_nothing_again_and_is_the_same(home: Home) -> None:
    first, second = Outcome(home), Outcome(home)
    assert not first.reuse.found
    assert second.reuse.found
    assert second.told[0].kept == second.reuse.pictures == 1150
    assert second.equals(first)
    assert second.trainer.stages.seconds["static prefix"] < first.trainer.stages.seconds["static prefix"]


def test_frozen_norms_that_are_folded_are_kept_for_each_pass_and_found_again(home: Home) -> None:
    first, second = Outcome(home, few=80, fold_norms=True), Outcome(home, few=80, fold_norms=True)
    assert first.reuse.state == "serving", first.reuse.reason
    assert second.reuse.found
    assert second.equals(first)


def test_another_seed_uses_what_it_has_in_common(home: Home) -> None:
    Outcome(home)
    told = Outcome(home, seed=1, starting_weights=str(saved_weights(home))).told
    assert told[0].kept <= 200  # other weights: nothing in common, and the first batch has been seen
    told = Outcome(home, starting_weights=str(saved_weights(home)), seed=2).told
    assert 800 < told[0].kept < 1150


def saved_weights(home: Home) -> Path:
    path = home.path / "weights.pth"
    if not path.exists():
        torch.save(models.build("small_cnn", 10, 16).state_dict(), path)
    return path


@pytest.mark.parametrize("change", ["!stage3", "stage1", "train everything", "last stage"])
def test_run_whose_plan_changes_in_mid_epoch_is_the_same_to_the_bit(change: str, home: Home) -> None:
    fields: dict[str, Any] = {"freeze": "*, !stage2, !stage3, !head", "timeline": "3: head only"}
    plain = Outcome(home, (4, change), **fields, feature_cache="off")
    kept = Outcome(home, (4, change), **fields)
    assert len({told.border for told in kept.told}) > 1
    assert kept.equals(plain)


def test_weights_that_early_stopping_brings_back_are_tested_as_they_are(home: Home) -> None:
    fields: dict[str, Any] = {"freeze": "train everything", "timeline": "2: head only, learning_rate=100", "early_stopping": 1, "epochs": 4}
    assert Outcome(home, **fields).equals(Outcome(home, **fields, feature_cache="off"))


# Where the cut is


@pytest.mark.parametrize(
    ("name", "plan", "border"),
    [
        ("resnet18", "head only", ("avgpool",)),
        ("resnet18", "last stage", ("layer3.1.relu",)),
        ("resnet18", "*, !layer3.0.downsample, !fc", ("layer2.1.relu", "layer3.0.bn2")),
        ("densenet121", "last stage", ("features.transition3.pool",)),
        ("vit_b_16", "*, !class_token, !heads", ("conv_proj",)),
        ("googlenet", "head only", ("inception4a.branch4.1", "inception4d.branch4.1", "avgpool")),
    ],
)
def test_border_is_the_last_that_cannot_change(name: str, plan: str, border: tuple[str, ...]) -> None:
    found = split(planned(name, plan, 32), torch.rand(3, 3, 32, 32))
    assert len(found.border) == len(border)
    assert found.border[-1].startswith(border[-1].rpartition(".")[0] or border[-1])
    assert not any(parameter.requires_grad for parameter in found.prefix.parameters())


@pytest.mark.parametrize("plan", ["train everything", "*, !conv1", "norms only, !conv1"])
def test_plan_that_trains_the_stem_leaves_nothing_to_keep(plan: str) -> None:
    with pytest.raises(NotSplit, match="first layer"):
        split(planned("resnet18", plan, 32), torch.rand(3, 3, 32, 32))


def test_what_follows_dropout_can_change_and_dropout_of_nothing_cannot() -> None:
    images = torch.rand(3, 3, 16, 16)
    assert split(WithDropout(0.5), images).border == ("first",)
    assert split(WithDropout(0.5).eval(), images).layers == 2
    assert split(WithDropout(0.0), images).layers == 2


@pytest.mark.parametrize(("name", "random_layer"), [("efficientnet_b0", "features.2.1"), ("vgg11", "classifier.2"), ("resnet18", "")])
def test_randomness_of_frozen_layers_can_be_put_to_rest(name: str, random_layer: str) -> None:
    model = planned(name, "head only", 32)
    images = torch.rand(3, 3, 32, 32)
    noisy = split(model, images)
    assert noisy.chance.startswith(random_layer)
    assert bool(noisy.chance) == bool(random_layer)
    freezing = Freezing(model, [name for name, parameter in model.named_parameters() if not parameter.requires_grad], randomness=False)
    freezing.train()
    still = split(model, images)
    assert still.layers == still.all_layers - 1
    assert not still.chance


def test_run_with_resting_randomness_is_the_same_with_kept_features(home: Home) -> None:
    fields: dict[str, Any] = {"model": "efficientnet_b0", "image_size": 32, "batch_size": 16, "few": 40, "frozen_randomness": False}
    plain, kept = Outcome(home, **fields, feature_cache="off"), Outcome(home, **fields)
    assert kept.reuse.layers == kept.reuse.all_layers - 1
    assert kept.equals(plain)


def test_frozen_norm_that_is_not_at_rest_can_change() -> None:
    model = planned("resnet18", "head only", 32)
    model.train()
    assert split(model, torch.rand(3, 3, 32, 32)).border == ("conv1",)


class Unusual(nn.Module):
    """Convolutions of many kinds, one with a hook and one with a forward of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, (3, 5), stride=(2, 1), padding=(0, 2), dilation=(2, 1))
        self.second = nn.Conv2d(4, 4, 3, padding="same", groups=2)
        self.third = nn.Conv2d(4, 6, 3, padding=1, padding_mode="reflect", dtype=torch.float64)
        self.third.forward = lambda input: input[:, :, ::2]  # type: ignore[method-assign]
        self.fourth = nn.Conv2d(4, 5, 2)
        self.fourth.register_forward_hook(lambda layer, given, result: torch.dropout(result[1:], 0.5, True))
        self.head = nn.Linear(16, 7)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.head(self.fourth(self.third(self.second(self.first(x)))).flatten(1)[:, :16])
        return result


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "googlenet", "unusual"])
def test_convolutions_that_are_not_computed_have_the_shape_that_they_would_have(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = Unusual().train() if name == "unusual" else planned(name, "head only", 32)
    whole = cutting._Whole(model, fx.Tracer().trace(model))
    images = torch.rand(3, 3, 32, 32).contiguous(memory_format=torch.channels_last)

    def probed() -> cutting._Probe:
        probe = cutting._Probe(whole)
        with cutting._untouched(model, images.device):
            probe.run(images)
        return probe

    quick = probed()
    monkeypatch.setattr(cutting._Probe, "_zeros", lambda self, node: None)
    computed = probed()
    assert quick.shapes == computed.shapes
    assert quick.random == computed.random


def test_prefix_in_another_mode_is_computed_anew() -> None:
    model = planned("resnet18", "head only", 32)
    found = split(model, torch.rand(3, 3, 32, 32))
    model.eval()
    assert found.known is found.example  # its norms were at rest already
    model.get_submodule("layer1.0.bn1").train()
    assert found.known is None


def test_cutting_leaves_buffers_and_chance_as_they_were() -> None:
    model = planned("resnet18", "all but stem", 32)
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    chance = torch.get_rng_state()
    split(model, torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(1)))
    assert torch.equal(torch.get_rng_state(), chance)
    assert all(torch.equal(buffer, before[name]) for name, buffer in model.named_buffers())


class Deciding(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Conv2d(3, 4, 3).requires_grad_(False)
        self.head = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.body(x)
        if x.mean() > 0:
            x = -x
        result: Tensor = self.head(x.mean((2, 3)))
        return result


def test_model_that_decides_by_its_data_is_not_cut() -> None:
    with pytest.raises(NotSplit, match="decides while it runs"):
        split(Deciding(), torch.rand(3, 3, 16, 16))


class WritingBack(nn.Module):
    """A step that can change writes into a static tensor before a static step reads it: order matters, so it must not be cut."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Conv2d(3, 4, 3).requires_grad_(False)
        self.scale = nn.Parameter(torch.tensor(2.0))
        self.after = nn.Conv2d(4, 4, 3).requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.body(x)
        x.detach().mul_(self.scale.detach() + self.scale * 0)
        result: Tensor = self.after(x).mean((2, 3)) * self.scale
        return result


def test_model_whose_halves_differ_from_the_whole_is_not_cut() -> None:
    with torch.no_grad(), pytest.raises(NotSplit, match="halves"):
        split(WritingBack(), torch.rand(3, 3, 16, 16))


def test_model_that_cannot_be_cut_runs_whole_and_says_why(home: Home) -> None:
    model = Deciding()
    partition, loader = small_partition(home, model)
    outputs = walk(partition, loader)
    expected = [model(partition.normalise(images)) for images, _ in loader.batches(1)]
    assert all(torch.equal(left, right) for left, right in zip(outputs, expected, strict=True))
    assert partition.tell().state == "off"
    assert "decides while it runs" in partition.tell().reason


@pytest.mark.parametrize("what", ["shorter", "longer", "another version", "no file of ours"])
def test_damaged_file_is_made_anew(what: str, home: Home) -> None:
    first = Outcome(home)
    for file in home.features.iterdir():
        if what == "shorter":
            os.truncate(file, file.stat().st_size // 2)
        elif what == "longer":
            os.truncate(file, file.stat().st_size + 1)
        elif what == "another version":
            file.write_bytes(file.read_bytes().replace(b'"format": 2', b'"format": 1'))
        else:
            file.write_bytes(b"hello")
    second = Outcome(home)
    assert not second.reuse.found
    assert second.reuse.state == "serving"
    assert second.equals(first)
    assert Outcome(home).reuse.found
