"""Files written whole: a crash at any moment, a full disk or a second writer leaves either the old file or the new one."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

LEFT_OVER = 86_400
"""Seconds after which an unfinished file that nobody has written to is one of a process that was killed."""


@contextmanager
def written_whole(path: Path) -> Iterator[BinaryIO]:
    """A file to write to that becomes `path` when the block ends; where the block fails, what was at `path` stays as it was.

    The folder is made if it is not there. Until then the file lies beside `path` as `.NAME.partial-PROCESS-THREAD`, so several may write at
    once and the last to end wins. It is on the disk (fsync of the file, then of the folder) when the block is over.

    Raises:
        OSError: the disk is full or cannot be written. The unfinished file is removed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_left_over(path)
    partial = path.with_name(f".{path.name}.partial-{os.getpid()}-{threading.get_ident()}")
    try:
        with partial.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    _settle(path.parent)


def _settle(folder: Path) -> None:
    """The rename itself is durable only once the folder is."""
    if os.name != "posix":
        return
    with suppress(OSError):  # network drives that know no such thing: the file is there all the same
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)


def _remove_left_over(path: Path) -> None:
    for partial in path.parent.iterdir():
        if partial.name.startswith(f".{path.name}.partial-"):
            with suppress(OSError):  # another process was quicker
                if time.time() - partial.stat().st_mtime > LEFT_OVER:
                    partial.unlink()
