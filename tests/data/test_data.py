"""Splits, loaders, augmentations and `prepare`, on the datasets that need no network."""

from __future__ import annotations

import inspect
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor

from core.config import ConfigError, RunConfig
from core.data import Data, Loader, Normalise, embedded, images, loader, prepare
from core.data.augmentations import AUGMENTATIONS
from core.data.loader import Augmentation, ImageDataset
from core.data.sources import Source
from core.data.splits import stratified_split
from core.machine.home import Home
from core.networks.model_entries import IMAGENET
from tests.support import ROOT


def quiet(text: str, share: float | None) -> None:
    """A progress callback that tells nobody."""


def prepared(home: Home, **fields: object) -> Data:
    return prepare(RunConfig(**{"dataset": "digits", "image_size": 16, **fields}), home, quiet)


def everything(loader: Loader, epoch: int = 1) -> tuple[Tensor, Tensor]:
    batches = list(loader.batches(epoch))
    return torch.cat([batch.images for batch in batches]), torch.cat([batch.labels for batch in batches])


def numbered_loader(samples: int, batch_size: int, seed: int | None = 0) -> Loader:
    """A loader whose labels are the places of the samples."""
    pixels = torch.arange(samples, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, 8, 8)
    return Loader(ImageDataset(pixels, torch.arange(samples), torch.arange(samples), image_size=8), batch_size, seed)


# Splits


def test_a_split_holds_the_asked_share_out_of_every_class() -> None:
    labels = np.repeat([0, 1, 2], [100, 50, 10])
    kept, held_out = stratified_split(labels, 0.2, seed=0)
    assert np.bincount(labels[held_out]).tolist() == [20, 10, 2]
    assert sorted([*kept, *held_out]) == list(range(160))


def test_a_split_adds_up_to_the_share_of_the_whole_though_classes_do_not_divide() -> None:
    labels = np.repeat(np.arange(10), 7)
    kept, held_out = stratified_split(labels, 0.2, seed=3)
    assert len(held_out) == 14
    assert np.bincount(labels[held_out], minlength=10).max() == 2
    assert len(kept) == 56


@pytest.mark.parametrize("share", [0.05, 0.5, 0.9])
def test_a_class_always_keeps_an_image_to_train_on(share: float) -> None:
    labels = np.repeat([0, 1, 2], [1, 2, 30])
    kept, _ = stratified_split(labels, share, seed=0)
    assert set(labels[kept]) == {0, 1, 2}


def test_a_split_depends_on_the_seed_and_on_nothing_else() -> None:
    labels = np.repeat(np.arange(5), 40)
    assert np.array_equal(stratified_split(labels, 0.3, 1)[1], stratified_split(labels, 0.3, 1)[1])
    assert not np.array_equal(stratified_split(labels, 0.3, 1)[1], stratified_split(labels, 0.3, 2)[1])


# Loader


def test_an_epoch_has_every_sample_once_in_an_order_of_its_own() -> None:
    loader = numbered_loader(100, batch_size=32)
    first, second = everything(loader, 1)[1], everything(loader, 2)[1]
    assert sorted(first.tolist()) == sorted(second.tolist()) == list(range(100))
    assert first.tolist() != second.tolist()
    assert everything(numbered_loader(100, batch_size=32), 2)[1].tolist() == second.tolist()
    assert everything(numbered_loader(100, batch_size=32, seed=1), 2)[1].tolist() != second.tolist()


def test_an_evaluation_loader_keeps_the_order() -> None:
    loader = numbered_loader(70, batch_size=32, seed=None)
    assert everything(loader, 5)[1].tolist() == list(range(70))


@pytest.mark.parametrize(
    ("samples", "batch_size", "seed", "sizes"),
    [
        (64, 32, 0, [32, 32]),
        (70, 32, 0, [32, 32, 6]),
        (65, 32, 0, [32, 32]),  # a last training batch of one is left out: BatchNorm cannot use it
        (65, 32, None, [32, 32, 1]),
        (1, 32, 0, [1]),
        (3, 1, 0, [1, 1, 1]),
    ],
)
def test_steps_per_epoch_are_the_batches_that_come(samples: int, batch_size: int, seed: int | None, sizes: list[int]) -> None:
    loader = numbered_loader(samples, batch_size, seed)
    assert [len(labels) for _, labels in loader.batches(1)] == sizes
    assert len(loader) == len(sizes)


