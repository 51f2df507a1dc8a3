"""Collectives between ranks of one machine: through memory that all of them map, without a socket.

A step with BatchNorm that learns has a collective for each of its layers, forward and backward; gloo takes some 150 us for one, whatever it carries.

The memory is a Linux `memfd` of the first rank, which the others open by its number: no name, nothing on a disk, gone with the last process. Ranks
meet at a *barrier*: each counts up a number of its own and looks until all others are as far. So that one barrier does for a message, messages lie in
two places in turn: whoever is past the barrier of message n + 1 knows that all have read message n.

What is written before the counter must be seen before the counter is. x86 keeps the order of stores, and that of loads (Intel 64 SDM, volume 3,
9.2.2), and the C library ends copies past the cache by a fence; `may_be_shared` is False on other processors, where gloo is used.

Sums are added up in the order of ranks, each number by one rank alone and read by all (`shares`), so the same ranks twice give the same bits.
"""

from __future__ import annotations

import mmap
import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import lru_cache

import torch
from torch import Tensor
from torch._C._distributed_c10d import Store

from core.ranks import collectives
from core.ranks.collectives import Parted, Row, copy_where_both_are
from core.ranks.shares import Shares, added_in_order

LINE = 64
"""Bytes of a cache line: no two ranks write into one."""

SLOT = 1 << 18
"""Bytes of a message; what is longer goes in several."""

SPINS = 2_000
"""Looks at the others' counters one after the other, giving way to others, before this rank sleeps between two: a millisecond or two."""

NAP_SECONDS = 5e-5
LOOK_SECONDS = 0.05
"""Between two looks whether those that are waited for still live."""


def may_be_shared() -> bool:
    """Whether processes of this machine can meet in memory: see above."""
    return sys.platform == "linux" and platform.machine().lower() in ("x86_64", "amd64") and hasattr(os, "memfd_create")


