"""One training step, to be timed or looked into: that of `core.training.trainer`, without the watching.

`core.measuring.bench` finds out with it what a plan costs, `core.measuring.tuning` which way of computing is the fastest.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from core import catalog
from core.catalog import losses, optimizers
from core.config import RunConfig
from core.data import Normalise
from core.model.freezing import Freezing, trainable
from core.networks.models import loss_and_logits
from core.training import im2col
from core.training.trainer import DTYPES

FORMATS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}

THREADS = torch.get_num_threads()
"""Threads that torch takes by itself: one for each core."""

Pair = tuple[Tensor, Tensor]
"""Images uint8 [N, 3, S, S] and labels int64 [N]."""


def laid_out(model: nn.Module, config: RunConfig) -> nn.Module:
    """`model` (itself) in the memory format of `config`, with the weight gradients that it asks for."""
    model = model.to(memory_format=FORMATS[config.memory_format])
    if config.im2col_gradients:
        im2col.use(model)
    return model


class Steps:
    """A model on its device with all that a step needs.

    The fields of `config` that count are those in `core.records.cost.MATTERS`, but for the model, which is given; compiling and threads
    are whoever's who makes one. Several can share a model, of which the one that was made or frozen last says what learns.

    Args:
        model: it is moved to `device` and into the memory format of `config`.
        frozen: names of the parameters that stay as they are.
        optimizer: of another one that shares the model, to share it too; None: a new one.
    """

    def __init__(
        self,
        model: nn.Module,
        config: RunConfig,
        device: torch.device,
        frozen: frozenset[str] = frozenset(),
        optimizer: torch.optim.Optimizer | None = None,
    ) -> None:
        self.config = config
        self.device = device
        self.model = laid_out(model.to(device), config)
        self.normalise = Normalise(*catalog.find_model(config.model).normalise, config.memory_format == "channels_last").to(device)
        self.loss = losses.build(config).to(device)  # no class weights: steps are compared with each other here, not with the run
        self.scaler = torch.amp.GradScaler(device.type, enabled=config.precision == "float16")
        self.prefix: Callable[[Tensor], tuple[Tensor, ...]] | None = None
        """What comes before `live` in a model that was cut (see `core.reuse.split`): it is run without gradients."""
        self.live: Callable[..., Any] = self.model
        """What a step runs."""
        self.freeze(frozen, optimizer)

    def freeze(self, frozen: frozenset[str], optimizer: torch.optim.Optimizer | None = None) -> None:
        """Have these parameters frozen, and all others learn."""
        Freezing(self.model, frozen, self.config.frozen_randomness).train()
        self.learning = trainable(self.model)
        self.optimizer = optimizer or optimizers.build(self.config, self.learning)

    def inputs(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """What `live` is given for images uint8 [N, 3, S, S]: the same as floats, or what the prefix makes of them."""
        images = self.normalise(pixels.to(self.device, non_blocking=True))
        if self.prefix is None:
            return (images,)
        with torch.no_grad(), self._autocast():
            return self.prefix(images)

    def loss_of(self, inputs: tuple[Tensor, ...], labels: Tensor) -> Tensor:
        """The loss of a batch of which `inputs` were made."""
        labels = labels.to(self.device, non_blocking=True)
        with self._autocast():
            loss, _ = loss_and_logits(self.loss, self.live(*inputs), labels)
        return loss

    def forward(self, batch: Pair) -> Tensor:
        """The loss of a batch."""
        images, labels = batch
        return self.loss_of(self.inputs(images), labels)

    def backward(self, loss: Tensor) -> None:
        """Fill the gradients."""
        self.scaler.scale(loss).backward()

    def update(self) -> None:
        """Move the weights, and drop the gradients."""
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad()

    def seconds_of_pass(self, batch: Pair) -> float:
        """How long forward and backward take."""
        return self.seconds(lambda: self.backward(self.forward(batch)))

    def seconds_of_update(self) -> float:
        """How long `update` takes."""
        return self.seconds(self.update)

    def seconds(self, work: Callable[[], Any]) -> float:
        """How long `work` takes, until the device has done all of it."""
        self._wait()
        began = time.perf_counter()
        work()
        self._wait()
        return time.perf_counter() - began

    def _autocast(self) -> torch.autocast:
        precision = self.config.precision
        return torch.autocast(self.device.type, dtype=DTYPES[precision], enabled=precision != "float32")

    def _wait(self) -> None:
        if self.device.type != "cpu":
            torch.accelerator.synchronize(self.device)


def images_within(seconds: float, whole: int, seconds_of: Callable[[int], float], known: tuple[int, float]) -> int:
    """How many images, `whole` at most, go through in about `seconds`. `seconds_of` measures; `known` has been (images, seconds)."""
    images, taken = known
    while True:
        # A pass has a part that is the same for few images and many: more images take less than in proportion, never more.
        more = int(images * seconds / max(taken, 1e-9))
        if more >= whole:
            return whole
        if more < 2 * images:
            return min(max(more, 2 * known[0]), whole)
        images, taken = more, seconds_of(more)
