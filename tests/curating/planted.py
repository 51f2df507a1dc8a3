"""Datasets of one's own with faults that a test knows of: pictures drawn with numpy, written as versions."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from core.machine.home import Home
from core.versions import Item, Version, write

NAME = "planted"


def drawn(seed: int, side: int = 48) -> Image.Image:
    """A picture of its own: a few smooth blobs of colour."""
    noise = np.random.default_rng(seed).integers(0, 256, (5, 5, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((side, side), Image.Resampling.BICUBIC)


def saved(picture: Image.Image, format: str = "PNG", **options: Any) -> bytes:
    """The bytes of its file."""
    stream = io.BytesIO()
    picture.save(stream, format, **options)
    return stream.getvalue()


def item(home: Home, content: bytes, name: str, label: str, split: str = "train", group: str = "") -> Item:
    """The bytes put where a dataset's pictures lie."""
    digest = hashlib.sha256(content).hexdigest()
    ending = Path(name).suffix
    path = home.datasets / NAME / "pictures" / digest[:2] / f"{digest}{ending}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    with Image.open(io.BytesIO(content)) as picture:
        return Item(digest, ending, name, label, split, group, *picture.size)


def version(home: Home, items: Iterable[Item], classes: Iterable[str] = ()) -> Version:
    """The first version of the dataset `NAME`; its classes are those of the items unless others are given."""
    items = tuple(items)
    return write(home, NAME, tuple(classes) or sorted({one.label for one in items}), items, "Drawn.", None)


def quiet(text: str, share: float | None) -> None:
    """Progress that nobody hears of."""
