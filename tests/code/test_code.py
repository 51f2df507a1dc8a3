"""The PyTorch that Thaw shows, really run: what it trains, at which rate, and with which optimizer state, is what a run does."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sklearn.datasets
import torch
import torchvision
from numpy.typing import NDArray
from streamlit.testing.v1 import AppTest
from torch import Tensor, nn
from torch.optim.optimizer import Optimizer, register_optimizer_step_pre_hook

from core import catalog, code
from core.catalog import AUGMENTATIONS, DATASETS, LOSSES, MODELS, OPTIMIZERS, SCHEDULES, losses
from core.code import Phase, loading_code, phases, pytorch_code
from core.code.evaluation import evaluation_code
from core.code.names import cover
from core.commands.cli import main
from core.config import FAULTS, ConfigError, RunConfig
from core.config.plans import PRESETS
from core.machine.bits import same
from core.machine.home import Home
from core.model import anatomy, weights
from core.model.steering import Steering
from core.networks import models
from core.records.layers import ParameterInfo, frozen_parameters, head_options, multipliers_by_parameter
from core.worker.assembly import assemble

CLASSES = 10
NETWORK = "my-net: conv 8 bias=no, norm, relu, pool, residual 16 stride=2, global pool, flatten, linear 12, norm, tanh, dropout 0.1"

SMALL = RunConfig(model="small_cnn", image_size=16, epochs=1, batch_size=256, device="cpu", threads=1)
"""Trains an epoch of five steps."""


pytestmark = pytest.mark.usefixtures("one_thread")


def parameters_of(config: RunConfig) -> tuple[ParameterInfo, ...]:
    return anatomy.describe(config.model, CLASSES, config.image_size, head_options(config)).parameters


def script_of(config: RunConfig) -> str:
    """The script as a screen makes it: everything that the config says."""
    parameters = parameters_of(config)
    frozen = frozen_parameters(config.freeze, parameters)
    layers = [(parameter.name, parameter.name in frozen) for parameter in parameters]
    multipliers = multipliers_by_parameter(config.learning_rate_multipliers, parameters)
    return pytorch_code(config, CLASSES, layers, multipliers, phases(config, parameters))


def ready(config: RunConfig) -> dict[str, Any]:
    """What the script has made by the time at which training would begin."""
    names: dict[str, Any] = {}
    exec(compile(script_of(config).partition("# Training")[0], "script.py", "exec"), names)
    return names


def learning(model: nn.Module, optimizer: Optimizer, key: str = "lr") -> dict[str, float]:
    """The parameters that can learn and are in the optimizer, each with its learning rate, or another setting of its group."""
    names = {parameter: name for name, parameter in model.named_parameters()}
    return {names[parameter]: group[key] for group in optimizer.param_groups for parameter in group["params"] if parameter.requires_grad}


def steered(config: RunConfig, steps: int) -> Steering:
    """What a run of this config begins with."""
    model = models.build(config.model, CLASSES, config.image_size, head_options(config))
    return Steering(model, parameters_of(config), config, steps)


# At the start


ODD = "head only, !stage3.1, stage1.*, !stage1.0.weight, !stage2.1.bias"


@pytest.mark.parametrize("freeze", [*PRESETS, ODD, "stage1, !stage1.0", "*.weight", "head"])
def test_the_script_trains_what_the_run_trains(freeze: str) -> None:
    config = SMALL.replace(freeze=freeze)
    names = ready(config)
    run = steered(config, len(names["order"](1)))
    found = learning(names["model"], names["optimizer"])
    assert found == pytest.approx(learning(run.freezing.model, run.optimizer))
    assert set(found) == {name for name, parameter in names["model"].named_parameters() if parameter.requires_grad}


@pytest.mark.parametrize("model", ["resnet18", "mobilenet_v3_small", "squeezenet1_1", NETWORK])
@pytest.mark.parametrize("head", [{"head_dropout": 0.2}, {"head_hidden": 24}, {"head_dropout": 0.5, "head_hidden": 24}])
def test_the_script_puts_the_same_head_in_the_same_place(model: str, head: dict[str, Any]) -> None:
    config = RunConfig(model=model, image_size=32, freeze="head only", device="cpu", **head)
    names = ready(config)
    run = steered(config, len(names["order"](1)))
    assert repr(names["model"]).partition("(")[2] == repr(run.freezing.model).partition("(")[2]
    assert learning(names["model"], names["optimizer"]) == pytest.approx(learning(run.freezing.model, run.optimizer))


def test_a_network_of_ones_own_is_written_as_a_class_that_the_runs_weights_fit() -> None:
    config = RunConfig(model=NETWORK, image_size=24, freeze="norms only", device="cpu")
    names = ready(config)
    run = steered(config, len(names["order"](1)))
    assert type(names["model"]).__name__ == "MyNet"
    names["model"].load_state_dict(run.freezing.model.state_dict(), strict=True)
    assert learning(names["model"], names["optimizer"]) == pytest.approx(learning(run.freezing.model, run.optimizer))


LOWEST = {"eta_min": 1e-4, "base_lr": 2e-4}
SCHEDULE_CASES = [
    *((name, {}) for name in SCHEDULES),
    *((name, {option: LOWEST[option]}) for name, entry in SCHEDULES.items() for option in LOWEST if entry.option(option)),
    ("CyclicLR", {"step_size_up": 1.5}),
]


@pytest.mark.parametrize(("schedule", "options"), SCHEDULE_CASES, ids=lambda value: str(value))
def test_each_group_follows_the_schedule_at_its_own_rate(schedule: str, options: dict[str, Any]) -> None:
    rates = "stage1=0.1, stage2.0=3, head=10, stage3.1.bias=0.5"
    config = SMALL.replace(
        freeze="stage2.1", learning_rate_multipliers=rates, schedule=schedule, schedule_options=options, epochs=4, optimizer="SGD"
    )  # fmt: skip
    names = ready(config)
    run = steered(config, len(names["order"](1)))
    for step in range(4 * len(names["order"](1))):
        shown, real = learning(names["model"], names["optimizer"]), learning(run.freezing.model, run.optimizer)
        assert shown == pytest.approx(real, rel=1e-6), f"step {step + 1}"
        momentum = learning(run.freezing.model, run.optimizer, "momentum")
        assert learning(names["model"], names["optimizer"], "momentum") == pytest.approx(momentum)
        names["optimizer"].step()
        if "clock" in names:
            names["clock"].step()
        if "schedule" in names:
            names["schedule"].step()
        if "set_rates" in names:
            names["set_rates"]()
        run.advance()


# While it trains


@dataclass
class Step:
    """What holds at one step: each learning parameter's rate and the steps that its optimizer state has seen, and the BatchNorms that rest."""

    learning: dict[str, tuple[float, int]]
    resting: set[str]


