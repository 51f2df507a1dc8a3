"""Weight gradients of convolutions on small maps as one matrix product: those of autograd but for the order of sums, and only where it pays."""

from __future__ import annotations

import copy
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from core.training import im2col


def gradients(model: nn.Module, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """What the model gives, and the gradients of its weights and of the images for a loss that weighs each number differently."""
    images = images.clone().requires_grad_()
    model.zero_grad()
    output = model(images)
    (output * torch.linspace(-1, 1, output.numel(), dtype=output.dtype).view_as(output)).sum().backward()
    assert images.grad is not None
    return output, {"images": images.grad, **{name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}}


@pytest.mark.parametrize(
    ("convolution", "side"),
    [
        (nn.Conv2d(5, 7, 3, padding=1, bias=False), 2), (nn.Conv2d(5, 7, 3, padding=1), 3), (nn.Conv2d(4, 6, 3, stride=2, padding=1), 5),
        (nn.Conv2d(4, 6, 3, dilation=2), 6), (nn.Conv2d(3, 8, (1, 5), padding=(0, 2)), 3), (nn.Conv2d(512, 256, 3, padding=1), 4),
    ],
    ids=str,
)  # fmt: skip
def test_gradients_are_those_of_autograd_and_outputs_the_same_bits(convolution: nn.Conv2d, side: int) -> None:
    exact = convolution.double()
    other = copy.deepcopy(exact)
    im2col.use(other)
    images = torch.randn(6, convolution.in_channels, side, side, dtype=torch.float64)
    assert im2col.helps(other, lambda: other(images))
    (output, expected), (same, found) = gradients(exact, images), gradients(other, images)
    assert torch.equal(output, same)
    assert torch.equal(expected["images"], found["images"])
    assert type(same.grad_fn).__name__ == "_ByProductBackward"
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient)
    assert list(other.state_dict()) == list(exact.state_dict())


def test_what_would_not_pay_and_what_it_cannot_do_stays_with_autograd() -> None:
    images = torch.randn(2, 4, 8, 8)
    for convolution in (
        nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 1, stride=4), nn.Conv2d(4, 4, 3, stride=4, groups=2),
        nn.Conv2d(4, 4, 3, stride=4, padding=1, padding_mode="reflect"),
    ):  # fmt: skip
        im2col.use(convolution)
        assert not im2col.helps(convolution, partial(convolution, images))
        assert type(convolution(images).grad_fn).__name__ == "ConvolutionBackward0"
    small = nn.Conv2d(4, 4, 3, stride=4, padding=1)
    im2col.use(small)
    assert type(small(images).grad_fn).__name__ == "_ByProductBackward"
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert "_ByProduct" not in type(small(images).grad_fn).__name__
    small.requires_grad_(False)
    assert not im2col.helps(small, lambda: small(images))
    assert small(images).grad_fn is None


def test_a_copy_of_a_model_computes_with_its_own_weights() -> None:
    model = nn.Conv2d(2, 3, 3, padding=1, bias=False)
    im2col.use(model)
    other, images = copy.deepcopy(model), torch.randn(2, 2, 2, 2)
    nn.init.zeros_(other.weight)
    assert not other(images).any()
    assert model(images).any()
