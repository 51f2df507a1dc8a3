"""The weights that torchvision publishes for a model: from torch's own cache, or downloaded with progress and patience."""

from __future__ import annotations

import contextlib
import errno
import socket
import sys
import time
from collections.abc import Callable, Iterator
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import torch
import torchvision
from torch import Tensor

from core.catalog.weight_kinds import refused
from core.config import ConfigError
from core.model.weight_files import UNREADABLE
from core.networks.model_entries import ModelEntry

Progress = Callable[[str, float | None], None]

NETWORK_PATIENCE = 30.0
"""Seconds without a byte after which a download has failed."""


def published(entry: ModelEntry, progress: Progress) -> dict[str, Tensor]:
    """The default weights of torchvision for a model, from torch's own cache or the network."""
    if not entry.pretrained:
        raise ConfigError("starting_weights", f"'pretrained': {entry.label} is a model of our own and has no published weights; use random")
    weights = torchvision.models.get_model_weights(entry.name).DEFAULT
    file = Path(torch.hub.get_dir()) / "checkpoints" / weights.url.rpartition("/")[2]
    here = file.exists()
    progress("reading the published weights" if here else f"downloading weights: 0 of {entry.megabytes} MB", None if here else 0.0)
    try:
        _remove_leftovers(file)
        with _download_reported(progress):
            state: dict[str, Tensor] = weights.get_state_dict(progress=True, check_hash=True, map_location="cpu", weights_only=True)
    except ConfigError:
        raise  # whoever listens to the progress
    except _DOWNLOAD_ERRORS as error:
        if file.exists():
            raise refused(file, "it is damaged or incomplete; delete it and start again to download it") from None
        raise _not_downloaded(error, weights.url, file) from None
    return state


_DOWNLOAD_ERRORS = (*UNREADABLE, HTTPException)


def _not_downloaded(error: BaseException, address: str, file: Path) -> ConfigError:
    remedy = f"use random, give the path of a weights file, or put {file.name} into {file.parent}"
    if isinstance(error, HTTPError):
        reason = f"{address} answered {error.code} {error.reason}; try later"
    elif isinstance(error, RuntimeError) and "hash" in str(error):
        reason = f"the download from {address} was incomplete or damaged; start again"
    elif isinstance(error, OSError) and error.filename is not None:
        reason = f"{error.filename} cannot be written ({error.strerror}); set TORCH_HOME to a folder that can"
    elif isinstance(error, OSError) and error.errno == errno.ENOSPC:  # while writing, it comes without a file name
        reason = f"no space is left in {file.parent}; make room, set TORCH_HOME to another folder"
    else:
        reason = f"{address} could not be reached ({str(error).strip() or type(error).__name__}); connect to the internet"
    return ConfigError("starting_weights", f"'pretrained': {reason}, {remedy}")


def _remove_leftovers(file: Path) -> None:
    """Remove what downloads of this file left behind when they were killed: their partial files, untouched for an hour."""
    for partial in file.parent.glob(f"{file.name}.*.partial"):
        with contextlib.suppress(OSError):  # another process was quicker
            if partial.stat().st_mtime < time.time() - 3600:
                partial.unlink()


@contextlib.contextmanager
def _download_reported(progress: Progress) -> Iterator[None]:
    """Within it, torch.hub reports its downloads to `progress`, keeps standard output clean and does not wait for ever."""

    class Report:
        """Stands in for tqdm: `update` is told of every chunk."""

        def __init__(self, total: int | None = None, **_: Any) -> None:
            self.total = total
            self.done = 0
            self.told = 0.0

        def update(self, size: int) -> None:
            self.done += size
            now = time.monotonic()
            if now - self.told >= 0.2 or self.done == self.total:  # whoever listens writes to a database
                self.told = now
                of = f" of {self.total / 1e6:.0f}" if self.total else ""
                progress(f"downloading weights: {self.done / 1e6:.0f}{of} MB", self.done / self.total if self.total else None)

        def __enter__(self) -> Report:
            return self

        def __exit__(self, *_: object) -> None:
            pass

    hub: Any = torch.hub
    bar, patience = hub.tqdm, socket.getdefaulttimeout()
    hub.tqdm = Report
    socket.setdefaulttimeout(NETWORK_PATIENCE)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        hub.tqdm = bar
        socket.setdefaulttimeout(patience)
