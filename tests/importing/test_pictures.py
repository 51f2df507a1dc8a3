"""Pictures of all kinds on their way in: what is kept of each, what is said, and what is refused."""

from __future__ import annotations

import io
import zlib
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from PIL import Image

from core.config import RunConfig
from core.data import prepare
from core.data.decoding import upright
from core.importing.pictures import take
from core.machine.home import Home
from core.versions import path_of
from tests.importing.importing_cases import classes, folder, imported, picture, reasons


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def turned(side: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = side
    return picture(3, "JPEG", exif=exif)


def heic(exif: bytes | None = None) -> bytes:
    """Red on the left, blue on the right."""
    image = Image.new("RGB", (64, 48), "red")
    image.paste("blue", (32, 0, 64, 48))
    stream = io.BytesIO()
    pillow_heif.from_pillow(image).save(stream, quality=90, **({"exif": exif} if exif else {}))
    return stream.getvalue()


FRAMES = [Image.new("RGB", (20, 10), colour) for colour in ("red", "green", "blue")]
ODD: dict[str, tuple[bytes, tuple[int, int], set[str], str]] = {
    "jpg.jpg": (picture(1, "JPEG"), (40, 32), set(), ".jpg"),
    "png called.jpg": (picture(2, "PNG"), (40, 32), set(), ".png"),
    "turned.jpg": (turned(6), (32, 40), {"turned"}, ".jpg"),
    "mirrored.jpg": (turned(2), (40, 32), {"turned"}, ".jpg"),
    "alpha.png": (picture(4, "PNG", mode="RGBA"), (40, 32), {"alpha"}, ".png"),
    "cmyk.jpg": (picture(5, "JPEG", mode="CMYK"), (40, 32), {"cmyk"}, ".jpg"),
    "grey.png": (picture(6, "PNG", mode="L"), (40, 32), set(), ".png"),
    "moving.gif": (saved(FRAMES[0], "GIF", save_all=True, append_images=FRAMES[1:]), (20, 10), {"animation"}, ".gif"),
    "pages.tif": (saved(FRAMES[0], "TIFF", save_all=True, append_images=FRAMES[1:]), (20, 10), {"pages"}, ".tif"),
    "deep.png": (saved(Image.fromarray(np.arange(600, dtype=np.uint16).reshape(20, 30) * 100), "PNG"), (30, 20), {"deep"}, ".png"),
    "float.tif": (saved(Image.fromarray(np.linspace(-3, 7, 600, dtype=np.float32).reshape(20, 30)), "TIFF"), (30, 20), {"deep"}, ".tif"),
    "webp.webp": (picture(7, "WEBP"), (40, 32), set(), ".webp"),
    "phone.heic": (heic(), (64, 48), {"heic"}, ".jpg"),
}  # fmt: skip


@pytest.mark.parametrize("name", ODD)
def test_a_picture_is_kept_as_it_came_and_measured_upright(name: str) -> None:
    content, size, traits, ending = ODD[name]
    taken = take(content)
    assert ((taken.width, taken.height), set(taken.traits), taken.ending) == (size, traits, ending)
    assert (taken.content == content) is ("heic" not in traits)
    assert upright(io.BytesIO(taken.content), 10_000).size == size


def test_a_heic_picture_shows_what_it_showed() -> None:
    image = np.asarray(upright(io.BytesIO(take(heic()).content), 10_000)).astype(int)
    assert np.abs(image[:, :28] - (255, 0, 0)).max() < 20
    assert np.abs(image[:, 36:] - (0, 0, 255)).max() < 20


def huge(side: int) -> bytes:
    """A PNG that says so in its head."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    head = side.to_bytes(4, "big") * 2 + b"\x08\x00\x00\x00\x00"
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


BAD: dict[str, tuple[bytes, str]] = {
    "cut.jpg": (picture(1, "JPEG")[:700], "image file is truncated"),
    "cut.png": (picture(1)[:700], ""),
    "empty.jpg": (b"", "empty file"),
    "text.jpg": (b"this is no picture", "not an image"),
    "huge.png": (huge(20_000), "too large, 400,000,000 pixels"),
    "large.png": (huge(12_000), "too large, 12,000 x 12,000 pixels"),
    "cut.heic": (heic()[:-300], ""),
    "page.jpg": (b"<html><body>404</body></html>", "not an image"),
}


def test_all_of_them_in_one_import(tmp_path: Path, home: Home) -> None:
    files = {
        **classes("dog"), **{f"cat/{name}": content for name, (content, *_) in ODD.items()},
        **{f"cat/{name}": content for name, (content, _) in BAD.items()},
        "cat/drawing.svg": b"<svg/>", "cat/raw.cr2": b"II*\0" + bytes(20), "cat/no ending": picture(50), "cat/misnamed.dat": picture(51),
    }  # fmt: skip
    version, report = imported(home, folder(tmp_path / "data", files))
    kept = {item.name for item in version.items if item.label == "cat"}
    assert kept == {f"cat/{name}" for name in (*ODD, "no ending")}
    assert reasons(report).keys() == {f"cat/{name}" for name in (*BAD, "drawing.svg", "raw.cr2", "misnamed.dat")}
    assert [name for name, (_, why) in BAD.items() if not reasons(report)[f"cat/{name}"].startswith(why)] == []
    assert all(one.remedy for one in report.skipped)
    said = "\n".join(report.notes)
    for text in (
        "turned upright: 2.",
        "become white: 1.",
        "become RGB: 1.",
        "first picture is used: 1.",
        "first is used: 1.",
        "at 255: 2.",
        "upright): 1.",
    ):
        assert text in said
    assert all(path_of(home, "mine", item).read_bytes() for item in version.items)


def test_deep_pictures_are_scaled_by_their_real_range_in_a_run(tmp_path: Path, home: Home) -> None:
    rng = np.random.default_rng(0)
    files = {
        f"{label}/{number}.png": saved(Image.fromarray(rng.integers(low, low + 500, (24, 24)).astype(np.uint16)), "PNG")
        for label, low in (("dark", 1_000), ("light", 3_000)) for number in range(10)
    }  # fmt: skip
    imported(home, folder(tmp_path / "data", files))
    data = prepare(RunConfig(dataset="own:mine", image_size=24, model="small_cnn", batch_size=4), home, lambda text, share: None)
    assert any("values from 1,000 to 3,499 become 0 to 255" in note for note in data.notes)
    assert data.recipe is not None
    low, high = data.recipe.value_range or (0, 0)
    assert (999 < low < 1010, 3480 < high < 3500) == (True, True)
