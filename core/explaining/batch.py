"""One picture under random changes, and one batch as the model is given it: nothing is trained."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core import catalog, data
from core.config import ConfigError, RunConfig
from core.data import augmentations, datasets
from core.data.decoding import Fit
from core.data.intake import UnreadableImage, decode_and_look
from core.data.loader import generator_for, resize
from core.data.sources import Source
from core.evaluation.pictures import data_uri
from core.explaining.specimen import check_dataset_is_here, first_pictures
from core.machine import devices
from core.machine.home import Home
from core.records.batches import VARIANTS, BatchSeen, Side, Variants

SHOWN = 8
"""Pictures of a batch that are drawn."""

SIDE = 160
"""Pixels a side at which pictures are drawn, at most."""


def variants(config: RunConfig, home: Home, number: int) -> Variants:
    """What random changes make of one training picture. Of a folder that one file alone is decoded.

    Args:
        number: which of the training pictures; behind the last it begins again.

    Raises:
        ConfigError: the settings cannot be used, the dataset is not on this machine yet, or the picture cannot be read.
    """
    config = catalog.check(config)
    check_dataset_is_here(config, home)
    entry = datasets.find_dataset(config.dataset)
    raw = entry.read(home.data, lambda text, share: None)
    chosen = augmentations.find_augmentation(config.augmentation)
    number %= len(raw.train)
    largest = augmentations.largest_side(config.image_size, chosen.smallest_area, len(raw.train))
    before, large = _picture(raw.train, number, config.image_size, config.fit, largest)
    augmentation = chosen.build()
    after = [augmentation([large], config.image_size, generator_for(config.seed, draw, number)) for draw in range(1, VARIANTS + 1)]
    return Variants(
        _shown(before),
        tuple(_shown(each[0]) for each in after),
        raw.classes[int(raw.train.labels[number])],
        number,
        len(raw.train),
        large.shape[-1],
        config.image_size,
    )


def _picture(source: Source, number: int, image_size: int, fit: Fit, largest: int) -> tuple[Tensor, Tensor]:
    """One picture as it goes into a batch, uint8 [3, S, S], and as parts are cut out of it, uint8 [3, L, L]."""
    if isinstance(source.images, tuple):
        file = source.images[number]
        try:
            found = decode_and_look(file, image_size, fit, None, largest if largest > image_size else None)
        except UnreadableImage as error:
            raise ConfigError("dataset", f"{file.name} cannot be read ({error}); look at another picture") from None
        small = torch.from_numpy(np.array(found.pixels))
        return small, small if found.large is None else torch.from_numpy(np.array(found.large)).permute(2, 0, 1)
    image = torch.from_numpy(np.array(source.images[number])).expand(3, -1, -1)
    small = resize(image[None], image_size, fit)[0]
    return small, image if image.shape[1] == image.shape[2] > image_size and largest > image_size else small


def batch_seen(config: RunConfig, home: Home) -> BatchSeen:
    """The first batch of a run with these settings.

    Raises:
        ConfigError: the settings cannot be used, or the dataset is not on this machine yet.
    """
    config = catalog.check(config)
    check_dataset_is_here(config, home)
    images = data.prepare(config, home, lambda text, share: None)
    pixels, labels = first_pictures(images, min(config.batch_size, len(images.train.images)))
    figures = catalog.find_model(config.model).normalise
    device = devices.resolve(config.device)
    normalise = data.Normalise(*figures, config.memory_format == "channels_last").to(device)
    given = normalise(pixels.to(device))
    again = ((given * normalise.std + normalise.mean) * 255).cpu()
    some = given[:SHOWN].cpu()
    low, high = float(given.min()), float(given.max())
    stretched = (some - low) / max(high - low, 1e-12) * 255
    numbers = labels[:SHOWN].tolist()
    return BatchSeen(
        _side(pixels),
        _side(given),
        figures.mean,
        figures.std,
        tuple(_shown(_bytes(each)) for each in again[:SHOWN]),
        tuple(_shown(_bytes(each)) for each in stretched),
        tuple(images.classes[label] for label in numbers),
        tuple(numbers),
        float((again - pixels).abs().max()),
    )


def _side(tensor: Tensor) -> Side:
    values = tensor.float()
    return Side(
        tuple(tensor.shape),
        str(tensor.dtype).removeprefix("torch."),
        str(tensor.device),
        float(values.min()),
        float(values.max()),
        tuple(values.mean(dim=(0, 2, 3)).tolist()),
        tuple(values.std(dim=(0, 2, 3)).tolist()),
        math.prod(tensor.shape) * tensor.element_size() / 1e6,
    )


def _bytes(picture: Tensor) -> Tensor:
    return picture.round().clamp(0, 255).to(torch.uint8)


def _shown(picture: Tensor) -> str:
    pixels: NDArray[np.uint8] = picture.numpy()
    return data_uri(pixels, min(picture.shape[-1], SIDE))
