"""PyTorch's `Dataset` and `DataLoader`, from images in memory to batches.

Training asks for one thing again and again: "the next batch, please". PyTorch cuts that into parts, and here is each of them:

- A **Dataset** knows how many samples there are and gives a sample for an index: `ImageDataset`.
- A **sampler** says in which order indices are asked for. A *batch* sampler gives the indices of a whole batch: `BatchOrder`.
- The **collate function** turns what the dataset gave into the batch that training sees: `Collate`.
- The **DataLoader** runs them: take indices from the sampler, fetch from the dataset, collate, hand over.
- A `Loader` holds what stays the same from epoch to epoch, and does the DataLoader's part in four lines (`Loader.batches`).

Usually a dataset gives one sample at a time (`__getitem__`) and the collate function stacks them. Ours are decoded already and
lie in one tensor, so a whole batch is one indexing operation: a `DataLoader` that finds `__getitems__` (with an s) asks for a
batch at once. For the same reason there are no loader processes (`num_workers=0`): fetching takes less time than sending would. What is
left of a DataLoader then is 40 microseconds a batch, which is a tenth of a step of a head: so indices and labels of a whole epoch are taken at
once instead, and a batch is a piece of them.

A `Batch` reads its images when they are first asked for: where the frozen part of a model has seen them before, nobody asks
(see `core.reuse.partition`). Images stay uint8, a quarter of float32, until they are on the device: there, `Normalise` makes them floats.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset, Sampler
from torchvision.transforms.v2 import functional

from core.data.decoding import Fit, padded_place
from core.data.rows import Details, Images
from core.machine.bits import digest
from core.records import cost

Augment = Callable[[Tensor, torch.Generator], Tensor]
"""Random changes: uint8 [N, 3, S, S] and a source of chance to uint8 [N, 3, S, S]."""

Cut = Callable[[Sequence[Tensor], int, torch.Generator], Tensor]
"""Random crops: pictures uint8 [3, H, W] of any size, a side S and a source of chance to uint8 [N, 3, S, S]."""


@dataclass(frozen=True)
class Batch:
    """Some samples: labels int64 [N], and images uint8 [N, 3, S, S] that are read when they are first asked for.

    `pictures` int64 [N] tells pictures apart: of one dataset and its augmentation, the same number always means the same pixels.
    None where each picture is new. `read_some` reads those of a piece of the batch alone, where that gives the same pixels.
    """

    labels: Tensor
    pictures: Tensor | None
    read: Callable[[], Tensor]
    read_some: Callable[[slice], Tensor] | None = None

    @cached_property
    def images(self) -> Tensor:
        """uint8 [N, 3, S, S]."""
        return self.read()

    def __len__(self) -> int:
        return self.labels.size(0)  # a Tensor's own len takes three times as long, and a step asks often

    def __iter__(self) -> Iterator[Tensor]:
        """`images, labels = batch`."""
        return iter((self.images, self.labels))

    def parts(self, most: int) -> tuple[Batch, ...]:
        """The batch cut into as few parts of at most `most` samples as will do, equal but for one sample.

        None is a single sample, unless that is what `most` says: BatchNorm cannot work out a variance from one. So 3 stay together where 2
        are the most.
        """
        if len(self) <= most:
            return (self,)
        number = math.ceil(len(self) / most)
        places = torch.arange(len(self)).tensor_split(number if most == 1 else min(number, len(self) // 2))
        return tuple(self.some(slice(int(place[0]), int(place[-1]) + 1)) for place in places)

    def some(self, place: slice) -> Batch:
        """The samples of a piece of the batch, which begins and ends at these places (step 1)."""
        pictures, few, first = None if self.pictures is None else self.pictures[place], self.read_some, place.start
        if few is None:
            return Batch(self.labels[place], pictures, lambda: self.images[place])
        inside = lambda piece: few(slice(first + piece.start, first + piece.stop))  # noqa: E731
        return Batch(self.labels[place], pictures, lambda: few(place), inside)


class ImageDataset(Dataset[tuple[Tensor, Tensor]]):
    """Some of the images of a store, as squares of `image_size` pixels with 3 channels.

    Args:
        images: uint8 [M, C, H, W], C 1 (grey) or 3; it may be a memory-mapped file.
        labels: int64 [M].
        indices: int64 [N], the samples of this dataset; two datasets (training, validation) can share one store.
        image_size: side of what is given out, in pixels.
        key: a text that is another one for other pixels; None: it is worked out from `images` when it is asked for.
        fit: how images that are not square become squares.
        details: the same images as large as they are kept, for random crops.
    """

    def __init__(
        self,
        images: Images,
        labels: Tensor,
        indices: Tensor,
        image_size: int,
        key: str | None = None,
        fit: Fit = "crop",
        details: Details | None = None,
    ) -> None:
        self.images = images
        self.labels = labels
        self.indices = indices
        self.image_size = image_size
        self.store_key = key
        self.fit: Fit = fit
        self.details = details

    @cached_property
    def key(self) -> str:
        """Tells apart what this dataset gives at the same places of its store from what another gives."""
        return f"{self.store_key or digest([self.images[:]])} {self.image_size}" + ("" if self.fit == "crop" else f" {self.fit}")

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """One sample: image uint8 [3, S, S], label int64 []."""
        images, labels = self.__getitems__([index])
        return images[0], labels[0]

    def __getitems__(self, indices: list[int]) -> Batch:
        """The samples at `indices` in one go. A picture's number is its place in the store."""
        chosen = self.indices[torch.as_tensor(indices, dtype=torch.int64)]
        return self.batch(self.labels[chosen], chosen)

    def batch(self, labels: Tensor, chosen: Tensor) -> Batch:
        """The samples whose places in the store are `chosen`, int64 [N], and whose labels these are."""
        return Batch(labels, chosen, lambda: self._read(chosen), lambda place: self._read(chosen[place]))

    def _read(self, chosen: Tensor) -> Tensor:
        # Whole pictures are copied: an index copies number by number, which takes ten times as long.
        images = resize(self.images.index_select(0, chosen), self.image_size, self.fit)
        return images.repeat(1, 3, 1, 1) if images.shape[1] == 1 else images  # models expect colour: a grey image has three equal channels


