"""What is measured while a model trains, and what measuring costs. It must be nearly free: no value is waited for here."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from core.data.loader import Batch
from core.records.events import NO_GRADIENT, Histogram


@dataclass(frozen=True)
class Sample:
    """What one update did: norms float32[trainable tensors] on the device, `has_gradient` bool[all tensors].

    `unit_norms` float32[units] are the L2 norms of the gradient rows (one for each output: a unit, a channel) of all trainable tensors
    with two dimensions or more, one tensor after the other; 0 means that the unit did nothing for any picture of the batch.
    """

    update_norms: Tensor
    weight_norms: Tensor
    has_gradient: NDArray[np.bool_]
    unit_norms: Tensor


@dataclass(frozen=True)
class Values:
    """Copies of one tensor's weights before an update and of their gradient (None: it had none), on the device."""

    name: str
    weight: Tensor
    gradient: Tensor | None


@dataclass(frozen=True)
class Pace:
    """How often is measured: gradient norms at every `norms`-th step, weight changes at every `looks`-th, both at the first step too."""

    norms: int
    looks: int


@dataclass(frozen=True)
class Spent:
    """What training steps cost, in seconds: all of it, and what of that went into watching.

    `norms` were spent on `norms_measured` measurements of gradient norms, `looks` on `looks_taken` of weight changes: both are parts
    of `watching`. On an accelerator these are the times to launch: waiting for the rest would cost more than it does.
    """

    steps: int = 0
    seconds: float = 0.0
    watching: float = 0.0
    norms: float = 0.0
    norms_measured: int = 0
    looks: float = 0.0
    looks_taken: int = 0

    def since(self, before: Spent) -> Spent:
        """What was spent after `before`."""
        return Spent(*(getattr(self, field.name) - getattr(before, field.name) for field in fields(Spent)))


MEASURED_A_SECOND = 50
"""Gradient norms are measured at least this often, whatever the budget: no chart shows more."""

LOOKS_A_SECOND = 2
"""The same for weight changes."""

CALM = 0.7
"""Share of the room that a finer pace must fit into, so that a small change does not make it go back and forth."""


