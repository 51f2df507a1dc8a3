"""Carries out a run's `fault`: breaks data or training on purpose, as a person might by mistake. The loop itself is left as it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch

from core.config import ConfigError, RunConfig
from core.data import Data
from core.data.loader import generator_for
from core.training.trainer import Trainer

KEPT = 20
"""Of a class that is made rare, one picture in so many stays."""


def break_data(data: Data, config: RunConfig) -> Data:
    """`data` with the fault of `config` in its training set; as it is for a fault that is none of the data's.

    Raises:
        ConfigError: on `fault`, where the dataset's own test set leaves nothing to leak.
    """
    train = data.train.images
    labels, indices = train.labels, train.indices
    match config.fault:
        case "shuffled labels":
            order = torch.randperm(len(indices), generator=generator_for(config.seed))
            labels = labels.clone()
            labels[indices] = train.labels[indices[order]]
        case "leaking split":
            measured = [loader.images for loader in (data.validation, data.test) if loader is not None]
            same = [images for images in measured if images.images is train.images]
            if not same:
                remedy = "use a dataset without a test set of its own, such as digits, or set validation_share above 0"
                raise ConfigError("fault", f"'leaking split' finds no pictures to leak from the test set of {config.dataset}; {remedy}")
            indices = torch.cat([indices, *(images.indices for images in same)])
        case "imbalanced classes":
            rare = labels[indices] >= len(data.classes) // 2
            kept = ~rare | (torch.arange(len(indices)) % KEPT == 0)
            for label in range(len(data.classes)):  # each class keeps at least one
                kept[(labels[indices] == label).nonzero()[0]] = True
            indices = indices[kept]
        case _:
            return data
    return replace(data, train=data.train.of(labels, indices))


def break_training(trainer: Trainer, config: RunConfig) -> None:
    """Put the fault of `config` into a trainer that is ready to run."""
    optimizer, model = trainer.optimizer, trainer.model
    match config.fault:
        case "no zero_grad":
            _put(optimizer, "zero_grad", lambda set_to_none=True: None)
        case "all frozen":
            trainer.freezing.freeze([name for name, _ in model.named_parameters()])
        case "drifting BatchNorm":
            _put(trainer.freezing, "train", model.train)
        case "frozen in optimizer":
            frozen = [parameter for parameter in model.parameters() if not parameter.requires_grad]
            for parameter in frozen:
                parameter.grad = torch.zeros_like(parameter)
            optimizer.param_groups[0]["params"] += frozen
            _put(optimizer, "zero_grad", partial(optimizer.zero_grad, set_to_none=False))


def _put(owner: object, name: str, method: Callable[..., object]) -> None:
    """Put `method` in the place of a method of one object."""
    setattr(owner, name, method)
