"""What is said of learning rates and of weight decay before the first step is what torch's schedules and optimizers do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from core.catalog import OPTIMIZERS, SCHEDULES, decay, optimizers, schedules
from core.catalog.rates import Course, course
from core.config import RunConfig
from core.model.steering import Steering
from core.records.layers import ParameterInfo

OPTIONS: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in SCHEDULES),
    ("CosineAnnealingLR", {"T_max": 0.5, "eta_min": 0.001}),
    ("OneCycleLR", {"three_phase": True, "anneal_strategy": "linear"}),
    ("CyclicLR", {"mode": "triangular2"}),
    ("CyclicLR", {"mode": "exp_range", "gamma": 0.99, "step_size_down": 0.3}),
    ("CosineAnnealingWarmRestarts", {"T_mult": 2}),
    ("MultiStepLR", {"milestones": [2, 1]}),
]


def taken(config: RunConfig, total: int, steps_per_epoch: int) -> tuple[list[float], list[float]]:
    """Learning rate and momentum (or first beta) of each step, as torch's schedule moves them."""
    weight = nn.Parameter(torch.zeros(1))
    optimizer = optimizers.build(config, [weight])
    schedule = schedules.build(config, optimizer, total, steps_per_epoch)
    rates, momenta = [], []
    for _ in range(total):
        group = optimizer.param_groups[0]
        rates.append(float(group["lr"]))
        momenta.append(float(group.get("momentum", group.get("betas", (0.0,))[0])))
        optimizer.step()
        schedule.step()
    return rates, momenta


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("name", "options"), OPTIONS, ids=lambda value: str(value))
def test_the_rate_of_every_step_is_known_before_the_first(name: str, options: dict[str, Any]) -> None:
    for optimizer in ("SGD", "AdamW", "Adagrad"):
        config = RunConfig(schedule=name, schedule_options=options, optimizer=optimizer, learning_rate=0.03)
        for total, steps_per_epoch in ((100, 10), (37, 37), (3, 1)):
            rates, momenta = taken(config, total, steps_per_epoch)
            found = course(config, total, steps_per_epoch)
            assert found.rates == pytest.approx(rates, abs=1e-9)
            assert (found.momenta if found.momenta is not None else [momenta[0]] * total) == pytest.approx(momenta, abs=1e-9)


def test_a_rate_of_the_timeline_goes_on_with_the_schedule() -> None:
    config = RunConfig(schedule="CosineAnnealingLR", learning_rate=0.1, epochs=5, timeline="3: learning_rate=0.5; step 45: learning_rate=0.01")
    model = nn.Linear(2, 2)
    layers = [ParameterInfo(name, tuple(tensor.shape), tensor.numel(), "", "Linear", "body", False) for name, tensor in model.named_parameters()]
    steering = Steering(model, layers, config.replace(timeline=""), 10)
    rates = []
    for step in range(1, 51):
        for timed in config.timeline.changes:
            if step == (21 if timed.unit == "epoch" else 45):
                steering.change(timed.change)
        rates.append(steering.learning_rate)
        steering.advance()
    assert course(config, 50, 10).rates == pytest.approx(rates, rel=1e-9)


# Weight decay alone


DECAYING: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name, entry in OPTIMIZERS.items() if entry.weight_decay is not None),
    ("SGD", {"nesterov": True}), ("SGD", {"dampening": 0.5}), ("Adam", {"amsgrad": True}), ("RMSprop", {"centered": True}),
    ("Adagrad", {"lr_decay": 0.1}),
    *((name, {"decoupled_weight_decay": True}) for name in ("Adam", "NAdam", "RAdam")),
]  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("schedule", ["constant", "CosineAnnealingLR", "OneCycleLR"])
@pytest.mark.parametrize(("name", "options"), DECAYING, ids=lambda value: str(value))
def test_what_weight_decay_leaves_is_what_torch_leaves_of_a_real_weight(name: str, options: dict[str, Any], schedule: str) -> None:
    config = RunConfig(optimizer=name, optimizer_options=options, schedule=schedule, learning_rate=0.01, weight_decay=0.05)
    weight = nn.Parameter(torch.ones(1, dtype=torch.float64))
    optimizer = optimizers.build(config, [weight])
    moving = schedules.build(config, optimizer, 120, 30)
    for _ in range(120):
        weight.grad = torch.zeros_like(weight)
        optimizer.step()
        moving.step()
    left = decay.kept(config, course(config, 120, 30))
    assert left == pytest.approx(float(weight), abs=1e-7)
    assert left < 0.999


@pytest.mark.parametrize("name", [name for name, entry in OPTIMIZERS.items() if entry.weight_decay is not None])
def test_where_decay_takes_a_share_gradients_beside_it_do_not_change_that(name: str) -> None:
    """Two weights with the same gradients: decay draws them together by its share, or by what the size of the gradients makes of it."""
    shares = []
    for size in (0.0, 0.1, 10.0):
        config = RunConfig(optimizer=name, learning_rate=0.01, weight_decay=0.05)
        weights = nn.Parameter(torch.tensor([1.0, 1.5], dtype=torch.float64))
        optimizer = optimizers.build(config, [weights])
        generator = torch.Generator().manual_seed(1)
        for _ in range(120):
            weights.grad = size * torch.randn(1, generator=generator, dtype=torch.float64).expand(2).clone()
            optimizer.step()
        shares.append(float(weights[1] - weights[0]) / 0.5)
    same = max(shares) - min(shares) < 1e-6
    assert same == decay.takes_a_share(config)
    if same:
        assert shares[0] == pytest.approx(decay.kept(config, course(config, 120, 30)), abs=1e-6)


def test_long_runs_are_worked_out_at_every_nth_step() -> None:
    config = RunConfig(optimizer="SGD", learning_rate=0.01, weight_decay=1e-5)
    rates = np.full(450_000, 0.01)
    assert decay.kept(config, Course(rates)) == pytest.approx((1 - 0.01 * 1e-5 / 0.1) ** 450_000, rel=1e-3)


def test_decay_that_overshoots_says_so() -> None:
    config = RunConfig(optimizer="AdamW", learning_rate=1.0, weight_decay=3.0)
    assert abs(decay.kept(config, course(config, 10, 10))) == 2.0**10
    assert decay.kept(RunConfig(optimizer="Rprop"), course(RunConfig(), 10, 10)) == 1.0
