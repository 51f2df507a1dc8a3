"""What a training step costs, as data: `core.measuring.bench` finds it out, a page shows it. No torch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from core.config import RunConfig

MATTERS = (
    "model", "image_size", "freeze", "frozen_randomness", "head_dropout", "head_hidden", "loss", "loss_options", "optimizer", "momentum",
    "weight_decay", "optimizer_options", "batch_size", "device", "precision", "memory_format", "fused_optimizer", "im2col_gradients", "threads",
)  # fmt: skip
"""The fields of a config that a step's cost depends on."""


@dataclass(frozen=True)
class Cost:
    """What one training step needs, and what follows for the run, under the freeze plan that the run starts with.

    `trainable` of `total` values learn. Bytes: `weight_bytes` of parameters and buffers, `gradient_bytes` of the gradients,
    `optimizer_bytes` of the optimizer's state, `activation_bytes` of what autograd keeps from the forward pass for the backward
    pass of one batch (weights not counted again), `peak_bytes` at the worst moment (None: the device does not tell).

    `step_seconds` is the median of `steps_measured` steps on `device`: moving a batch there, forward, backward, update; reading
    and augmenting images, and validation, are not in it. `epoch_seconds` and `total_seconds` are that many steps. Where a batch
    would take long, `images_measured` is less than the batch size, and times and bytes are scaled up from that many images.

    `backward_nodes` counts the nodes of the autograd graph that `backward()` walks: all that can be reached from the loss's
    `grad_fn`, itself and the one of each learning tensor included; `all_nodes` is the same with everything trainable.
    `backward_share` is `core.records.layers.backward_share`.
    """

    trainable: int
    total: int
    weight_bytes: int
    gradient_bytes: int
    optimizer_bytes: int
    activation_bytes: int
    step_seconds: float
    steps_per_epoch: int | None
    epoch_seconds: float | None
    total_seconds: float | None
    backward_nodes: int
    all_nodes: int
    backward_share: float
    device: str
    steps_measured: int
    peak_bytes: int | None
    images_measured: int = 0

    def of_run(self, config: RunConfig, train_samples: int | None) -> Cost:
        """This cost, with the times of a run on `train_samples` images (None: unknown)."""
        if train_samples is None:
            return replace(self, steps_per_epoch=None, epoch_seconds=None, total_seconds=None)
        steps = steps_per_epoch(train_samples, config.batch_size * config.accumulate)
        seconds = steps * config.accumulate * self.step_seconds
        return replace(self, steps_per_epoch=steps, epoch_seconds=seconds, total_seconds=seconds * config.epochs)


@dataclass(frozen=True)
class CostState:
    """How far a question about cost is: `cost` once it is done, `message` why it waits or has failed."""

    status: Literal["measuring", "done", "failed"]
    cost: Cost | None = None
    message: str = ""

    @property
    def failed(self) -> bool:
        """True: there is no cost, and `message` says why."""
        return self.status == "failed"


def what_matters(config: RunConfig, train_samples: int | None) -> dict[str, Any]:
    """The fields of `config` that a step's cost depends on. A batch is never larger than the training set."""
    values = config.model_dump(include=set(MATTERS))
    if train_samples:
        values["batch_size"] = min(config.batch_size, train_samples)
    return values


def steps_per_epoch(train_samples: int, batch_size: int) -> int:
    """As `core.data.loader.steps_per_epoch` has it for training: a last batch of a single image is left out where there are others."""
    full, rest = divmod(train_samples, batch_size)
    return full + (rest > 1 or (rest == 1 and full == 0))
