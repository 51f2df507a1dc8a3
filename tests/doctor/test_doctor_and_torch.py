"""Sentences of the doctor with a number in them, beside what torch does with a real tensor or network."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from core import catalog
from core.catalog import optimizers, schedules
from core.config import RunConfig
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
