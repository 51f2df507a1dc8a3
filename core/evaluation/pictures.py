"""Pictures from outside that a model is to look at: uploads and files. They are taken to be hostile. No torch.

A picture goes the way that the images of the run's test set went: those that are files are made squares by Pillow (`core.data.decoding.fitted`),
those that come as arrays are resized as tensors (`core.data.loader.resize`).
"""

from __future__ import annotations

import base64
import hashlib
import io
import os
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from core.config import ConfigError
from core.data.decoding import FORMATS, File, Fit, ValueRange, fitted, is_deep, sparing_notes
from core.data.folders import shown
from core.data.intake import MAX_PIXELS, UnreadableImage, check_size, decode_and_look, is_flat, readable, upright
from core.machine.files import written_whole
from core.machine.home import Home

MOST_BYTES = 100_000_000
"""The largest file that is taken in."""

KEPT_FILES = 50
KEPT_BYTES = 500_000_000
"""Uploads that are kept at most; those that were not used for longest go first."""

LARGE = 16_000_000
"""Pixels above which a picture is averaged down before it is converted, so that memory stays bounded."""

THUMBNAIL = 48
"""Pixels of a picture in a table."""

_ENDINGS = {"JPEG": ".jpg", "TIFF": ".tif"}
_REMEDIES = {
    "no image": "choose a JPEG, PNG, WebP, GIF, BMP or TIFF file",
    "too large": f"scale it down to {MAX_PIXELS / 1e6:.0f} megapixels or less",
    "damaged": "it is damaged, or it ends too early: copy or save it again",
    "out of reach": "allow this user to read it, or copy it elsewhere",
}
_FITTED: Mapping[Fit, str] = {
    "crop": "Its middle square was cut out of",
    "squash": "It was pressed together into a square, from",
    "pad": "Black was put at two sides of it, to make it a square, from",
}


@dataclass(frozen=True)
class Opened:
    """A picture, uint8 [3, H, W], and what had to be done to get it, in sentences."""

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
    with _in_words(title), readable(io.BytesIO(data)), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if not data:
            raise UnreadableImage("empty file")
        kind = sparing_notes(io.BytesIO(data), _format)
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


def drop(kept: Path) -> None:
    """Forget an upload that `keep` took in and that turned out to be broken."""
    kept.unlink(missing_ok=True)


def open_picture(path: Path, image_size: int, as_files: bool, fit: Fit = "crop", value_range: ValueRange | None = None) -> Opened:
    """The picture at `path`, turned the way it was taken, in RGB.

    Transparent parts become white, more than 8 bits a channel become 8, of an animation the first picture is taken.

    Args:
        as_files: whether the test set's images are files: the picture is a square of `image_size` pixels a side then, made as theirs are.
            Else it comes in its own size, to be resized as a tensor: its middle square for `fit` crop, all of it for the others.
        fit: of the run.
        value_range: what those values of the run's pictures that have more than 8 bits are out of; None: they all have 8.

    Raises:
        ConfigError: on `picture`, there is no such file, or it is no whole picture of at most `core.data.intake.MAX_PIXELS` pixels.
    """
    if not path.exists():
        raise ConfigError("picture", f"there is no file {str(path)!r} (any more); check the path, or upload it again")
    if not path.is_file():
        raise ConfigError("picture", f"{str(path)!r} is no file; give the path of a picture")
    with _in_words(_title(re.sub(r"^[0-9a-f]{20}-", "", path.name))), readable(path), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what Pillow finds odd in a file that it can read
        whole = upright(path, 2 * image_size, value_range, lambda image: _shrunk(image, max(4 * image_size, 1024)))
        notes = _notes(path, image_size, fit, value_range)
        seen = fitted(whole, image_size, fit)
        if is_flat(seen, whole, fit):
            notes = (*notes, "Nothing can be seen on it: for the model it is of nearly one colour.")
        return Opened(_array(seen if as_files else _own_size(whole, fit)), notes)


def pixels_of(file: File, image_size: int, as_files: bool, fit: Fit, value_range: ValueRange | None) -> NDArray[np.uint8]:
    """The pixels alone, uint8 [3, H, W], of one picture among many; the arguments are those of `open_picture`.

    Raises:
        UnreadableImage: for anything that is not a whole picture of a known format and of a sane size.
    """
    if as_files:
        return decode_and_look(file, image_size, fit, value_range).pixels
    with readable(file):
        whole = upright(file, 2 * image_size, value_range, lambda image: _shrunk(image, max(4 * image_size, 1024)))
        return _array(_own_size(whole, fit))