@pytest.mark.parametrize(
    ("samples", "most", "sizes"),
    [(64, 32, [32, 32]), (65, 32, [22, 22, 21]), (32, 32, [32]), (3, 2, [3]), (5, 2, [3, 2]), (3, 1, [1, 1, 1]), (1, 2, [1])],
)
def test_parts_of_a_batch_are_few_equal_and_never_a_single_sample(samples: int, most: int, sizes: list[int]) -> None:
    (batch,) = numbered_loader(samples, batch_size=samples).batches(1)
    parts = batch.parts(most)
    assert [len(part) for part in parts] == sizes
    assert torch.equal(torch.cat([part.labels for part in parts]), batch.labels)
    assert torch.equal(torch.cat([part.images for part in parts]), batch.images)


def test_loading_takes_nothing_from_the_global_chance(home: Home) -> None:
    data = prepared(home, augmentation="trivial augment", batch_size=64)
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    everything(data.train)
    everything(data.test)
    assert torch.equal(torch.rand(3), expected)


def test_a_sample_can_be_asked_for_alone() -> None:
    image, label = ImageDataset(torch.zeros(4, 1, 8, 8, dtype=torch.uint8), torch.arange(4), torch.tensor([3, 1]), image_size=12)[1]
    assert image.shape == (3, 12, 12)
    assert label == 1


def test_images_resized_batch_by_batch_are_those_resized_up_front(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    up_front = everything(prepared(home, image_size=40).test)[0]
    monkeypatch.setattr(images, "KEEP_BYTES", 1000)
    assert torch.equal(everything(prepared(home, image_size=40).test)[0], up_front)


def test_a_set_larger_than_a_chunk_is_resized_whole(home: Home) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5_000, 1, 8, 8), dtype=np.uint8)
    store = images.open_images(Source(pixels, np.zeros(5_000, dtype=np.int64)), images.How(12), home.cache, "images", quiet)
    assert torch.equal(store.images[4_990:], loader.resize(torch.from_numpy(pixels[4_990:]), 12))


def test_normalise_is_the_textbook_formula_to_the_bit() -> None:
    batch = torch.randint(0, 256, (4, 3, 8, 8), dtype=torch.uint8)
    mean, std = (torch.tensor(figures).view(1, 3, 1, 1) for figures in IMAGENET)
    normalise = Normalise(*IMAGENET)
    assert torch.equal(normalise(batch), (batch.float() / 255 - mean) / std)
    assert normalise.state_dict() == {}
    assert batch.dtype == torch.uint8


# Augmentations


def augmentation_of(augmentation: Augmentation, batch: Tensor, generator: torch.Generator) -> Tensor:
    return augmentation(batch, batch.shape[-1], generator)


