"""What augmentations do: each function changes a batch uint8 [N, 3, S, S] by chance and returns a batch of the same shape.

All chance comes from the generator that is passed in, never from the global one, so that the same seed shows the same pictures.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.transforms import v2

from core.data.loader import Augment


def chain(*steps: Augment) -> Augment:
    """All of `steps`, one after the other."""

    def change(images: Tensor, generator: torch.Generator) -> Tensor:
        for step in steps:
            images = step(images, generator)
        return images

    return change


def flip(images: Tensor, generator: torch.Generator) -> Tensor:
    """Mirror each image left to right with a chance of one half."""
    return torch.where(mirrored(len(images), generator)[:, None, None, None], images.flip(-1), images)


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


def crop(images: Tensor, generator: torch.Generator) -> Tensor:
    """Let a random part of each image fill it: 25 to 100 % of its area, 3:4 to 4:3 in shape, as in `RandomResizedCrop`."""
    count = len(images)
    area = _uniform(count, 0.25, 1.0, generator)
    shape = _uniform(count, math.log(3 / 4), math.log(4 / 3), generator).exp()
    width = (area * shape).sqrt().clamp(max=1)
    height = (area / shape).sqrt().clamp(max=1)
    # In the coordinates of affine_grid an image reaches from -1 to 1, so a part of half its width can move by 0.5 either way.
    x = _uniform(count, -1, 1, generator) * (1 - width)
    y = _uniform(count, -1, 1, generator) * (1 - height)
    nothing = torch.zeros(count)
    return _warp(images, torch.stack([width, nothing, x, nothing, height, y], dim=1).view(-1, 2, 3))


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
    augment = v2.TrivialAugmentWide()
    # It takes its chance from the global generator: lend it one that is seeded, and give the global one back as it was.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(2**62, (), generator=generator)))
        return torch.stack([augment(image) for image in images])


VARIANTS: Mapping[str, Callable[[int, torch.Generator], Tensor]] = {"flip": lambda count, generator: mirrored(count, generator).long()}
"""For a change that can give only a few pictures: which of them each of `count` samples becomes, int64 [count], with the same chance."""

CHANGES: Mapping[str, Augment] = {"flip": flip, "shift": shift, "crop": crop, "rotate": rotate, "colour": colour, "trivial": trivial}


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
