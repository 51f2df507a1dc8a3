"""The static prefix: what is computed once must give, bit for bit, what computing it in every step gives."""

from __future__ import annotations

import errno
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from core.config import RunConfig
from core.config.plans import Change, FreezePlan
from core.data import Loader
from core.data.loader import ImageDataset, Normalise
from core.machine.home import Home
from core.model import anatomy
from core.model.freezing import Freezing
from core.networks import models
from core.networks.model_entries import MODELS
from core.records.events import Reuse
from core.records.layers import frozen_parameters
from core.reuse.features import Column, NoRoom, open_table
from core.reuse.partition import Keeping, Partition
from core.reuse.split import NotSplit, Split, fold_norms, split
from core.training.trainer import EpochReport, FinalReport, StepReport, Trainer
from core.worker.assembly import assemble
from tests.support import ROOT

SMALL: dict[str, Any] = {
    "dataset": "digits", "model": "small_cnn", "image_size": 16, "freeze": "head only", "batch_size": 200, "epochs": 3,
    "watch_budget": 1.0, "threads": 1,
}  # fmt: skip


pytestmark = pytest.mark.usefixtures("one_thread")


def trainer(home: Home, **fields: object) -> Trainer:
    return assemble(RunConfig(**{**SMALL, **fields}), home).trainer


class Outcome:
    """A whole training, and what it gave."""

    def __init__(self, home: Home, change: tuple[int, str] | None = None, few: int | None = None, **fields: object) -> None:
        self.trainer = trainer(home, **fields)
        for loader in (self.trainer.train, self.trainer.validation, self.trainer.test):
            if loader is not None and few is not None:
                loader.images.indices = loader.images.indices[:few]
        self.losses: list[float] = []
        self.norms: list[Tensor] = []
        self.scores: list[object] = []
        self.told: list[Reuse] = []
        for report in self.trainer.run():
            match report:
                case StepReport():
                    self.losses.append(report.loss.item())
                    assert report.gradient_norms is not None
                    self.norms.append(report.gradient_norms)
                    if change and report.step == change[0]:
                        self.trainer.change(Change.parse(change[1]))
                case EpochReport() | FinalReport():
                    self.scores.append(report)
            if self.trainer.partition.news:
                self.told.append(self.trainer.partition.tell())
        self.trainer.partition.close()
        self.reuse = self.trainer.partition.tell()

    def equals(self, other: Outcome) -> bool:
        """True if losses, gradient norms, scores and final weights and buffers are the same to the bit."""
        mine, theirs = self.trainer.model.state_dict(), other.trainer.model.state_dict()
        return (
            self.losses == other.losses
            and all(torch.equal(left, right) for left, right in zip(self.norms, other.norms, strict=True))
            and self.scores == other.scores
            and all(torch.equal(mine[name], theirs[name]) for name in theirs)
        )


def planned(name: str, plan: str, size: int, training: bool = True) -> nn.Module:
    """A model under a freeze plan, in the mode that a run has it in."""
    torch.manual_seed(0)
    model = models.build(name, 10, size)
    freezing = Freezing(model, frozen_parameters(FreezePlan.model_validate(plan), anatomy.describe(name, 10, size).parameters))
    freezing.train() if training else freezing.eval()
    return model


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
        {"batch_size": 113},  # a last batch of 20
        {"batch_size": 96, "accumulate": 3},
        {"augmentation": "flip", "epochs": 6, "few": 300},
        {"precision": "bfloat16"},
        {"head_dropout": 0.3},
        {"early_stopping": 1, "epochs": 6, "learning_rate": 1.0},
        {"clip_norm": 0.1},
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


class WithDropout(nn.Module):
    """Dropout, then two frozen layers' worth of work, then the head."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3)
        self.drop = nn.Dropout(share)
        self.second = nn.Conv2d(4, 4, 3)
        self.head = nn.Linear(4, 2)
        for layer in (self.first, self.second):
            layer.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.second(self.drop(self.first(x)))
        result: Tensor = self.head(x.mean((2, 3)))
        return result


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


# When keeping is refused, or goes wrong


def small_partition(home: Home, model: nn.Module, **fields: Any) -> tuple[Partition, Loader]:
    pixels = torch.randint(0, 256, (64, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    loader = Loader(ImageDataset(pixels, torch.arange(64) % 2, torch.arange(64), 16), 16, seed=0, **fields)
    normalise = Normalise((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    return Partition(model, normalise, 16, torch.device("cpu"), Keeping(home.features), "float32", most=16), loader


def walk(partition: Partition, loader: Loader, epoch: int = 1) -> list[Tensor]:
    partition.begin("train", loader)
    return [partition.forward(batch) for batch in loader.batches(epoch)]


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
            file.write_bytes(file.read_bytes().replace(b'"format": 1', b'"format": 0'))
        else:
            file.write_bytes(b"hello")
    second = Outcome(home)
    assert not second.reuse.found
    assert second.reuse.state == "serving"
    assert second.equals(first)
    assert Outcome(home).reuse.found


def test_features_that_are_wrong_are_found_out_and_dropped(home: Home) -> None:
    Outcome(home)
    for file in home.features.iterdir():
        content = bytearray(file.read_bytes())
        content[-800_000:] = bytes(800_000)
        file.write_bytes(content)
    spoilt = Outcome(home)
    assert spoilt.reuse.state == "dropped"
    assert "deleted" in spoilt.reuse.reason
    assert len(spoilt.losses) == 3 * 6


def test_frozen_weight_that_somebody_moves_is_found_out(home: Home) -> None:
    model = WithDropout(0.0)
    partition, loader = small_partition(home, model)
    walk(partition, loader)
    with torch.no_grad():
        model.first.weight.add_(1)
    outputs = walk(partition, loader)
    assert partition.tell().state == "dropped"
    expected = [model(partition.normalise(images)) for images, _ in loader.batches(1)]
    assert torch.equal(outputs[-1], expected[-1])


class Disk:
    """Lets some bytes be written, and is full then."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, room: int) -> None:
        self.room = room
        self.write = os.pwrite
        monkeypatch.setattr(os, "pwrite", self)

    def __call__(self, file: int, data: Any, place: int) -> int:
        if len(data) > self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.room -= len(data)
        return self.write(file, data, place)


