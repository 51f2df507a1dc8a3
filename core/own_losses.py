"""Losses of `torch.nn` that need their labels in another shape than class numbers before they fit classification."""

from __future__ import annotations

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
    """`KLDivLoss` from the model's probabilities to labels of which `label_smoothing` (0 to 1) is spread over all classes."""

    def __init__(self, label_smoothing: float) -> None:
        super().__init__()
        self.label_smoothing = label_smoothing
        self.loss = nn.KLDivLoss(reduction="batchmean")

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Scalar for logits [N, C] and labels int64 [N]; 0 when the probabilities are exactly the smoothed labels."""
        spread = self.label_smoothing / logits.shape[1]
        targets = torch.full_like(logits, spread, requires_grad=False).scatter_(1, labels.unsqueeze(1), 1 - self.label_smoothing + spread)
        loss: Tensor = self.loss(F.log_softmax(logits, dim=1), targets)
        return loss