def _own_size(whole: Image.Image, fit: Fit) -> Image.Image:
    """What is resized as a tensor: the middle square for crop, all of it for the others."""
    return whole if fit != "crop" or whole.width == whole.height else fitted(whole, min(whole.size), fit)


def _array(image: Image.Image) -> NDArray[np.uint8]:
    return np.ascontiguousarray(np.asarray(image).transpose(2, 0, 1))


def data_uri(pixels: NDArray[np.uint8], side: int | None = None) -> str:
    """A PNG of uint8 [3, H, H] as a data URI, `side` pixels a side if that is given."""
    image = Image.fromarray(pixels.transpose(1, 2, 0))
    if side is not None and image.size != (side, side):
        image = image.resize((side, side), Image.Resampling.LANCZOS if side < image.width else Image.Resampling.BICUBIC)
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=3)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def thumbnail(pixels: NDArray[np.uint8]) -> str:
    """A small JPEG of uint8 [3, H, H] as a data URI, about a kilobyte: what a table of many pictures can hold."""
    image = Image.fromarray(pixels.transpose(1, 2, 0))
    image.thumbnail((THUMBNAIL, THUMBNAIL))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=70)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()


def _format(file: File) -> str:
    """The format of a file that is a picture of a size that is taken."""
    with Image.open(file, formats=FORMATS) as image:
        check_size(image)
        return image.format or "PNG"


@dataclass(frozen=True)
class _Head:
    """What the head of a file says of a picture."""

    size: tuple[int, int]
    mode: str
    grey: bool
    deep: bool
    turned: bool
    pictures: int
    transparent: bool


def _head(file: File) -> _Head:
    with Image.open(file, formats=FORMATS) as image:
        return _Head(
            size=image.size,
            mode=image.mode,
            grey=image.getbands()[0] in ("1", "L", "I", "F") or is_deep(image),
            deep=is_deep(image) or any(";16" in str(tile.args) for tile in image.tile),
            turned=image.getexif().get(0x0112, 1) in range(2, 9),
            pictures=getattr(image, "n_frames", 1),
            transparent=image.has_transparency_data,
        )


def _notes(path: Path, image_size: int, fit: Fit, value_range: ValueRange | None) -> tuple[str, ...]:
    """What is unusual about a picture, from its head, and what is done about it."""
    notes = []
    head = sparing_notes(path, _head)
    width, height = head.size
    if head.pictures > 1:
        notes.append(f"It has {head.pictures:,} pictures, an animation or pages: the first was taken.")
    if head.turned:
        notes.append("It was turned the way the camera was held, as its EXIF data say.")
    if head.transparent:
        notes.append("Its transparent parts were put on white.")
    if head.deep:
        own = "a usual range that holds its own values, since the run's pictures have 8 bits each,"
        scale = own if value_range is None else f"{value_range[0]:,.6g} to {value_range[1]:,.6g}, as in the run's pictures,"
        notes.append(f"It has more than 8 bits a channel, and was brought down to 8: {scale} became 0 to 255.")
    if head.grey:
        notes.append("It is grey: all three colour channels are equal.")
    if head.mode in ("CMYK", "YCCK"):
        notes.append("It is in print colours (CMYK), and was converted to RGB without a colour profile.")
    if width != height:
        notes.append(f"{_FITTED[fit]} {width:,} x {height:,} pixels.")
    side = max(width, height) if fit == "pad" else min(width, height)
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
    if not is_deep(image):
        return image.reduce(factor)
    values = np.asarray(image)
    height, width = values.shape[0] // factor, values.shape[1] // factor
    blocks = values[: height * factor, : width * factor].reshape(height, factor, width, factor)
    # The type decides what the values are taken to be out of: it has to stay what it was.
    return Image.fromarray(blocks.mean(axis=(1, 3), dtype=np.float32).astype(np.uint16 if ";16" in image.mode else values.dtype))


@contextmanager
def _in_words(title: str) -> Iterator[None]:
    """Have an UnreadableImage raised as ConfigError on `picture`, with the remedy."""
    try:
        yield
    except UnreadableImage as error:
        raise ConfigError("picture", f"{title!r} cannot be read as a picture ({error}); {_REMEDIES[error.kind]}") from None


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
