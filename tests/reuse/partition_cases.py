"""What the tests of partition share."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from core.config import RunConfig
from core.config.plans import Change, FreezePlan
from core.data import Loader
from core.data.loader import ImageDataset, Normalise
from core.machine.home import Home
from core.model import anatomy
from core.model.freezing import Freezing
from core.networks import models
from core.records.events import Reuse
from core.records.layers import frozen_parameters
from core.reuse.partition import Partition
from core.reuse.way import Keeping
from core.training.trainer import EpochReport, FinalReport, StepReport, Trainer
from core.worker.assembly import assemble
from tests.training.trainer_cases import keep_few

SMALL: dict[str, Any] = {
    "dataset": "digits", "model": "small_cnn", "image_size": 16, "freeze": "head only", "batch_size": 200, "epochs": 3,
    "watch_budget": 1.0, "threads": 1,
}  # fmt: skip


def trainer(home: Home, **fields: object) -> Trainer:
    return assemble(RunConfig(**{**SMALL, **fields}), home).trainer


class Outcome:
    """A whole training, and what it gave."""

    def __init__(self, home: Home, change: tuple[int, str] | None = None, few: int | None = None, **fields: object) -> None:
        self.trainer = trainer(home, **fields)
        if few is not None:
            keep_few(self.trainer, few)
        self.losses: list[float] = []
        self.norms: list[Tensor] = []
        self.scores: list[object] = []
        self.told: list[Reuse] = []
        for report in self.trainer.run():
            match report:
                case StepReport():
                    self.losses.append(report.loss.item())
                    assert report.gradient_norms is not None
                    self.norms.append(report.gradient_norms)
                    if change and report.step == change[0]:
                        self.trainer.change(Change.parse(change[1]))
                case EpochReport() | FinalReport():
                    self.scores.append(report)
            if self.trainer.partition.news:
                self.told.append(self.trainer.partition.tell())
        self.trainer.partition.close()
        self.reuse = self.trainer.partition.tell()

    def equals(self, other: Outcome) -> bool:
        """True if losses, gradient norms, scores and final weights and buffers are the same to the bit."""
        mine, theirs = self.trainer.model.state_dict(), other.trainer.model.state_dict()
        return (
            self.losses == other.losses
            and all(torch.equal(left, right) for left, right in zip(self.norms, other.norms, strict=True))
            and self.scores == other.scores
            and all(torch.equal(mine[name], theirs[name]) for name in theirs)
        )


def planned(name: str, plan: str, size: int, training: bool = True) -> nn.Module:
    """A model under a freeze plan, in the mode that a run has it in."""
    torch.manual_seed(0)
    model = models.build(name, 10, size)
    freezing = Freezing(model, frozen_parameters(FreezePlan.model_validate(plan), anatomy.describe(name, 10, size).parameters))
    freezing.train() if training else freezing.eval()
    return model


class WithDropout(nn.Module):
    """Dropout, then two frozen layers' worth of work, then the head."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3)
        self.drop = nn.Dropout(share)
        self.second = nn.Conv2d(4, 4, 3)
        self.head = nn.Linear(4, 2)
        for layer in (self.first, self.second):
            layer.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.second(self.drop(self.first(x)))
        result: Tensor = self.head(x.mean((2, 3)))
        return result


# When keeping is refused, or goes wrong


def small_partition(home: Home, model: nn.Module, **fields: Any) -> tuple[Partition, Loader]:
    pixels = torch.randint(0, 256, (64, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    loader = Loader(ImageDataset(pixels, torch.arange(64) % 2, torch.arange(64), 16), 16, seed=0, **fields)
    normalise = Normalise((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    return Partition(model, normalise, 16, torch.device("cpu"), Keeping(home.features), "float32", most=16), loader


def walk(partition: Partition, loader: Loader, epoch: int = 1) -> list[Tensor]:
    partition.begin("train", loader)
    return [partition.forward(batch) for batch in loader.batches(epoch)]
