"""The PyTorch that Thaw shows, really run: what it trains, at which rate, and with which optimizer state, is what a run does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sklearn.datasets
import torch
from numpy.typing import NDArray
from torch import nn
from torch.optim.optimizer import Optimizer, register_optimizer_step_pre_hook

from core import catalog, code
from core.catalog import LOSSES, SCHEDULES, losses
from core.code import Phase, phases, pytorch_code
from core.config import ConfigError, RunConfig
from core.config.plans import PRESETS
from core.machine.bits import same
from core.machine.home import Home
from core.worker.assembly import assemble
from tests.code.code_cases import CLASSES, NETWORK, SMALL, learning, parameters_of, ready, script_of, steered

pytestmark = pytest.mark.usefixtures("one_thread")


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
    config = catalog.check(SMALL.replace(image_size=8, epochs=4, validation_share=0.8, **changes))

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
        {"accumulate": 2, "clip_norm": 0.1, "memory_format": "channels_last"},
        # Convolutions of this type take many seconds on most processors.
        {"model": "mlp", "freeze": "train everything", "accumulate": 2, "clip_norm": 0.1, "precision": "bfloat16"},
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
    if changes and "augmentation" not in changes:
        given["image_size"] = 8  # as digits are; where pictures are what it is about, they are resized too
    config = catalog.check(SMALL.replace(**given))
    trainer = assemble(config, home).trainer
    began = {name: tensor.clone() for name, tensor in trainer.model.state_dict().items()}
    for _ in trainer.run():
        pass
    names: dict[str, Any] = {}
    exec(compile(script_of(config), "script.py", "exec"), names)
    shown, real = names["model"].state_dict(), trainer.model.state_dict()
    assert [name for name in real if not same(shown[name], real[name])] == []
    assert any(not same(began[name], real[name]) for name in real)
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
        (frozen.replace(feature_cache="float16"), "3 to 4 digits of what frozen layers give"),
        (SMALL.replace(epochs=3, timeline="2: stage1", feature_cache="float16"), "3 to 4 digits of what frozen layers give"),
        (frozen.replace(fold_norms=True), "frozen BatchNorm folded"),
        (frozen.replace(im2col_gradients=True), "as one matrix product"),
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
    assert "On a GPU the last digits of a step may differ" in " ".join(code.about(SMALL.replace(device="auto"), code.Recorded()))


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
