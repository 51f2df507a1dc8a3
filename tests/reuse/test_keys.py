"""Kept features are found again where, and only where, they would be the same to the bit: what decides them is in the key."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from core.config import RunConfig
from core.machine.home import Home
from core.networks import models
from core.training.trainer import StepReport
from core.worker.assembly import assemble

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL: dict[str, Any] = {
    "dataset": "digits", "model": "small_cnn", "image_size": 8, "freeze": "head only", "batch_size": 100, "epochs": 1, "threads": 1,
}  # fmt: skip


def key(home: Home, **changes: Any) -> str:
    """The key under which a run with these settings keeps the features of its training pictures."""
    weights = home.path / "weights.pth"
    if not weights.exists():
        torch.manual_seed(0)
        weights.parent.mkdir(parents=True, exist_ok=True)
        torch.save(models.build("small_cnn", 10, 8).state_dict(), weights)
    settings = {"starting_weights": str(weights), **SMALL, **changes}
    trainer = assemble(RunConfig(**settings), home).trainer
    assert any(isinstance(report, StepReport) for report in trainer.run())
    trainer.partition.close()
    keys = {key for key, table in trainer.partition._tables.items() if table is trainer.partition._ways["train"].table}
    assert len(keys) == 1, trainer.partition.tell().reason
    return keys.pop()


OTHERS: dict[str, dict[str, Any]] = {
    "batches of another size: kernels add up in another order": {"batch_size": 128},
    "another number of threads": {"threads": 2},
    "pictures of another size": {"image_size": 16},
    "pictures of another dataset": {"dataset": "shapes"},
    "pictures that are mirrored": {"augmentation": "flip"},
    "pictures that are changed in a fixed way": {"augmentation": "shift", "fixed_views": 1},
    "the same, drawn from another seed": {"augmentation": "shift", "fixed_views": 1, "seed": 1},
    "another part that is frozen": {"freeze": "stage1"},
    "other weights": {"starting_weights": "random", "seed": 3},
    "features that are rounded": {"feature_cache": "float16"},
    "another number format": {"precision": "bfloat16"},
}

SAME: dict[str, dict[str, Any]] = {
    "how fast the head learns": {"learning_rate": 0.5, "optimizer": "SGD", "schedule": "CosineAnnealingLR"},
    "how long it learns": {"epochs": 2},
    "how many batches make a step": {"accumulate": 2},
    "another order, and another validation set": {"seed": 1},
    "what is asked of a step": {"clip_norm": 1.0, "watch_every": 3, "class_weights": "balanced"},
}


def test_whatever_makes_other_features_has_a_key_of_its_own(home: Home) -> None:
    keys = {name: key(home, **changes) for name, changes in OTHERS.items()} | {"as it is": key(home)}
    alike = [(one, other) for one in keys for other in keys if one < other and keys[one] == keys[other]]
    assert alike == []


@pytest.mark.parametrize("changes", SAME.values(), ids=SAME.keys())
def test_what_leaves_the_features_as_they_are_finds_them_again(home: Home, changes: dict[str, Any]) -> None:
    assert key(home, **changes) == key(home)
