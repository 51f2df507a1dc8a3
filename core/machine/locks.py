"""Locks between processes: a file that one process at a time holds. They go with their holder, however that ends."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO


class Held(OSError):
    """Another process, or another thread of this one, holds the lock."""


@contextmanager
def locked(path: Path, patience: float = 0.0) -> Iterator[None]:
    """Hold the lock `path` while the block runs. The file stays: one that is removed could be locked twice.

    Args:
        patience: seconds to wait for another holder to let go.

    Raises:
        Held: somebody else holds it for longer.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    until = time.monotonic() + patience
    with path.open("a", encoding="utf-8") as file:
        while not taken(file):
            if time.monotonic() >= until:
                raise Held(f"{path.name} is held by another process")
            time.sleep(0.02)
        yield  # closing the file lets go


def taken(file: TextIO) -> bool:
    """Take the lock of an open file, which goes when the file is closed. False where somebody else has it. Windows: always True."""
    try:
        import fcntl
    except ImportError:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
