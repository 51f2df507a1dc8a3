"""Frozen is frozen: no weight, no running statistic, whatever the optimizer holds."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from core.config import ConfigError, FreezePlan
from core.freezing import Freezing, trainable
from core.layers import ParameterInfo, Role, frozen_parameters, matches


def model() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 2))


def train_a_few_steps(freezing: Freezing, optimizer: torch.optim.Optimizer, steps: int = 3) -> None:
    for _ in range(steps):
        freezing.train()
        freezing.model(torch.randn(4, 3, 8, 8)).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
        freezing.eval()
        freezing.model(torch.randn(4, 3, 8, 8))


def test_frozen_layer_never_moves_nor_do_its_running_statistics() -> None:
    freezing = Freezing(model(), {"0.weight", "0.bias", "1.weight", "1.bias"})
    before = freezing.snapshot()
    assert {"0.weight", "1.running_mean", "1.running_var", "1.num_batches_tracked"} <= set(before)
    train_a_few_steps(freezing, torch.optim.SGD(trainable(freezing.model), lr=0.1, momentum=0.9, weight_decay=0.1))
    assert freezing.moved(before) == []


def test_trainable_layer_moves_and_its_running_statistics_too() -> None:
    freezing = Freezing(model(), {"0.weight", "0.bias"})
    everything = {name: tensor.clone() for name, tensor in freezing.model.state_dict().items()}
    train_a_few_steps(freezing, torch.optim.SGD(trainable(freezing.model), lr=0.1))
    assert set(freezing.moved(everything)) >= {"1.weight", "1.running_mean", "4.weight"}
    assert "0.weight" not in freezing.moved(everything)


def test_gradient_left_over_from_before_is_dropped() -> None:
    net = model()
    net(torch.randn(4, 3, 8, 8)).sum().backward()
    freezing = Freezing(net, {"0.weight"})
    assert net[0].weight.grad is None
    # Even an optimizer that still holds the frozen weight, with momentum and weight decay, leaves it alone.
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)
    before = freezing.snapshot()
    train_a_few_steps(freezing, optimizer)
    assert freezing.moved(before) == []


def test_plain_train_call_is_what_the_audit_catches() -> None:
    freezing = Freezing(model(), {"1.weight", "1.bias"})
    before = freezing.snapshot()
    freezing.model.train()
    freezing.model(torch.randn(4, 3, 8, 8))
    assert "1.running_mean" in freezing.moved(before)


def test_norm_without_parameters_rests_with_its_neighbours() -> None:
    norm = nn.BatchNorm2d(4, affine=False)
    net = nn.Sequential(nn.Sequential(nn.Conv2d(3, 4, 3), norm), nn.Flatten(), nn.Linear(4 * 36, 2))
    freezing = Freezing(net, {"0.0.weight", "0.0.bias"})
    freezing.train()
    assert not norm.training
    assert net[2].training


def test_unknown_name_is_refused() -> None:
    with pytest.raises(KeyError, match=r"9\.weight"):
        Freezing(model(), {"9.weight"})


ROLES: dict[str, tuple[Role, bool]] = {
    "conv1.weight": ("stem", False),
    "bn1.weight": ("stem", True),
    "layer1.0.conv1.weight": ("body", False),
    "layer1.0.bn1.weight": ("body", True),
    "layer10.0.conv1.weight": ("last stage", False),
    "fc.weight": ("head", False),
    "fc.bias": ("head", False),
}
PARAMETERS = tuple(ParameterInfo(name, (1,), 1, name.rpartition(".")[0], "", role, norm) for name, (role, norm) in ROLES.items())


@pytest.mark.parametrize(
    ("plan", "learns"),
    [
        ("train everything", set(ROLES)),
        ("head only", {"fc.weight", "fc.bias"}),
        ("last stage", {"layer10.0.conv1.weight", "fc.weight", "fc.bias"}),
        ("all but stem", set(ROLES) - {"conv1.weight", "bn1.weight"}),
        ("norms only", {"bn1.weight", "layer1.0.bn1.weight", "fc.weight", "fc.bias"}),
        ("layer1.*", set(ROLES) - {"layer1.0.conv1.weight", "layer1.0.bn1.weight"}),
        ("layer1", set(ROLES) - {"layer1.0.conv1.weight", "layer1.0.bn1.weight"}),
        ("head only, !layer1, layer1.0.bn1", {"layer1.0.conv1.weight", "fc.weight", "fc.bias"}),
        ("*.weight", {"fc.bias"}),
    ],
)
def test_plan_freezes_what_it_says(plan: str, learns: set[str]) -> None:
    frozen = frozen_parameters(FreezePlan.model_validate(plan), PARAMETERS)
    assert set(ROLES) - frozen == learns


def test_pattern_that_matches_nothing_is_an_error_that_lists_the_layers() -> None:
    with pytest.raises(ConfigError, match=r"freeze.*layer9\.\*.*layer1") as caught:
        frozen_parameters(FreezePlan.model_validate("layer9.*"), PARAMETERS)
    assert caught.value.field == "freeze"


def test_plan_that_leaves_nothing_to_train_is_an_error() -> None:
    with pytest.raises(ConfigError, match="freezes every layer"):
        frozen_parameters(FreezePlan.model_validate("*"), PARAMETERS)


def test_pattern_layer1_does_not_mean_layer10() -> None:
    assert matches("layer1", "layer1.0.conv1.weight")
    assert not matches("layer1", "layer10.0.conv1.weight")
