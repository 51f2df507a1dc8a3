"""How long a run still takes, from the steps that are like those to come. Imports nothing of the project."""

from __future__ import annotations

from collections import deque

RECENT_STEPS, RECENT_SECONDS = 500, 30.0
"""How many of the newest steps count, and how many seconds of them (one step at least)."""


class TimeLeft:
    """Seconds that a step takes, and what lies between two epochs, since it last began anew.

    A change of what learns, or frozen layers whose features are all there, makes other steps of them: `anew`. The first step after that is
    left out where there are others, since what is slow only once is in it; where the model is `translated` then, which takes a hundred steps' time
    and more, it is never taken for one of those to come. While features are computed for the first time (`filling`) steps say
    nothing of the later ones, so there is no estimate until an epoch is over.
    """

    def __init__(self) -> None:
        self.filling = False
        self.translated = False
        self._steps: deque[float] = deque()
        self._sum = 0.0  # of all of them
        self._first: float | None = None
        self._epochs = 0
        self._aside = 0.0
        self.between = 0.0
        """Seconds from the last step of an epoch to the first of the next: validation and saving."""

    def anew(self) -> None:
        """Steps are others from here on."""
        self._steps.clear()
        self._sum = 0.0
        self._first = None
        self._epochs = 0

    def step(self, seconds: float) -> None:
        """A step took so long."""
        if self._first is None:
            self._first = seconds
            return
        self._steps.append(seconds)
        self._sum += seconds
        while len(self._steps) > RECENT_STEPS or (len(self._steps) > 1 and self._sum > RECENT_SECONDS):
            self._sum -= self._steps.popleft()

    def aside(self, seconds: float) -> None:
        """So long was spent on something else than a step."""
        self._aside += seconds

    def epoch(self) -> None:
        """The epoch before is over, with what came after its last step."""
        if not self.filling:
            self.between = self._aside
        self._aside = 0.0
        self._epochs += 1

    @property
    def seconds(self) -> float | None:
        """Mean seconds of a recent step; None where none says anything of those to come."""
        if self.filling and not self._epochs:
            return None
        if not self._steps:
            return None if self.translated else self._first
        return max(self._sum, 0.0) / len(self._steps)
