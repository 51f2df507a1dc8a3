"""The catalogue: every entry of every dict is really used for two training steps, and what does not exist is refused in words."""

from __future__ import annotations

import itertools
import math
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from core import catalog, data
from core.catalog import (
    AUGMENTATIONS,
    CATALOGUES,
    DATASETS,
    LOSSES,
    MODELS,
    OPTIMIZERS,
    SCHEDULES,
    STARTING_WEIGHTS,
    Entry,
    Option,
    losses,
    optimizers,
    schedules,
)
from core.catalog.own_losses import SmoothedDivergence
from core.config import ConfigError, RunConfig
from core.config.entry import by_name, check_options, find, suggest, with_defaults
from core.config.limits import quoted
from core.machine.home import Home
from core.networks import models
from core.networks.model_entries import IMAGENET
from tests.support import ROOT

CLASSES = 3
KINDS: dict[str, Mapping[str, Entry]] = {**CATALOGUES, "starting_weights": STARTING_WEIGHTS}


def train_two_steps(config: RunConfig, model: nn.Module, images: Tensor, labels: Tensor) -> list[float]:
    """Two steps of `config`'s loss, optimizer and schedule on `model`. Returns both losses; every parameter must be reached."""
    before = [parameter.detach().clone() for parameter in model.parameters()]
    loss_function = losses.build(config)
    optimizer = optimizers.build(config, list(model.parameters()))
    schedule = schedules.build(config, optimizer, total_steps=2, steps_per_epoch=2)
    model.train()
    seen = []
    for _ in range(2):
        logits, auxiliary = models.logits_and_auxiliary(model(images))
        loss = loss_function(logits, labels)
        assert loss.shape == ()
        for weight, auxiliary_logits in auxiliary:
            loss = loss + weight * loss_function(auxiliary_logits, labels)
        loss.backward()
        assert all(parameter.grad is not None for parameter in model.parameters())
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        seen.append(loss.item())
    assert all(math.isfinite(loss) for loss in seen)
    assert any(not torch.equal(parameter, old) for parameter, old in zip(model.parameters(), before, strict=True))
    assert all(bool(torch.isfinite(parameter).all()) for parameter in model.parameters())
    return seen


def tiny() -> tuple[nn.Module, Tensor, Tensor]:
    torch.manual_seed(0)
    return models.build("small_cnn", CLASSES, 16), torch.randn(6, 3, 16, 16), torch.arange(6) % CLASSES


def small_size(name: str) -> int:
    """A small side that the model can be trained on: as quick as it gets."""
    entry = MODELS[name]
    # At 32 pixels EfficientNets end in maps of one pixel: BatchNorm over two values, a hundred times over, makes gradients infinite.
    enough = 64 if entry.family.label.startswith(("EfficientNet", "MobileNet")) else 32  # at less, two images make variances that blow up
    return max(entry.smallest, math.ceil(enough / entry.multiple) * entry.multiple)


def samples() -> list[str]:
    """The smallest model of every family. VGG-11 and AlexNet, mostly slow to fill, are left to the walk over all."""
    smallest: dict[str, str] = {}
    for name in sorted(MODELS, key=lambda name: MODELS[name].parameters):
        smallest.setdefault(MODELS[name].family.label, name)
    return [*(name for label, name in smallest.items() if label not in ("VGG", "AlexNet")), "mlp", "resnet18"]


# Models


@pytest.mark.parametrize("name", sorted(set(samples())))
def test_a_model_of_each_family_trains_two_steps_and_loads_into_the_one_built_by_hand(name: str) -> None:
    check_model(name)


@pytest.mark.all_models
@pytest.mark.timeout(600)  # the largest have 645 million parameters
@pytest.mark.parametrize("name", [name for name in MODELS if name not in samples()])
def test_every_other_model_trains_two_steps_and_loads_into_the_one_built_by_hand(name: str) -> None:
    check_model(name)


