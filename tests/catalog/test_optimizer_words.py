"""What is said of an optimizer or a schedule in one sentence is what torch's does."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torchvision
from torch import nn

from core.catalog import OPTIMIZERS, SCHEDULES, optimizers
from core.catalog.optimizers import FIRST_STEP_ONLY, plain_steps, rate_limit, state_values
from core.catalog.rates import course
from core.config import RunConfig


def steps_of(optimizer: str, rates: list[float], size: float = 1.0, options: dict[str, float] | None = None) -> list[float]:
    """How far each step moves a weight whose gradient is `size` all along."""
    weight = nn.Parameter(torch.tensor([100.0], dtype=torch.float64))
    config = RunConfig(optimizer=optimizer, learning_rate=rates[0], weight_decay=None if OPTIMIZERS[optimizer].weight_decay is None else 0.0)
    moving = optimizers.build(config.replace(optimizer_options=options or {}), [weight])
    moved = []
    for rate in rates:
        moving.param_groups[0]["lr"] = rate
        weight.grad = torch.full_like(weight, size)
        before = float(weight.detach())
        moving.step()
        moved.append(before - float(weight.detach()))
    return moved


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_rate_that_falls_makes_steps_shorter_unless_it_is_said_to_count_once(name: str) -> None:
    whole = steps_of(name, [0.001] * 12)
    fallen = steps_of(name, [0.001] * 10 + [0.0001] * 2)
    assert fallen[:10] == whole[:10]
    shorter = fallen[11] / whole[11]
    # The last of two, since ASGD has a step to go before it takes a rate.
    assert shorter == pytest.approx(1.0 if name in FIRST_STEP_ONLY else 0.1, rel=1e-3)


def test_rprop_begins_with_the_rate_and_sizes_all_other_steps_itself() -> None:
    assert steps_of("Rprop", [0.001, 7.0, 7.0]) == pytest.approx([0.001, 0.001 * 1, 0.001 * 1.2], rel=0.21)
    assert rate_limit("Rprop", 1) == math.inf
    assert rate_limit("Rprop", 2) == 0.0


def test_adafactor_takes_no_rate_above_one_by_the_root_of_the_step() -> None:
    high, higher = steps_of("Adafactor", [1.0] * 100), steps_of("Adafactor", [50.0] * 100)
    assert high == pytest.approx(higher)
    low = steps_of("Adafactor", [0.5 * rate_limit("Adafactor", 100)] * 100)
    assert low[-1] < 0.6 * high[-1]
    assert rate_limit("Adafactor", 100) == 0.1
    assert steps_of("Adafactor", [0.01])[0] == pytest.approx(0.01 * 100), "a share of the tensor's own size"


@pytest.mark.parametrize("beta2", [0.999, 0.99, 0.9])
def test_radams_first_steps_are_as_long_as_the_gradient(beta2: float) -> None:
    options = {"betas": [0.9, beta2]}
    plain = plain_steps(beta2)
    moved = steps_of("RAdam", [0.001] * (plain + 3), size=100.0, options=options)  # type: ignore[arg-type]
    assert moved[:plain] == pytest.approx([0.1] * plain)
    assert all(step < 0.002 for step in moved[plain:])
    assert plain_steps(0.999) == 5
    assert "five steps with the usual betas" in OPTIMIZERS["RAdam"].about
    assert steps_of("Adam", [0.001], size=100.0)[0] == pytest.approx(0.001), "a hundred times as long as Adam's"


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_what_an_optimizer_keeps_is_counted_as_it_is(name: str) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 5))
    for options in ({}, *({"AdamW": [{"amsgrad": True}], "RMSprop": [{"centered": True}]}.get(name, []))):
        config = RunConfig(optimizer=name, optimizer_options=options)
        moving = optimizers.build(config, model.parameters())
        model(torch.rand(4, 3, 4, 4)).sum().backward()
        moving.step()
        kept = sum(
            value.numel()
            for parameter, state in moving.state.items()
            for key, value in state.items()
            if isinstance(value, torch.Tensor) and (value.dim() or parameter.dim() == 0)
        )
        assert state_values(name, [tuple(parameter.shape) for parameter in model.parameters()], optimizers.settings(config)) == kept


def test_adafactor_keeps_two_thirds_of_a_value_for_each_of_resnet18_and_next_to_nothing_for_a_vision_transformer() -> None:
    shares = {}
    for name in ("resnet18", "vit_b_16"):
        with torch.device("meta"):
            shapes = [tuple(parameter.shape) for parameter in torchvision.models.get_model(name).parameters()]
        shares[name] = state_values("Adafactor", shapes, {}) / sum(math.prod(shape) for shape in shapes)
    assert shares["resnet18"] == pytest.approx(0.66, abs=0.01)
    assert shares["vit_b_16"] < 0.02


@pytest.mark.parametrize("name", SCHEDULES)
def test_the_learning_rate_is_the_highest_of_every_schedule(name: str) -> None:
    assert "the highest one where a schedule moves it" in str(RunConfig.model_fields["learning_rate"].description)
    rates = course(RunConfig(schedule=name, learning_rate=0.1), 1000, 100).rates
    assert rates.max() == pytest.approx(0.1, rel=1e-3)


def test_a_cosine_rises_again_after_its_length_and_a_polynomial_stays_at_0() -> None:
    rates = course(RunConfig(schedule="CosineAnnealingLR", schedule_options={"T_max": 4}, learning_rate=0.1), 100, 10).rates
    assert rates.argmin() == 40
    assert rates[40] == pytest.approx(0.0, abs=1e-12)
    assert rates[80] == pytest.approx(0.1)
    still = course(RunConfig(schedule="PolynomialLR", schedule_options={"total_iters": 4}, learning_rate=0.1), 100, 10).rates
    assert (still[40:] == 0).all()
    assert "In a longer run it rises again" in SCHEDULES["CosineAnnealingLR"].about


def test_a_centered_rmsprop_divides_by_the_spread_and_subtracts_nothing_from_the_gradient() -> None:
    assert any("spread around the mean gradient" in option.about for option in OPTIMIZERS["RMSprop"].options)
    weight = nn.Parameter(torch.zeros(1, dtype=torch.float64))
    optimizer = torch.optim.RMSprop([weight], lr=0.1, alpha=0.5, eps=0, centered=True)
    square = mean = 0.0
    for gradient in (1.0, 3.0, 3.0, -2.0):
        was = weight.item()
        weight.grad = torch.full_like(weight, gradient)
        optimizer.step()
        square, mean = 0.5 * square + 0.5 * gradient**2, 0.5 * mean + 0.5 * gradient
        assert was - weight.item() == pytest.approx(0.1 * gradient / math.sqrt(square - mean**2))


def test_adamaxs_eps_is_added_to_each_gradient_and_not_to_what_it_is_divided_by() -> None:
    (eps,) = [option for option in OPTIMIZERS["Adamax"].options if option.name == "eps"]
    assert "added to the size of each new gradient" in eps.about
    assert "added to the divisor" in next(option for option in OPTIMIZERS["Adam"].options if option.name == "eps").about
    weight = nn.Parameter(torch.zeros((), dtype=torch.float64))
    moving = torch.optim.Adamax([weight], lr=0.1, betas=(0.0, 0.5), eps=1.0)
    largest = 0.0
    for gradient in (9.0, 1.0):  # the second time half of the largest so far, without eps, is more than the new one with it
        was, largest = weight.item(), max(0.5 * largest, gradient + 1.0)
        weight.grad = torch.full_like(weight, gradient)
        moving.step()
        assert was - weight.item() == pytest.approx(0.1 * gradient / largest)
    assert largest == 5.0


def test_adafactors_limits_are_a_root_mean_square_a_tensor_size_and_an_update_before_it_is_scaled() -> None:
    about = {option.name: option.about for option in OPTIMIZERS["Adafactor"].options}
    assert "smallest root mean square to divide by" in about["eps"]
    assert "before it becomes a share of the tensor's size" in about["d"]

    def first_step(weight: float, gradient: list[float], **options: Any) -> list[float]:
        moved = nn.Parameter(torch.full((2,), weight, dtype=torch.float64))
        moved.grad = torch.tensor(gradient, dtype=torch.float64)
        torch.optim.Adafactor([moved], lr=0.01, weight_decay=0.0, **options).step()
        return ((weight - moved.detach()) / 0.01).tolist()

    assert first_step(5.0, [0.01, 0.01], eps=(0.1, 1e-3)) == pytest.approx([0.5, 0.5]), "0.01 / 0.1, a tenth of the size 5"
    assert first_step(0.0, [1.0, 1.0], eps=(1e-9, 0.25)) == pytest.approx([0.25, 0.25]), "a tensor of zeros counts as one of size 0.25"
    assert first_step(5.0, [1.0, 1.0], eps=(1e-9, 1e-3), d=1.0) == pytest.approx([5.0, 5.0])
