"""How a file becomes the pixels that a model sees: as it always was for 8 bits, by a range for more, and into the square that was chosen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from core.data import intake
from core.data.decoding import decode, deep_values, has_deep_values
from core.data.loader import ImageDataset, Loader, resize
from tests.data.decoding_cases import EIGHT_BITS, noise, reference


@pytest.mark.parametrize("name", EIGHT_BITS)
def test_eight_bits_are_cropped_as_ever_bit_for_bit(name: str, tmp_path: Path) -> None:
    file = tmp_path / "x.png"
    file.write_bytes(EIGHT_BITS[name])
    for side in (17, 64):
        assert np.array_equal(decode(file, side), reference(EIGHT_BITS[name], side))
        assert np.array_equal(intake.decode(file, side), decode(file, side)), "the guards around it change nothing"
    assert deep_values(file) is None
    assert not has_deep_values(file)
    assert np.array_equal(decode(file, 17, value_range=(100, 4000)), decode(file, 17)), "a range is for pictures with more than 8 bits"


# How a picture becomes a square


@pytest.mark.parametrize("turned", [False, True])
def test_each_fit_gives_the_pixels_that_it_promises(turned: bool, tmp_path: Path) -> None:
    """A picture of three squares side by side, red, green and blue: 96 x 32."""
    picture = Image.new("RGB", (96, 32))
    red, green, blue, black = ((255, 0, 0), (0, 255, 0), (0, 0, 255), (0, 0, 0))
    for place, colour in enumerate((red, green, blue)):
        picture.paste(Image.new("RGB", (32, 32), colour), (32 * place, 0))
    if turned:
        picture = picture.transpose(Image.Transpose.TRANSPOSE)
    picture.save(tmp_path / "x.png")

    def seen(fit: str) -> np.ndarray:
        pixels = decode(tmp_path / "x.png", 48, fit)  # type: ignore[arg-type]
        assert pixels.shape == (3, 48, 48)
        return pixels.transpose(0, 2, 1) if turned else pixels

    assert (seen("crop")[:, :, 2:-2] == np.reshape(green, (3, 1, 1))).all()  # at its edges Pillow looks a pixel beyond
    squashed = seen("squash")
    for column, colour in ((4, red), (24, green), (43, blue)):
        assert (squashed[:, :, column] == np.reshape(colour, (3, 1))).all()
    padded = seen("pad")
    assert (padded[:, :16] == 0).all()
    assert (padded[:, 32:] == 0).all()
    for column, colour in ((4, red), (24, green), (43, blue)):
        assert (padded[:, 17:31, column] == np.reshape(colour, (3, 1))).all()
    assert tuple(padded[:, 15, 24]) == black


def test_a_square_is_the_same_for_every_fit(tmp_path: Path) -> None:
    Image.fromarray(noise(50, 50, 3)).save(tmp_path / "x.png")
    for side in (17, 50, 64):
        crop, squash, pad = (decode(tmp_path / "x.png", side, fit) for fit in ("crop", "squash", "pad"))  # type: ignore[arg-type]
        assert np.array_equal(crop, squash)
        assert np.array_equal(crop, pad)


def test_a_single_row_of_pixels_can_be_padded(tmp_path: Path) -> None:
    Image.new("RGB", (900, 1), (9, 8, 7)).save(tmp_path / "x.png")
    pixels = decode(tmp_path / "x.png", 32, "pad")
    assert [tuple(pixels[:, row, 5]) for row in (14, 15, 16)] == [(0, 0, 0), (9, 8, 7), (0, 0, 0)]


@pytest.mark.parametrize("shape", [(32, 96), (96, 32), (33, 47)])
@pytest.mark.parametrize("fit", ["crop", "squash", "pad"])
def test_arrays_are_fitted_as_files_are(fit: str, shape: tuple[int, int], tmp_path: Path) -> None:
    blurred = Image.fromarray(noise(4, 4, 3)).resize(shape[::-1], Image.Resampling.BICUBIC)
    blurred.save(tmp_path / "x.png")
    array = torch.from_numpy(np.asarray(blurred).transpose(2, 0, 1).copy())[None]
    seen = resize(array, 24, fit)[0].numpy()  # type: ignore[arg-type]
    expected = decode(tmp_path / "x.png", 24, fit)  # type: ignore[arg-type]
    assert seen.shape == (3, 24, 24)
    # torch rounds otherwise, and cuts at whole pixels where Pillow cuts at half ones.
    assert np.abs(seen.astype(int) - expected).max() <= (1 if shape != (33, 47) or fit != "crop" else 8)


def test_arrays_that_are_square_or_of_the_size_that_is_wanted_are_the_same_for_every_fit() -> None:
    images = torch.from_numpy(noise(2, 3, 28, 28))
    assert torch.equal(resize(images, 32, "pad"), resize(images, 32, "crop"))
    assert torch.equal(resize(images, 32, "squash"), resize(images, 32, "crop"))
    assert resize(images, 28, "pad") is images


def test_what_is_kept_of_one_fit_is_not_taken_for_another() -> None:
    images = torch.from_numpy(noise(4, 3, 16, 32))

    def loader(fit: str) -> Loader:
        return Loader(ImageDataset(images, torch.arange(4), torch.arange(4), 16, "store", fit), 4)  # type: ignore[arg-type]

    assert len({loader(fit).key for fit in ("crop", "squash", "pad")}) == 3
    pad = loader("pad").of(torch.zeros(4, dtype=torch.int64), torch.arange(4))
    assert torch.equal(next(pad.batches(1)).images, resize(images, 16, "pad"))
