"""Pictures that lie in the shards of a pool, read as if they were one tensor; and the large ones that random crops are cut out of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.data.pool import Found


class Rows:
    """Pictures uint8 [N, 3, S, S] of several tensors [M, 3, S, S]: each lies in the tensor number `tensor_of`, int64 [N], at `row_of`, int64 [N]."""

    def __init__(self, tensors: Sequence[Tensor], tensor_of: Tensor, row_of: Tensor) -> None:
        self._tensors = tensors
        self._tensor_of = tensor_of
        self._row_of = row_of
        self.shape = torch.Size((len(row_of), *tensors[0].shape[1:]))

    def __len__(self) -> int:
        return len(self._row_of)

    def __getitem__(self, places: int | slice) -> Tensor:
        """uint8 [3, S, S] of one picture, [n, 3, S, S] of several: a copy."""
        if isinstance(places, int):
            return self._tensors[int(self._tensor_of[places])][int(self._row_of[places])]
        return self.index_select(0, torch.arange(len(self))[places])

    def index_select(self, dim: int, places: Tensor) -> Tensor:
        """Those at `places`, int64 [n], along dimension 0, as of a tensor: uint8 [n, 3, S, S]."""
        assert dim == 0
        if len(self._tensors) == 1:
            return self._tensors[0].index_select(0, self._row_of[places])
        pairs = zip(self._tensor_of[places].tolist(), self._row_of[places].tolist(), strict=True)
        return torch.stack([self._tensors[number][row] for number, row in pairs])


Images = Tensor | Rows
"""uint8 [N, C, H, W]: with a length and a shape, one place or a slice by index, any places by `index_select`."""


def rows(found: Found, places: NDArray[np.int64], side: int) -> Images:
    """The pictures of `found` at `places`, all of this side. A tensor where they are one shard as it lies."""
    size = 3 * side**2
    tensors = [torch.from_numpy(shard[: len(shard) // size * size].reshape(-1, 3, side, side)) for shard in found.shards]
    tensor_of, row_of = found.shard[places], found.offset[places] // size
    if len(tensors) == 1 and np.array_equal(row_of, np.arange(len(tensors[0]))):
        return tensors[0]
    return Rows(tensors or [torch.empty((0, 3, side, side), dtype=torch.uint8)], torch.from_numpy(tensor_of), torch.from_numpy(row_of))


class Details(Protocol):
    """The pictures of a store as large as they are kept."""

    def picture(self, place: int) -> Tensor:
        """uint8 [3, H, W] of the picture at a place of the store."""


class ArrayDetails:
    """Those of an array uint8 [N, C, H, W], with three equal channels where they are grey."""

    def __init__(self, images: Tensor) -> None:
        self._images = images

    def picture(self, place: int) -> Tensor:
        """uint8 [3, H, W], a view."""
        return self._images[place].expand(3, -1, -1)


class KeptDetails:
    """Those of a pool, squares of a size of their own each: `found` has those at the places `wanted` of a store of `count` pictures."""

    def __init__(self, found: Found, count: int, wanted: NDArray[np.int64]) -> None:
        self._shards = [torch.from_numpy(shard) for shard in found.shards]
        self._at = np.zeros((count, 3), np.int64)
        self._at[wanted] = np.stack([found.shard, found.offset, found.side], axis=1)
        self.median_side = int(np.median(found.side)) if len(wanted) else 0

    def picture(self, place: int) -> Tensor:
        """uint8 [3, S, S], a view: colours lie side by side in memory."""
        shard, offset, side = self._at[place].tolist()
        pixels: Tensor = self._shards[shard][offset : offset + 3 * side * side]
        return pixels.view(side, side, 3).permute(2, 0, 1)
