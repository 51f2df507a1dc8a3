"""Sentences of the doctor with a number in them, beside what torch does with a real tensor or network."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from core import catalog
from core.catalog import optimizers, schedules
from core.config import RunConfig
from core.doctor.gradient_rules import dead
from tests.doctor.doctor_truth_cases import CONFIG, FACTS, PLAN, change, one, rules_of, steps, watch


def left_of_a_weight(config: RunConfig, total: int, steps_per_epoch: int) -> float:
    """What torch leaves of a weight of 1 without gradients."""
    weight = nn.Parameter(torch.ones(1, dtype=torch.float64))
    optimizer = optimizers.build(config, [weight])
    moving = schedules.build(config, optimizer, total, steps_per_epoch)
    for _ in range(total):
        weight.grad = torch.zeros_like(weight)
        optimizer.step()
        moving.step()
    return float(weight)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "settings",
    [
        {"optimizer": "AdamW", "learning_rate": 0.01, "weight_decay": 1.0},
        {"optimizer": "SGD", "learning_rate": 0.01, "weight_decay": 0.1},
        {"optimizer": "SGD", "learning_rate": 0.01, "weight_decay": 0.5, "momentum": 0.0},
        {"optimizer": "SGD", "learning_rate": 0.01, "weight_decay": 0.1, "optimizer_options": {"nesterov": True}, "schedule": "OneCycleLR"},
        {"optimizer": "AdamW", "learning_rate": 0.01, "weight_decay": 1.0, "schedule": "CosineAnnealingLR"},
        {"optimizer": "Adam", "learning_rate": 0.01, "weight_decay": 1.0, "optimizer_options": {"decoupled_weight_decay": True}},
    ],
    ids=str,
)
def test_what_weight_decay_takes_off_is_what_it_takes_off(settings: dict[str, Any]) -> None:
    config = CONFIG.replace(**settings)
    facts = replace(FACTS, direct_decay=True, weight_decay=settings["weight_decay"])
    finding = one(watch(config, facts=facts).diagnosis(), "weight decay")
    said = re.search(r"takes ([\d.]+) % off a value in 200 steps", finding.cause)
    assert said is not None
    assert float(said[1]) == pytest.approx(100 * (1 - left_of_a_weight(config, 200, 10)), rel=6e-3)
    weaker = finding.remedy.settings["weight_decay"]
    assert 0.06 < 1 - left_of_a_weight(config.replace(weight_decay=weaker), 200, 10) < 0.15, "about a tenth, in one digit"


def test_a_rate_that_was_changed_counts_from_then_on_and_a_run_that_is_over_by_the_steps_it_made() -> None:
    config = CONFIG.replace(optimizer="AdamW", learning_rate=0.001, weight_decay=1.0)
    facts = replace(FACTS, direct_decay=True, weight_decay=1.0)
    watched = watch(config, facts=facts)
    watched.steps(steps(1, [0.7 - 0.001 * step for step in range(100)]))
    assert "weight decay" not in rules_of(watched.diagnosis())
    watched.change(change(101, "learning_rate=0.01", 0.01))
    watched.steps(steps(101, [0.6 - 0.001 * step for step in range(20)], 0.01))
    said = re.search(r"takes ([\d.]+) % off a value in 200 steps", one(watched.diagnosis(), "weight decay").cause)
    assert said is not None
    assert float(said[1]) == pytest.approx(100 * (1 - 0.999**100 * 0.99**100), rel=6e-3)
    assert "weight decay" not in [finding.rule for finding in watched.finish().open], "120 steps take 26 %"
    assert PLAN.total_steps == 200


# Another learning rate, where that does something


@pytest.mark.parametrize("rate", [0.001, 1.0])
def test_no_learning_rate_is_proposed_to_an_optimizer_that_takes_none(rate: float) -> None:
    """Rprop's steps do not follow the rate (test_optimizer_words): what is proposed is another optimizer, and it can be used as it is."""
    for losses, ratio, last in (([0.7] * 10 + [9.0] * 80, 1e-3, "loss"), ([0.7] * 90, 1e-9, "low"), ([0.7] * 10 + [float("nan")] * 10, 1e-3, "nan")):
        watched = watch(CONFIG.replace(optimizer="Rprop", learning_rate=rate))
        watched.steps(steps(1, losses, rate, ratio=ratio))
        found = watched.diagnosis().findings
        assert found, last
        for finding in found:
            assert "learning_rate" not in finding.remedy.change
            assert ("learning rate to" not in finding.remedy.advice) == ("Use another optimizer, such as AdamW at 0.001" in finding.remedy.advice)
            assert finding.remedy.settings["optimizer"] == "AdamW"
            assert finding.remedy.settings["learning_rate"] == 0.001
            assert "at a learning rate of" not in finding.cause
            catalog.check(watched.signs.config.replace(**finding.remedy.settings))
    own = watch(CONFIG.replace(optimizer="Rprop", optimizer_options={"etas": [0.4, 1.1]}))
    own.steps(steps(1, [0.7] * 10 + [9.0] * 80))
    assert own.diagnosis().findings[0].remedy.settings == {}, "its options would be refused by the other one"


