"""PyTorch's `Dataset` and `DataLoader`, from images in memory to batches.

Training asks for one thing again and again: "the next batch, please". PyTorch cuts that into parts, and here is each of them:

- A **Dataset** knows how many samples there are and gives a sample for an index: `ImageDataset`.
- A **sampler** says in which order indices are asked for. A *batch* sampler gives the indices of a whole batch: `BatchOrder`.
- The **collate function** turns what the dataset gave into the batch that training sees: `Collate`.
- The **DataLoader** runs them: take indices from the sampler, fetch from the dataset, collate, hand over.
- A `Loader` holds what stays the same from epoch to epoch and makes one `DataLoader` an epoch.

Usually a dataset gives one sample at a time (`__getitem__`) and the collate function stacks them. Ours are decoded already and
lie in one tensor, so a whole batch is one indexing operation: a `DataLoader` that finds `__getitems__` (with an s) asks for a
batch at once. For the same reason there are no loader processes (`num_workers=0`): fetching takes less time than sending would.

Images stay uint8, a quarter of float32, until they are on the device: there, `Normalise` makes them floats.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Sampler
from torchvision.transforms.v2 import functional

from core import cost

Batch = tuple[Tensor, Tensor]
"""Images uint8 [N, 3, S, S] and labels int64 [N]."""

Augment = Callable[[Tensor, torch.Generator], Tensor]
"""Random changes: uint8 [N, 3, S, S] and a source of chance to uint8 [N, 3, S, S]."""


class ImageDataset(Dataset[Batch]):
    """Some of the images of a store, as squares of `image_size` pixels with 3 channels.

    Args:
        images: uint8 [M, C, H, W], C 1 (grey) or 3; it may be a memory-mapped file.
        labels: int64 [M].
        indices: int64 [N], the samples of this dataset; two datasets (training, validation) can share one store.
        image_size: side of what is given out, in pixels.
    """

    def __init__(self, images: Tensor, labels: Tensor, indices: Tensor, image_size: int) -> None:
        self.images = images
        self.labels = labels
        self.indices = indices
        self.image_size = image_size

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Batch:
        """One sample: image uint8 [3, S, S], label int64 []."""
        images, labels = self.__getitems__([index])
        return images[0], labels[0]

    def __getitems__(self, indices: list[int]) -> Batch:
        """The samples at `indices` in one go: images uint8 [N, 3, S, S], labels int64 [N]."""
        chosen = self.indices[torch.as_tensor(indices, dtype=torch.int64)]
        images = resize(self.images[chosen], self.image_size)
        if images.shape[1] == 1:
            images = images.repeat(1, 3, 1, 1)  # models expect colour: a grey image has three equal channels
        return images, self.labels[chosen]


class BatchOrder(Sampler[list[int]]):
    """The indices of each batch of one epoch, in a random order if there is a generator, else as they come.

    Every sample comes once, the last batch may be smaller. One exception: a last training batch of a single sample is left
    out where there are others, because BatchNorm cannot work out a variance from one sample.
    """

    def __init__(self, samples: int, batch_size: int, generator: torch.Generator | None = None) -> None:
        self.samples = samples
        self.batch_size = batch_size
        self.generator = generator

    def __len__(self) -> int:
        return steps_per_epoch(self.samples, self.batch_size, training=self.generator is not None)

    def __iter__(self) -> Iterator[list[int]]:
        order = torch.arange(self.samples) if self.generator is None else torch.randperm(self.samples, generator=self.generator)
        indices = order.tolist()
        for step in range(len(self)):
            yield indices[step * self.batch_size : (step + 1) * self.batch_size]


class Collate:
    """What the dataset gave, made into the batch that training sees: already stacked, so only the random changes are left.

    Each batch has its own source of chance, made from (seed, epoch, number of the batch).
    """

    def __init__(self, augment: Augment | None, seed: int, epoch: int) -> None:
        self.augment = augment
        self.seed = seed
        self.epoch = epoch
        self.number = 0

    def __call__(self, batch: Any) -> Batch:
        """The batch that `ImageDataset.__getitems__` gave, changed by chance."""
        images, labels = batch
        if self.augment is not None:
            images = self.augment(images, generator_for(self.seed, self.epoch, self.number))
        self.number += 1
        return images, labels


class Loader:
    """The batches of each epoch of one dataset.

    Args:
        images: what to load.
        batch_size: samples in a batch.
        seed: for training: order and random changes are a function of (seed, epoch) and of nothing else. None for
            evaluation: a fixed order, nothing random.
        augment: random changes to each training batch.
        pin_memory: put batches into page-locked memory, from which a CUDA device can copy while the processor works on.
    """

    def __init__(
        self, images: ImageDataset, batch_size: int, seed: int | None = None, augment: Augment | None = None, pin_memory: bool = False
    ) -> None:
        self.images = images
        self.batch_size = batch_size
        self.seed = seed
        self.augment = augment
        self.pin_memory = pin_memory

    def __len__(self) -> int:
        """Batches, that is steps, in an epoch."""
        return steps_per_epoch(len(self.images), self.batch_size, training=self.seed is not None)

    def batches(self, epoch: int) -> Iterator[Batch]:
        """One epoch: images uint8 [N, 3, S, S] and labels int64 [N], N the batch size or, in the last batch, what is left."""
        seed = 0 if self.seed is None else self.seed
        loader: DataLoader[Batch] = DataLoader(
            self.images,
            batch_sampler=BatchOrder(len(self.images), self.batch_size, None if self.seed is None else generator_for(seed, epoch)),
            collate_fn=Collate(self.augment, seed, epoch),
            pin_memory=self.pin_memory,
            generator=torch.Generator(),  # else each epoch takes a number from the global one, which dropout uses too
        )
        return iter(loader)


class Normalise(nn.Module):
    """uint8 images [N, 3, S, S] of 0 to 255 to floats around 0: divide by 255, take off the mean, divide by the spread.

    `mean` and `std` have one figure a channel, on the scale of 0 to 1. They are kept out of `state_dict`.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Images uint8 [N, 3, S, S] to float32 [N, 3, S, S] on the same device."""
        # In place after the first operation: the same bits as (images / 255 - mean) / std with a quarter of the memory.
        return images.to(self.mean.dtype).div_(255).sub_(self.mean).div_(self.std)


def resize(images: Tensor, image_size: int) -> Tensor:
    """uint8 [N, C, H, W] to squares of `image_size` pixels, bilinear and antialiased. The same tensor where nothing is to do."""
    if images.shape[-2:] == (image_size, image_size):
        return images
    resized: Tensor = functional.resize(images, [image_size, image_size], antialias=True)
    return resized


def steps_per_epoch(samples: int, batch_size: int, training: bool) -> int:
    """Number of batches in an epoch: see `BatchOrder` for the batch that training leaves out."""
    return cost.steps_per_epoch(samples, batch_size) if training else -(-samples // batch_size)


def generator_for(seed: int, *place: int) -> torch.Generator:
    """A source of chance of its own for each place (epoch, number of the batch, ...) of a run with this seed."""
    state = int(np.random.SeedSequence([seed, *place]).generate_state(1, np.uint64)[0])
    return torch.Generator().manual_seed(state >> 1)  # manual_seed takes 63 bits
