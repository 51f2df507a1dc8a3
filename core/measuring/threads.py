"""On how many threads what learns runs in an exact run on a processor: as many as are quickest beside what else the machine does, with equal bits.

A head on kept features is so little work that a second thread costs more than it brings: on a busy machine it waits for its core in each
step. Which numbers give the bits of the usual one is found by trying, on the actual batch: output, loss, gradients, their norms and the
update must be the same, for each shape of batch anew (kernels are chosen by it). Those that do take turns, and of the quickest the
smallest is used. It is looked at again when the load of the machine changes or steps take another time than they did; each such look
compares bits again, and the first difference ends all of it. Trying takes no part in the run: chance, buffers and gradients are as before.
"""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from core.config import RunConfig
from core.machine.bits import same
from core.measuring.load import Load
from core.model.freezing import trainable
from core.networks.models import logits_and_auxiliary, loss_and_logits
from core.records.events import ThreadsUsed
from core.records.telling import threads_in_words
from core.reuse.counts import AllThreads, Live, Pass, use_threads
from core.reuse.rows import in_rows
from core.training.trainer import Trainer

WARM = 3
"""Batches of a shape that come before it is tried: the first ones set much up."""

ROUNDS = 5
"""How often each number is timed in one look; the slowest time of each does not count."""

ALIKE = 1.1
"""Of numbers up to this many times as slow as the quickest the smallest is taken: it leaves cores to others, and waits for nobody."""

SHARE = 0.02
"""Part of the training time that trying may take."""

LOOK_SECONDS, FEWEST = 1.0, 5
"""How often the load of the machine and the pace of steps are looked at; a pace is that of so many batches at least."""

OTHER_LOAD, OTHER_PACE = 0.25, 1.5
"""Another share of the processor that others use, or steps so many times as long or as short: then numbers are tried again."""


def may_be_chosen(config: RunConfig, device: torch.device) -> bool:
    """Whether a run leaves the number of threads open: it names none, and its steps are computed by a processor without being translated."""
    named = config.threads is not None and config.speed == "exact"
    return device.type == "cpu" and not named and not config.compile_model and config.precision != "float16"


@dataclass
class _Shape:
    """Batches of one shape in one pass, and what is known of them."""

    original: Live
    run: Live
    count: int
    seen: int = 0
    round: int = 0
    tried: bool = False
    ways: list[tuple[int, Live]] = field(default_factory=list)
    """Numbers of threads that give the same bits, with what is to be called on each: the usual first."""
    labels: Tensor | None = None


