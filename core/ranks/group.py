"""The group of ranks that share a run: what they do together, and that they do it at the same step."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch._C._distributed_c10d import Store

from core.data.loader import Batch
from core.ranks.collectives import Collectives, Parted, Wired
from core.ranks.memory import InMemory, may_be_shared
from core.ranks.signs import Signs

PARTED_STATUS = 75
"""Exit status of a rank that ended since another one was gone (sysexits.h: EX_TEMPFAIL)."""


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
        machines: on how many machines the ranks are, each of which has as many.
        interface: of the network between machines; empty: as the machine is called.
    """

    def __init__(self, rank: int, ranks: int, store: Store, signs: Signs, device: torch.device, machines: int = 1, interface: str = "") -> None:
        self.rank = rank
        self.ranks = ranks
        self.machines = machines
        self.ranks_here = ranks // machines
        self.machine = rank // self.ranks_here
        self.device = device
        self.signs = signs
        self.wants_to_meet: Callable[[], bool] = lambda: False
        """Asked of the first rank before each sum."""
        self._store = store
        self._learning: list[nn.Parameter] = []
        with self.together():
            self._collectives = _collectives(rank, ranks, store, signs, device) if machines == 1 else Wired(rank, ranks, store, device, interface)

    def together(self) -> _Together:
        """Around a collective: the time waited is kept, and what goes wrong is `Parted`."""
        return _Together(self)

    @property
    def left_behind(self) -> bool:
        """Whether another rank of this machine has ended, or is about to."""
        first = self.machine * self.ranks_here
        return any(self.signs.gone(other) for other in range(first, first + self.ranks_here) if other != self.rank)

    def close(self) -> None:
        """Leave the group. The others notice at their next collective."""
        self._collectives.close()

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

    def chance(self, batch: Batch) -> int:
        """Whose chance this rank takes for a batch: its own for pictures of its own. Where all have the same ones, they drop out the same:
        BatchNorm's statistics would part otherwise.
        """
        return self.rank if self.is_cut(batch) else 0

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
        with self.together():
            self._collectives.room([*learning, torch.empty(3)])
        self.signs.set("bytes", self.step_bytes)

    @property
    def step_bytes(self) -> int:
        """What each rank gives to the sum of a step: 4 bytes for each number that learns, and 12."""
        return 4 * self._collectives.numbers

    @torch.no_grad()
    def sum(self, loss: Tensor, right: Tensor, share: float = 1.0) -> Summed:
        """Add up the gradients of what learns over all ranks, in place; each has those of its share of the mean loss of the whole batch.

        A tensor without a gradient on this rank counts as 0, and stays without.

        Args:
            loss: this rank's share of the mean loss.
            right: right answers among its pictures.
            share: what gradients are multiplied by before.
        """
        gradients = [each.grad for each in self._learning]
        there = [gradient for gradient in gradients if gradient is not None]
        if there and share != 1.0:
            torch._foreach_mul_(there, share)
        tail = torch.empty(3, device=self.device)
        tail[0], tail[1], tail[2] = loss, right, float(self.rank == 0 and self.wants_to_meet())
        self._collectives.give([*gradients, tail])
        with self.together():
            self._collectives.sum()
        self._collectives.take()
        return Summed(tail[0], tail[1].round().long(), bool(tail[2] > 0))

    def gather(self, tensor: Tensor) -> Tensor:
        """The same tensor of each rank, stacked in their order: [ranks, ...]."""
        with self.together():
            return self._collectives.gather(tensor)

    def total(self, numbers: Sequence[float]) -> list[float]:
        """Sums over all ranks, in double precision."""
        everybody: list[list[float]] = self.gather(torch.tensor(list(numbers), dtype=torch.float64)).tolist()
        return [sum(each) for each in zip(*everybody, strict=True)]

    # Words

    def tell(self, words: Any) -> None:
        """From the first rank to the others: something that JSON can say."""
        with self.together():
            self._collectives.tell(json.dumps(words).encode())

    def hear(self) -> Any:
        """What the first rank tells."""
        with self.together():
            return json.loads(self._collectives.hear())

    def hand_out(self, content: bytes) -> None:
        """From the first rank to the others, which `take`."""
        with self.together():
            self._collectives.tell(content)

    def take(self) -> bytes:
        """What the first rank hands out."""
        with self.together():
            return self._collectives.hear()

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


def _collectives(rank: int, ranks: int, store: Store, signs: Signs, device: torch.device) -> Collectives:
    """Through memory where that can be had, else over sockets; all ranks come to the same."""
    if device.type == "cpu" and may_be_shared():
        with suppress(OSError):
            return InMemory(rank, ranks, store, signs.gone)
    return Wired(rank, ranks, store, device)
