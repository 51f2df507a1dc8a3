"""Tensors that two names share, in plans and presets."""

from __future__ import annotations

import pytest

from core.config.plans import PRESETS, FreezePlan, Multipliers
from core.model.anatomy import describe, describe_module
from core.model.freezing import Freezing
from core.records.layers import backward_share, first_learning, frozen_parameters, multipliers_by_parameter
from tests.model.anatomy_cases import TIED, Tied, exact_backward_flops, role


@pytest.mark.parametrize("pattern", ["encode.weight", "again.weight", "again"])
def test_a_rule_about_either_name_is_about_the_shared_tensor(pattern: str) -> None:
    parameters = describe_module(Tied(), TIED, 8, 32).parameters
    frozen = frozen_parameters(FreezePlan.model_validate(pattern), parameters)
    assert "encode.weight" in frozen
    model = Tied()
    Freezing(model, frozen)
    assert not model.encode.weight.requires_grad
    assert not model.again.weight.requires_grad
    assert model.encode.bias is not None
    assert model.encode.bias.requires_grad
    assert frozen_parameters(FreezePlan.model_validate("again.*, !encode.weight"), parameters) == {"again.bias"}
    assert multipliers_by_parameter(Multipliers.model_validate(f"{pattern}=0.5"), parameters)["encode.weight"] == 0.5


def test_a_tensor_that_the_head_shares_learns_with_the_head() -> None:
    description = describe_module(Tied(), TIED, 8, 32)
    assert role(description, "head") == ["mix.weight", "head.bias"]
    frozen = frozen_parameters(FreezePlan(rules=("head only",)), description.parameters)
    assert "mix.weight" not in frozen
    assert first_learning(description, frozen) == "mix"


@pytest.mark.parametrize("learning", ["encode.weight", "encode.bias", "mix.weight", "head.bias"])
def test_a_shared_tensor_has_a_gradient_to_compute_wherever_it_is_used(learning: str) -> None:
    description = describe_module(Tied(), TIED, 8, 16)
    frozen = frozenset(parameter.name for parameter in description.parameters) - {learning}
    exact = exact_backward_flops(Tied(), frozen, 16, "cpu") / exact_backward_flops(Tied(), frozenset(), 16, "cpu")
    assert backward_share(description, frozen) == pytest.approx(exact, abs=1e-6)


def test_every_preset_works_with_shared_tensors() -> None:
    parameters = describe_module(Tied(), TIED, 8, 32).parameters
    for preset in PRESETS:
        Freezing(Tied(), frozen_parameters(FreezePlan(rules=(preset,)), parameters))


# Networks of one's own


@pytest.mark.parametrize(
    ("layers", "stem", "last_stage"),
    [
        ("flatten", (), ()),
        ("conv 8", ("conv1",), ()),
        ("conv 8, relu, conv 8", ("conv1",), ("conv2",)),
        ("flatten, linear 64, relu, linear 32", ("linear1",), ("linear2",)),
        ("conv 8, norm, relu, pool, conv 16, pool, conv 32", ("conv1", "norm1"), ("conv3",)),
        (
            "residual 16, residual 32 stride=2",
            ("residual1.conv1", "residual1.norm1"),
            ("residual2.conv1", "residual2.norm1", "residual2.conv2", "residual2.norm2", "residual2.shortcut.0", "residual2.shortcut.1"),
        ),
    ],
)
def test_networks_of_ones_own_have_roles_too(layers: str, stem: tuple[str, ...], last_stage: tuple[str, ...]) -> None:
    description = describe(f"mine: {layers}", 7, 32)
    modules = {
        wanted: tuple(dict.fromkeys(p.module for p in description.parameters if p.role == wanted)) for wanted in ("stem", "last stage", "head")
    }
    assert modules == {"stem": stem, "last stage": last_stage, "head": ("head",)}
    assert description.head[0].old == ""
    for preset in PRESETS:
        frozen_parameters(FreezePlan(rules=(preset,)), description.parameters)
