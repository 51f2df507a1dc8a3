"""What the Build screen says of layers, and the form of heads: tried on the layers themselves."""

from __future__ import annotations

import math

import pytest
import torch
import torchvision
from torch import Tensor, nn

from core.catalog.losses import class_weights
from core.config import RunConfig
from core.networks.models import build
from core.networks.network_layers import LAYERS
from core.networks.own_models import Residual
from core.networks.templates import TEMPLATES
from core.records.layers import HeadOptions


def images(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


def biased(norm: nn.Module, channels: int = 8) -> bool:
    """Whether a number a channel, added before `norm`, is seen behind it."""
    x = images(4, channels, 6, 6)
    bias = images(channels).view(1, -1, 1, 1)
    return not torch.allclose(norm(x), norm(x + bias), atol=1e-4)


def test_a_bias_is_taken_off_again_by_batch_and_instance_norm_and_by_no_other() -> None:
    option = LAYERS["conv"].option("bias")
    assert option is not None
    assert option.about == "add a number to each output; a batch or instance norm right behind would take it off again"
    assert not biased(nn.BatchNorm2d(8))
    assert not biased(nn.InstanceNorm2d(8))
    assert biased(nn.GroupNorm(2, 8))
    assert biased(nn.GroupNorm(1, 8)), "layer norm over all of one image"


def test_norms_bring_numbers_to_mean_0_and_spread_1_over_what_is_said() -> None:
    x = 5 + 3 * images(8, 4, 6, 6)
    batch = nn.BatchNorm2d(4)
    for norm, over in ((batch, (0, 2, 3)), (nn.GroupNorm(1, 4), (1, 2, 3)), (nn.InstanceNorm2d(4), (2, 3))):
        out = norm(x)
        assert torch.allclose(out.mean(dim=over), torch.zeros(()), atol=1e-4)
        assert torch.allclose(out.var(dim=over, unbiased=False), torch.ones(()), atol=1e-3)
    batch.eval()
    by_hand = (x - batch.running_mean.view(1, -1, 1, 1)) / (batch.running_var.view(1, -1, 1, 1) + batch.eps).sqrt()  # type: ignore[union-attr]
    assert torch.allclose(batch(x), by_hand, atol=1e-4), "in eval mode by what it has kept"
    assert abs(float(batch(x).detach().mean())) > 0.5, "which is not mean 0 for this batch"


def test_without_an_activation_layers_in_a_row_are_one_linear_function() -> None:
    row = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 4, 3, stride=2), nn.Flatten(), nn.Linear(4 * 4 * 4, 5)).double()
    one, other = images(1, 3, 10, 10).double(), images(2, 3, 10, 10)[1:].double()
    zero = row(torch.zeros_like(one))
    assert torch.allclose(row(2 * one - 3 * other) - zero, 2 * (row(one) - zero) - 3 * (row(other) - zero))
    bent = nn.Sequential(row[0], nn.ReLU(), *row[1:])
    zero = bent(torch.zeros_like(one))
    assert not torch.allclose(bent(2 * one - 3 * other) - zero, 2 * (bent(one) - zero) - 3 * (bent(other) - zero))


def test_dropout_drops_with_a_chance_and_scales_up_the_rest() -> None:
    torch.manual_seed(0)
    out = nn.Dropout(0.25)(torch.ones(100_000))
    assert float((out == 0).float().mean()) == pytest.approx(0.25, abs=0.01)
    assert sorted(out.unique().tolist()) == pytest.approx([0.0, 1 / 0.75])
    assert bool((nn.Dropout(0.25).eval()(torch.ones(10)) == 1).all())


def test_a_global_pool_makes_maps_of_any_size_alike() -> None:
    assert {nn.AdaptiveAvgPool2d(1)(images(1, 4, side, side)).shape for side in (3, 7, 20)} == {(1, 4, 1, 1)}


def test_the_residual_block_is_that_of_resnet_18_and_not_that_of_50() -> None:
    ours = Residual(64, 64)
    block, larger = (torchvision.models.get_model(name).layer1[0] for name in ("resnet18", "resnet50"))
    convolutions = [[module.kernel_size for module in each.modules() if isinstance(module, nn.Conv2d)] for each in (ours, block, larger)]
    assert convolutions[0] == convolutions[1] == [(3, 3), (3, 3)]
    assert convolutions[2][:3] == [(1, 1), (3, 3), (1, 1)]
    ours.load_state_dict({name.replace("bn", "norm"): value for name, value in block.state_dict().items()})
    x = images(2, 64, 8, 8)
    assert torch.allclose(ours.eval()(x), block.eval()(x), atol=1e-5)
    option = LAYERS["residual"].option("activation")
    assert option is not None
    assert option.about == "after the first norm, and once the shortcut is added"


def test_templates_are_what_they_are_said_to_be() -> None:
    assert TEMPLATES["my-mlp"].layers.startswith("average pool, flatten, linear")
    assert "averaged two by two" in TEMPLATES["my-mlp"].about
    assert LAYERS["pool"].option("size").default == 2  # type: ignore[union-attr]
    blocks = [layer for layer in TEMPLATES["my-resnet"].layers.split(", ") if layer.startswith("residual")]
    assert ["stride=2" in block for block in blocks] == [False, True, False, True, False]
    assert TEMPLATES["my-cnn"].layers.count("conv") == 3
    assert TEMPLATES["my-vgg"].layers.count("linear 256") == 2


@pytest.mark.parametrize("hidden", [None, 24])
def test_head_dropout_drops_what_goes_into_the_last_layer(hidden: int | None) -> None:
    assert "into the last layer" in str(RunConfig.model_fields["head_dropout"].description)
    head = list(build("small_cnn", 10, 16, HeadOptions(0.2, hidden)).get_submodule("head").children())
    assert isinstance(head[-1], nn.Linear)
    assert isinstance(head[-2], nn.Dropout)
    assert sum(isinstance(layer, nn.Dropout) for layer in head) == 1


def test_the_digits_of_number_formats_are_as_said() -> None:
    digits = {dtype: -math.log10(torch.finfo(dtype).eps / 2) for dtype in (torch.bfloat16, torch.float16)}
    assert 2 < digits[torch.bfloat16] < 3
    assert 3 < digits[torch.float16] < 4


def test_balanced_weights_are_one_on_average() -> None:
    counts = [30, 6, 4]
    weights = class_weights(RunConfig(class_weights="balanced"), counts)
    by_hand = [sum(counts) / (len(counts) * count) for count in counts]
    assert weights == pytest.approx(by_hand)
    assert sum(weight * count for weight, count in zip(weights, counts, strict=True)) / sum(counts) == pytest.approx(1)
