"""One picture under random changes, and one batch as the model gets it: the figures against torch."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core import data
from core.config import ConfigError, RunConfig
from core.explaining.batch import batch_seen, variants
from core.explaining.specimen import first_pictures
from core.machine.home import Home
from core.networks.model_entries import IMAGENET
from core.records.batches import about_back, about_detail, about_reuse

CONFIG = RunConfig(dataset="digits", model="small_cnn", image_size=16, batch_size=32, seed=3, augmentation="crop and flip")


def pixels_of(uri: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(12):
        path = tmp_path / "photos" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(number).integers(0, 256, (80, 60, 3), dtype=np.uint8)).save(path)
    return tmp_path / "photos"


def test_eight_variants_of_one_picture_are_drawn_of_it_as_large_as_it_is_kept(folder: Path, home: Home) -> None:
    config = CONFIG.replace(dataset=f"folder:{folder}")
    found = variants(config, home, 14)
    assert (found.number, found.of, found.label, found.side, found.image_size) == (2, 12, "a", 32, 16)
    assert len({*found.after, found.before}) == 9
    assert not (home.cache / "decoded").exists(), "one file is decoded, and nothing kept"
    plain = variants(config.replace(augmentation="none"), home, 2)
    assert set(plain.after) == {plain.before} == {found.before}
    assert "kept at 32 px a side, and made 16 px" in about_detail(found)
    assert "detail of their own" not in about_detail(plain)
    flipped = variants(config.replace(augmentation="RandomHorizontalFlip(p=1.0)"), home, 2)
    assert np.array_equal(pixels_of(flipped.after[0]), pixels_of(plain.before)[:, ::-1])


def test_a_picture_that_cannot_be_read_is_said_to_be_one(folder: Path, home: Home) -> None:
    (folder / "a" / "0.png").write_bytes(b"no picture")
    with pytest.raises(ConfigError, match=r"0\.png cannot be read"):
        variants(CONFIG.replace(dataset=f"folder:{folder}"), home, 0)


def test_a_batch_is_the_first_of_the_run_and_comes_back_from_its_normalised_numbers(home: Home) -> None:
    found = batch_seen(CONFIG, home)
    pixels, labels = first_pictures(data.prepare(CONFIG, home, lambda text, share: None), 32)
    given = data.Normalise(*IMAGENET)(pixels)
    assert (found.loaded.shape, found.loaded.dtype, found.given.dtype, found.given.device) == ((32, 3, 16, 16), "uint8", "float32", "cpu")
    assert (found.loaded.low, found.loaded.high) == (float(pixels.min()), float(pixels.max()))
    assert (found.given.low, found.given.high) == (float(given.min()), float(given.max()))
    assert found.given.channel_mean == pytest.approx(given.mean(dim=(0, 2, 3)).tolist())
    assert (found.loaded.megabytes, found.given.megabytes) == (32 * 3 * 256 / 1e6, 4 * 32 * 3 * 256 / 1e6)
    assert np.array_equal(pixels_of(found.pictures[3]), pixels[3].permute(1, 2, 0).numpy())
    assert found.back < 1e-3
    assert list(found.label_numbers) == labels[:8].tolist()
    assert pixels_of(found.normalised[0]).dtype == np.uint8
    assert "Nothing is lost" in about_back(found)


@pytest.mark.parametrize(("given", "said"), [((False, False, None), "all of it"), ((True, True, None), "both"), ((True, False, 4), "4 random ones")])
def test_what_is_kept_of_frozen_layers_is_said(given: tuple[bool, bool, int | None], said: str) -> None:
    assert said in about_reuse(*given)
    assert "nothing that frozen layers compute can be kept" in about_reuse(True, False, None)