class Threads(AllThreads):
    """Chooses for one trainer, whose partition asks it.

    Args:
        load: which share of the processor others use; None: too early to tell.
        clock: seconds, by which numbers are compared.
        say: told in a sentence when another number is used.
    """

    def __init__(
        self,
        trainer: Trainer,
        total_steps: int,
        load: Callable[[], float | None] | None = None,
        clock: Callable[[], float] = time.perf_counter,
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        super().__init__()
        self.trainer = trainer
        self.total_steps = total_steps
        self.load = load or Load()
        self.clock = clock
        self.say = say
        self.used = ThreadsUsed(self.base, self.base)
        self.busy = 0.0
        self._counts = sorted({1, 2, 4, self.base // 2} & set(range(1, self.base)))
        self._shapes: dict[tuple[Any, ...], _Shape] = {}
        self._round = 0
        self._tried_at = self._tried_for = 0.0
        self._tried_load = 0.0
        self._looked = self._since = self.clock()
        self._batches = 0
        self._pace = 0.0

    def frozen(self) -> None:
        """See `AllThreads`."""
        use_threads(self.base)

    def forget(self) -> None:
        """See `AllThreads`."""
        self._shapes.clear()
        self._pace = 0.0

    def tell(self) -> ThreadsUsed | None:
        """See `AllThreads`; None until something was tried."""
        return self.used if self.used.looks or self.used.failed else None

    def live(self, what: Pass, inputs: Sequence[Tensor], live: Live) -> Live:
        """See `AllThreads`. Costs some microseconds, but for the few batches of which different numbers are tried."""
        key = (what == "train", *[tensor.shape for tensor in inputs])
        found = self._shapes.get(key)
        if found is None or found.original is not live:
            found = self._shapes[key] = _Shape(live, live, self.base)
        found.seen += 1
        self._batches += what == "train"
        if self.clock() - self._looked >= LOOK_SECONDS:
            self._look()
        if not self.used.failed:
            if not found.tried:
                if found.seen >= WARM and SHARE * (self.total_steps - self.trainer.step) >= 4:  # trying takes about a dozen steps
                    self._try(what, found, inputs)
            elif found.round != self._round and len(found.ways) > 1:
                self._try(what, found, inputs)
        use_threads(found.count)
        return found.run

    # When

    def _look(self) -> None:
        """Have numbers tried again if the machine is busier or idler than it was, or steps take another time. Takes a tenth of a millisecond."""
        now, other_pace = self.clock(), False
        if self._batches >= FEWEST:
            pace = (now - self._since) / self._batches
            self._since, self._batches = now, 0
            self._pace = self._pace or pace  # that of the steps after the choice
            other_pace = not 1 / OTHER_PACE < pace / self._pace < OTHER_PACE
        self._looked = now
        load = self.load()
        self.busy = self.busy if load is None else load
        other_load = abs(self.busy - self._tried_load) >= OTHER_LOAD
        if (other_pace or other_load) and now - self._tried_at >= self._tried_for / SHARE:
            self._round += 1

    # Trying

    def _try(self, what: Pass, found: _Shape, inputs: Sequence[Tensor]) -> None:
        """Find out which numbers of threads give the bits of the usual one, and which of these is the quickest now."""
        began, first, training = self.clock(), not found.tried, what == "train"
        found.tried, found.round = True, self._round
        load = self.load()
        self.busy = self.busy if load is None else load
        learning = trainable(self.trainer.model) if training else []
        with _untouched(found.original) as again:

            def made(count: int, live: Live) -> _Made:
                use_threads(count)
                again()
                return self._made(learning, found, live, inputs)

            ways = found.ways[1:]
            expected = made(self.base, found.original)
            if first and made(self.base, found.original).equals(expected):
                ways = [(count, live) for count in self._counts for live in _forms(training, found.original, self.base)]
            good: dict[int, Live] = {}
            for count, live in ways:
                if count not in good and made(count, live).equals(expected):
                    good[count] = live
            found.ways = [(self.base, found.original), *good.items()]
            failed = not first and len(good) < len(ways)
            self._settle(training, found, self._timed(found, made) if good and not failed else {}, failed)
        use_threads(found.count)
        self._tried_at, self._tried_for, self._tried_load = self.clock(), self.clock() - began, self.busy
        self._looked = self._since = self._tried_at
        self._batches, self._pace = 0, 0.0

    def _made(self, learning: list[torch.nn.Parameter], found: _Shape, live: Live, inputs: Sequence[Tensor]) -> _Made:
        """Call `live`, and work out gradients of what learns, if anything does; the labels are made up, since kernels do not depend on them."""
        output = live(*(tensor.clone() for tensor in inputs))  # some layers write into what they are given
        logits, _ = logits_and_auxiliary(output)
        if found.labels is None:
            found.labels = torch.arange(len(logits)) % logits.shape[1]
        loss, _ = loss_and_logits(self.trainer.loss, output, found.labels)
        if not learning:
            return _Made([logits, loss], {}, None)
        gradients = torch.autograd.grad(loss, learning, allow_unused=True)
        by_tensor = {id(tensor): gradient for tensor, gradient in zip(learning, gradients, strict=True) if gradient is not None}
        return _Made([logits.detach(), loss.detach()], by_tensor, self.trainer.optimizer)

    def _timed(self, found: _Shape, made: Callable[[int, Live], _Made]) -> dict[int, float]:
        """Seconds of each number that gives the same bits. They take turns, so that what else the machine does strikes all alike."""
        taken: dict[int, list[float]] = {count: [] for count, _ in found.ways}
        for turn in range(ROUNDS):
            for count, live in found.ways if turn % 2 else reversed(found.ways):
                began = self.clock()
                made(count, live)
                taken[count].append(self.clock() - began)
        return {count: statistics.fmean(sorted(seconds)[:-1]) for count, seconds in taken.items()}

    def _settle(self, training: bool, found: _Shape, seconds: dict[int, float], failed: bool) -> None:
        """Take the smallest of the numbers that are about as quick as the quickest, and say so."""
        if seconds:
            quickest = min(seconds.values())
            found.count = min(count for count, taken in seconds.items() if taken <= ALIKE * quickest)
            found.run = dict(found.ways)[found.count]
        if failed:
            for shape in self._shapes.values():
                shape.run, shape.count = shape.original, self.base
        if training or failed:
            before = self.used
            self.used = ThreadsUsed(found.count, self.base, tuple(sorted(seconds.items())), self.busy, before.looks + 1, failed)
            self.trainer.partition.news = True
            if failed or before.count != found.count:
                self.say(threads_in_words(self.used))


@dataclass(frozen=True)
class _Made:
    """What a pass makes of a batch: output and loss, and in training the gradients by the id of their tensor, and what moves the tensors by them."""

    results: list[Tensor]
    gradients: dict[int, Tensor]
    optimizer: torch.optim.Optimizer | None

    def equals(self, other: _Made) -> bool:
        """Whether all is the same to the bit, with what `core.signals.watch` and the update would make of it on the number of threads at hand."""
        mine, theirs = [*self.results, *self.gradients.values()], [*other.results, *other.gradients.values()]
        if not _equal(mine, theirs):
            return False
        return self.optimizer is None or _equal(self._further(self.optimizer), other._further(self.optimizer))

    def _further(self, optimizer: torch.optim.Optimizer) -> list[Tensor]:
        """Norms as they are recorded, and the weights after an update of a copy."""
        gradients = list(self.gradients.values())
        rows = [torch.linalg.vector_norm(gradient.flatten(1), dim=1) for gradient in gradients if gradient.ndim > 1]
        copied = copy.deepcopy(optimizer)
        for group, own in zip(optimizer.param_groups, copied.param_groups, strict=True):
            for tensor, double in zip(group["params"], own["params"], strict=True):
                double.grad = self.gradients.get(id(tensor))
        type(copied).step(copied)
        return [*torch._foreach_norm(gradients), *rows, *(tensor.detach() for group in copied.param_groups for tensor in group["params"])]


def _forms(training: bool, live: Live, base: int) -> list[Live]:
    """What can be called on another number of threads: `live`, and where that may matter, `live` with gradients as `base` threads cut them."""
    cut = in_rows(live, base) if training else None
    return [live] if cut is None else [live, cut]


@contextmanager
def _untouched(live: Live) -> Iterator[Callable[[], None]]:
    """Within it torch's chance and the buffers of `live` may be used up: what it yields puts them back, and so does its end."""
    buffers = [(buffer, buffer.clone()) for buffer in live.buffers()] if isinstance(live, torch.nn.Module) else []
    chance = torch.get_rng_state()

    def again() -> None:
        with torch.no_grad():
            for buffer, before in buffers:
                buffer.copy_(before)
        torch.set_rng_state(chance)
        torch.clear_autocast_cache()

    try:
        yield again
    finally:
        again()


def _equal(left: Sequence[Tensor], right: Sequence[Tensor]) -> bool:
    return len(left) == len(right) and all(same(one, other) for one, other in zip(left, right, strict=True))
