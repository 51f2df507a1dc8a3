"""One picture as it is taken in: decoded once to see that it is whole, measured, called by what it holds. Pillow; no torch."""

from __future__ import annotations

import hashlib
import io
import threading
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Literal

from PIL import Image

from core.data import decoding
from core.data.intake import UnreadableImage, check_size, readable

Trait = Literal["turned", "alpha", "cmyk", "animation", "pages", "deep", "heic"]

LARGE = 16_000_000
"""Pixels from which on pictures are decoded one at a time: a whole one of 100 megapixels takes 300 MB."""

QUALITY = 95
"""Of the JPEG that a HEIC picture becomes: its differences from the original cannot be seen."""

_ENDINGS = {
    "JPEG": ".jpg", "MPO": ".jpg", "PNG": ".png", "BMP": ".bmp", "DIB": ".dib", "GIF": ".gif", "WEBP": ".webp", "TIFF": ".tif", "PPM": ".ppm",
}  # fmt: skip

_TURNED = (5, 6, 7, 8)
_HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")

_one_large = threading.Lock()


@dataclass(frozen=True)
class Taken:
    """A whole picture: the bytes to keep, their SHA-256 and ending, its sides when upright, and what is particular about it."""

    content: bytes
    sha256: str
    ending: str
    width: int
    height: int
    traits: frozenset[Trait]
    size: int

    def without_content(self) -> Taken:
        """The same without its bytes."""
        return replace(self, content=b"")


def take(data: bytes) -> Taken:
    """Look at a picture file, `data`. All of it is decoded, a JPEG at an eighth of its size: that reads every byte of it, too.

    Raises:
        UnreadableImage: it is no whole picture of a format that is read, or of no sane size.
    """
    heic = data[4:8] == b"ftyp" and data[8:12] in _HEIC
    if heic:
        data = _converted(data)
    file = io.BytesIO(data)
    facts: list[tuple[str, tuple[int, int], set[Trait]]] = []
    with ExitStack() as held:

        def check(image: Image.Image) -> None:
            check_size(image)
            if not facts and image.width * image.height > LARGE:
                held.enter_context(_one_large)
            facts.append(_facts(image))

        with readable(file):
            if not data:
                raise UnreadableImage("empty file")
            decoding.upright(file, 1, None, check)
            kind, (width, height), traits = facts[0]
            if kind in ("PNG", "TIFF", "PPM") and decoding.has_deep_values(file):
                traits.add("deep")
    if heic:
        traits.add("heic")
    ending = _ENDINGS.get(kind, f".{kind.casefold()}")
    return Taken(data, hashlib.sha256(data).hexdigest(), ending, width, height, frozenset(traits), len(data))


def _facts(image: Image.Image) -> tuple[str, tuple[int, int], set[Trait]]:
    """Format, upright size and traits of a picture that was opened; nothing of it is decoded."""
    traits: set[Trait] = set()
    turn = _turn(image)
    if turn != 1:
        traits.add("turned")
    if image.has_transparency_data:
        traits.add("alpha")
    if image.mode == "CMYK":
        traits.add("cmyk")
    if getattr(image, "is_animated", False) and image.format != "MPO":
        traits.add("pages" if image.format == "TIFF" else "animation")
    width, height = image.size
    return image.format or "", (height, width) if turn in _TURNED else (width, height), traits


def _turn(image: Image.Image) -> int:
    """How the camera was held, 1 to 8 as in EXIF."""
    try:
        turn = int(image.getexif().get(0x0112, 1))
    except decoding.DECODING_ERRORS:
        return 1
    return turn if 1 <= turn <= 8 else 1


def _converted(data: bytes) -> bytes:
    """A HEIC picture as a JPEG, upright; as a PNG where it has what a JPEG cannot keep.

    Raises:
        UnreadableImage: it is damaged, too large, or `pi-heif` is not installed.
    """
    try:
        import pi_heif
    except ImportError:
        raise UnreadableImage("HEIC, which needs the package pi-heif") from None
    with readable(io.BytesIO(data)), _one_large:
        opened = pi_heif.open_heif(io.BytesIO(data), convert_hdr_to_8bit=True)
        if opened.size[0] * opened.size[1] > LARGE * 6:
            raise UnreadableImage(f"too large, {opened.size[0]:,} x {opened.size[1]:,} pixels", "too large")
        image, stream = opened.to_pillow(), io.BytesIO()
        if image.mode == "RGB":
            image.save(stream, "JPEG", quality=QUALITY, subsampling=0, icc_profile=opened.info.get("icc_profile"))
        else:  # with alpha, or of more than 8 bits
            image.save(stream, "PNG")
    return stream.getvalue()
