"""Whether a process still lives, and what it said last."""

from __future__ import annotations

from pathlib import Path

import psutil

_SAME = 1.0
"""Seconds by which two tellings of one process's start may differ."""

_TAIL = 64_000
"""Bytes at the end of a log that are looked at."""


def lives(pid: int, started: float | None = None) -> bool:
    """Whether there is a process with this pid that has not ended (one that nobody has asked for its status yet has).

    Args:
        started: when it was started, in Unix seconds: pids are used again. None: any will do.
    """
    try:
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and (started is None or abs(process.create_time() - started) < _SAME)
    except psutil.Error:
        return False


def last_lines(log: Path, count: int) -> str:
    """The last lines of a log, however long it is. Raises OSError where it cannot be read."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _TAIL))
        return "\n".join(file.read().decode(errors="replace").splitlines()[-count:])
