"""Unfinished files of processes that were killed: found by the process in their name, and removed. One that is being written is never touched."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil

from core.data.downloads import remove_unfinished
from core.machine.files import LEFT_OVER
from core.machine.home import Home

_WRITER = re.compile(r"\.partial-(\d+)-\d+$|^standby-(\d+)\.log$")
_OF_TORCH = re.compile(r".+\.pth\.[0-9a-f]{32}\.partial")
_SLACK = 2.0
"""Seconds by which the clocks of file system and processes may differ."""


def remove_left_over(home: Home) -> list[Path]:
    """Remove what processes that are gone left: unfinished files in runs, caches and downloads, logs of standby workers. Returns what was removed."""
    removed = [file for file in (*_partial_files(home), *_logs_of_servers(home), *_downloads_of_torch()) if _remove(file)]
    return [*removed, *remove_unfinished(home.data)]


def writer_is_gone(file: Path) -> bool:
    """Whether nobody writes to this unfinished file any more: by the process in its name, without one by its age.

    Raises:
        OSError: it is gone itself.
    """
    written = file.stat().st_mtime
    writer = _WRITER.search(file.name)
    if writer is None:
        return time.time() - written > LEFT_OVER
    try:
        # Started after the last write: another process has the number now.
        return psutil.Process(int(writer[1] or writer[2])).create_time() > written + _SLACK
    except psutil.NoSuchProcess:
        return True
    except psutil.Error:
        return time.time() - written > LEFT_OVER


def _partial_files(home: Home) -> Iterator[Path]:
    for place in (home.runs, home.cache, home.networks):
        for folder, _, names in os.walk(place):
            yield from (Path(folder, name) for name in names if ".partial-" in name)


def _logs_of_servers(home: Home) -> Iterator[Path]:
    """The logs of standby workers, named by their servers. A worker that got a run has that run's log, and needs this one no more."""
    yield from home.logs.glob("standby-*.log")


def _downloads_of_torch() -> Iterator[Path]:
    """Unfinished weights in the folder that torch.hub downloads to; they name no process, and other programs may download there too."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    folder = Path(os.environ.get("TORCH_HOME") or cache / "torch").expanduser() / "hub" / "checkpoints"
    with suppress(OSError):
        yield from (file for file in folder.iterdir() if _OF_TORCH.fullmatch(file.name))


def _remove(file: Path) -> bool:
    try:
        if not writer_is_gone(file):
            return False
        file.unlink()
    except OSError:  # another process was quicker, or it may not be removed
        return False
    return True