def check_model(name: str) -> None:
    torch.manual_seed(0)
    size = small_size(name)
    model = models.build(name, CLASSES, size)
    config = RunConfig(model=name, optimizer="SGD", momentum=0.0, learning_rate=1e-4, image_size=size)
    train_two_steps(config, model, torch.randn(2, 3, size, size), torch.tensor([0, 1]))
    for head in MODELS[name].family.head:
        assert len(model.get_parameter(f"{head}.weight")) == CLASSES
    model.eval()
    with torch.no_grad():
        assert model(torch.randn(1, 3, size, size)).shape == (1, CLASSES)
    if not MODELS[name].family.own:
        by_hand: dict[str, Any] = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
        if name.startswith("vit"):
            by_hand["image_size"] = size
        if name.startswith("maxvit"):
            by_hand["input_size"] = (size, size)
        with torch.device("meta" if not name.startswith("regnet") else "cpu"):
            fresh = torchvision.models.get_model(name, num_classes=CLASSES, **by_hand)
        fresh.load_state_dict(model.state_dict(), strict=True, assign=True)


def test_the_models_are_ours_and_exactly_those_that_torchvision_lists() -> None:
    assert {name for name, entry in MODELS.items() if not entry.family.own} == set(torchvision.models.list_models(module=torchvision.models))
    assert {name for name, entry in MODELS.items() if entry.family.own} == {"small_cnn", "mlp"}


def test_what_the_catalogue_says_of_published_weights_is_what_torchvision_says() -> None:
    for name, entry in MODELS.items():
        if not entry.pretrained:
            continue
        weights = torchvision.models.get_model_weights(name).DEFAULT
        assert entry.parameters == weights.meta["num_params"], name
        assert entry.megabytes == round(weights.meta["_file_size"]), name
        transforms = weights.transforms()
        assert (entry.normalise.mean, entry.normalise.std) == (tuple(transforms.mean), tuple(transforms.std)), name
        assert entry.accuracy == pytest.approx(weights.meta["_metrics"]["ImageNet-1K"]["acc@1"], abs=0.051), name
        assert entry.usual == weights.transforms.keywords["crop_size"], name


@pytest.mark.parametrize("name", ["small_cnn", "mlp"])
def test_our_own_models_have_the_stated_number_of_parameters(name: str) -> None:
    assert sum(parameter.numel() for parameter in models.build(name, 10, 32).parameters()) == MODELS[name].parameters


def test_building_a_model_is_a_function_of_the_seed() -> None:
    def weights() -> list[Tensor]:
        torch.manual_seed(7)
        return list(models.build("resnet18", 4, 32).state_dict().values())

    assert all(torch.equal(one, other) for one, other in zip(weights(), weights(), strict=True))


def test_auxiliary_logits_have_the_weights_of_the_papers() -> None:
    for name, count, weight in (("googlenet", 2, 0.3), ("inception_v3", 1, 0.4)):
        size = small_size(name)
        with torch.device("meta"):
            model = models.build(name, CLASSES, size).train()
            logits, auxiliary = models.logits_and_auxiliary(model(torch.empty(2, 3, size, size)))
            assert logits.shape == (2, CLASSES)
            assert [(share, output.shape) for share, output in auxiliary] == [(weight, (2, CLASSES))] * count
            assert models.logits_and_auxiliary(model.eval()(torch.empty(2, 3, size, size)))[1] == ()


# Losses, optimizers, schedules


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_trains_two_steps_and_gets_smaller(name: str) -> None:
    model, images, labels = tiny()
    first, second = train_two_steps(RunConfig(loss=name, optimizer="SGD", learning_rate=1e-3), model, images, labels)
    assert second < first


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_is_lower_for_the_right_answer_than_for_a_wrong_one(name: str) -> None:
    loss = losses.build(RunConfig(loss=name))
    labels = torch.tensor([0, 2])
    right = torch.nn.functional.one_hot(labels, CLASSES).float()
    assert loss(right, labels) < loss(right.roll(1, dims=1), labels)


def test_negative_log_likelihood_is_cross_entropy() -> None:
    logits, labels = torch.randn(5, CLASSES), torch.arange(5) % CLASSES
    cross_entropy = losses.build(RunConfig())(logits, labels)
    torch.testing.assert_close(losses.build(RunConfig(loss="NLLLoss"))(logits, labels), cross_entropy)
    torch.testing.assert_close(losses.build(RunConfig(loss="KLDivLoss", loss_options={"label_smoothing": 0}))(logits, labels), cross_entropy)


