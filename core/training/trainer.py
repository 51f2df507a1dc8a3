"""The training loop. Read this file first.

`Trainer.run` is a generator: it trains, and after each step it yields what happened. Whoever iterates it decides what to do
with that (record it, draw it, pause, change what is frozen, stop by not asking for more). It touches no disk, knows no clock
and guesses no device.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from core.catalog.own_losses import dividing_weight
from core.config.plans import Change, Timeline
from core.data import Loader
from core.data.loader import Batch
from core.model.freezing import trainable
from core.model.steering import Plan, Steering
from core.model.unmarked import unmark
from core.networks.models import loss_and_logits
from core.reuse.linear_head import LinearHead
from core.reuse.partition import Partition
from core.signals.profiling import Stages
from core.signals.watch import Sample, Values, Watch, gradient_norms

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class StepReport(NamedTuple):  # made thousands of times a second: a tuple takes a quarter of the time of a frozen dataclass
    """One training step. `loss` (float32 scalar) and `gradient_norms` (float32[trainable tensors]) are still on the device:

    reading them waits for it, so collect a few and read them together. The norms are None where watching every step would cost
    too much (`core.signals.watch.Pace`). `frozen` bool[tensors] says which tensors the norms leave out: the same array until the plan
    changes. `sample` is what the update did to the weights, at some steps; `values` are copies that somebody asked for.
    """

    step: int
    epoch: int
    samples: int
    learning_rate: float
    loss: Tensor
    gradient_norms: Tensor | None
    frozen: NDArray[np.bool_]
    sample: Sample | None
    values: tuple[Values, ...]


@dataclass(frozen=True)
class ChangeReport:
    """From step `step` on, `plan` holds: `change` was made."""

    step: int
    change: Change
    plan: Plan


@dataclass(frozen=True)
class EvaluationReport:
    """One batch of a validation or test pass is done: a chance to obey a command or show progress."""

    what: Literal["validation", "test"]
    batch: int
    batches: int


@dataclass(frozen=True)
class Score:
    """Mean loss over samples, and the share (0 to 1) of samples whose highest logit was the label."""

    loss: float
    accuracy: float


@dataclass(frozen=True)
class EpochReport:
    """One pass over the training set, measured while training, and the validation after it (None without a validation set)."""

    epoch: int
    step: int
    train: Score
    validation: Score | None


@dataclass(frozen=True)
class TrainedReport:
    """All steps are done: nothing learns from here on. Early stopping may now bring back the weights of an earlier epoch."""

    step: int


@dataclass(frozen=True)
class FinalReport:
    """The test set, seen once, after the last epoch."""

    test: Score


@dataclass(frozen=True)
class Place:
    """Where a training stands: `batches` of epoch `epoch` are done. A whole epoch is followed by (its number + 1, 0)."""

    epoch: int = 1
    batches: int = 0


Report = StepReport | ChangeReport | EvaluationReport | EpochReport | TrainedReport | FinalReport


class Trainer:
    """Trains the model of `steering`, which lies on `device`, for `epochs` passes over `train`.

    Args:
        steering: the model, which of its parameters stay as they are, and the optimizer that moves the others.
        watch: measures what each step does.
        loss: (logits [N, classes], labels int64 [N]) -> scalar.
        timeline: what changes by itself at the beginning of an epoch or step.
        partition: gives what the model gives for a batch, without computing again what cannot have changed.
        train: batches of the samples of one step; the gradients of one that is more than `partition.most` are added up.
        clip_norm: longest gradient, over all parameters, that an update may use; None: any.
        early_stopping: epochs without a lower validation loss after which training ends with the best weights; None: never.
    """

    ranks = 1
    """Devices that share the training."""

    def __init__(
        self,
        *,
        steering: Steering,
        watch: Watch,
        loss: nn.Module,
        timeline: Timeline,
        partition: Partition,
        train: Loader,
        validation: Loader | None,
        test: Loader,
        epochs: int,
        device: torch.device,
        precision: str = "float32",
        clip_norm: float | None = None,
        early_stopping: int | None = None,
    ) -> None:
        self.steering = steering
        self.watch = watch
        self.freezing = steering.freezing
        self.model = steering.freezing.model
        self.optimizer = steering.optimizer
        unmark(self.optimizer)
        self.loss = loss.to(device)
        self._weight = dividing_weight(self.loss)
        self.timeline = timeline
        self.partition = partition
        self.head = LinearHead(partition, self.loss, precision)
        self.train = train
        self.validation = validation
        self.test = test
        self.epochs = epochs
        self.device = device
        self.precision = precision
        self.clip_norm = clip_norm
        self.early_stopping = early_stopping
        self.stages = Stages()
        self.step = 0  # training steps done
        self._parameters = trainable(self.model)
        self._frozen = steering.plan.frozen
        # The last finished epoch, or the one whose weights early stopping brought back: its figures are the run's.
        self.epoch: EpochReport | None = None
        self.place = Place()
        self.tally = Tally(device, self._weight)  # of the epoch at hand
        self.best = Best(early_stopping)
        self.at_rest = True  # False while only some of the changes of one moment are made: nothing may begin again from there
        self.before_update: Callable[[], object] = lambda: None
        """Called when the weights are about to move: whoever still copies them can have the update wait."""
        # Small gradients are 0 in float16: the loss is scaled up before backward, the gradients down after it.
        self.scaler = torch.amp.GradScaler(device.type, enabled=precision == "float16")

    def run(self) -> Iterator[Report]:
        """Train, validate after each epoch, test at the end; yield a report for each thing done. Begins at `place`."""
        while (epoch := self.place.epoch) <= self.epochs:
            if not self.place.batches:
                yield from self._due("epoch", epoch)
            train = yield from self._train_epoch(epoch)
            validation = (yield from self._evaluate(self.validation, "validation")) if self.validation else None
            self.epoch = EpochReport(epoch, self.step, train, validation)
            enough = self.best.seen_enough(self.epoch, self.model)
            self.place = Place(self.epochs + 1 if enough else epoch + 1)
            yield self.epoch
        yield TrainedReport(self.step)
        if self.best.epoch is not None:
            self.before_update()
            self.model.load_state_dict(self.best.state)
            self.partition.split()  # what is frozen now may have learned in between
            self.epoch = self.best.epoch
        yield FinalReport((yield from self._evaluate(self.test, "test")))

    def change(self, change: Change) -> ChangeReport:
        """Freeze, unfreeze or learn at another rate from the next step on. For whoever iterates, between two reports.

        Raises:
            ConfigError: the change cannot be made; everything is as it was.
        """
        plan = self.steering.change(change)
        self.follow(plan)
        return ChangeReport(self.step + 1, change, plan)

    def follow(self, plan: Plan) -> None:
        """Another plan holds, or the weights are others: look anew at what learns, and at what is computed once."""
        self._parameters, self._frozen = trainable(self.model), plan.frozen
        self.partition.split()

    def _train_epoch(self, epoch: int) -> Generator[Report, None, Score]:
        if not self.place.batches:
            self.tally = self._new_tally()
        tally = self.tally
        self.freezing.train()
        self.partition.begin("train", self.train)
        self.stages.begin()
        for batch in self.train.batches(epoch, self.place.batches):
            yield from self._due("step", self.step + 1)
            self.stages.done("data")
            loss = self._gradients(batch, tally)
            self.step += 1
            self.watch.loss(self.step, loss, batch)
            norms, values = self.watch.gradients(self.step, self._parameters), self.watch.values(self.model)
            self.before_update()
            self.watch.before_update(self.step, self._parameters)
            self.stages.done("watching")
            if self.clip_norm is not None:
                norms = gradient_norms(self._parameters) if norms is None else norms  # clipping needs them at every step
                nn.utils.clip_grads_with_norm_(self._parameters, self.clip_norm, torch.linalg.vector_norm(norms.clamp(min=0)))
            self.scaler.step(self.optimizer)  # each parameter moves along its .grad ...
            self.scaler.update()
            self.stages.done("optimizer")
            sample = self.watch.after_update(self.step, self._parameters, self.model)
            self.stages.done("watching")
            self.optimizer.zero_grad()  # ... which would otherwise add up from step to step
            learning_rate = self.steering.learning_rate
            self.steering.advance()
            self.place = Place(epoch, self.place.batches + 1)
            self.stages.done("optimizer")

            yield StepReport(self.step, epoch, len(batch), learning_rate, loss, norms, self._frozen, sample, values)
            self.stages.done("recording")
        return tally.score()

    def _new_tally(self) -> Tally:
        return Tally(self.device, self._weight)

    def _gradients(self, batch: Batch, tally: Tally) -> Tensor:
        """Fill `.grad` with d loss / d parameter of the whole batch, unscaled, and return the loss, cut off from the graph."""
        if (quick := self.head.gradients(batch, self.stages)) is not None:  # the same, bit for bit, where all that learns is one linear layer
            loss, logits = quick
            tally.add(loss, logits, batch.labels)
            self.stages.done("backward")
            return loss
        total: Tensor | None = None
        for part in batch.parts(self.partition.most):
            labels = part.labels.to(self.device, non_blocking=True)
            with self._autocast():
                loss, logits = loss_and_logits(self.loss, self.partition.forward(part, self.stages), labels)
            self.stages.done("forward")
            # A mean over samples: each part counts as much as it has of them.
            share = loss if len(part) == len(batch) else loss * (self._counts(labels) / self._counts(batch.labels))
            self.scaler.scale(share).backward()  # autograd adds d loss / d parameter to each trainable parameter's .grad
            tally.add(loss, logits, labels)
            total = share.detach() if total is None else total + share.detach()
            self.stages.done("backward")
        self.scaler.unscale_(self.optimizer)
        assert total is not None
        return total

    def _counts(self, labels: Tensor) -> Tensor | int:
        """What the mean of samples with these labels was divided by: their number, or the sum of their class weights."""
        return len(labels) if self._weight is None else self._weight[labels.to(self.device)].sum()

    def _due(self, unit: Literal["epoch", "step"], at: int) -> Iterator[ChangeReport]:
        """Make the changes that the timeline has for this moment."""
        for change in self.timeline.due(unit, at):
            self.at_rest = False
            yield self.change(change)
        self.at_rest = True

    def _evaluate(self, loader: Loader, what: Literal["validation", "test"]) -> Generator[Report, None, Score]:
        tally = Tally(self.device, self._weight)
        self.freezing.eval()
        self.partition.begin(what, loader)
        for number, batch in enumerate(loader.batches(0), start=1):
            labels = batch.labels.to(self.device, non_blocking=True)
            # Not around the yield: whoever iterates must not find itself without autograd.
            with torch.inference_mode(), self._autocast():
                logits = self.partition.forward(batch).float()
                tally.add(self.loss(logits, labels), logits, labels)
            yield EvaluationReport(what, number, len(loader))
        return tally.score()

    def _autocast(self) -> AbstractContextManager[object]:
        return nullcontext() if self.precision == "float32" else torch.autocast(self.device.type, dtype=DTYPES[self.precision])


class Tally:
    """Sums of loss and of right answers over the batches of a pass. Adding one computes nothing and waits for nothing.

    `weight` of each class: see `core.catalog.own_losses.dividing_weight`. Batches count then as much as the weights of their samples.
    """

    MOST_VALUES = 1_000_000
    """Logits that wait on the device to be compared with their labels; so many losses, too."""

    def __init__(self, device: torch.device, weight: Tensor | None) -> None:
        self.device = device
        self.weight = weight
        self.samples = 0
        self._sums = [0.0, 0.0, 0.0]  # loss, right answers, what was divided by
        self._right = torch.zeros((), dtype=torch.int64, device=device)
        self._losses: list[Tensor] = []
        self._counts: list[Tensor | int] = []
        self._answers: list[tuple[Tensor, Tensor]] = []
        self._values = 0

    def add(self, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        """A batch of which these are the mean loss, the logits [N, classes] and the labels int64 [N]."""
        self._losses.append(loss.detach())
        self._counts.append(len(labels) if self.weight is None else self.weight[labels].sum())
        self._answers.append((logits.detach(), labels))
        self._values += logits.numel()
        self.samples += len(labels)
        if self._values > self.MOST_VALUES:
            self._compare()

    def _compare(self) -> None:
        """Count the right answers of all that waits, on the device."""
        if self._answers:
            logits, labels = (torch.cat(each) for each in zip(*self._answers, strict=True))
            self._right += (logits.argmax(dim=1) == labels).sum()
            self._answers, self._values = [], 0
            if len(self._losses) > self.MOST_VALUES:
                self.sums()

    def sums(self) -> tuple[float, float, float]:
        """Those of the losses times what they count, of right answers, and of what they count. Waits for the device."""
        self._compare()
        if self._losses:
            counts = torch.stack(self._counts) if self.weight is not None else torch.tensor(self._counts, device=self.device)  # type: ignore[arg-type]
            products = torch.stack(self._losses) * counts.to(self._losses[0].dtype)
            # One after the other, in double precision: the same sum wherever a run that goes on was interrupted.
            for product, count in zip(products.tolist(), counts.tolist(), strict=True):
                self._sums[0] += product
                self._sums[2] += count
            self._losses, self._counts = [], []
        self._sums[1] = float(self._right.item())
        return self._sums[0], self._sums[1], self._sums[2]

    def remember(self, sums: tuple[float, float, float], samples: int) -> None:
        """Go on where another tally of the same pass stood."""
        self._sums, self.samples = list(sums), samples
        self._right.fill_(int(sums[1]))

    def score(self) -> Score:
        """Of all batches so far."""
        loss, right, counts = self.sums()  # the one wait of the pass
        return Score(loss / max(counts, 1e-12), right / max(self.samples, 1))


class Best:
    """Watches the validation loss for early stopping, and keeps the epoch that had the lowest, with a copy of its weights."""

    def __init__(self, patience: int | None) -> None:
        self.patience = patience
        self.loss = float("inf")
        self.epochs_since = 0
        self.epoch: EpochReport | None = None
        self.state: dict[str, Tensor] = {}

    def seen_enough(self, epoch: EpochReport, model: nn.Module) -> bool:
        """Take a finished epoch. True where training should end: no epoch was better for as long as patience lasts."""
        if self.patience is None or epoch.validation is None:
            return False
        self.epochs_since += 1
        if epoch.validation.loss < self.loss:
            self.loss, self.epochs_since = epoch.validation.loss, 0
            self.epoch, self.state = epoch, copy.deepcopy(model.state_dict())
        return self.epochs_since >= self.patience