def recorded(model: nn.Module, train: Callable[[], None]) -> list[Step]:
    """What holds at each optimizer step of a training of `model`."""
    names = {parameter: name for name, parameter in model.named_parameters()}
    steps: list[Step] = []

    def look(optimizer: Optimizer, *_: Any) -> None:
        state = optimizer.state
        learning = {
            names[parameter]: (group["lr"], int(state[parameter]["step"]) if state.get(parameter) else 0)
            for group in optimizer.param_groups
            for parameter in group["params"]
            if parameter.requires_grad and parameter.grad is not None
        }
        if learning:  # the stand-in that a schedule drives holds one number of no model
            norms = {path: module for path, module in model.named_modules() if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d))}
            steps.append(Step(learning, {path for path, norm in norms.items() if not norm.training}))

    handle = register_optimizer_step_pre_hook(look)
    try:
        train()
    finally:
        handle.remove()
    return steps


TIMELINES = {
    "unfreeze and freeze again": {"freeze": "head only", "timeline": "2: !stage3; 3: head only; 4: !stage3.0"},
    "in the middle of an epoch": {"freeze": "head only", "timeline": "step 3: train everything; step 8: stage1; 3: stage2, !stage1.1"},
    "with multipliers": {
        "freeze": "head only",
        "learning_rate_multipliers": "head=2, stage1=0.1",
        "timeline": "2: !stage3, stage3=0.5; 3: train everything, head=1; 4: head=2, stage3.1=4",
    },
    "with a schedule": {"freeze": "stage1", "timeline": "2: !stage1, stage1=0.1; 4: stage2", "schedule": "WarmupCosine"},
    "with another rate": {"freeze": "stage1", "timeline": "2: !stage1; step 8: learning_rate=0.0005; 4: learning_rate=0.01, head=0.1"},
    "with another rate in a schedule": {
        "freeze": "stage1",
        "timeline": "step 7: learning_rate=0.002, !stage1",
        "schedule": "OneCycleLR",
        "learning_rate_multipliers": "head=3",
    },
    "a network of one's own": {"model": NETWORK, "freeze": "head only", "timeline": "2: !linear1, !norm2; 3: train everything; 4: residual1"},
    "a head with options": {"head_hidden": 8, "head_dropout": 0.1, "freeze": "head only", "timeline": "2: head.0; 3: !head, !stage3"},
}


