"""How tensors and words get from rank to rank: over gloo or NCCL, or, where all ranks are on one machine, through memory that they share."""

from __future__ import annotations

import os
import sys
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

    given: Tensor
    """What this rank gives to the next sum, [n]; whoever fills it does so in place."""

    summed: Tensor
    """What the last sum came to, [n]: the same bits on every rank. Good until `given` is filled again."""

    def room(self, count: int) -> None:
        """From here on `given` and `summed` have `count` numbers, float32. They are 0."""

    def sum(self) -> None:
        """Add up what all ranks have given."""

    def gather(self, tensor: Tensor) -> Tensor:
        """The same tensor of each rank, stacked in their order: [ranks, ...]."""

    def tell(self, content: bytes) -> None:
        """From the first rank to all others, which `hear`."""

    def hear(self) -> bytes:
        """What the first rank tells."""

    def close(self) -> None:
        """Leave the others."""


class Wired:
    """Collectives of `torch.distributed`: gloo between processors, NCCL between GPUs.

    Args:
        interface: of the network over which they talk; empty: that to which the machine's name leads. None: all ranks are on one machine, and
            talk over its loopback, whatever its name leads to.
    """

    def __init__(self, rank: int, ranks: int, store: Store, device: torch.device, interface: str | None = None) -> None:
        self._ranks = ranks
        self._device = device
        self.given = self.summed = torch.empty(0)
        if interface is None and sys.platform in ("linux", "darwin"):
            os.environ["GLOO_SOCKET_IFNAME"] = "lo" if sys.platform == "linux" else "lo0"
        elif interface:
            os.environ.setdefault("GLOO_SOCKET_IFNAME", interface)  # a person may know better
            os.environ.setdefault("NCCL_SOCKET_IFNAME", interface)
        backend = "gloo" if device.type == "cpu" else "cpu:gloo,cuda:nccl"
        dist.init_process_group(backend, store=store, rank=rank, world_size=ranks, timeout=timedelta(seconds=LONGEST_WAIT))

    def room(self, count: int) -> None:
        """See `Collectives`."""
        self.given = self.summed = torch.zeros(count, device=self._device)

    def sum(self) -> None:
        """See `Collectives`."""
        dist.all_reduce(self.given)

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