def test_disk_that_fills_while_features_grow_loses_nothing(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Outcome(home, feature_cache="off")
    Disk(monkeypatch, 100_000)
    kept = Outcome(home)
    assert kept.reuse.state == "dropped"
    assert "No space left" in kept.reuse.reason
    assert kept.equals(plain)
    assert not list(home.features.glob("*"))


def test_full_disk_leaves_memory(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(home.path)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage._replace(free=1000))
    kept = Outcome(home)
    assert (kept.reuse.state, kept.reuse.place) == ("serving", "memory")
    assert not list(home.features.glob("*"))
    assert kept.equals(Outcome(home, feature_cache="off"))


def test_features_over_the_budget_are_not_kept_and_the_reason_says_what_to_do(home: Home) -> None:
    reuse = Outcome(home, feature_cache_gigabytes=0.0001).reuse
    assert reuse.state == "off"
    remedy = re.search(r"more than the 100 kB allowed; raise feature_cache_gigabytes to ([\d.]+), or set feature_cache to off", reuse.reason)
    assert remedy is not None, reuse.reason
    assert Outcome(home, feature_cache_gigabytes=float(remedy[1])).reuse.state == "serving"


@pytest.mark.parametrize(("stored", "budget", "offered"), [("float32", 250_000, True), ("float32", 150_000, False), ("float16", 150_000, False)])
def test_half_the_room_is_offered_where_it_would_be_enough(home: Home, stored: str, budget: int, offered: bool) -> None:
    with pytest.raises(NoRoom) as refused:
        open_table(home.features, "full", [Column((1000,), (0, 1), stored, "float32")], 100, 100, budget)
    assert ("set feature_cache to float16" in str(refused.value)) == offered


def test_tables_that_were_not_used_for_longest_make_room(home: Home) -> None:
    columns = [Column((1000,), (0, 1), "float32", "float32")]
    for name in ("old", "new"):
        table = open_table(home.features, name, columns, 100, 100, 10**6)
        table.write(torch.arange(100), [torch.rand(100, 1000)])
        table.settle(wait=True)
        os.utime(home.features / f"{name}.features", (name == "new", name == "new"))
    open_table(home.features, "third", columns, 100, 100, 10**6)
    assert sorted(file.stem for file in home.features.iterdir()) == ["new", "third"]


def test_two_runs_that_build_the_same_table_help_each_other(home: Home) -> None:
    columns = [Column((3,), (0, 1), "float32", "float32")]
    rows = torch.rand(10, 3)
    left, right = (open_table(home.features, "same", columns, 10, 10, 10**6) for _ in range(2))
    left.write(torch.arange(6), [rows[:6]])
    right.write(torch.arange(4, 10), [rows[4:]])
    left.settle(wait=True)
    right.settle(wait=True)
    third = open_table(home.features, "same", columns, 10, 10, 10**6)
    assert third.found
    assert third.has(torch.arange(10))
    assert torch.equal(third.read(torch.arange(10))[0], rows)


def test_two_processes_build_the_same_table_at_the_same_time(home: Home) -> None:
    command = [sys.executable, "-m", "core", "train", "--home", str(home.path), "--json"]
    flags = [text for name, value in SMALL.items() for text in (f"--{name.replace('_', '-')}", str(value))]
    both = [subprocess.Popen([*command, *flags], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    assert Outcome(home).reuse.found


def test_row_counts_only_when_its_mark_has_reached_the_disk(home: Home) -> None:
    columns = [Column((3,), (0, 1), "float32", "float32")]
    open_table(home.features, "killed", columns, 4, 4, 10**6).write(torch.arange(4), [torch.rand(4, 3)])
    assert not open_table(home.features, "killed", columns, 4, 4, 10**6).found


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_rows_keep_bits_and_layout(layout: torch.memory_format, home: Home) -> None:
    features_of_three = torch.randn(3, 4, 5, 6).to(memory_format=layout)
    features_of_three[1, 2, 3, 4] = float("nan")
    features_of_three[0, 0, 0, 0] = -0.0
    column = Column.of(features_of_three, half=False)
    table = open_table(home.features, "rows", [column], 8, 3, 10**6)
    table.write(torch.tensor([7, 0, 3]), [features_of_three])
    (again,) = table.read(torch.tensor([3, 7]))
    assert again.stride()[1:] == features_of_three.stride()[1:]
    assert torch.equal(again.view(torch.int32), features_of_three[[2, 0]].view(torch.int32))


def test_nan_in_a_feature_is_kept_as_it_is(home: Home) -> None:
    model = WithDropout(0.0)
    with torch.no_grad():
        model.first.weight[0, 0, 0, 0] = float("nan")
    partition, loader = small_partition(home, model)
    first, second = walk(partition, loader), walk(partition, loader)
    assert first[0].isnan().any()
    assert partition.tell().state == "serving"
    assert partition.tell().checked > 0
    assert all(torch.equal(left.isnan(), right.isnan()) for left, right in zip(first, second, strict=True))


@pytest.mark.parametrize(
    ("augmentation", "state"), [("none", "serving"), ("flip", "serving"), ("shift", "off"), ("crop and flip", "off"), ("shift and flip", "off")]
)
def test_random_changes_leave_something_to_keep_only_where_pictures_come_again(augmentation: str, state: str, home: Home) -> None:
    outcome = Outcome(home, augmentation=augmentation, epochs=12 if augmentation == "flip" else 1, batch_size=512, image_size=8)
    reuse = outcome.reuse
    assert reuse.state == state or (augmentation == "flip" and reuse.kept > 0.9 * reuse.pictures)
    assert reuse.pictures == {"none": 1150, "flip": 2300}.get(augmentation, 0)
    if state == "off":
        assert "fixed_views" in reuse.reason


def test_fixed_views_come_in_turn_and_can_be_kept(home: Home) -> None:
    fields: dict[str, Any] = {"augmentation": "shift and flip", "fixed_views": 2, "epochs": 5}
    plain, kept = Outcome(home, **fields, feature_cache="off"), Outcome(home, **fields)
    assert kept.equals(plain)
    assert (kept.reuse.state, kept.reuse.pictures) == ("serving", 2300)
    loader = kept.trainer.train

    def sorted_images(epoch: int) -> Tensor:
        batches = list(loader.batches(epoch))
        order = torch.cat([batch.pictures for batch in batches if batch.pictures is not None]).remainder(len(loader.images.images)).argsort()
        return torch.cat([batch.images for batch in batches])[order]

    assert torch.equal(sorted_images(1), sorted_images(3))
    assert not torch.equal(sorted_images(1), sorted_images(2))


# What is not exact says so


def test_features_rounded_to_float16_take_half_the_room_and_are_used_from_the_first_step_on(home: Home) -> None:
    exact, half = Outcome(home), Outcome(home, feature_cache="float16")
    assert half.reuse.picture_bytes * 2 == exact.reuse.picture_bytes
    assert not half.reuse.exact
    assert half.reuse.checked > 0
    assert half.losses != exact.losses
    assert half.losses == pytest.approx(exact.losses, rel=1e-2)
    assert Outcome(home, feature_cache="float16").losses == half.losses


def test_folded_norms_give_the_same_but_for_rounding() -> None:
    model = planned("resnet18", "head only", 32)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            nn.init.uniform_(module.running_mean, -1, 1)
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 2)
            nn.init.uniform_(module.bias, -1, 1)
    prefix = split(model, torch.rand(3, 3, 32, 32)).prefix
    folded = fold_norms(prefix)
    images = torch.rand(4, 3, 32, 32)
    with torch.no_grad():
        (expected,), (given,) = prefix(images), folded(images)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    assert torch.allclose(given, expected, rtol=1e-3, atol=1e-4)
    assert not torch.equal(given, expected)
    assert model.training


# The catalogue


@pytest.mark.all_models
@pytest.mark.parametrize("name", list(MODELS))
def test_every_model_can_be_cut_before_its_head(name: str) -> None:
    entry = MODELS[name]
    if entry.parameters > 1e8:
        pytest.skip("over 100 million parameters: too much memory")
    size = -(-max(entry.smallest, 32) // entry.multiple) * entry.multiple
    found: Split = split(planned(name, "head only", size, training=False), torch.rand(3, 3, size, size))
    assert found.layers >= found.all_layers - len(entry.family.head)


def test_a_mark_is_written_only_once_its_row_is_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = open_table(tmp_path, "ordered", [Column((4,), (0, 1), "float32", "float32")], 8, 8, 10**6)
    seen: list[str] = []
    fsync, pwrite = os.fsync, os.pwrite

    def noted_fsync(file: int) -> None:
        seen.append("on the disk")
        fsync(file)

    def noted_pwrite(file: int, data: bytes, place: int) -> int:
        seen.append("written")
        return pwrite(file, data, place)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "pwrite", noted_pwrite)
    table.write(torch.tensor([2]), [torch.ones(1, 4)])
    table.settle(wait=True)
    assert seen == ["written", "on the disk", "written", "on the disk"], "the row, then its mark"
