"""What a run's parts say of training is what torch does: the audit's remedies, the accepted rounding, training accuracy, update ratios."""

from __future__ import annotations

import math
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from core.code.differences import GROWS
from core.code.evaluation import _PICTURE
from core.config import ConfigError, RunConfig
from core.helpers.helper import LabError
from core.measuring import rounding
from core.records.audits import FAULTS
from core.records.speed import ALWAYS_ACCEPTED, NEVER_ACCEPTED, SHARE_OF_NOISE
from core.signals.watch import Pace, Spent, pace_for
from core.store import Run
from pages._parts.run.run_view import _facts
from pages._parts.run.tuning_view import accepted
from pages._parts.shared import words
from tests.house import ROOT

pytestmark = pytest.mark.usefixtures("one_thread")

CHARTS = ROOT / "pages/_parts/components/live_chart"


# The audit


@pytest.mark.parametrize(
    ("optimizer", "options"),
    [
        ("SGD", {"momentum": 0.9}),
        ("SGD", {"weight_decay": 0.1}),
        ("Adam", {}),
        ("Adam", {"weight_decay": 0.1}),
        ("AdamW", {"weight_decay": 0.1}),
        ("RMSprop", {"momentum": 0.9}),
    ],
)
def test_zeros_move_a_frozen_weight_and_no_gradient_does_not(optimizer: str, options: dict[str, float]) -> None:
    weight = nn.Parameter(torch.ones(3))
    mover = getattr(torch.optim, optimizer)([weight], lr=0.1, **options)
    weight.grad = torch.ones(3)
    mover.step()
    weight.requires_grad_(False)
    was = weight.clone()
    mover.zero_grad()
    mover.step()
    assert torch.equal(weight, was), "without a .grad it leaves them alone"
    weight.grad = torch.zeros(3)
    mover.step()
    assert not torch.equal(weight, was), "one of zeros is enough"


def test_zeros_do_not_move_a_frozen_weight_without_momentum_and_decay() -> None:
    weight = nn.Parameter(torch.ones(3))
    mover = torch.optim.SGD([weight], lr=0.1)
    weight.grad = torch.zeros(3)
    mover.step()
    assert torch.equal(weight.detach(), torch.ones(3))


@pytest.mark.parametrize("learns", [True, False])
def test_statistics_move_in_train_mode_whether_the_layer_learns_or_not(learns: bool) -> None:
    norm = nn.BatchNorm2d(2).requires_grad_(learns)
    norm(torch.rand(4, 2, 3, 3))
    assert norm.running_mean is not None
    assert norm.running_mean.all()


def test_gradients_that_no_optimizer_holds_add_up_and_count_where_gradients_are_clipped() -> None:
    held, forgotten = nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD([held], lr=1.0)
    for step in (1, 2, 3):
        optimizer.zero_grad()
        (held + forgotten).sum().backward()
        assert forgotten.grad is not None
        assert forgotten.grad.item() == step
    nn.utils.clip_grad_norm_([held, forgotten], 1.0)
    optimizer.step()
    assert forgotten.item() == 1.0
    assert 1 - held.item() == pytest.approx(10**-0.5), "alone its step would have been 1"


def test_a_gradient_of_zeros_costs_state_and_lets_decay_shrink_and_none_does_neither() -> None:
    zero, none = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    optimizer = torch.optim.AdamW([zero, none], lr=0.1, weight_decay=0.1)
    zero.grad = torch.zeros(2)
    optimizer.step()
    assert (zero < 1).all()
    assert zero in optimizer.state
    assert torch.equal(none.detach(), torch.ones(2))
    assert none not in optimizer.state


def test_no_remedy_says_that_something_never_happens_which_can() -> None:
    assert not any(re.search(r"\b(never|nobody|ever)\b", fault.why) for fault in FAULTS.values())


# Rounding that is accepted


