"""How one image file becomes the pixels that a model sees. Pillow and numpy only, nothing of the project: a script can hold this file as it is."""

from __future__ import annotations

import io
import struct
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, ImageOps, PngImagePlugin

Fit = Literal["crop", "squash", "pad"]
"""How a picture becomes a square: its middle is cut out, its sides are scaled by factors of their own, or black is put at two of its sides."""

ValueRange = tuple[float, float]
"""Which values of a picture with more than 8 bits a channel become 0 and 255."""

File = Path | io.BytesIO

Result = TypeVar("Result")

FORMATS = ("JPEG", "PNG", "BMP", "DIB", "GIF", "WEBP", "TIFF", "PPM")
"""The only formats that Pillow may try. Left to itself it would hand an .eps in disguise to Ghostscript."""

DECODING_ERRORS = (
    *(OSError, EOFError, SyntaxError, ValueError, TypeError, AttributeError, LookupError, ArithmeticError, AssertionError),
    *(RuntimeError, MemoryError, BufferError, struct.error, zlib.error),
)
"""What Pillow's decoders raise on damaged files: almost anything."""

USUAL_HIGHEST = (255, 1023, 4095, 16383, 65535)
"""The highest values of 8, 10, 12, 14 and 16 bits, as cameras and scanners give them."""

FLAT = 16
"""Of 256 levels. The noise of a camera alone is about as much in a dark picture."""

BLOCK = 4_000_000
"""Values that are scaled at a time, so that memory stays bounded."""


def decode(file: File, image_size: int, fit: Fit = "crop", value_range: ValueRange | None = None) -> NDArray[np.uint8]:
    """One image file as uint8 [3, S, S], turned the way it was taken and made a square of S = `image_size` pixels a side as `fit` says.

    Transparent parts become white, grey becomes colour. Of an animation the first picture is taken. More than 8 bits a channel are brought
    down to 8: `value_range` becomes 0 to 255, what lies outside is cut off; None: a usual range that holds the picture's own values.
    """
    square = fitted(upright(file, 2 * image_size, value_range), image_size, fit)
    pixels: NDArray[np.uint8] = np.asarray(square).transpose(2, 0, 1)
    return pixels


def decode_large(file: File, image_size: int, largest: int, fit: Fit = "crop", value_range: ValueRange | None = None) -> NDArray[np.uint8]:
    """What `decode` makes of a file before it makes it small: a square uint8 [3, S, S] of as many pixels as the picture has, for random crops.

    S is at most `largest`, the side of the square that `fit` makes of the picture otherwise. A view: colours lie side by side in memory.
    """
    pixels: NDArray[np.uint8] = np.asarray(large_square(upright(file, max(2 * image_size, largest), value_range), largest, fit))
    return pixels.transpose(2, 0, 1)


def large_square(image: Image.Image, largest: int, fit: Fit) -> Image.Image:
    """A picture as a square of at most `largest` pixels a side, as `fitted` makes one. The middle of a small one is cut out as it is."""
    width, height = image.size
    side = min(largest, max(width, height) if fit == "pad" else min(width, height))
    if fit == "crop" and side == min(width, height):
        left, top = (width - side) // 2, (height - side) // 2
        return image.crop((left, top, left + side, top + side))
    return fitted(image, side, fit)


def upright(
    file: File,
    side: int,
    value_range: ValueRange | None = None,
    check: Callable[[Image.Image], object] = lambda image: None,
    shrink: Callable[[Image.Image], Image.Image] = lambda image: image,
) -> Image.Image:
    """The whole picture in RGB, turned the way it was taken.

    Args:
        side: a JPEG may be decoded at a half, a quarter or an eighth of its size, where its sides stay at least this long, in pixels.
        value_range: as in `decode`.
        check: is given the picture before it is decoded, and raises where it should not be.
        shrink: makes a large picture smaller, in the mode that it was saved in if Pillow has one for that.
    """
    image, turn, values = sparing_notes(file, lambda file: _read(file, side, check))
    if values is not None:
        colours = Image.fromarray(to_8_bits(values, value_range)).convert("RGB")
        if image.mode == "RGBA":
            colours.putalpha(image.getchannel("A"))
        image = colours
    picture = _to_rgb(shrink(image), value_range)
    return picture if turn is None else picture.transpose(turn)


