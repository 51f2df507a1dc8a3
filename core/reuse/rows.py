"""A linear layer on one thread with the gradient that several threads give it, to the bit.

MKL gives each of its threads some rows of a weight's gradient, and takes another kernel, with other rounding, for a piece of one to three rows.
With 10 classes two threads get 8 rows and 2, and on one thread all 10 go through the first kernel: a thread that need not wait for another
would give other bits. Cut at the same row the products are those of two threads. Where to cut is found by trying
(`core.measuring.threads`), and what does not give the same bits is not used.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from core.reuse.counts import Live

ROWS = 4
"""Pieces have a multiple of this many rows, but for the last."""


def in_rows(live: Live, threads: int) -> Live | None:
    """`live` with weight gradients of its linear layers made a piece at a time, as `threads` threads make them.

    None where it has no plain linear layer that threads would cut so unevenly. The layers are those of `live`, with their hooks: only while it
    runs they have another `forward`.
    """
    if not isinstance(live, nn.Module):
        return None
    cut = [(module, rows) for module in live.modules() if isinstance(module, nn.Linear) and (rows := piece(module, threads))]
    return _Cut(live, [(module.__dict__, partial(_forward, module, rows)) for module, rows in cut]) if cut else None


def piece(linear: nn.Linear, threads: int) -> int:
    """Rows of the pieces in which `threads` threads make the weight's gradient; 0 for a layer that is left as it is."""
    if type(linear) is not nn.Linear or not linear.weight.requires_grad:
        return 0
    rows = ROWS * math.ceil(linear.out_features / threads / ROWS)
    return rows if linear.out_features > rows and 0 < linear.out_features % rows < ROWS else 0


class _Cut:
    """What `in_rows` gives."""

    def __init__(self, live: Live, forwards: list[tuple[dict[str, Any], Live]]) -> None:
        self.live = live
        self.forwards = forwards

    def __call__(self, *inputs: Tensor) -> Any:
        for own, forward in self.forwards:
            own["forward"] = forward
        try:
            return self.live(*inputs)
        finally:
            for own, _ in self.forwards:
                del own["forward"]


def _forward(linear: nn.Linear, rows: int, x: Tensor) -> Tensor:
    """Shapes: [N, inputs] -> [N, outputs]."""
    if x.ndim != 2:
        return functional.linear(x, linear.weight, linear.bias)
    result: Tensor = _Linear.apply(x, linear.weight, linear.bias, rows)
    return result


class _Linear(torch.autograd.Function):
    """y = x Wᵀ + b, whose dL/dW = (dL/dy)ᵀ x is made `rows` rows at a time."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, rows: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.rows = rows
        return functional.linear(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = gradients
        x, weight = ctx.saved_tensors
        wanted = ctx.needs_input_grad
        by_x = gradient @ weight if wanted[0] else None
        by_weight = torch.cat([piece.t() @ x for piece in gradient.split(ctx.rows, dim=1)]) if wanted[1] else None
        return by_x, by_weight, gradient.sum(0) if wanted[2] else None, None
