"""Pictures a second from the second epoch on, normalised, beside the loader of torchvision's tutorials, on the same JPEG files of 500 x 375 px.

The tutorial's is `ImageFolder` with Pillow, in the process itself and in two loader processes. Contestants take turns. Then what the first epoch
takes, decoding included; what ten more pictures take; and how sharp random crops come out: the mean difference of neighbouring pixels, 0 to 255.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader

from bench.photos import CLASSES, QUALITY
from bench.table import median, table
from core.config import RunConfig
from core.data import Data, Normalise, prepare
from core.machine.home import Home
from core.networks.model_entries import IMAGENET

PICTURES, WIDTH, HEIGHT = 2_000, 500, 375
SIDE, BATCH = 224, 32
NEW = 10
FIRSTS = 3
"""First epochs of each way at most: each leaves a gigabyte."""

WAYS = {"no changes": "none", "flip": "flip", "random crop and flip": "crop and flip"}
LOOKED_AT = 20
"""Batches whose sharpness is measured."""


def make(folder: Path, pictures: int = PICTURES, seed: int = 0) -> Path:
    """Fill `folder/CLASS/*.jpg` with parts of the photographs that scikit-learn brings, each a little brighter or darker; returns it."""
    from sklearn.datasets import load_sample_images

    photographs = load_sample_images().images  # uint8 [427, 640, 3]
    generator = np.random.default_rng(seed)
    for number in range(pictures):
        photograph = photographs[number % len(CLASSES)]
        top, left = (int(generator.integers(0, length - side + 1)) for length, side in zip(photograph.shape[:2], (HEIGHT, WIDTH), strict=True))
        part = photograph[top : top + HEIGHT, left : left + WIDTH] * generator.uniform(0.7, 1.0)
        file = folder / CLASSES[number % len(CLASSES)] / f"{seed}-{number:05}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(part.astype(np.uint8)).save(file, quality=QUALITY)
    return folder


def measure(folder: Path, rounds: int, pictures: int = PICTURES) -> Iterator[str]:
    """All tables."""
    photos = make(folder / "photos", pictures)
    home = Home.from_environment(str(folder / "home"))
    rates: list[tuple[str, ...]] = []
    firsts: list[tuple[str, ...]] = []
    _once(photos, folder)
    for name, augmentation in WAYS.items():
        loaders = {workers: tutorial(photos, augmentation, workers) for workers in (0, 2)}
        theirs: dict[int, list[Cost]] = {workers: [] for workers in loaders}
        first, ours = [], []
        for number in range(rounds):
            if number < FIRSTS:
                # A home of its own each time: nothing is decoded yet.
                data, cost = _first(photos, folder / f"{augmentation}-{number}", augmentation)
                first.append(cost)
            for workers, loader in loaders.items():
                theirs[workers].append(_cost(partial(_tutorial_pass, loader)))
            ours.append(len(data.train.images) / _cost(partial(_pass_of, data, 2 + number)).seconds)
        mine = median(ours)
        rate = {workers: pictures / median([cost.seconds for cost in each]) for workers, each in theirs.items()}
        rates.append((name, f"{mine:,.0f}", *(f"{each:,.0f} ({mine / each:.1f}x)" for each in rate.values())))
        firsts.append((name, *(_told(each) for each in (first, *theirs.values()))))
    yield from table(["Pictures a second", "Thaw", "tutorial", "tutorial, 2 workers"], rates)
    yield ""
    yield from table(["Seconds of one pass, decoding included (of a core)", "Thaw's first epoch", "tutorial", "tutorial, 2 workers"], firsts)
    yield ""
    yield from _sharpness(photos, Home.from_environment(str(folder / "crop and flip-0")))
    yield ""
    yield from _more(photos, home, pictures)


def prepared(photos: Path, home: Home, augmentation: str) -> Data:
    """The pictures for training, as many as can be: nothing is held back to validate on, a fifth is to test on."""
    config = RunConfig(dataset=f"folder:{photos}", image_size=SIDE, batch_size=BATCH, augmentation=augmentation, validation_share=0.0)
    return prepare(config, home, lambda text, share: None)


def tutorial(photos: Path, augmentation: str, workers: int) -> DataLoader[Any]:
    """The loader of torchvision's tutorials."""
    from torchvision.datasets import ImageFolder
    from torchvision.transforms import CenterCrop, Compose, Normalize, RandomHorizontalFlip, RandomResizedCrop, Resize, ToTensor

    cut = [RandomResizedCrop(SIDE, scale=(0.25, 1.0))] if augmentation == "crop and flip" else [Resize(SIDE), CenterCrop(SIDE)]
    flip = [] if augmentation == "none" else [RandomHorizontalFlip()]
    return DataLoader(ImageFolder(str(photos), Compose([*cut, *flip, ToTensor(), Normalize(*IMAGENET)])), BATCH, shuffle=True, num_workers=workers)