class InMemory:
    """See `core.ranks.collectives.Collectives`.

    Args:
        rank: 0 to `ranks` - 1.
        store: by which ranks tell each other where the memory is.
        gone: whether a rank, given by its number, has ended.

    Raises:
        OSError: a rank could not map the memory; every rank is told so, each by its own error.
        Parted: a rank did not come.
    """

    def __init__(self, rank: int, ranks: int, store: Store, gone: Callable[[int], bool]) -> None:
        self.numbers = 0
        self._rank = rank
        self._ranks = ranks
        self._gone = gone
        self._files: list[int] = []
        self._round = 0
        self._message = 0
        self._first = self._map_first(store)
        self._counters = memoryview(self._first)[: LINE * ranks].cast("q")
        self._others = [other * LINE // 8 for other in range(ranks) if other != rank]
        self._bytes = torch.frombuffer(self._first, dtype=torch.uint8, offset=LINE * ranks).view(2, ranks, SLOT)
        self._slots = lru_cache(256)(self._slots_of)
        self._given: Sequence[Tensor | None] = ()
        self._small = [Row((), torch.device("cpu"))] * 2  # what this rank gives, and the sum
        self._large: Shares | None = None

    def room(self, like: Sequence[Tensor]) -> None:
        """See `Collectives`."""
        self.numbers = count = sum(each.numel() for each in like)
        self._large = None
        if 4 * count <= SLOT:  # every rank adds up all of it: another barrier would cost more
            self._small = [Row(like, torch.device("cpu")) for _ in range(2)]
            return
        padded = -(-count // 16) * 16  # so that each row begins with a cache line
        memory = self._make_room(4 * padded * (self._ranks + 1))
        self._large = Shares(torch.frombuffer(memory, dtype=torch.float32).view(self._ranks + 1, padded), like, self._rank)

    def give(self, tensors: Sequence[Tensor | None]) -> None:
        """See `Collectives`."""
        if self._large is not None:
            self._large.show(tensors)
            return
        self._given = tensors
        self._small[0].fill(tensors)

    def sum(self) -> None:
        """See `Collectives`."""
        if self._large is None:
            added_in_order(list(self.gather(self._small[0].flat)), self._small[1].flat)
            return
        self._barrier()
        self._large.add()
        self._barrier()

    def take(self) -> None:
        """See `Collectives`."""
        if self._large is not None:
            self._large.take()
        else:
            copy_where_both_are(self._given, self._small[1].views)
            self._given = ()

    def gather(self, tensor: Tensor) -> Tensor:
        """See `Collectives`."""
        flat = tensor.detach().reshape(-1)
        most = SLOT // flat.element_size()
        if len(flat) <= most:
            return self._gather(flat).view(self._ranks, *tensor.shape)
        return torch.cat([self._gather(piece) for piece in flat.split(most)], 1).view(self._ranks, *tensor.shape)

    def tell(self, content: bytes) -> None:
        """See `Collectives`."""
        self._pass_on(len(content).to_bytes(8, "little"))
        for start in range(0, len(content), SLOT):
            self._pass_on(content[start : start + SLOT])

    def hear(self) -> bytes:
        """See `Collectives`."""
        length = int.from_bytes(self._hear(8), "little")
        return b"".join(self._hear(min(SLOT, length - start)) for start in range(0, length, SLOT))

    def close(self) -> None:
        """See `Collectives`. The memory is the system's again when this process ends."""
        while self._files:
            os.close(self._files.pop())

    # Messages

    def _gather(self, flat: Tensor) -> Tensor:
        mine, all_of_them = self._slots(flat.dtype, len(flat))[self._message % 2]
        self._message += 1
        mine.copy_(flat)
        self._barrier()
        return all_of_them.clone()

    def _slots_of(self, kind: torch.dtype, count: int) -> list[tuple[Tensor, Tensor]]:
        views = [place.view(kind)[:, :count] for place in self._bytes]
        return [(view[self._rank], view) for view in views]

    def _pass_on(self, piece: bytes) -> None:
        self._bytes[self._message % 2, 0, : len(piece)] = torch.frombuffer(bytearray(piece), dtype=torch.uint8)
        self._message += 1
        self._barrier()

    def _hear(self, length: int) -> bytes:
        place = self._bytes[self._message % 2, 0, :length]
        self._message += 1
        self._barrier()
        return place.numpy().tobytes()

    # Meeting

    def _barrier(self) -> None:
        """Until every rank is here.

        Raises:
            Parted: one has ended, or did not come for `LONGEST_WAIT`.
        """
        self._round += 1
        counters, wanted = self._counters, self._round
        counters[self._rank * LINE // 8] = wanted
        for other in self._others:
            spins = 0
            while counters[other] < wanted:
                spins += 1
                if spins > SPINS:
                    self._wait_long(other)
                    break
                os.sched_yield()

    def _wait_long(self, place: int) -> None:
        other, began, next_look = place * 8 // LINE, time.monotonic(), 0.0
        while self._counters[place] < self._round:
            now = time.monotonic()
            if now >= next_look:
                next_look = now + LOOK_SECONDS
                if self._gone(other) and self._counters[place] < self._round:  # it may have come, and ended after that
                    raise Parted(f"rank {other} has ended")
                if now - began > collectives.LONGEST_WAIT:
                    raise Parted(f"rank {other} did not come for {collectives.LONGEST_WAIT:g} s")
            time.sleep(NAP_SECONDS)

    # Memory

    def _map_first(self, store: Store) -> mmap.mmap:
        """The counters and the messages. Ranks tell each other whether they have it through `store`."""
        size = LINE * self._ranks + 2 * self._ranks * SLOT
        problem, mapped = "", None
        try:
            if self._rank == 0:
                mapped = self._made(size)
                store.set("memory", f"{os.getpid()} {self._files[-1]}")
            else:
                mapped = self._opened(self._asked(store, "memory"), size)
        except OSError as error:
            problem = str(error) or type(error).__name__
            if self._rank == 0:
                store.set("memory", "0 0")
        store.set(f"memory of {self._rank}", problem)
        problems = [self._asked(store, f"memory of {rank}") for rank in range(self._ranks)]
        if mapped is None or any(problems):
            raise OSError(f"ranks cannot share memory: {'; '.join(filter(None, problems))}")
        return mapped

    @staticmethod
    def _asked(store: Store, key: str) -> str:
        store.wait([key], timedelta(seconds=collectives.LONGEST_WAIT))
        return bytes(store.get(key)).decode()

    def _make_room(self, size: int) -> mmap.mmap:
        """More memory, of the first rank's; what was there before goes once nobody holds it any more."""
        self.close()
        if self._rank == 0:
            mapped = self._made(size)
            self.tell(f"{os.getpid()} {self._files[-1]}".encode())
        else:
            mapped = self._opened(self.hear().decode(), size)
        self._barrier()  # all have opened it: the first rank may close its end
        return mapped

    def _made(self, size: int) -> mmap.mmap:
        file = os.memfd_create("thaw ranks", os.MFD_CLOEXEC)
        self._files.append(file)
        os.ftruncate(file, size)
        return mmap.mmap(file, size)

    @staticmethod
    def _opened(place: str, size: int) -> mmap.mmap:
        pid, number = place.split()
        file = os.open(f"/proc/{pid}/fd/{number}", os.O_RDWR | os.O_CLOEXEC)
        try:
            return mmap.mmap(file, size)
        finally:
            os.close(file)
