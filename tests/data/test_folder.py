"""A person's own folder of images: taken as it should be, and refused or cleaned where it is broken or hostile."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from core.config import ConfigError, RunConfig
from core.data import Data, depth, digests, images, layouts, prepare, stock
from core.data.datasets import class_names, find_dataset
from core.data.intake import UnreadableImage, decode
from core.machine.home import Home

COLOURS = {"cat": (200, 30, 30), "dog": (30, 200, 30), "owl": (30, 30, 200)}


def paint(path: Path, colour: tuple[int, int, int], size: tuple[int, int] = (20, 16)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)
    return path


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Ten images of each of three classes, in colours that tell them apart."""
    for name, colour in COLOURS.items():
        for number in range(10):
            paint(tmp_path / "photos" / name / f"{number}.png", colour)
    return tmp_path / "photos"


def run_on(folder: Path | str, home: Home, **fields: object) -> Data:
    config = RunConfig(**{"dataset": f"folder:{folder}", "image_size": 16, "batch_size": 4, "validation_share": 0.25, **fields})
    return prepare(config, home, lambda text, share: None)


def refused(folder: Path | str, home: Home) -> str:
    """The message with which a folder is refused; it must name the folder."""
    with pytest.raises(ConfigError) as caught:
        run_on(folder, home)
    assert caught.value.field == "dataset"
    assert str(folder) in caught.value.message
    return caught.value.message


# What works


def test_a_folder_of_class_folders_is_split_and_labelled_by_its_names(photos: Path, home: Home) -> None:
    data = run_on(photos, home)
    assert data.classes == class_names(f"folder:{photos}", home.data) == ("cat", "dog", "owl")
    assert data.validation is not None
    assert [len(part.images) for part in (data.train, data.validation, data.test)] == [18, 6, 6]
    assert data.notes == (data.notes[0],), "nothing was left out"
    assert "photos/ is a class: 3 classes (cat, dog, owl; 30 images)" in data.notes[0]
    for part in (data.train, data.validation, data.test):
        for pictures, labels in part.batches(1):
            for picture, label in zip(pictures, labels, strict=True):
                assert tuple(picture[:, 8, 8].tolist()) == COLOURS[data.classes[label]]


