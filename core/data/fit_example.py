"""What each way to make a picture a square does, shown on one of the person's own where there is one at hand, else on a drawn one. No torch."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from core.config import ConfigError
from core.data.decoding import FORMATS, File, Fit, fitted, has_deep_values, sparing_notes
from core.data.endings import is_picture
from core.data.folders import Folders, shown
from core.data.intake import UnreadableImage, readable, upright
from core.data.layouts import place

FITS: tuple[Fit, ...] = get_args(Fit)

ENTRIES = 2_000
"""Files and folders that are looked at until a picture is found that is not square, at most."""

TRIED = 20
"""Pictures whose heads are looked at for that."""

LARGEST = 25_000_000
"""Pixels of the largest picture that is decoded for it: a form must not wait long."""


@dataclass(frozen=True)
class FitExample:
    """One picture, uint8 [3, S, S], as each fit makes it. `name` is that of its file, empty for a drawn one; `width` and `height` are its own.

    `whole`, uint8 [3, H, W] with H at most S: all of it, dark where it lies beyond its middle square. `deep`: it has more than 8 bits a channel,
    and is shown here in a range of its own.
    """

    name: str
    width: int
    height: int
    pixels: Mapping[Fit, NDArray[np.uint8]]
    whole: NDArray[np.uint8]
    deep: bool = False

    def lost(self, fit: Fit) -> str:
        """What the model does not see of it, or sees otherwise, in a few words."""
        short, long = sorted((self.width, self.height))
        beyond = f"{100 * (1 - short / long):.0f} %"
        if short == long:
            return "all of it, in its shape"
        if fit == "crop":
            return f"{beyond} of it is cut away"
        return f"stretched {long / short:.2f} times" if fit == "squash" else f"{beyond} of the square is black"


def fit_example(folder: str | None, image_size: int) -> FitExample:
    """An example from the pictures of a folder, of the first few the one that is furthest from a square; drawn where there is none."""
    found = _own(folder, image_size) if folder else None
    name, picture, deep, size = found or ("", drawn := _drawn(max(image_size, 32)), False, drawn.size)
    pixels = {fit: np.asarray(fitted(picture, image_size, fit)).transpose(2, 0, 1) for fit in FITS}
    return FitExample(name, *size, pixels, _with_dark_ends(picture, image_size), deep)


def _with_dark_ends(picture: Image.Image, side: int) -> NDArray[np.uint8]:
    """The whole picture, small, with what lies beyond its middle square darkened: uint8 [3, H, W], H at most `side` and W twice as much."""
    small = picture.copy()
    small.thumbnail((2 * side, side), Image.Resampling.BILINEAR)
    pixels = np.array(small)
    height, width = pixels.shape[:2]
    inside = min(height, width)
    top, left = (height - inside) // 2, (width - inside) // 2
    dark = (pixels * 0.3).astype(np.uint8)
    dark[top : top + inside, left : left + inside] = pixels[top : top + inside, left : left + inside]
    return dark.transpose(2, 0, 1)


def _own(folder: str, image_size: int) -> tuple[str, Image.Image, bool, tuple[int, int]] | None:
    """Name, picture, whether it is deep, and its own width and height: it may be decoded at a part of its size."""
    try:
        root, _ = place(folder)
        Folders().check(root)
    except ConfigError:
        return None
    files = [file for file, _ in zip(_first_files(root), range(TRIED), strict=False)]
    sizes = {file: size for file in files if (size := _size(file)) and size[0] * size[1] <= LARGEST}
    for file in sorted(sizes, key=lambda file: max(sizes[file]) / min(sizes[file]), reverse=True):
        with suppress(UnreadableImage, OSError), readable(file), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            picture = upright(file, 2 * image_size)
            lying = (picture.width > picture.height) != (sizes[file][0] > sizes[file][1])  # the head has the sides as the camera was held
            return shown(file.name), picture, has_deep_values(file), sizes[file][::-1] if lying else sizes[file]
    return None


def _size(file: Path) -> tuple[int, int] | None:
    """Width and height of a picture, in pixels, from its head; None where it is none."""

    def look(file: File) -> tuple[int, int]:
        with Image.open(file, formats=FORMATS) as image:
            return image.size

    with suppress(UnreadableImage, OSError), readable(file), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return sparing_notes(file, look)
    return None


def _first_files(folder: Path) -> Iterator[Path]:
    """Some image files below a folder, in no order of meaning. Links are not followed, and only so much is looked at."""
    waiting, seen = [folder], 0
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    seen += 1
                    if seen > ENTRIES:
                        return
                    if entry.name.startswith("."):
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(Path(entry.path))
                    elif entry.is_file(follow_symlinks=False) and is_picture(entry.name):
                        yield Path(entry.path)
        except OSError:
            continue


def _drawn(side: int) -> Image.Image:
    """A wide picture, 2 : 1, with something to see in its middle and at both ends."""
    picture = Image.new("RGB", (2 * side, side), (214, 226, 240))
    pen = ImageDraw.Draw(picture)
    pen.rectangle((0, 0.7 * side, 2 * side, side), fill=(120, 160, 90))
    for middle, colour in ((0.3, (200, 70, 60)), (1.0, (240, 190, 40)), (1.7, (60, 90, 190))):
        pen.ellipse(((middle - 0.22) * side, 0.28 * side, (middle + 0.22) * side, 0.72 * side), fill=colour)
    return picture
