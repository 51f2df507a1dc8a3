"""Weights on disk, written so that a crash at any moment leaves either the old file or the new one, whole."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from torch import nn


def save_weights(model: nn.Module, path: Path) -> None:
    """`torch.save(model.state_dict(), path)`, with all tensors on the CPU, through a temporary file beside it, fsync and an atomic rename.

    Raises:
        OSError: the disk is full or not writable; a file that was there before is untouched.
    """
    state = {name: tensor.detach().cpu() for name, tensor in model.state_dict().items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".part")
    try:
        with unfinished.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    if os.name == "posix":
        # The rename itself is durable only once the folder is.
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
