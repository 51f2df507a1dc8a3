"""The script's data: transforms, a dataset, and the split into training, validation and test images."""

from __future__ import annotations

from collections.abc import Mapping

from core.catalog import AUGMENTATIONS, find_model
from core.code.faults import broken_data
from core.config import RunConfig

_CHANGES: Mapping[str, str] = {
    "flip": "v2.RandomHorizontalFlip()",
    "shift": "v2.RandomCrop({size}, padding={margin})",
    "crop": "v2.RandomResizedCrop({size}, scale=(0.25, 1.0))",
    "rotate": "v2.RandomRotation(15, interpolation=v2.InterpolationMode.BILINEAR)",
    "colour": "v2.ColorJitter(brightness=0.4, contrast=0.4, saturation=0.4)",
    "trivial": "v2.TrivialAugmentWide()",
}
"""torchvision's transforms that do what `core.data.changes` does to a batch."""


FIXED_VIEWS = '''class FixedViews(Dataset):
    """A few random pictures of each image, always the same ones; `view` says which of them are shown."""

    def __init__(self, dataset, views):
        self.dataset = dataset
        self.views = views
        self.view = 0

    def __len__(self):
        return len(self.dataset)

    def __getitem__(self, index):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(index * self.views + self.view)
            return self.dataset[index]'''


WITHOUT_DOUBLES = '''# Nothing is trained on that is measured on too, pixel for pixel. This reads every picture once.
def pictures(dataset):
    """A digest of each picture as it is before any random change."""
    return [hashlib.sha256(image.numpy().tobytes()).digest() for image, _ in dataset]


measured = {{picture for dataset in ({measured}) for picture in pictures(dataset)}}
places = [place for place, picture in enumerate(pictures({train})) if picture not in measured]
train_set = Subset(train_set, places)'''


def data_lines(config: RunConfig) -> str:
    """From files to `train`, a DataLoader, and `validation_set` and `test_set`."""
    mean, std = find_model(config.model).normalise
    size = config.image_size
    steps = AUGMENTATIONS[config.augmentation].steps
    changes = [_CHANGES[step].format(size=size, margin=max(1, size // 8)) for step in steps]
    lines = [
        "# Data",
        f"resize = [v2.ToImage(), v2.RGB(), v2.Resize(({size}, {size}), antialias=True)]",
        f"normalise = [v2.ToDtype(torch.float32, scale=True), v2.Normalize({mean}, {std})]",
        "plain = v2.Compose([*resize, *normalise])",
    ]
    training = "plain"
    if changes:
        training = "changed"
        lines.append(f"changed = v2.Compose([*resize, {', '.join(changes)}, *normalise])")
    lines += ["", "", reader(config), "", ""]
    share = config.validation_share
    if has_test_set(config):
        lines += [
            f"order = torch.randperm(len(read(plain, train=True)), generator=torch.Generator().manual_seed({config.seed})).tolist()",
            f"held_back = round({share:g} * len(order))",
            f"train_set = Subset(read({training}, train=True), order[held_back:])",
            "validation_set = Subset(read(plain, train=True), order[:held_back])",
            "test_set = read(plain, train=False)",
        ]
    else:
        lines += [
            "order = torch.randperm(len(read(plain)), generator=torch.Generator().manual_seed(0)).tolist()",
            "tested = round(0.2 * len(order))",
            f"held_back = tested + round({share:g} * (len(order) - tested))",
            "test_set = Subset(read(plain), order[:tested])",
            "validation_set = Subset(read(plain), order[tested:held_back])",
            f"train_set = Subset(read({training}), order[held_back:])",
        ]
    if config.doubles == "leave out":
        plain_train = f"Subset(read(plain{', train=True' if has_test_set(config) else ''}), train_set.indices)" if changes else "train_set"
        held_out = "validation_set, test_set" if share > 0 else "test_set,"
        lines += ["", "", WITHOUT_DOUBLES.format(measured=held_out, train=plain_train)]
    broken = broken_data(config)
    if broken:
        lines += ["", "", broken] if broken.startswith("class") else [broken]
    if config.fixed_views is not None:
        lines += ["", "", FIXED_VIEWS, "", "", f"train_set = FixedViews(train_set, {config.fixed_views})"]
    step = config.batch_size * config.accumulate
    lines += [
        f"alone = len(train_set) % {step} == 1  # one image alone has no spread that BatchNorm could learn from",
        f"train = DataLoader(train_set, batch_size={step}, shuffle=True, drop_last=alone)",
    ]
    return "\n".join(lines)


def has_test_set(config: RunConfig) -> bool:
    """True where the dataset brings a test set along; else a fifth of its images are set aside."""
    return config.dataset not in ("digits", "shapes", "EuroSAT") and not config.dataset.startswith("folder:")


def reader(config: RunConfig) -> str:
    """A function `read(transform, train=...)` that returns a Dataset."""
    name = config.dataset
    if name in ("digits", "shapes"):
        load = (
            """digits = load_digits()
        self.images = torch.from_numpy(digits.images * 255 / 16).round().to(torch.uint8).unsqueeze(1)  # [N, 1, 8, 8]
        self.labels = digits.target.tolist()"""
            if name == "digits"
            else """shapes = draw_shapes(None, lambda text, share: None).train
        self.images = torch.from_numpy(shapes.images)  # uint8 [N, 3, 64, 64]
        self.labels = shapes.labels.tolist()"""
        )
        return f"""class {name.capitalize()}(Dataset):
    def __init__(self, transform):
        {load}
        self.transform = transform

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        return self.transform(self.images[index]), self.labels[index]


def read(transform):
    return {name.capitalize()}(transform)"""
    if name.startswith("folder:"):
        path = name.partition(":")[2]
        return f"def read(transform):\n    return datasets.ImageFolder({path!r}, transform=transform)"
    match name:
        case "EuroSAT":
            body = 'return datasets.EuroSAT("data", download=True, transform=transform)'
            return f"def read(transform):\n    {body}"
        case "SVHN" | "STL10":
            body = f'return datasets.{name}("data", split="train" if train else "test", download=True, transform=transform)'
        case "OxfordIIITPet":
            body = f'return datasets.{name}("data", split="trainval" if train else "test", download=True, transform=transform)'
        case "Flowers102":
            body = (
                'splits = ("train", "val") if train else ("test",)\n'
                '    parts = [datasets.Flowers102("data", split=split, download=True, transform=transform) for split in splits]\n'
                "    return torch.utils.data.ConcatDataset(parts)"
            )
        case _:
            body = f'return datasets.{name}("data", train=train, download=True, transform=transform)'
    return f"def read(transform, train):\n    {body}"