@pytest.mark.parametrize("name", ["test", "Testing", "test_set", "evaluation"])
def test_train_and_test_folders_are_used_as_they_are(name: str, photos: Path, home: Home, tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    whole.mkdir()
    photos.rename(whole / "train")
    paint(whole / name / "dog" / "1.png", COLOURS["dog"])
    data = run_on(whole, home, validation_share=0.0)
    assert (len(data.train.images), len(data.test.images)) == (30, 1)
    assert next(data.test.batches(1)).labels.tolist() == [1]
    assert "Too few images to test on in cat, owl." in data.notes


def test_with_all_three_folders_the_validation_images_are_those_given(photos: Path, home: Home, tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    whole.mkdir()
    photos.rename(whole / "train")
    for part, count in (("val", 2), ("test", 3)):
        for name, colour in COLOURS.items():
            for number in range(count):
                paint(whole / part / name / f"{number}.png", colour)
    data = run_on(whole, home)
    assert data.validation is not None
    assert [len(part.images) for part in (data.train, data.validation, data.test)] == [30, 6, 9]
    assert any("validation_share is not used" in note for note in data.notes)
    assert run_on(whole, home, validation_share=0.0).validation is None


def test_images_may_lie_deeper_than_the_class_folder(photos: Path, home: Home) -> None:
    paint(photos / "cat" / "2024" / "may" / "x.png", COLOURS["cat"])
    assert len(run_on(photos, home, validation_share=0.0).train.images) == 25


def test_hidden_files_and_other_files_are_left_out(photos: Path, home: Home) -> None:
    paint(photos / "cat" / ".hidden.png", COLOURS["cat"])
    paint(photos / ".git" / "x.png", COLOURS["cat"])
    paint(photos / "__MACOSX" / "x.png", COLOURS["cat"])
    (photos / "cat" / "notes.txt").write_text("a cat")
    (photos / "readme.md").write_text("photos")
    data = run_on(photos, home, validation_share=0.0)
    assert (len(data.train.images), len(data.test.images)) == (24, 6)
    assert [note for note in data.notes if "Files without the name of an image" in note]


def test_a_second_run_decodes_nothing(photos: Path, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    first = run_on(photos, home)
    monkeypatch.setattr(images, "decode_and_look", lambda *arguments: pytest.fail("decoded again"))
    second = run_on(photos, home)
    assert torch.equal(next(first.train.batches(1)).images, next(second.train.batches(1)).images)


def test_a_changed_image_is_decoded_again(photos: Path, home: Home) -> None:
    run_on(photos, home)
    for number in range(10):
        paint(photos / "cat" / f"{number}.png", (1, 2, 3), size=(20, 17))
    pictures, labels = next(iter(run_on(photos, home, batch_size=18).train.batches(1)))
    assert pictures[labels == 0][:, :, 8, 8].unique(dim=0).tolist() == [[1, 2, 3]]


@pytest.mark.parametrize("key", [lambda files: str(digests._key(files[0])), lambda files: depth._key(files, 1)], ids=["digest", "depth"])
def test_a_picture_of_the_same_size_and_time_is_another_one(key: Callable[[list[Path]], str], tmp_path: Path) -> None:
    file = tmp_path / "0.png"
    file.write_bytes(b"one")
    os.utime(file, ns=(1_000, 1_000))
    before = key([file])
    assert key([file]) == before
    new = tmp_path / "new"
    new.write_bytes(b"two")
    os.utime(new, ns=(1_000, 1_000))  # as tools for copying keep it
    new.replace(file)
    assert key([file]) != before


def test_a_cache_that_cannot_be_written_is_an_error_with_a_remedy(photos: Path, home: Home) -> None:
    (home.cache / "decoded").write_text("a file where a folder should be")
    with pytest.raises(ConfigError, match="could not be written .*THAW_HOME"):
        run_on(photos, home)


def test_decoding_is_reported(photos: Path, home: Home) -> None:
    texts: list[str] = []
    prepare(RunConfig(dataset=f"folder:{photos}", image_size=16, batch_size=4), home, lambda text, share: texts.append(text))
    assert "decoding training images: 0 of 3" in texts, "ten pictures of a class are one and the same"


def test_a_path_may_begin_at_the_home_of_the_person(photos: Path, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(photos.parent))
    assert find_dataset("Folder: ~/photos").name == f"folder:{photos}"


# What is refused


def test_a_folder_that_is_not_there(tmp_path: Path, home: Home) -> None:
    assert "there is no folder" in refused(tmp_path / "nowhere", home)


def test_a_folder_that_is_a_file(photos: Path, home: Home) -> None:
    assert "is a file" in refused(photos / "cat" / "1.png", home)


@pytest.mark.parametrize(
    ("text", "said"), [("folder:", "folder:photos"), ("folder:  ", "folder:photos"), ("folder", "folder:photos"), ("folder:a\0b", "a zero byte")]
)
def test_a_folder_without_a_path(text: str, said: str, home: Home) -> None:
    with pytest.raises(ConfigError, match=said):
        prepare(RunConfig(dataset=text), home, lambda text, share: None)


def test_a_folder_that_may_not_be_read(photos: Path, home: Home) -> None:
    user = os.geteuid()
    photos.chmod(0)
    try:
        if user == 0:
            os.seteuid(65534)  # root may read everything: be nobody for a moment
        assert "cannot be read (Permission denied); allow this user" in refused(photos, home)
    finally:
        os.seteuid(user)
        photos.chmod(0o700)


def test_an_empty_folder(tmp_path: Path, home: Home) -> None:
    (tmp_path / "empty").mkdir()
    assert "has no folders in it" in refused(tmp_path / "empty", home)


def test_images_without_class_folders(tmp_path: Path, home: Home) -> None:
    paint(tmp_path / "loose" / "1.png", (1, 2, 3))
    assert "folder of its own" in refused(tmp_path / "loose", home)


def test_a_single_class(tmp_path: Path, home: Home) -> None:
    paint(tmp_path / "one" / "cat" / "1.png", (1, 2, 3))
    assert "single class, 'cat'" in refused(tmp_path / "one", home)


def test_a_class_without_images(photos: Path, home: Home) -> None:
    (photos / "wolf").mkdir()
    (photos / "wolf" / "list.txt").write_text("none yet")
    assert "no images in" in refused(photos, home)


def test_a_class_that_is_only_tested(photos: Path, home: Home, tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    whole.mkdir()
    photos.rename(whole / "train")
    paint(whole / "test" / "wolf" / "1.png", (1, 2, 3))
    assert "wolf is a class that the training images do not have" in refused(whole, home)


def test_too_many_files(photos: Path, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stock, "MAX_FILES", 20)
    assert "more than 20 files" in refused(photos, home)


def test_too_many_classes(photos: Path, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layouts, "MAX_CLASSES", 2)
    assert "at most 2 classes" in refused(photos, home)


def test_a_class_of_which_no_image_can_be_read(photos: Path, home: Home) -> None:
    for file in (photos / "owl").iterdir():
        file.write_text("not an image")
    with pytest.raises(ConfigError, match="no image of the class 'owl' can be read"):
        run_on(photos, home)


def test_a_folder_of_mostly_broken_images(photos: Path, home: Home) -> None:
    for name in ("cat", "owl"):
        for file in (photos / name).iterdir():
            file.write_bytes(b"\x89PNG and nothing more")
    assert "20 of 30 files are not images that can be read" in refused(photos, home)


def test_too_few_images_to_set_any_aside(tmp_path: Path, home: Home) -> None:
    for name, colour in COLOURS.items():
        paint(tmp_path / "few" / name / "1.png", colour)
    with pytest.raises(ConfigError, match="too few to set any aside"):
        run_on(tmp_path / "few", home)


# What is left out


def test_broken_images_among_good_ones_are_left_out_and_named(photos: Path, home: Home) -> None:
    (photos / "cat" / "1.jpg").write_text("this is text")
    (photos / "dog" / "empty.jpg").write_bytes(b"")
    whole = (photos / "owl" / "1.png").read_bytes()
    (photos / "owl" / "cut.png").write_bytes(whole[: len(whole) // 2])
    data = run_on(photos, home)
    assert len(data.train.images) + len(data.test.images) + 6 == 30
    [_, note] = data.notes
    assert note.startswith("3 of 33 files could not be read as images and were left out: ")
    for name in ("cat/1.jpg (not an image)", "dog/empty.jpg (empty file)", "owl/cut.png ("):
        assert name in note
    assert run_on(photos, home).notes == data.notes, "a second run, from the cache, says the same"
    for pictures, labels in run_on(photos, home).train.batches(1):
        for picture, label in zip(pictures, labels, strict=True):
            assert tuple(picture[:, 8, 8].tolist()) == COLOURS[data.classes[label]], "labels must not slip when an image is left out"


def test_links_that_lead_out_of_the_folder_are_left_out(photos: Path, home: Home, tmp_path: Path) -> None:
    secret = paint(tmp_path / "elsewhere" / "secret.png", (9, 9, 9))
    (photos / "cat" / "out.png").symlink_to(secret)
    (photos / "cat" / "all").symlink_to(secret.parent)
    (photos / "stolen").symlink_to(secret.parent)
    (photos / "cat" / "circle").symlink_to(photos)
    (photos / "cat" / "nowhere.png").symlink_to(tmp_path / "nowhere.png")
    (photos / "cat" / "self.png").symlink_to(photos / "cat" / "self.png")
    data = run_on(photos, home, validation_share=0.0)
    assert data.classes == ("cat", "dog", "owl")
    assert len(data.train.images) + len(data.test.images) == 30
    assert any("Links that lead out of the folder" in note for note in data.notes)


def test_a_link_within_the_folder_is_an_image_like_any_other(photos: Path, home: Home) -> None:
    (photos / "cat" / "again.png").symlink_to(photos / "cat" / "1.png")
    data = run_on(photos, home, validation_share=0.0)
    assert len(data.train.images) + len(data.test.images) == 31


def test_a_pipe_with_the_name_of_an_image_does_not_block(photos: Path, home: Home) -> None:
    os.mkfifo(photos / "cat" / "pipe.png")
    assert len(run_on(photos, home, validation_share=0.0).train.images) == 24


def test_a_class_name_of_strange_bytes_can_be_stored_and_shown(photos: Path, home: Home) -> None:
    (photos / "owl").rename(photos / os.fsdecode(b"\xff\x1b[31m"))
    names = run_on(photos, home).classes
    assert names[2].encode()
    assert names[2].isprintable()
    assert names == class_names(f"folder:{photos}", home.data)


# Decoding


def test_a_picture_is_turned_the_way_the_camera_was_held(tmp_path: Path) -> None:
    picture = Image.new("RGB", (64, 64), "black")
    picture.paste((255, 255, 255), (0, 0, 64, 32))  # white above
    exif = picture.getexif()
    exif[0x0112] = 6  # to be shown turned by a quarter: white on the right
    picture.save(tmp_path / "x.jpg", exif=exif, quality=95)
    pixels = decode(tmp_path / "x.jpg", 64)
    assert pixels[:, 32, 60].min() > 200
    assert pixels[:, 32, 4].max() < 50


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [
        ("RGB", (10, 100, 200), (10, 100, 200)),
        ("RGBA", (10, 100, 200, 255), (10, 100, 200)),
        ("RGBA", (10, 100, 200, 0), (255, 255, 255)),
        ("LA", (90, 0), (255, 255, 255)),
        ("L", 90, (90, 90, 90)),
        ("1", 1, (255, 255, 255)),
        ("I;16", 90 * 257, (90, 90, 90)),
    ],
)
def test_every_kind_of_pixel_becomes_the_colour_it_shows(mode: str, colour: object, expected: tuple[int, int, int], tmp_path: Path) -> None:
    Image.new(mode, (20, 16), colour).save(tmp_path / "x.png")  # type: ignore[arg-type]
    assert tuple(decode(tmp_path / "x.png", 8)[:, 4, 4].tolist()) == expected


def test_palettes_floats_and_print_colours_become_rgb(tmp_path: Path) -> None:
    Image.new("RGB", (20, 16), (10, 100, 200)).quantize(4).save(tmp_path / "palette.gif")
    assert np.abs(decode(tmp_path / "palette.gif", 8)[:, 4, 4].astype(int) - (10, 100, 200)).max() < 10
    Image.new("CMYK", (20, 16), (255, 0, 0, 0)).save(tmp_path / "print.jpg")
    assert decode(tmp_path / "print.jpg", 8)[0, 4, 4] < 30
    Image.fromarray(np.full((16, 20), 90, dtype=np.float32)).save(tmp_path / "float.tif")
    assert decode(tmp_path / "float.tif", 8)[:, 4, 4].tolist() == [90, 90, 90]


def test_the_middle_of_a_wide_picture_is_cut_out(tmp_path: Path) -> None:
    picture = Image.new("RGB", (90, 30), "red")
    picture.paste((0, 0, 255), (30, 0, 60, 30))
    picture.save(tmp_path / "x.png")
    pixels = decode(tmp_path / "x.png", 30)
    assert pixels.shape == (3, 30, 30)
    assert (pixels[2] > 250).all()


def test_a_large_photo_gives_what_decoding_it_whole_gives(tmp_path: Path) -> None:
    ramp = np.add.outer(np.arange(900) / 4, np.arange(1200) / 40).clip(0, 255).astype(np.uint8)
    Image.fromarray(np.stack([ramp] * 3, axis=-1)).save(tmp_path / "x.jpg", quality=95)
    Image.open(tmp_path / "x.jpg").save(tmp_path / "x.png")
    difference = decode(tmp_path / "x.jpg", 32).astype(int) - decode(tmp_path / "x.png", 32)
    assert np.abs(difference).max() <= 3


def png_of_size(width: int, height: int) -> bytes:
    """A PNG that says it is this large; its data are far smaller."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">2I5B", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(100_000))) + chunk(b"IEND", b"")


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("side", [12_000, 60_000])
def test_a_decompression_bomb_is_not_decoded(side: int, tmp_path: Path) -> None:
    (tmp_path / "bomb.png").write_bytes(png_of_size(side, side))
    with pytest.raises(UnreadableImage, match="too"):
        decode(tmp_path / "bomb.png", 32)


@pytest.mark.parametrize("content", [b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n", b"<svg/>", b"GIF89a", b"\xff\xd8\xff\xe0", bytes(500)])
def test_what_is_no_image_is_not_tried(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.jpg").write_bytes(content)
    with pytest.raises(UnreadableImage):
        decode(tmp_path / "x.jpg", 32)


@pytest.mark.filterwarnings("ignore")
def test_damaged_files_never_raise_anything_else(tmp_path: Path) -> None:
    """A hundred ways to damage an image: each is decoded or called unreadable."""
    generator = np.random.default_rng(0)
    for suffix in ("jpg", "png", "gif", "bmp", "tif", "webp", "ppm"):
        path = tmp_path / f"whole.{suffix}"
        Image.fromarray(generator.integers(0, 256, (24, 24, 3), dtype=np.uint8)).save(path)
        whole = path.read_bytes()
        for _ in range(100):
            damaged = bytearray(whole[: int(generator.integers(1, len(whole) + 1))])
            for place in generator.integers(0, len(damaged), 4):
                damaged[place] = int(generator.integers(0, 256))
            (tmp_path / f"damaged.{suffix}").write_bytes(damaged)
            try:
                assert decode(tmp_path / f"damaged.{suffix}", 16).shape == (3, 16, 16)
            except UnreadableImage as error:
                assert str(error)
