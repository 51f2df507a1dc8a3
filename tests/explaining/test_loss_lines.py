"""The lines that say how a loss comes about: the numbers in them, put together as they say, give the loss."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest
import torch
from torch.nn import functional

from core.explaining import explain
from core.machine.home import Home
from tests.explaining.explain_cases import FROZEN, own

NUMBER = r"-?\d+(?:\.\d+)?(?:e-?\d+)?"


def lines_of(home: Home, **changes: Any) -> tuple[str, ...]:
    return explain.walkthrough(own(FROZEN.replace(optimizer="AdamW", **changes), samples=3), home).steps[0].loss_lines


def numbers(text: str) -> list[float]:
    return [float(found) for found in re.findall(NUMBER, text.replace(",", ""))]


@pytest.mark.parametrize("balanced", [False, True], ids=["all alike", "balanced"])
def test_cross_entropy_is_the_mean_of_minus_ln_of_what_softmax_gives_each_class(explained: Home, balanced: bool) -> None:
    lines = lines_of(explained, **({"class_weights": "balanced", "doubles": "leave out"} if balanced else {}))
    total = weights = 0.0
    for line in lines[1:4]:
        start, _, rest = line.partition("): softmax gives its class ")
        chance, *_, loss = numbers(rest)
        assert loss == pytest.approx(-math.log(chance), rel=1e-4)
        weight = numbers(start.rpartition(", weight ")[2])[0] if balanced else 1.0
        assert (", weight " in start) == balanced
        total, weights = total + weight * loss, weights + weight
    assert lines[4].startswith("mean: (")
    assert numbers(lines[4].rpartition("=")[2])[0] == pytest.approx(total / weights, rel=1e-4)
    assert (") / 3 = " in lines[4]) == (not balanced), "the mean over the pictures, or over their weights"
    assert ("each counted by the weight of its class" in lines[0]) == balanced


@pytest.mark.parametrize("changes", [{"loss_options": {"label_smoothing": 0.2}}, {"loss": "MultiMarginLoss"}], ids=["smoothed", "margin"])
def test_a_loss_that_is_no_logarithm_of_one_chance_is_not_said_to_be_one(explained: Home, changes: dict[str, Any]) -> None:
    lines = lines_of(explained, **changes)
    assert all("softmax" not in line and " for the logit " in line for line in lines[1:4])
    assert sum(numbers(line.partition("): ")[2])[0] for line in lines[1:4]) / 3 == pytest.approx(numbers(lines[4].rpartition("=")[2])[0], rel=1e-4)


def test_minus_ln_of_the_softmax_is_cross_entropy_in_torch() -> None:
    logits, label = torch.tensor([[0.3, -1.2, 2.0]]), torch.tensor([1])
    assert float(functional.cross_entropy(logits, label)) == pytest.approx(-math.log(float(logits.softmax(1)[0, 1])), rel=1e-6)
