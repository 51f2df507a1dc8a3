"""Augmentations put together from steps of torchvision: read, checked, built, and the same in code."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torchvision.transforms import v2

from core.catalog import check
from core.config import ConfigError, RunConfig
from core.data import steps
from core.data.augmentations import find_augmentation
from core.data.steps import STEPS

LIST = "RandomResizedCrop(scale=[0.5, 1.0]), RandomHorizontalFlip, v2.ColorJitter(brightness=0.2)"


def batch(side: int = 24) -> list[Tensor]:
    return list(torch.randint(0, 256, (6, 3, side, side), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)))


@pytest.mark.parametrize("name", STEPS)
def test_every_step_is_one_of_torchvision_and_changes_by_the_generator_alone(name: str) -> None:
    step = steps.step(name, {"p": 1.0} if STEPS[name].option("p") else {})
    assert repr(eval(step.code(24), {"v2": v2})) == repr(step.build(24)), "the code that is shown builds what is used"
    pictures = batch()
    before = torch.stack(pictures)
    augmentation = find_augmentation(str(step)).build()
    torch.manual_seed(3)
    first, again, other = (augmentation(pictures, 24, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.initial_seed() == 3, "the global generator is as it was"
    assert (first.dtype, first.shape) == (torch.uint8, (6, 3, 24, 24))
    assert torch.equal(first, again)
    assert torch.equal(torch.stack(pictures), before)
    assert not torch.equal(first, before)
    assert STEPS[name].options or not torch.equal(first, other)


def test_a_list_is_kept_in_full_and_reads_as_itself() -> None:
    config = check(RunConfig(augmentation=LIST))
    assert config.augmentation == (
        "RandomResizedCrop(scale=[0.5, 1.0], ratio=[0.75, 1.3333]), RandomHorizontalFlip(p=0.5), "
        "ColorJitter(brightness=0.2, contrast=0.4, saturation=0.4, hue=0.0)"
    )
    assert check(config) == config
    entry = find_augmentation(config.augmentation)
    assert (entry.smallest_area, entry.changes, len(entry.own)) == (0.5, True, 3)
    assert find_augmentation("RandomHorizontalFlip(), RandomResizedCrop()").smallest_area is None, "only what comes first sees large pictures"


def test_a_long_list_fits_into_a_config() -> None:
    text = ", ".join(str(steps.step(name, {})) for name in list(STEPS)[:20])
    assert check(RunConfig(augmentation=text)).augmentation == text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("RandomFlip()", "did you mean"),
        ("RandomRotation(degrees=400)", "degrees must be a finite number 0 or more and 180 or less, got 400"),
        ("RandomRotation(angle=4)", "has no option 'angle'"),
        ("RandomRotation(4)", "options by name"),
        ("RandomRotation(degrees=4", "no list of steps"),
        ("RandomRotation(degrees=__import__('os'))", "give a number"),
        ("__import__('os').system('true')", "options by name"),
        ("RandomRotation(**{})", "options by name"),
        ("(lambda: 1)()", "is no step"),
        ("RandomResizedCrop(scale=[1.0, 0.5])", "smaller number first"),
        ("RandomResizedCrop(scale=[0.5])", "a list of 2 numbers"),
        ("GaussianBlur(kernel_size=4)", "odd number"),
        (", ".join(["RandomInvert()"] * 21), "21 steps were given"),
        ("(" * 500 + ")" * 500, "no list of steps"),
        ("()", "is no step"),
    ],
)
def test_what_is_no_list_of_steps_is_refused_with_a_remedy(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match="augmentation") as caught:
        find_augmentation(text)
    assert said in caught.value.message, caught.value.message


def test_steps_without_brackets_have_their_defaults() -> None:
    assert find_augmentation("RandomHorizontalFlip, GaussianBlur") == find_augmentation("RandomHorizontalFlip(), GaussianBlur()")


def test_names_of_presets_are_no_lists() -> None:
    assert find_augmentation("crop, flip and colour").name == "crop, flip and colour"
    with pytest.raises(ConfigError, match="did you mean"):
        find_augmentation("flipp")
