"""Datasets of torchvision that were downloaded before, looked into without torch: for a first look, in the process that serves pages.

Arrays are mapped, not read: eight pictures of MNIST cost eight pictures. What is not there, or not as it should be, is None.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from core.data.dataset_classes import EUROSAT, PETS
from core.data.endings import is_picture
from core.data.sources import Source

Parts = tuple[Source, ...]
"""Training and test images; or all images, of a dataset that was never split: as `core.data.downloads` has them."""

Look = Callable[[Path], Parts | None]

_SIDE = 28


def idx(name: str) -> Look:
    """MNIST and those in its format: uint8 [N, 1, 28, 28]."""

    def part(raw: Path, start: str) -> Source:
        labels = np.fromfile(raw / f"{start}-labels-idx1-ubyte", np.uint8, offset=8)
        images = np.memmap(raw / f"{start}-images-idx3-ubyte", np.uint8, "r", offset=16, shape=(len(labels), 1, _SIDE, _SIDE))
        return Source(images, labels.astype(np.int64))

    return _whole(lambda folder: tuple(part(folder / name / "raw", start) for start in ("train", "t10k")), 10)


def _stl10(folder: Path) -> Parts:
    def part(start: str) -> Source:
        labels = np.fromfile(folder / "stl10_binary" / f"{start}_y.bin", np.uint8).astype(np.int64) - 1
        images = np.memmap(folder / "stl10_binary" / f"{start}_X.bin", np.uint8, "r", shape=(len(labels), 3, 96, 96))
        return Source(images.transpose(0, 1, 3, 2), labels)

    return part("train"), part("test")


def _eurosat(folder: Path) -> Parts:
    homes = sorted(home for home in (folder / "eurosat" / "2750").iterdir() if home.is_dir())
    files = [(file, label) for label, home in enumerate(homes) for file in sorted(home.iterdir()) if is_picture(file.name)]
    return (Source(tuple(file for file, _ in files), np.asarray([label for _, label in files], dtype=np.int64)),)


def _pets(folder: Path) -> Parts:
    home = folder / "oxford-iiit-pet"

    def part(name: str) -> Source:
        lines = [line.split() for line in (home / "annotations" / f"{name}.txt").read_text(encoding="utf-8").splitlines() if line.strip()]
        files = tuple(home / "images" / f"{line[0]}.jpg" for line in lines)
        return Source(files, np.asarray([int(line[1]) - 1 for line in lines], dtype=np.int64))

    return part("trainval"), part("test")


def _whole(read: Callable[[Path], Parts], classes: int) -> Look:
    """What `read` gives, where every part holds pictures of the classes that there are."""

    def look(folder: Path) -> Parts | None:
        try:
            parts = read(folder)
        except (OSError, ValueError, LookupError):
            return None
        return parts if all(len(part) and part.labels.min() >= 0 and part.labels.max() < classes for part in parts) else None

    return look


stl10: Look = _whole(_stl10, 10)
eurosat: Look = _whole(_eurosat, len(EUROSAT))
pets: Look = _whole(_pets, len(PETS))

_UNPACKED = {
    "CIFAR10": "cifar-10-batches-py", "CIFAR100": "cifar-100-python", "SVHN": "train_32x32.mat", "Flowers102": "flowers-102/jpg",
}  # fmt: skip


def is_here(name: str, folder: Path) -> bool:
    """Whether a dataset that cannot be looked into without torch has been downloaded, as far as its name on disk says."""
    return name in _UNPACKED and (folder / _UNPACKED[name]).exists()
