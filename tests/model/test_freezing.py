"""Frozen is frozen: no weight, no running statistic, whatever the optimizer holds."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from core.config import ConfigError
from core.config.plans import FreezePlan, Role
from core.model.freezing import Freezing, trainable
from core.records.layers import ParameterInfo, frozen_parameters, matches


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


def state(net: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in net.state_dict().items()}


def moved(net: nn.Module, before: dict[str, torch.Tensor]) -> set[str]:
    return {name for name, tensor in net.state_dict().items() if not torch.equal(tensor, before[name])}


FROZEN = {"0.weight", "0.bias", "1.weight", "1.bias"}
AT_REST = FROZEN | {"1.running_mean", "1.running_var", "1.num_batches_tracked"}


def test_frozen_layer_never_moves_nor_do_its_running_statistics() -> None:
    freezing = Freezing(model(), FROZEN)
    before = state(freezing.model)
    train_a_few_steps(freezing, torch.optim.SGD(trainable(freezing.model), lr=0.1, momentum=0.9, weight_decay=0.1))
    assert moved(freezing.model, before) == set(before) - AT_REST


def test_trainable_layer_moves_and_its_running_statistics_too() -> None:
    freezing = Freezing(model(), {"0.weight", "0.bias"})
    before = state(freezing.model)
    train_a_few_steps(freezing, torch.optim.SGD(trainable(freezing.model), lr=0.1))
    assert moved(freezing.model, before) >= {"1.weight", "1.running_mean", "4.weight"}
    assert "0.weight" not in moved(freezing.model, before)


def test_gradient_left_over_from_before_is_dropped() -> None:
    net = model()
    net(torch.randn(4, 3, 8, 8)).sum().backward()
    freezing = Freezing(net, {"0.weight"})
    assert net[0].weight.grad is None
    # Even an optimizer that still holds the frozen weight, with momentum and weight decay, leaves it alone.
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)
    before = state(net)
    train_a_few_steps(freezing, optimizer)
    assert "0.weight" not in moved(net, before)


def test_freezing_in_train_mode_puts_the_norms_to_rest_at_once_and_thawing_wakes_them() -> None:
    freezing = Freezing(model(), {"0.weight"})
    freezing.train()
    assert freezing.model[1].training  # type: ignore[index]
    freezing.freeze(FROZEN)
    assert not freezing.model[1].training  # type: ignore[index]
    freezing.freeze({"0.weight"})
    assert freezing.model[1].training  # type: ignore[index]
    freezing.eval()
    freezing.freeze(FROZEN)
    assert not any(module.training for module in freezing.model.modules())


def test_tensor_that_two_modules_share_is_frozen_by_either_name() -> None:
    net = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    net[1].weight = net[0].weight
    assert Freezing(net, {"1.weight"}).frozen == {"0.weight"}
    assert not net[0].weight.requires_grad


def test_norm_without_parameters_rests_with_its_neighbours() -> None:
    norm = nn.BatchNorm2d(4, affine=False)
    net = nn.Sequential(nn.Sequential(nn.Conv2d(3, 4, 3), norm), nn.Flatten(), nn.Linear(4 * 36, 2))
    freezing = Freezing(net, {"0.0.weight", "0.0.bias"})
    freezing.train()
    assert not norm.training
    assert net[2].training


@pytest.mark.parametrize("frozen", [set(), {"1.weight"}, {"1.bias"}])
def test_norm_of_which_anything_learns_goes_on_measuring_its_batches(frozen: set[str]) -> None:
    freezing = Freezing(model(), FROZEN - {"1.weight", "1.bias"} | frozen)
    norm = freezing.model[1]  # type: ignore[index]
    assert isinstance(norm, nn.BatchNorm2d)
    before = state(freezing.model)
    freezing.train()
    assert norm.training
    assert freezing.norms_at_rest() == {}
    images = torch.randn(4, 3, 8, 8)
    freezing.model(images)
    with torch.no_grad():
        seen = freezing.model[0](images)  # type: ignore[index]
    assert norm.running_mean is not None
    # torch's default momentum: a tenth of what is new.
    assert torch.allclose(norm.running_mean, 0.9 * before["1.running_mean"] + 0.1 * seen.mean((0, 2, 3)), atol=1e-6)
    assert norm.num_batches_tracked == 1


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


@pytest.mark.parametrize("own", [False, True])
def test_modes_are_set_as_torch_sets_them(own: bool) -> None:
    class Own(nn.ReLU):
        def train(self, mode: bool = True) -> Own:
            return super().train(False)  # it always rests, and nobody may set it otherwise

    net, expected = model(), model()
    for each in (net, expected):
        each.add_module("last", Own() if own else nn.Dropout())
    freezing = Freezing(net, ())
    for mode in (True, False, True):
        freezing.train() if mode else freezing.eval()
        expected.train(mode)
        assert [module.training for module in net.modules()] == [module.training for module in expected.modules()]


def test_pattern_layer1_does_not_mean_layer10() -> None:
    assert matches("layer1", "layer1.0.conv1.weight")
    assert not matches("layer1", "layer10.0.conv1.weight")
