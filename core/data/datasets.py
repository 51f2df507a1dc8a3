"""The datasets that can be picked: what they hold, where they come from and how they are read. No torch until one is read."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from core.config import ConfigError
from core.config.entry import Entry, by_name, find
from core.data import dataset_classes as names
from core.data import embedded, intake, layouts, on_disk, own, stock, torchvision_sets
from core.data.downloads import Download, fetch
from core.data.folders import Folders
from core.data.layouts import Layout
from core.data.on_disk import Look
from core.data.sources import Progress, Raw, Source
from core.data.splits import TEST_SHARE
from core.machine.home import Home
from core.machine.paths import unquoted

FOLDER = "folder"

SURVEY_SECONDS = 2.0
"""So long may it take to say how many images a folder holds: a network drive can take minutes. The run counts them all."""


@dataclass(frozen=True)
class DatasetEntry(Entry):
    """One dataset. `classes` is None, and numbers are 0, where a person's own folder decides.

    Args:
        classes: names, in the order of the labels.
        train_images, test_images: how many there are, before a validation set is taken off the training images.
        pixels: side of the images as they come; 0 where it differs.
        licence, source: on what terms, and from where.
        megabytes: about what is downloaded; 0 for nothing.
        files: what is downloaded, as paths below the data folder.
        reader: reads it, given the data folder; `opener` instead for a dataset of torchvision, which is downloaded first.
        on_disk: its images where they lie in the data folder already, None where they do not: without torch, and nothing is downloaded.
    """

    classes: tuple[str, ...] | None = None
    train_images: int = 0
    test_images: int = 0
    pixels: int = 0
    licence: str = ""
    source: str = ""
    megabytes: int = 0
    files: tuple[str, ...] = ()
    reader: Callable[[Path, Progress], Raw] | None = None
    opener: torchvision_sets.Opener | None = None
    on_disk: Look | None = None

    @property
    def own_test(self) -> bool:
        """False where its test images are the share that Thaw sets aside of all of them."""
        return self.test_images != round(TEST_SHARE * (self.train_images + self.test_images))

    @property
    def terms(self) -> str:
        """On what terms its pictures may be used, and where they come from."""
        return f"Licence of the pictures: {self.licence}." + (f" Source: {self.source}." if self.source else "") if self.licence else ""

    def at_hand(self, home_data: Path) -> tuple[Source, ...] | None:
        """Its training and test images, or all in one, as far as they can be had without torch, a download or a path; else None."""
        if self.on_disk:
            return self.on_disk(home_data)
        if self.reader and self.classes:
            raw = self.reader(home_data, lambda text, share: None)
            return (raw.train, *([raw.test] if raw.test else []))
        return None

    def read(self, home_data: Path, progress: Progress) -> Raw:
        """The dataset as it lies on disk, downloaded into `home_data` if it is not there.

        Raises:
            ConfigError: on `dataset`, for one that cannot be had or read, with the remedy.
        """
        if self.opener and self.classes:
            download = Download(self.label, self.megabytes, self.train_images + self.test_images, self.files, self.opener)
            train, *test = fetch(download, home_data, progress)
            return Raw(self.classes, train, test[0] if test else None)
        if self.reader:
            return self.reader(home_data, progress)
        raise ConfigError("dataset", f"{self.name!r} needs a path: write folder:PATH, for example folder:photos")


DATASETS = by_name(
    (
        DatasetEntry(
            "digits",
            "Digits",
            "Handwritten digits of 8 x 8 pixels, shipped with scikit-learn: no download.",
            classes=names.DIGITS,
            train_images=1_438,
            test_images=359,
            pixels=8,
            licence="CC BY 4.0",
            source="https://archive.ics.uci.edu/dataset/80",
            reader=embedded.read_digits,
        ),
        DatasetEntry(
            "digits_0_4",
            "Digits 0 to 4",
            "The first five of the digits: what the weights that ship with small_cnn were trained on. No download.",
            classes=names.DIGITS_0_4,
            train_images=721,
            test_images=180,
            pixels=8,
            licence="CC BY 4.0",
            source="https://archive.ics.uci.edu/dataset/80",
            reader=embedded.read_half(names.DIGITS_0_4),
        ),
        DatasetEntry(
            "digits_5_9",
            "Digits 5 to 9",
            "The other five of the digits, which the weights that ship with small_cnn have never seen: what they are fine-tuned on. No download.",
            classes=names.DIGITS_5_9,
            train_images=717,
            test_images=179,
            pixels=8,
            licence="CC BY 4.0",
            source="https://archive.ics.uci.edu/dataset/80",
            reader=embedded.read_half(names.DIGITS_5_9),
        ),
        DatasetEntry(
            "shapes",
            "Shapes",
            "Circles, squares, stars and other shapes in random colours and places, drawn on the spot: no download.",
            classes=names.SHAPES,
            train_images=1_920,
            test_images=480,
            pixels=64,
            licence="none needed, Thaw draws them",
            reader=embedded.draw_shapes,
        ),
        DatasetEntry(
            "MNIST",
            "MNIST",
            "Handwritten digits, the dataset that many textbooks start with.",
            classes=names.DIGITS,
            train_images=60_000,
            test_images=10_000,
            pixels=28,
            licence="CC BY-SA 3.0",
            source="http://yann.lecun.com/exdb/mnist/",
            megabytes=12,
            files=names.idx_files("MNIST"),
            opener=torchvision_sets.mnist("MNIST"),
            on_disk=on_disk.idx("MNIST"),
        ),
        DatasetEntry(
            "FashionMNIST",
            "Fashion-MNIST",
            "Grey pictures of clothes, the size of MNIST and harder.",
            classes=names.CLOTHES,
            train_images=60_000,
            test_images=10_000,
            pixels=28,
            licence="MIT",
            source="https://github.com/zalandoresearch/fashion-mnist",
            megabytes=31,
            files=names.idx_files("FashionMNIST"),
            opener=torchvision_sets.mnist("FashionMNIST"),
            on_disk=on_disk.idx("FashionMNIST"),
        ),
        DatasetEntry(
            "KMNIST",
            "KMNIST",
            "Cursive Japanese characters, the size of MNIST and harder.",
            classes=names.KUZUSHIJI,
            train_images=60_000,
            test_images=10_000,
            pixels=28,
            licence="CC BY-SA 4.0",
            source="http://codh.rois.ac.jp/kmnist/",
            megabytes=21,
            files=names.idx_files("KMNIST"),
            opener=torchvision_sets.mnist("KMNIST"),
            on_disk=on_disk.idx("KMNIST"),
        ),
        DatasetEntry(
            "CIFAR10",
            "CIFAR-10",
            "Small colour photos of animals and vehicles, ten classes.",
            classes=names.CIFAR10,
            train_images=50_000,
            test_images=10_000,
            pixels=32,
            licence="none stated",
            source="https://www.cs.toronto.edu/~kriz/cifar.html",
            megabytes=170,
            files=("cifar-10-python.tar.gz",),
            opener=torchvision_sets.cifar("CIFAR10"),
        ),
        DatasetEntry(
            "CIFAR100",
            "CIFAR-100",
            "Small colour photos of a hundred kinds of things, 500 of each to train on.",
            classes=names.CIFAR100,
            train_images=50_000,
            test_images=10_000,
            pixels=32,
            licence="none stated",
            source="https://www.cs.toronto.edu/~kriz/cifar.html",
            megabytes=169,
            files=("cifar-100-python.tar.gz",),
            opener=torchvision_sets.cifar("CIFAR100"),
        ),
        DatasetEntry(
            "SVHN",
            "SVHN",
            "Street View house numbers: digits on real walls, cut out in colour.",
            classes=names.DIGITS,
            train_images=73_257,
            test_images=26_032,
            pixels=32,
            licence="non-commercial use only",
            source="http://ufldl.stanford.edu/housenumbers/",
            megabytes=246,
            files=("train_32x32.mat", "test_32x32.mat"),
            opener=torchvision_sets.svhn,
        ),
        DatasetEntry(
            "STL10",
            "STL-10",
            "Photos of animals and vehicles, 96 x 96 pixels, 500 a class to train on. Most of the download are unlabelled images that are not used.",
            classes=names.STL10,
            train_images=5_000,
            test_images=8_000,
            pixels=96,
            licence="none stated",
            source="https://cs.stanford.edu/~acoates/stl10/",
            megabytes=2_640,
            files=("stl10_binary.tar.gz",),
            opener=torchvision_sets.stl10,
            on_disk=on_disk.stl10,
        ),
        DatasetEntry(
            "EuroSAT",
            "EuroSAT",
            "Land seen from the Sentinel-2 satellite: forest, river, motorway and seven more kinds of land use.",
            classes=names.EUROSAT,
            train_images=21_600,
            test_images=5_400,
            pixels=64,
            licence="MIT",
            source="https://github.com/phelber/EuroSAT",
            megabytes=94,
            files=("eurosat/EuroSAT.zip",),
            opener=torchvision_sets.eurosat,
            on_disk=on_disk.eurosat,
        ),
        DatasetEntry(
            "Flowers102",
            "Flowers 102",
            "Photos of 102 kinds of flowers, 20 of each to train on, and three times as many to test on.",
            classes=names.FLOWERS,
            train_images=2_040,
            test_images=6_149,
            licence="none stated",
            source="https://www.robots.ox.ac.uk/~vgg/data/flowers/102/",
            megabytes=345,
            files=("flowers-102/102flowers.tgz", "flowers-102/imagelabels.mat", "flowers-102/setid.mat"),
            opener=torchvision_sets.flowers102,
        ),
        DatasetEntry(
            "OxfordIIITPet",
            "Oxford-IIIT Pet",
            "Photos of cats and dogs of 37 breeds, about 100 of each to train on.",
            classes=names.PETS,
            train_images=3_680,
            test_images=3_669,
            licence="CC BY-SA 4.0",
            source="https://www.robots.ox.ac.uk/~vgg/data/pets/",
            megabytes=811,
            files=("oxford-iiit-pet/images.tar.gz", "oxford-iiit-pet/annotations.tar.gz"),
            opener=torchvision_sets.pets,
            on_disk=on_disk.pets,
        ),
        DatasetEntry(
            FOLDER,
            "My own images",
            "A folder on this machine that holds one folder of images a class, written folder:PATH. With folders in it that are called train, "
            "test and validation or the like, those are used so.",
            licence="yours to know",
        ),
    )
)


def find_dataset(dataset: str) -> DatasetEntry:
    """The entry that `dataset` means: a name, `folder:PATH` or `own:NAME`. A path alone will do if it has a slash.

    `name` of the entry is the one way to write it: the absolute path of a folder; of a dataset in versions the version with its hash.

    Raises:
        ConfigError: for an unknown name or version, and for a folder that is not there or may not be read.
    """
    if choice := own.parse(dataset):
        return _own(choice)
    kind, colon, path = dataset.partition(":")
    if not (colon and kind.strip().casefold() == FOLDER):
        path = unquoted(dataset)
        if not (path[:7].casefold() == f"{FOLDER}:" or "/" in path or "\\" in path or path.startswith("~")):
            return find(DATASETS, "dataset", dataset)
    folder, spec = layouts.place(path)
    Folders().check(folder)
    text = f"{folder}::{spec}" if spec else str(folder)
    return replace(DATASETS[FOLDER], name=f"{FOLDER}:{text}", reader=lambda home_data, progress: intake.read_folder(text, progress))


def _own(choice: own.Choice) -> DatasetEntry:
    home = Home.in_use()
    version = own.resolve(home, choice)
    return DatasetEntry(
        own.Choice(version.dataset, version.number, version.short_hash).text,
        version.text,
        f"{version.images:,} pictures of {len(version.classes):,} classes that were imported. {version.note}",
        classes=version.classes,
        licence="yours to know",
        reader=lambda home_data, progress: own.read(home, version),
    )


def folder_of(dataset: str) -> Path | None:
    """The folder that the pictures of `folder:PATH` or `own:NAME` lie in, be it there or not; None for a dataset that is none."""
    if choice := own.parse(dataset):
        return own.folder(Home.in_use(), choice)
    kind, colon, path = dataset.partition(":")
    return layouts.place(path)[0] if colon and kind.strip().casefold() == FOLDER else None


def short_name(dataset: str) -> str:
    """A dataset as a title has it: the last part of a folder's path, `flowers, version 3`, or the name in the catalogue. Never raises."""
    kind, _, rest = dataset.partition(":")
    if kind == FOLDER:
        path = rest.partition("::")[0]  # behind it: how the folder is read
        return path.rstrip("/").rpartition("/")[2] or path
    with suppress(ConfigError):
        if choice := own.parse(dataset):
            return choice.short
    return dataset


