"""The datasets that need no network: scikit-learn's handwritten digits, two halves of them, and shapes drawn on the spot. No torch."""

from __future__ import annotations

import gzip
import importlib.util
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from core.data.dataset_classes import DIGITS, SHAPES
from core.data.sources import Progress, Raw, Source

SHAPE_PIXELS = 64
SHAPES_PER_CLASS = 400


def read_digits(folder: Path, progress: Progress) -> Raw:
    """1,797 digits of 8 x 8 grey pixels, from the file that scikit-learn ships. `folder` is not used.

    Source: E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits (UCI, 1998).
    """
    table = _digits_table()
    grey = np.rint(table[:, :64] * (255 / 16)).astype(np.uint8)  # the file counts ink from 0 to 16
    return Raw(DIGITS, Source(grey.reshape(-1, 1, 8, 8), table[:, 64].astype(np.int64)))


def read_half(classes: Sequence[str]) -> Callable[[Path, Progress], Raw]:
    """How the pictures of some of the digits are read. Labels are places in `classes`, and not the digits themselves."""

    def read(folder: Path, progress: Progress) -> Raw:
        whole = read_digits(folder, progress)
        assert isinstance(whole.train.images, np.ndarray)
        wanted = np.array([DIGITS.index(name) for name in classes])
        chosen = np.isin(whole.train.labels, wanted)
        return Raw(tuple(classes), Source(whole.train.images[chosen], np.searchsorted(wanted, whole.train.labels[chosen]).astype(np.int64)))

    return read


def _digits_table() -> NDArray[np.float64]:
    """float64 [1797, 65]: 64 pixels and the label."""
    # Importing scikit-learn for one small table takes 1 to 2 seconds, reading its file 0.1. The demo starts with this.
    package = importlib.util.find_spec("sklearn")
    for place in (package.submodule_search_locations or ()) if package else ():
        file = Path(place) / "datasets" / "data" / "digits.csv.gz"
        if file.is_file():
            with gzip.open(file, "rt") as text:
                return np.loadtxt(text, delimiter=",", dtype=np.float64)
    from sklearn.datasets import load_digits

    digits = load_digits()
    return np.column_stack([digits.data, digits.target]).astype(np.float64)


def draw_shapes(folder: Path, progress: Progress) -> Raw:
    """2,400 drawings of 64 x 64 colour pixels: one shape of random colour, size, place and turn on a noisy ground.

    Always the same ones. `folder` is not used.
    """
    images, labels = drawn(SHAPES, SHAPES_PER_CLASS, progress)
    return Raw(SHAPES, Source(images, labels))


def drawn(shapes: Sequence[str], each: int, progress: Callable[[str, float | None], None]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """So many drawings of each shape, uint8 [N, 3, 64, 64], and the number of its shape for each, int64 [N]: always the same ones."""
    generator = np.random.default_rng(20_261_123)
    labels = np.repeat(np.arange(len(shapes)), each).astype(np.int64)
    images = np.empty((len(labels), 3, SHAPE_PIXELS, SHAPE_PIXELS), dtype=np.uint8)
    for place, label in enumerate(labels.tolist()):
        if place % 200 == 0:
            progress(f"drawing shapes: {place:,} of {len(labels):,}", place / len(labels))
        images[place] = _draw(shapes[label], generator)
    return images, labels


def _draw(shape: str, generator: np.random.Generator) -> NDArray[np.uint8]:
    """One drawing, uint8 [3, 64, 64]."""
    ground, ink = _two_colours(generator)
    scale = 2  # drawn at twice the size and reduced, which smooths the edges
    side = SHAPE_PIXELS * scale
    radius = generator.uniform(0.18, 0.4) * side
    x, y = generator.uniform(radius, side - radius, size=2)
    turn = generator.uniform(0, 2 * math.pi)
    image = Image.new("RGB", (side, side), ground)
    pen = ImageDraw.Draw(image)
    if shape in ("circle", "ring"):
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=ink)
        if shape == "ring":
            hole = radius * generator.uniform(0.5, 0.7)
            pen.ellipse((x - hole, y - hole, x + hole, y + hole), fill=ground)
    else:
        corners = [(x + radius * far * math.cos(turn + angle), y + radius * far * math.sin(turn + angle)) for angle, far in _OUTLINES[shape]]
        pen.polygon(corners, fill=ink)
    pixels = np.asarray(image.reduce(scale), dtype=np.float32)
    noise = generator.normal(0, generator.uniform(4, 24), size=pixels.shape)
    noisy: NDArray[np.uint8] = np.clip(pixels + noise, 0, 255).astype(np.uint8).transpose(2, 0, 1)
    return noisy


def _two_colours(generator: np.random.Generator) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """Two random colours that can be told apart."""
    while True:
        ground, ink = generator.integers(0, 256, size=(2, 3))
        if np.abs(ground - ink).sum() > 200:
            return (int(ground[0]), int(ground[1]), int(ground[2])), (int(ink[0]), int(ink[1]), int(ink[2]))


def _outline(corners: int, distances: tuple[float, ...]) -> tuple[tuple[float, float], ...]:
    """Corners as (angle, distance from the centre), distances taken in turn."""
    return tuple((2 * math.pi * corner / corners, distances[corner % len(distances)]) for corner in range(corners))


_ARM = math.atan(1 / 3)  # a cross whose arms are a third of its width: half the angle of an arm's end,
_NOTCH = math.sqrt(0.2)  # and how far from the centre two arms meet, where their corners are at 1

_OUTLINES: dict[str, tuple[tuple[float, float], ...]] = {
    "square": _outline(4, (1.0,)),
    "triangle": _outline(3, (1.0,)),
    "star": _outline(10, (1.0, 0.42)),
    "cross": tuple(
        (quarter * math.pi / 2 + angle, distance) for quarter in range(4) for angle, distance in ((-_ARM, 1.0), (_ARM, 1.0), (math.pi / 4, _NOTCH))
    ),
}