def fitted(image: Image.Image, image_size: int, fit: Fit) -> Image.Image:
    """A picture as a square of `image_size` pixels a side: the same for all three where it is a square already."""
    square = (image_size, image_size)
    if fit == "crop":
        return ImageOps.fit(image, square, method=Image.Resampling.BILINEAR)
    if fit == "squash":
        return image.resize(square, Image.Resampling.BILINEAR)
    left, top, width, height = padded_place(*image.size, image_size)
    padded = Image.new("RGB", square)
    padded.paste(image.resize((width, height), Image.Resampling.BILINEAR), (left, top))
    return padded


def padded_place(width: int, height: int, image_size: int) -> tuple[int, int, int, int]:
    """Where `pad` puts a picture of this size into a square of `image_size` pixels a side: left, top, width and height, in pixels."""
    scale = image_size / max(width, height)
    across, down = max(1, round(width * scale)), max(1, round(height * scale))
    return (image_size - across) // 2, (image_size - down) // 2, across, down


def is_flat(image: Image.Image) -> bool:
    """Whether an RGB picture is as good as all of one colour: no channel has values that are `FLAT` apart."""
    extrema: Any = image.getextrema()  # a pair of numbers a channel
    return all(highest - lowest < FLAT for lowest, highest in extrema)


def deep_values(file: File, check: Callable[[Image.Image], object] = lambda image: None) -> NDArray[Any] | None:
    """The values of a picture with more than 8 bits a channel, [H, W] or [H, W, C], as they stand in the file; None for all others.

    Those of a PGM are scaled so that its highest possible value is 65535.
    """
    image, _, values = sparing_notes(file, lambda file: _read(file, 1, check))
    if values is None and is_deep(image):
        return np.asarray(image)
    return values


def is_deep(image: Image.Image) -> bool:
    """Whether Pillow gives the values of a picture in more than 8 bits."""
    return image.mode.startswith("I") or image.mode == "F"


def has_deep_values(file: File) -> bool:
    """Whether `deep_values` would give any: only the head of the file is read."""

    def look(file: File) -> bool:
        with Image.open(file, formats=FORMATS) as image:
            return is_deep(image) or bool(_low_byte_tiles(image, list(image.tile)))

    return sparing_notes(file, look)


def to_8_bits(values: NDArray[Any], value_range: ValueRange | None) -> NDArray[np.uint8]:
    """Values of any type as uint8 of the same shape: `value_range` (None: `usual_range`) becomes 0 to 255. NaN becomes 0."""
    low, high = value_range or usual_range(values)
    flat = values.reshape(-1)
    pixels = np.empty(flat.shape, np.uint8)
    for start in range(0, len(flat), BLOCK):
        part = np.nan_to_num(flat[start : start + BLOCK].astype(np.float64), nan=low, posinf=high, neginf=low)
        share = (part - low) / (high - low) if high > low else np.zeros_like(part)
        pixels[start : start + BLOCK] = np.rint(np.clip(share, 0, 1) * 255).astype(np.uint8)
    return pixels.reshape(values.shape)


def usual_range(values: NDArray[Any]) -> ValueRange:
    """What a picture's values are out of, where no other picture of its kind is known: 0 to 1 for floats, 0 to 255, 4095, 65535 and so on.

    Values that none of these hold are out of their own range.
    """
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    usual = (1, *USUAL_HIGHEST) if values.dtype.kind == "f" else USUAL_HIGHEST
    highest = next((float(value) for value in usual if high <= value), None)
    return (low, high) if low < 0 or highest is None else (0.0, highest)


Read = tuple[Image.Image, Image.Transpose | None, NDArray[np.uint16] | None]
"""A picture as Pillow decodes it, the turn that brings it upright, and the values of 16-bit colours, of which Pillow keeps the high bytes only."""


def sparing_notes(file: File, read: Callable[[File], Result]) -> Result:
    """What `read` gives for a file. Of a PNG whose texts or colour profile are larger than Pillow allows it is given a copy without these."""
    try:
        return read(file)
    except ValueError:
        lighter = _without_large_notes(file)
        if lighter is None:
            raise
    return read(lighter)


