"""A tensor in a few figures, and as a small picture."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from core.records.walkthrough import Figures

FIRST = 8
"""Values of a tensor that are shown."""

MANY, FIRST_OF_MANY = 300, 3
"""A model with more parameter tensors than this has fewer values shown of each: it would be megabytes otherwise."""

TILES = 8
"""Channels of an activation that are drawn."""

TILE_PIXELS = 48
"""Longest side of a channel's tile: what is larger is averaged down, what is smaller stays as it is."""

PICTURE_PIXELS = 96
"""Side of a picture of the batch."""


def figures(tensor: Tensor, first: int = FIRST) -> Figures:
    """The figures of a tensor of floats (or of whole numbers, taken as floats), with its `first` values. An empty one has zeros."""
    values = tensor.detach()
    if not values.is_floating_point():
        values = values.to(torch.float32)
    if not values.numel():
        return Figures(tuple(tensor.shape), _dtype(tensor), str(tensor.device), 0.0, 0.0, 0.0, 0.0, ())
    minimum, maximum = torch.aminmax(values)
    found = torch.stack([torch.linalg.vector_norm(values), values.mean(), minimum, maximum]).tolist()
    return Figures(
        shape=tuple(tensor.shape),
        dtype=_dtype(tensor),
        device=str(tensor.device),
        norm=found[0],
        mean=found[1],
        minimum=found[2],
        maximum=found[3],
        first=tuple(_first(values, first)),
        finite=math.isfinite(found[2]) and math.isfinite(found[3]),
    )


def _first(values: Tensor, count: int) -> list[float]:
    """The first values of a tensor, without a copy of all of it where it does not lie in one piece."""
    while values.dim() > 1 and values[0].numel() >= count:
        values = values[0]
    found: list[float] = values.flatten()[:count].tolist()
    return found


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def tensors(value: Any) -> list[Tensor]:
    """The tensors in what a module takes or returns: a tensor, or tuples, lists and dicts of them."""
    if isinstance(value, Tensor):
        return [value]
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, tuple | list) else ()
    return [tensor for part in parts for tensor in tensors(part)]


def tiles(output: Tensor, channels_last: bool) -> NDArray[np.uint8] | None:
    """Up to 8 channels of the first sample side by side, uint8 [height, width], each from black (its minimum) to white; None: it has no picture.

    Maps [N, C, H, W] (`channels_last`: [N, H, W, C]) have one, and tokens [N, T, D], which are laid out as the square that they come
    from (a class token is left out).
    """
    maps = _maps(output.detach(), channels_last)
    if maps is None or not maps.numel():
        return None
    maps = maps[:TILES].to(torch.float32)
    side = max(maps.shape[1:])
    if side > TILE_PIXELS:
        height, width = (max(1, round(length * TILE_PIXELS / side)) for length in maps.shape[1:])
        maps = torch.nn.functional.adaptive_avg_pool2d(maps[None], (height, width))[0]
    maps = maps.cpu()
    finite = torch.isfinite(maps)
    flat = torch.where(finite, maps, 0.0).flatten(1)
    low = torch.where(finite, maps, torch.inf).flatten(1).amin(dim=1)[:, None]
    spread = (torch.where(finite, maps, -torch.inf).flatten(1).amax(dim=1)[:, None] - low).clamp(min=1e-12)
    # A channel that is one value all over is grey, and so is what is not a number.
    even = (spread <= 1e-12) | ~torch.isfinite(low)
    grey = torch.where(even | ~finite.flatten(1), 0.5, (flat - low) / spread).clamp(0, 1).reshape(maps.shape)
    apart = torch.nn.functional.pad((grey * 255).round().to(torch.uint8), (0, 1), value=0)  # a black line between two tiles
    return np.ascontiguousarray(np.concatenate(list(apart.numpy()), axis=1)[:, :-1])


def _maps(output: Tensor, channels_last: bool) -> Tensor | None:
    """[C, H, W] of the first sample, or None."""
    if output.dim() == 4:
        maps = output[0].permute(2, 0, 1) if channels_last else output[0]
        return maps if maps.shape[1] * maps.shape[2] > 1 else None
    if output.dim() == 3:
        tokens = output[0]
        side = math.isqrt(len(tokens))
        if side > 1:
            return tokens[len(tokens) - side * side :].T.reshape(-1, side, side)
    return None


def png(pixels: NDArray[np.uint8]) -> str:
    """Pixels uint8 [H, W] (grey) or [H, W, 3] as a PNG in a data URI."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", compress_level=6)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode("ascii")


def picture(image: Tensor) -> str:
    """A picture of the batch, uint8 [3, S, S], as a PNG in a data URI of at most 96 pixels a side."""
    pixels = image.permute(1, 2, 0).cpu().numpy()
    drawn = Image.fromarray(pixels)
    drawn.thumbnail((PICTURE_PIXELS, PICTURE_PIXELS))
    return png(np.asarray(drawn))
