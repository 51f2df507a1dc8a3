"""Pictures of more than 8 bits a channel, and files that Pillow does not take as they are."""

from __future__ import annotations

import inspect
import io
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin, UnidentifiedImageError

from core.config import RunConfig
from core.data import decoding, depth, intake
from core.data.decoding import decode, deep_values, is_flat, to_8_bits, usual_range
from core.data.intake import UnreadableImage
from core.data.sources import Raw, Source
from core.machine.home import Home
from tests.data.decoding_cases import EIGHT_BITS, PHOTO, noise, reference, saved, tiff, turned_exif


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def deep_png(values: np.ndarray) -> bytes:
    """A PNG of 16 bits a channel: grey, grey with alpha, RGB or RGBA by the last of [H, W, C]. Pillow writes only the first of them."""
    height, width, channels = values.shape
    head = struct.pack(">IIBBBBB", width, height, 16, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    lines = b"".join(b"\0" + line.astype(">u2").tobytes() for line in values)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")


def deep_tiff(values: np.ndarray, order: str) -> bytes:
    """An uncompressed TIFF of 16 bits a channel, grey or RGB, in the order of bytes "<" or ">"."""
    height, width, channels = values.shape
    pixels = values.astype(f"{order}u2").tobytes()
    long, short = f"{order}HHII", f"{order}HHIHH"
    bits = 8 + len(pixels)  # where the three numbers of bits are
    entries = [
        struct.pack(long, 256, 4, 1, width),
        struct.pack(long, 257, 4, 1, height),
        struct.pack(long, 258, 3, 3, bits) if channels == 3 else struct.pack(short, 258, 3, 1, 16, 0),
        struct.pack(short, 259, 3, 1, 1, 0),
        struct.pack(short, 262, 3, 1, 2 if channels == 3 else 1, 0),
        struct.pack(long, 273, 4, 1, 8),
        struct.pack(short, 277, 3, 1, channels, 0),
        struct.pack(long, 278, 4, 1, height),
        struct.pack(long, 279, 4, 1, len(pixels)),
    ]
    directory = struct.pack(f"{order}H", len(entries)) + b"".join(entries) + struct.pack(f"{order}I", 0)
    start = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, bits + 6)
    return start + pixels + struct.pack(f"{order}HHH", 16, 16, 16) + directory


# More than 8 bits


def ramp(highest: float, kind: str) -> np.ndarray:
    """[16, 256] from 0 to `highest`, left to right."""
    return np.tile(np.linspace(0, highest, 256), (16, 1)).astype(kind)


def pgm(values: np.ndarray, highest: int) -> bytes:
    return b"P5 %d %d %d\n" % (values.shape[1], values.shape[0], highest) + values.astype(">u2").tobytes()


DEEP = {
    "uint16 png": (saved(Image.fromarray(ramp(4095, "u2")), "PNG"), 4095),
    "uint16 tiff": (tiff(ramp(200, "u2")), 200),
    "big-endian tiff": (deep_tiff(ramp(4095, "u2")[..., None], ">"), 4095),
    "int32 tiff": (tiff(ramp(300, "i4")), 300),
    "int32 far beyond 16 bits": (tiff(ramp(2_000_000, "i4")), 2_000_000),
    "float of 0 to 1": (tiff(ramp(1, "f4")), 1),
    "float of 0 to 0.02": (tiff(ramp(0.02, "f4")), 0.02),
    "double": (tiff(ramp(1e6, "f8")), 1e6),
    "pgm of 12 bits": (pgm(ramp(4095, "u2"), 4095), 65535),  # Pillow scales it by what it says it may hold
    "pgm of 16 bits": (pgm(ramp(4095, "u2"), 65535), 4095),
    "colour png": (deep_png(np.stack([ramp(4095, "u2")] * 3, axis=-1)), 4095),
    "colour png with alpha": (deep_png(np.stack([ramp(4095, "u2")] * 3 + [np.full((16, 256), 65535)], axis=-1)), 4095),
    "grey png with alpha": (deep_png(np.stack([ramp(4095, "u2"), np.full((16, 256), 65535)], axis=-1)), 4095),
    "colour tiff": (deep_tiff(np.stack([ramp(4095, "u2")] * 3, axis=-1), "<"), 4095),
    "big-endian colour tiff": (deep_tiff(np.stack([ramp(4095, "u2")] * 3, axis=-1), ">"), 4095),
    "colour ppm": (b"P6 256 16 65535\n" + np.stack([ramp(4095, "u2")] * 3, axis=-1).astype(">u2").tobytes(), 4095),
}