@pytest.mark.parametrize("changes", list(TIMELINES.values()), ids=list(TIMELINES))
def test_step_by_step_the_script_trains_what_the_run_trains_at_the_same_rate(
    changes: dict[str, Any], home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # the script saves its weights beside it
    config = catalog.check(SMALL.replace(epochs=4, validation_share=0.8, **changes))

    names = ready(config)
    few = torch.utils.data.Subset(names["test_set"], range(8))
    names |= {"validation_set": few, "test_set": few}  # measuring is no part of this, and most of the time
    training = compile(script_of(config).partition("# Training")[2], "script.py", "exec")
    shown = recorded(names["model"], lambda: exec(training, names))
    trainer = assemble(config, home).trainer
    real = recorded(trainer.model, lambda: [None for _ in trainer.run()].clear())
    assert len(shown) == len(real) > 4
    for step, (one, other) in enumerate(zip(shown, real, strict=True), start=1):
        assert set(one.learning) == set(other.learning), f"step {step}"
        for name in one.learning:
            assert one.learning[name] == pytest.approx(other.learning[name], rel=1e-6), f"{name} at step {step}"
        assert one.resting == other.resting, f"step {step}"
    assert len({frozenset(step.learning) for step in real}) > 1, "nothing ever changed, so this proves nothing"


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"accumulate": 3, "batch_size": 100},  # 1,438 images: the last step has parts of 80, 79 and 79
        {"clip_norm": 0.05, "seed": 3},
        {
            "accumulate": 2,
            "batch_size": 90,
            "clip_norm": 0.3,
            "timeline": "step 3: stage2, learning_rate=0.0007; 2: !stage1, stage1=0.3",
            "learning_rate_multipliers": "head=2, stage3=0.7",
            "schedule": "CosineAnnealingLR",
            "schedule_options": {"eta_min": 1e-3},
            "fused_optimizer": True,
        },
        {"timeline": "step 4: learning_rate=0.0007; 2: learning_rate=0.03, head=3"},
        {"accumulate": 2, "clip_norm": 0.1, "precision": "bfloat16", "memory_format": "channels_last"},
        {"clip_norm": 0.1, "loss": "MSELoss", "augmentation": "shift", "fixed_views": 2, "optimizer": "AdamW", "learning_rate": 1e-3},
        {"fault": "imbalanced classes", "class_weights": "balanced", "accumulate": 3, "batch_size": 60, "loss_options": {"label_smoothing": 0.1}},
        {"fault": "imbalanced classes", "class_weights": "balanced", "accumulate": 3, "batch_size": 60, "loss": "BCEWithLogitsLoss"},
        {"fault": "shuffled labels", "loss": "KLDivLoss", "augmentation": "rotate"},
        {"fault": "leaking split", "validation_share": 0.5, "schedule": "OneCycleLR", "learning_rate_multipliers": "head=3"},
        {"optimizer": "Adagrad", "timeline": "2: !stage1; step 9: stage2"},
        {"early_stopping": 1, "validation_share": 0.5, "learning_rate": 0.9, "epochs": 9},
        # No validation loss is a number, so there are no best weights.
        {
            "early_stopping": 2,
            "learning_rate": 1000.0,
            "epochs": 3,
            "model": "mlp",
            "freeze": "train everything",
            "loss": "MSELoss",
            "batch_size": 32,
            "validation_share": 0.5,
        },
    ],
    ids=lambda changes: " ".join(changes) or "as it is",
)
def test_the_script_ends_with_the_weights_of_the_run(changes: dict[str, Any], home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    given = {"optimizer": "SGD", "learning_rate": 0.05, "freeze": "stage1", "validation_share": 0.0, "epochs": 2, **changes}
    config = catalog.check(SMALL.replace(**given))
    trainer = assemble(config, home).trainer
    began = {name: tensor.clone() for name, tensor in trainer.model.state_dict().items()}
    for _ in trainer.run():
        pass
    names: dict[str, Any] = {}
    exec(compile(script_of(config), "script.py", "exec"), names)
    shown, real = names["model"].state_dict(), trainer.model.state_dict()
    assert [name for name in real if not same(shown[name], real[name])] == []
    assert not same(began["head.weight"], real["head.weight"])
    if config.early_stopping:
        assert (names["best"] is None) == (config.learning_rate > 1)


WEIGHTED: tuple[tuple[str, dict[str, Any]], ...] = (
    *((name, {}) for name in LOSSES), ("CrossEntropyLoss", {"label_smoothing": 0.1}), ("MultiMarginLoss", {"p": 2}), ("HuberLoss", {"delta": 0.5}),
)  # fmt: skip


class Labelled:
    """A dataset of which only the labels are asked for, int64 [N]."""

    def __init__(self, labels: NDArray[np.int64]) -> None:
        self.labels = labels

    def __len__(self) -> int:
        return len(self.labels)


@pytest.mark.parametrize(("loss", "options"), WEIGHTED, ids=str)
def test_class_weights_of_the_script_and_its_losses_are_those_of_a_run(loss: str, options: dict[str, Any]) -> None:
    config = SMALL.replace(fault="imbalanced classes", class_weights="balanced", loss=loss, loss_options=options)
    names: dict[str, Any] = {"torch": torch, "nn": nn, "F": torch.nn.functional, "device": torch.device("cpu")}
    labels_there = np.array([0] * 40 + [1] * 13 + [2, 2, 4, *range(5, 10)])  # and none of class 3
    names["train_set"] = Labelled(labels_there)
    lines = script_of(config).partition("# Loss and optimizer")[2].partition("parameters = ")[0]
    exec(compile(lines, "script.py", "exec"), names)
    weights = losses.balanced([40, 13, 2, 0, 1, 1, 1, 1, 1, 1])
    assert torch.equal(names["class_weights"], torch.tensor(weights))
    logits, labels = 2 * torch.randn(8, 10), torch.tensor([0, 0, 1, 2, 3, 9, 0, 4])
    torch.testing.assert_close(names["loss_of"](logits, labels), losses.build(config, weights)(logits, labels))


@pytest.mark.parametrize("loss", ["CrossEntropyLoss", "MSELoss"])
def test_script_measures_the_weighted_loss_of_all_pictures(loss: str) -> None:
    config = SMALL.replace(fault="imbalanced classes", class_weights="balanced", loss=loss, batch_size=64)
    names = ready(config)
    names["class_weights"].copy_(torch.linspace(0.1, 3, CLASSES))
    few = torch.utils.data.Subset(names["test_set"], range(100))
    exec(compile(script_of(config).partition("# Training")[2].partition("for epoch in")[0], "script.py", "exec"), names)
    measured, _ = names["evaluate"](few)
    images, labels = next(iter(torch.utils.data.DataLoader(few, batch_size=100)))
    with torch.inference_mode():
        logits = names["model"](names["normalise"](images))
    assert measured == pytest.approx(float(losses.build(config, names["class_weights"].tolist())(logits, labels)), rel=1e-5)


@pytest.mark.parametrize(
    "changes",
    [{}, {"augmentation": "flip"}, {"validation_share": 0.0}, {"fault": "leaking split"}, {"fault": "shuffled labels", "augmentation": "shift"}],
)
def test_script_leaves_out_the_pictures_that_it_measures_on(changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    digits = sklearn.datasets.load_digits()
    digits.images[1::9] = digits.images[0]  # each ninth picture is the same
    monkeypatch.setattr(sklearn.datasets, "load_digits", lambda: digits)
    config = SMALL.replace(image_size=8, **changes)
    whole, left = ready(config.replace(fault="none")), ready(config.replace(doubles="leave out"))
    expected = [place for place in whole["kept"] if place % 9 != 1 and place != 0]
    assert len(expected) < len(whole["train_set"]) - 50
    assert np.array_equal(left["train_set"].pictures, whole["whole"].pictures[expected])
    assert sum(map(len, left["order"](1))) == len(expected)


def test_fixed_views_of_the_script_are_always_the_same_few_pictures() -> None:
    names = ready(SMALL.replace(augmentation="shift", fixed_views=3))
    state = torch.get_rng_state()
    seen = []
    for epoch in (1, 2, 3, 4):
        places = [place for batch in names["order"](epoch) for place in batch]
        images = torch.cat([images for images, _ in names["batches"](epoch)])
        seen.append(images[torch.tensor([places.index(place) for place in range(20)])])
    assert torch.equal(seen[0], seen[3])
    assert not any(torch.equal(seen[one], seen[other]) for one, other in ((0, 1), (0, 2), (1, 2)))
    assert torch.equal(state, torch.get_rng_state()), "no other chance is used up"


def test_what_a_run_does_and_the_script_does_not_is_said_in_both_places() -> None:
    frozen = SMALL.replace(freeze="head only")
    for config, said in (
        (frozen.replace(feature_cache="float16"), "to float16, the script does not"),
        (SMALL.replace(epochs=3, timeline="2: stage1", feature_cache="float16"), "to float16, the script does not"),
        (frozen.replace(fold_norms=True), "frozen BatchNorm folded"),
        (frozen.replace(speed="automatic"), "the precision, layout"),
        (frozen.replace(compile_model=True), "compiles only what is computed anew"),
        (frozen.replace(starting_weights="/runs/a/weights.pth"), "test pictures out of training"),
    ):
        assert said in script_of(config).partition("import")[0]
        assert said in " ".join(code.about(config, code.Recorded()))
        assert "bit for bit" not in " ".join(code.about(config, code.Recorded()))
    for plain in (SMALL, frozen, SMALL.replace(feature_cache="float16"), SMALL.replace(augmentation="flip")):
        assert script_of(plain).startswith("import ")
        assert "it ends with the same weights, bit for bit" in " ".join(code.about(plain, code.Recorded()))
    listed = code.Recorded(Path("pictures.csv"), "/photos", ("a", "b"))
    views = SMALL.replace(dataset="folder:/photos", augmentation="flip", fixed_views=2)
    for config, said in (
        (views.replace(doubles="leave out"), "random pictures of fixed views are others"),
        (views.replace(fault="imbalanced classes"), "random pictures of fixed views are others"),
        (SMALL.replace(doubles="leave out", fault="shuffled labels"), "shuffled in another way"),
    ):
        assert said in " ".join(code.about(config, listed))
    assert "bit for bit" in " ".join(code.about(views, listed))
    assert "8 bits a channel" not in " ".join(code.about(views, listed))
    assert "8 bits a channel" in " ".join(code.about(views, code.Recorded()))
    assert "On a GPU the last digits may differ" in " ".join(code.about(SMALL.replace(device="auto"), code.Recorded()))


def test_what_is_kept_of_frozen_layers_is_remarked_where_it_makes_no_difference() -> None:
    frozen = SMALL.replace(freeze="head only")
    remark = "# Thaw computes what frozen layers give only once for each picture and keeps it, with the same result as here."
    assert f"# Freezing\n{remark}" in script_of(frozen)
    assert remark in script_of(SMALL.replace(epochs=3, timeline="2: stage1"))
    assert remark in script_of(frozen.replace(augmentation="shift", fixed_views=2))
    assert remark in script_of(frozen.replace(augmentation="flip"))
    for plain in (SMALL, frozen.replace(feature_cache="off"), frozen.replace(feature_cache="float16"), frozen.replace(augmentation="shift")):
        assert remark not in script_of(plain)


def test_epochs_and_steps_of_a_timeline_need_no_common_order() -> None:
    config = SMALL.replace(epochs=3, freeze="head only", timeline="step 2: !stage2; 2: !stage3, stage3=0.1; step 900: train everything, stage1")
    first, second, third = phases(config, parameters_of(config))
    assert (first.unit, first.at, second.unit, second.at) == ("step", 2, "epoch", 2)
    assert all(name.startswith("stage2.") for name in first.learns)
    assert not first.frozen
    assert dict.fromkeys(second.learns, 0.1) == second.multipliers
    assert {name.split(".")[0] for name in third.frozen} == {"stage1"}
    assert len(third.frozen) + len(third.learns) == len(parameters_of(config))


def test_a_timeline_about_layers_that_are_not_there_is_refused() -> None:
    config = SMALL.replace(epochs=3, timeline="2: !layer9")
    with pytest.raises(ConfigError, match=r"timeline: the pattern 'layer9' matches no layer"):
        phases(config, parameters_of(config))


def test_what_a_caller_does_not_say_is_remarked_in_the_script() -> None:
    config = SMALL.replace(epochs=3, timeline="2: !stage1", learning_rate_multipliers="head=10", freeze="stage1")
    parameters = parameters_of(config)
    layers = [(parameter.name, parameter.name.startswith("stage1.")) for parameter in parameters]
    script = pytorch_code(config, CLASSES, layers)
    assert "# Not in this script: the timeline '2: !stage1'" in script
    assert "# Not in this script: the learning-rate multipliers 'head=10'" in script
    assert "Not in this script" not in script_of(config)
    by_hand = (Phase("step", 3, learns=frozenset(name for name, frozen in layers if frozen)),)  # as the changes of a run tell it
    assert 'if step == 3:\n            set_trainable(learns=("stage1.",))' in pytorch_code(config, CLASSES, layers, {}, by_hand)


# Starting weights


def test_published_weights_come_into_the_script_as_into_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    for model, options in (("resnet18", {}), ("squeezenet1_1", {"head_dropout": 0.5}), ("densenet121", {})):
        publish(model, tmp_path)
        config = RunConfig(model=model, image_size=32, starting_weights="pretrained", freeze="head only", device="cpu", **options)
        torch.manual_seed(config.seed)
        by_run = models.build(model, CLASSES, 32, head_options(config))
        weights.load(by_run, config)
        chance = torch.get_rng_state()
        names = ready(config)
        assert torch.equal(torch.get_rng_state(), chance), "dropout would drop others"
        shown, real = names["model"].state_dict(), by_run.state_dict()
        assert list(shown) == list(real)
        for name, tensor in real.items():
            assert same(shown[name], tensor), f"{model}: {name}"
        run = steered(config, len(names["order"](1)))
        assert learning(names["model"], names["optimizer"]) == pytest.approx(learning(run.freezing.model, run.optimizer))


def publish(model: str, cache: Path) -> None:
    """Put a file with random weights for 1,000 classes where torch.hub keeps what it downloaded."""
    published = torchvision.models.get_model_weights(model).DEFAULT
    state = torchvision.models.get_model(model).state_dict()
    if model.startswith("densenet"):  # the published files have older names
        counters = [name for name in state if name.endswith("num_batches_tracked")]  # which those files do not have
        state = {re.sub(r"(denselayer\d+\.(?:norm|conv))([12])\.", r"\1.\2.", name): state[name] for name in state if name not in counters}
    torch.save(state, cache / "hub" / "checkpoints" / published.url.rpartition("/")[2])


@pytest.mark.parametrize(("wrapped", "prefix"), [((), ""), (("state_dict",), "module."), (("checkpoint", "model"), "backbone.net.")])
def test_weights_from_a_file_come_into_the_script_whatever_they_are_wrapped_in(wrapped: tuple[str, ...], prefix: str, tmp_path: Path) -> None:
    other = models.build("small_cnn", 4, 16)
    content: Any = {f"{prefix}{name}": tensor for name, tensor in other.state_dict().items()}
    for key in reversed(wrapped):
        content = {key: content, "epoch": 3}
    file = tmp_path / "some.pth"
    torch.save(content, file)
    shown = ready(SMALL.replace(starting_weights=str(file)))["model"].state_dict()
    torch.manual_seed(SMALL.seed)
    fresh = models.build("small_cnn", CLASSES, 16).state_dict()
    for name, tensor in shown.items():
        assert same(tensor, fresh[name] if name.startswith("head.") else other.state_dict()[name]), name
    del content
    torch.save({"stem.weight": torch.zeros(3)}, file)
    with pytest.raises(AssertionError, match=r"the weights lack \['stage1"):
        ready(SMALL.replace(starting_weights=str(file)))


# As text


def test_the_command_line_prints_the_script_of_settings(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--model", "small_cnn", "--image-size", "16", "--freeze", "head only", "--timeline", "2: !stage3", "--threads", "1", "--device", "cpu"]
    assert main(["code", *flags, "--home", str(home.path)]) == 0
    said = capsys.readouterr()
    config = RunConfig(model="small_cnn", image_size=16, freeze="head only", timeline="2: !stage3", threads=1, device="cpu")
    assert said.out == script_of(catalog.check(config))
    assert "it ends with the same weights, bit for bit" in said.err


def every_choice() -> Iterator[RunConfig]:
    """A config for each thing that changes the script."""
    small = RunConfig(model="small_cnn", image_size=32)
    for field, names in (
        ("dataset", [name for name in DATASETS if name != "folder"]),
        ("optimizer", list(OPTIMIZERS)), ("loss", list(LOSSES)), ("schedule", list(SCHEDULES)), ("augmentation", list(AUGMENTATIONS)),
        ("precision", ["bfloat16", "float16"]), ("early_stopping", [2]), ("validation_share", [0.0]), ("device", ["cpu"]),
        ("starting_weights", ["/w.pth", "/w.safetensors"]), ("freeze", ["head only", "norms only", "stage1, !stage1.0"]),
        ("timeline", ["2: !stage1", "step 3: learning_rate=0.1; 3: head only"]), ("learning_rate_multipliers", ["head=3, stem=0.1"]),
        ("head_dropout", [0.5]), ("head_hidden", [7]), ("accumulate", [4]), ("clip_norm", [1.0]), ("speed", ["automatic"]),
        ("memory_format", ["channels_last"]), ("fused_optimizer", [True]), ("compile_model", [True]), ("fold_norms", [True]), ("threads", [1]),
        ("feature_cache", ["float16", "off"]), ("class_weights", ["balanced"]), ("doubles", ["leave out"]),
    ):  # fmt: skip
        for name in names:
            yield small.replace(**{field: name})
    yield small.replace(augmentation="shift", fixed_views=4)
    for dataset in ("CIFAR10", "EuroSAT"):
        yield small.replace(dataset=dataset, doubles="leave out", class_weights="balanced", augmentation="shift", fixed_views=2)
    for fault in FAULTS:
        yield small.replace(freeze="head only", fault=fault, doubles="leave out", class_weights="balanced", loss="KLDivLoss", accumulate=2)
    yield small.replace(accumulate=4, clip_norm=1.0, precision="float16", model="googlenet", image_size=64, validation_share=0.0)


@pytest.mark.parametrize("config", list(every_choice()), ids=lambda config: " ".join(map(str, config.changes().values())))
def test_every_choice_makes_a_script_that_python_can_read(config: RunConfig) -> None:
    compile(script_of(config), "script.py", "exec")


@pytest.mark.parametrize("dataset", ["digits", "shapes", "EuroSAT"])
def test_no_class_of_a_network_takes_a_name_that_the_script_uses(dataset: str) -> None:
    config = SMALL.replace(dataset=dataset, augmentation="trivial augment", doubles="leave out", early_stopping=1)
    for text in (script_of(config), evaluation_code(config, tuple("0123456789"), "weights.pth")):
        made = {name.asname or name.name for node in ast.parse(text).body if isinstance(node, ast.Import | ast.ImportFrom) for name in node.names}
        made |= {node.name for node in ast.parse(text).body if isinstance(node, ast.ClassDef)}
        made |= {name.id for node in ast.parse(text).body if isinstance(node, ast.Assign) for name in node.targets if isinstance(name, ast.Name)}
        assert {name for name in made if code.class_name(name) == name} == set()


@pytest.mark.parametrize("model", list(MODELS))
def test_every_model_makes_a_script_that_python_can_read(model: str) -> None:
    for starting_weights in ("random", "pretrained") if MODELS[model].pretrained else ("random",):
        for size in (MODELS[model].usual, MODELS[model].smallest * 2):
            config = RunConfig(model=model, image_size=size, head_hidden=8, starting_weights=starting_weights)
            compile(pytorch_code(config, 10, [("features.0.weight", True), ("classifier.weight", False)]), "script.py", "exec")
            compile(loading_code(config, ("a", "b"), "weights.pth"), "loading.py", "exec")


def test_the_script_trains_on_its_own_and_its_weights_load_as_shown(tmp_path: Path) -> None:
    config = SMALL.replace(
        model=NETWORK, head_hidden=8, head_dropout=0.1, freeze="head only", epochs=2, timeline="2: !linear1", validation_share=0.8,
        schedule="WarmupCosine", augmentation="shift", early_stopping=1, loss="MSELoss", accumulate=2, batch_size=90, clip_norm=0.5,
        memory_format="channels_last", precision="float16", fused_optimizer=True, threads=1, fixed_views=2,
    )  # fmt: skip
    script = tmp_path / "script.py"
    script.write_text(script_of(config))
    trained = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert trained.returncode == 0, trained.stderr
    assert "epoch 1: validation loss" in trained.stdout
    assert "test loss" in trained.stdout
    script.write_text(loading_code(config, tuple("0123456789"), "weights.pth"))
    names: dict[str, Any] = {}
    exec(compile(script.read_text().replace("'weights.pth'", repr(str(tmp_path / "weights.pth"))), "loading.py", "exec"), names)
    run = steered(config, 5).freezing.model
    run.load_state_dict(names["model"].state_dict(), strict=True)


def test_the_fewest_beginnings_match_exactly_the_wanted_names() -> None:
    config = RunConfig(model="resnet18", freeze="last stage, layer4.0.bn1, !layer1.1")
    names = [parameter.name for parameter in parameters_of(config)]
    frozen = frozen_parameters(config.freeze, parameters_of(config))
    found = cover([name for name in names if name in frozen], [name for name in names if name not in frozen])
    assert {name for name in names if name.startswith(tuple(found))} == frozen
    assert found == ["conv1.", "bn1.", "layer1.0.", "layer2.", "layer3.", "layer4.0.bn1."]


def test_a_whole_name_covers_no_longer_one() -> None:
    assert cover(["a.weight", "a.weight_g", "b.bias"], ["a.weight_v", "b.scale"]) == ["a.weight", "a.weight_g", "b.bias"]
    assert cover(["a.weight", "a.weight_g"], ["b.weight"]) == ["a."]


def test_no_parameter_name_begins_with_another() -> None:
    """What the script's `startswith` relies on: a whole name as a beginning matches nothing else."""
    for name in ("swin_t", "googlenet", NETWORK):
        names = [parameter.name for parameter in anatomy.describe(name, CLASSES, 64).parameters]
        assert not [(one, other) for one in names for other in names if one != other and other.startswith(one)]


def test_a_network_as_a_file_is_a_module_of_its_own(tmp_path: Path) -> None:
    config = RunConfig(model=NETWORK, image_size=16)
    names: dict[str, Any] = {}
    exec(compile(code.network_code(NETWORK, 16, 7), "my_net.py", "exec"), names)
    torch.manual_seed(3)
    by_hand = names["MyNet"](7)
    torch.manual_seed(3)
    ours = models.build(config.model, 7, 16)
    images: Tensor = torch.randn(4, 3, 16, 16)
    by_hand.eval(), ours.eval()
    assert torch.equal(by_hand(images), ours(images))


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("mynet", "Mynet"),
        ("my-net_2", "MyNet2"),
        ("2nd", "Network2nd"),
        ("residual", "ResidualNetwork"),
        ("None", "NoneNetwork"),
        ("m-l-P", "MLPNetwork"),
    ],
)
def test_a_label_becomes_the_name_of_a_class_that_nothing_else_has(label: str, name: str) -> None:
    assert code.class_name(label) == name


# On a screen


def _form() -> None:
    """What the form draws below "Show the PyTorch", for a run of digits."""
    from types import SimpleNamespace

    from core.config import RunConfig
    from core.model import anatomy
    from pages._parts.setup.form import show_code

    table = SimpleNamespace(description=SimpleNamespace(parameters=anatomy.describe("small_cnn", 10, 16).parameters, classes=10))
    show_code(RunConfig(model="small_cnn", image_size=16, device="cpu", compile_model=True), table)  # type: ignore[arg-type]


def test_the_screen_says_in_what_the_script_differs_and_lets_it_be_taken_away() -> None:
    app = AppTest.from_function(_form, default_timeout=60).run()
    assert not app.exception
    (said,) = (caption.value for caption in app.caption)
    assert "The run compiles only what is computed anew" in said
    assert "bit for bit" not in said
    (code,) = (shown.value for shown in app.code)
    compile(code, "script.py", "exec")
    assert len(app.get("download_button")) == 1
