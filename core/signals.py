"""What is measured at each step. Measuring must be nearly free: no value is waited for here."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def gradient_norms(parameters: Sequence[nn.Parameter]) -> Tensor:
    """L2 norm of each parameter's gradient: float32[len(parameters)], on the parameters' device, 0 where there is no gradient.

    All norms come from one fused call and one stack, instead of a kernel, a transfer and a wait a tensor. Call it after
    `backward` (and after unscaling), before clipping, `step` and `zero_grad`.
    """
    with torch.no_grad():
        gradients = [parameter.grad if parameter.grad is not None else parameter.new_zeros(()) for parameter in parameters]
        return torch.stack(torch._foreach_norm(gradients)).float()
