"""Where the time of training goes."""

from __future__ import annotations

import time
from typing import Literal

Stage = Literal["data", "static prefix", "forward", "backward", "optimizer", "watching", "recording"]
"""Parts of a step: read the batch; what frozen layers compute, or fetching what they computed before; the rest of the model and the
loss; gradients; the update; measuring; what whoever iterates the trainer does with a report."""


class Stages:
    """A stopwatch that is pressed after each part of a step. On an accelerator it counts the time to launch a part, not to run it."""

    def __init__(self) -> None:
        self.seconds: dict[Stage, float] = {}
        self._last = time.perf_counter()

    def begin(self) -> None:
        """Whatever was done up to now counts for nothing."""
        self._last = time.perf_counter()

    def done(self, stage: Stage) -> None:
        """All time since the last press went into `stage`."""
        now = time.perf_counter()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + now - self._last
        self._last = now
