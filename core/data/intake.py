"""Image files from outside: a folder of class folders is looked through, a file is decoded. Both are taken to be hostile. No torch."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from core.data import decoding
from core.data.decoding import DECODING_ERRORS, File, Fit, ValueRange
from core.data.layouts import read_layout
from core.data.sources import Progress, Raw
from core.data.stock import take_stock

MAX_PIXELS = 100_000_000  # 300 MB decoded, more than any camera takes

_BEGINNINGS = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG": "PNG",
    b"GIF8": "GIF",
    b"BM": "BMP",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",
    b"MM\0+": "TIFF",
}


class UnreadableImage(ValueError):
    """An image file that cannot be decoded; the text says why in a few words, and `kind` what would help."""

    def __init__(self, reason: str, kind: Literal["no image", "too large", "damaged", "out of reach"] = "no image") -> None:
        super().__init__(reason)
        self.kind = kind


def folder_classes(text: str) -> tuple[str, ...]:
    """The names of the classes of a folder, in the order of their labels: quick, only its directories are read.

    Raises:
        ConfigError: as `read_layout`.
    """
    return read_layout(text).classes


def read_folder(text: str, progress: Progress) -> Raw:
    """All image files of a folder of class folders, by class. Nothing is decoded yet. What is left out stands in its notes.

    Raises:
        ConfigError: naming the folder and the remedy, where no training could come of it, or more than one.
    """
    layout, sources = take_stock(read_layout(text), progress)
    notes = tuple(left.sentence for left in layout.left_out)
    return Raw(layout.classes, sources["train"], sources.get("test"), sources.get("validation"), notes, layout)


def decode(file: Path, image_size: int, fit: Fit = "crop", value_range: ValueRange | None = None) -> NDArray[np.uint8]:
    """One image as `core.data.decoding.decode` gives it, uint8 [3, S, S].

    Raises:
        UnreadableImage: for anything that is not a whole image of a known format and of a sane size.
    """
    return decode_and_look(file, image_size, fit, value_range).pixels


@dataclass(frozen=True)
class Decoded:
    """An image as it is given to a model, uint8 [3, S, S], and what it was made of.

    `width` and `height` are its own, in pixels (of a JPEG perhaps those of a smaller copy); `flat`: nothing can be seen on it.
    """

    pixels: NDArray[np.uint8]
    width: int
    height: int
    flat: bool
    large: NDArray[np.uint8] | None = None
    """uint8 [L, L, 3], as `core.data.decoding.decode_large` makes it, if that was asked for."""


def decode_and_look(file: File, image_size: int, fit: Fit, value_range: ValueRange | None, largest: int | None = None) -> Decoded:
    """`decode`, and what is told of the image beside its pixels; with `largest` also what `decode_large` gives."""
    with readable(file):
        large = None
        whole = upright(file, max(2 * image_size, largest or 0), value_range)
        if largest is not None:
            large = np.asarray(decoding.large_square(whole, largest, fit))
            if min(whole.size) >= 4 * image_size:  # alone, a JPEG would have been decoded at a smaller part of its size: other pixels
                whole = upright(file, 2 * image_size, value_range)
        square = decoding.fitted(whole, image_size, fit)
        pixels: NDArray[np.uint8] = np.asarray(square).transpose(2, 0, 1)
        return Decoded(pixels, whole.width, whole.height, is_flat(square, whole, fit), large)


def is_flat(square: Image.Image, whole: Image.Image, fit: Fit) -> bool:
    """Whether a picture, made a square, came out in as good as one colour. The black that was put beside it does not count."""
    if fit == "pad":
        left, top, width, height = decoding.padded_place(*whole.size, square.width)
        square = square.crop((left, top, left + width, top + height))
    return decoding.is_flat(square)


@contextmanager
def readable(file: File) -> Iterator[None]:
    """Have whatever decoding `file` raises inside the `with` block raised as UnreadableImage. What is said is chosen by the type of an error."""
    try:
        yield
    except UnreadableImage:
        raise
    except UnidentifiedImageError:
        raise _unidentified(file) from None
    except Image.DecompressionBombError as error:
        raise UnreadableImage(f"too large, {_pixels(error)}", "too large") from None
    except MemoryError:
        raise UnreadableImage("it does not fit into memory", "too large") from None
    except DECODING_ERRORS as error:
        if isinstance(error, OSError) and error.errno is not None:  # the system's; Pillow's own have no number
            raise UnreadableImage(error.strerror or type(error).__name__, "out of reach") from None
        raise UnreadableImage(_first_line(error), "damaged") from None


def _first_line(error: Exception, most: int = 80) -> str:
    """What an error says, in a line that ends with a word."""
    line = str(error).split("\n")[0]
    if len(line) <= most:
        return line or type(error).__name__
    return f"{line[:most].rpartition(' ')[0] or line[:most]} ..."


def _pixels(error: Image.DecompressionBombError) -> str:
    """How many pixels Pillow refused: `400,000,000 pixels`, or so."""
    found = re.search(r"(\d+) pixels", str(error))
    return f"{int(found[1]):,} pixels" if found else "far too many pixels"


def _unidentified(file: File) -> UnreadableImage:
    """What to say of a file that Pillow does not know: some begin like an image all the same."""
    if isinstance(file, Path):
        with file.open("rb") as stream:
            start = stream.read(16)
    else:
        start = file.getvalue()[:16]
    kind = next((kind for beginning, kind in _BEGINNINGS.items() if start.startswith(beginning)), None)
    if kind is None:
        return UnreadableImage("not an image")
    return UnreadableImage(f"it begins as a {kind}, but is damaged or of a kind that cannot be read, such as colours in floats", "damaged")


def upright(
    file: File, side: int, value_range: ValueRange | None = None, shrink: Callable[[Image.Image], Image.Image] = lambda image: image
) -> Image.Image:
    """The whole picture in RGB, as `core.data.decoding.upright` gives it, if it is of a sane size. Call it inside `readable`."""
    if (file.stat().st_size if isinstance(file, Path) else file.getbuffer().nbytes) == 0:
        raise UnreadableImage("empty file")
    return decoding.upright(file, side, value_range, check_size, shrink)


def check_size(image: Image.Image) -> None:
    """Raises UnreadableImage for a picture of more than `MAX_PIXELS`; nothing of it needs to be decoded."""
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise UnreadableImage(f"too large, {width:,} x {height:,} pixels", "too large")
