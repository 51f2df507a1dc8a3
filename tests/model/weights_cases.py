"""What the tests of starting weights share: a small model, files, and the message of a refusal."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from core.config import ConfigError, RunConfig
from core.model import weights
from core.networks import models

CLASSES = 4


def small(seed: int = 0, classes: int = CLASSES) -> nn.Module:
    torch.manual_seed(seed)
    return models.build("small_cnn", classes, 16)


def config(path: object = "random", model: str = "small_cnn", image_size: int = 64) -> RunConfig:
    return RunConfig(model=model, starting_weights=str(path), image_size=image_size)


def saved(content: object, path: Path) -> Path:
    torch.save(content, path)
    return path


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(tensor, other[name]) for name, tensor in one.items())


def refusal(model: nn.Module, wanted: RunConfig) -> str:
    """The message with which loading is refused. The model must come out of it as it went in."""
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(ConfigError) as refused:
        weights.load(model, wanted)
    assert refused.value.field == "starting_weights"
    assert same(model.state_dict(), before)
    return refused.value.message
