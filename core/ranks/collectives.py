"""How tensors and words get from rank to rank: over gloo or NCCL, or, where all ranks are on one machine, through memory that they share."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from datetime import timedelta
from typing import Protocol

import torch
import torch.distributed as dist
from torch import Tensor
from torch._C._distributed_c10d import Store

LONGEST_WAIT = 900.0
"""Seconds that a rank waits for another one that lives: one step at most, or what the first rank does between two. The dead are found sooner."""


class Parted(BaseException):
    """The ranks cannot go on together: one is gone. Not an `Exception`: no code that saves and reports may take it for its own failure."""


class Collectives(Protocol):
    """What all ranks do together, each at the same place of its work. Whatever goes wrong is `Parted`, or a `RuntimeError` of torch's."""

    numbers: int
    """How many numbers are added up in a sum."""

    def room(self, like: Sequence[Tensor]) -> None:
        """From here on tensors of these shapes are added up, as float32."""

    def give(self, tensors: Sequence[Tensor | None]) -> None:
        """What this rank gives to the next sum; None counts as 0. They must stay as they are until `take`."""

    def sum(self) -> None:
        """Add up what all ranks have given, each number in the order of ranks where that can be chosen."""

    def take(self) -> None:
        """Put the sum into what was given, in place: the same bits on every rank."""

    def gather(self, tensor: Tensor) -> Tensor:
        """The same tensor of each rank, stacked in their order: [ranks, ...]."""

    def tell(self, content: bytes) -> None:
        """From the first rank to all others, which `hear`."""

    def hear(self) -> bytes:
        """What the first rank tells."""

    def close(self) -> None:
        """Leave the others."""


class Row:
    """Room for tensors one behind the other, float32; 0 at first.

    Args:
        like: tensors of their shapes.
        flat: the room, at least as long as they need; None: new.
    """

    def __init__(self, like: Sequence[Tensor], device: torch.device, flat: Tensor | None = None) -> None:
        sizes = [each.numel() for each in like]
        self.flat = torch.zeros(sum(sizes), device=device) if flat is None else flat[: sum(sizes)]
        self.views = [piece.view(each.shape) for piece, each in zip(self.flat.split(sizes), like, strict=True)]

    def fill(self, tensors: Sequence[Tensor | None]) -> None:
        """Copy `tensors` in; None is 0."""
        if any(each is None for each in tensors):
            self.flat.zero_()
        copy_where_both_are(self.views, tensors)


def copy_where_both_are(into: Sequence[Tensor | None], given: Sequence[Tensor | None]) -> None:
    """Copy each of `given` into its neighbour; where one of the two is None nothing is done."""
    pairs = [(to, of) for to, of in zip(into, given, strict=True) if to is not None and of is not None]
    if pairs:
        torch._foreach_copy_([to for to, _ in pairs], [of for _, of in pairs])


class Wired:
    """Collectives of `torch.distributed`: gloo between processors, NCCL between GPUs.

    Args:
        interface: of the network over which they talk; empty: that to which the machine's name leads. None: all ranks are on one machine, and
            talk over its loopback, whatever its name leads to.
    """

    def __init__(self, rank: int, ranks: int, store: Store, device: torch.device, interface: str | None = None) -> None:
        self._ranks = ranks
        self._device = device
        self._row = Row((), device)
        self._given: Sequence[Tensor | None] = ()
        self.numbers = 0
        if interface is None and sys.platform in ("linux", "darwin"):
            os.environ["GLOO_SOCKET_IFNAME"] = "lo" if sys.platform == "linux" else "lo0"
        elif interface:
            os.environ.setdefault("GLOO_SOCKET_IFNAME", interface)  # a person may know better
            os.environ.setdefault("NCCL_SOCKET_IFNAME", interface)
        backend = "gloo" if device.type == "cpu" else "cpu:gloo,cuda:nccl"
        dist.init_process_group(backend, store=store, rank=rank, world_size=ranks, timeout=timedelta(seconds=LONGEST_WAIT))

    def room(self, like: Sequence[Tensor]) -> None:
        """See `Collectives`."""
        self._row = Row(like, self._device)
        self.numbers = len(self._row.flat)

    def give(self, tensors: Sequence[Tensor | None]) -> None:
        """See `Collectives`."""
        self._given = tensors
        self._row.fill(tensors)

    def sum(self) -> None:
        """See `Collectives`."""
        dist.all_reduce(self._row.flat)

    def take(self) -> None:
        """See `Collectives`."""
        copy_where_both_are(self._given, self._row.views)
        self._given = ()

    def gather(self, tensor: Tensor) -> Tensor:
        """See `Collectives`."""
        found = [torch.empty_like(tensor) for _ in range(self._ranks)]
        dist.all_gather(found, tensor.contiguous())
        return torch.stack(found)

    def tell(self, content: bytes) -> None:
        """See `Collectives`."""
        dist.broadcast(torch.tensor([len(content)]), 0)
        dist.broadcast(torch.frombuffer(bytearray(content), dtype=torch.uint8), 0)

    def hear(self) -> bytes:
        """See `Collectives`."""
        length = torch.zeros(1, dtype=torch.int64)
        dist.broadcast(length, 0)
        content = torch.empty(int(length), dtype=torch.uint8)
        dist.broadcast(content, 0)
        return content.numpy().tobytes()

    def close(self) -> None:
        """See `Collectives`."""
        if dist.is_initialized():
            dist.destroy_process_group()
