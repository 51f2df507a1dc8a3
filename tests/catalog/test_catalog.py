"""The catalogue: every entry of every dict is really used for two training steps, and what does not exist is refused in words."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn

from core import catalog, data
from core.catalog import (
    AUGMENTATIONS,
    DATASETS,
    LOSSES,
    MODELS,
    OPTIMIZERS,
    SCHEDULES,
    losses,
    optimizers,
    schedules,
)
from core.catalog.own_losses import SmoothedDivergence
from core.config import RunConfig
from core.machine.home import Home
from core.networks import models
from core.networks.model_entries import IMAGENET

CLASSES = 3


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
        if not entry.published:
            continue
        weights = torchvision.models.get_model_weights(name).DEFAULT
        # As we build it: torchvision counts googlenet without its auxiliary classifiers.
        assert entry.parameters - (entry.auxiliary if name == "googlenet" else 0) == weights.meta["num_params"], name
        assert entry.megabytes == round(weights.meta["_file_size"] * 2**20 / 1e6), name  # torchvision's MB has 2**20 bytes, ours a million
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
