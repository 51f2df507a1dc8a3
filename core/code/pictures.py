"""The script's pictures: how those of each dataset are read, and made what a model takes."""

from __future__ import annotations

from core.code import versions
from core.code.excerpts import Excerpt, excerpt, joined
from core.code.folders import layout_of
from core.code.versions import version_of
from core.config import RunConfig
from core.data.augmentations import find_augmentation
from core.data.dataset_classes import SHAPES
from core.data.datasets import find_dataset, folder_of
from core.data.embedded import SHAPES_PER_CLASS

_PICTURES = '''class Pictures(Dataset):
    """Pictures and the numbers of their classes. Each picture is read when it is asked for."""

    def __init__(self, transform, pictures, labels{places}):
        self.transform = transform
        self.pictures = pictures  # {what}
        self.labels = np.asarray(labels, dtype=np.int64){classes}{kept}

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, place):
        return self.transform(self.pictures[place]), int(self.labels[place])

    def at(self, places):
        """Those at some places alone."""
        return Pictures(self.transform, self.pictures[places], self.labels[places]{passed})'''

_PLAIN_ARRAY = '''def plain(picture):
    """A picture uint8 [C, H, W] as bytes for the model: uint8 [3, {size}, {size}], resized; a grey one has three equal channels."""
    image = torch.from_numpy(picture)
    if image.shape[1:] != ({size}, {size}):
        image = v2.functional.resize(image, [{size}, {size}], antialias=True)
    return image.expand(3, -1, -1)'''

_NORMALISE = '''mean, std = (torch.tensor(values, device=device).view(-1, 1, 1) for values in ({mean}, {std}))


def normalise(images):
    """Bytes uint8 [N, 3, {size}, {size}] as floats around 0 on the device: divided by 255, less the mean, divided by the spread."""
    return images.to(device).to(torch.float32{layout}).div_(255).sub_(mean).div_(std)'''


def _half_of_digits(first: int) -> str:
    """The lines that read five of the digits: they are labelled 0 to 4 in that order."""
    label = f"digits.target - {first}" if first else "digits.target"
    return f"""    digits = load_digits()
    images = np.rint(digits.images * (255 / 16)).astype(np.uint8)[:, None]  # [N, 1, 8, 8], ink from 0 to 16
    labels = {label}
    chosen = (labels >= 0) & (labels < 5)
    return Pictures(transform, images[chosen], labels[chosen])"""


_ARRAYS = {
    "digits": """    digits = load_digits()
    images = np.rint(digits.images * (255 / 16)).astype(np.uint8)[:, None]  # [N, 1, 8, 8], ink from 0 to 16
    return Pictures(transform, images, digits.target)""",
    "digits_0_4": _half_of_digits(0),
    "digits_5_9": _half_of_digits(5),
    "shapes": f"""    images, labels = drawn({list(SHAPES)!r}, {SHAPES_PER_CLASS}, lambda text, share: None)
    return Pictures(transform, images, labels)""",
    "CIFAR10": """    dataset = datasets.CIFAR10("data", train=part == "train", download=True)
    return Pictures(transform, np.ascontiguousarray(dataset.data.transpose(0, 3, 1, 2)), dataset.targets)""",
    "SVHN": """    dataset = datasets.SVHN("data", split=part, download=True)
    return Pictures(transform, np.ascontiguousarray(dataset.data), dataset.labels)""",
    "MNIST": """    dataset = datasets.MNIST("data", train=part == "train", download=True)
    return Pictures(transform, dataset.data.numpy()[:, None], dataset.targets)""",
}
"""How the arrays of a dataset are read; further ones of torchvision are read as one of these."""

_LIKE = {"CIFAR100": "CIFAR10", "STL10": "SVHN", "FashionMNIST": "MNIST", "KMNIST": "MNIST"}

_FILES = {
    "EuroSAT": """    files, labels = zip(*sorted(datasets.EuroSAT("data", download=True).samples))""",
    "Flowers102": """    splits = ("train", "val") if part == "train" else ("test",)
    parts = [datasets.Flowers102("data", split=split, download=True) for split in splits]
    files, labels = [file for one in parts for file in one._image_files], [label for one in parts for label in one._labels]""",
    "OxfordIIITPet": """    dataset = datasets.OxfordIIITPet("data", split="trainval" if part == "train" else "test", download=True)
    files, labels = dataset._images, dataset._labels""",
}
"""How the files of a dataset of torchvision and their labels are found."""


