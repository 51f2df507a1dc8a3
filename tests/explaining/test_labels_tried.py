"""The classic loss is one for looking at gradients: its labels change none of them, and it has no minimum. The screen says so and shows it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torchvision
from torch import nn

from core.explaining import explain
from core.explaining.labels_tried import labels_tried
from core.explaining.specimen import specimen
from core.machine.home import Home
from core.records.walkthrough import Example
from tests.explaining.explain_cases import own

pytestmark = pytest.mark.usefixtures("one_thread")


def gradients(labels: torch.Tensor) -> tuple[float, dict[str, torch.Tensor]]:
    """Those of the lines on the screen, with these labels."""
    torch.manual_seed(0)
    model = torchvision.models.resnet18()
    data = torch.rand(1, 3, 64, 64)
    loss = (model(data) - labels).sum()
    loss.backward()
    return float(loss.detach()), {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}


@pytest.mark.parametrize(("kind", "learning"), [("classic", 62), ("fine-tuning", 2)])
def test_other_labels_change_the_loss_and_no_gradient(kind: Any, learning: int, explained: Home) -> None:
    tried = labels_tried(specimen(Example(kind), explained))
    assert tried is not None
    assert (tried.gradients, tried.same, tried.same_with_cross_entropy) == (learning, learning, 0)
    assert tried.loss != tried.other_loss
    assert tried.labels != tried.other_labels
    assert tried.gradient == tried.other_gradient
    assert f"{learning} of {learning} gradients are the same, bit for bit" in tried.found
    assert f"0 of {learning} are the same for another class" in tried.found


def test_what_is_shown_is_what_plain_torch_does(explained: Home) -> None:
    tried = labels_tried(specimen(Example("classic"), explained))
    assert tried is not None
    one, other = gradients(torch.rand(1, 1000, generator=torch.Generator().manual_seed(5))), gradients(torch.full((1, 1000), 1e3))
    assert one[0] != other[0]
    assert all(torch.equal(gradient, other[1][name]) for name, gradient in one[1].items())
    assert one[1][tried.parameter].flatten()[:4].tolist() == list(tried.gradient)


def test_it_has_no_minimum_and_falls_for_ever() -> None:
    torch.manual_seed(0)
    model, labels = nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 5)), torch.rand(1, 5)
    data, optimizer = torch.rand(1, 8), torch.optim.SGD(model.parameters(), lr=0.01)
    losses = []
    for _ in range(2000):
        optimizer.zero_grad()
        loss = (model(data) - labels).sum()
        loss.backward()
        assert model[2].bias.grad == pytest.approx(torch.ones(5)), "1 wherever it is"
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < -100 < losses[0]


def test_the_first_words_say_so_and_a_loss_for_learning_is_left_alone(explained: Home) -> None:
    for kind in ("classic", "fine-tuning"):
        walk = explain.walkthrough(Example(kind), explained)  # type: ignore[arg-type]
        assert "a loss for looking at gradients, not for learning" in walk.about
        assert "no minimum" in walk.about
        assert "simplest loss" not in walk.about
        assert walk.labels_tried is not None
    assert labels_tried(specimen(own(), explained)) is None
    assert explain.walkthrough(own(), explained).labels_tried is None
