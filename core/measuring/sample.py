"""Which real pictures the ways of computing a step are tried on: a few batches, of as many pictures as a pass takes about half a second for."""

from __future__ import annotations

from collections.abc import Callable

import psutil
from torch import Tensor

from core.measuring.bench import saved_bytes
from core.measuring.trial import Hopeless, Subject, Timer
from core.records.speed import Way
from core.records.telling import size
from core.training.steps import Pair, Steps, images_within

LONG_SECONDS = 0.5
"""Where forward and backward of a whole batch take longer, fewer images are measured, and the rest is worked out."""

FEWEST_JUDGED = 16
"""Images in a batch of which gradients are compared, however long that takes: in small ones batch normalisation makes the most noise."""

BATCHES = 4
"""Different batches that are used; exact steps on them come before anything is judged."""


def pictures(subject: Subject, exact: Steps, timer: Timer, go_on: Callable[[], None]) -> tuple[list[Pair], int]:
    """A few batches of real pictures to judge by, and how many of each are timed: those of which a pass takes about `LONG_SECONDS`.

    Args:
        exact: makes the exact steps that this is found out with.
        go_on: called before each; what it raises ends the measuring.

    Raises:
        Hopeless: the machine has not the memory that trying needs.
    """
    images_timed = judged = 0
    chosen: list[Pair] = []
    for group in subject.train.batches(1):
        for part in group.parts(subject.config.batch_size):
            images, labels = part
            if not chosen:
                images_timed = _how_many(subject, exact, (images, labels), timer, go_on)
                judged = max(images_timed, min(FEWEST_JUDGED, len(labels)))
            if len(labels) >= judged:  # the last batch of an epoch is often smaller
                chosen.append((images[:judged].clone(), labels[:judged]))
            if len(chosen) == BATCHES:
                return chosen, images_timed
    return chosen, images_timed


def _how_many(subject: Subject, exact: Steps, batch: tuple[Tensor, Tensor], timer: Timer, go_on: Callable[[], None]) -> int:
    images, labels = batch
    few, way = min(2, len(labels)), Way(threads=subject.threads[0])

    def seconds_of(count: int) -> float:
        go_on()
        seconds = timer(way, "probe", exact, lambda: exact.backward(exact.forward((images[:count], labels[:count]))), False)
        exact.optimizer.zero_grad()
        return seconds

    _, probe_bytes = saved_bytes(exact.model, lambda: exact.forward((images[:few], labels[:few])))
    seconds_of(few)  # the first pass sets much up, so it is not timed
    most = images_within(LONG_SECONDS, len(labels), seconds_of, (few, seconds_of(few)))
    _check_memory(subject, exact, most * (probe_bytes / few + 5 * images[0].nelement()))
    return most


def _check_memory(subject: Subject, exact: Steps, pass_bytes: float) -> None:
    """The system would not say no, but end some process, a training perhaps. An accelerator says no itself."""
    if subject.device.type != "cpu":
        return
    weights = sum(tensor.nbytes for tensor in (*exact.model.parameters(), *exact.model.buffers()))
    # Another copy of the model; gradients of both, the figures of three optimizers, and gradients to compare.
    needed = weights + 12 * sum(parameter.nbytes for parameter in exact.learning) + pass_bytes
    free = psutil.virtual_memory().available
    if needed > free:
        raise Hopeless(f"trying other ways needs {size(needed)} of memory, {size(free)} are free")
