"""How each of torchvision's datasets is opened and turned into `Source`s. torchvision is imported when one is opened."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from core.data.downloads import Parts
from core.data.sources import Source

Opener = Callable[[Path, bool], Parts]


def mnist(name: str) -> Opener:
    """MNIST and those in its format: torchvision's class `name`. Arrays [N, 1, 28, 28]."""

    def open_parts(root: Path, download: bool) -> Parts:
        parts = [_class(name)(root, train=train, download=download) for train in (True, False)]
        return tuple(Source(part.data.numpy()[:, None], part.targets.numpy().astype(np.int64)) for part in parts)

    return open_parts


def cifar(name: str) -> Opener:
    """CIFAR-10 and CIFAR-100. Arrays [N, 3, 32, 32]."""

    def open_parts(root: Path, download: bool) -> Parts:
        parts = [_class(name)(root, train=train, download=download) for train in (True, False)]
        return tuple(Source(part.data.transpose(0, 3, 1, 2), np.asarray(part.targets, dtype=np.int64)) for part in parts)

    return open_parts


def svhn(root: Path, download: bool) -> Parts:
    """SVHN's cropped digits. Arrays [N, 3, 32, 32]."""
    return _labelled_arrays("SVHN", root, download)


def stl10(root: Path, download: bool) -> Parts:
    """STL10, its labelled images. Arrays [N, 3, 96, 96]."""
    return _labelled_arrays("STL10", root, download)


def eurosat(root: Path, download: bool) -> Parts:
    """EuroSAT, which has no split: one part, files."""
    dataset = _class("EuroSAT")(root, download=download)
    files, labels = zip(*sorted(dataset.samples), strict=True)
    return (Source(tuple(map(Path, files)), np.asarray(labels, dtype=np.int64)),)


def flowers102(root: Path, download: bool) -> Parts:
    """Flowers102, files. Its training and validation images, 1,020 each, are taken together."""
    train, validation, test = (_class("Flowers102")(root, split=split, download=download) for split in ("train", "val", "test"))
    return (
        Source((*train._image_files, *validation._image_files), np.asarray(train._labels + validation._labels, dtype=np.int64)),
        Source(tuple(test._image_files), np.asarray(test._labels, dtype=np.int64)),
    )


def pets(root: Path, download: bool) -> Parts:
    """Oxford-IIIT Pet, files, labelled by breed."""
    parts = [_class("OxfordIIITPet")(root, split=split, download=download) for split in ("trainval", "test")]
    return tuple(Source(tuple(part._images), np.asarray(part._labels, dtype=np.int64)) for part in parts)


def _labelled_arrays(name: str, root: Path, download: bool) -> Parts:
    parts = [_class(name)(root, split=split, download=download) for split in ("train", "test")]
    return tuple(Source(part.data, part.labels.astype(np.int64)) for part in parts)


def _class(name: str) -> Any:
    from torchvision import datasets

    return getattr(datasets, name)
