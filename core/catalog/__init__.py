"""What can be picked: datasets, models, losses, optimizers, schedules, augmentations and starting weights.

Explicit dicts of `Entry`s, name to entry. Nothing here imports torch before something is built: the web process reads the
catalogue and must stay free of it.
"""

from collections.abc import Mapping

from core.catalog.check import STARTING_WEIGHTS, check
from core.catalog.losses import LOSSES
from core.catalog.optimizers import OPTIMIZERS
from core.catalog.schedules import SCHEDULES
from core.config.entry import Entry, Option, find
from core.data.augmentations import AUGMENTATIONS
from core.data.datasets import DATASETS, class_names
from core.networks.model_entries import MODELS
from core.networks.models import find_model

CATALOGUES: Mapping[str, Mapping[str, Entry]] = {
    "dataset": DATASETS,
    "model": MODELS,
    "loss": LOSSES,
    "optimizer": OPTIMIZERS,
    "schedule": SCHEDULES,
    "augmentation": AUGMENTATIONS,
}
"""The fields of a config that name an entry, each with the entries that it can name."""

__all__ = [
    "AUGMENTATIONS",
    "CATALOGUES",
    "DATASETS",
    "LOSSES",
    "MODELS",
    "OPTIMIZERS",
    "SCHEDULES",
    "STARTING_WEIGHTS",
    "Entry",
    "Option",
    "check",
    "class_names",
    "find",
    "find_model",
]