def _read(file: File, side: int, check: Callable[[Image.Image], object]) -> Read:
    with Image.open(file, formats=FORMATS) as image:
        check(image)
        # Decoding a JPEG at an eighth of its size is several times faster. Twice the size that is wanted leaves the antialiasing its work.
        image.draft("RGB", (side, side))
        tiles = list(image.tile)
        low_tiles = _low_byte_tiles(image, tiles)
        image.load()
        turn = _TURNS.get(_orientation(image))
    if not low_tiles:
        return image, turn, None
    with Image.open(file, formats=FORMATS) as again:
        again.tile = low_tiles
        low = np.asarray(again)
    if tiles[0].args == "LA;16B":
        return image, turn, low[..., 0].astype(np.uint16) << 8 | low[..., 1]
    return image, turn, np.asarray(image)[..., :3].astype(np.uint16) << 8 | low[..., :3]


_LOW_BYTES = {
    f"{channels};16{order}": f"{channels};16{other}"
    for channels in ("RGB", "RGBA", "RGBX")
    for order, other in (("B", "L"), ("L", "B"), ("N", "B" if sys.byteorder == "little" else "L"))
} | {"LA;16B": "RGBA"}
"""Pillow unpacks 16-bit colours to their high bytes. Which of its unpackers gives the low ones: that for the other order of bytes; for grey with
alpha, of which there is none, the one that takes all four bytes of a pixel."""


def _low_byte_tiles(image: ImageFile.ImageFile, tiles: list[Any]) -> list[Any]:
    """Pillow's notes on where the pixels lie, changed so that they read the low bytes of 16-bit colours; none for other pictures."""
    if image.format == "PPM" and image.mode == "RGB" and all(tile.codec_name == "ppm" and tile.args[1] > 255 for tile in tiles):
        # Pillow would bring it to 8 bits by the highest value that it says it may have.
        image.tile = [tile._replace(codec_name="raw", args=("RGB;16B", 0, 1)) for tile in tiles]
        return [tile._replace(codec_name="raw", args=("RGB;16L", 0, 1)) for tile in tiles]
    found = []
    for tile in tiles:
        alone = isinstance(tile.args, str)
        mode, *rest = (tile.args,) if alone else tile.args or ("",)
        if mode not in _LOW_BYTES:
            return []
        found.append(tile._replace(args=_LOW_BYTES[mode] if alone else (_LOW_BYTES[mode], *rest)))
    return found


def _without_large_notes(file: File) -> io.BytesIO | None:
    """A PNG without the texts and colour profiles that unpack to more than Pillow takes in; None for what is no PNG, or has none of these."""
    data = file.read_bytes() if isinstance(file, Path) else file.getvalue()
    if data[:8] != b"\x89PNG\r\n\x1a\n":
        return None
    kept, place, room = [data[:8]], 8, PngImagePlugin.MAX_TEXT_MEMORY
    while place < len(data):
        end = place + 12 + int.from_bytes(data[place : place + 4], "big")
        size = _unpacked(data[place + 4 : place + 8], data[place + 8 : end - 4])
        if size <= min(room, PngImagePlugin.MAX_TEXT_CHUNK):
            kept.append(data[place:end])
            room -= size
        place = end
    lighter = b"".join(kept)
    return io.BytesIO(lighter) if len(lighter) < len(data) else None


def _unpacked(kind: bytes, data: bytes) -> int:
    """How many bytes the text or the colour profile in a chunk of a PNG has: the true number, or one more than is allowed; 0 for other chunks."""
    if kind == b"tEXt":
        return len(data)
    if kind not in (b"zTXt", b"iTXt", b"iCCP"):
        return 0
    rest = data.partition(b"\0")[2]
    if kind == b"iTXt":
        if rest[:1] != b"\1":
            return len(data)
        packed = rest[2:].partition(b"\0")[2].partition(b"\0")[2]
    else:
        packed = rest[1:]
    unpacker = zlib.decompressobj()
    try:
        size = len(unpacker.decompress(packed, PngImagePlugin.MAX_TEXT_CHUNK))
    except zlib.error:
        return 0  # Pillow leaves it out by itself
    return size + bool(unpacker.unconsumed_tail)


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


def _to_rgb(image: Image.Image, value_range: ValueRange | None) -> Image.Image:
    """Any picture in RGB: what is transparent becomes white, more than 8 bits become 8."""
    if is_deep(image):
        return Image.fromarray(to_8_bits(np.asarray(image), value_range)).convert("RGB")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        picture = Image.new("RGB", layer.size, "white")
        picture.paste(layer, mask=layer)
        return picture
    return image if image.mode == "RGB" else image.convert("RGB")
