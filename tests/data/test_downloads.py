"""Datasets that are downloaded: whole or not at all, from a server of the test's own."""

from __future__ import annotations

import gzip
import http.server
import io
import shutil
import tarfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torchvision

from core.config import ConfigError, RunConfig
from core.data import downloads, prepare
from core.data.datasets import DATASETS
from core.machine.home import Home
from tests.data.datasets_cases import Progress, check_labels, home, run_on, small, unchecked, write_cifar10, write_idx  # noqa: F401
from tests.support import free_port

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