def test_divergence_is_zero_at_its_own_targets() -> None:
    targets = torch.tensor([[0.8 + 0.2 / 3, 0.2 / 3, 0.2 / 3]])
    assert SmoothedDivergence(0.2)(targets.log(), torch.tensor([0])).item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_trains_two_steps(name: str) -> None:
    train_two_steps(RunConfig(optimizer=name, learning_rate=OPTIMIZERS[name].learning_rate), *tiny())


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_setting_of_an_optimizer_reaches_torch_and_means_what_torch_means(name: str) -> None:
    entry = OPTIMIZERS[name]
    optimizer = optimizers.build(RunConfig(optimizer=name, learning_rate=0.5), [nn.Parameter(torch.zeros(2))])
    assert optimizer.defaults["lr"] == 0.5
    torchs_own = getattr(torch.optim, name)([nn.Parameter(torch.zeros(2))], lr=0.5).defaults
    usual = {option.name: getattr(option.default, "copy", lambda value=option.default: value)() for option in entry.options}
    for setting, value in usual.items():
        value = tuple(value) if isinstance(value, list) else value
        assert value is None or torchs_own[setting] == value, setting
    assert optimizer.defaults == torchs_own | ({"momentum": 0.9} if name == "SGD" else {})


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_switch_of_an_optimizer_trains_two_steps(name: str) -> None:
    for option in OPTIMIZERS[name].options:
        if option.kind == "bool":
            config = RunConfig(optimizer=name, learning_rate=OPTIMIZERS[name].learning_rate, optimizer_options={option.name: True})
            train_two_steps(catalog.check(config), *tiny())


@pytest.mark.parametrize("optimizer", ["SGD", "AdamW", "Rprop"])
@pytest.mark.parametrize("name", SCHEDULES)
def test_every_schedule_trains_two_steps(name: str, optimizer: str) -> None:
    train_two_steps(RunConfig(schedule=name, optimizer=optimizer, learning_rate=1e-3), *tiny())


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize(("epochs", "steps_per_epoch"), [(1, 1), (1, 2), (2, 1), (3, 1), (1, 7), (5, 4), (20, 3)])
def test_every_schedule_gives_a_learning_rate_for_every_step_however_short_the_run(name: str, epochs: int, steps_per_epoch: int) -> None:
    rates = learning_rates(RunConfig(schedule=name, learning_rate=0.1, optimizer="SGD"), epochs, steps_per_epoch)
    assert all(0 <= rate <= 0.1 * (1 + 1e-9) for rate in rates), rates
    assert max(rates) > 0


def learning_rates(config: RunConfig, epochs: int, steps_per_epoch: int) -> list[float]:
    """The learning rate of each step."""
    optimizer = optimizers.build(config, [nn.Parameter(torch.zeros(1))])
    schedule = schedules.build(config, optimizer, epochs * steps_per_epoch, steps_per_epoch)
    rates = []
    for _ in range(epochs * steps_per_epoch):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return rates


def test_lengths_of_a_schedule_are_in_epochs() -> None:
    config = RunConfig(schedule="StepLR", schedule_options={"step_size": 2, "gamma": 0.5}, learning_rate=1)
    assert learning_rates(config, 4, 3) == pytest.approx([1] * 6 + [0.5] * 6)
    config = config.replace(schedule="MultiStepLR", schedule_options={"milestones": [1, 1.5], "gamma": 0.1})
    assert learning_rates(config, 2, 4) == pytest.approx([1] * 4 + [0.1] * 2 + [0.01] * 2)


def test_exponential_decay_is_by_epoch_and_smooth() -> None:
    rates = learning_rates(RunConfig(schedule="ExponentialLR", schedule_options={"gamma": 0.5}, learning_rate=1), 3, 4)
    assert rates[::4] == pytest.approx([1, 0.5, 0.25])
    assert all(after < before for before, after in itertools.pairwise(rates))


def test_warm_up_rises_and_then_falls_to_the_end_of_the_run() -> None:
    rates = learning_rates(RunConfig(schedule="WarmupCosine", learning_rate=1), 10, 10)
    assert rates[0] == pytest.approx(0.01)
    assert rates.index(max(rates)) == 10
    assert max(rates) == pytest.approx(1)
    assert rates[-1] < 0.001