def test_a_third_of_the_noise_makes_gradients_as_good_as_those_of_the_smaller_batches_that_are_said() -> None:
    """Gradients of batches drawn at random: how far one is from that of all pictures, with and without rounding, and how far another one is."""
    chance = np.random.default_rng(0)
    truth = chance.normal(size=400)
    pictures = 30.0 * chance.normal(size=(2, 200, 10, 400))  # batches of 10

    def far(batches: np.ndarray[Any, Any]) -> float:
        return float(np.square(batches - truth).sum(axis=-1).mean())

    batches = truth + pictures.mean(axis=2)
    lengths = np.linalg.norm(batches, axis=-1)
    noise = np.sqrt(far(batches))
    pair = [rounding.Gradient(1.0, torch.tensor(batches[side, 0]).float()) for side in (0, 1)]
    assert rounding.tolerance(pair) == pytest.approx(min(NEVER_ACCEPTED, noise / lengths.mean() / 3), rel=0.1)
    rounded = batches + chance.normal(size=batches.shape) * noise / 3 / np.sqrt(400)
    said = re.search(r"batches were (\d+) % smaller", accepted(0.2))
    assert said is not None
    assert "a third as far as the choice of its pictures" in accepted(0.2)
    assert math.isclose(SHARE_OF_NOISE, 1 / 3)
    smaller = truth + pictures[:, :, : 10 - round(int(said[1]) / 10)].mean(axis=2)
    assert far(rounded) == pytest.approx(far(smaller), rel=0.03)
    other = float(np.linalg.norm(batches[0] - batches[1], axis=-1).mean())
    assert other == pytest.approx(np.sqrt(2) * noise, rel=0.03), "what another batch changes is more than how far one is from all pictures"


def test_what_is_accepted_whatever_the_noise_is_not_called_a_third_of_it() -> None:
    assert accepted(ALWAYS_ACCEPTED) == "so much is always accepted"
    assert accepted(NEVER_ACCEPTED) == "more never is, however noisy batches are"


# Training accuracy, update ratios


def little(dropout: float, schedule: bool = False) -> tuple[float, float, list[dict[str, float]]]:
    """Accuracy while learning and afterwards on the same pictures, in the first epoch; the update ratios of a run's steps."""
    torch.manual_seed(0)
    centres = torch.randn(4, 20)
    labels = torch.arange(4).repeat(64)
    inputs = centres[labels] + 0.8 * torch.randn(256, 20)
    model = nn.Sequential(nn.Linear(20, 32), nn.ReLU(), nn.Dropout(dropout), nn.Linear(32, 4))
    nn.init.zeros_(cast(nn.Parameter, model[3].bias))
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0)
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 8)
    right, ratios = 0, []
    for places in torch.randperm(256).split(32):
        logits = model(inputs[places])
        right += int((logits.argmax(1) == labels[places]).sum())
        before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
        optimizer.zero_grad()
        F.cross_entropy(logits, labels[places]).backward()
        optimizer.step()
        if schedule:
            falling.step()
        ratios.append(
            {
                name: float((parameter.detach() - before[name]).norm() / before[name].norm().clamp(min=1e-30))
                for name, parameter in model.named_parameters()
            }
        )
    model.eval()
    return right / 256, float((model(inputs).argmax(1) == labels).float().mean()), ratios


def test_training_accuracy_is_a_mean_over_the_epoch_and_lower_than_the_same_pictures_give_after_it() -> None:
    learning, after, _ = little(0.5)
    assert after > learning + 0.05
    note = (CHARTS / "panels.js").read_text()
    assert "training: mean over the epoch; validation: after it" in note


def test_update_ratios_lie_above_the_band_for_fresh_biases_and_below_it_where_the_rate_has_fallen() -> None:
    _, _, ratios = little(0.0, schedule=True)
    assert ratios[0]["3.bias"] > 1
    assert ratios[1]["3.bias"] > 1e-2
    assert ratios[1]["0.weight"] < ratios[1]["3.bias"]
    late = torch.optim.lr_scheduler.CosineAnnealingLR(torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=3e-3), 100)
    for _ in range(98):
        late.optimizer.step()
        late.step()
    share = late.get_last_lr()[0] / 3e-3
    assert max(ratio * share for name, ratio in ratios[0].items() if name != "3.bias") < 1e-4


# What scripts say


def test_one_picture_has_values_enough_for_batch_norm_unless_each_channel_has_one() -> None:
    nn.BatchNorm2d(2)(torch.rand(1, 2, 3, 3))
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        nn.BatchNorm2d(2)(torch.rand(1, 2, 1, 1))


def test_a_gradient_left_over_moves_nothing_out_of_the_optimizer_and_is_added_to_after_thawing() -> None:
    weight, other = nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD([weight, other], lr=0.1, momentum=0.9)
    (2 * weight + other).sum().backward()
    weight.requires_grad_(False)
    optimizer.param_groups[0]["params"] = [other]
    optimizer.step()
    optimizer.zero_grad()
    assert weight.item() == 1.0
    weight.requires_grad_(True)
    (3 * weight).sum().backward()
    assert weight.grad is not None
    assert weight.grad.item() == 5.0


