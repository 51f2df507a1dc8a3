"""Whether what was kept is what the frozen layers compute now: some pictures of each pass are computed again and compared, bit for bit."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import torch
from torch import Tensor

from core.data.loader import Batch
from core.reuse.features import Table
from core.reuse.way import Way

CHECKED_PICTURES = 2
"""Pictures that are computed again and compared in each pass, where so few give the same bits as a whole batch."""

MORE = (4, 8, 16)
"""Where they do not: as many as that, the fewest that do, if they are not more than half of a batch; else a whole batch.

How many is found out by the run that fills a table, and noted in it: the next run need not compute a whole batch at its beginning."""

CHECK_SHARE = 0.05
"""Share of the time since the last check that the next may take: each pass is checked, unless passes are over in a fraction of a second."""


Images = Callable[[Batch], Tensor]
"""The pictures of a batch as the layers are given them: float [N, 3, S, S] on their device."""


class Checks:
    """When a batch of a pass is computed again, and how much of it. One for a partition."""

    def __init__(self) -> None:
        self._random = random.Random(0)
        self._due_at = 0
        self._done = False
        self._last = self._seconds = 0.0
        self._pictures = 0
        self._began = time.perf_counter()

    def begin(self, batches: int) -> None:
        """A pass of so many batches begins."""
        self._due_at, self._done = self._random.randrange(batches), False

    def due(self, batch: int, proved: bool) -> bool:
        """Whether this batch (1: the first of the pass) is one to be checked. `proved`: what is kept was right before, so it has time."""
        if self._done:
            return False
        return not proved or (batch > self._due_at and self._seconds <= CHECK_SHARE * (time.perf_counter() - self._last))

    def other(self, way: Way, table: Table, batch: Batch, images: Images, kept: list[Tensor], proved: bool) -> list[Tensor] | None:
        """What `way` computes of the `images` of a batch in place of what was `kept`; None where the two are the same."""
        self._done = True
        began = time.perf_counter()
        try:
            return self._other(way, table, batch, images, kept, proved)
        finally:
            self._last = time.perf_counter()
            self._seconds = self._last - began

    def _other(self, way: Way, table: Table, batch: Batch, images: Images, kept: list[Tensor], proved: bool) -> list[Tensor] | None:
        size, few = len(batch), self._few(way, table, len(batch), proved)
        if few and self._agree_alone(few, way, table, batch, images, kept):
            self._pictures = few
            way.proved = True
            return None
        # So few pictures may take another way through a kernel: what counts is the whole batch.
        began = time.perf_counter()
        again = way.compute(images(batch))
        if not way.picture_seconds:  # all was found: this is the first time that anything is computed
            way.computed(time.perf_counter() - began, size, warm=True)
        self._pictures = size
        way.checked += size
        if not table.agree(again, kept):
            return again
        way.proved = True
        way.few = next((count for count in _counts(size) if count > few and self._known_or_agree(count, way, table, batch, images, kept)), 0)
        return None

    def _known_or_agree(self, count: int, way: Way, table: Table, batch: Batch, images: Images, kept: list[Tensor]) -> bool:
        return count in table.sizes or self._agree_alone(count, way, table, batch, images, kept)

    def _agree_alone(self, count: int, way: Way, table: Table, batch: Batch, images: Images, kept: list[Tensor]) -> bool:
        """Whether so many pictures by themselves give what was kept of them. If so the table notes it."""
        chosen = self._random.sample(range(len(batch)), min(count, len(batch)))
        way.checked += len(chosen)
        some = torch.cat([images(batch.some(slice(place, place + 1))) for place in chosen])
        if not table.agree(way.compute(some), [tensor[chosen] for tensor in kept]):
            return False
        table.sizes.add(len(chosen))
        return True

    def _few(self, way: Way, table: Table, size: int, proved: bool) -> int:
        """How many pictures are known to give the bits of a whole batch; 0: a whole one is due.

        By this run, or by an earlier one until a whole batch is cheap.
        """
        if way.few is None:
            way.few = next((count for count in _counts(size) if count in table.sizes), None)
        if not way.few or way.few not in _counts(size):
            return 0
        if proved and way.picture_seconds:
            return way.few
        whole = self._seconds * size / max(1, self._pictures)
        dear = not self._seconds or whole > CHECK_SHARE * (time.perf_counter() - self._began)
        return way.few if dear else 0


def _counts(size: int) -> tuple[int, ...]:
    """Numbers of pictures to be compared in place of a whole batch of so many, the fewest first."""
    return (CHECKED_PICTURES, *(count for count in MORE if 2 * count <= size))
