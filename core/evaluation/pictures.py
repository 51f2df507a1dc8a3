"""Pictures from outside that a model is to look at: uploads and files. They are taken to be hostile. No torch.

A picture goes the way that the images of the run's test set went: those that are files are scaled and cropped by Pillow (`core.data.intake.decode`),
those that come as arrays are resized as tensors (`core.data.images`).
"""

from __future__ import annotations

import base64
import hashlib
import io
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from core.config import ConfigError
from core.data.intake import FORMATS, MAX_PIXELS, UnreadableImage, readable, shown, upright
from core.machine.files import written_whole
from core.machine.home import Home

MOST_BYTES = 100_000_000
"""The largest file that is taken in."""

KEPT_FILES = 50
KEPT_BYTES = 500_000_000
"""Uploads that are kept at most; those that were not used for longest go first."""

LARGE = 16_000_000
"""Pixels above which a picture is averaged down before it is converted, so that memory stays bounded."""

_ENDINGS = {"JPEG": ".jpg", "TIFF": ".tif"}
_OTHERS = "choose a JPEG, PNG, WebP, GIF, BMP or TIFF file"


@dataclass(frozen=True)
class Opened:
    """A picture's middle square, uint8 [3, H, H], and what had to be done to get it, in sentences."""

    pixels: NDArray[np.uint8]
    notes: tuple[str, ...]


