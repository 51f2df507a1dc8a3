"""What a model is said to be made of, checked against the model itself."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext

import pytest
import torch
from torch import Tensor, nn

from core.catalog import MODELS
from core.config import ConfigError
from core.config.plans import PRESETS, FreezePlan
from core.model import anatomy
from core.model.anatomy import describe, describe_module
from core.networks import models
from core.records.layers import backward_share, crossed_share, first_learning, frozen_parameters
from tests.catalog.test_catalog import samples, small_size
from tests.model.anatomy_cases import TIED, Tied, counted, exact_backward_flops, role

# Where the last stage begins, and the stem, as a person reads them off the source of each model.
STRUCTURE = {
    "small_cnn": (("stage1.0", "stage1.1"), "stage3.0.weight"),
    "mlp": (("layers.1",), "layers.3.weight"),
    "resnet18": (("conv1", "bn1"), "layer4.0.conv1.weight"),
    "resnet50": (("conv1", "bn1"), "layer4.0.conv1.weight"),
    "mobilenet_v2": (("features.0.0", "features.0.1"), "features.14.conv.0.0.weight"),
    "mobilenet_v3_small": (("features.0.0", "features.0.1"), "features.9.block.0.0.weight"),
    "efficientnet_b0": (("features.0.0", "features.0.1"), "features.6.0.block.0.0.weight"),
    "convnext_tiny": (("features.0.0", "features.0.1"), "features.6.1.weight"),
    "regnet_x_400mf": (("stem.0", "stem.1"), "trunk_output.block4.block4-0.proj.0.weight"),
    "densenet121": (("features.conv0", "features.norm0"), "features.denseblock4.denselayer1.norm1.weight"),
    "vgg16_bn": (("features.0", "features.1"), "features.34.weight"),
    "alexnet": (("features.0",), "features.6.weight"),
    "squeezenet1_1": (("features.0",), "features.9.squeeze.weight"),
    "shufflenet_v2_x0_5": (("conv1.0", "conv1.1"), "stage4.0.branch1.0.weight"),
    "mnasnet0_5": (("layers.0", "layers.1"), "layers.12.0.layers.0.weight"),
    "googlenet": (("conv1.conv", "conv1.bn"), "inception5a.branch1.conv.weight"),
    "inception_v3": (("Conv2d_1a_3x3.conv", "Conv2d_1a_3x3.bn"), "Mixed_7a.branch3x3_1.conv.weight"),
    "vit_b_16": (("", "conv_proj", "encoder"), "encoder.layers.encoder_layer_11.ln_1.weight"),
    "swin_t": (("features.0.0", "features.0.2"), "features.6.reduction.weight"),
    "swin_v2_t": (("features.0.0", "features.0.2"), "features.6.reduction.weight"),
    "maxvit_t": (("stem.0.0", "stem.0.1"), "blocks.3.layers.0.layers.MBconv.proj.1.weight"),
}


def check_description(name: str, image_size: int) -> None:
    description = describe(name, 5, image_size)
    entry = MODELS[name]
    assert sum(len(role(description, wanted)) for wanted in ("stem", "body", "last stage", "head")) == len(description.parameters)
    assert {parameter.module for parameter in description.parameters if parameter.role == "head"} == set(entry.family.head)
    assert len(role(description, "stem")) > 0
    assert len(role(description, "last stage")) > 0
    order = [
        parameter.name for parameter in description.parameters if parameter.role in ("body", "last stage") and "aux" not in parameter.name.lower()
    ]
    last = set(role(description, "last stage"))
    assert order[-1] in last, "the last stage ends where the head begins"
    assert [path for path in order if path in last] == order[len(order) - len(last) :], "the last stage is in one piece"
    assert all(parameter.module in description.kinds for parameter in description.parameters)
    for preset in PRESETS:
        assert len(frozen_parameters(FreezePlan(rules=(preset,)), description.parameters)) < len(description.parameters)
    for head in entry.family.head:
        if head in description.output_shapes:
            assert description.output_shapes[head][0] == 5


@pytest.mark.parametrize("name", sorted(set(samples())))
def test_a_model_of_each_family_is_described(name: str) -> None:
    check_description(name, small_size(name))


@pytest.mark.all_models
@pytest.mark.parametrize("name", [name for name in MODELS if name not in samples()])
def test_every_other_model_is_described(name: str) -> None:
    check_description(name, small_size(name))


@pytest.mark.parametrize("name", STRUCTURE)
def test_stem_and_last_stage_are_where_a_person_sees_them(name: str) -> None:
    stem, last_stage = STRUCTURE[name]
    description = describe(name, 10, max(MODELS[name].usual, 64))
    assert tuple(dict.fromkeys(parameter.module for parameter in description.parameters if parameter.role == "stem")) == stem
    assert role(description, "last stage")[0] == last_stage


@pytest.mark.parametrize("name", ["small_cnn", "resnet18", "mobilenet_v2", "densenet121", "swin_t", "vit_b_16"])
def test_roles_do_not_depend_on_the_image_size(name: str) -> None:
    roles = [[parameter.role for parameter in describe(name, 10, size).parameters] for size in (32, 64, 224, 256)]
    assert roles.count(roles[0]) == len(roles)


@pytest.mark.parametrize(
    ("name", "size"), [("small_cnn", 20), ("mlp", 20), ("resnet18", 48), ("vit_b_32", 64), ("googlenet", 32), ("regnet_y_400mf", 32)]
)
def test_a_description_is_true_of_the_real_model(name: str, size: int) -> None:
    model = models.build(name, 7, size)
    description = describe(name, 7, size)
    assert [parameter.name for parameter in description.parameters] == [path for path, _ in model.named_parameters()]
    assert description.count == sum(parameter.numel() for parameter in model.parameters())
    seen: dict[str, tuple[int, ...]] = {}

    def note(path: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: object, output: Tensor) -> None:
            seen.setdefault(path, tuple(output.shape[1:]))

        return hook

    for path, module in model.named_modules():
        if not any(True for _ in module.children()):
            module.register_forward_hook(note(path))
    with torch.no_grad():
        model.train()(torch.randn(2, 3, size, size))
    assert {path: shape for path, shape in description.output_shapes.items() if path in seen} == seen
    for parameter in description.parameters:
        module = model.get_submodule(parameter.module)
        assert parameter.kind == type(module).__name__ == description.kinds[parameter.module]
        assert parameter.is_norm == isinstance(module, nn.BatchNorm2d | nn.LayerNorm)


def test_every_module_that_holds_parameters_has_a_kind() -> None:
    kinds = describe("resnet18", 10, 64).kinds
    assert kinds["layer1"] == "Sequential"
    assert kinds["layer1.0"] == "BasicBlock"
    assert kinds["layer1.0.bn1"] == "BatchNorm2d"
    assert "relu" not in kinds


def test_describing_uses_no_random_numbers() -> None:
    for name in ("resnet18", "swin_t", "vit_b_32", "small_cnn"):
        describe.cache_clear()
        torch.manual_seed(3)
        before = torch.get_rng_state()
        describe(name, 10, 64)
        assert torch.equal(before, torch.get_rng_state()), name


def test_a_large_model_is_described_without_its_numbers() -> None:
    describe.cache_clear()
    began = time.monotonic()
    assert describe("vit_h_14", 10, 224).count > 600_000_000  # 2.5 GB, if there were numbers
    assert time.monotonic() - began < 10


def test_names_are_found_as_everywhere() -> None:
    assert describe("ResNet-18", 10, 64).model == "resnet18"
    with pytest.raises(ConfigError, match="resnet18"):
        describe("resnet19", 10, 64)


@pytest.mark.parametrize(
    ("name", "size", "remedy"),
    [
        ("inception_v3", 64, "299"),
        ("alexnet", 62, "63"),
        ("vit_b_16", 65, "64"),
        ("vit_h_14", 64, "70"),
        ("maxvit_t", 64, "224"),
        ("vgg11", 31, "32"),
    ],
)
def test_an_image_size_that_the_model_cannot_take_is_refused_with_one_that_it_can(name: str, size: int, remedy: str) -> None:
    for ask in (describe, models.build):
        with pytest.raises(ConfigError) as refused:
            ask(name, 10, size)
        assert refused.value.field == "image_size"
        for word in (name, str(size), remedy):
            assert word in refused.value.message


# The catalogue names smallest sizes without torch; here is where they come from.
@pytest.mark.parametrize("name", ["alexnet", "vgg11", "densenet121", "convnext_tiny", "squeezenet1_0", "squeezenet1_1", "googlenet", "inception_v3"])
def test_the_smallest_image_size_is_the_smallest_that_training_takes(name: str) -> None:
    smallest = MODELS[name].smallest
    with torch.device("meta"):
        model = models.build(name, 3, smallest).train()

    def train(size: int) -> None:
        model(torch.empty(2, 3, size, size, device="meta"))

    train(smallest)
    with pytest.raises(RuntimeError, match="(?i)too small|kernel size"):
        train(smallest - 1)


def test_asking_again_costs_nothing() -> None:
    assert describe("resnet18", 10, 64) is describe("resnet18", 10, 64)


def test_norms_are_recognised() -> None:
    norms = (nn.BatchNorm1d(2), nn.BatchNorm2d(2), nn.SyncBatchNorm(2), nn.InstanceNorm2d(2), nn.LayerNorm(2), nn.GroupNorm(1, 2), nn.RMSNorm(2))
    assert all(anatomy.is_norm(norm) for norm in norms)
    assert not any(anatomy.is_norm(module) for module in (nn.Conv2d(1, 1, 1), nn.Linear(1, 1), nn.Sequential(nn.LayerNorm(2))))


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "swin_t", "swin_v2_t", "maxvit_t", "vit_b_32", "googlenet", "densenet121"])
def test_flops_are_those_that_torch_counts_and_each_has_a_place(name: str) -> None:
    size = max(small_size(name), 64)
    description = describe(name, 7, size)
    with anatomy.without_numbers():
        model = models.build(name, 7, size).to("meta").eval()
    model.training = bool(MODELS[name].family.auxiliary)
    with torch.no_grad():
        total = counted(model, lambda: model(torch.empty(2, 3, size, size, device="meta")))
    assert sum(description.flops.values()) == pytest.approx(total / 2, rel=1e-3)
    assert set(description.flops) <= set(description.order)
    assert all(operations > 0 for operations in description.flops.values())


def test_flops_are_per_image_and_of_the_actual_image_size() -> None:
    flops = describe("resnet18", 7, 64).flops
    assert flops["conv1"] == 2 * (3 * 7 * 7) * 64 * 32 * 32  # a multiplication and an addition a weight, at 32 x 32 places
    assert flops["fc"] == 2 * 512 * 7
    assert "bn1" not in flops
    assert describe("resnet18", 7, 128).flops["layer1.0.conv1"] == 4 * flops["layer1.0.conv1"]


def test_what_computes_by_itself_around_other_layers_has_its_own_flops() -> None:
    description = describe("swin_t", 7, 64)
    attention = "features.1.0.attn"  # it reads the weights of attn.qkv and attn.proj, and calls neither
    assert description.flops[attention] > 0
    assert attention in description.order
    assert f"{attention}.qkv" not in description.order


def test_the_order_is_that_of_the_forward_pass() -> None:
    order = describe("resnet18", 7, 64).order
    assert order[:6] == ("conv1", "bn1", "relu", "maxpool", "layer1.0.conv1", "layer1.0.bn1")
    assert order[-2:] == ("avgpool", "fc")
    assert len(set(order)) == len(order)


def test_what_only_training_uses_comes_last() -> None:
    order = describe("googlenet", 7, 64).order
    auxiliary = [path for path in order if path.startswith("aux")]
    assert "aux2.fc2" in auxiliary
    assert order[-len(auxiliary) - 1] == "fc"


# No depthwise convolutions among them: torch's counter takes those for full ones in the backward pass.
@pytest.mark.parametrize("name", ["small_cnn", "resnet18", "densenet121", "vgg11", "vit_b_32", "swin_t", "googlenet", "squeezenet1_1"])
def test_the_backward_share_is_near_to_what_torch_counts(name: str) -> None:
    size = max(small_size(name), 64)
    description = describe(name, 7, size)
    device = "cpu" if name in ("densenet121", "googlenet") else "meta"  # their many small layers are computed sooner than their shapes worked out
    with nullcontext() if device == "cpu" else anatomy.without_numbers():
        model = models.build(name, 7, size).to(device)
    full = exact_backward_flops(model, frozenset(), size, device)
    first = description.parameters[0 if name != "vit_b_32" else 1].module
    plans = [*PRESETS, f"*, !{first}"]
    for plan in plans:
        frozen = frozen_parameters(FreezePlan.model_validate(plan), description.parameters)
        share = backward_share(description, frozen)
        assert share == pytest.approx(exact_backward_flops(model, frozen, size, device) / full, abs=0.03), plan
    assert backward_share(description, ()) == 1.0


def test_training_only_the_first_layer_crosses_the_whole_network() -> None:
    description = describe("resnet18", 7, 64)
    names = {parameter.name for parameter in description.parameters}
    assert first_learning(description, names - {"conv1.weight"}) == "conv1"
    assert crossed_share(description, names - {"conv1.weight"}) == 1.0
    assert first_learning(description, names - {"fc.weight", "fc.bias"}) == "fc"
    assert crossed_share(description, names - {"fc.weight", "fc.bias"}) < 0.001
    middle = {name for name in names if not name.startswith(("layer4", "fc"))}
    assert first_learning(description, middle) == "layer4.0.conv1"
    assert 0.1 < crossed_share(description, middle) < 0.4
    assert first_learning(description, names) == ""
    assert crossed_share(description, names) == 0.0
    assert backward_share(description, names) == 0.0


def test_what_is_added_before_the_first_layer_counts_as_there() -> None:
    description = describe("vit_b_32", 7, 64)
    names = {parameter.name for parameter in description.parameters}
    assert first_learning(description, names - {"encoder.pos_embedding"}) == "encoder.dropout"
    assert first_learning(description, names - {"encoder.layers.encoder_layer_3.self_attention.out_proj.weight"}) == (
        "encoder.layers.encoder_layer_3.self_attention"
    )


def test_a_shared_tensor_is_one_with_several_names() -> None:
    description = describe_module(Tied(), TIED, 8, 32)
    names = {parameter.name: parameter.aliases for parameter in description.parameters}
    assert names == {
        "first.weight": (), "first.bias": (), "norm.weight": (), "norm.bias": (), "encode.weight": ("again.weight",), "encode.bias": (),
        "again.bias": (), "mix.weight": ("head.weight",), "head.bias": (),
    }  # fmt: skip
    assert description.count == sum(parameter.numel() for parameter in Tied().parameters())
    assert [name for name, _ in Tied().named_parameters()] == list(names)