def parts_of(config: RunConfig, old: bool = False) -> frozenset[str]:
    """Which of train, validation and test the dataset comes with. Without a test set a fifth of the pictures are set aside.

    `old`: a folder is read as it was before Thaw kept lists of pictures.
    """
    if version := version_of(config):
        return versions.parts_of(version, config)
    if folder_of(config.dataset) is not None:
        return frozenset(layout_of(config, old).parts)
    return frozenset({"train", "test"} if find_dataset(config.dataset).own_test else {"train"})


def as_files(config: RunConfig) -> bool:
    """Whether the pictures are files, which are decoded, and no arrays, which are resized. Looks for no folder: a run's may have been moved."""
    return folder_of(config.dataset) is not None or config.dataset in _FILES or find_dataset(config.dataset).pixels == 0


def reader(config: RunConfig, data: str = "") -> Excerpt:
    """`read(transform, part)`, which returns `Pictures`, for a dataset of the catalogue, and what it needs of the engine.

    `data`: the folder in which torchvision finds its files or puts them; "": `data` in the current one.
    """
    if config.dataset in _FILES:
        body = f"{_FILES[config.dataset]}\n    return Pictures(transform, np.array(files, dtype=object), labels)"
    else:
        like = _LIKE.get(config.dataset, config.dataset)
        body = _ARRAYS[like].replace(f"datasets.{like}", f"datasets.{config.dataset}")
    about = "Its training or its test pictures." if "test" in parts_of(config) else "All pictures: there is no test set of its own."
    text = f'def read(transform, part="train"):\n    """{about}"""\n{body}'
    where = ""
    if data and '"data"' in text:
        text, where = text.replace('"data"', "DATA"), f"DATA = {data!r}  # where torchvision finds the pictures, or puts them"
    return joined([where, excerpt("core.data.embedded", "drawn") if config.dataset == "shapes" else "", text])


def pictures_class(config: RunConfig, classes: bool, places: bool) -> str:
    """The class `Pictures`. `classes`: it tells their names; `places`: it tells each picture's place in the whole."""
    return _PICTURES.format(
        what="files" if as_files(config) else "an array uint8 [N, C, H, W]",
        classes="\n        self.classes = CLASSES" if classes else "",
        places=", places=None" if places else "",
        kept="\n        self.places = np.arange(len(labels)) if places is None else places  # in the whole that these were taken of"
        if places
        else "",
        passed=", self.places[places]" if places else "",
    )


def plain_lines(config: RunConfig, value_range: tuple[float, float] | None) -> tuple[str, Excerpt | str]:
    """`plain`, which makes a picture what goes into a batch, and what it needs of the engine."""
    size = config.image_size
    if not as_files(config):
        return _PLAIN_ARRAY.format(size=size), ""
    given = _given(config, value_range)
    text = f'''def plain(file):
    """The picture in a file as bytes for the model: uint8 [3, {size}, {size}]."""
    return torch.from_numpy(np.ascontiguousarray(decode(file, {size}{given})))'''
    names = ["decode", *(["decode_large"] if find_augmentation(config.augmentation).smallest_area is not None else [])]
    return text, joined(["# How a picture file is read, in the very words of Thaw", excerpt("core.data.decoding", *names)])


_LARGE_FILE = '''def large(file):
    """The picture in a file for random crops: uint8 [3, S, S] of as many pixels as it has, S at most {side}."""
    return torch.from_numpy(np.array(decode_large(file, {size}, {side}{given})))


large_set = Pictures(large, train_set.pictures, train_set.labels)'''

_LARGE_ARRAY = '''def large(picture):
    """A picture for random crops, as large as it is: uint8 [3, H, W]."""
    image = torch.from_numpy(picture)
    return image.expand(3, -1, -1) if image.shape[1] == image.shape[2] > {size} else plain(picture)


large_set = Pictures(large, train_set.pictures, train_set.labels)'''


def large_lines(config: RunConfig, value_range: tuple[float, float] | None, side: int) -> str:
    """`large_set`, the training pictures as large as they are kept for random crops: files as squares of `side` pixels at most."""
    if not as_files(config):
        return _LARGE_ARRAY.format(size=config.image_size)
    if side <= config.image_size:
        return "large_set = train_set"
    return _LARGE_FILE.format(size=config.image_size, side=side, given=_given(config, value_range))


def _given(config: RunConfig, value_range: tuple[float, float] | None) -> str:
    return f", {config.fit!r}" + (f", {value_range!r}" if value_range is not None else "")


def normalise_lines(config: RunConfig, mean: tuple[float, ...], std: tuple[float, ...]) -> str:
    """`normalise`, which a batch goes through on its way into the model."""
    layout = "" if config.memory_format == "contiguous" else f", memory_format=torch.{config.memory_format}"
    return _NORMALISE.format(mean=mean, std=std, size=config.image_size, layout=layout)
