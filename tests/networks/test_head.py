"""The new head: a single layer, or a container with dropout and a hidden layer, and what the rest of Thaw makes of that."""

from __future__ import annotations

import pytest
import torch
import torchvision
from torch import nn

from core.catalog import MODELS
from core.config import ConfigError, RunConfig
from core.config.plans import PRESETS, FreezePlan, Multipliers
from core.model import anatomy
from core.networks import models
from core.networks.head import replace_head
from core.records.layers import PLAIN_HEAD, HeadOptions, blocks, frozen_parameters, head_options, multipliers_by_parameter
from tests.catalog.test_catalog import samples, small_size

BOTH = HeadOptions(dropout=0.3, hidden=24)


def on_meta(name: str, classes: int, size: int, head: HeadOptions) -> nn.Module:
    with anatomy.without_numbers():
        return models.build(name, classes, size, head).to("meta")


def head_of(model: nn.Module, name: str) -> nn.Module:
    return model.get_submodule(MODELS[name].family.head[0])


def test_a_config_says_how_the_head_is_built() -> None:
    assert head_options(RunConfig()) == PLAIN_HEAD
    assert head_options(RunConfig(head_dropout=0.3, head_hidden=24)) == BOTH


@pytest.mark.parametrize("name", ["resnet18", "googlenet"])
def test_without_options_a_model_is_torchvisions_bit_for_bit(name: str) -> None:
    torch.manual_seed(5)
    ours = models.build(name, 7, 64)
    drawn = torch.rand(1)
    torch.manual_seed(5)
    theirs = torchvision.models.get_model(name, num_classes=7, **({"init_weights": True} if name == "googlenet" else {}))
    assert torch.equal(drawn, torch.rand(1)), "as many random numbers were drawn"
    state = theirs.state_dict()
    assert list(state) == list(ours.state_dict())
    assert all(torch.equal(tensor, state[key]) for key, tensor in ours.state_dict().items())


@pytest.mark.parametrize(
    ("options", "layers"),
    [
        (PLAIN_HEAD, ["Linear(in_features=512, out_features=7, bias=True)"]),
        (HeadOptions(dropout=0.3), ["Dropout(p=0.3, inplace=False)", "Linear(in_features=512, out_features=7, bias=True)"]),
        (
            HeadOptions(hidden=24),
            ["Linear(in_features=512, out_features=24, bias=True)", "ReLU()", "Linear(in_features=24, out_features=7, bias=True)"],
        ),
        (
            BOTH,
            [
                "Linear(in_features=512, out_features=24, bias=True)",
                "ReLU()",
                "Dropout(p=0.3, inplace=False)",
                "Linear(in_features=24, out_features=7, bias=True)",
            ],
        ),
    ],
)
def test_the_head_has_the_layers_that_were_asked_for(options: HeadOptions, layers: list[str]) -> None:
    head = head_of(on_meta("resnet18", 7, 64, options), "resnet18")
    assert [repr(layer) for layer in (head if isinstance(head, nn.Sequential) else [head])] == layers


def test_a_head_that_is_a_convolution_becomes_convolutions() -> None:
    model = models.build("squeezenet1_1", 7, 64, BOTH).eval()
    head = head_of(model, "squeezenet1_1")
    assert isinstance(head, nn.Sequential)
    assert [type(layer).__name__ for layer in head] == ["Conv2d", "ReLU", "Dropout", "Conv2d"]
    with torch.no_grad():
        assert model(torch.rand(2, 3, 64, 64)).shape == (2, 7)


def test_the_other_layers_have_the_same_weights_with_any_head() -> None:
    torch.manual_seed(5)
    plain = models.build("small_cnn", 7, 32).state_dict()
    torch.manual_seed(5)
    other = models.build("small_cnn", 7, 32, BOTH).state_dict()
    assert all(torch.equal(tensor, other[key]) for key, tensor in plain.items() if not key.startswith("head."))


@pytest.mark.parametrize("name", sorted(set(samples())))
def test_every_family_takes_a_new_head(name: str) -> None:
    size = small_size(name)
    model = on_meta(name, 7, size, BOTH)
    logits, _ = models.logits_and_auxiliary(model.train()(torch.empty(2, 3, size, size, device="meta")))
    assert logits.shape == (2, 7)
    description = anatomy.describe(name, 7, size, BOTH)
    assert [(parameter.name, parameter.shape) for parameter in description.parameters] == [
        (path, tuple(parameter.shape)) for path, parameter in model.named_parameters()
    ]
    path, *auxiliary = MODELS[name].family.head
    learn = {parameter.name for parameter in description.parameters} - frozen_parameters(FreezePlan(rules=("head only",)), description.parameters)
    expected = {f"{path}.{layer}.{what}" for layer in (0, 3) for what in ("weight", "bias")}
    assert learn == expected | {f"{other}.{what}" for other in auxiliary for what in ("weight", "bias")}


