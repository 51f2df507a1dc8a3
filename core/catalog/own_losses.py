"""Losses of `torch.nn` that need their labels in another shape than class numbers before they fit classification, and class weights for them."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class LogProbabilities(nn.Module):
    """A loss on log-probabilities, such as `NLLLoss`: (logits [N, C], labels int64 [N]) -> scalar."""

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The wrapped loss of log_softmax(logits) and the class numbers."""
        loss: Tensor = self.loss(F.log_softmax(logits, dim=1), labels)
        return loss


class OneHot(nn.Module):
    """A loss on one number a class: (logits [N, C], labels int64 [N]) -> scalar. Targets are `on` at the label, else `off`."""

    def __init__(self, loss: nn.Module, on: float = 1.0, off: float = 0.0) -> None:
        super().__init__()
        self.loss = loss
        self.on = on
        self.off = off

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The wrapped loss of the logits and the targets [N, C]."""
        targets = torch.full_like(logits, self.off, requires_grad=False).scatter_(1, labels.unsqueeze(1), self.on)
        loss: Tensor = self.loss(logits, targets)
        return loss


class SmoothedDivergence(nn.Module):
    """`KLDivLoss` from the model's probabilities to labels of which `label_smoothing` (0 to 1) is spread over all classes.

    `reduction` is torch's: "batchmean" gives a scalar, "none" [N, C].
    """

    def __init__(self, label_smoothing: float, reduction: Literal["batchmean", "none"] = "batchmean") -> None:
        super().__init__()
        self.label_smoothing = label_smoothing
        self.loss = nn.KLDivLoss(reduction=reduction)

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """For logits [N, C] and labels int64 [N]; 0 when the probabilities are exactly the smoothed labels."""
        spread = self.label_smoothing / logits.shape[1]
        targets = torch.full_like(logits, spread, requires_grad=False).scatter_(1, labels.unsqueeze(1), 1 - self.label_smoothing + spread)
        loss: Tensor = self.loss(F.log_softmax(logits, dim=1), targets)
        return loss


class WeightedPictures(nn.Module):
    """A mean over pictures in which each counts as often as its class does: (logits [N, C], labels int64 [N]) -> scalar.

    For losses in torch that have no `weight`, or one that means something else: in BCEWithLogitsLoss and MultiLabelSoftMarginLoss it
    multiplies an output of the model, whatever the picture is of.

    Args:
        loss: gives the loss of each picture, [N], or of each picture and class, [N, C].
        weight: of each class, float32 [C].
        over_classes: what is made of [N, C]: the mean over classes, or the sum.
    """

    weight: Tensor

    def __init__(self, loss: nn.Module, weight: Tensor, over_classes: Literal["mean", "sum"] = "mean") -> None:
        super().__init__()
        self.loss = loss
        self.over_classes = over_classes
        self.register_buffer("weight", weight)

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The sum over pictures of weight[label] times loss, divided by the number of pictures."""
        each: Tensor = self.loss(logits, labels)
        if each.dim() > 1:
            each = each.mean(dim=1) if self.over_classes == "mean" else each.sum(dim=1)
        return (each * self.weight[labels]).mean()


def dividing_weight(loss: nn.Module) -> Tensor | None:
    """The class weights float32 [C] by whose sum over the pictures of a batch `loss` divides, as CrossEntropyLoss and NLLLoss do.

    None: it divides by the number of pictures, as all others do, MultiMarginLoss with its `weight` too.
    """
    inner = loss.loss if isinstance(loss, LogProbabilities) else loss
    return inner.weight if isinstance(inner, nn.CrossEntropyLoss | nn.NLLLoss) else None
