"""How well the features of a model that has not been trained on them tell a person's classes apart: nearest class mean. Nothing is trained."""

from __future__ import annotations

import torch
from torch import Tensor

from core import catalog, data
from core.config import ConfigError, RunConfig
from core.evaluation.intervals import wilson
from core.explaining.normalising import features_and_logits, starting_model
from core.explaining.specimen import check_dataset_is_here, first_pictures
from core.machine.home import Home
from core.model import anatomy
from core.records.how_much import Separation

MOST, LEAST = 400, 60
"""Pictures that are looked at, half of them for the means: as many as `WORK` allows."""

WORK = 4e11
"""FLOPs that looking may take, about: some ten seconds on a processor."""


def separation(config: RunConfig, home: Home) -> Separation:
    """How many of the first training pictures lie nearest to the mean of their own class, by the features in front of the head.

    Published weights are used if they are on this machine; nothing is downloaded. In eval mode, on the CPU.

    Raises:
        ConfigError: the settings cannot be used, the dataset is not on this machine yet, or it has too few pictures.
    """
    config = catalog.check(config)
    check_dataset_is_here(config, home)
    entry = catalog.find_model(config.model)
    images = data.prepare(config, home, lambda text, share: None)
    work = sum(anatomy.describe(config.model, len(images.classes), config.image_size).flops.values())
    count = min(len(images.train.images), max(LEAST, min(MOST, int(WORK / max(work, 1)))))
    pixels, labels = first_pictures(images, count)
    half = count // 2
    if half < 2:
        raise ConfigError("dataset", f"{count} training pictures are too few to compare with class means; add pictures")
    normalise = data.Normalise(*entry.normalise)
    model, _, said, trained = starting_model(config, entry, images.classes)
    right = _right(features_and_logits(model, entry, normalise(pixels))[0], labels, half)
    by_chance = None
    if trained:
        fresh, *_ = starting_model(config.replace(starting_weights="random"), entry, images.classes)
        by_chance = _right(features_and_logits(fresh, entry, normalise(pixels))[0], labels, half)
    found = wilson(right, count - half)
    assert found.value is not None
    assert found.low is not None
    assert found.high is not None
    most = int(labels[:half].bincount().argmax())
    guess = int((labels[half:] == most).sum())
    return Separation(right, count - half, half, found.value, found.low, found.high, by_chance, guess, said)


def _right(features: Tensor, labels: Tensor, half: int) -> int:
    """How many of the pictures from `half` on lie nearest to the mean of their own class among those before: features [N, F], labels int64 [N].

    A class without a picture in the first half has no mean, so its pictures count as wrong.
    """
    known = labels[:half].unique()
    means = torch.stack([features[:half][labels[:half] == label].mean(dim=0) for label in known])
    nearest = known[torch.cdist(features[half:], means).argmin(dim=1)]
    return int((nearest == labels[half:]).sum())