def test_a_rate_above_what_adafactor_takes_is_lowered_from_there() -> None:
    config = CONFIG.replace(optimizer="Adafactor", learning_rate=1.0)
    watched = watch(config)
    watched.steps(steps(1, [0.7] * 10 + [9.0] * 90, 1.0))
    change_ = one(watched.diagnosis(), "learning rate too high").remedy.change
    assert change_ == "learning_rate=0.01", "a tenth of 1 / √100, not of 1"


# Dead units


def come_back(layer: int, killed: int, seed: int) -> tuple[int, int]:
    """(dead at first, back within 800 steps) units of one of three hidden layers of 16, whose ReLUs were made to give 0 for every picture."""
    torch.manual_seed(seed)
    images = torch.randn(128, 20)
    labels = (images @ torch.randn(20, 5)).argmax(1)
    hidden = [module for width in (20, 16, 16) for module in (nn.Linear(width, 16), nn.ReLU())]
    model = nn.Sequential(*hidden, nn.Linear(16, 5))
    before, linear = nn.Sequential(*hidden[: 2 * layer]), hidden[2 * layer]
    assert isinstance(linear, nn.Linear)

    def idle() -> torch.Tensor:
        with torch.no_grad():
            return (linear(before(images)) <= 0).all(0)

    with torch.no_grad():
        linear.bias[:killed] -= linear(before(images))[:, :killed].amax(0) + 0.05
    dead = idle()
    optimizer = torch.optim.AdamW(model.parameters())
    back = torch.zeros_like(dead)
    for step in range(800):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images), labels).backward()
        optimizer.step()
        if step % 50 == 49:
            back |= dead & ~idle()
    return int(dead.sum()), int(back.sum())


def test_dead_units_come_back_where_layers_before_them_learn_and_nowhere_else() -> None:
    assert come_back(layer=0, killed=8, seed=0) == (8, 0), "nothing before it learns"
    dead, back = come_back(layer=1, killed=16, seed=0)
    assert (dead, back) == (16, 0), "no gradient passes the layer"
    dead, back = come_back(layer=1, killed=8, seed=0)
    assert back >= 4, dead


def test_momentum_and_strong_weight_decay_bring_dead_units_back_that_no_gradient_reaches() -> None:
    """So it is gradients alone of which it is said that they do not."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 4))
    with torch.no_grad():
        model[2].weight.fill_(-1), model[2].bias.fill_(0.1)  # type: ignore[operator]
    images, labels = torch.rand(64, 8), torch.randint(0, 4, (64,))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)
    for step in range(60):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images), labels).backward()
        if step < 20:
            assert not any(parameter.grad.any() for parameter in model[:4].parameters() if parameter.grad is not None)
        optimizer.step()
    assert (model[:4](images) > 0).any()


@pytest.mark.parametrize(
    ("layer", "gone", "said"),
    [
        (0, 3, "nothing before this layer learns"),
        (1, 4, "through a layer of which all are dead"),
        (1, 3, "it comes back where layers before it learn"),
    ],
)
def test_the_advice_on_dead_units_says_which_of_these_it_is(layer: int, gone: int, said: str) -> None:
    watched = watch()
    watched.steps(steps(1, [0.7] * 40))
    rows = np.ones(16, np.float32)  # 4 units of three weights, and a bias of 4
    rows[4 * layer : 4 * layer + gone] = 0
    for _ in range(8):
        watched.signs.add_units(np.zeros(4, np.bool_), rows, np.ones(4, np.float32))
    sign = dead(watched.signs)
    assert sign is not None
    assert said in sign.remedy.advice
    assert "hardly ever" not in sign.remedy.advice
