"""Datasets that torchvision can download: fetched whole or not at all, with progress. torch is imported when one is read."""

from __future__ import annotations

import errno
import http.client
import os
import shutil
import socket
import tarfile
import time
import urllib.error
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from core.config import ConfigError
from core.data.sources import Progress, Source
from core.machine.locks import taken

Parts = tuple[Source, ...]
"""Training and test images; or all images, of a dataset that was never split."""

STALLED_AFTER = 30.0
"""Seconds without a byte after which a download is given up. torchvision itself would wait for ever."""

DAMAGED = (RuntimeError, ValueError, LookupError, AssertionError, EOFError, tarfile.TarError, zipfile.BadZipFile, zlib.error)
"""What torchvision and the readers below it raise on files that are not there, not whole or not what they should be."""

PACKED = (".gz", ".tgz", ".zip")


@dataclass(frozen=True)
class Download:
    """A dataset of torchvision.

    Args:
        label: what a person calls it.
        megabytes: about what is transferred.
        images: how many images it has in all: fewer are a damaged copy.
        files: what is downloaded, as paths below the data folder. A person without a network can put them there.
        open: reads it with torchvision from a data folder; with True as second argument it downloads what is missing.
    """

    label: str
    megabytes: int
    images: int
    files: tuple[str, ...]
    open: Callable[[Path, bool], Parts]


def fetch(download: Download, folder: Path, progress: Progress) -> Parts:
    """The images of `download`, from `folder` if they are there, else downloaded into it.

    The download is unpacked beside the data and moved into place when it is whole, so that nothing half done is ever taken for
    the dataset. torchvision checks the checksums. Two runs that want the same dataset download it once.

    Raises:
        ConfigError: on `dataset`, if there is no network, no space, or what came is damaged; with the remedy.
    """
    try:
        return _open_whole(download, folder, False)
    except (OSError, *DAMAGED) as error:
        reason = _brief(error)
    staging = folder / ".downloading" / download.label
    try:
        with _only_one(staging.with_suffix(".lock"), download, progress):
            try:
                return _open_whole(download, folder, False)  # another run may have downloaded it meanwhile
            except (OSError, *DAMAGED) as error:
                reason = _brief(error)
            try:
                _start_with(download.files, folder, staging)
                with _reported(download, progress):
                    _open_whole(download, staging, True)
                progress(f"unpacking {download.label}", None)
                for file in download.files:
                    if file.endswith(PACKED):
                        (staging / file).unlink(missing_ok=True)
                _move_into(staging, folder)
            finally:
                shutil.rmtree(staging, ignore_errors=True)
            return _open_whole(download, folder, False)
    except (OSError, http.client.HTTPException, *DAMAGED) as error:
        raise _in_words(error, download, folder, reason) from error


def _open_whole(download: Download, root: Path, may_download: bool) -> Parts:
    parts = download.open(root, may_download)
    images = sum(len(part) for part in parts)
    if images != download.images:
        raise ValueError(f"{images:,} of {download.images:,} images are there")
    for part in parts:
        missing = next((file for file in part.images if not file.is_file()), None) if isinstance(part.images, tuple) else None
        if missing:
            raise ValueError(f"{missing.name} is missing")
    return parts


@contextmanager
def _only_one(lock: Path, download: Download, progress: Progress) -> Iterator[None]:
    """Wait while another process downloads the same dataset. The lock goes with its holder, however that ends."""
    while True:
        lock.parent.mkdir(parents=True, exist_ok=True)
        with lock.open("w") as file:
            while not taken(file):
                progress(f"waiting for another run that is downloading {download.label}", None)
                time.sleep(0.5)
            if not lock.exists() or not os.path.samestat(lock.stat(), os.fstat(file.fileno())):
                continue  # the one before removed it at its end: lock the file that all others see
            try:
                yield
            finally:
                with suppress(OSError):  # others are downloading
                    lock.unlink()
                    lock.parent.rmdir()
            return


def remove_unfinished(folder: Path) -> list[Path]:
    """Remove what downloads that were killed left in the data folder; those that go on hold their lock. Returns what was removed."""
    if os.name != "posix":  # no locks there, so nobody knows which download goes on
        return []
    removed = []
    below = folder / ".downloading"
    for staging in [place for place in below.glob("*") if place.is_dir()]:
        with suppress(OSError), staging.with_suffix(".lock").open("a") as file:
            if taken(file):
                shutil.rmtree(staging)
                removed.append(staging)
    for lock in below.glob("*.lock"):
        with suppress(OSError), lock.open("a") as file:
            if taken(file):
                lock.unlink()
    with suppress(OSError):
        below.rmdir()
    return removed


def _start_with(files: tuple[str, ...], folder: Path, staging: Path) -> None:
    """An empty staging folder, with the downloaded files that a person put in place: torchvision takes those that are whole."""
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    for file in files:
        if (folder / file).is_file():
            (staging / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder / file, staging / file)


def _move_into(staging: Path, folder: Path) -> None:
    """Rename what is in `staging` to the same place in `folder`; a whole folder at once where there is none of that name."""
    for entry in sorted(staging.iterdir()):
        target = folder / entry.name
        if entry.is_dir() and target.is_dir():
            _move_into(entry, target)
        else:
            entry.replace(target)


@contextmanager
def _reported(download: Download, progress: Progress) -> Iterator[None]:
    """While it lasts, torchvision's downloads report to `progress` instead of drawing a bar, and do not wait for ever."""
    from torchvision.datasets import utils

    total = download.megabytes * 1_000_000
    done = 0
    last = 0.0

    class Bar:
        """As much of tqdm's bar as torchvision's downloader uses."""

        def __init__(self, *arguments: Any, **options: Any) -> None:
            pass

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *error: object) -> None:
            pass

        def update(self, count: int) -> None:
            nonlocal done, last
            done += count
            if time.monotonic() - last > 0.2:
                last = time.monotonic()
                whole = max(total, done)
                progress(f"downloading {download.label}: {done / 1e6:,.0f} of {whole / 1e6:,.0f} MB", done / whole)

    bar, timeout = utils.tqdm, socket.getdefaulttimeout()
    utils.tqdm = Bar
    socket.setdefaulttimeout(STALLED_AFTER)
    progress(f"downloading {download.label}: 0 of {download.megabytes:,} MB", 0.0)
    try:
        yield
    finally:
        utils.tqdm = bar
        socket.setdefaulttimeout(timeout)


def _in_words(error: Exception, download: Download, folder: Path, reason: str) -> ConfigError:
    """What went wrong, and what a person can do about it."""
    number = error.errno if isinstance(error, OSError) and not isinstance(error, urllib.error.URLError) else None
    if number in (errno.ENOSPC, errno.EDQUOT):
        return ConfigError("dataset", f"{download.label} does not fit into {folder}; free some space, or keep datasets elsewhere with THAW_DATA")
    if number in (errno.EACCES, errno.EPERM, errno.EROFS):
        return ConfigError("dataset", f"{folder} has no {download.label} and cannot be written to; set THAW_DATA to a folder that can")
    files = ", ".join(download.files)
    return ConfigError(
        "dataset",
        f"{download.label} is not in {folder} ({reason}) and could not be downloaded ({_brief(error)}). Connect to the network and start again, "
        f"or put {files} there, or choose digits or shapes, which need no network",
    )


def _brief(error: Exception) -> str:
    """The last line of what was raised, without what only a programmer can use."""
    text = str(error).strip().split("\n")[-1] or type(error).__name__
    text = text.removeprefix("<urlopen error ").removesuffix(">").removesuffix(" You can use download=True to download it")
    return text.rstrip(".")[:200]