def test_heads_of_auxiliary_classifiers_stay_as_they_are() -> None:
    model = on_meta("googlenet", 7, 64, BOTH)
    assert isinstance(model.get_submodule("fc"), nn.Sequential)
    assert isinstance(model.get_submodule("aux1.fc2"), nn.Linear)
    assert [(head.path, head.options) for head in anatomy.describe("googlenet", 7, 64, BOTH).head] == [
        ("fc", True),
        ("aux1.fc2", False),
        ("aux2.fc2", False),
    ]


@pytest.mark.parametrize("options", [HeadOptions(dropout=0.5), HeadOptions(hidden=8)])
def test_a_head_in_whose_place_no_other_can_be_put_is_refused_by_field(options: HeadOptions) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Sequential(nn.Flatten(), nn.Linear(4, 2)))
    with pytest.raises(ConfigError, match="is a Sequential") as refused:
        replace_head(model, "1", options)
    assert refused.value.field == ("head_hidden" if options.hidden else "head_dropout")


@pytest.mark.parametrize(
    ("name", "path", "old", "width"),
    [
        ("resnet18", "fc", "Linear(in_features=512, out_features=1000, bias=True)", 512),
        ("maxvit_t", "classifier.5", "Linear(in_features=512, out_features=1000, bias=False)", 512),
        ("squeezenet1_1", "classifier.1", "Conv2d(512, 1000, kernel_size=(1, 1), stride=(1, 1))", 512),
        ("vit_b_32", "heads.head", "Linear(in_features=768, out_features=1000, bias=True)", 768),
        ("small_cnn", "head", "", 128),
    ],
)
def test_it_is_told_what_the_head_replaces(name: str, path: str, old: str, width: int) -> None:
    size = small_size(name)
    (info,) = anatomy.describe(name, 7, size, BOTH).head
    assert (info.path, info.old, info.in_features, info.options) == (path, old, width, True)
    assert info.new == repr(head_of(on_meta(name, 7, size, BOTH), name))
    (plain,) = anatomy.describe(name, 7, size).head
    assert plain.old == old
    assert plain.new == repr(head_of(on_meta(name, 7, size, PLAIN_HEAD), name))
    if old:  # what torchvision itself has there
        with torch.device("meta"):
            original = torchvision.models.get_model(name)
        assert repr(head_of(original, name)) == old


# A head that is a container, in plans and patterns


def test_roles_and_blocks_hold_with_a_head_that_is_a_container() -> None:
    plain, container = (anatomy.describe("resnet18", 7, 64, head).parameters for head in (PLAIN_HEAD, BOTH))
    rest = [(parameter.name, parameter.role) for parameter in plain if parameter.role != "head"]
    assert [(parameter.name, parameter.role) for parameter in container if parameter.role != "head"] == rest
    assert [parameter.name for parameter in container if parameter.role == "head"] == ["fc.0.weight", "fc.0.bias", "fc.3.weight", "fc.3.bias"]
    assert list(blocks(parameter.name for parameter in container))[-1] == "fc"


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_lets_the_whole_container_learn(preset: str) -> None:
    for name in ("resnet18", "vit_b_32", "squeezenet1_1"):
        parameters = anatomy.describe(name, 7, 64, BOTH).parameters
        frozen = frozen_parameters(FreezePlan(rules=(preset,)), parameters)
        heads = [parameter.name for parameter in parameters if parameter.role == "head"]
        assert len(heads) == 4
        assert not frozen & set(heads)


@pytest.mark.parametrize(
    ("plan", "frozen_heads"),
    [
        ("fc", ["fc.0.weight", "fc.0.bias", "fc.3.weight", "fc.3.bias"]),
        ("fc.0", ["fc.0.weight", "fc.0.bias"]),
        ("fc.*.bias", ["fc.0.bias", "fc.3.bias"]),
        ("fc, !fc.3", ["fc.0.weight", "fc.0.bias"]),
        ("head only, fc.0", ["fc.0.weight", "fc.0.bias"]),
    ],
)
def test_patterns_reach_into_the_container(plan: str, frozen_heads: list[str]) -> None:
    parameters = anatomy.describe("resnet18", 7, 64, BOTH).parameters
    frozen = frozen_parameters(FreezePlan.model_validate(plan), parameters)
    assert [parameter.name for parameter in parameters if parameter.role == "head" and parameter.name in frozen] == frozen_heads


def test_a_pattern_for_the_single_layer_matches_nothing_in_a_container() -> None:
    parameters = anatomy.describe("resnet18", 7, 64, BOTH).parameters
    with pytest.raises(ConfigError, match=r"'fc\.weight' matches no layer"):
        frozen_parameters(FreezePlan.model_validate("fc.weight"), parameters)


def test_a_multiplier_of_the_head_is_one_of_all_its_layers() -> None:
    parameters = anatomy.describe("resnet18", 7, 64, BOTH).parameters
    factors = multipliers_by_parameter(Multipliers.model_validate("head=10, fc.3=2"), parameters)
    assert {name: factor for name, factor in factors.items() if factor != 1} == {
        "fc.0.weight": 10,
        "fc.0.bias": 10,
        "fc.3.weight": 2,
        "fc.3.bias": 2,
    }
