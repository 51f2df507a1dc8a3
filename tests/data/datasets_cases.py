"""What the tests of datasets share."""

from __future__ import annotations

import os
import pickle
import struct
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from core.config import RunConfig
from core.data import Data, Loader, prepare
from core.data.datasets import DATASETS
from core.machine.home import Home

EACH = 4
"""Images of each class in the training set of a small copy, and half as many in its test set."""


def grey_level(label: int) -> int:
    """What every image of a class is filled with, so that an image tells its label."""
    return 20 + 2 * label


def labels_of(classes: int, each: int) -> np.ndarray:
    return np.tile(np.arange(classes), each)


def pictures(labels: np.ndarray, *shape: int) -> np.ndarray:
    """uint8 [N, *shape], every image filled with the grey level of its label."""
    levels = np.asarray([grey_level(int(label)) for label in labels], dtype=np.uint8)
    return np.broadcast_to(levels.reshape(-1, *(1 for _ in shape)), (len(labels), *shape)).copy()


def write_idx(root: Path, name: str, classes: int) -> None:
    raw = root / name / "raw"
    raw.mkdir(parents=True)
    for part, each in (("train", EACH), ("t10k", EACH // 2)):
        labels = labels_of(classes, each)
        (raw / f"{part}-images-idx3-ubyte").write_bytes(struct.pack(">4i", 0x803, len(labels), 28, 28) + pictures(labels, 28, 28).tobytes())
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(struct.pack(">2i", 0x801, len(labels)) + labels.astype(np.uint8).tobytes())


def write_cifar10(root: Path, classes: int) -> None:
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    labels = labels_of(classes, EACH)
    for number, part in enumerate(np.array_split(labels, 5), start=1):
        (folder / f"data_batch_{number}").write_bytes(pickle.dumps({"data": pictures(part, 3072), "labels": part.tolist()}))
    tested = labels_of(classes, EACH // 2)
    (folder / "test_batch").write_bytes(pickle.dumps({"data": pictures(tested, 3072), "labels": tested.tolist()}))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": list(DATASETS["CIFAR10"].classes or ())}))


@dataclass
class Progress:
    """A progress callback that remembers."""

    texts: list[str] = field(default_factory=list)
    shares: list[float | None] = field(default_factory=list)

    def __call__(self, text: str, share: float | None) -> None:
        self.texts.append(text)
        self.shares.append(share)


def run_on(name: str, home: Home, progress: Progress | None = None) -> Data:
    return prepare(RunConfig(dataset=name, image_size=32, batch_size=16, validation_share=0.25), home, progress or Progress())


def check_labels(loader: Loader) -> set[int]:
    """Every image must show the grey level of its label. Gives the labels seen."""
    seen = set()
    for images, labels in loader.batches(1):
        assert images.dtype == torch.uint8
        assert images.shape[1:] == (3, 32, 32)
        levels = images.float().mean(dim=(1, 2, 3))
        expected = torch.tensor([grey_level(int(label)) for label in labels])
        assert (levels - expected).abs().max() < 1, "images and labels do not belong together"
        seen |= set(labels.tolist())
    return seen


@pytest.fixture
def home(home: Home, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A home whose datasets are not those of the machine."""
    monkeypatch.delenv("THAW_DATA", raising=False)
    home.data.mkdir()
    return home


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small copies cannot have the checksums of the real files: torchvision only looks whether a file is there."""
    for module in ("cifar", "svhn", "flowers102"):
        monkeypatch.setattr(f"torchvision.datasets.{module}.check_integrity", lambda path, md5=None: os.path.isfile(path))  # noqa: PTH113
    monkeypatch.setattr("torchvision.datasets.stl10.check_integrity", lambda path, md5=None: "unlabeled" in str(path) or Path(path).is_file())


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], int]:
    """Make the catalogue expect the small copy of a dataset; gives its number of classes."""

    def shrink(name: str) -> int:
        entry = DATASETS[name]
        classes = len(entry.classes or ())
        monkeypatch.setitem(DATASETS, name, replace(entry, train_images=classes * EACH, test_images=classes * EACH // 2))
        return classes

    return shrink