class BatchOrder(Sampler[list[int]]):
    """The indices of each batch of one epoch, in a random order if there is a generator, else as they come.

    Every sample comes once, the last batch may be smaller. One exception: a last training batch of a single sample is left
    out where there are others, because BatchNorm cannot work out a variance from one sample.
    """

    def __init__(self, samples: int, batch_size: int, generator: torch.Generator | None = None, first: int = 0) -> None:
        self.samples = samples
        self.batch_size = batch_size
        self.generator = generator
        self.first = first  # batches that were had already, by a run that goes on in the middle of an epoch

    def __len__(self) -> int:
        return steps_per_epoch(self.samples, self.batch_size, training=self.generator is not None)

    def __iter__(self) -> Iterator[list[int]]:
        indices = self.indices().tolist()
        for place in self.slices():
            yield indices[place]

    def indices(self) -> Tensor:
        """Those of all samples, int64 [samples], one batch after the other. Call it once: a generator moves."""
        return torch.arange(self.samples) if self.generator is None else torch.randperm(self.samples, generator=self.generator)

    def slices(self) -> Iterator[slice]:
        """Where in `indices` each batch lies."""
        for step in range(self.first, len(self)):
            yield slice(step * self.batch_size, (step + 1) * self.batch_size)


@dataclass(frozen=True)
class Augmentation:
    """Random changes to each training batch, and how often a picture that was seen can come again.

    `change` makes them (None: nothing is changed), after `cut` has cut a random part out of each picture, if there is one. `variants` is there
    for a change that can give only two pictures: with the same chance it says which of them each sample becomes, 0 or 1, int64 [N].
    `fixed_views`: show this many random pictures of each image in turn, instead of new ones in every epoch.
    """

    name: str = "none"
    change: Augment | None = None
    cut: Cut | None = None
    variants: Callable[[int, torch.Generator], Tensor] | None = None
    fixed_views: int | None = None

    @property
    def views(self) -> int | None:
        """How many pictures can come of one image; None: there is no end of them."""
        return 1 if self.change is None else self.fixed_views or (2 if self.variants else None)

    def __call__(self, pictures: Sequence[Tensor] | Tensor, image_size: int, generator: torch.Generator) -> Tensor:
        """Pictures uint8 [3, H, W], squares of `image_size` pixels where nothing is cut, changed by chance: uint8 [N, 3, S, S]."""
        if self.cut is not None:
            images = self.cut(pictures if isinstance(pictures, Sequence) else list(pictures), image_size, generator)
        else:
            images = pictures if isinstance(pictures, Tensor) else torch.stack(list(pictures))
        return images if self.change is None else self.change(images, generator)


