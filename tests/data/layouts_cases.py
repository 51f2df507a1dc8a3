"""What the tests of layouts share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from PIL import Image

from core.data.intake import read_folder
from core.data.sources import Raw

PETS = ("cat", "dog")


def fill(root: Path, images: Mapping[str, int]) -> Path:
    """So many images in each folder of `root`."""
    for folder, count in images.items():
        (root / folder).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            Image.new("RGB", (8, 8), (number, 0, 0)).save(root / folder / f"{number}.png")
    return root


def each(folders: Iterable[str], count: int, classes: Iterable[str] = PETS) -> dict[str, int]:
    return {f"{folder}/{name}": count for folder in folders for name in classes}


def read(root: Path | str) -> Raw:
    return read_folder(str(root), lambda text, share: None)
