"""What is measured while a model trains, and what measuring costs. It must be nearly free: no value is waited for here."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from core.events import NO_GRADIENT, Histogram


@dataclass(frozen=True)
class Sample:
    """What one update did: norms float32[trainable tensors] on the device, `has_gradient` bool[all tensors]."""

    update_norms: Tensor
    weight_norms: Tensor
    has_gradient: NDArray[np.bool_]


@dataclass(frozen=True)
class Values:
    """Copies of one tensor's weights before an update and of their gradient (None: it had none), on the device."""

    name: str
    weight: Tensor
    gradient: Tensor | None


class Watch:
    """Measures gradients at every step, and how far the weights move at every `every`-th, the first included."""

    def __init__(self, every: int) -> None:
        self.every = every
        # What measuring has cost so far. On an accelerator this is the time to launch it: waiting for it would cost more than it does.
        self.seconds = 0.0
        self._wanted: list[str] = []
        self._before: list[Tensor] | None = None

    def inspect(self, name: str) -> None:
        """Have the next step copy the weights and the gradient of the parameter `name`."""
        self._wanted.append(name)

    def gradients(self, parameters: Sequence[nn.Parameter]) -> Tensor:
        """See `gradient_norms`."""
        with self._timed():
            return gradient_norms(parameters)

    def values(self, model: nn.Module) -> tuple[Values, ...]:
        """Copies of what was asked for since the last step; most steps: nothing."""
        if not self._wanted:
            return ()
        with self._timed():
            named = dict(model.named_parameters(remove_duplicate=False))
            wanted, self._wanted = dict.fromkeys(self._wanted), []
            found = [(name, named[name].detach(), named[name].grad) for name in wanted if name in named]
            return tuple(Values(name, weight.clone(), None if gradient is None else gradient.clone()) for name, weight, gradient in found)

    def before_update(self, step: int, parameters: Sequence[nn.Parameter]) -> None:
        """Copy the weights, at a step that is sampled."""
        if (step - 1) % self.every:
            return
        with self._timed(), torch.no_grad():
            if self._before is None or [tensor.shape for tensor in self._before] != [parameter.shape for parameter in parameters]:
                self._before = [torch.empty_like(parameter) for parameter in parameters]
            torch._foreach_copy_(self._before, list(parameters))

    def after_update(self, step: int, parameters: Sequence[nn.Parameter], model: nn.Module) -> Sample | None:
        """What the update did to the weights that `before_update` copied; None at a step that is not sampled. Call it before `zero_grad`."""
        if (step - 1) % self.every or self._before is None:
            return None
        with self._timed(), torch.no_grad():
            torch._foreach_sub_(self._before, list(parameters))
            has_gradient = np.array([parameter.grad is not None for parameter in model.parameters()])
            return Sample(
                torch.stack(torch._foreach_norm(self._before)).float(), torch.stack(torch._foreach_norm(list(parameters))).float(), has_gradient
            )

    @contextmanager
    def _timed(self) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.seconds += time.perf_counter() - began


def gradient_norms(parameters: Sequence[nn.Parameter]) -> Tensor:
    """L2 norm of each parameter's gradient: float32[len(parameters)], on the parameters' device, `NO_GRADIENT` where there is none.

    All norms come from one fused call and one stack, instead of a kernel, a transfer and a wait a tensor. Call it after
    `backward` (and after unscaling), before clipping, `step` and `zero_grad`.
    """
    with torch.no_grad():
        gradients = [parameter.grad if parameter.grad is not None else parameter.new_zeros(()) for parameter in parameters]
        norms = torch.stack(torch._foreach_norm(gradients)).float()
        missing = [place for place, parameter in enumerate(parameters) if parameter.grad is None]
        if missing:
            norms[missing] = NO_GRADIENT
        return norms


def histogram(values: Tensor, bins: int = 60) -> Histogram:
    """How often the finite values of a tensor fall into `bins` equal parts of their range. Waits for the device."""
    flat = values.detach().float().flatten()
    finite = flat[torch.isfinite(flat)].cpu()
    not_finite = flat.numel() - finite.numel()
    if not finite.numel():
        return Histogram(0.0, 0.0, (0,) * bins, not_finite)
    low, high = float(finite.min()), float(finite.max())
    if low == high:  # all in one place: a bin of some width around it
        low, high = low - max(1e-6, abs(low) / 100), high + max(1e-6, abs(high) / 100)
    counts = torch.histc(finite, bins, low, high)
    return Histogram(low, high, tuple(int(count) for count in counts.tolist()), not_finite)
