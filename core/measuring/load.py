"""What else the machine does: which share of the processor is used by others than this process."""

from __future__ import annotations

import time
from dataclasses import dataclass

import psutil

SHORTEST_SECONDS = 0.2
"""The system counts in hundredths of a second: a shorter look says little."""


@dataclass(frozen=True)
class _Look:
    at: float
    all_seconds: float
    """Of all cores together: what they worked, and in all."""
    worked: float
    own: float


class Load:
    """Says what others use. It never waits: each look is about the time since the last."""

    def __init__(self) -> None:
        self._last = _look()

    def __call__(self) -> float | None:
        """Share of the processor (0 to 1, all cores) that other processes used since the last look; None where that is too short ago to tell."""
        if time.monotonic() - self._last.at < SHORTEST_SECONDS:
            return None
        before, self._last = self._last, _look()
        given = self._last.all_seconds - before.all_seconds
        if given <= 0:
            return None
        others = self._last.worked - before.worked - (self._last.own - before.own)
        return min(1.0, max(0.0, others / given))


def _look() -> _Look:
    times = psutil.cpu_times()
    everything = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)  # Linux counts guests twice
    idle = times.idle + getattr(times, "iowait", 0.0)
    return _Look(time.monotonic(), everything, everything - idle, time.process_time())
