"""A model as a graph: what ONNX and torch.export share. The batch stays free, which is tried: PyTorch may fix it without a word."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import torch
from torch import Tensor

from core.config import ConfigError
from core.config.errors import Cancelled as GivenUp
from core.export.formats import Cancelled
from core.export.weights import Standing

EXAMPLE = 2
"""Pictures that the graph is traced with: with one alone the batch would be taken for fixed."""


def example_of(image_size: int) -> Tensor:
    """uint8 [2, 3, S, S], noise."""
    return torch.randint(0, 256, (EXAMPLE, 3, image_size, image_size), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def traced(model: Standing, image_size: int, label: str) -> torch.export.ExportedProgram:
    """The graph of `model` for any number of pictures.

    Raises:
        ConfigError: on `format`, the exporter refuses the model (`label`), or would fix the number of pictures.
    """
    with refused(label), quiet():
        program = torch.export.export(model, (example_of(image_size),), dynamic_shapes={"pictures": {0: torch.export.Dim("batch")}}, strict=False)
        for number in (1, 3):
            found = program.module()(example_of(image_size)[:1].expand(number, -1, -1, -1))
            if len(found) != number:
                raise ValueError(f"its graph gives {len(found)} answers for {number} pictures")
    return program


def give_up_if(cancelled: Cancelled) -> None:
    """Raises `core.config.errors.Cancelled` where nobody wants the export any more; an exporter itself cannot be interrupted."""
    if cancelled():
        raise GivenUp


@contextmanager
def quiet() -> Iterator[None]:
    """Exporters warn of what they do inside; what goes wrong they raise. Random numbers are left as they were."""
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")
        yield


@contextmanager
def refused(label: str) -> Iterator[None]:
    """Have whatever an exporter raises told as a ConfigError on `format`, in one line."""
    try:
        yield
    except (ConfigError, OSError, MemoryError, KeyboardInterrupt):
        raise
    except Exception as error:  # noqa: BLE001 exporters raise anything
        refuse(label, error)


def refuse(label: str, error: BaseException) -> NoReturn:
    """Raises ConfigError on `format`: the exporter does not take this model, and why, in one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reason = f"{type(error).__name__}: {lines[0][:300]}" if lines else type(error).__name__
    raise ConfigError("format", f"{label} does not take this model ({reason}); export it as pth, safetensors or bundle") from error
