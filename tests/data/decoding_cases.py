"""What the tests of decoding share."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image, ImageOps


def noise(*shape: int, seed: int = 0, highest: int = 256) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, highest, shape).astype(np.uint8 if highest == 256 else np.uint16)


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


# 8 bits: as it always was


def turned_exif() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


PHOTO = Image.fromarray(noise(70, 110, 3))


LARGE = Image.fromarray(noise(9, 13, 3)).resize((1300, 900), Image.Resampling.BICUBIC)


EIGHT_BITS = {
    "jpeg": saved(LARGE, "JPEG", quality=90),
    "turned jpeg": saved(LARGE, "JPEG", exif=turned_exif()),
    "grey jpeg": saved(LARGE.convert("L"), "JPEG"),
    "print colours": saved(LARGE.convert("CMYK"), "JPEG"),
    "png": saved(PHOTO, "PNG"),
    "turned png": saved(PHOTO, "PNG", exif=turned_exif()),
    "alpha": saved(Image.fromarray(noise(70, 110, 4)), "PNG"),
    "palette": saved(PHOTO.quantize(16), "PNG"),
    "see-through palette": saved(PHOTO.quantize(16), "GIF", transparency=3),
    "one bit": saved(PHOTO.convert("1"), "PNG"),
    "webp": saved(PHOTO, "WEBP", lossless=True),
    "tiff": saved(PHOTO, "TIFF", compression="tiff_lzw"),
    "ppm": saved(PHOTO, "PPM"),
    "square": saved(PHOTO.crop((0, 0, 64, 64)), "PNG"),
}


def reference(data: bytes, side: int) -> np.ndarray:
    """What Thaw made of a picture before there was a choice, in plain Pillow."""
    with Image.open(io.BytesIO(data)) as image:
        image.draft("RGB", (2 * side, 2 * side))
        picture = ImageOps.exif_transpose(image)
    if picture.has_transparency_data:
        layer = picture.convert("RGBA")
        picture = Image.new("RGB", layer.size, "white")
        picture.paste(layer, mask=layer)
    return np.asarray(ImageOps.fit(picture.convert("RGB"), (side, side), method=Image.Resampling.BILINEAR)).transpose(2, 0, 1)


def tiff(values: np.ndarray) -> bytes:
    return saved(Image.fromarray(values), "TIFF")
