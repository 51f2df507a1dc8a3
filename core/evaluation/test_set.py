"""The test set of a run: the pictures that it was tested on, in the same batches, also where its folder has changed since."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core import catalog
from core.config import ConfigError, RunConfig
from core.data import Loader, layouts, own, own_pictures
from core.data.datasets import find_dataset, folder_of
from core.data.decoding import ValueRange
from core.data.depth import find_depth
from core.data.folders import shown
from core.data.images import How, Store, open_images, open_kept
from core.data.loader import ImageDataset
from core.data.manifest import read_recipe
from core.data.origins import origin_of
from core.data.own_pictures import TestPictures
from core.data.sources import Source
from core.data.splits import TEST_SEED, TEST_SHARE, stratified_split
from core.machine.home import Home
from core.store import Run

Progress = Callable[[str, float | None], None]
Places = NDArray[np.int64]


@dataclass(frozen=True)
class TestSet:
    """The images that a run is tested on, with notes on what is not as it was.

    `key` is another text for other images, or the same in another order, whatever size they are brought to and wherever they lie.
    """

    __test__ = False  # it is no test, pytest

    classes: tuple[str, ...]
    loader: Loader
    key: str
    notes: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    """The file of each, where they are files: its folder and its name."""

    @property
    def images(self) -> ImageDataset:
        """The images themselves."""
        return self.loader.images

    def pixels(self, indices: Sequence[int]) -> Tensor:
        """uint8 [N, 3, S, S] of the images at `indices`.

        Raises:
            ConfigError: on `index`, there is no such image.
        """
        for index in indices:
            if not 0 <= index < len(self.images):
                raise ConfigError("index", f"{index} is not in the test set; use 0 to {len(self.images) - 1:,}")
        return self.images.__getitems__(list(indices)).images


def open_test_set(home: Home, run: Run, progress: Progress) -> TestSet:
    """The pictures that a run was tested on, in the same batches as while it ran; its notes say what is not as it was.

    Those of its list, and no others. A run that was made before Thaw kept lists gets the test set that its settings give today.

    Raises:
        ConfigError: the dataset cannot be had or read, or too few of the listed pictures are left (`core.data.own_pictures`).
    """
    if not own_pictures.is_listed(home, run.id):
        return _drawn_again(home, run, progress)
    config = run.config
    classes = run.plan.classes if run.plan else catalog.class_names(config.dataset, home.data)
    found = own_pictures.find(home, run.id, config.dataset, classes, progress)
    how = How(config.image_size, config.fit, range_of(home, run))
    root = folder_of(config.dataset) or home.data
    kept = _decoded_by_run(home, run, found, how)
    store, places = kept or (open_images(found.source, how, home.cache, "test images", progress, root), None)
    here = store.numbers if places is None else np.arange(len(places))
    indices = torch.arange(len(here)) if places is None else torch.from_numpy(places)
    labels = store.labels.clone()
    labels[indices] = torch.from_numpy(found.source.labels[here])
    images = ImageDataset(store.images, labels, indices, config.image_size, store.key, config.fit)
    key = own_pictures.key_of(classes, found.source.labels[here].tolist(), [found.digests[place] for place in here])
    files = names_of(home, config.dataset, [found.source.images[place] for place in here]) if isinstance(found.source.images, tuple) else ()
    return TestSet(tuple(classes), Loader(images, config.batch_size), key, found.notes, files)


def range_of(home: Home, run: Run) -> ValueRange | None:
    """Which values became 0 and 255 in those pictures of a run that have more than 8 bits a channel; None where it had none, or did not keep it.

    Raises:
        ConfigError: on `run`, its recipe is damaged.
    """
    recipe = read_recipe(home.run_folder(run.id))
    return recipe.value_range if recipe else None


def _decoded_by_run(home: Home, run: Run, found: TestPictures, how: How) -> tuple[Store, Places] | None:
    """The store that the run decoded, all pictures of its folder, and where the test pictures are in it; None where it is not kept any more."""
    if not isinstance(found.source.images, tuple):
        return None
    try:
        raw = find_dataset(run.config.dataset).read(home.data, lambda text, share: None)
    except ConfigError:
        return None  # the folder was moved, or changed so that no training could come of it
    source = raw.test or raw.train
    store = open_kept(source, how, home.cache, folder_of(run.config.dataset) or home.data)
    if store is None or not isinstance(source.images, tuple):
        return None
    places = {source.images[number]: place for place, number in enumerate(store.numbers.tolist())}
    if not all(file in places for file in found.source.images):
        return None
    return store, np.asarray([places[file] for file in found.source.images], dtype=np.int64)


def _drawn_again(home: Home, run: Run, progress: Progress) -> TestSet:
    """The test set that a run without a list of pictures would be tested on if it were trained today."""
    root = own_pictures.root_of(home, run.id, run.config.dataset)
    if root is None or own.parse(run.config.dataset):  # what is in versions does not change
        return draw_test_set(run.config, home, progress)
    own_pictures.check_there(root, run.id)
    text = run.config.dataset if root == folder_of(run.config.dataset) else f"folder:{root}"
    test = draw_test_set(run.config.replace(dataset=f"folder:{layouts.before(text)}"), home, progress)
    note = "This run was made before Thaw kept lists of pictures: its test set was drawn again from today's folder."
    then = run.plan.test_samples if run.plan else None
    if then is not None and then != len(test.images):
        change = f"its settings gave {then:,} test pictures then and give {len(test.images):,} now"
    elif run.started is not None and own_pictures.last_change(root) > run.started:
        change = "files or folders in it are newer than the run"
    else:
        return replace(test, notes=(note, *test.notes))
    warning = f"The folder has changed since ({change}): some of these pictures may be among those that it was trained on, and the figures too good."
    return replace(test, notes=(f"{note} {warning}", *test.notes))


def draw_test_set(config: RunConfig, home: Home, progress: Progress) -> TestSet:
    """The test set that a run with this config would have today: the same images in the same batches as `core.data.prepare` gives.

    Its notes say if they have more than 8 bits a channel.

    Raises:
        ConfigError: the dataset cannot be had or read.
    """
    entry = find_dataset(config.dataset)
    progress(f"reading {entry.label}", None)
    raw = entry.read(home.data, progress)
    source = raw.test or raw.train
    name = "test images" if raw.test else "training images"  # decoded under the same key
    depth = find_depth(raw, home.cache, progress)
    how = How(config.image_size, config.fit, depth.value_range if depth else None)
    store = open_images(source, how, home.cache, name, progress, folder_of(entry.name) or home.data)
    labels = store.labels.numpy()
    indices = np.arange(len(labels)) if raw.test else stratified_split(labels, TEST_SHARE, TEST_SEED)[1]
    if len(indices) == 0:
        raise ConfigError("dataset", f"{len(labels):,} images are too few to set any aside to test on; add images to each class")
    images = ImageDataset(store.images, store.labels, torch.from_numpy(indices), config.image_size, store.key, config.fit)
    numbers = store.numbers[indices]
    part = Source(tuple(source.images[number] for number in numbers) if isinstance(source.images, tuple) else source.images[numbers], labels[indices])
    digests = origin_of("test", part, np.arange(len(indices)), folder_of(entry.name), home, progress).digests
    notes = (f"{depth.note} A run that did not keep this range scaled them otherwise.",) if depth else ()
    files = names_of(home, config.dataset, part.images) if isinstance(part.images, tuple) else ()
    return TestSet(raw.classes, Loader(images, config.batch_size), own_pictures.key_of(raw.classes, labels[indices].tolist(), digests), notes, files)


def names_of(home: Home, dataset: str, files: Sequence[Path]) -> tuple[str, ...]:
    """The files of pictures as a person is told of them: folder and name; of a dataset in versions those that they came with."""
    known = own.names_of(home, dataset)
    return tuple(shown(known.get(file.stem) or "/".join(file.parts[-2:])) for file in files)