@pytest.mark.parametrize("name", DEEP)
def test_the_range_of_a_dataset_is_spread_over_all_grey_levels(name: str, tmp_path: Path, home: Home) -> None:
    data, highest = DEEP[name]
    files = []
    for number in range(3):
        files.append(tmp_path / f"{number}{'.png' if 'png' in name else '.tif'}")
        files[-1].write_bytes(data)
    source = Source(tuple(files), np.zeros(3, dtype=np.int64))
    found = depth.find_depth(Raw(("a",), source), home.cache, lambda text, share: None)
    assert found is not None
    assert found.value_range == pytest.approx((0, highest), rel=1e-6)
    assert (found.pictures, found.of) == (3, 3)
    with Image.open(files[0]) as image:
        assert image.size == (256, 16)
    pixels = np.asarray(decoding.upright(files[0], 1, found.value_range))
    assert pixels.shape == (16, 256, 3)
    assert np.abs(pixels.astype(int) - np.arange(256)[None, :, None]).max() <= 1
    again = depth.find_depth(Raw(("a",), source), home.cache, lambda text, share: pytest.fail("looked for again"))
    assert again == found


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_all_sixteen_bits_of_a_colour_are_read(channels: int, tmp_path: Path) -> None:
    values = noise(9, 14, channels, highest=65536)
    (tmp_path / "x.png").write_bytes(deep_png(values))
    found = deep_values(tmp_path / "x.png")
    assert found is not None
    colours = values[..., :1] if channels <= 2 else values[..., :3]
    assert np.array_equal(found.reshape(9, 14, -1), colours)
    if channels == 3:
        for order in "<>":
            (tmp_path / "x.tif").write_bytes(deep_tiff(values, order))
            assert np.array_equal(deep_values(tmp_path / "x.tif"), values)  # type: ignore[arg-type]


def test_what_is_transparent_is_white_at_sixteen_bits_too(tmp_path: Path) -> None:
    values = np.full((8, 8, 4), 2000, np.uint16)
    values[..., 3] = 65535
    values[:, :4, 3] = 0
    (tmp_path / "x.png").write_bytes(deep_png(values))
    pixels = decode(tmp_path / "x.png", 8, value_range=(0, 4000))
    assert (pixels[:, :, :4] == 255).all()
    assert (np.abs(pixels[:, :, 4:].astype(int) - 128) <= 1).all()


def test_values_below_zero_and_what_is_no_number_have_their_place() -> None:
    values = np.array([[-500, 0, 500, np.nan, np.inf, -np.inf]], np.float32)
    assert to_8_bits(values, (-500, 500)).tolist() == [[0, 128, 255, 0, 255, 0]]
    assert to_8_bits(values, (3, 3)).tolist() == [[0] * 6]
    assert usual_range(np.full((2, 2), np.nan, np.float32)) == (0, 1)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (ramp(1, "f4"), (0, 1)), (ramp(90, "f4"), (0, 255)), (ramp(200, "u2"), (0, 255)), (ramp(900, "u2"), (0, 1023)), (ramp(4000, "u2"), (0, 4095)),
        (ramp(16000, "u2"), (0, 16383)), (ramp(60000, "u2"), (0, 65535)), (ramp(1, "u2"), (0, 255)), (ramp(70000, "i4"), (0, 70000)),
        (ramp(100, "i4") - 50, (-50, 50)),
    ],
)  # fmt: skip
def test_a_picture_alone_is_taken_to_be_out_of_a_usual_range(values: np.ndarray, expected: tuple[float, float]) -> None:
    assert usual_range(values) == expected


