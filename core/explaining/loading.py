"""A `Dataset` and a `DataLoader` over a version of a person's own pictures, tried out: what comes back, and in which order. With torch."""

from __future__ import annotations

from typing import cast

import torch

from core import versions
from core.config import ConfigError
from core.data.decoding import DECODING_ERRORS, Fit, decode
from core.data.loader import BatchOrder, generator_for
from core.evaluation.pictures import data_uri
from core.machine.home import Home
from core.records.loading import Loading
from core.versions import Item, Version

MOST_BATCH = 128
"""Samples of a batch that are decoded for a look."""


def samples(version: Version, split: str) -> list[Item]:
    """The pictures of a split in the order of the version: what index 0, 1, 2 ... of the dataset is. `split` 'all': every picture."""
    return [item for item in version.items if split in ("all", item.split)]


def loading(home: Home, dataset: str, number: int, split: str, index: int, image_size: int, batch_size: int, seed: int) -> Loading:
    """See `Loading`. Only one batch and one sample are decoded.

    Raises:
        ConfigError: there is no such version, split or index, or one of these pictures cannot be read.
    """
    version = versions.read(home, dataset, number)
    items = samples(version, split)
    if not items:
        raise ConfigError("split", f"{version.text} has no pictures in {split!r}; choose another")
    if not 0 <= index < len(items):
        raise ConfigError("index", f"there is no sample {index:,}: they are numbered from 0 to {len(items) - 1:,}")
    batch_size = min(max(1, batch_size), MOST_BATCH)
    orders = [_first_batch(len(items), batch_size, *place) for place in ((seed, 1), (seed, 2), (seed + 1, 1))]
    image = _image(home, version, items[index], image_size)
    batch = torch.stack([_image(home, version, items[place], image_size) for place in orders[0]])
    label_of = {name: place for place, name in enumerate(version.classes)}
    order = BatchOrder(len(items), batch_size, generator_for(seed, 1))
    return Loading(
        len(items), index, label_of[items[index].label], data_uri(image.numpy()), tuple(image.shape), str(image.dtype),
        int(image.min()), int(image.max()), tuple(batch.shape), tuple(label_of[items[place].label] for place in orders[0]),
        batch.nbytes, 4 * batch.nbytes, len(order), min(batch_size, len(items) - (len(order) - 1) * batch_size), (orders[0], orders[1], orders[2]),
    )  # fmt: skip


def _first_batch(length: int, batch_size: int, seed: int, epoch: int) -> tuple[int, ...]:
    return tuple(next(iter(BatchOrder(length, batch_size, generator_for(seed, epoch)))))


def _image(home: Home, version: Version, item: Item, image_size: int) -> torch.Tensor:
    """uint8 [3, S, S]."""
    try:
        return torch.from_numpy(decode(versions.path_of(home, version.dataset, item), image_size, cast(Fit, version.fit or "crop")).copy())
    except DECODING_ERRORS as error:
        raise ConfigError("dataset", f"{item.name} of {version.text} cannot be read ({error}); leave it out") from None
