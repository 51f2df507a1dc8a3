"""Weight gradients of convolutions on small maps as one matrix product, where the processor's own kernel for them is slow.

The gradient of a convolution's weight is a product of two matrices: the gradients of all its outputs, and the patches of the input that each
of them saw (`im2col`: Chellapilla, Puri and Simard, "High performance convolutional neural networks for document processing", 2006). The kernel
that torch calls on a processor never writes the patches down, and goes along the rows of the output instead. Where a row is two numbers long,
as in the last stage of resnet18 at 64 px (512 channels, 2 x 2), that takes 1.6 to 5 times as long as the product. It adds up in another
order, so an exact run does without; `speed` automatic finds out whether it pays.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from types import MethodType
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import conv2d, unfold

SMALL = 9
"""Positions of an output (height times width) up to which the product is quicker, whatever the channels: measured for 64 to 2048 of them,
8 to 128 pictures, kernels of 3 and 5."""

STILL_SMALL, MANY = 16, 2**20
"""Positions up to which it is quicker for kernels of at least so many weights."""


def use(model: nn.Module) -> None:
    """Have the convolutions of `model` take their weight gradients so, from the next forward pass on, where their maps turn out to be small.

    What a model computes forwards, and its state_dict, stay as they are.
    """
    for module in _convolutions(model):
        module.forward = MethodType(_forward, module)  # type: ignore[method-assign]


def helps(model: nn.Module, go_through: Callable[[], Any]) -> bool:
    """Whether a convolution of `model` that learns gives small maps, as found out by having pictures `go_through` it once."""
    found = []

    def look(module: nn.Module, inputs: Any, output: Tensor) -> None:
        assert isinstance(module, nn.Conv2d)
        found.append(module.weight.requires_grad and _pays(output.shape[2:], module.weight))

    hooks = [module.register_forward_hook(look) for module in _convolutions(model)]
    try:
        with torch.no_grad():
            go_through()
    finally:
        for hook in hooks:
            hook.remove()
    return any(found)


def _convolutions(model: nn.Module) -> Iterator[nn.Conv2d]:
    """Those whose weight gradient is one product: no groups, zeros around the picture, kernels that see more than one place."""
    for module in model.modules():
        if not isinstance(module, nn.Conv2d) or module.groups > 1 or module.kernel_size == (1, 1):
            continue
        if module.padding_mode == "zeros" and not isinstance(module.padding, str):
            yield module


def _pays(positions: Sequence[int], weight: Tensor) -> bool:
    count = math.prod(positions)
    return count <= SMALL or (count <= STILL_SMALL and weight.numel() >= MANY)


def _forward(self: nn.Conv2d, images: Tensor) -> Tensor:
    """`nn.Conv2d.forward`, with the other gradient where that pays. Images [N, C, H, W]."""
    padding = cast(tuple[int, int], self.padding)
    geometry = zip(images.shape[2:], self.kernel_size, self.stride, padding, self.dilation, strict=True)
    positions = [(side + 2 * pad - dilation * (kernel - 1) - 1) // stride + 1 for side, kernel, stride, pad, dilation in geometry]
    learns = torch.is_grad_enabled() and self.weight.requires_grad
    if not learns or torch.is_autocast_enabled(images.device.type) or not _pays(positions, self.weight):
        return nn.Conv2d.forward(self, images)
    return cast(Tensor, _ByProduct.apply(images, self.weight, self.bias, self.stride, padding, self.dilation))


class _ByProduct(torch.autograd.Function):
    """A convolution whose weight gradient is a matrix product; all else is torch's own."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, weight: Tensor, bias: Tensor | None, stride: list[int], padding: list[int], dilation: list[int]) -> Tensor:
        ctx.save_for_backward(images, weight)
        ctx.geometry = stride, padding, dilation
        return conv2d(images, weight, bias, stride, padding, dilation)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_output: Tensor) -> tuple[Tensor | None, ...]:
        images, weight = ctx.saved_tensors
        stride, padding, dilation = ctx.geometry
        of_images = of_weight = of_bias = None
        if ctx.needs_input_grad[0]:
            of_images = torch.ops.aten.convolution_backward(
                of_output, images, weight, None, stride, padding, dilation, False, [0, 0], 1, [True, False, False]
            )[0]
        if ctx.needs_input_grad[1]:
            patches = unfold(images, weight.shape[2:], dilation, padding, stride)  # [N, C * kernel, positions]
            seen = patches.transpose(1, 2).reshape(-1, patches.shape[1])  # [N * positions, C * kernel]
            of_weight = (of_output.transpose(0, 1).reshape(len(weight), -1) @ seen).view_as(weight)
        if ctx.needs_input_grad[2]:
            of_bias = of_output.sum((0, 2, 3))
        return of_images, of_weight, of_bias, None, None, None