def test_a_few_values_far_from_all_others_do_not_decide_the_range() -> None:
    pictures = [noise(64, 64, seed=seed, highest=4096) for seed in range(20)]
    for picture in pictures:
        picture[0, 0] = 65535  # a defect pixel of the sensor
    assert depth.value_range([depth.extract(picture) for picture in pictures])[1] <= 4095
    heights = [np.linspace(0, 100, 4096, dtype=np.float32) for _ in range(5)]
    heights[0][7] = -9999  # "nothing was measured here"
    heights[1][8] = np.inf
    low, high = depth.value_range([depth.extract(picture) for picture in heights])
    assert (low, high) == pytest.approx((0, 100), abs=0.5)
    rare = [np.zeros(4096, np.uint16) for _ in range(5)]
    rare[2][9] = 1
    assert depth.value_range([depth.extract(picture) for picture in rare]) == (0, 1), "where there is nothing else, they do"
    assert depth.value_range([]) == (0, 0)
    assert len(depth.extract(np.full(9, np.nan))) == 0


def test_the_range_is_that_of_the_training_pictures(tmp_path: Path, home: Home) -> None:
    def source(name: str, highest: int, count: int) -> Source:
        (tmp_path / name).mkdir()
        for number in range(count):
            (tmp_path / name / f"{number}.tif").write_bytes(tiff(ramp(highest, "u2")))
        return Source(tuple(sorted((tmp_path / name).iterdir())), np.zeros(count, np.int64))

    raw = Raw(("a",), source("train", 1000, 2), source("test", 3000, 2))
    found = depth.find_depth(raw, home.cache, lambda text, share: None)
    assert found is not None
    assert found.value_range == (0, 1000)
    (tmp_path / "train" / "0.tif").write_bytes(b"II*\0 and nothing more")
    assert depth.find_depth(raw, home.cache, lambda text, share: None).pictures == 3  # type: ignore[union-attr]
    jpegs = Source((tmp_path / "x.jpg",), np.zeros(1, np.int64))
    (tmp_path / "x.jpg").write_bytes(EIGHT_BITS["jpeg"])
    assert depth.find_depth(Raw(("a",), jpegs), home.cache, lambda text, share: None) is None


def test_a_picture_is_flat_where_no_channel_has_contrast() -> None:
    mask = noise(20, 20, 3) % 3  # classes as numbers
    assert is_flat(Image.fromarray(mask))
    assert is_flat(Image.new("RGB", (20, 20), (200, 10, 60)))
    mask[4, 4, 1] = 40
    assert not is_flat(Image.fromarray(mask))
    wide = Image.new("RGB", (60, 20), (99, 99, 99))
    assert intake.is_flat(decoding.fitted(wide, 32, "pad"), wide, "pad"), "the black beside it is not its own"


# Files that Pillow does not take as they are


def with_notes(*notes: bytes) -> bytes:
    """A PNG with further chunks, before and behind its pixels."""
    whole = saved(PHOTO, "PNG")
    place = whole.index(b"IDAT") - 4
    return whole[:place] + notes[0] + whole[place:-12] + b"".join(notes[1:]) + whole[-12:]


LONG = zlib.compress(b"all is well. " * 200_000)


LARGE_NOTES = {
    "compressed text": with_notes(chunk(b"zTXt", b"Comment\0\0" + LONG)),
    "behind the pixels": with_notes(b"", chunk(b"zTXt", b"Comment\0\0" + LONG)),
    "international text": with_notes(chunk(b"iTXt", b"Comment\0\1\0en\0Note\0" + LONG), chunk(b"iTXt", b"Other\0\1\0\0\0" + LONG)),
    "colour profile": with_notes(chunk(b"iCCP", b"profile\0\0" + LONG)),
    "many small texts": with_notes(chunk(b"tEXt", b"a\0" + b"x" * 900_000) * 80),
}


