"""The trained weights of a model: those that torchvision publishes (in torch's own cache, or downloaded with patience), or that ship with Thaw."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import socket
import sys
import time
from collections.abc import Callable, Iterator
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import safetensors.torch
import torch
import torchvision
from torch import Tensor

from core.catalog.weight_kinds import refused
from core.config import ConfigError
from core.model.weight_files import UNREADABLE
from core.networks.model_entries import ModelEntry
from core.networks.shipped_weights import Shipped

Progress = Callable[[str, float | None], None]

NETWORK_PATIENCE = 30.0
"""Seconds without a byte after which a download has failed."""


def place(entry: ModelEntry) -> Path:
    """Where torch keeps the default weights of torchvision for a model, once they were downloaded. It must have some."""
    address: str = torchvision.models.get_model_weights(entry.name).DEFAULT.url
    return Path(torch.hub.get_dir()) / "checkpoints" / address.rpartition("/")[2]


def published(entry: ModelEntry, progress: Progress) -> dict[str, Tensor]:
    """The trained weights of a model: those that ship with it, or torchvision's default ones, from torch's own cache or the network."""
    if entry.shipped:
        progress("reading the weights that ship with Thaw", None)
        return _shipped(entry.shipped)
    if not entry.pretrained:
        raise ConfigError("starting_weights", f"'pretrained': {entry.label} is a model of our own and has no trained weights; use random")
    weights = torchvision.models.get_model_weights(entry.name).DEFAULT
    file = place(entry)
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


def _shipped(weights: Shipped) -> dict[str, Tensor]:
    """The tensors of a file of the project. Raises ConfigError for one that is not there, or not the one that its entry names."""
    remedy = f"get Thaw anew (git checkout -- {weights.path.name} in {weights.path.parent}), or use random"
    try:
        content = weights.path.read_bytes()
    except OSError as error:
        raise ConfigError("starting_weights", f"'pretrained': {weights.path} cannot be read ({error.strerror or error}); {remedy}") from None
    if hashlib.sha256(content).hexdigest() != weights.sha256:
        raise ConfigError("starting_weights", f"'pretrained': {weights.path} is not the file that ships with this Thaw; {remedy}")
    return safetensors.torch.load(content)


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
