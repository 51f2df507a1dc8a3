"""Tensors compared bit for bit: what is equal here is equal, NaN included."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

_SEEN: WeakTensorKeyDictionary = WeakTensorKeyDictionary()
"""Tensors whose digest was taken: how often they had been written to by then (torch counts that), where they lay, and the digest."""


def digest(tensors: Iterable[Tensor]) -> str:
    """SHA-256 of the tensors' bits, in hexadecimal: equal digests, equal values, bit for bit. Waits for the device."""
    total = hashlib.sha256()
    for tensor in tensors:
        total.update(_bits(tensor).cpu().numpy().data)
    return total.hexdigest()


def writes(tensor: Tensor) -> int | None:
    """How many times torch has counted a write to the tensor; None: it counts none, since the tensor was made in inference mode."""
    return None if tensor.is_inference() else tensor._version


def seen(tensor: Tensor) -> str:
    """`digest([tensor])`, taken now, and to be had from `unchanged` until the tensor is written to."""
    found = digest([tensor])
    if (count := writes(tensor)) is not None:
        _SEEN[tensor] = (count, tensor.data_ptr(), found)
    return found


def unchanged(tensor: Tensor) -> str | None:
    """What `seen` last gave for this very tensor, if nothing was written to it since: a look at what torch counts, not at the numbers."""
    version, place, found = _SEEN.get(tensor, (None, None, None))
    return found if version is not None and version == writes(tensor) and place == tensor.data_ptr() else None


def same(left: Tensor, right: Tensor) -> bool:
    """True if two tensors have the same shape, type and bits; unlike `torch.equal`, NaN is NaN and 0.0 is not -0.0. Waits for the device."""
    return left.shape == right.shape and left.dtype == right.dtype and torch.equal(_bits(left), _bits(right))


def _bits(tensor: Tensor) -> Tensor:
    return tensor.detach().contiguous().reshape(-1).view(torch.uint8)
