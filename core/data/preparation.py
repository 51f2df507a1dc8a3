"""From a `RunConfig` to the loaders of a run: read the dataset, decode, split, check."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from core.config import ConfigError, RunConfig
from core.data import augmentations, datasets, own
from core.data.ancestry import FRESH, TESTED, ancestry
from core.data.decoding import ValueRange
from core.data.depth import find_depth
from core.data.images import How, Store, open_details, open_images
from core.data.loader import ImageDataset, Loader
from core.data.manifest import Picture, Recipe
from core.data.origins import Origin, Part, list_of, origin_of
from core.data.rows import Details, KeptDetails
from core.data.sources import Progress, Raw, Source
from core.data.splits import TEST_SEED, TEST_SHARE, grouped_split, stratified_split
from core.machine.home import Home
from core.networks.models import find_model
from core.records.findings import Appearance

Places = NDArray[np.int64]

NOTED = 0.25
"""Share of the median picture beyond its middle square from which on that is noted: photos of 4 : 3 have as much."""


@dataclass(frozen=True)
class Data:
    """What a run trains, validates and tests on. `notes` are sentences for the person: what was left out, and why.

    `origins` and `recipe` say where the pictures of the three sets come from, and what becomes of them, if that was asked for.
    """

    classes: tuple[str, ...]
    train: Loader
    validation: Loader | None
    test: Loader
    notes: tuple[str, ...] = ()
    origins: Mapping[Part, Origin] = field(default_factory=dict)
    recipe: Recipe | None = None
    appearance: Appearance | None = None
    """How the pictures come out, if they are files."""

    def pictures(self) -> tuple[Picture, ...]:
        """The pictures of the three sets, as the run keeps them. What was changed after `prepare` (doubles, faults) is taken in."""
        parts: dict[Part, Loader | None] = {"train": self.train, "validation": self.validation, "test": self.test}
        places = {part: loader.images.indices.tolist() for part, loader in parts.items() if loader is not None}
        return list_of(self.origins, places, self.classes)


def prepare(config: RunConfig, home: Home, progress: Progress, listed: bool = False) -> Data:
    """The loaders of a run; the dataset is downloaded, decoded and resized first where that is needed.

    Args:
        config: dataset, image_size, fit, batch_size, augmentation, seed, validation_share and device are used.
        home: where datasets and decoded images are kept.
        progress: called with what is going on, in words, and the share done (None: not known).
        listed: find out where each picture comes from, and what it holds: every file is read once.

    Raises:
        ConfigError: for a dataset that cannot be had or read, and for a batch or a validation set that it is too small for.
    """
    entry = datasets.find_dataset(config.dataset)
    progress(f"reading {entry.label}", None)
    raw = entry.read(home.data, progress)
    depth = find_depth(raw, home.cache, progress)
    value_range = depth.value_range if depth else None
    own_validation = raw.validation if config.validation_share > 0 else None
    root = datasets.folder_of(entry.name)
    how = _how(config, len(raw.train), value_range)
    train, validation, test = _stores((raw.train, own_validation, raw.test), how, root or home.data, home, progress)
    appearance = _appearance(train, *(store for store in (validation, test) if store is not train))

    before = ancestry(config.starting_weights, home.runs)
    stores: dict[Part, Store] = {"train": train, "validation": validation, "test": test}
    sources: dict[Part, Source] = {"train": raw.train, "validation": own_validation or raw.train, "test": raw.test or raw.train}
    origins = _origins(stores, sources, root, home, progress) if listed or before else {}
    own.check_unchanged(entry.name, origins)
    known = before.known(origins) if before else {}

    notes = [*([raw.layout.sentence] if raw.layout else []), *raw.notes, *([depth.note] if depth else []), *_cut_away(config, appearance)]
    places, said = _divided(config, raw, stores, known.get("train"))
    notes += [*said, *_unreadable(train, *(store for store in (validation, test) if store is not train))]
    if before:
        notes += before.notes({part: states[places[part]] for part, states in known.items()}, drawn=test is train, folder=root is not None)
    check_batches(config, len(places["train"]))
    details = open_details(raw.train, how, train.numbers, places["train"], home.cache, progress, root or home.data)
    notes += _detail(how, details)
    normalise = find_model(config.model).normalise
    return Data(
        raw.classes,
        **_loaders(config, stores, places, details),
        notes=tuple(notes),
        origins=origins,
        recipe=Recipe(
            dataset=entry.name,
            root=None if root is None else str(root),
            layout=raw.layout.sentence if raw.layout else "",
            classes=raw.classes,
            image_size=config.image_size,
            fit=config.fit,
            value_range=value_range,
            largest=how.largest or config.image_size,
            mean=normalise[0],
            std=normalise[1],
            sources={part: origin.part for part, origin in origins.items()},
            started_from=before.run_id if before else None,
        ),
        appearance=appearance,
    )


def _divided(config: RunConfig, raw: Raw, stores: Mapping[Part, Store], known: NDArray[np.int8] | None) -> tuple[dict[Part, Places], list[str]]:
    """Which places of each store train, validate and test, and what there is to say of that. `known`: see `_set_aside`."""
    train, validation, test = stores["train"], stores["validation"], stores["test"]
    notes: list[str] = []
    labels = train.labels.numpy()
    train_places, test_places = np.arange(len(labels)), np.arange(len(test.labels))
    if test is train:
        train_places, test_places = _set_aside(labels, known)
    _check_classes(raw.classes, labels, len(test_places))
    notes += _too_small("test", raw.classes, test.labels.numpy()[test_places])
    validation_places = np.arange(len(validation.labels))
    if validation is train:
        if raw.validation:
            notes.append(f"validation_share is 0, so the dataset's own {len(raw.validation):,} validation images are not used.")
        groups = None if raw.train.groups is None else raw.train.groups[train.numbers]
        train_places, validation_places = _hold_back(labels, groups, train_places, config)
        if len(validation_places):
            notes += _too_small("validate", raw.classes, labels[validation_places])
    else:
        notes.append(f"The dataset brings its own {len(validation_places):,} validation images, so validation_share is not used.")
    return {"train": train_places, "validation": validation_places, "test": test_places}, notes


def _how(config: RunConfig, pictures: int, value_range: ValueRange | None) -> How:
    """How so many training pictures are to be decoded."""
    augmentation = augmentations.find_augmentation(config.augmentation)
    largest = augmentations.largest_side(config.image_size, augmentation.smallest_area, pictures)
    return How(config.image_size, config.fit, value_range, largest if largest > config.image_size else None)


def _detail(how: How, details: Details | None) -> list[str]:
    """A note on what random crops are cut out of."""
    if not isinstance(details, KeptDetails):
        return []
    side = details.median_side
    return [
        f"Random crops are cut out of pictures kept at up to {how.largest} px a side ({side} px the median one), and resized to {how.image_size} px."
    ]


def _loaders(config: RunConfig, stores: Mapping[Part, Store], places: Mapping[Part, Places], details: Details | None) -> dict[str, Any]:
    """The loaders of the three sets, by the name of their field in `Data`."""
    augmentation = augmentations.find_augmentation(config.augmentation).build(config.fixed_views)
    # torch.cuda.is_available is asked last: it starts the driver.
    pin_memory = (config.device == "auto" or config.device.startswith("cuda")) and torch.cuda.is_available()

    def images(part: Part) -> ImageDataset:
        store = stores[part]
        return ImageDataset(
            store.images, store.labels, torch.from_numpy(places[part]), config.image_size, store.key, config.fit, details if part == "train" else None
        )

    return {
        "train": Loader(images("train"), config.batch_size * config.accumulate, config.seed, augmentation, pin_memory),
        "validation": Loader(images("validation"), config.batch_size, pin_memory=pin_memory) if len(places["validation"]) else None,
        "test": Loader(images("test"), config.batch_size, pin_memory=pin_memory),
    }


def _appearance(*stores: Store) -> Appearance | None:
    """Of all pictures that are files; None where there are none."""
    beyond = [store.beyond for store in stores if store.beyond is not None and len(store.beyond)]
    if not beyond:
        return None
    every = np.concatenate(beyond)
    return Appearance(len(every), sum(store.flat for store in stores), float(np.median(every)))


def _cut_away(config: RunConfig, appearance: Appearance | None) -> list[str]:
    """A note on what is not used of pictures that are not square, where that is more than a little."""
    if appearance is None or config.fit != "crop" or appearance.beyond < NOTED:
        return []
    remedy = "fit pad or squash uses all of each picture"
    return [f"The middle square of each picture is used, and {100 * appearance.beyond:.0f} % of the median one cut away (fit crop); {remedy}."]


def _stores(sources: tuple[Source, Source | None, Source | None], how: How, root: Path, home: Home, progress: Progress) -> tuple[Store, Store, Store]:
    """The images of the three sets. A set without a source of its own has the store of the training images."""

    def opened(source: Source, name: str) -> Store:
        return open_images(source, how if source is train else replace(how, largest=None), home.cache, name, progress, root)

    train, validation, test = sources
    whole = opened(train, "training images")
    own_test = opened(test, "test images") if test else whole
    return whole, opened(validation, "validation images") if validation else whole, own_test


def _origins(stores: Mapping[Part, Store], sources: Mapping[Part, Source], root: Path | None, home: Home, progress: Progress) -> dict[Part, Origin]:
    """Where the images of each store come from. Sets that share a store share what is known of it."""
    found: dict[int, Origin] = {}
    for part, store in stores.items():
        if id(store) not in found:
            found[id(store)] = origin_of(part, sources[part], store.numbers, root, home, progress)
    return {part: found[id(store)] for part, store in stores.items()}


def _set_aside(labels: NDArray[np.int64], states: NDArray[np.int8] | None) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The images of a dataset without a test set cut into (training, test).

    What the starting weights were tested on stays in the test set, what they were trained on is kept out of it, and a share of what is new to
    them is set aside as of any dataset.
    """
    if states is None or not (states != FRESH).any():
        return stratified_split(labels, TEST_SHARE, TEST_SEED)
    fresh = np.flatnonzero(states == FRESH)
    new = fresh[stratified_split(labels[fresh], TEST_SHARE, TEST_SEED)[1]] if len(fresh) else fresh
    test = np.union1d(np.flatnonzero(states == TESTED), new)
    return np.setdiff1d(np.arange(len(labels)), test), test


