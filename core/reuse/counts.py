"""On how many processor threads each part of a step runs: the place where `core.reuse.partition` asks. This one never changes the number.

Kernels add up in another order on other numbers of threads, so a number is no matter of speed alone. What frozen layers compute is always
computed on the number that the run began with, which is part of a table's key; `core.measuring.threads` chooses one for the rest where
that gives the same bits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from core.records.events import ThreadsUsed

Pass = Literal["train", "validation", "test"]
Live = Callable[..., Any]
"""What learns: from the border tensors of a batch (or its images, where nothing is kept) to what the model returns."""


def use_threads(count: int) -> None:
    """Have torch use this many from now on. Where it does already nothing is called: that would change more than the number."""
    if torch.get_num_threads() != count:
        torch.set_num_threads(count)


class AllThreads:
    """Everything runs on the number of threads that the process has when this is made: `base`."""

    def __init__(self) -> None:
        self.base = torch.get_num_threads()

    def frozen(self) -> None:
        """What frozen layers compute comes now."""

    def live(self, what: Pass, inputs: Sequence[Tensor], live: Live) -> Live:
        """What learns comes now, in pass `what`: `live(*inputs)`, in training gradients and the update too. Returns what is to be called instead."""
        return live

    def forget(self) -> None:
        """Something else learns from now on."""

    def tell(self) -> ThreadsUsed | None:
        """What was chosen; None where there was nothing to choose."""
        return None
