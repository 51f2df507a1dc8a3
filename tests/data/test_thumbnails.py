"""Thumbnails: made once, upright, of whatever can be decoded, and bounded on disk."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.data import thumbnails
from core.data.thumbnails import NoThumbnail, made, thumbnail, trim
from core.machine.home import Home


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


@pytest.mark.parametrize(
    ("image", "ending"),
    [
        (Image.new("RGB", (900, 300)), "jpg"),
        (Image.new("L", (500, 1000)), "png"),
        (Image.new("RGBA", (400, 400), (0, 0, 0, 0)), "png"),
        (Image.new("CMYK", (300, 900)), "tif"),
        (Image.fromarray(np.linspace(0, 65535, 90_000).reshape(300, 300).astype(np.uint16)), "png"),
        (Image.new("P", (640, 20)), "gif"),
        (Image.new("RGB", (3, 2)), "bmp"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.mode,
)
def test_every_kind_of_picture_becomes_a_small_jpeg_of_its_shape(tmp_path: Path, image: Image.Image, ending: str) -> None:
    file = tmp_path / f"picture.{ending}"
    image.save(file)
    small = opened(made(file))
    assert small.format == "JPEG"
    assert max(small.size) <= thumbnails.SIDE
    assert small.width / small.height == pytest.approx(image.width / image.height, rel=0.1)
    if image.mode == "RGBA":
        assert np.asarray(small).min() > 250, "what is transparent is white"


def test_a_picture_is_upright_as_it_was_taken(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (600, 200)).save(tmp_path / "lying.jpg", exif=exif)
    small = opened(made(tmp_path / "lying.jpg"))
    assert small.height > small.width


@pytest.mark.parametrize("data", [b"", b"text", b"<svg/>", b"\xff\xd8\xff\xe0 half"])
def test_what_is_no_picture_has_none_and_nothing_is_kept(home: Home, tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.jpg").write_bytes(data)
    with pytest.raises(NoThumbnail):
        thumbnail(home, "ab" * 32, tmp_path / "x.jpg")
    assert not list(thumbnails.folder(home).rglob("*.jpg"))
    with pytest.raises(FileNotFoundError):
        thumbnail(home, "cd" * 32, tmp_path / "gone.jpg")


def test_a_picture_that_is_too_large_is_not_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thumbnails, "MOST_PIXELS", 100)
    Image.new("RGB", (20, 20)).save(tmp_path / "large.png")
    with pytest.raises(NoThumbnail, match="20 x 20"):
        made(tmp_path / "large.png")


def test_it_is_made_once_and_kept_by_what_the_picture_holds(home: Home, tmp_path: Path) -> None:
    Image.new("RGB", (300, 300), "red").save(tmp_path / "x.png")
    first = thumbnail(home, "ab" * 32, tmp_path / "x.png")
    (tmp_path / "x.png").unlink()
    assert thumbnail(home, "ab" * 32, tmp_path / "x.png") == first


def test_the_oldest_make_room(home: Home) -> None:
    place = thumbnails.folder(home) / "ab"
    place.mkdir(parents=True)
    for age in range(4):
        (place / f"{age}.jpg").write_bytes(bytes(100))
        os.utime(place / f"{age}.jpg", (1_000 + age, 1_000 + age))
    assert trim(home, 250) == 200
    assert sorted(path.name for path in place.iterdir()) == ["2.jpg", "3.jpg"]
    assert trim(home, 250) == 0
