"""A value for each field of a run, and what it can be looked at with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.config.cluster import EXAMPLE, SLURM

EXAMPLES: Mapping[str, str] = {
    "dataset": "digits",
    "model": "resnet18",
    "starting_weights": "random",
    "image_size": "64",
    "fit": "crop",
    "freeze": "'head only'",
    "head_dropout": "0.2",
    "head_hidden": "256",
    "timeline": "'3: !layer4'",
    "learning_rate_multipliers": "'layer4=0.3, head=10'",
    "loss": "CrossEntropyLoss",
    "loss_options": '{"label_smoothing": 0.1}',
    "class_weights": "balanced",
    "optimizer": "AdamW",
    "learning_rate": "0.001",
    "momentum": "0.9",
    "weight_decay": "0.01",
    "optimizer_options": '{"eps": 1e-8}',
    "schedule": "constant",
    "schedule_options": '{"gamma": 0.1}',
    "batch_size": "32",
    "epochs": "5",
    "device": "auto",
    "devices": "1",
    "nodes": "1",
    "rendezvous": "none",
    "restarts": "1",
    "silence_seconds": "25",
    "target": "slurm",
    "partition": "none",
    "time_limit": "60",
    "sbatch": f"'{EXAMPLE}'",
    "precision": "float32",
    "augmentation": "none",
    "seed": "0",
    "watch_every": "10",
    "validation_share": "0.2",
    "doubles": "'leave out'",
    "early_stopping": "3",
    "accumulate": "4",
    "clip_norm": "1.0",
    "speed": "exact",
    "memory_format": "contiguous",
    "fused_optimizer": "false",
    "compile_model": "false",
    "fold_norms": "false",
    "im2col_gradients": "false",
    "threads": "2",
    "frozen_randomness": "true",
    "feature_cache": "exact",
    "feature_cache_gigabytes": "8",
    "fixed_views": "4",
    "watch_budget": "0.02",
    "checkpoint_minutes": "5",
    "forgetting": "true",
    "old_task": "old-pictures",
    "fault": "none",
}
"""A value for each field of a run that can be used: the remedy in an error."""

_BESIDE: Mapping[str, Mapping[str, Any]] = {
    "rendezvous": {"nodes": 2},
    **{field: {"target": SLURM} for field in ("partition", "time_limit", "sbatch")},
}
"""The fields that mean something only beside another one, and that one."""


def beside(field: str, given: Mapping[str, Any]) -> Mapping[str, Any]:
    """With what else a field's value can be looked at by itself: a timeline must end with the last epoch; what means nothing alone has company.

    Args:
        given: the values of the other fields, as far as they are known, not validated.
    """
    epochs = given.get("epochs")
    if field == "timeline" and isinstance(epochs, int) and 1 <= epochs <= 100_000:
        return {"epochs": epochs}
    return _BESIDE.get(field, {})