def test_momentum_cycles_only_where_there_is_some() -> None:
    def build(**values: Any) -> torch.optim.Optimizer:
        config = RunConfig(schedule="OneCycleLR", learning_rate=0.1, **values)
        optimizer = optimizers.build(config, [nn.Parameter(torch.zeros(1))])
        schedules.build(config, optimizer, 10, 10)
        return optimizer

    assert build(optimizer="SGD").param_groups[0]["momentum"] == 0.95
    assert build(optimizer="SGD", momentum=0).param_groups[0]["momentum"] == 0
    assert build(optimizer="AdamW").param_groups[0]["betas"] == (0.95, 0.999)
    assert build(optimizer="RMSprop").param_groups[0]["momentum"] == 0


# Datasets and augmentations: the rest is in test_datasets.py


@pytest.mark.parametrize("name", [name for name, entry in DATASETS.items() if entry.reader])
def test_every_dataset_that_needs_no_download_trains_two_steps(name: str, home: Home) -> None:
    config = RunConfig(dataset=name, model="small_cnn", image_size=16, batch_size=8, optimizer="SGD")
    made = data.prepare(config, home, lambda text, share: None)
    assert made.classes == catalog.class_names(name, home.data)
    images, labels = next(iter(made.train.batches(1)))
    train_two_steps(config, models.build("small_cnn", len(made.classes), 16), data.Normalise(*IMAGENET)(images), labels)


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_every_augmentation_trains_two_steps(name: str, home: Home) -> None:
    config = RunConfig(dataset="digits", augmentation=name, model="small_cnn", image_size=16, batch_size=8, optimizer="SGD")
    made = data.prepare(config, home, lambda text, share: None)
    images, labels = next(iter(made.train.batches(1)))
    train_two_steps(config, models.build("small_cnn", 10, 16), data.Normalise(*IMAGENET)(images), labels)


# Names and options


@pytest.mark.parametrize("field", KINDS)
def test_every_entry_says_what_it_is(field: str) -> None:
    for name, entry in KINDS[field].items():
        assert entry.name == name
        assert entry.label.strip() == entry.label != ""
        assert entry.about.endswith((".", ")")), name
        assert len(entry.about) > 20
        for option in entry.options:
            assert option.about, f"{name}.{option.name}"
            assert option.default is None or option.parse(field, option.default) == option.default, f"{name}.{option.name}"


def test_every_name_and_option_is_its_own() -> None:
    with pytest.raises(ValueError, match="twice"):
        by_name((Entry("a", "A", ""), Entry("a", "B", "")))
    for entries in KINDS.values():
        for entry in entries.values():
            names = [option.name for option in entry.options]
            assert len(set(names)) == len(names)


@given(st.sampled_from([(field, name) for field, entries in KINDS.items() for name in entries]), st.data())
def test_a_name_is_found_with_any_case_and_any_separator(which: tuple[str, str], data: st.DataObject) -> None:
    field, name = which
    typed = "".join(
        data.draw(st.sampled_from(["_", "-", " ", " - "])) if letter in "_- " else data.draw(st.sampled_from([letter.lower(), letter.upper()]))
        for letter in name
    )
    assert find(KINDS[field], field, f" {typed} ").name == name


@given(st.sampled_from(sorted(KINDS)), st.text())
def test_any_other_name_is_refused_with_field_value_and_remedy(field: str, name: str) -> None:
    try:
        found = find(KINDS[field], field, name)
    except ConfigError as error:
        assert error.field == field
        assert quoted(name) in error.message or (not name.strip() and error.message.startswith("is empty; choose one of"))
        assert "choose one of" in error.message or "did you mean" in error.message or "could be" in error.message
    else:
        assert found.name in KINDS[field]


@pytest.mark.parametrize(
    ("field", "typed", "found"),
    [
        ("model", "ResNet 18", "resnet18"),
        ("model", "ResNet-18", "resnet18"),
        ("model", "mnasnet0.5", "mnasnet0_5"),
        ("model", "RegNet-X-16GF", "regnet_x_16gf"),
        ("model", "regnet_x_1.6gf", "regnet_x_1_6gf"),
        ("dataset", "cifar-10", "CIFAR10"),
        ("optimizer", "adamw", "AdamW"),
        ("loss", "cross entropy", "CrossEntropyLoss"),
        ("schedule", "cosine", "CosineAnnealingLR"),
    ],
)
def test_what_people_type_is_understood(field: str, typed: str, found: str) -> None:
    assert find(KINDS[field], field, typed).name == found