@pytest.mark.parametrize("entry", AUGMENTATIONS.values(), ids=list(AUGMENTATIONS))
def test_every_augmentation_changes_images_by_the_generator_alone(entry: object) -> None:
    augmentation = entry.build()  # type: ignore[attr-defined]
    if augmentation.change is None:
        return
    augment = partial(augmentation_of, augmentation)
    batch = torch.randint(0, 256, (16, 3, 24, 24), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    before = batch.clone()
    changed = augment(batch, torch.Generator().manual_seed(1))
    assert changed.dtype == torch.uint8
    assert changed.shape == batch.shape
    assert torch.equal(batch, before), "the batch that came in must not be written to"
    assert torch.equal(changed, augment(batch, torch.Generator().manual_seed(1)))
    assert not torch.equal(changed, augment(batch, torch.Generator().manual_seed(2)))
    assert not torch.equal(changed, batch)


@pytest.mark.parametrize("name", ["shift", "crop and flip", "rotate", "colour jitter"])
def test_each_image_of_a_batch_is_changed_in_its_own_way(name: str) -> None:
    picture = torch.randint(0, 256, (1, 3, 24, 24), dtype=torch.uint8).expand(8, -1, -1, -1)
    changed = AUGMENTATIONS[name].build()(picture, 24, torch.Generator().manual_seed(0))
    assert len({image.numpy().tobytes() for image in changed}) > 4


def test_every_batch_of_every_epoch_has_random_changes_of_its_own() -> None:
    images = ImageDataset(torch.arange(24 * 3 * 4, dtype=torch.uint8).view(24, 3, 2, 2), torch.zeros(24, dtype=torch.int64), torch.arange(24), 2)
    drawn: list[int] = []

    def change(batch: Tensor, generator: torch.Generator) -> Tensor:
        drawn.append(int(torch.randint(2**62, (), generator=generator)))
        return batch

    def draws(seed: int, epoch: int) -> list[int]:
        drawn.clear()
        batches = list(Loader(images, 4, seed, Augmentation("drawn", change)).batches(epoch))
        for batch in reversed(batches):  # whenever, and in whatever order, the pictures are asked for
            assert batch.images.shape == (4, 3, 2, 2)
        return drawn[::-1]

    found = {(seed, epoch): draws(seed, epoch) for seed in (0, 1) for epoch in (1, 2, 3)}
    assert all(len(numbers) == 6 for numbers in found.values())
    assert len({number for numbers in found.values() for number in numbers}) == 2 * 3 * 6, "no two batches of any epoch or seed share their chance"
    assert draws(1, 2) == found[1, 2], "and each comes again as it was"


def test_a_flip_mirrors_half_of_the_images_and_leaves_the_others() -> None:
    augment = AUGMENTATIONS["flip"].build().change
    assert augment is not None
    batch = torch.randint(0, 256, (1000, 3, 4, 4), dtype=torch.uint8)
    changed = augment(batch, torch.Generator().manual_seed(0))
    mirrored = (changed == batch.flip(-1)).flatten(1).all(1)
    same = (changed == batch).flatten(1).all(1)
    assert bool((mirrored | same).all())
    assert 400 < int(mirrored.sum()) < 600


def test_a_crop_of_an_even_picture_is_even_and_stays_inside() -> None:
    changed = AUGMENTATIONS["crop and flip"].build()(torch.full((64, 3, 32, 32), 200, dtype=torch.uint8), 32, torch.Generator().manual_seed(0))
    assert (changed == 200).all(), "nothing from outside of the picture comes in"


def test_training_images_are_augmented_and_others_are_not(home: Home) -> None:
    plain, augmented = prepared(home), prepared(home, augmentation="shift")
    assert not torch.equal(everything(plain.train)[0], everything(augmented.train)[0])
    assert torch.equal(everything(augmented.train, 3)[0], everything(augmented.train, 3)[0])
    assert torch.equal(everything(plain.test)[0], everything(augmented.test)[0])
    assert plain.validation is not None
    assert augmented.validation is not None
    assert torch.equal(everything(plain.validation)[0], everything(augmented.validation)[0])


# prepare


def test_digits_are_those_of_scikit_learn(home: Home) -> None:
    from sklearn.datasets import load_digits

    data = prepared(home, image_size=8, validation_share=0.0)
    pictures, labels = (torch.cat(parts) for parts in zip(everything(data.train), everything(data.test), strict=True))
    digits = load_digits()
    grey = np.rint(digits.images * 255 / 16).astype(np.uint8)
    theirs = sorted((int(label), picture.tobytes()) for label, picture in zip(digits.target, grey, strict=True))
    ours = sorted((int(label), picture[0].numpy().tobytes()) for label, picture in zip(labels, pictures, strict=True))
    assert ours == theirs


def test_the_test_set_is_the_same_for_every_seed_and_the_validation_set_is_not(home: Home) -> None:
    one, other = prepared(home, seed=1), prepared(home, seed=2)
    assert torch.equal(everything(one.test)[0], everything(other.test)[0])
    assert one.validation is not None
    assert other.validation is not None
    assert not torch.equal(everything(one.validation)[0], everything(other.validation)[0])


def test_no_image_is_in_two_sets(home: Home) -> None:
    data = prepared(home)
    assert data.validation is not None
    indices = [*data.train.images.indices.tolist(), *data.validation.images.indices.tolist(), *data.test.images.indices.tolist()]
    assert sorted(indices) == list(range(1797))


def test_no_validation_share_means_no_validation_loader(home: Home) -> None:
    data = prepared(home, validation_share=0.0)
    assert data.validation is None
    assert len(data.train.images) == 1438


def test_a_batch_larger_than_the_training_set_is_refused(home: Home) -> None:
    with pytest.raises(ConfigError, match="1,150 or less") as caught:
        prepared(home, batch_size=1_151)
    assert caught.value.field == "batch_size"


def test_a_validation_share_that_comes_to_nothing_is_refused(home: Home) -> None:
    with pytest.raises(ConfigError, match="leaves none to validate on") as caught:
        prepared(home, validation_share=0.0001)
    assert caught.value.field == "validation_share"


def test_an_unknown_augmentation_is_refused_by_name(home: Home) -> None:
    with pytest.raises(ConfigError, match="did you mean flip") as caught:
        prepared(home, augmentation="flipp")
    assert caught.value.field == "augmentation"


def test_shapes_are_always_the_same_ones_and_can_be_told_apart(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "drawn", inspect.unwrap(embedded.drawn))  # elsewhere they are drawn once for all tests
    data = prepared(home, dataset="shapes", image_size=64)
    again = prepared(home, dataset="shapes", image_size=64)
    assert torch.equal(everything(data.test)[0], everything(again.test)[0])
    assert data.classes == ("circle", "square", "triangle", "star", "cross", "ring")
    assert len(data.test.images) == 480


def test_the_catalogue_and_the_folder_scan_need_no_torch() -> None:
    code = "import sys, core.data.datasets, core.data.augmentations, core.data.intake; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
