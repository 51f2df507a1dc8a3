"""BatchNorm over the whole batch while each rank holds a part of it, as on one device.

`torch.nn.SyncBatchNorm` trains on GPUs alone. This does the same for any device: each rank works out count, mean and sum of squared deviations
of its part, all of them are gathered and merged (Chan, Golub and LeVeque 1979, "Updating Formulae and a Pairwise Algorithm for Computing
Sample Variances", eq. 2.1), and in the backward pass the two sums over the batch that the gradient needs are added up over all ranks (Ioffe and
Szegedy 2015, section 3). A layer that is frozen, so in eval mode, is left alone.

A layer keeps its class and gets another `forward` of its own: whoever looks for BatchNorm layers finds what they found before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

Gather = Callable[[Tensor], Tensor]
"""A tensor of each rank, stacked in their order, the same on all of them."""


class WholeBatch:
    """Has the BatchNorm layers of `model` see the whole batch, between `on` and its end; at any other time they are as they were."""

    def __init__(self, model: nn.Module, gather: Gather) -> None:
        self._gather = gather
        self._on = False
        for layer in model.modules():
            if isinstance(layer, _BatchNorm):
                setattr(layer, "forward", partial(self._forward, layer, layer.forward))  # noqa: B010  a method of this layer alone

    @contextmanager
    def on(self, wanted: bool = True) -> Iterator[None]:
        """All ranks do the same between here and the end of it. `wanted` False: each on its own."""
        self._on = wanted
        try:
            yield
        finally:
            self._on = False

    def _forward(self, layer: _BatchNorm, alone: Callable[[Tensor], Tensor], inputs: Tensor) -> Tensor:
        if not self._on or not layer.training:
            return alone(inputs)
        layer._check_input_dim(inputs)
        given: tuple[Tensor, Tensor, Tensor] = _Normalised.apply(inputs, layer.weight, layer.bias, layer.eps, self._gather)
        output, mean, spread = given
        if layer.track_running_stats and layer.running_mean is not None and layer.running_var is not None:
            with torch.no_grad():
                _remember(layer, mean, spread)
        return output


def _remember(layer: _BatchNorm, mean: Tensor, spread: Tensor) -> None:
    """Move the running statistics as torch does. `spread`: the unbiased variance."""
    assert layer.running_mean is not None
    assert layer.running_var is not None
    momentum = layer.momentum
    if layer.num_batches_tracked is not None:
        layer.num_batches_tracked.add_(1)
        momentum = 1.0 / float(layer.num_batches_tracked) if momentum is None else momentum
    momentum = momentum or 0.0
    layer.running_mean.mul_(1 - momentum).add_(mean.to(layer.running_mean.dtype), alpha=momentum)
    layer.running_var.mul_(1 - momentum).add_(spread.to(layer.running_var.dtype), alpha=momentum)


class _Normalised(torch.autograd.Function):
    """(inputs [N, C, ...], weight [C], bias [C]) -> output like inputs, and mean and unbiased variance of the whole batch [C]."""

    @staticmethod
    def forward(
        context: Any, inputs: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, gather: Gather
    ) -> tuple[Tensor, Tensor, Tensor]:
        mean, variance = _moments(inputs.float())
        count = mean.new_full([1], inputs.numel() // inputs.shape[1], dtype=torch.float64)
        means, variances, counts = gather(torch.cat([mean, variance, count])).split([len(mean), len(mean), 1], 1)  # all in double precision
        whole = counts.sum()
        together = (means * counts).sum(0) / whole
        squares = (variances * counts + counts * (means - together).square()).sum(0)
        mean, variance = together.to(mean.dtype), (squares / whole).to(mean.dtype)
        context.save_for_backward(inputs, weight, mean, variance)
        context.gather, context.whole, context.eps = gather, whole, eps
        spread = (squares / (whole - 1).clamp(min=1)).to(mean.dtype)
        context.mark_non_differentiable(mean, spread)
        return nn.functional.batch_norm(inputs, mean, variance, weight, bias, False, 0.0, eps), mean, spread

    @staticmethod
    def backward(context: Any, gradient: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
        given, weight, mean, variance = context.saved_tensors
        wanted = context.needs_input_grad[:3]
        inputs = given
        if _few_places(given):  # 2 x 2 places of 512 channels: a fifth of the time, copies included
            gradient, inputs = (each.contiguous(memory_format=torch.channels_last) for each in (gradient, given))
        # As if mean and variance were given: with them, each is a sum over the whole batch, of which the rest follows.
        of_inputs, of_weight, of_bias = torch.ops.aten.native_batch_norm_backward(
            gradient, inputs, weight, mean, variance, None, None, False, context.eps, [wanted[0], True, True]
        )
        if wanted[0]:
            sums = context.gather(torch.stack([of_bias, of_weight]).double()).sum(0) / context.whole
            inverse = torch.rsqrt(variance.double() + context.eps)
            scale = inverse if weight is None else inverse * weight.double()
            slope = -scale * inverse * sums[1]
            shape = [1, len(mean), *[1] * (inputs.dim() - 2)]
            slope, offset = (each.to(of_inputs.dtype).view(shape) for each in (slope, -scale * sums[0] - slope * mean.double()))
            of_inputs = of_inputs.addcmul_(inputs, slope).add_(offset)
            of_inputs = of_inputs if of_inputs.stride() == given.stride() else torch.empty_like(given).copy_(of_inputs)
        # Of this rank's part alone: they are added up with all other gradients.
        return of_inputs if wanted[0] else None, of_weight if wanted[1] else None, of_bias if wanted[2] else None, None, None


def _moments(inputs: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance [C] of each channel of `inputs` float32 [N, C, ...], in two passes: the deviations are those from the mean.

    Torch's own kernel for it, which BatchNorm begins with, is four times as fast as `var_mean` on processors. Where a map's places lie side by
    side it adds up one number after the other, and `sum` is two to four times as fast again from 8 x 8 places on.
    """
    if inputs.device.type == "cpu" and inputs.dim() == 4 and inputs.is_contiguous() and inputs.shape[2] * inputs.shape[3] >= 64:
        count, dims = inputs.numel() // inputs.shape[1], (0, 2, 3)
        mean = inputs.sum(dims) / count
        return mean, (inputs - mean.view(1, -1, 1, 1)).square_().sum(dims) / count
    found: tuple[Tensor, Tensor] = torch.batch_norm_update_stats(inputs, None, None, 0.0)
    return found


def _few_places(inputs: Tensor) -> bool:
    """Whether torch's kernel for the backward pass is quicker with channels side by side: on processors, where maps have few places."""
    return inputs.device.type == "cpu" and inputs.dim() == 4 and inputs.shape[2] * inputs.shape[3] < 16
