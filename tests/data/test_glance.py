"""A first look at a dataset: which pictures, what a model sees of them, and what is odd in the numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from core.data import on_disk
from core.data.datasets import DATASETS
from core.data.decoding import Fit
from core.data.glance import LARGEST, MOST, Found, damage, look_at, oddities, sights_of, some_files, some_places
from core.data.intake import decode
from core.data.layouts import read_layout
from core.data.loader import resize
from core.data.sources import Source
from core.data.splits import TEST_SEED, TEST_SHARE, stratified_split
from core.data.stock import divided
from core.machine.home import Home


def paint(root: Path, folders: dict[str, int]) -> Path:
    for folder, count in folders.items():
        (root / folder).mkdir(parents=True)
        for number in range(count):
            Image.new("RGB", (24, 16), (9 * number % 255, 80, 90)).save(root / folder / f"{number:03}.png")
    return root


def chosen(root: Path) -> list[str]:
    return [f"{found.file.parent.name}/{found.file.name}" for found in some_files(read_layout(str(root)))]


def test_one_picture_of_each_class_comes_first_then_others_in_turn(tmp_path: Path) -> None:
    few = paint(tmp_path / "few", {"a": 9, "b": 9, "c": 1})
    assert chosen(few) == ["a/000.png", "a/001.png", "a/002.png", "a/003.png", "b/000.png", "b/001.png", "b/002.png", "c/000.png"]
    many = chosen(paint(tmp_path / "many", {f"{number:02}": 2 for number in range(30)}))
    assert len(many) == len({name[:2] for name in many}) == MOST
    assert (many[0], many[-1]) == ("00/000.png", "29/000.png"), "from the first class to the last"


def test_of_a_split_the_training_pictures_are_looked_at(tmp_path: Path) -> None:
    root = paint(tmp_path / "photos", {"train/a": 2, "train/b": 2, "val/a": 2, "val/b": 2})
    assert {found.file.parent.parent.name for found in some_files(read_layout(str(root)))} == {"train"}


def test_links_out_of_the_folder_pipes_and_other_files_are_not_opened(tmp_path: Path) -> None:
    root = paint(tmp_path / "photos", {"a": 1, "b": 1})
    (tmp_path / "outside.png").write_bytes((root / "a" / "000.png").read_bytes())
    (root / "a" / "link.png").symlink_to(tmp_path / "outside.png")
    (root / "a" / "notes.txt").write_text("no picture")
    (root / "b" / "inside.png").symlink_to(root / "a" / "000.png")
    assert chosen(root) == ["a/000.png", "b/000.png", "b/inside.png"]


@pytest.mark.parametrize("fit", ["crop", "squash", "pad"])
def test_a_picture_is_shown_as_training_decodes_it_turned_as_it_was_taken(tmp_path: Path, fit: Fit) -> None:
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.linear_gradient("L").resize((60, 30)).convert("RGB").save(tmp_path / "x.jpg", exif=turned)
    sight = look_at(Found(0, tmp_path / "x.jpg", 0, 0), 24, fit)
    assert sight.pixels is not None
    assert np.array_equal(sight.pixels, decode(tmp_path / "x.jpg", 24, fit))


def test_what_cannot_be_read_is_named_and_what_is_huge_is_not_opened(tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no picture")
    (tmp_path / "empty.png").touch()
    side = int(LARGEST**0.5) + 1
    Image.new("1", (side, side)).save(tmp_path / "huge.png")
    sights = [look_at(Found(0, tmp_path / name, 0, 0), 24, "crop") for name in ("broken.jpg", "empty.png", "huge.png", "gone.png")]
    assert [sight.pixels for sight in sights] == [None] * 4
    assert [sight.damaged for sight in sights] == [True, True, False, False]
    assert "more than 25 million pixels" in sights[2].problem
    assert damage(sights).startswith("2 of the 4 pictures that were looked at cannot be read and will be left out: broken.jpg (")
    assert damage(sights[2:]) == ""


@pytest.mark.parametrize("fit", ["crop", "squash", "pad"])
@pytest.mark.parametrize(("size", "image_size"), [((8, 8), 32), ((28, 28), 64), ((64, 64), 24), ((20, 30), 48)])
def test_arrays_are_scaled_as_training_scales_them(size: tuple[int, int], image_size: int, fit: Fit) -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 1, *size), dtype=np.uint8)
    (first, second) = sights_of(Source(images, np.array([0, 1])), 2, image_size, fit)
    wanted = resize(torch.from_numpy(images), image_size, fit).expand(-1, 3, -1, -1).numpy().astype(int)
    for sight, right in zip((first, second), wanted, strict=True):
        assert sight.pixels is not None
        assert sight.pixels.shape == (3, image_size, image_size)
        assert np.abs(sight.pixels - right).max() <= 2


def test_places_are_one_of_each_class_first() -> None:
    labels = np.repeat(np.arange(10), 5)
    assert len({int(labels[place]) for place in some_places(labels, 10)}) == MOST
    assert some_places(np.array([0, 0, 1]), 2) == (0, 1, 2)


@pytest.mark.parametrize("counts", [(40, 9, 1), (0, 3, 2, 0, 7), (1, 1), (5,)])
@pytest.mark.parametrize("share", [0.05, 0.2, 0.9])
def test_the_division_class_by_class_is_that_of_a_run(counts: tuple[int, ...], share: float) -> None:
    classes = len(counts)
    labels = np.repeat(np.arange(classes), counts)
    kept, test = stratified_split(labels, TEST_SHARE, TEST_SEED)
    train, validation = stratified_split(labels[kept], share, 7)
    found = divided({"train": counts}, share)
    assert found["test"] == tuple(np.bincount(labels[test], minlength=classes))
    assert found["train"] == tuple(np.bincount(labels[kept][train], minlength=classes))
    assert found["validation"] == tuple(np.bincount(labels[kept][validation], minlength=classes))


def test_sets_that_a_dataset_brings_are_not_cut() -> None:
    counts = (40, 9, 1)
    own = divided({"train": counts, "validation": (5, 0, 0), "test": (1, 1, 1)}, 0.2)
    assert own == {"train": counts, "validation": (5, 0, 0), "test": (1, 1, 1)}
    assert divided({"train": counts, "validation": (5, 0, 0)}, 0)["validation"] == (0, 0, 0)


@pytest.mark.parametrize(
    ("learn", "validate", "test", "batch", "said"),
    [
        ((30, 20), (5, 5), (5, 5), 32, []),
        ((20, 11), (5, 5), (5, 5), 32, ["31 pictures to learn from, fewer than one batch of 32."]),
        ((30, 1), (5, 0), (5, 0), None, ["A single picture of b: it can be learned from, not measured.", "Very uneven: 30 pictures of a"]),
        ((30, 20), (5, 0), (5, 5), None, ["No picture of b to validate on: the validation accuracy says nothing of it."]),
        ((30, 20), (0, 0), (5, 0), None, ["No picture of b to test on: the test accuracy says nothing of it."]),
        ((40, 2), (5, 5), (5, 5), None, []),
        ((41, 2), (5, 5), (5, 5), None, ["Very uneven: 41 pictures of a to learn from, 2 of b."]),
    ],
)
def test_what_is_odd_in_the_numbers_is_said(
    learn: tuple[int, ...], validate: tuple[int, ...], test: tuple[int, ...], batch: int, said: list[str]
) -> None:
    found = oddities(("a", "b"), {"train": learn, "validation": validate, "test": test}, batch)
    assert len(found) == len(said)
    assert all(text.startswith(start) for text, start in zip(found, said, strict=True))


@pytest.mark.parametrize("name", ["digits", "shapes"])
def test_what_ships_with_thaw_has_the_numbers_of_its_entry(name: str, tmp_path: Path) -> None:
    entry = DATASETS[name]
    parts = entry.at_hand(tmp_path)
    assert parts is not None
    assert not entry.own_test
    counts = divided({"train": tuple(np.bincount(parts[0].labels).tolist())}, 0)
    assert (sum(counts["train"]), sum(counts["test"])) == (entry.train_images, entry.test_images)


def test_which_test_sets_are_set_aside_is_known_of_each_entry() -> None:
    assert {entry.name for entry in DATASETS.values() if entry.classes and not entry.own_test} == {
        "digits", "digits_0_4", "digits_5_9", "shapes", "EuroSAT",
    }  # fmt: skip


@pytest.mark.shared
@pytest.mark.parametrize("name", ["MNIST", "FashionMNIST"])
def test_downloaded_arrays_are_those_that_torchvision_reads(name: str, shared: Path) -> None:
    entry, folder = DATASETS[name], shared / "data" / "torchvision"
    found, right = entry.at_hand(folder), entry.read(folder, lambda text, share: None)
    assert found is not None
    assert right.test is not None
    for ours, theirs in zip(found, (right.train, right.test), strict=True):
        assert np.array_equal(ours.labels, theirs.labels)
        assert isinstance(theirs.images, np.ndarray)
        assert isinstance(ours.images, np.ndarray)
        assert np.array_equal(ours.images[:50], theirs.images[:50])


@pytest.mark.parametrize("name", [entry.name for entry in DATASETS.values() if entry.megabytes])
def test_what_was_not_downloaded_is_not_at_hand(name: str, home: Home) -> None:
    assert DATASETS[name].at_hand(home.data) is None
    assert not on_disk.is_here(name, home.data)


def test_a_download_that_is_not_whole_is_not_at_hand(tmp_path: Path) -> None:
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for part in ("train", "t10k"):
        (raw / f"{part}-images-idx3-ubyte").write_bytes(bytes(16 + 784))
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(bytes(8 + 2))
    assert DATASETS["MNIST"].at_hand(tmp_path) is None, "two labels, one picture"


def test_files_of_pets_and_eurosat_are_listed_as_they_lie(tmp_path: Path) -> None:
    paint(tmp_path / "eurosat" / "2750", {"AnnualCrop": 1, "Forest": 2})
    (part,) = DATASETS["EuroSAT"].at_hand(tmp_path) or ()
    assert part.labels.tolist() == [0, 1, 1]
    annotations = tmp_path / "oxford-iiit-pet" / "annotations"
    annotations.mkdir(parents=True)
    for name in ("trainval", "test"):
        (annotations / f"{name}.txt").write_text("Abyssinian_100 1 1 1\nyorkshire_7 37 2 12\n")
    train, _ = DATASETS["OxfordIIITPet"].at_hand(tmp_path) or ()
    assert train.labels.tolist() == [0, 36]
    assert isinstance(train.images, tuple)
    assert train.images[0].name == "Abyssinian_100.jpg"
