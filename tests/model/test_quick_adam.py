"""Updates without torch's Python around them are torch's, to the bit, or are not used."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import Adam, AdamW, Optimizer

from core.model import quick_adam
from core.model.quick_adam import FIRST, QuickAdam
from core.model.unmarked import unmark

STEPS = 12


def parameters() -> list[nn.Parameter]:
    torch.manual_seed(0)
    return [nn.Parameter(torch.randn(10, 33)), nn.Parameter(torch.randn(10))]


def trained(optimizer: Optimizer, learning: list[nn.Parameter], steps: int = STEPS) -> None:
    """Some updates with gradients by chance, of very different lengths, at a rate that changes."""
    made = torch.Generator().manual_seed(0)
    for step in range(steps):
        for parameter in learning:
            parameter.grad = torch.randn(parameter.shape, generator=made) * 10.0 ** (step % 7 - 3)
        for group in optimizer.param_groups:
            group["lr"] *= 0.9
        optimizer.step()
        optimizer.zero_grad()


def all_of(optimizer: Optimizer, learning: list[nn.Parameter]) -> torch.Tensor:
    """Weights and all that the optimizer knows of them."""
    state = [value for parameter in learning for value in optimizer.state[parameter].values()]
    return torch.cat([tensor.detach().flatten() for tensor in (*learning, *state)])


@pytest.mark.parametrize("kind", [Adam, AdamW])
@pytest.mark.parametrize("options", [{}, {"weight_decay": 0.0}, {"weight_decay": 0.3, "betas": (0.5, 0.9), "eps": 1e-3}, {"foreach": True}], ids=str)
def test_weights_and_state_are_those_of_torch(kind: Any, options: dict[str, Any]) -> None:
    ends = []
    for bare in (True, False):
        learning = parameters()
        optimizer = kind([{"params": learning[:1]}, {"params": learning[1:], "lr": 0.1}], lr=0.01, **options)
        quick = unmark(optimizer) if bare else None
        trained(optimizer, learning)
        if quick is not None:
            assert not quick.given_up
            assert (quick.steps, FIRST <= quick.checked < STEPS / 2) == (STEPS - 1, True)  # the first one makes the state
        ends.append(all_of(optimizer, learning))
    assert torch.equal(*ends)


@pytest.mark.parametrize("options", [{"amsgrad": True}, {"maximize": True}, {"fused": True}], ids=str)
def test_what_is_computed_otherwise_is_left_to_torch(options: dict[str, Any]) -> None:
    learning = parameters()
    optimizer = AdamW(learning, **options)
    quick = unmark(optimizer)
    trained(optimizer, learning, 3)
    assert quick.steps == 0


def test_what_has_no_gradient_or_is_large_is_left_to_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    learning = parameters()
    optimizer = AdamW(learning)
    quick = unmark(optimizer)
    trained(optimizer, learning, 2)
    assert quick.steps == 1
    learning[0].grad = torch.ones_like(learning[0])
    before = learning[1].detach().clone()
    optimizer.step()
    assert torch.equal(before, learning[1])
    monkeypatch.setattr(quick_adam, "MOST", 339)
    quick = unmark(optimizer)
    trained(optimizer, learning, 2)
    assert quick.steps == 0


def test_bits_that_are_not_those_of_torch_are_noticed_and_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = parameters()
    by_torch = AdamW(expected)
    trained(by_torch, expected)
    before = QuickAdam._update

    def slightly_off(self: QuickAdam) -> None:
        before(self)
        weight = self.optimizer.param_groups[0]["params"][0]
        weight[0, 0] = torch.nextafter(weight[0, 0], weight[0, 0] + 1)

    monkeypatch.setattr(QuickAdam, "_update", slightly_off)
    learning = parameters()
    optimizer = AdamW(learning)
    quick = unmark(optimizer)
    trained(optimizer, learning)
    assert (quick.given_up, quick.steps) == (True, 1)
    assert torch.equal(all_of(optimizer, learning), all_of(by_torch, expected))


def test_what_learns_anew_is_proved_anew_and_loaded_state_is_used() -> None:
    learning = parameters()
    optimizer = AdamW(learning)
    quick = unmark(optimizer)
    trained(optimizer, learning, 2 + FIRST)
    checked = quick.checked
    other = AdamW(again := parameters())
    trained(other, again, 3)
    optimizer.load_state_dict(copy.deepcopy(other.state_dict()))  # torch would have both move the same tensors
    with torch.no_grad():
        for parameter, value in zip(learning, again, strict=True):
            parameter.copy_(value)
    for group in (*optimizer.param_groups, *other.param_groups):
        group["params"].reverse()
    trained(optimizer, learning, 1)
    trained(other, again, 1)
    assert quick.checked == checked + 1
    assert torch.equal(all_of(optimizer, learning), all_of(other, again))
