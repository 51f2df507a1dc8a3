"""Every dataset of the catalogue is really read: from small copies in its own file format, and from a server on this machine."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torchvision
from PIL import Image

from core.config import ConfigError, RunConfig
from core.data import datasets, prepare
from core.data.datasets import DATASETS, class_names, find_dataset
from core.machine.home import Home
from tests.data.datasets_cases import (  # noqa: F401
    EACH,
    Progress,
    check_labels,
    grey_level,
    home,
    labels_of,
    pictures,
    run_on,
    small,
    unchecked,
    write_cifar10,
    write_idx,
)


def save(path: Path, label: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (48, 36), (grey_level(label),) * 3).save(path, quality=95)


def write_cifar100(root: Path, classes: int) -> None:
    folder = root / "cifar-100-python"
    folder.mkdir(parents=True)
    for part, each in (("train", EACH), ("test", EACH // 2)):
        labels = labels_of(classes, each)
        (folder / part).write_bytes(pickle.dumps({"data": pictures(labels, 3072), "fine_labels": labels.tolist()}))
    (folder / "meta").write_bytes(pickle.dumps({"fine_label_names": list(DATASETS["CIFAR100"].classes or ())}))


def write_svhn(root: Path, classes: int) -> None:
    for part, each in (("train", EACH), ("test", EACH // 2)):
        labels = labels_of(classes, each)
        stored = np.where(labels == 0, 10, labels)  # SVHN calls the digit 0 "10"
        scipy.io.savemat(root / f"{part}_32x32.mat", {"X": pictures(labels, 32, 32, 3).transpose(1, 2, 3, 0), "y": stored[:, None]})


def write_stl10(root: Path, classes: int) -> None:
    folder = root / "stl10_binary"
    folder.mkdir(parents=True)
    for part, each in (("train", EACH), ("test", EACH // 2)):
        labels = labels_of(classes, each)
        pictures(labels, 3, 96, 96).tofile(folder / f"{part}_X.bin")
        (labels + 1).astype(np.uint8).tofile(folder / f"{part}_y.bin")


def write_eurosat(root: Path, classes: int) -> None:
    folders = ["AnnualCrop", "Forest", "HerbaceousVegetation", "Highway", "Industrial", "Pasture", "PermanentCrop", "Residential", "River", "SeaLake"]
    for label, name in enumerate(folders):
        for number in range(EACH + EACH // 2):
            save(root / "eurosat" / "2750" / name / f"{name}_{number}.jpg", label)


def write_flowers(root: Path, classes: int) -> None:
    folder = root / "flowers-102"
    labels = labels_of(classes, EACH + EACH // 2)
    for number, label in enumerate(labels, start=1):
        save(folder / "jpg" / f"image_{number:05d}.jpg", int(label))
    numbers = np.arange(1, len(labels) + 1)
    trained, validated = numbers[: classes * EACH // 2], numbers[classes * EACH // 2 : classes * EACH]
    scipy.io.savemat(folder / "imagelabels.mat", {"labels": (labels + 1)[None]})
    scipy.io.savemat(folder / "setid.mat", {"trnid": trained[None], "valid": validated[None], "tstid": numbers[classes * EACH :][None]})


def write_pets(root: Path, classes: int) -> None:
    folder = root / "oxford-iiit-pet"
    (folder / "annotations").mkdir(parents=True)
    for part, each in (("trainval", EACH), ("test", EACH // 2)):
        lines = []
        for number, label in enumerate(labels_of(classes, each)):
            name = f"{(DATASETS['OxfordIIITPet'].classes or ())[label].replace(' ', '_')}_{part}{number}"
            save(folder / "images" / f"{name}.jpg", int(label))
            lines.append(f"{name} {label + 1} 1 1\n")
        (folder / "annotations" / f"{part}.txt").write_text("".join(lines))


WRITERS: dict[str, Callable[[Path, int], None]] = {
    "MNIST": lambda root, classes: write_idx(root, "MNIST", classes),
    "FashionMNIST": lambda root, classes: write_idx(root, "FashionMNIST", classes),
    "KMNIST": lambda root, classes: write_idx(root, "KMNIST", classes),
    "CIFAR10": write_cifar10,
    "CIFAR100": write_cifar100,
    "SVHN": write_svhn,
    "STL10": write_stl10,
    "EuroSAT": write_eurosat,
    "Flowers102": write_flowers,
    "OxfordIIITPet": write_pets,
}


# Reading


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("name", WRITERS)
def test_every_downloaded_dataset_is_read_in_its_own_format(name: str, home: Home, small: Callable[[str], int]) -> None:
    classes = small(name)
    WRITERS[name](home.data, classes)
    data = run_on(name, home)
    assert len(data.classes) == classes
    assert [note for note in data.notes if "middle square" not in note] == []
    assert data.validation is not None
    assert check_labels(data.train) == check_labels(data.validation) == check_labels(data.test) == set(range(classes))


def test_every_entry_has_a_test_that_reads_it() -> None:
    assert set(WRITERS) | {"digits", "digits_0_4", "digits_5_9", "shapes", "folder"} == set(DATASETS)


@pytest.mark.parametrize("entry", DATASETS.values(), ids=list(DATASETS))
def test_every_entry_says_what_it_holds(entry: datasets.DatasetEntry) -> None:
    assert entry.label
    assert entry.about.endswith(".")
    assert entry.licence
    if entry.classes is not None:
        assert len(set(entry.classes)) == len(entry.classes) >= 2
        assert entry.train_images > entry.test_images or entry.name in ("STL10", "Flowers102")
    if entry.megabytes:
        assert entry.files
        assert entry.source.startswith("http")


@pytest.mark.parametrize("name", ["digits", "digits_0_4", "digits_5_9", "shapes"])
def test_the_embedded_datasets_hold_what_the_catalogue_says(name: str, home: Home) -> None:
    data = prepare(RunConfig(dataset=name, validation_share=0.0, image_size=8), home, Progress())
    entry = DATASETS[name]
    assert (len(data.train.images), len(data.test.images), data.classes) == (entry.train_images, entry.test_images, entry.classes)
    assert class_names(name, home.data) == entry.classes


def test_the_halves_of_the_digits_are_its_pictures_each_with_its_own_digit(home: Home) -> None:
    whole, first, other = (DATASETS[name].read(home.data, Progress()) for name in ("digits", "digits_0_4", "digits_5_9"))
    assert len(first.train) + len(other.train) == len(whole.train)
    for half in (first, other):
        named = [int(half.classes[label]) for label in half.train.labels]
        places = [place for place, label in enumerate(whole.train.labels.tolist()) if str(label) in half.classes]
        assert named == whole.train.labels[places].tolist()
        assert isinstance(half.train.images, np.ndarray)
        assert isinstance(whole.train.images, np.ndarray)
        assert np.array_equal(half.train.images, whole.train.images[places])


def test_what_is_said_of_counts_follows_from_the_numbers() -> None:
    def each(name: str) -> float:
        entry = DATASETS[name]
        assert entry.classes
        return entry.train_images / len(entry.classes)

    assert (each("CIFAR100"), each("STL10"), each("Flowers102")) == (500, 500, 20)
    assert each("OxfordIIITPet") == pytest.approx(100, rel=0.02)
    flowers, land = DATASETS["Flowers102"], DATASETS["EuroSAT"]
    assert flowers.test_images / flowers.train_images == pytest.approx(3, rel=0.02)
    assert land.classes is not None
    assert {"forest", "river", "highway"} < set(land.classes)
    assert len(land.classes) == 3 + 7
    for entry in DATASETS.values():
        assert entry.licence in entry.terms
        assert entry.source in entry.terms


def test_class_names_are_those_of_torchvision() -> None:
    theirs = torchvision.datasets
    assert DATASETS["FashionMNIST"].classes == tuple(theirs.FashionMNIST.classes)
    assert DATASETS["KMNIST"].classes == tuple(theirs.KMNIST.classes)
    assert DATASETS["Flowers102"].classes == tuple(theirs.Flowers102.classes)
    assert list(DATASETS["MNIST"].classes or ()) == [name[0] for name in theirs.MNIST.classes]


@pytest.mark.usefixtures("unchecked")
def test_pets_have_the_class_names_that_torchvision_reads(home: Home) -> None:
    write_pets(home.data, 37)
    assert tuple(torchvision.datasets.OxfordIIITPet(home.data).classes) == DATASETS["OxfordIIITPet"].classes


def test_a_name_may_be_spelled_freely_and_an_unknown_one_is_refused() -> None:
    assert find_dataset("fashion-mnist").name == "FashionMNIST"
    assert find_dataset("Oxford IIIT pet").name == "OxfordIIITPet"
    with pytest.raises(ConfigError, match="did you mean CIFAR10") as caught:
        find_dataset("cifar11")
    assert caught.value.field == "dataset"