def test_a_name_that_could_be_two_models_is_not_guessed() -> None:
    with pytest.raises(ConfigError, match="could be regnet_x_1_6gf or regnet_x_16gf"):
        find(MODELS, "model", "regnetx16gf")


@pytest.mark.parametrize(
    ("field", "name", "close"),
    [("model", "resnet19", "resnet18"), ("model", "mobilenet", "mobilenet_v2"), ("optimizer", "Adan", "Adam"), ("loss", "MSE", "MSELoss")],
)
def test_a_wrong_name_is_answered_with_close_ones(field: str, name: str, close: str) -> None:
    assert close in suggest(KINDS[field], name)


ANYTHING = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.lists(st.floats(), max_size=3))


@given(st.sampled_from([option for entries in KINDS.values() for entry in entries.values() for option in entry.options]), ANYTHING)
def test_an_option_takes_what_is_in_its_range_and_nothing_else(option: Option, value: Any) -> None:
    try:
        parsed = option.parse("loss_options", value)
    except ConfigError as error:
        assert error.field == "loss_options"
        assert option.name in error.message
        assert option.accepts in error.message
        assert quoted(value) in error.message or ((value is None or not str(value).strip()) and f"{option.name} is empty" in error.message)
        return
    if parsed is None:
        assert option.default is None
        return
    assert option.parse("loss_options", parsed) == parsed
    for number in parsed if isinstance(parsed, list) else [parsed]:
        if option.kind in ("int", "float", "floats"):
            assert isinstance(number, int | float)
            assert math.isfinite(number)
            assert option.low is None or number >= option.low
            assert option.high is None or number <= option.high


def test_options_are_found_without_their_underscores_and_read_from_text() -> None:
    assert check_options(OPTIMIZERS["AdamW"], "optimizer_options", {"Betas": "0.8, 0.9", "amsgrad": "true"}) == {"betas": [0.8, 0.9], "amsgrad": True}
    assert check_options(SCHEDULES["OneCycleLR"], "schedule_options", {"pct-start": "0.5"}) == {"pct_start": 0.5}
    assert check_options(LOSSES["MultiMarginLoss"], "loss_options", {"p": 2.0}) == {"p": 2}


def test_defaults_fill_in_what_was_not_given() -> None:
    assert with_defaults(OPTIMIZERS["SGD"], {"nesterov": True}) == {"nesterov": True, "dampening": 0.0}


# check


def test_check_writes_every_name_as_the_catalogue_does() -> None:
    config = RunConfig(
        dataset="Fashion-MNIST", model="ResNet-18", loss="cross-entropy loss", optimizer="sgd", schedule="one cycle lr", starting_weights="Pretrained"
    )
    checked = catalog.check(config)
    assert (checked.dataset, checked.model, checked.loss) == ("FashionMNIST", "resnet18", "CrossEntropyLoss")
    assert (checked.optimizer, checked.schedule, checked.starting_weights) == ("SGD", "OneCycleLR", "pretrained")
    assert catalog.check(checked) == checked


def test_check_leaves_the_default_run_as_it_is() -> None:
    assert catalog.check(RunConfig()) == RunConfig()