class Collate:
    """What the dataset gave, made into the batch that training sees: already stacked, so only the random changes are left.

    Each batch has its own source of chance, made from (seed, epoch, number of the batch). With `fixed_views` each picture has as
    many variants of its own instead, made from (seed, variant, place in the store), which epochs show in turn.
    """

    def __init__(self, dataset: ImageDataset, augmentation: Augmentation, seed: int, epoch: int, pin_memory: bool, first: int = 0) -> None:
        self.dataset = dataset
        self.augmentation = augmentation
        self.seed = seed
        self.epoch = epoch
        self.pin_memory = pin_memory
        self.number = first

    def __call__(self, batch: Any) -> Batch:
        """The batch that `ImageDataset.__getitems__` gave, changed by chance."""
        changed = self._changed(batch, self.number)
        self.number += 1
        if not self.pin_memory:
            return changed
        return Batch(changed.labels.pin_memory(), changed.pictures, lambda: changed.images.pin_memory())

    def _changed(self, batch: Batch, number: int) -> Batch:
        augmentation, places = self.augmentation, batch.pictures
        assert places is not None
        if augmentation.change is None:
            return batch
        store, size = len(self.dataset.images), self.dataset.image_size
        if augmentation.fixed_views:
            view = (self.epoch - 1) % augmentation.fixed_views
            few: Callable[[slice], Tensor] = lambda piece: self._one_by_one(batch.some(piece), places[piece], view)  # noqa: E731
            return Batch(batch.labels, places + view * store, lambda: self._one_by_one(batch, places, view), few)

        def generator() -> torch.Generator:
            return generator_for(self.seed, self.epoch, number)

        variants = augmentation.variants(len(batch), generator()) if augmentation.variants else None
        pictures = None if variants is None else places + variants * store
        return Batch(batch.labels, pictures, lambda: augmentation(self._pictures(batch, places), size, generator()))

    def _one_by_one(self, batch: Batch, places: Tensor, view: int) -> Tensor:
        pictures, size = self._pictures(batch, places), self.dataset.image_size
        pairs = zip(pictures, places.tolist(), strict=True)
        return torch.cat([self.augmentation([picture], size, generator_for(self.seed, view, place)) for picture, place in pairs])

    def _pictures(self, batch: Batch, places: Tensor) -> Sequence[Tensor] | Tensor:
        """What is changed: where parts are cut out, each picture as large as it is kept."""
        details = self.dataset.details
        if self.augmentation.cut is None or details is None:
            return batch.images
        return [details.picture(place) for place in places.tolist()]