def keep(home: Home, data: bytes, name: str) -> Path:
    """Put an uploaded file down in the cache, under a name that says what is in it: the same bytes are kept once.

    Only so many are kept (`KEPT_FILES`, `KEPT_BYTES`). Not more than its head is looked at; `open_picture` finds out whether the rest is whole.

    Raises:
        ConfigError: on `picture`, it is no picture, too large, or cannot be written.
    """
    title = _title(name)
    if len(data) > MOST_BYTES:
        what = f"{title!r} has {len(data) / 1e6:,.0f} MB, more than {MOST_BYTES / 1e6:,.0f} MB"
        raise ConfigError("picture", f"{what}; save it smaller, or as JPEG")
    with _in_words(title), readable(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if not data:
            raise UnreadableImage("empty file")
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            width, height = image.size
            kind = image.format or "PNG"
        if width * height > MAX_PIXELS:
            raise UnreadableImage(f"too large, {width:,} x {height:,} pixels")
    folder = home.cache / "uploads"
    key = hashlib.sha256(data).hexdigest()[:20]
    stem = re.sub(r"[^\w-]+", "_", Path(title).stem)[:60].strip("_") or "picture"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path = next(folder.glob(f"{key}-*"), None)
        if path is None:
            path = folder / f"{key}-{stem}{_ENDINGS.get(kind, f'.{kind.lower()}')}"
            with written_whole(path) as file:
                file.write(data)
        os.utime(path)
        _forget_oldest(folder, path)
    except OSError as error:
        raise ConfigError("picture", f"{title!r} cannot be kept in {folder} ({error.strerror}); free some space there") from None
    return path


def open_picture(path: Path, image_size: int, as_files: bool) -> Opened:
    """The middle square of the picture at `path`, turned the way it was taken, in RGB.

    Transparent parts become white, 16 bits become 8, of an animation the first picture is taken.

    Args:
        as_files: whether the test set's images are files: the square has `image_size` pixels a side then, made as theirs are. Else it comes
            in its own size, to be resized as a tensor.

    Raises:
        ConfigError: on `picture`, there is no such file, or it is no whole picture of at most `core.data.intake.MAX_PIXELS` pixels.
    """
    title = _title(re.sub(r"^[0-9a-f]{20}-", "", path.name))
    if not path.exists():
        raise ConfigError("picture", f"there is no file {str(path)!r} (any more); check the path, or upload it again")
    if not path.is_file():
        raise ConfigError("picture", f"{str(path)!r} is no file; give the path of a picture")
    with _in_words(title), readable(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what Pillow finds odd in a file that it can read
        notes = _notes(path, image_size)
        whole = upright(path, 2 * image_size, lambda image: _shrunk(image, max(4 * image_size, 1024)))
        side = image_size if as_files else min(whole.size)
        square = whole if not as_files and whole.width == whole.height else ImageOps.fit(whole, (side, side), method=Image.Resampling.BILINEAR)
        return Opened(np.ascontiguousarray(np.asarray(square).transpose(2, 0, 1)), notes)


def data_uri(pixels: NDArray[np.uint8], side: int | None = None) -> str:
    """A PNG of uint8 [3, H, H] as a data URI, `side` pixels a side if that is given."""
    image = Image.fromarray(pixels.transpose(1, 2, 0))
    if side is not None and image.size != (side, side):
        image = image.resize((side, side), Image.Resampling.LANCZOS if side < image.width else Image.Resampling.BICUBIC)
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=3)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def _notes(path: Path, image_size: int) -> tuple[str, ...]:
    """What is unusual about a picture, from its head, and what is done about it."""
    notes = []
    if path.stat().st_size == 0:
        raise UnreadableImage("empty file")
    with Image.open(path, formats=FORMATS) as image:
        width, height = image.size
        mode, bands = image.mode, image.getbands()
        deep = mode.startswith("I") or mode == "F" or any(";16" in str(tile[3]) for tile in image.tile if len(tile) > 3)
        turned = image.getexif().get(0x0112, 1) in range(2, 9)
        pictures = getattr(image, "n_frames", 1)
        transparent = image.has_transparency_data
    if pictures > 1:
        notes.append(f"It has {pictures:,} pictures, an animation or pages: the first was taken.")
    if turned:
        notes.append("It was turned the way the camera was held, as its EXIF data say.")
    if transparent:
        notes.append("Its transparent parts were put on white.")
    if deep:
        notes.append("It has more than 8 bits a channel, and was brought down to 8.")
    if bands[0] in ("1", "L", "I", "F") or mode.startswith("I"):
        notes.append("It is grey: all three colour channels are equal.")
    if mode in ("CMYK", "YCCK"):
        notes.append("It is in print colours (CMYK), and was converted to RGB without a colour profile.")
    if width != height:
        notes.append(f"Its middle square was cut out of {width:,} x {height:,} pixels.")
    side = min(width, height)
    if side < image_size / 2:
        notes.append(f"It was scaled up from {side:,} to {image_size:,} pixels a side: the model sees a blur.")
    elif width * height > LARGE or side >= 8 * image_size:
        large = f" ({width * height / 1e6:.0f} megapixels)" if width * height > LARGE else ""
        notes.append(f"It was scaled down from {side:,} to {image_size:,} pixels a side{large}.")
    return tuple(notes)


def _shrunk(image: Image.Image, side: int) -> Image.Image:
    """A large picture averaged down in blocks, so that its sides stay at least `side` long; others as they are."""
    factor = min(image.size) // side
    if image.width * image.height <= LARGE or factor < 2:
        return image
    if image.mode in ("1", "P", "PA"):
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    if not (image.mode.startswith("I") or image.mode == "F"):
        return image.reduce(factor)
    values = np.asarray(image)
    height, width = values.shape[0] // factor, values.shape[1] // factor
    blocks = values[: height * factor, : width * factor].reshape(height, factor, width, factor)
    # Pillow reads the range of the values off the type: it has to stay what it was.
    return Image.fromarray(blocks.mean(axis=(1, 3), dtype=np.float32).astype(np.uint16 if ";16" in image.mode else values.dtype))


@contextmanager
def _in_words(title: str) -> Iterator[None]:
    """Have an UnreadableImage raised as ConfigError on `picture`, with the remedy."""
    try:
        yield
    except UnreadableImage as error:
        reason = str(error)
    else:
        return
    if "truncated" in reason or "broken" in reason:
        remedy = "it ends too early: copy or save it again"
    elif "too large" in reason or "too many pixels" in reason:
        remedy = f"scale it down to {MAX_PIXELS / 1e6:.0f} megapixels or less"
    else:
        remedy = _OTHERS
    raise ConfigError("picture", f"{title!r} cannot be read as a picture ({reason}); {remedy}")


def _title(name: str) -> str:
    """A file's name as it can be shown."""
    return shown(Path(name.replace("\\", "/").replace("\0", "?")).name)[:100] or "picture"


def _forget_oldest(folder: Path, newest: Path) -> None:
    room = KEPT_BYTES
    files = sorted(folder.iterdir(), key=lambda file: (file != newest, -file.stat().st_mtime))
    for place, file in enumerate(files):
        room -= file.stat().st_size
        if file != newest and (place >= KEPT_FILES or room < 0):
            file.unlink(missing_ok=True)
