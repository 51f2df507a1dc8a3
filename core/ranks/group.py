"""The group of ranks that share a run: what they do together, and that they do it at the same step."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch._C._distributed_c10d import Store

from core.data.loader import Batch
from core.ranks.signs import Signs

LONGEST_WAIT = 900.0
"""Seconds that a rank waits for another one that lives: one step at most, or what the first rank does between two. The dead are found sooner."""

PARTED_STATUS = 75
"""Exit status of a rank that ended since another one was gone (sysexits.h: EX_TEMPFAIL)."""


class Parted(BaseException):
    """The ranks cannot go on together: one is gone. Not an `Exception`: no code that saves and reports may take it for its own failure."""


@dataclass(frozen=True)
class Summed:
    """What a step came to over all ranks: its mean loss, how many right answers, and whether the first rank wants to `meet` after it."""

    loss: Tensor
    right: Tensor
    meet: bool


class Group:
    """This process's end of the group.

    Args:
        rank: 0 to `ranks` - 1; 0 writes the store and decides.
        store: where the ranks find each other.
        signs: of life, of this rank.
        device: of this rank.
    """

    def __init__(self, rank: int, ranks: int, store: Store, signs: Signs, device: torch.device) -> None:
        self.rank = rank
        self.ranks = ranks
        self.device = device
        self.signs = signs
        self.wants_to_meet: Callable[[], bool] = lambda: False
        """Asked of the first rank before each sum."""
        self._store = store
        self._flat = torch.empty(0)
        self._views: list[Tensor] = []
        self._learning: list[nn.Parameter] = []
        if sys.platform in ("linux", "darwin"):  # ranks of one machine talk over its loopback, whatever its name resolves to
            os.environ["GLOO_SOCKET_IFNAME"] = "lo" if sys.platform == "linux" else "lo0"
        backend = "gloo" if device.type == "cpu" else "cpu:gloo,cuda:nccl"
        with self.together():
            dist.init_process_group(backend, store=store, rank=rank, world_size=ranks, timeout=timedelta(seconds=LONGEST_WAIT))

    def together(self) -> _Together:
        """Around a collective: the time waited is kept, and what goes wrong is `Parted`."""
        return _Together(self)

    def close(self) -> None:
        """Leave the group. The others notice at their next collective."""
        if dist.is_initialized():
            dist.destroy_process_group()

    # Who takes what

    def part(self, batch: Batch) -> Batch:
        """This rank's pictures of a batch: as many as any other's, but for one. A batch with fewer pictures than ranks is everybody's, whole."""
        if not self.is_cut(batch):
            return batch
        lengths = [len(batch) // self.ranks + (rank < len(batch) % self.ranks) for rank in range(self.ranks)]
        first = sum(lengths[: self.rank])
        return batch.some(slice(first, first + lengths[self.rank]))

    def is_cut(self, batch: Batch) -> bool:
        """Whether each rank takes a part of the batch."""
        return len(batch) >= self.ranks

    # Sums of a step

    def follow(self, learning: Sequence[nn.Parameter]) -> None:
        """From here on these learn: room for their gradients, and see to it that all ranks mean the same.

        Raises:
            RuntimeError: another rank has other tensors. Sums of other lengths would end the process without a word.
        """
        self._learning = list(learning)
        told = hashlib.sha256(json.dumps([list(each.shape) for each in learning]).encode()).digest()[:8]
        mine = torch.tensor([int.from_bytes(told, "little", signed=True)])
        for rank, other in enumerate(self.gather(mine)):
            if int(other) != int(mine):
                raise RuntimeError(f"rank {rank} would train other tensors than rank {self.rank}: they do not share one run")
        sizes = [each.numel() for each in learning]
        self._flat = torch.zeros(sum(sizes) + 3, device=self.device)
        pieces = self._flat.split([*sizes, 3])
        self._views = [piece.view(each.shape) for piece, each in zip(pieces, learning, strict=False)]
        self.signs.set("bytes", 4 * self._flat.numel())

    @property
    def step_bytes(self) -> int:
        """What each rank gives to the sum of a step: 4 bytes for each number that learns, and 12."""
        return 4 * self._flat.numel()

    @torch.no_grad()
    def sum(self, loss: Tensor, right: Tensor, share: float = 1.0) -> Summed:
        """Add up the gradients of what learns over all ranks, in place; each has those of its share of the mean loss of the whole batch.

        A tensor without a gradient on this rank counts as 0; where no rank has one it stays without.

        Args:
            loss: this rank's share of the mean loss.
            right: right answers among its pictures.
            share: what gradients are multiplied by before.
        """
        there = [(view, each.grad) for view, each in zip(self._views, self._learning, strict=True) if each.grad is not None]
        if len(there) < len(self._views):
            self._flat.zero_()
        if there:
            torch._foreach_copy_([view for view, _ in there], [gradient for _, gradient in there])
            if share != 1.0:
                self._flat.mul_(share)
        tail = self._flat[-3:]
        tail[0], tail[1], tail[2] = loss, right, float(self.rank == 0 and self.wants_to_meet())
        with self.together():
            dist.all_reduce(self._flat)
        if there:
            torch._foreach_copy_([gradient for _, gradient in there], [view for view, _ in there])
        return Summed(tail[0].clone(), tail[1].round().long(), bool(tail[2] > 0))

    def gather(self, tensor: Tensor) -> list[Tensor]:
        """The same tensor of each rank, in their order."""
        found = [torch.empty_like(tensor) for _ in range(self.ranks)]
        with self.together():
            dist.all_gather(found, tensor.contiguous())
        return found

    def total(self, numbers: Sequence[float]) -> list[float]:
        """Sums over all ranks, in double precision."""
        sums = torch.tensor(list(numbers), dtype=torch.float64)
        with self.together():
            dist.all_reduce(sums)
        return [float(each) for each in sums.tolist()]

    # Words

    def tell(self, words: Any) -> None:
        """From the first rank to the others: something that JSON can say."""
        content = torch.frombuffer(bytearray(json.dumps(words).encode()), dtype=torch.uint8)
        with self.together():
            dist.broadcast(torch.tensor([len(content)]), 0)
            dist.broadcast(content, 0)

    def hear(self) -> Any:
        """What the first rank tells."""
        length = torch.zeros(1, dtype=torch.int64)
        with self.together():
            dist.broadcast(length, 0)
            content = torch.empty(int(length), dtype=torch.uint8)
            dist.broadcast(content, 0)
        return json.loads(content.numpy().tobytes())

    def gather_words(self, words: Any) -> list[Any]:
        """What each rank says, in their order: something that JSON can say."""
        content = torch.frombuffer(bytearray(json.dumps(words).encode()), dtype=torch.uint8)
        lengths = [int(each) for each in self.gather(torch.tensor([len(content)]))]
        padded = torch.zeros(max(lengths), dtype=torch.uint8)
        padded[: len(content)] = content
        return [json.loads(each[:length].numpy().tobytes()) for each, length in zip(self.gather(padded), lengths, strict=True)]

    # Beginning and end

    def say(self, key: str, words: str = "") -> None:
        """Put up a mark that stays, for whoever looks, with some words."""
        with self.together():
            self._store.set(key, words)

    def mark(self, key: str) -> str:
        """The words of a mark that is there."""
        with self.together():
            return bytes(self._store.get(key)).decode()

    def said(self, *keys: str) -> bool:
        """Whether all these marks are there."""
        with self.together():
            return bool(self._store.check(list(keys)))

    def wait_for(self, *keys: str, else_over: str = "") -> bool:
        """Until all these marks are there, however long that takes: whoever watches ends the group where one is gone. False: `else_over` came."""
        while not self.said(*keys):
            if else_over and self.said(else_over):
                return False
            time.sleep(0.02)
        return True


class _Together:
    """See `Group.together`."""

    def __init__(self, group: Group) -> None:
        self._waiting = group.signs.waiting()

    def __enter__(self) -> None:
        self._waiting.__enter__()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: Any) -> None:
        self._waiting.__exit__(None, None, None)
        if isinstance(error, RuntimeError):
            raise Parted(str(error)) from error
