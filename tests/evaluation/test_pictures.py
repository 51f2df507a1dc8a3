"""Pictures from outside: what is refused and why, what is mended and how that is said, and what is kept."""

from __future__ import annotations

import base64
import io
import os
import struct
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.config import ConfigError
from core.data import decoding
from core.data.intake import decode
from core.evaluation import pictures
from core.evaluation.pictures import data_uri, keep, open_picture
from core.machine.home import Home


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def saved(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)  # type: ignore[arg-type]
    return file.getvalue()


def photo(width: int = 60, height: int = 40) -> Image.Image:
    return Image.fromarray(noise(height, width, 3))


def bomb(width: int, height: int) -> bytes:
    """A PNG that says it has so many pixels."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(b"\0" * 1000)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


def test_what_is_no_picture_is_refused_when_it_is_uploaded(home: Home) -> None:
    for data, words in (
        (b"hello, I am a text", ("not an image", "choose a JPEG, PNG")),
        (b"", ("empty file", "choose")),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", ("not an image", "choose")),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", ("not an image", "choose")),
        (bomb(12_000, 10_000), ("12,000 x 10,000 pixels", "100 megapixels or less")),
        (bomb(90_000, 90_000), ("pixels", "100 megapixels or less")),
    ):
        with pytest.raises(ConfigError) as caught:
            keep(home, data, "C:\\photos\\cat.png")
        assert caught.value.field == "picture"
        assert "'cat.png'" in caught.value.message, "the name, and not where it lay"
        assert all(word in caught.value.message for word in words), caught.value.message
    assert not list(home.cache.glob("uploads/*"))


def test_a_file_that_is_too_large_is_refused(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "MOST_BYTES", 1_000_000)
    with pytest.raises(ConfigError, match="2 MB, more than 1 MB; save it smaller"):
        keep(home, b"\xff" * 2_000_000, "huge.jpg")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (saved(photo())[:-400], "it ends too early: copy or save it again"),
        (saved(photo(200, 200), "JPEG")[:-3000], "it ends too early"),
        (bomb(50, 50), "cannot be read as a picture"),
    ],
    ids=["PNG", "JPEG", "head only"],
)
def test_a_picture_that_is_not_whole_is_refused(home: Home, data: bytes, words: str) -> None:
    path = keep(home, data, "half.png")
    with pytest.raises(ConfigError, match=words) as caught:
        open_picture(path, 32, as_files=True)
    assert "'half." in caught.value.message


def test_a_file_that_is_not_there_or_a_folder_is_refused(tmp_path: Path) -> None:
    for path, words in ((tmp_path / "no.png", "there is no file"), (tmp_path, "is no file")):
        with pytest.raises(ConfigError, match=words):
            open_picture(path, 32, as_files=True)


def colour(mode: str, *values: int) -> Image.Image:
    return Image.new(mode, (40, 40), values if len(values) > 1 else values[0])


UNUSUAL = {
    "grey": (saved(colour("L", 100)), (100, 100, 100), "It is grey"),
    "black and white": (saved(colour("1", 1)), (255, 255, 255), "It is grey"),
    "alpha": (saved(colour("RGBA", 200, 0, 0, 0)), (255, 255, 255), "transparent parts were put on white"),
    "palette with alpha": (saved(colour("RGBA", 0, 200, 0, 255).quantize(4)), (0, 200, 0), ""),
    "16 bit": (saved(Image.fromarray(np.full((40, 40), 25_700, np.uint16))), (100, 100, 100), "more than 8 bits"),
    "CMYK": (saved(colour("CMYK", 0, 0, 0, 255), "TIFF"), (0, 0, 0), "print colours (CMYK)"),
    "one pixel": (saved(Image.new("RGB", (1, 1), (9, 8, 7))), (9, 8, 7), "scaled up from 1 to 32 pixels a side"),
    "one row": (saved(Image.new("RGB", (900, 1), (9, 8, 7))), (9, 8, 7), "cut out of 900 x 1 pixels"),
    "animation": (
        saved(colour("RGB", 255, 0, 0), "GIF", save_all=True, append_images=[colour("RGB", 0, 0, 255), colour("RGB", 0, 255, 0)]),
        (255, 0, 0),
        "has 3 pictures",
    ),
}


@pytest.mark.parametrize("as_files", [True, False])
@pytest.mark.parametrize("name", UNUSUAL)
def test_an_unusual_picture_is_mended_and_that_is_said(home: Home, name: str, as_files: bool) -> None:
    data, expected, words = UNUSUAL[name]
    opened = open_picture(keep(home, data, f"{name}.png"), 32, as_files)
    assert opened.pixels.dtype == np.uint8
    assert opened.pixels.shape[0] == 3
    assert opened.pixels.shape[1] == opened.pixels.shape[2]
    assert opened.pixels.shape[1] == 32 or not as_files
    assert tuple(opened.pixels[:, 0, 0]) == expected
    assert words in " ".join(opened.notes)


def test_an_ordinary_picture_has_no_notes(home: Home) -> None:
    assert open_picture(keep(home, saved(photo(40, 40), "JPEG"), "a.jpg"), 32, as_files=True).notes == ()


def test_a_picture_is_turned_the_way_it_was_taken(home: Home) -> None:
    upright = photo(40, 40)
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = saved(upright.transpose(Image.Transpose.ROTATE_90), exif=exif)
    opened = open_picture(keep(home, turned, "turned.png"), 40, as_files=False)
    assert np.array_equal(opened.pixels.transpose(1, 2, 0), np.asarray(upright))
    assert "turned the way the camera was held" in opened.notes[0]


def test_a_picture_becomes_what_the_images_of_a_dataset_of_files_become(tmp_path: Path) -> None:
    for number, (data, ending) in enumerate(((saved(photo(300, 200), "JPEG"), "jpg"), (saved(photo(30, 50)), "png"))):
        path = tmp_path / f"{number}.{ending}"
        path.write_bytes(data)
        assert np.array_equal(open_picture(path, 24, as_files=True).pixels, decode(path, 24))


@pytest.mark.parametrize("mode", ["RGB", "I;16"])
def test_fifty_megapixels_are_averaged_down(home: Home, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    converted: list[Image.Image] = []
    convert = decoding._to_rgb

    def to_rgb(image: Image.Image, value_range: decoding.ValueRange | None) -> Image.Image:
        converted.append(image)
        return convert(image, value_range)

    monkeypatch.setattr(decoding, "_to_rgb", to_rgb)
    # Two thirds of the width dark, the rest bright.
    pixels = np.full((6_250, 8_000), 40, np.uint8)
    pixels[:, 5_000:] = 200
    image = Image.fromarray(pixels.astype(np.uint16) * 257) if mode == "I;16" else Image.fromarray(pixels).convert(mode)
    path = keep(home, saved(image, compress_level=1), "large.png")
    began = time.process_time()
    opened = open_picture(path, 32, as_files=True)
    assert time.process_time() - began < 10
    assert opened.pixels.shape == (3, 32, 32)
    assert converted[0].width in (8_000 // 6, 8_000 // 6 + 1), "in the mode that it was saved in, before copies of all of it are made"
    assert converted[0].mode == mode
    assert np.abs(opened.pixels[:, 16, 2].astype(int) - 40).max() <= 1
    assert np.abs(opened.pixels[:, 16, -2].astype(int) - 200).max() <= 1
    assert "scaled down from 6,250 to 32 pixels a side (50 megapixels)" in " ".join(opened.notes)


def test_the_same_picture_is_kept_once(home: Home) -> None:
    data = saved(photo())
    first = keep(home, data, "my cat (1)?.png")
    assert first.name.endswith("-my_cat_1.png")
    assert keep(home, data, "another name.png") == first
    assert first.read_bytes() == data
    assert keep(home, saved(photo(50, 50), "JPEG"), "../../etc/passwd").parent == first.parent
    assert len(list(first.parent.iterdir())) == 2


@pytest.mark.parametrize(("name", "limit"), [("KEPT_FILES", 3), ("KEPT_BYTES", 30_000)])
def test_only_so_many_are_kept_and_the_last_used_stay(home: Home, monkeypatch: pytest.MonkeyPatch, name: str, limit: int) -> None:
    monkeypatch.setattr(pictures, name, limit)

    def upload(number: int) -> Path:
        return keep(home, saved(Image.fromarray(noise(56, 56, 3, seed=number))), "a.png")

    kept = []
    for number in range(5):
        kept.append(upload(number))
        os.utime(kept[-1], (number, number))
    upload(2)  # used again: the last to go
    newest = keep(home, saved(photo()), "newest.png")
    left = set(newest.parent.iterdir())
    assert {newest, kept[2]} <= left
    assert not left & set(kept[:2])
    assert len(left) <= 3


def test_a_picture_is_shown_in_the_size_that_is_asked_for() -> None:
    pixels = noise(3, 8, 8)
    for side in (None, 8, 96, 4):
        text = data_uri(pixels, side)
        assert text.startswith("data:image/png;base64,")
        image = Image.open(io.BytesIO(base64.b64decode(text.partition(",")[2])))
        assert image.size == (side or 8, side or 8)
        if side in (None, 8):
            assert np.array_equal(np.asarray(image).transpose(2, 0, 1), pixels)
