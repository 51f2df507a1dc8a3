"""What can be picked: explicit dicts of `Entry`s, name to entry; `CATALOGUES` has them all, those of `data` and `networks` too, and `check`
says whether the names and options of a `RunConfig` exist and go together. Nothing here imports torch before something is built: the web
process reads the catalogue.

A class weight multiplies the loss of a picture, for every loss. In BCEWithLogitsLoss and MultiLabelSoftMarginLoss torch's `weight`
multiplies an output whatever the picture is of, which balances nothing; those get it from outside. Where torch divides by the sum of
weights (cross entropy), parts of a batch and sums of an epoch count by it (`own_losses.dividing_weight`).
"""

from collections.abc import Mapping

from core.catalog.check import STARTING_WEIGHTS, check
from core.catalog.losses import LOSSES
from core.catalog.optimizers import OPTIMIZERS
from core.catalog.schedules import SCHEDULES
from core.config.entry import Entry, Option, find
from core.data.augmentations import AUGMENTATIONS
from core.data.datasets import DATASETS, class_names, survey
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
    "survey",
]
