"""Small datasets in versions, drawn for tests."""

from __future__ import annotations

import hashlib
import io

import numpy as np
from PIL import Image

from core.machine.home import Home
from core.versions import Item, Version, shelf, write


def png(colour: tuple[int, int, int], seed: int, side: int = 32) -> bytes:
    """A picture of about one colour, another one for each seed."""
    noise = np.random.default_rng(seed).integers(0, 60, (side, side, 3))
    stream = io.BytesIO()
    Image.fromarray(np.clip(noise + np.asarray(colour), 0, 255).astype(np.uint8)).save(stream, "PNG")
    return stream.getvalue()


COLOURS = {"red": (190, 20, 20), "blue": (20, 20, 190)}


def items_of(home: Home, name: str, count: int, splits: tuple[str, ...] = ("",), groups: int = 0, first: int = 0) -> list[Item]:
    """`count` pictures of each class, put in place; splits in turn, and so many groups in turn."""
    found = []
    for label, colour in COLOURS.items():
        for number in range(first, first + count):
            content = png(colour, number)
            sha = hashlib.sha256(content).hexdigest()
            path = home.datasets / name / shelf.place_of(sha, ".png")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            group = f"{label} {number % groups}" if groups else ""
            found.append(Item(sha, ".png", f"{label}/{number}.png", label, splits[number % len(splits)], group, 32, 32))
    return found


def dataset(home: Home, name: str = "colours", count: int = 20, splits: tuple[str, ...] = ("",), groups: int = 0) -> Version:
    """A dataset of two colours, its first version."""
    return write(home, name, tuple(COLOURS), items_of(home, name, count, splits, groups), "Drawn.", None)
