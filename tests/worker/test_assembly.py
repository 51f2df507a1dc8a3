"""A run's model is drawn while its pictures are read: with the same numbers as if one came after the other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from core import catalog
from core.config import ConfigError, RunConfig
from core.machine.home import Home
from core.networks import models
from core.worker import assembly
from core.worker.assembly import assemble

SMALL = RunConfig(dataset="digits", model="small_cnn", image_size=16, batch_size=64, seed=3, threads=1)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home.from_environment(str(tmp_path))


def drawn(config: RunConfig, classes: int) -> tuple[nn.Module, torch.Tensor]:
    """The model that the seed gives, and where it leaves torch's generator."""
    torch.manual_seed(config.seed)
    return models.build(config.model, classes, config.image_size), torch.get_rng_state()


def same(left: nn.Module, right: nn.Module) -> bool:
    mine, theirs = left.state_dict(), right.state_dict()
    return mine.keys() == theirs.keys() and all(torch.equal(mine[name], theirs[name]) for name in mine)


@pytest.mark.parametrize("fields", [{}, {"augmentation": "flip", "fixed_views": 2}, {"doubles": "leave out"}, {"fault": "shuffled labels"}])
def test_pictures_and_model_are_the_same_as_one_after_the_other(fields: dict[str, Any], home: Home) -> None:
    config = SMALL.replace(**fields)
    images, model = assembly._images_and_model(config, home, lambda text, share: None)
    chance = torch.get_rng_state()
    expected, expected_chance = drawn(config, len(images.classes))
    assert same(model, expected)
    assert torch.equal(chance, expected_chance), "whatever is drawn next is what it always was"


def test_reading_pictures_draws_nothing_from_torchs_generator(home: Home, tmp_path: Path) -> None:
    for number in range(12):
        path = tmp_path / "photos" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(number).integers(0, 256, (80, 60, 3), dtype=np.uint8)).save(path)
    torch.manual_seed(11)
    before = torch.get_rng_state()
    photos = {"dataset": f"folder:{tmp_path / 'photos'}", "augmentation": "crop and flip", "batch_size": 2}
    for fields in ({"augmentation": "trivial augment"}, photos):
        assembly.images_of(SMALL.replace(doubles="leave out", **fields), home)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_folder_that_has_changed_meanwhile_gets_a_head_for_what_is_in_it_now(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    config = assembly.check(SMALL, home)
    monkeypatch.setattr(catalog, "class_names", lambda name, root: ("one", "two"))
    _, model = assembly._images_and_model(config, home, lambda text, share: None)
    assert same(model, drawn(config, 10)[0])


def test_pictures_that_cannot_be_had_are_said_first_and_a_model_that_cannot_be_built_is_said_too(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> nn.Module:
        raise ConfigError("model", "cannot be built")

    monkeypatch.setattr(models, "build", broken)
    with pytest.raises(ConfigError, match="cannot be built"):
        assemble(SMALL, home)
    with pytest.raises(ConfigError, match="there are to train on"):
        assemble(SMALL.replace(batch_size=1024, accumulate=4), home)
