"""An optimizer without marks for the profiler moves weights as it does with them."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

from core.catalog import optimizers
from core.catalog.optimizers import OPTIMIZERS
from core.config import RunConfig
from core.model.unmarked import unmark


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_each_optimizer_gives_the_same_bits_without_its_marks(name: str) -> None:
    ends = []
    for bare in (True, False):
        torch.manual_seed(0)
        parameters = [nn.Parameter(torch.randn(5, 4)), nn.Parameter(torch.randn(5))]
        optimizer = optimizers.build(RunConfig(optimizer=name, learning_rate=0.01), parameters)
        if bare:
            unmark(optimizer)
        for _ in range(4):
            for parameter in parameters:
                parameter.grad = torch.randn(parameter.shape)
            optimizer.step()
            optimizer.zero_grad()
            assert all(parameter.grad is None for parameter in parameters)
        assert all(parameter.requires_grad and parameter.grad_fn is None for parameter in parameters)
        ends.append(torch.cat([parameter.detach().flatten() for parameter in parameters]))
    assert torch.equal(*ends)


def test_gradients_can_be_cleared_to_zero_too() -> None:
    parameter = nn.Parameter(torch.ones(3))
    optimizer = torch.optim.SGD([parameter], lr=0.1)
    unmark(optimizer)
    parameter.grad = torch.ones(3)
    optimizer.zero_grad(set_to_none=False)
    assert parameter.grad is not None
    assert parameter.grad.tolist() == [0, 0, 0]


def test_hooks_on_steps_are_called() -> None:
    parameter = nn.Parameter(torch.ones(3))
    optimizer = torch.optim.SGD([parameter], lr=0.1)
    unmark(optimizer)
    called: list[str] = []
    handles = [
        optimizer.register_step_post_hook(lambda *_: called.append("own")),
        register_optimizer_step_pre_hook(lambda *_: called.append("of all")),
    ]
    parameter.grad = torch.ones(3)
    optimizer.step()
    for handle in handles:
        handle.remove()
    optimizer.step()
    assert called == ["of all", "own"]
    assert parameter.tolist() == pytest.approx([0.8] * 3)