class Loader:
    """The batches of each epoch of one dataset.

    Args:
        images: what to load.
        batch_size: samples in a batch.
        seed: for training: order and random changes are a function of (seed, epoch) and of nothing else. None for
            evaluation: a fixed order, nothing random.
        augmentation: random changes to each training batch.
        pin_memory: put batches into page-locked memory, from which a CUDA device can copy while the processor works on.
    """

    def __init__(
        self,
        images: ImageDataset,
        batch_size: int,
        seed: int | None = None,
        augmentation: Augmentation | None = None,
        pin_memory: bool = False,
    ) -> None:
        self.images = images
        self.batch_size = batch_size
        self.seed = seed
        self.augmentation = augmentation or Augmentation()
        self.pin_memory = pin_memory

    def class_counts(self, classes: int) -> tuple[int, ...]:
        """How many samples there are of each of so many classes."""
        return tuple(torch.bincount(self.images.labels[self.images.indices], minlength=classes).tolist())

    def of(self, labels: Tensor, indices: Tensor) -> Loader:
        """The same for other samples of the same store (int64 [N]), or other labels (int64 [M])."""
        images = ImageDataset(
            self.images.images, labels, indices, self.images.image_size, self.images.store_key, self.images.fit, self.images.details
        )
        return Loader(images, self.batch_size, self.seed, self.augmentation, self.pin_memory)

    @property
    def views(self) -> int | None:
        """How many pictures can come of one image; None: there is no end of them."""
        return self.augmentation.views

    @property
    def key(self) -> str:
        """Another one wherever the same number (`Batch.pictures`) could mean another picture."""
        fixed = self.augmentation.fixed_views
        return self.images.key + (f" {self.augmentation.name}" if self.views != 1 else "") + (f" {self.seed} {fixed}" if fixed else "")

    def __len__(self) -> int:
        """Batches, that is steps, in an epoch."""
        return steps_per_epoch(len(self.images), self.batch_size, training=self.seed is not None)

    def batches(self, epoch: int, first: int = 0) -> Iterator[Batch]:
        """One epoch, in batches of the batch size; the last one is what is left. `first`: begin behind so many of them."""
        order = self._order(epoch, first)
        collate = Collate(self.images, self.augmentation, 0 if self.seed is None else self.seed, epoch, self.pin_memory, first)
        chosen = self.images.indices[order.indices()]
        labels = self.images.labels[chosen]
        for place in order.slices():
            yield collate(self.images.batch(labels[place], chosen[place]))

    def places(self, epoch: int, batch: int) -> list[int]:
        """The numbers of the pictures in one batch of an epoch, both counted as `batches` does; empty behind the last."""
        chosen = next(iter(self._order(epoch, batch)), [])
        return [int(place) for place in self.images.indices[chosen].tolist()] if chosen else []

    def _order(self, epoch: int, first: int) -> BatchOrder:
        generator = None if self.seed is None else generator_for(self.seed, epoch)
        return BatchOrder(len(self.images), self.batch_size, generator, first)


class Normalise(nn.Module):
    """uint8 images [N, 3, S, S] of 0 to 255 to floats around 0: divide by 255, take off the mean, divide by the spread.

    `mean` and `std` have one figure a channel, on the scale of 0 to 1. They are kept out of `state_dict`. `channels_last`: how the
    floats lie in memory, the same numbers either way; done while they are made, it costs nothing.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: tuple[float, ...], std: tuple[float, ...], channels_last: bool = False) -> None:
        super().__init__()
        self.memory_format = torch.channels_last if channels_last else torch.preserve_format
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Images uint8 [N, 3, S, S] to float32 [N, 3, S, S] on the same device."""
        # In place after the first operation: the same bits as (images / 255 - mean) / std with a quarter of the memory.
        return images.to(self.mean.dtype, memory_format=self.memory_format).div_(255).sub_(self.mean).div_(self.std)


def resize(images: Tensor, image_size: int, fit: Fit = "crop") -> Tensor:
    """uint8 [N, C, H, W] to squares of `image_size` pixels, bilinear and antialiased, as `core.data.decoding.fitted` makes squares of files.

    The same tensor where nothing is to do.
    """
    height, width = images.shape[-2:]
    if (height, width) == (image_size, image_size):
        return images
    if fit == "pad" and height != width:
        left, top, across, down = padded_place(width, height, image_size)
        right, bottom = image_size - left - across, image_size - top - down
        inside: Tensor = functional.resize(images, [down, across], antialias=True)
        return nn.functional.pad(inside, (left, right, top, bottom))
    if fit == "crop":
        side = min(height, width)
        images = images[..., (height - side) // 2 :, (width - side) // 2 :][..., :side, :side]
    resized: Tensor = functional.resize(images, [image_size, image_size], antialias=True)
    return resized


def steps_per_epoch(samples: int, batch_size: int, training: bool) -> int:
    """Number of batches in an epoch: see `BatchOrder` for the batch that training leaves out."""
    return cost.steps_per_epoch(samples, batch_size) if training else -(-samples // batch_size)


def generator_for(seed: int, *place: int) -> torch.Generator:
    """A source of chance of its own for each place (epoch, number of the batch, ...) of a run with this seed."""
    state = int(np.random.SeedSequence([seed, *place]).generate_state(1, np.uint64)[0])
    return torch.Generator().manual_seed(state >> 1)  # manual_seed takes 63 bits
