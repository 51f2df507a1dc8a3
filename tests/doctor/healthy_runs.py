"""Healthy runs for the doctor: real trainings of small networks, many at a time, each with pictures, rates and chance of its own.

A group of runs shares optimizer, schedule and sizes, so that its networks are trained side by side as stacked tensors; learning rate,
difficulty, wrong labels and chance are each run's own. What the doctor's rules see of it is what a worker would tell: losses, norms of
gradients, updates and weights, gradient rows of units, epochs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from core.catalog import OPTIMIZERS, optimizers
from core.catalog.rates import course
from core.config import RunConfig
from core.doctor import Doctor, Facts
from core.doctor.doctor import Units
from core.records.events import ChangeRow, EpochRow, Layer, RunPlan, StepRow
from core.records.findings import Diagnosis
from core.records.layers import ParameterInfo
from core.records.summaries import block_of

PIXELS = 16
LOOK_EVERY = 5
TRUTH = 1000
"""Pictures by which it is known how good a run really is."""


@dataclass(frozen=True)
class Group:
    """What a group of runs shares. Rates are the optimizer's usual one times `rates`."""

    optimizer: str = "AdamW"
    schedule: str = "constant"
    classes: int = 5
    hidden: int = 24
    depth: int = 2
    batch: int = 32
    pictures: int = 480
    validation: int = 120
    epochs: int = 10
    norm: bool = False
    clip: float | None = None
    rates: tuple[float, float] = (0.5, 4.0)
    wrong: float = 0.1
    """Share of labels that are wrong, at most."""
    change: float = 1.0
    """What the learning rate is multiplied by at half of the run, as a person would do it."""
    settings: dict[str, Any] = field(default_factory=dict)

    def config(self, rate: float) -> RunConfig:
        return RunConfig(
            model="made: flatten, linear 24, relu", optimizer=self.optimizer, schedule=self.schedule, learning_rate=rate, batch_size=self.batch,
            epochs=self.epochs, watch_every=LOOK_EVERY, watch_budget=1.0, clip_norm=self.clip, **self.settings,
        )  # fmt: skip


class Stack:
    """The networks of a group: each tensor has the run as its first dimension."""

    def __init__(self, group: Group, runs: int, generator: torch.Generator) -> None:
        sizes = [PIXELS, *[group.hidden] * group.depth, group.classes]
        self.group = group
        self.tensors: list[Tensor] = []
        self.names: list[str] = []
        for place, (wide, out) in enumerate(pairwise(sizes), 1):
            bound = wide**-0.5
            name = "head" if place == len(sizes) - 1 else f"linear{place}"
            for suffix, shape in (("weight", (runs, out, wide)), ("bias", (runs, out))):
                self.tensors.append(((2 * torch.rand(shape, generator=generator) - 1) * bound).requires_grad_())
                self.names.append(f"{name}.{suffix}")

    def __call__(self, images: Tensor) -> Tensor:
        """Logits [runs, N, classes] for [runs, N, PIXELS]."""
        for place in range(0, len(self.tensors), 2):
            images = torch.baddbmm(self.tensors[place + 1].unsqueeze(1), images, self.tensors[place].transpose(1, 2))
            if place < len(self.tensors) - 2:
                if self.group.norm:
                    images = (images - images.mean(1, keepdim=True)) / (images.var(1, keepdim=True) + 1e-5).sqrt()
                images = torch.relu(images)
        return images