def pace_for(spent: Spent, norm: float, look: float, now: Pace, every: int, budget: float) -> Pace:
    """The finest pace at which watching takes at most the share `budget` of the time: weight changes give way first, then gradient norms.

    What is slow enough for every step to be seen is never thinned: see `MEASURED_A_SECOND`. Where recording the steps takes most of the
    budget by itself, half of it is left for measuring.

    Args:
        spent: what the last steps cost, at the pace of `now`.
        norm: seconds that measuring all gradient norms once takes; `look` the same of weight changes.
        every: steps between two looks at weight changes, as the run was asked for.
    """
    training = spent.seconds - spent.watching
    if spent.steps < 1 or training <= 0:
        return now
    allowed = budget / (1 - budget) * training / spent.steps if budget < 1 else math.inf
    always = max(0.0, spent.watching - spent.norms - spent.looks) / spent.steps
    room = max(allowed - always, allowed / 2)
    rate = spent.steps / spent.seconds
    rarest_looks = _rarest(rate / every / LOOKS_A_SECOND, now.looks // every)
    rarest_norms = _rarest(rate / MEASURED_A_SECOND, now.norms)
    paces = [Pace(1, every * 2**power) for power in range(rarest_looks + 1)]
    paces += [Pace(2**power, every * 2**rarest_looks) for power in range(1, rarest_norms + 1)]
    for pace in paces:
        finer = pace.norms < now.norms or pace.looks < now.looks
        if norm / pace.norms + look / pace.looks <= room * (CALM if finer else 1):
            return pace
    return paces[-1]


def _rarest(most: float, now: int) -> int:
    """The largest p with 2**p <= most, at least 0; that of `now` stays good while `most` is nearly as large."""
    found, held = (max(0, math.floor(math.log2(max(value, 1)))) for value in (most, most / CALM))
    return held if 2**held == now else found


class Watch:
    """Measures gradients and how far the weights move, as often as `pace` says: at first every step and every `every`-th.

    `clock` tells the seconds of which `spent` are made.
    """

    def __init__(self, every: int, budget: float = 1.0, clock: Callable[[], float] = time.perf_counter) -> None:
        self.every = every
        self.budget = budget
        self.pace = Pace(1, every)
        # What measuring has cost so far.
        self.norm_seconds = self.look_seconds = self.value_seconds = 0.0
        self.norms_measured = self.looks_taken = 0
        self._clock = clock
        self.on_bad_loss: Callable[[int, Batch], object] | None = None
        """Called with the step and its batch at the first loss that is not finite."""
        self._wanted: list[str] = []
        self._before: list[Tensor] | None = None

    @property
    def seconds(self) -> float:
        """What measuring has cost so far. On an accelerator this is the time to launch it."""
        return self.norm_seconds + self.look_seconds + self.value_seconds

    def looks_at(self, step: int) -> bool:
        """Whether weight changes are measured at `step`."""
        return (step - 1) % self.pace.looks == 0

    def inspect(self, name: str) -> None:
        """Have the next step copy the weights and the gradient of the parameter `name`."""
        self._wanted.append(name)

    def loss(self, step: int, loss: Tensor, batch: Batch) -> None:
        """Tell of the first loss that is not finite while the weights are still those that made it: the update spreads it to all of them.

        On the processor alone, where looking at a number waits for nothing.
        """
        if self.on_bad_loss is not None and loss.device.type == "cpu" and not math.isfinite(loss.item()):
            listener, self.on_bad_loss = self.on_bad_loss, None
            listener(step, batch)

    def gradients(self, step: int, parameters: Sequence[nn.Parameter]) -> Tensor | None:
        """See `gradient_norms`; None at a step at which they are not measured."""
        if (step - 1) % self.pace.norms and not self.looks_at(step):
            return None
        began = self._clock()
        norms = gradient_norms(parameters)
        self.norm_seconds += self._clock() - began
        self.norms_measured += 1
        return norms

    def values(self, model: nn.Module) -> tuple[Values, ...]:
        """Copies of what was asked for since the last step; most steps: nothing."""
        if not self._wanted:
            return ()
        began = self._clock()
        named = dict(model.named_parameters(remove_duplicate=False))
        wanted, self._wanted = dict.fromkeys(self._wanted), []
        found = [(name, named[name].detach(), named[name].grad) for name in wanted if name in named]
        copies = tuple(Values(name, weight.clone(), None if gradient is None else gradient.clone()) for name, weight, gradient in found)
        self.value_seconds += self._clock() - began
        return copies

    def before_update(self, step: int, parameters: Sequence[nn.Parameter]) -> None:
        """Copy the weights, at a step at which weight changes are measured."""
        if not self.looks_at(step):
            return
        began = self._clock()
        with torch.no_grad():
            if self._before is None or [tensor.shape for tensor in self._before] != [parameter.shape for parameter in parameters]:
                self._before = [torch.empty_like(parameter) for parameter in parameters]
            torch._foreach_copy_(self._before, list(parameters))
        self.look_seconds += self._clock() - began

    def after_update(self, step: int, parameters: Sequence[nn.Parameter], model: nn.Module) -> Sample | None:
        """What the update did to the weights that `before_update` copied; None at another step. Call it before `zero_grad`."""
        if self._before is None or not self.looks_at(step):
            return None
        began = self._clock()
        with torch.no_grad():
            torch._foreach_sub_(self._before, list(parameters))
            has_gradient = np.array([parameter.grad is not None for parameter in model.parameters()])
            sample = Sample(
                torch.stack(torch._foreach_norm(self._before)).float(), torch.stack(torch._foreach_norm(list(parameters))).float(), has_gradient,
                _unit_norms(parameters),
            )  # fmt: skip
        self.look_seconds += self._clock() - began
        self.looks_taken += 1
        return sample


def gradient_norms(parameters: Sequence[nn.Parameter]) -> Tensor:
    """L2 norm of each parameter's gradient: float32[len(parameters)], on the parameters' device, `NO_GRADIENT` where there is none.

    All norms come from one fused call and one stack, instead of a kernel, a transfer and a wait a tensor. Call it after
    `backward` (and after unscaling), before clipping, `step` and `zero_grad`.
    """
    missing = [place for place, parameter in enumerate(parameters) if parameter.grad is None]
    gradients = [parameter.new_zeros(()) if parameter.grad is None else parameter.grad for parameter in parameters]
    norms = torch.stack(torch._foreach_norm(gradients)).float()
    if missing:
        norms[missing] = NO_GRADIENT
    return norms


def _unit_norms(parameters: Sequence[nn.Parameter]) -> Tensor:
    """See `Sample.unit_norms`. A tensor without a gradient has 1s: nothing is known of its units."""
    rows = [
        parameter.new_ones(len(parameter)) if parameter.grad is None else torch.linalg.vector_norm(parameter.grad.flatten(1), dim=1)
        for parameter in parameters
        if parameter.ndim > 1
    ]
    return torch.cat(rows).float() if rows else torch.empty(0)


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
