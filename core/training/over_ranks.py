"""The training loop on one of several devices, which all do the same steps together: what of `Trainer` is another thing there.

A step's pictures are those of one device. Each rank takes its part of them, computes the gradients of its share of the mean loss, and all
shares are added up; from there on every rank does what one device would do, with the same numbers: norms, clipping, the update, the schedule.
So weights, optimizer and schedule are the same on all ranks without anybody sending them, which `core.worker.together` proves by digests.

What differs from one device: sums are added in another order (so the last digits), and chance inside a step (dropout, stochastic depth) comes
from (seed, step, part, rank) instead of the run's one generator.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from core.data import Loader
from core.data.loader import Batch
from core.model.steering import Plan
from core.networks.models import loss_and_logits
from core.ranks.group import Group
from core.ranks.norms import WholeBatch
from core.training.trainer import EvaluationReport, Report, Score, StepReport, Tally, Trainer

MEET_EVERY = 8
"""Batches of an evaluation after which the ranks meet."""


class RankTrainer(Trainer):
    """`Trainer` of one rank of `group`. Arguments as `Trainer`; `partition.most` is the largest part of a batch that a rank takes.

    `meets`: whether the first rank decides something about the report at hand, so that all ranks stop and hear it.
    """

    def __init__(self, group: Group, seed: int, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.group = group
        self.ranks = group.ranks
        self.seed = seed
        self.meets = False
        self.norms = WholeBatch(self.model, group.gather)
        self.tally = StepTally(self.device, self._weight)
        self._asked = False
        self._step_began = time.perf_counter()
        self.partition.together = self._meet
        self._agreed = False  # whether all ranks know that they train the same tensors

    def run(self) -> Iterator[Report]:
        """See `Trainer.run`: the same reports on every rank."""
        self._step_began = time.perf_counter()
        for report in super().run():
            match report:
                case StepReport():
                    self.meets, self._asked = self._asked, False
                    now = time.perf_counter()
                    self.group.signs.stepped(report.step, now - self._step_began)
                case EvaluationReport():
                    self.meets = report.batch % MEET_EVERY == 0 or report.batch == report.batches
                case _:
                    self.meets = True
            yield report
            self._step_began = time.perf_counter()

    def follow(self, plan: Plan) -> None:
        """See `Trainer.follow`. What the others train is looked at with the next step, to which all come together."""
        super().follow(plan)
        self._agreed = False

    def _new_tally(self) -> Tally:
        return StepTally(self.device, self._weight)

    def _gradients(self, batch: Batch, tally: Tally) -> Tensor:
        """See `Trainer._gradients`: the loss and the gradients are those of the whole batch, on every rank."""
        assert isinstance(tally, StepTally)
        if not self._agreed:
            self.group.follow(self._parameters)
            self._agreed = True
        whole = self._counts(batch.labels)
        loss, right = torch.zeros((), device=self.device), torch.zeros((), dtype=torch.int64, device=self.device)
        share = 1.0
        parts = batch.parts(self.partition.most * self.group.ranks)  # those of one device
        for number, part in enumerate(parts):
            cut = self.group.is_cut(part)
            torch.manual_seed(_seed(self.seed, self.step, number, self.group.chance(part)))
            mine = self.group.part(part)
            counts = self._counts(mine.labels) / whole / (1 if cut else self.group.ranks)
            labels = mine.labels.to(self.device, non_blocking=True)
            if len(parts) == 1 and (quick := self.head.gradients(mine, self.stages)) is not None:
                mean, logits = quick
                share = float(counts)
            else:
                with self.norms.on(cut):
                    with self._autocast():
                        mean, logits = loss_and_logits(self.loss, self.partition.forward(mine, self.stages), labels)
                    self.stages.done("forward")
                    self.scaler.scale(mean * counts).backward()
            mean = mean.detach()
            loss += mean * counts
            if cut or self.group.rank == 0:  # what everybody has whole is counted once
                right += (logits.detach().argmax(dim=1) == labels).sum()
            self.stages.done("backward")
        summed = self.group.sum(loss, right, share)
        self.scaler.unscale_(self.optimizer)
        self._asked |= summed.meet
        tally.step(summed.loss, summed.right, batch.labels)
        self.stages.done("waiting")
        return summed.loss

    def _evaluate(self, loader: Loader, what: Literal["validation", "test"]) -> Generator[Report, None, Score]:
        """See `Trainer._evaluate`: each rank measures its part of each batch."""
        tally = Tally(self.device, self._weight)
        self.freezing.eval()
        self.partition.begin(what, loader)
        for number, batch in enumerate(loader.batches(0), start=1):
            if self.group.is_cut(batch) or self.group.rank == 0:
                for part in batch.parts(self.partition.most * self.group.ranks):
                    mine = self.group.part(part) if self.group.is_cut(batch) else part
                    labels = mine.labels.to(self.device, non_blocking=True)
                    with torch.inference_mode(), self._autocast():
                        logits = self.partition.forward(mine).float()
                        tally.add(self.loss(logits, labels), logits, labels)
            yield EvaluationReport(what, number, len(loader))
        loss, right, counts, samples = self.group.total([*tally.sums(), tally.samples])
        return Score(loss / max(counts, 1e-12), right / max(samples, 1))

    def _meet(self) -> None:
        self.group.total([0.0])


class StepTally(Tally):
    """A tally of whole steps, of which the right answers are counted already: the same on every rank."""

    def step(self, loss: Tensor, right: Tensor, labels: Tensor) -> None:
        """A step of this mean loss, with so many right answers, over all samples that have these labels."""
        self._losses.append(loss)
        self._counts.append(len(labels) if self.weight is None else self.weight[labels.to(self.device)].sum())
        self._right += right
        self.samples += len(labels)


def _seed(*place: int) -> int:
    """A source of chance for each place. 63 bits, as torch takes them."""
    return int(np.random.SeedSequence(place).generate_state(1, np.uint64)[0]) >> 1