def check_batches(config: RunConfig, images: int) -> None:
    """See that there are enough images to train on for one step. Raises ConfigError where there are not."""
    if config.batch_size > images:
        raise ConfigError("batch_size", f"{config.batch_size:,} is more than the {images:,} images there are to train on; use {images:,} or less")
    if config.batch_size * config.accumulate > images:
        there = f"the {images:,} images there are to train on"
        parts = images // config.batch_size
        raise ConfigError("accumulate", f"{config.accumulate} batches of {config.batch_size:,} are more than {there}; use {parts} or less")


def _hold_back(
    labels: NDArray[np.int64], groups: NDArray[np.int64] | None, train_indices: NDArray[np.int64], config: RunConfig
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The training images cut into (training, validation). `groups` as in `Source`."""
    share, seed = config.validation_share, config.seed
    if share == 0:
        return train_indices, train_indices[:0]
    if groups is None:
        kept, held_back = stratified_split(labels[train_indices], share, seed)
    else:
        kept, held_back = grouped_split(labels[train_indices], groups[train_indices], share, seed)
    if len(held_back) == 0:
        raise ConfigError(
            "validation_share",
            f"{config.validation_share:g} of {len(train_indices):,} training images leaves none to validate on; use more, add images, or set it to 0",
        )
    return train_indices[kept], train_indices[held_back]


def _check_classes(classes: tuple[str, ...], labels: NDArray[np.int64], tested: int) -> None:
    for name, count in zip(classes, np.bincount(labels, minlength=len(classes)), strict=True):
        if count == 0:
            raise ConfigError("dataset", f"no image of the class {name!r} can be read; replace its images, or remove its folder")
    if tested == 0:
        raise ConfigError("dataset", f"{len(labels):,} images are too few to set any aside to test on; add images to each class")


def _too_small(purpose: str, classes: tuple[str, ...], labels: NDArray[np.int64]) -> list[str]:
    """A note on the classes without an image to test or to validate on."""
    missing = [classes[label] for label in np.setdiff1d(np.arange(len(classes)), labels)]
    rest = f" and {len(missing) - 3:,} more" if len(missing) > 3 else ""
    return [f"Too few images to {purpose} on in {', '.join(missing[:3])}{rest}."] if missing else []


def _unreadable(*stores: Store) -> list[str]:
    """A note on the files that could not be read."""
    skipped = [reason for store in stores for reason in store.skipped]
    if not skipped:
        return []
    total = len(skipped) + sum(len(store.labels) for store in stores)
    rest = f" and {len(skipped) - 3:,} more" if len(skipped) > 3 else ""
    return [f"{len(skipped):,} of {total:,} files could not be read as images and were left out: {', '.join(skipped[:3])}{rest}."]
