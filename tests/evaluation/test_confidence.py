"""What softmax of a loss's best outputs is: tried by finding these outputs, with torch, for labels that are known to be uncertain."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from core.catalog import losses
from core.config import RunConfig
from core.evaluation import confidence

TRUE = (0.5, 0.3, 0.2)
"""Of ten pictures that look the same, five are of class 0, three of class 1, two of class 2."""

LABELS = torch.tensor([0] * 5 + [1] * 3 + [2] * 2)


def best(config: RunConfig, weights: tuple[float, ...] = ()) -> Tensor:
    """The outputs [3] at which the loss of these pictures is smallest."""
    loss = losses.build(config, weights)
    outputs = torch.tensor([0.3, 0.1, 0.0], dtype=torch.float64, requires_grad=True)
    if weights:
        loss = loss.double()
    optimizer = torch.optim.Adam([outputs], lr=0.1)
    for step in range(300):
        optimizer.param_groups[0]["lr"] = 0.1 * (1 - step / 300)
        optimizer.zero_grad()
        loss(outputs.expand(len(LABELS), 3), LABELS).backward()
        optimizer.step()
    return outputs.detach()


def test_every_loss_has_an_aim() -> None:
    assert set(confidence.AIMS) == set(losses.LOSSES)


@pytest.mark.parametrize("name", confidence.AIMS)
def test_softmax_of_the_best_outputs_is_the_probability_only_where_it_is_judged(name: str) -> None:
    plain = {"label_smoothing": 0.0} if name == "KLDivLoss" else {}
    config = RunConfig(loss=name, loss_options=plain)
    outputs = best(config)
    off = float((outputs.softmax(0) - torch.tensor(TRUE)).abs().max())
    assert confidence.meaning_of(config, 3).judged == (off < 0.005), off
    if not confidence.meaning_of(config, 3).judged:
        assert off > 0.05, "so far off that it is no matter of rounding"
    alone = torch.sigmoid(outputs)
    assert (float((alone - torch.tensor(TRUE)).abs().max()) < 0.005) == (confidence.AIMS[name] == "each class")


@pytest.mark.parametrize("name", ["CrossEntropyLoss", "KLDivLoss"])
def test_label_smoothing_asks_for_the_confidence_that_is_said(name: str) -> None:
    config = RunConfig(loss=name, loss_options={"label_smoothing": 0.1})
    logits = torch.zeros(10, dtype=torch.float64, requires_grad=True)
    loss = losses.build(config)
    optimizer = torch.optim.Adam([logits], lr=0.1)
    for _ in range(200):
        optimizer.zero_grad()
        loss(logits.expand(4, 10), torch.zeros(4, dtype=torch.int64)).backward()
        optimizer.step()
    assert float(logits.detach().softmax(0)[0]) == pytest.approx(confidence.smoothed_most(0.1, 10), abs=1e-4)
    assert "91.0\u00a0%" in confidence.meaning_of(config, 10).text
    assert confidence.meaning_of(RunConfig(loss="KLDivLoss"), 10).text == confidence.meaning_of(config, 10).text, "KLDivLoss smooths by itself"
    assert confidence.meaning_of(RunConfig(), 10).text == ""


def test_balanced_weights_give_the_confidence_of_classes_that_are_as_common() -> None:
    config = RunConfig(class_weights="balanced")
    found = best(config, losses.balanced([5, 3, 2])).softmax(0)
    assert float((found - 1 / 3).abs().max()) < 0.005, "the pictures look the same, so nothing else tells the classes apart"
    assert "balanced class weights" in confidence.meaning_of(config, 3).text


@pytest.mark.parametrize("name", [name for name, aim in confidence.AIMS.items() if aim == "targets"])
def test_outputs_that_are_all_that_was_asked_for_have_the_cross_entropy_that_is_said(name: str) -> None:
    config = RunConfig(loss=name)
    outputs, labels = torch.eye(10), torch.arange(10)
    assert float(losses.build(config)(outputs, labels)) == 0
    said = confidence.perfect_loss(config, 10)
    assert said is not None
    assert said == pytest.approx(float(torch.nn.functional.cross_entropy(outputs, labels)), rel=1e-6)
    assert said == pytest.approx(math.log(1 + 9 / math.e))
    assert confidence.perfect_loss(RunConfig(), 10) is None
