"""How far a way of computing is from exact, and how far is too far.

A rounded forward pass gives another gradient. A batch's gradient is an estimate itself: another batch gives another one, and
training copes with that. So the measure is what the choice of the batch does: rounding may move the gradient by at most a third
of it (`SHARE_OF_NOISE`). The two are independent and add up as squares, so the gradients are then as good as those of batches
with a tenth less images. However alike two batches are, a twentieth (`ALWAYS_ACCEPTED`) always passes; half (`NEVER_ACCEPTED`, 30
degrees) never does. The loss may differ by a fiftieth. Judged after a few steps: at random weights, in the very first ones, a
gradient is mostly noise. Where a batch takes long, a part of it is judged: rounding differs from picture to picture, so that with
more of them it shrinks as the choice of the batch does. Measured on digits at 64 px with bfloat16: resnet18 0.22 of the noise,
mobilenet_v3_small 0.23, small_cnn 0.06, densenet121 0.48, which is refused.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd
from torchvision.ops import StochasticDepth

from core.records.speed import ALWAYS_ACCEPTED, NEVER_ACCEPTED, SHARE_OF_NOISE, Way
from core.training.steps import Pair, Steps

LOSS_TOLERANCE, SMALL_LOSS = 0.02, 0.1  # of a loss below the second, the difference is set against that
"""See above."""


@dataclass(frozen=True)
class Gradient:
    """The loss of a batch, and its gradient, float32[values that learn]."""

    loss: float
    gradient: Tensor


def gradient_of(steps: Steps, batch: Pair) -> Gradient:
    """Loss and gradient of a batch, without what is left to chance. No weight moves."""
    scale = 65536.0 if steps.config.precision == "float16" else 1.0
    with _no_chance(steps.model):
        while True:
            steps.optimizer.zero_grad()
            loss = steps.forward(batch)
            (scale * loss).backward()
            gradient = torch.cat([_flat(parameter) for parameter in steps.learning]) / scale
            steps.optimizer.zero_grad()
            # As a gradient scaler does: smaller, until nothing overflows.
            if scale <= 1 or bool(gradient.isfinite().all()):
                return Gradient(float(loss.detach()), gradient)
            scale /= 16


def difference(exact: Sequence[Gradient], others: Sequence[Gradient]) -> tuple[float, float]:
    """By which share of themselves losses, and gradients (L2 norm), differ from exact ones of the same batches; may be infinite or NaN."""
    losses, differences, sizes = [], 0.0, 0.0
    for one, other in zip(exact, others, strict=True):
        losses.append(abs(other.loss - one.loss) / max(abs(one.loss), SMALL_LOSS))
        differences += float((other.gradient - one.gradient).square().sum())
        sizes += float(one.gradient.square().sum())
    gradient = 0.0 if differences == 0 else math.sqrt(differences / sizes) if sizes else math.inf
    return statistics.fmean(losses), gradient


def tolerance(exact: Sequence[Gradient]) -> float:
    """How far a gradient may be from exact, as a share of its length; `exact` are those of different batches, two or one."""
    if len(exact) < 2:
        return ALWAYS_ACCEPTED
    one, other = exact[0].gradient, exact[1].gradient
    sizes = math.sqrt(float(one.square().sum() + other.square().sum()))
    noise = float((one - other).norm()) / sizes if sizes else 0.0
    return min(NEVER_ACCEPTED, max(ALWAYS_ACCEPTED, SHARE_OF_NOISE * noise))


class Reference:
    """What exact steps made of some batches: other ways are held against it."""

    def __init__(self, steps: Steps, batches: Sequence[Pair]) -> None:
        self._batches = batches
        self._gradients = [gradient_of(steps, batch) for batch in batches]
        self._state = {name: tensor.clone() for name, tensor in steps.model.state_dict().items()}
        self.finite = all(math.isfinite(one.loss) and bool(one.gradient.isfinite().all()) for one in self._gradients)
        self.tolerance = tolerance(self._gradients)

    def judged(self, way: Way, steps: Steps) -> Way:
        """The way that `steps` go with how far it is from exact, refused if that is too far. Its model has the weights of the exact one then."""
        steps.model.load_state_dict(self._state)  # steps that were timed moved them
        loss_error, gradient_error = difference(self._gradients, [gradient_of(steps, batch) for batch in self._batches])
        if not (math.isfinite(loss_error) and math.isfinite(gradient_error)):
            return replace(way, refused="losses or gradients are not finite")
        refused = ""
        if gradient_error > self.tolerance:
            refused = f"changes gradients by {100 * gradient_error:.0f} %, more than the {100 * self.tolerance:.0f} % that are accepted here"
        elif loss_error > LOSS_TOLERANCE:
            refused = f"changes losses by {100 * loss_error:.1f} %, more than the {100 * LOSS_TOLERANCE:.0f} % that are accepted"
        return replace(way, loss_error=loss_error, gradient_error=gradient_error, refused=refused)


def _flat(parameter: nn.Parameter) -> Tensor:
    gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
    return gradient.detach().contiguous().float().flatten()


@contextmanager
def _no_chance(model: nn.Module) -> Iterator[None]:
    """Dropout of all kinds at rest: with other formats torch draws other numbers, and two gradients would differ by these."""
    resting = [module for module in model.modules() if isinstance(module, _DropoutNd | StochasticDepth) and module.training]
    for module in resting:
        module.eval()
    try:
        yield
    finally:
        for module in resting:
            module.train()