def pictures(middles: Tensor, wrong: Tensor, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Pictures [runs, count, PIXELS] around the middle of their class, and labels of which `wrong` are another's."""
    runs, classes = middles.shape[:2]
    labels = torch.randint(classes, (runs, count), generator=generator)
    images = middles.gather(1, labels.unsqueeze(2).expand(-1, -1, PIXELS)) + torch.randn(runs, count, PIXELS, generator=generator)
    other = torch.randint(classes, (runs, count), generator=generator)
    return images, torch.where(torch.rand(runs, count, generator=generator) < wrong[:, None], other, labels)


def loss_of(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross entropy of each run [runs]."""
    return F.cross_entropy(logits.transpose(1, 2), labels, reduction="none").mean(1)


def healthy(group: Group, runs: int, seed: int, every: bool = False) -> Iterator[Diagnosis]:
    """What the doctor says at the end of each run that went well: learned far more than by chance, and was not spoiled by going on.

    `every`: also of those that did not.
    """
    generator = torch.Generator().manual_seed(seed)
    middles = torch.randn(runs, group.classes, PIXELS, generator=generator) * (0.5 + 0.7 * torch.rand(runs, 1, 1, generator=generator))
    wrong = group.wrong * torch.rand(runs, generator=generator)
    (images, labels), held, truth = (pictures(middles, wrong, count, generator) for count in (group.pictures, group.validation, TRUTH))
    low, high = (OPTIMIZERS[group.optimizer].learning_rate * factor for factor in group.rates)
    rates = torch.exp(np.log(low) + (np.log(high) - np.log(low)) * torch.rand(runs, generator=generator))
    stack = Stack(group, runs, generator)
    doctors = [_doctor(group, stack, float(rate), labels[run], held[1][run]) for run, rate in enumerate(rates)]
    plan = doctors[0].signs.plan
    scale = torch.from_numpy(course(group.config(1.0), plan.total_steps, plan.steps_per_epoch).rates).float()
    moving = optimizers.build(group.config(1.0), stack.tensors)
    lowest, step = torch.full((runs,), torch.inf), 0
    for epoch in range(1, group.epochs + 1):
        if group.change != 1 and epoch == group.epochs // 2 + 1:
            rates = rates * group.change
            for watched, rate in zip(doctors, rates.tolist(), strict=True):
                _changed(watched, step + 1, rate)
        order, sums, right = torch.randperm(group.pictures, generator=generator), torch.zeros(runs), torch.zeros(runs)
        rows: list[list[StepRow]] = [[] for _ in doctors]
        units: list[list[Units]] = [[] for _ in doctors]
        for start in range(0, group.pictures, group.batch):
            step += 1
            chosen = order[start : start + group.batch]
            logits = stack(images[:, chosen])
            loss = loss_of(logits, labels[:, chosen])
            moving.zero_grad()
            loss.sum().backward()
            _take(stack, moving, scale[step - 1] * rates, loss, step, epoch, rows, units)
            sums = sums + loss.detach() * len(chosen)
            right = right + (logits.argmax(2) == labels[:, chosen]).sum(1)
        with torch.no_grad():
            known, real = stack(held[0]), loss_of(stack(truth[0]), truth[1])
            lowest = torch.minimum(lowest, real)
            measured, accuracy = loss_of(known, held[1]), (known.argmax(2) == held[1]).float().mean(1)
        for run, watched in enumerate(doctors):
            watched.steps(block_of(rows[run]), units[run])
            mean, share = (float(total[run]) / group.pictures for total in (sums, right))
            watched.epoch(EpochRow(epoch, step, 1.0, mean, share, float(measured[run]), float(accuracy[run])))
    with torch.no_grad():
        good = (stack(truth[0]).argmax(2) == truth[1]).float().mean(1) > 2 / group.classes
    for run, watched in enumerate(doctors):
        diagnosis = watched.finish()
        if every or (good[run] and real[run] < 1.1 * lowest[run]):
            yield diagnosis


def _changed(watched: Doctor, step: int, rate: float) -> None:
    tensors = len(watched.signs.names)
    watched.change(ChangeRow(0, step, "live", f"learning_rate={rate:.6g}", rate, np.zeros(tensors, np.bool_), np.ones(tensors, np.float32)))


def _take(stack: Stack, moving: torch.optim.Optimizer, rates: Tensor, loss: Tensor, step: int, epoch: int, rows: Any, units: Any) -> None:
    """A step of each run at its own rate, and what the doctor is told of it. Every optimizer here moves in proportion to its rate."""
    gradients = [tensor.grad for tensor in stack.tensors if tensor.grad is not None]
    norms = torch.stack([gradient.flatten(1).norm(dim=1) for gradient in gradients], 1)
    look = step == 1 or step % LOOK_EVERY == 0
    rowed = torch.cat([gradient.norm(dim=2) for gradient in gradients if gradient.dim() == 3], 1).numpy() if look else None
    if stack.group.clip is not None:
        factor = (stack.group.clip / norms.norm(dim=1)).clamp(max=1)
        for gradient in gradients:
            gradient.mul_(factor.view(-1, *[1] * (gradient.dim() - 1)))
    before = [tensor.detach().clone() for tensor in stack.tensors]
    moving.step()
    with torch.no_grad():
        for tensor, old in zip(stack.tensors, before, strict=True):
            tensor.copy_(old + (tensor - old) * rates.view(-1, *[1] * (tensor.dim() - 1)))
        moved = torch.stack([(tensor - old).flatten(1).norm(dim=1) for tensor, old in zip(stack.tensors, before, strict=True)], 1).numpy()
        sizes = torch.stack([old.flatten(1).norm(dim=1) for old in before], 1).numpy()
    lengths = norms.numpy()
    frozen = np.zeros(len(before), np.bool_)
    for run, value in enumerate(loss.tolist()):
        weights = (moved[run], sizes[run]) if look else (None, None)
        rows[run].append(StepRow(step, epoch, float(step), value, float(rates[run]), 100.0, lengths[run], *weights))
        if rowed is not None:
            units[run].append(Units(step, frozen, rowed[run]))


def _doctor(group: Group, stack: Stack, rate: float, labels: Tensor, held: Tensor) -> Doctor:
    config = group.config(rate)
    layers = tuple(Layer(name, tuple(tensor.shape[1:]), tensor[0].numel(), False) for name, tensor in zip(stack.names, stack.tensors, strict=True))
    infos = tuple(
        ParameterInfo(
            layer.name, layer.shape, layer.count, layer.name.rpartition(".")[0], "Linear",
            "head" if "head" in layer.name else "stem" if "linear1" in layer.name else "body", False,
        )
        for layer in layers
    )  # fmt: skip
    a_epoch = -(-group.pictures // group.batch)
    counts, held_counts = (tuple(torch.bincount(part, minlength=group.classes).tolist()) for part in (labels, held))
    names = tuple(f"class {number}" for number in range(group.classes))
    plan = RunPlan(layers, a_epoch, a_epoch * group.epochs, names, group.pictures, group.validation, TRUTH, "cpu")
    decay = float(optimizers.settings(config).get("weight_decay", 0.0))
    facts = Facts(infos, counts, held_counts, decay, direct_decay=group.optimizer in ("AdamW", "SGD"), guess_loss=float(np.log(group.classes)))
    return Doctor(config, plan, facts, clock=lambda: 0.0)


GROUPS = (
    Group(change=2.0),
    Group(optimizer="SGD", schedule="CosineAnnealingLR"),
    Group(optimizer="Adam", schedule="OneCycleLR", classes=3, hidden=48),
    Group(optimizer="RMSprop", batch=16, classes=8, pictures=320, epochs=8),
    Group(schedule="WarmupCosine", depth=4, norm=True, epochs=12),
    Group(optimizer="SGD", clip=0.5, validation=40, pictures=240, epochs=14, batch=24),
    Group(optimizer="Adagrad", classes=10, pictures=600, epochs=8, change=0.3),
    Group(schedule="CosineAnnealingWarmRestarts", epochs=12, wrong=0.3),
    Group(optimizer="SGD", schedule="CyclicLR", epochs=12),
    Group(optimizer="SGD", schedule="MultiStepLR", pictures=640, batch=16, epochs=6, rates=(0.2, 1.5)),
)
