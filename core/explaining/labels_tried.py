"""The classic loss with other labels: what changes, and what does not.

`(prediction - labels).sum()` is a sum of predictions less a number: no gradient depends on the labels, and it has no minimum. That is tried
here with real gradients, beside cross entropy, whose gradients do depend on them.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from core.explaining.specimen import Specimen
from core.records.walkthrough import LabelsTried

SHOWN = 4
"""Values of labels and of a gradient that are written out."""


def labels_tried(specimen: Specimen) -> LabelsTried | None:
    """The first step's gradients with the specimen's labels and with others; None for a specimen with a loss that is made for learning."""
    if specimen.criterion is not None:
        return None
    others = torch.rand(specimen.labels.shape, generator=torch.Generator().manual_seed(1))
    loss, gradients = _gradients(specimen, lambda prediction: (prediction - specimen.labels).sum())
    other_loss, other_gradients = _gradients(specimen, lambda prediction: (prediction - others).sum())
    learning = [_gradients(specimen, _cross_entropy(label))[1] for label in (0, 1)]
    name = next(name for name in reversed(gradients) if gradients[name].dim() > 1)

    def first(values: Tensor) -> tuple[float, ...]:
        return tuple(values.flatten()[:SHOWN].tolist())

    return LabelsTried(
        labels=first(specimen.labels),
        other_labels=first(others),
        loss=loss,
        other_loss=other_loss,
        parameter=name,
        gradient=first(gradients[name]),
        other_gradient=first(other_gradients[name]),
        gradients=len(gradients),
        same=_same(gradients, other_gradients),
        same_with_cross_entropy=_same(*learning),
    )


def _cross_entropy(label: int) -> Callable[[Tensor], Tensor]:
    return lambda prediction: F.cross_entropy(prediction, torch.tensor([label]))


def _gradients(specimen: Specimen, loss_of: Callable[[Tensor], Tensor]) -> tuple[float, dict[str, Tensor]]:
    """The loss and the gradients, by parameter, of a first step with this loss."""
    model = specimen.working()
    with specimen.seeded():
        loss = loss_of(model(specimen.inputs))
        loss.backward()
    return float(loss.detach()), {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}


def _same(one: dict[str, Tensor], other: dict[str, Tensor]) -> int:
    return sum(torch.equal(gradient, other[name]) for name, gradient in one.items())