@pytest.mark.parametrize(
    ("values", "field", "words"),
    [
        ({"dataset": "minst"}, "dataset", ["'minst'", "MNIST"]),
        ({"dataset": "folder"}, "dataset", ["folder:PATH"]),
        ({"model": "resnet19"}, "model", ["'resnet19'", "resnet18"]),
        ({"loss": "BCELoss"}, "loss", ["'BCELoss'"]),
        ({"optimizer": "LBFGS"}, "optimizer", ["'LBFGS'", "AdamW"]),
        ({"schedule": "ReduceLROnPlateau"}, "schedule", ["'ReduceLROnPlateau'"]),
        ({"augmentation": "flop"}, "augmentation", ["'flop'", "flip"]),
        ({"image_size": 64, "model": "inception_v3"}, "image_size", ["inception_v3", "64", "299"]),
        ({"image_size": 62, "model": "alexnet"}, "image_size", ["62", "63", "224"]),
        ({"image_size": 100, "model": "vit_b_16"}, "image_size", ["100", "96", "112"]),
        ({"image_size": 300, "model": "maxvit_t"}, "image_size", ["300", "224"]),
        ({"momentum": 0.5}, "momentum", ["AdamW", "0.5", "betas", "SGD"]),
        ({"weight_decay": 0.1, "optimizer": "Rprop"}, "weight_decay", ["Rprop", "0.1", "AdamW"]),
        ({"optimizer_options": {"lr": 1.0}}, "optimizer_options", ["learning_rate", "1.0"]),
        ({"optimizer_options": {"momentum": 0.5}, "optimizer": "SGD"}, "optimizer_options", ["set momentum", "0.5"]),
        ({"optimizer_options": {"beta": 0.5}}, "optimizer_options", ["'beta'", "betas"]),
        ({"optimizer_options": {"betas": [0.5, 1.0]}}, "optimizer_options", ["betas", "[0.5, 1.0]", "below 1"]),
        ({"optimizer": "SGD", "momentum": 0, "optimizer_options": {"nesterov": True}}, "optimizer_options", ["nesterov", "momentum 0.0"]),
        ({"optimizer": "SGD", "optimizer_options": {"nesterov": True, "dampening": 0.5}}, "optimizer_options", ["dampening 0.5"]),
        ({"optimizer": "Rprop", "optimizer_options": {"etas": [1.5, 2]}}, "optimizer_options", ["etas", "[1.5, 2.0]"]),
        ({"optimizer": "Rprop", "optimizer_options": {"step_sizes": [2, 1]}}, "optimizer_options", ["step_sizes", "[2.0, 1.0]"]),
        ({"loss_options": {"label_smoothing": 1}}, "loss_options", ["label_smoothing", "below 1", "1"]),
        ({"loss": "NLLLoss", "loss_options": {"label_smoothing": 0.1}}, "loss_options", ["no option 'label_smoothing'", "leave it out"]),
        ({"schedule": "StepLR", "schedule_options": {"step_size": 0}}, "schedule_options", ["step_size", "above 0"]),
        ({"schedule": "CyclicLR", "schedule_options": {"mode": "round"}}, "schedule_options", ["'round'", "triangular"]),
        ({"schedule": "CyclicLR", "schedule_options": {"base_lr": 1.0}}, "schedule_options", ["base_lr", "0.001"]),
        ({"schedule": "OneCycleLR", "optimizer": "Rprop", "schedule_options": {"cycle_momentum": True}}, "schedule_options", ["Rprop", "SGD"]),
        ({"schedule": "OneCycleLR", "schedule_options": {"three_phase": True, "pct_start": 0.6}}, "schedule_options", ["three_phase", "0.6"]),
        ({"starting_weights": "pretraind"}, "starting_weights", ["'pretraind'", "pretrained", ".safetensors"]),
        ({"starting_weights": "pretrained", "model": "mlp"}, "starting_weights", ["mlp", "random"]),
        ({"starting_weights": "nowhere.pth"}, "starting_weights", ["nowhere.pth", "does not exist"]),
    ],
)
def test_check_names_field_value_and_remedy(values: dict[str, Any], field: str, words: list[str]) -> None:
    with pytest.raises(ConfigError) as refused:
        catalog.check(RunConfig(**values))
    assert refused.value.field == field
    for word in words:
        assert word in refused.value.message


def test_check_makes_the_path_of_a_weights_file_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save({"a": torch.zeros(1)}, tmp_path / "mine.pth")
    monkeypatch.chdir(tmp_path)
    assert catalog.check(RunConfig(starting_weights="mine.pth")).starting_weights == str(tmp_path / "mine.pth")


def test_check_refuses_a_weights_path_of_another_kind(tmp_path: Path) -> None:
    (tmp_path / "mine.ckpt").write_bytes(b"")
    for value, words in ((tmp_path / "mine.ckpt", "it is empty"), (tmp_path, "is a folder"), (tmp_path / "none.pth.tar", "does not exist")):
        with pytest.raises(ConfigError, match=words):
            catalog.check(RunConfig(starting_weights=str(value)))


def test_reading_and_checking_the_catalogue_never_loads_torch(tmp_path: Path) -> None:
    program = """
import sys
from core import catalog
from core.config import RunConfig
catalog.check(RunConfig(model="ResNet-18", schedule="OneCycleLR", optimizer="sgd"))
catalog.class_names("digits", None)
assert not {"torch", "torchvision"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, timeout=60)
