"""What is said of a loss in one sentence holds in torch."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from core.catalog import losses
from core.config import RunConfig

LOGITS = 3 * torch.randn(12, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
LABELS = torch.arange(12) % 5
WEIGHTS = (0.5, 1.0, 2.0, 1.0, 3.0)


def value(name: str, weights: tuple[float, ...] = (), logits: Tensor = LOGITS, **options: Any) -> float:
    return float(losses.build(RunConfig(loss=name, loss_options=options), weights).double()(logits, LABELS))


def pull(name: str, **options: Any) -> Tensor:
    """The gradient at the logits."""
    logits = LOGITS.clone().requires_grad_()
    losses.build(RunConfig(loss=name, loss_options=options))(logits, LABELS).backward()
    assert logits.grad is not None
    return logits.grad


def test_cross_entropy_in_two_steps_has_the_same_numbers() -> None:
    assert value("NLLLoss") == pytest.approx(value("CrossEntropyLoss"))
    assert value("NLLLoss", WEIGHTS) == pytest.approx(value("CrossEntropyLoss", WEIGHTS))


def test_divergence_without_smoothing_is_cross_entropy_unless_classes_weigh() -> None:
    assert value("KLDivLoss", label_smoothing=0.0) == pytest.approx(value("CrossEntropyLoss"))
    assert value("KLDivLoss", WEIGHTS, label_smoothing=0.0) != pytest.approx(value("CrossEntropyLoss", WEIGHTS), rel=0.01)


def test_the_absolute_error_pulls_as_hard_from_everywhere_and_huber_less_than_the_square_from_afar() -> None:
    assert pull("L1Loss").abs().unique() == pytest.approx(torch.tensor([1 / 60]).double())
    far = (LOGITS - torch.nn.functional.one_hot(LABELS, 5)).abs() > 2
    assert bool((pull("HuberLoss")[far].abs() < pull("MSELoss")[far].abs()).all())
    for delta in (0.5, 2.0):
        assert value("HuberLoss", delta=delta) == pytest.approx(delta * value("SmoothL1Loss", beta=delta))


def test_three_names_are_one_binary_cross_entropy() -> None:
    assert value("BCEWithLogitsLoss") == pytest.approx(value("MultiLabelSoftMarginLoss")) == pytest.approx(value("SoftMarginLoss"))


def test_the_hinge_is_content_once_the_margin_is_won() -> None:
    won = 5.0 * torch.nn.functional.one_hot(LABELS, 5).double()
    assert value("MultiMarginLoss", logits=won) == 0
    assert value("MultiMarginLoss", logits=won / 10) > 0


def test_smoothed_labels_are_met_by_a_less_certain_model() -> None:
    certain, less = 20.0 * torch.nn.functional.one_hot(LABELS, 5).double(), 3.0 * torch.nn.functional.one_hot(LABELS, 5).double()
    assert value("CrossEntropyLoss", logits=certain) < value("CrossEntropyLoss", logits=less)
    assert value("CrossEntropyLoss", logits=certain, label_smoothing=0.1) > value("CrossEntropyLoss", logits=less, label_smoothing=0.1)
