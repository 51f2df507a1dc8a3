"""What the tests of anatomy share."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from core.model.freezing import Freezing
from core.networks import models
from core.networks.model_entries import Family, ModelEntry
from core.records.layers import ModelDescription


def role(description: ModelDescription, wanted: str) -> list[str]:
    return [parameter.name for parameter in description.parameters if parameter.role == wanted]


# What a forward pass costs, and in which order


def counted(model: nn.Module, forward: Callable[[], object]) -> int:
    """FLOPs as torch's own counter has them."""
    counter = FlopCounterMode(display=False)
    with counter:
        forward()
    return int(counter.get_total_flops())


# What is left of the backward pass


def exact_backward_flops(model: nn.Module, frozen: frozenset[str], size: int, device: str = "meta") -> int:
    """Counted by torch, during a real backward pass."""
    Freezing(model, frozen).train()
    logits, auxiliary = models.logits_and_auxiliary(model(torch.empty(2, 3, size, size, device=device)))
    loss = logits.sum() + sum(weight * other.sum() for weight, other in auxiliary)
    return counted(model, loss.backward)


# A parameter that two modules share


class Tied(nn.Module):
    """A convolution used twice, and a head that shares its weights with the layer before it."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.encode = nn.Conv2d(8, 8, 3, padding=1)
        self.again = nn.Conv2d(8, 8, 3, padding=1)
        self.again.weight = self.encode.weight
        self.mix = nn.Linear(8, 8, bias=False)
        self.head = nn.Linear(8, 8)
        self.head.weight = self.mix.weight

    def forward(self, x: Tensor) -> Tensor:
        x = self.again(self.encode(self.norm(self.first(x))).relu()).relu()
        logits: Tensor = self.head(self.mix(x.mean((2, 3))))
        return logits


TIED = ModelEntry("tied", "tied", "", family=Family("Tied", "", ("head",), own=True))