def _tutorial_pass(loader: DataLoader[Any]) -> None:
    for images, _ in loader:
        assert images.dtype == torch.float32


def _pass_of(data: Data, epoch: int) -> None:
    normalise = Normalise(*IMAGENET)
    for batch in data.train.batches(epoch):
        assert normalise(batch.images).is_contiguous()


class Cost(NamedTuple):
    """Seconds of work on the clock, and those that cores computed for it, in processes of its own too: these hardly change beside other work."""

    seconds: float
    of_a_core: float


def _cost(work: Callable[[], object]) -> Cost:
    before, began = _computed(), time.perf_counter()
    work()
    return Cost(time.perf_counter() - began, _computed() - before)


def _computed() -> float:
    """Seconds that cores have computed for this process, and for those that it has seen the end of."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _told(costs: Sequence[Cost]) -> str:
    return f"{median([cost.seconds for cost in costs]):.1f} ({median([cost.of_a_core for cost in costs]):.1f})"


def _once(photos: Path, folder: Path) -> None:
    """A few pictures through all of it: what is imported and set up at first is no part of an epoch."""
    few = folder / "few"
    for name in CLASSES:
        (few / name).mkdir(parents=True)
        for file in sorted((photos / name).iterdir())[:BATCH]:
            os.link(file, few / name / file.name)
    _first(few, folder / "few-home", "crop and flip")


def _first(photos: Path, home: Path, augmentation: str) -> tuple[Data, Cost]:
    """The pictures in a home in which nothing is decoded yet, and what that and the first epoch took."""
    made: list[Data] = []

    def work() -> None:
        made.append(prepared(photos, Home.from_environment(str(home)), augmentation))
        _pass_of(made[0], 1)

    cost = _cost(work)
    return made[0], cost


def _sharpness(photos: Path, home: Home) -> Iterator[str]:
    """Of random crops: the tutorial's, ours, and parts of pictures that were made small before."""
    mean, std = (torch.tensor(figures).view(3, 1, 1) for figures in IMAGENET)
    theirs = [(images * std + mean) * 255 for (images, _), _ in zip(tutorial(photos, "crop and flip", 0), range(LOOKED_AT), strict=False)]
    data = prepared(photos, home, "crop and flip")
    ours = [batch.images.float() for batch, _ in zip(data.train.batches(2), range(LOOKED_AT), strict=False)]
    data.train.images.details = None
    small = [batch.images.float() for batch, _ in zip(data.train.batches(2), range(LOOKED_AT), strict=False)]
    rows = [
        ("tutorial: cut out of the file", f"{_contrast(theirs):.2f}"),
        ("Thaw: cut out of pictures kept at up to 448 px", f"{_contrast(ours):.2f}"),
        ("cut out of pictures of 224 px, as before", f"{_contrast(small):.2f}"),
    ]
    yield from table(["Random crops", "Difference of neighbours"], rows)


def _contrast(batches: list[Tensor]) -> float:
    """The mean difference of pixels that lie side by side or one below the other, of pictures [N, 3, S, S] of 0 to 255."""
    images = torch.cat(batches)
    return float((images.diff(dim=-1).abs().mean() + images.diff(dim=-2).abs().mean()) / 2)


def _more(photos: Path, home: Home, pictures: int) -> Iterator[str]:
    """What it takes until a run has its pictures: all of them new, ten of them new, none."""
    rows = []
    for name in (f"{pictures:,} new pictures", f"{NEW} new ones among them", "none"):
        if name.startswith(str(NEW)):
            make(photos, NEW, seed=1)
        began = time.perf_counter()
        prepared(photos, home, "none")
        rows.append((name, f"{time.perf_counter() - began:.2f}"))
    kept = sum(file.stat().st_size for file in (home.cache / "decoded").glob("*/*.uint8"))
    assert kept == (pictures + NEW) * 3 * SIDE**2, "each picture was decoded once"
    yield from table(["Seconds until a run has its pictures", "Thaw"], rows)