@pytest.mark.parametrize("name", LARGE_NOTES)
def test_a_png_with_large_notes_is_a_picture_like_any_other(name: str, tmp_path: Path) -> None:
    file = tmp_path / "x.png"
    file.write_bytes(LARGE_NOTES[name])
    with pytest.raises(ValueError, match="text|Decompressed"), Image.open(file) as image:  # else there would be nothing to mend
        image.load()
    assert np.array_equal(intake.decode(file, 40), reference(saved(PHOTO, "PNG"), 40))


def test_small_notes_are_kept_beside_large_ones(tmp_path: Path) -> None:
    """How the camera was held stands in one of them."""
    exif = b"\nexif\n" + b"%8d\n" % len(turned_exif().tobytes()) + turned_exif().tobytes().hex().encode() + b"\n"
    notes = chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(exif)) + chunk(b"zTXt", b"Comment\0\0" + LONG)
    (tmp_path / "x.png").write_bytes(with_notes(notes))
    assert np.array_equal(decode(tmp_path / "x.png", 40), reference(saved(PHOTO, "PNG", exif=turned_exif()), 40))


def test_a_damaged_png_with_large_notes_stays_unreadable(tmp_path: Path) -> None:
    whole = LARGE_NOTES["compressed text"]
    (tmp_path / "x.png").write_bytes(whole[: len(whole) - 9000])
    with pytest.raises(UnreadableImage) as caught:
        intake.decode(tmp_path / "x.png", 40)
    assert caught.value.kind == "damaged"
    assert PngImagePlugin.MAX_TEXT_CHUNK < 200_000 * 13


def test_what_is_said_of_a_file_is_chosen_by_the_type_of_the_error(tmp_path: Path) -> None:
    """An error's words may hold anything."""
    for error, kind, words in (
        (ValueError("too large, truncated and broken"), "damaged", "too large, truncated"),
        (MemoryError("truncated"), "too large", "it does not fit into memory"),
        (PermissionError(13, "Permission denied", "broken.png"), "out of reach", "Permission denied"),
        (Image.DecompressionBombError("truncated"), "too large", "too large, far too many pixels"),
        (UnidentifiedImageError("too large"), "no image", "not an image"),
    ):
        with pytest.raises(UnreadableImage) as caught, intake.readable(io.BytesIO(b"text")):
            raise error
        assert (caught.value.kind, str(caught.value)[: len(words)]) == (kind, words)
    odd = deep_tiff(np.zeros((4, 4, 3), np.uint16), "<").replace(struct.pack("<HHH", 16, 16, 16), struct.pack("<HHH", 16, 16, 24))
    (tmp_path / "x.tif").write_bytes(odd)
    with pytest.raises(UnreadableImage, match="begins as a TIFF, but is damaged or of a kind that cannot be read"):
        intake.decode(tmp_path / "x.tif", 8)


# For scripts


def test_the_file_stands_by_itself(tmp_path: Path) -> None:
    """A script that holds its text gives the same pixels without Thaw."""
    (tmp_path / "x.png").write_bytes(DEEP["colour png"][0])
    text = inspect.getsource(decoding) + (
        "\n\nimport sys\npixels = decode(Path(sys.argv[1]), 24, 'pad', (0, 4095))\nsys.stdout.buffer.write(pixels.tobytes())\n"
        "assert not [name for name in sys.modules if name.split('.')[0] in ('core', 'torch')]\n"
    )
    (tmp_path / "script.py").write_text(text)
    done = subprocess.run([sys.executable, "-I", "script.py", "x.png"], cwd=tmp_path, capture_output=True, check=True)
    assert done.stdout == decode(tmp_path / "x.png", 24, "pad", (0, 4095)).tobytes()


def test_fit_is_a_field_with_a_remedy() -> None:
    assert RunConfig().fit == "crop"
    assert RunConfig.from_json('{"image_size": 32}').fit == "crop", "a config of before there was a choice"
    with pytest.raises(ValueError, match="'crop', 'squash' or 'pad'"):
        RunConfig(fit="stretch")
