"""What augmentations do: each function changes a batch uint8 [N, 3, S, S] by chance and returns a batch of the same shape; `crop` makes the batch.

All chance comes from the generator that is passed in, never from the global one, so that the same seed shows the same pictures.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.transforms import v2

from core.data.loader import Augment, Cut
from core.data.steps import Step


def chain(*steps: Augment) -> Augment:
    """All of `steps`, one after the other."""

    def change(images: Tensor, generator: torch.Generator) -> Tensor:
        for step in steps:
            images = step(images, generator)
        return images

    return change


def flip(images: Tensor, generator: torch.Generator) -> Tensor:
    """Mirror each image left to right with a chance of one half."""
    flipped = images.clone()
    # One by one each stays in the processor's cache: a tenth of the time of one operation on all.
    for place in mirrored(len(images), generator).nonzero().flatten().tolist():
        flipped[place] = images[place].flip(-1)
    return flipped


def mirrored(count: int, generator: torch.Generator) -> Tensor:
    """Which of `count` images `flip` mirrors with this chance, bool [count]."""
    return torch.rand(count, generator=generator) < 0.5


def shift(images: Tensor, generator: torch.Generator) -> Tensor:
    """Move each image by up to an eighth of its side in both directions: pad with black, cut a random square out."""
    side = images.shape[-1]
    margin = max(1, side // 8)
    padded = functional.pad(images, (margin, margin, margin, margin))
    places = torch.randint(0, 2 * margin + 1, (len(images), 2), generator=generator).tolist()
    shifted = torch.empty_like(images)
    for place, (top, left) in enumerate(places):  # plain copies: faster than one indexing operation over the batch
        shifted[place] = padded[place, :, top : top + side, left : left + side]
    return shifted


def crop(pictures: Sequence[Tensor], size: int, generator: torch.Generator) -> Tensor:
    """A random part of each picture uint8 [3, H, W], resized: 25 to 100 % of its area, 3:4 to 4:3 in shape, as `RandomResizedCrop` cuts them.

    Pictures may be larger than `size`, each as large as it likes: each part is resampled once, bilinear and antialiased.
    """
    count = len(pictures)
    area = _uniform(count, 0.25, 1.0, generator)
    shape = _uniform(count, math.log(3 / 4), math.log(4 / 3), generator).exp()
    width, height = (area * shape).sqrt().clamp(max=1).tolist(), (area / shape).sqrt().clamp(max=1).tolist()
    left, top = torch.rand((2, count), generator=generator).tolist()
    images = torch.empty((count, 3, size, size), dtype=torch.uint8)

    def cut(place: int) -> None:
        full_height, full_width = pictures[place].shape[-2:]
        across, down = max(1, round(width[place] * full_width)), max(1, round(height[place] * full_height))
        x, y = int(left[place] * (full_width - across + 1)), int(top[place] * (full_height - down + 1))
        part = pictures[place][None, :, y : y + down, x : x + across]
        images[place] = functional.interpolate(part, size=(size, size), mode="bilinear", antialias=True)[0]

    at_once(cut, count)
    return images


def transformed_by(steps: Sequence[Step], pictures: Sequence[Tensor], size: int, generator: torch.Generator) -> Tensor:
    """What steps of torchvision make of each picture uint8 [3, H, W]: uint8 [N, 3, size, size]."""
    return transformed(v2.Compose([step.build(size) for step in steps]), pictures, generator)


def transformed(transform: Callable[[Tensor], Tensor], pictures: Sequence[Tensor], generator: torch.Generator) -> Tensor:
    """What a transform of torchvision makes of each picture, stacked.

    It takes its chance from the global generator: that is lent one that is seeded, and given back as it was.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(2**62, (), generator=generator)))
        return torch.stack([transform(picture) for picture in pictures])


def at_once(work: Callable[[int], None], count: int) -> None:
    """`work` for each number below `count`, in as many threads as torch computes with: it works outside of Python's lock."""
    threads = min(torch.get_num_threads(), count)
    if threads < 2:
        for number in range(count):
            work(number)
        return

    def share(first: int) -> None:
        for number in range(first, count, threads):
            work(number)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(share, range(threads)))


def rotate(images: Tensor, generator: torch.Generator) -> Tensor:
    """Turn each image by up to 15 degrees either way."""
    angle = _uniform(len(images), -math.pi / 12, math.pi / 12, generator)
    cosine, sine, nothing = angle.cos(), angle.sin(), torch.zeros(len(images))
    return _warp(images, torch.stack([cosine, -sine, nothing, sine, cosine, nothing], dim=1).view(-1, 2, 3))


def colour(images: Tensor, generator: torch.Generator) -> Tensor:
    """Change brightness, contrast and saturation of each image, each by a factor from 0.6 to 1.4."""
    brightness, contrast, saturation = (_uniform(len(images), 0.6, 1.4, generator).view(-1, 1, 1, 1) for _ in range(3))
    pixels = images.to(torch.float32).mul_(brightness).clamp_(0, 255)
    pixels = torch.lerp(_grey(pixels).mean(dim=(1, 2, 3), keepdim=True), pixels, contrast).clamp_(0, 255)
    pixels = torch.lerp(_grey(pixels), pixels, saturation)
    return _to_uint8(pixels)


def trivial(images: Tensor, generator: torch.Generator) -> Tensor:
    """`TrivialAugmentWide` of torchvision, drawn anew for each image."""
    return transformed(v2.TrivialAugmentWide(), list(images), generator)


VARIANTS: Mapping[str, Callable[[int, torch.Generator], Tensor]] = {"flip": lambda count, generator: mirrored(count, generator).long()}
"""For a change that can give only a few pictures: which of them each of `count` samples becomes, int64 [count], with the same chance."""

CUTS: Mapping[str, Cut] = {"crop": crop}
"""What cuts a part out of pictures of any size: it comes first."""

CHANGES: Mapping[str, Augment] = {"flip": flip, "shift": shift, "rotate": rotate, "colour": colour, "trivial": trivial}


def _uniform(count: int, low: float, high: float, generator: torch.Generator) -> Tensor:
    """float32 [count] between `low` and `high`."""
    return torch.rand(count, generator=generator) * (high - low) + low


def _warp(images: Tensor, matrices: Tensor) -> Tensor:
    """Look each image up where its matrix, float32 [N, 2, 3], sends the places of its pixels. Black outside."""
    grid = functional.affine_grid(matrices, list(images.shape), align_corners=False)
    return _to_uint8(functional.grid_sample(images.to(torch.float32), grid, mode="bilinear", padding_mode="zeros", align_corners=False))


def _grey(pixels: Tensor) -> Tensor:
    """Brightness as the eye sees it (ITU-R BT.601), float32 [N, 1, S, S]."""
    return (pixels * torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(dim=1, keepdim=True)


def _to_uint8(pixels: Tensor) -> Tensor:
    return pixels.round_().clamp_(0, 255).to(torch.uint8)