def survey(dataset: str, seconds: float = SURVEY_SECONDS) -> Layout | None:
    """How a folder of a person's own is read, its images counted for so many seconds at most; None for a dataset of the catalogue.

    Raises:
        ConfigError: as `find_dataset`, and where no training could come of the folder, or more than one.
    """
    entry = find_dataset(dataset)
    text = entry.name.partition(":")[2] if entry.name.startswith(f"{FOLDER}:") else ""
    return stock.survey(layouts.read_layout(text), seconds) if text else None


def class_names(dataset: str, home_data: Path) -> tuple[str, ...]:
    """The classes of a dataset, in the order of the labels. Nothing is downloaded; a folder's directories are read.

    Raises:
        ConfigError: as `find_dataset`, and for a folder without at least two classes.
    """
    entry = find_dataset(dataset)
    if entry.classes is not None:
        return entry.classes
    return intake.folder_classes(entry.name.partition(":")[2])


def training_images(dataset: str, validation_share: float) -> int | None:
    """Images left to train on once validation has its share; None where only reading the dataset would tell. Raises ConfigError as `survey`."""
    entry = DATASETS.get(dataset)
    if entry and entry.train_images:
        return entry.train_images - round(entry.train_images * validation_share)
    if choice := own.parse(dataset):
        return sum(stock.divided(own.counts(Home.in_use(), choice), validation_share)["train"])
    layout = survey(dataset)
    return stock.planned(layout, validation_share)[0] if layout and layout.counts else None
