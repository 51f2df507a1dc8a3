"""Image files from outside: a folder of class folders is looked through, a file is decoded. Both are taken to be hostile. No torch."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from core.data.folders import shown as shown
from core.data.layouts import read_layout
from core.data.sources import Progress, Raw
from core.data.stock import take_stock

FORMATS = ("JPEG", "PNG", "BMP", "DIB", "GIF", "WEBP", "TIFF", "PPM")
"""The only formats that Pillow may try. Left to itself it would hand an .eps in disguise to Ghostscript."""

MAX_PIXELS = 100_000_000  # 300 MB decoded, more than any camera takes

DECODING_ERRORS = (
    *(OSError, EOFError, SyntaxError, ValueError, TypeError, AttributeError, LookupError, ArithmeticError, AssertionError),
    *(RuntimeError, MemoryError, BufferError, struct.error, zlib.error),
)
"""What Pillow's decoders raise on damaged files: almost anything."""


class UnreadableImage(ValueError):
    """An image file that cannot be decoded; the text says why in a few words."""


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


def decode(file: Path, image_size: int) -> NDArray[np.uint8]:
    """One image, turned the way it was taken, its shorter side brought to `image_size` and the middle cut out: uint8 [3, S, S].

    Transparent parts become white, grey becomes colour, 16 bits become 8. Of an animation the first picture is taken.

    Raises:
        UnreadableImage: for anything that is not a whole image of a known format and of a sane size.
    """
    with readable():
        square = ImageOps.fit(upright(file, 2 * image_size), (image_size, image_size), method=Image.Resampling.BILINEAR)
        pixels: NDArray[np.uint8] = np.asarray(square).transpose(2, 0, 1)
        return pixels


@contextmanager
def readable() -> Iterator[None]:
    """Have whatever decoding raises inside the `with` block raised as UnreadableImage."""
    try:
        yield
    except UnreadableImage:
        raise
    except UnidentifiedImageError:
        raise UnreadableImage("not an image") from None
    except Image.DecompressionBombError:
        raise UnreadableImage("far too many pixels") from None
    except DECODING_ERRORS as error:
        raise UnreadableImage(str(error).split("\n")[0][:80] or type(error).__name__) from None


def upright(file: Path, side: int, shrink: Callable[[Image.Image], Image.Image] = lambda image: image) -> Image.Image:
    """The whole picture in RGB, turned the way it was taken. Call it inside `readable`.

    Args:
        side: a JPEG may be decoded at a half, a quarter or an eighth of its size, where its sides stay at least this long, in pixels.
        shrink: makes a large picture smaller, in the mode that it was saved in.
    """
    if file.stat().st_size == 0:
        raise UnreadableImage("empty file")
    with Image.open(file, formats=FORMATS) as image:
        width, height = image.size
        if width * height > MAX_PIXELS:
            raise UnreadableImage(f"too large, {width:,} x {height:,} pixels")
        # Decoding a JPEG at an eighth of its size is several times faster. Twice the size that is wanted leaves the antialiasing its work.
        image.draft("RGB", (side, side))
        image.load()
        turn = _TURNS.get(_orientation(image))
        picture = _to_rgb(shrink(image))
        return picture if turn is None else picture.transpose(turn)


def _orientation(image: Image.Image) -> int:
    """How the camera was held, 1 to 8 as in EXIF; 1, upright, if the file does not say."""
    try:
        return int(image.getexif().get(0x0112, 1))
    except DECODING_ERRORS:  # the picture is whole, so a damaged note about it is no reason to leave it out
        return 1


_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        # Pillow's own conversion cuts everything above 255 off, so that most 16-bit images turn white.
        values = np.asarray(image, dtype=np.float64)
        highest = 65535.0 if image.mode.startswith("I") and (";16" in image.mode or values.max(initial=0) > 255) else 255.0
        return Image.fromarray(np.clip(np.nan_to_num(values) / highest * 255, 0, 255).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        picture = Image.new("RGB", layer.size, "white")
        picture.paste(layer, mask=layer)
        return picture
    return image if image.mode == "RGB" else image.convert("RGB")
