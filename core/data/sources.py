"""What a dataset gives before anything is decoded, resized or split. No torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.data.layouts import Layout

Progress = Callable[[str, float | None], None]
"""Called with what is being done, in words, and the share done (0 to 1; None where it is not known)."""


@dataclass(frozen=True)
class Source:
    """Images and their labels. `images` is uint8 [N, C, H, W] with 1 or 3 channels, or N image files; `labels` int64 [N].

    `groups`, int64 [N]: images of one number are never put into two sets; None where each stands for itself.
    """

    images: NDArray[np.uint8] | tuple[Path, ...]
    labels: NDArray[np.int64]
    groups: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Raw:
    """A dataset as it lies on disk. Without `test` a fixed part of `train` is set aside; `notes` are sentences for the person.

    `layout` is how a person's own folder was read; None for a dataset of the catalogue.
    """

    classes: tuple[str, ...]
    train: Source
    test: Source | None = None
    validation: Source | None = None
    notes: tuple[str, ...] = ()
    layout: Layout | None = None
