"""Pictures that are in two sets: they are left out of training, all of them and no others, and the run is that of a dataset without them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from core.config import ConfigError, RunConfig
from core.data import Data, prepare
from core.data.leakage import overlaps, without_doubles
from core.machine.home import Home
from core.worker.assembly import Assembly, assemble

pytestmark = pytest.mark.usefixtures("one_thread")

TINY: dict[str, Any] = {"image_size": 8, "model": "tiny: flatten, linear 16, tanh", "epochs": 2, "device": "cpu", "threads": 1}


def prepared(home: Home) -> Data:
    return prepare(RunConfig(**TINY), home, lambda text, share: None)


def trained(home: Home, **changes: Any) -> Assembly:
    made = assemble(RunConfig(**{**TINY, **changes}), home)
    for _ in made.trainer.run():
        pass
    return made


def state(made: Assembly) -> list[torch.Tensor]:
    return list(made.trainer.model.state_dict().values())


def photos(folder: Path, pictures: dict[str, list[int]]) -> str:
    """A folder of class folders; the same number is the same picture."""
    for label, numbers in pictures.items():
        (folder / label).mkdir(parents=True)
        for place, number in enumerate(numbers):
            pixels = np.random.default_rng(number).integers(0, 256, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / label / f"{place}.png")
    return f"folder:{folder}"


def test_every_training_picture_that_is_measured_on_is_left_out_and_no_other(home: Home) -> None:
    data = prepared(home)
    assert data.validation is not None
    train, validation, test = data.train.images, data.validation.images, data.test.images
    store = train.images
    assert isinstance(store, Tensor)
    doubles = train.indices[[3, 70, 71, 500, 900]]
    store[doubles[0]] = store[validation.indices[0]]
    store[doubles[1]] = store[doubles[2]] = store[test.indices[5]]  # twice in the training set
    store[doubles[3]] = store[test.indices[6]]
    store[test.indices[7]] = store[test.indices[6]]  # and twice in the test set
    store[doubles[4]] = store[test.indices[8]]
    train.labels[doubles[4]] = (train.labels[test.indices[8]] + 1) % 10  # another label makes it no other picture
    nearly = train.indices[20]
    store[nearly] = store[test.indices[9]]
    store[nearly, 0, 4, 4] ^= 1
    assert sum(overlap.shared for overlap in overlaps(data)) == 5

    left = without_doubles(data)
    gone = set(train.indices.tolist()) - set(left.train.images.indices.tolist())
    assert gone == set(doubles.tolist())
    assert left.train.images.indices.tolist() == [place for place in train.indices.tolist() if place not in gone]  # in the order they had
    assert not any(overlap.shared for overlap in overlaps(left))
    assert (left.validation, left.test) == (data.validation, data.test)
    assert left.notes == (*data.notes, "Left out of the 1,150 training pictures: 5 that are in the validation or the test set too, pixel for pixel.")
    assert left.train.key == data.train.key  # a picture's number means what it meant: kept features stay right
    labels = torch.cat([batch.labels for batch in left.train.batches(1)])
    assert len(labels) == 1145


def test_run_without_its_doubles_is_to_the_bit_the_run_of_a_dataset_that_has_none(home: Home) -> None:
    whole, mended = trained(home), trained(home, fault="leaking split", doubles="leave out")
    assert all(torch.equal(one, other) for one, other in zip(state(whole), state(mended), strict=True))
    leaking = trained(home, fault="leaking split")
    assert not all(torch.equal(one, other) for one, other in zip(state(whole), state(leaking), strict=True))
    assert (leaking.plan.train_samples, mended.plan.train_samples) == (1797, 1150)
    assert mended.plan.steps_per_epoch == whole.plan.steps_per_epoch
    assert mended.plan.notes == ("Left out of the 1,797 training pictures: 647 that are in the validation or the test set too, pixel for pixel.",)
    assert not any(overlap.shared for overlap in overlaps(mended.images, home.cache))
    healthy = trained(home, doubles="leave out")
    assert healthy.plan.notes == ("No training picture is in the validation or the test set too, so none was left out.",)
    assert all(torch.equal(one, other) for one, other in zip(state(whole), state(healthy), strict=True))


def test_features_that_were_kept_are_right_for_what_is_left(home: Home, tmp_path: Path) -> None:
    dataset = photos(tmp_path / "photos", {name: [*range(first, first + 40), *[7] * 20] for name, first in (("cat", 0), ("dog", 100))})
    changes = {"dataset": dataset, "model": "small_cnn", "freeze": "head only", "batch_size": 8}
    kept = trained(home, **changes)  # fills the table with all pictures
    less = trained(home, **changes, doubles="leave out")
    assert less.plan.train_samples < kept.plan.train_samples
    assert less.trainer.partition.tell().found
    plain = trained(home, **changes, doubles="leave out", feature_cache="off")
    assert all(torch.equal(one, other) for one, other in zip(state(less), state(plain), strict=True))


def test_class_of_which_nothing_is_left_is_named_and_trained_without(home: Home, tmp_path: Path) -> None:
    dataset = photos(tmp_path / "photos", {"cat": list(range(30)), "dog": [99] * 30})
    made = trained(home, dataset=dataset, batch_size=4, doubles="leave out", class_weights="balanced")
    assert "No training picture is left of dog, so that cannot be learned." in made.plan.notes
    assert made.facts.class_counts[1] == 0
    assert all(torch.isfinite(tensor).all() for tensor in state(made))


@pytest.mark.parametrize(
    ("pictures", "changes", "field", "words"),
    [
        (
            {"cat": [1] * 20, "dog": [2] * 20},
            {},
            "doubles",
            "'leave out' leaves nothing to train on: all 26 training pictures are in the validation or",
        ),
        (
            {"cat": [1] * 20, "dog": [2] * 20},
            {"validation_share": 0.0},
            "doubles",
            "all 32 training pictures are in the test set too; set doubles to",
        ),
        ({"cat": list(range(20)), "dog": [99] * 20}, {"batch_size": 20}, "batch_size", "20 is more than the 13 images there are to train on; use 13"),
        ({"cat": list(range(20)), "dog": [99] * 20}, {"accumulate": 4}, "accumulate", "4 batches of 4 are more than the 13 images there are"),
    ],
    ids=["all of them", "all of them, without validation", "fewer than a batch", "fewer than a step"],
)
def test_too_little_that_is_left_is_refused_with_what_to_do(
    home: Home, tmp_path: Path, pictures: dict[str, list[int]], changes: dict[str, Any], field: str, words: str
) -> None:
    dataset = photos(tmp_path / "photos", pictures)
    config = RunConfig(**{**TINY, "dataset": dataset, "batch_size": 4, **changes})
    assemble(config, home)
    with pytest.raises(ConfigError, match=words) as caught:
        assemble(config.replace(doubles="leave out"), home)
    assert caught.value.field == field


def test_pictures_of_two_sizes_are_never_doubles(home: Home) -> None:
    data = prepared(home)
    other = prepare(RunConfig(**{**TINY, "image_size": 16}), home, lambda text, share: None)
    mixed = Data(data.classes, data.train, None, other.test)
    assert without_doubles(mixed).notes == ("No training picture is in the test set too, so none was left out.",)
