"""Every dataset of the catalogue is really read: from small copies in its own file format, and from a server on this machine."""

from __future__ import annotations

import gzip
import http.server
import io
import os
import pickle
import shutil
import struct
import tarfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch
import torchvision
from PIL import Image

from core.config import ConfigError, RunConfig
from core.data import Data, Loader, datasets, downloads, prepare
from core.data.datasets import DATASETS, class_names, find_dataset
from core.machine.home import Home
from tests.support import free_port

EACH = 4
"""Images of each class in the training set of a small copy, and half as many in its test set."""


def grey_level(label: int) -> int:
    """What every image of a class is filled with, so that an image tells its label."""
    return 20 + 2 * label


def labels_of(classes: int, each: int) -> np.ndarray:
    return np.tile(np.arange(classes), each)


def pictures(labels: np.ndarray, *shape: int) -> np.ndarray:
    """uint8 [N, *shape], every image filled with the grey level of its label."""
    levels = np.asarray([grey_level(int(label)) for label in labels], dtype=np.uint8)
    return np.broadcast_to(levels.reshape(-1, *(1 for _ in shape)), (len(labels), *shape)).copy()


def save(path: Path, label: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (48, 36), (grey_level(label),) * 3).save(path, quality=95)


def write_idx(root: Path, name: str, classes: int) -> None:
    raw = root / name / "raw"
    raw.mkdir(parents=True)
    for part, each in (("train", EACH), ("t10k", EACH // 2)):
        labels = labels_of(classes, each)
        (raw / f"{part}-images-idx3-ubyte").write_bytes(struct.pack(">4i", 0x803, len(labels), 28, 28) + pictures(labels, 28, 28).tobytes())
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(struct.pack(">2i", 0x801, len(labels)) + labels.astype(np.uint8).tobytes())


def write_cifar10(root: Path, classes: int) -> None:
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    labels = labels_of(classes, EACH)
    for number, part in enumerate(np.array_split(labels, 5), start=1):
        (folder / f"data_batch_{number}").write_bytes(pickle.dumps({"data": pictures(part, 3072), "labels": part.tolist()}))
    tested = labels_of(classes, EACH // 2)
    (folder / "test_batch").write_bytes(pickle.dumps({"data": pictures(tested, 3072), "labels": tested.tolist()}))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": list(DATASETS["CIFAR10"].classes or ())}))


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


@dataclass
class Progress:
    """A progress callback that remembers."""

    texts: list[str] = field(default_factory=list)
    shares: list[float | None] = field(default_factory=list)

    def __call__(self, text: str, share: float | None) -> None:
        self.texts.append(text)
        self.shares.append(share)


@pytest.fixture
def home(home: Home, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A home whose datasets are not those of the machine."""
    monkeypatch.delenv("THAW_DATA", raising=False)
    home.data.mkdir()
    return home


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small copies cannot have the checksums of the real files: torchvision only looks whether a file is there."""
    for module in ("cifar", "svhn", "flowers102"):
        monkeypatch.setattr(f"torchvision.datasets.{module}.check_integrity", lambda path, md5=None: os.path.isfile(path))  # noqa: PTH113
    monkeypatch.setattr("torchvision.datasets.stl10.check_integrity", lambda path, md5=None: "unlabeled" in str(path) or Path(path).is_file())


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], int]:
    """Make the catalogue expect the small copy of a dataset; gives its number of classes."""

    def shrink(name: str) -> int:
        entry = DATASETS[name]
        classes = len(entry.classes or ())
        monkeypatch.setitem(DATASETS, name, replace(entry, train_images=classes * EACH, test_images=classes * EACH // 2))
        return classes

    return shrink


def run_on(name: str, home: Home, progress: Progress | None = None) -> Data:
    return prepare(RunConfig(dataset=name, image_size=32, batch_size=16, validation_share=0.25), home, progress or Progress())


def check_labels(loader: Loader) -> set[int]:
    """Every image must show the grey level of its label. Gives the labels seen."""
    seen = set()
    for images, labels in loader.batches(1):
        assert images.dtype == torch.uint8
        assert images.shape[1:] == (3, 32, 32)
        levels = images.float().mean(dim=(1, 2, 3))
        expected = torch.tensor([grey_level(int(label)) for label in labels])
        assert (levels - expected).abs().max() < 1, "images and labels do not belong together"
        seen |= set(labels.tolist())
    return seen


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
    assert set(WRITERS) | {"digits", "shapes", "folder"} == set(DATASETS)


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


@pytest.mark.parametrize("name", ["digits", "shapes"])
def test_the_embedded_datasets_hold_what_the_catalogue_says(name: str, home: Home) -> None:
    data = prepare(RunConfig(dataset=name, validation_share=0.0, image_size=8), home, Progress())
    entry = DATASETS[name]
    assert (len(data.train.images), len(data.test.images), data.classes) == (entry.train_images, entry.test_images, entry.classes)
    assert class_names(name, home.data) == entry.classes


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


# Downloading


def archive(root: Path) -> bytes:
    """What is in a folder as a .tar.gz."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for entry in sorted(root.iterdir()):
            tar.add(entry, arcname=entry.name)
    return packed.getvalue()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder and the address under which a web server on this machine hands its files out."""
    folder = tmp_path / "served"
    folder.mkdir()
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    handler.log_message = lambda *arguments: None  # type: ignore[attr-defined]
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()
        thread.join()


def serve_mnist(folder: Path, address: str, small: Callable[[str], int], monkeypatch: pytest.MonkeyPatch, spoil: str = "") -> None:
    """Make torchvision download a small MNIST from `address`. The file with `spoil` in its name comes without its end."""
    write_idx(folder, "whole", small("MNIST"))
    resources = []
    for file in (folder / "whole" / "raw").iterdir():
        packed = folder / f"{file.name}.gz"
        packed.write_bytes(gzip.compress(file.read_bytes()))
        resources.append((packed.name, torchvision.datasets.utils.calculate_md5(packed)))
        if spoil and spoil in file.name:
            packed.write_bytes(packed.read_bytes()[:-20])
    monkeypatch.setattr(torchvision.datasets.MNIST, "mirrors", [address])
    monkeypatch.setattr(torchvision.datasets.MNIST, "resources", resources)


def test_a_download_is_reported_and_leaves_nothing_but_the_dataset(
    home: Home, served: tuple[Path, str], small: Callable[[str], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    serve_mnist(*served, small, monkeypatch)
    monkeypatch.setitem(DATASETS, "MNIST", replace(DATASETS["MNIST"], megabytes=0.001))  # type: ignore[arg-type]
    progress = Progress()
    bar = torchvision.datasets.utils.tqdm
    check_labels(run_on("MNIST", home, progress).train)
    assert any("downloading MNIST: " in text for text in progress.texts)
    assert all(share is None or 0 <= share <= 1 for share in progress.shares)
    assert torchvision.datasets.utils.tqdm is bar
    assert sorted(str(path.relative_to(home.data)) for path in home.data.rglob("*") if path.is_file()) == [
        f"MNIST/raw/{part}-ubyte" for part in ("t10k-images-idx3", "t10k-labels-idx1", "train-images-idx3", "train-labels-idx1")
    ]
    assert not (home.data / ".downloading").exists()


@pytest.mark.usefixtures("unchecked")
def test_an_archive_is_downloaded_and_unpacked(
    home: Home, served: tuple[Path, str], small: Callable[[str], int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_cifar10(tmp_path / "cifar", small("CIFAR10"))
    (served[0] / "cifar-10-python.tar.gz").write_bytes(archive(tmp_path / "cifar"))
    monkeypatch.setattr(torchvision.datasets.CIFAR10, "url", served[1] + "cifar-10-python.tar.gz")
    monkeypatch.setattr(torchvision.datasets.CIFAR10, "tgz_md5", None)
    check_labels(run_on("CIFAR10", home).train)
    assert [path.name for path in home.data.iterdir()] == ["cifar-10-batches-py"]


def test_a_download_that_came_damaged_is_refused_and_leaves_nothing(
    home: Home, served: tuple[Path, str], small: Callable[[str], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    serve_mnist(*served, small, monkeypatch, spoil="train-labels")
    with pytest.raises(ConfigError, match="could not be downloaded") as caught:
        run_on("MNIST", home)
    assert caught.value.field == "dataset"
    assert list(home.data.iterdir()) == []


def test_a_damaged_copy_is_not_taken_for_the_dataset_and_is_downloaded_again(
    home: Home, served: tuple[Path, str], small: Callable[[str], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    serve_mnist(*served, small, monkeypatch)
    write_idx(home.data, "MNIST", 10)
    images = home.data / "MNIST" / "raw" / "train-images-idx3-ubyte"
    images.write_bytes(images.read_bytes()[:1000])
    check_labels(run_on("MNIST", home).train)
    assert len(images.read_bytes()) > 1000


@pytest.mark.parametrize("name", ["MNIST", "CIFAR10", "SVHN", "EuroSAT"])
def test_without_a_network_the_remedy_is_named(name: str, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}/"
    monkeypatch.setattr(torchvision.datasets.MNIST, "mirrors", [nowhere])
    monkeypatch.setattr(torchvision.datasets.CIFAR10, "url", nowhere)
    parts = {part: [nowhere, f"{part}_32x32.mat", "0"] for part in ("train", "test")}
    monkeypatch.setattr(torchvision.datasets.SVHN, "split_list", parts)
    eurosat = torchvision.datasets.eurosat
    unpack = eurosat.download_and_extract_archive
    monkeypatch.setattr(eurosat, "download_and_extract_archive", lambda url, **options: unpack(nowhere + "EuroSAT.zip", **options))
    with pytest.raises(ConfigError) as caught:
        run_on(name, home)
    assert caught.value.field == "dataset"
    for part in (DATASETS[name].label, str(home.data), DATASETS[name].files[0], "Connect", "digits or shapes", "refused"):
        assert part in caught.value.message
    assert list(home.data.iterdir()) == []


def test_files_that_a_person_put_in_place_need_no_network(home: Home, small: Callable[[str], int], monkeypatch: pytest.MonkeyPatch) -> None:
    serve_mnist(home.data, f"http://127.0.0.1:{free_port()}/", small, monkeypatch)
    shutil.rmtree(home.data / "whole")
    (home.data / "MNIST" / "raw").mkdir(parents=True)
    for packed in home.data.glob("*.gz"):
        packed.rename(home.data / "MNIST" / "raw" / packed.name)
    check_labels(run_on("MNIST", home).train)


def test_a_full_disk_is_said_to_be_full(home: Home, small: Callable[[str], int], monkeypatch: pytest.MonkeyPatch) -> None:
    small("MNIST")

    def no_space(*arguments: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("torchvision.datasets.mnist.download_and_extract_archive", no_space)
    with pytest.raises(ConfigError, match="does not fit into .*THAW_DATA"):
        run_on("MNIST", home)


def test_two_runs_download_a_dataset_once(home: Home, served: tuple[Path, str], small: Callable[[str], int], monkeypatch: pytest.MonkeyPatch) -> None:
    serve_mnist(*served, small, monkeypatch)
    waiting = Progress()
    entry = DATASETS["MNIST"]
    download = downloads.Download(entry.label, 1, entry.train_images + entry.test_images, entry.files, entry.opener)  # type: ignore[arg-type]
    lock = home.data / ".downloading" / "MNIST.lock"
    with downloads._only_one(lock, download, Progress()):
        second = threading.Thread(target=downloads.fetch, args=(download, home.data, waiting))
        second.start()
        while not any("waiting for another run" in text for text in waiting.texts):
            second.join(0.01)
        write_idx(home.data, "MNIST", 10)
    second.join()
    assert not any("downloading MNIST:" in text for text in waiting.texts)
    assert not lock.exists()


# The real thing


@pytest.mark.shared
@pytest.mark.parametrize("name", ["MNIST", "FashionMNIST"])
def test_the_real_dataset_is_read(name: str, home: Home, shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data_root = shared / "data" / "torchvision"
    if not (data_root / name / "raw").is_dir():
        pytest.skip(f"there is no real {name} in {data_root}")
    monkeypatch.setenv("THAW_DATA", str(data_root))
    data = prepare(RunConfig(dataset=name, image_size=28, validation_share=0.1, batch_size=256), home, Progress())
    assert data.validation is not None
    assert [len(part.images) for part in (data.train, data.validation, data.test)] == [54_000, 6_000, 10_000]
    images, labels = next(data.train.batches(1))
    assert images.shape == (256, 3, 28, 28)
    assert images.float().mean() > 20
    assert set(labels.tolist()) == set(range(10))