@pytest.mark.parametrize("own", [True, False])
def test_a_loader_takes_a_number_from_torchs_generator_unless_it_has_its_own(own: bool) -> None:
    loader = DataLoader(TensorDataset(torch.arange(2)), generator=torch.Generator() if own else None)
    torch.manual_seed(0)
    was = torch.get_rng_state()
    list(loader)
    assert torch.equal(was, torch.get_rng_state()) is own


def test_a_heat_map_of_a_class_that_nothing_speaks_for_is_zero_and_not_nan(tmp_path: Path) -> None:
    """The script's own function, on a model whose only layer speaks against class 0 and for class 1."""
    model = nn.Sequential(nn.Identity(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1, 2, bias=False))
    with torch.no_grad():
        cast(nn.Parameter, model[3].weight).copy_(torch.tensor([[-1.0], [1.0]]))
    source = _PICTURE[_PICTURE.index("def grad_cam") : _PICTURE.index("# predict")]
    names: dict[str, Any] = {"torch": torch, "model": model, "opened": lambda path: torch.ones(1, 1, 4, 4, requires_grad=True)}
    exec(source, names)
    assert torch.equal(names["grad_cam"](tmp_path, "0", 0), torch.zeros(4, 4))
    assert torch.equal(names["grad_cam"](tmp_path, "0", 1), torch.ones(4, 4))


def test_class_weights_of_a_training_set_add_up_to_the_same_for_each_class() -> None:
    counts = torch.tensor([3, 50, 7])
    balanced = counts.sum() / ((counts > 0).sum() * counts)
    assert (balanced * counts).tolist() == pytest.approx([20.0, 20.0, 20.0])


@pytest.mark.parametrize("grows", [True, False])
def test_the_last_digits_of_a_step_can_grow_over_a_run_and_need_not(grows: bool) -> None:
    """A bias in front of BatchNorm has a gradient of rounding alone, which AdamW makes steps of full length from."""

    def course(change: float) -> list[torch.Tensor]:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(20, 64), nn.BatchNorm1d(64) if grows else nn.Identity(), nn.ReLU(), nn.Linear(64, 4))
        inputs, labels = torch.randn(256, 20), torch.randint(4, (256,))
        with torch.no_grad():
            cast(nn.Parameter, model[0].weight).mul_(1 + change)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
        found = []
        for step in range(80):
            places = slice(32 * (step % 8), 32 * (step % 8) + 32)
            optimizer.zero_grad()
            F.cross_entropy(model(inputs[places]), labels[places]).backward()
            optimizer.step()
            found.append(torch.cat([parameter.detach().flatten() for parameter in model.parameters()]))
        return found

    apart = [float((one - other).norm() / one.norm()) for one, other in zip(course(0), course(1e-7), strict=True)]
    assert apart[-1] > 1e-3 if grows else apart[-1] < 1e-5
    assert "can grow" in GROWS


def test_float16_keeps_the_digits_that_are_said_and_loses_small_gradients() -> None:
    values = torch.rand(100_000).double() * 5 + 1e-3
    apart = ((values.half().double() - values) / values).abs().max().item()
    assert 10**-4 < apart < 10**-3, "3 digits always, mostly 4"
    assert torch.tensor(1e-8).half().item() == 0.0


# How often is measured, and the learning rate of an optimizer that takes it once


def test_the_line_of_settings_says_that_rprop_takes_its_rate_once() -> None:
    def line(optimizer: str) -> str:
        return _facts(cast(Run, SimpleNamespace(config=RunConfig(optimizer=optimizer), plan=None, id="a")))

    assert "its first step; it sizes the others itself" in line("Rprop")
    assert "first step" not in line("AdamW")


@pytest.mark.parametrize("seconds", [0.0005, 0.002, 0.005, 0.03])
def test_gradient_norms_are_measured_at_every_step_or_about_fifty_times_a_second(seconds: float) -> None:
    now = Pace(1, 10)
    for _ in range(12):  # measuring costs as much as all the rest: far beyond the budget
        now = pace_for(Spent(seconds=100 * seconds, watching=50 * seconds, norms=50 * seconds, steps=100), seconds, seconds, now, 10, 0.02)
    assert now.norms == 1 if seconds > 0.02 else now.norms > 1
    assert 1 / seconds / now.norms > 35 or now.norms == 1


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ConfigError("image_size", "must be 8 or more, got 3"), "Must be 8 or more, got 3."),
        (LabError("the process ended"), "The process ended."),
        (LabError("Which of the two?"), "Which of the two?"),
    ],
)
def test_a_refusal_is_a_sentence_without_the_name_of_a_field(error: Exception, said: str) -> None:
    assert words.refusal(error) == said
