"""Random changes to training images: each epoch shows slightly different pictures, so that a model learns what matters.

A change takes a whole batch, uint8 [N, 3, S, S], and a source of chance, and changes each image in its own way; the same
chance gives the same pictures. The changes themselves are in `core.data.changes`. No torch here until one is built.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from core.config.entry import Entry, by_name, find
from core.data import steps
from core.data.steps import Step

if TYPE_CHECKING:
    from core.data.loader import Augmentation


DETAIL_BYTES = 8 * 2**30
"""Pictures for random crops are kept up to this size in all: where there are too many, smaller ones."""


@dataclass(frozen=True)
class AugmentationEntry(Entry):
    """One kind of random change. `steps` names functions of `core.data.changes`, in the order in which they are done.

    `variants` names the function there that says which of two possible pictures each sample becomes; empty: there are too many.
    """

    steps: tuple[str, ...] = ()
    variants: str = ""
    own: tuple[Step, ...] = ()
    """Steps of torchvision instead, put together by a person."""

    @property
    def changes(self) -> bool:
        """Whether anything is changed."""
        return bool(self.steps or self.own)

    def build(self, fixed_views: int | None = None) -> Augmentation:
        """The change, ready for a `Loader`."""
        from core.data.loader import Augmentation

        if not self.changes:
            return Augmentation()
        from core.data import changes

        if self.own:
            return Augmentation(self.name, changes.chain(), partial(changes.transformed_by, self.own), fixed_views=fixed_views)

        variants = changes.VARIANTS[self.variants] if self.variants else None
        cuts = [changes.CUTS[step] for step in self.steps[:1] if step in changes.CUTS]
        change = changes.chain(*(changes.CHANGES[step] for step in self.steps[len(cuts) :]))
        return Augmentation(self.name, change, cuts[0] if cuts else None, variants, fixed_views)

    @property
    def smallest_area(self) -> float | None:
        """The smallest share of a picture that can fill all of it; None where nothing is cut out."""
        if self.own and self.own[0].entry.name == "RandomResizedCrop":
            return float(self.own[0].options["scale"][0])  # type: ignore[index]  # two numbers
        return 0.25 if self.steps[:1] == ("crop",) else None


AUGMENTATIONS = by_name(
    (
        AugmentationEntry(
            "none",
            "None",
            "Every epoch sees the same pictures: right for a first look, and all features of frozen layers can be kept.",
        ),
        AugmentationEntry(
            "flip",
            "Flip",
            "Half of the images are mirrored left to right. Right for photos; wrong for digits and letters, where a mirrored 3 is no 3.",
            steps=("flip",),
            variants="flip",
        ),
        AugmentationEntry(
            "shift",
            "Shift",
            "Each image is moved by up to an eighth of its side, with black behind it. Safe for digits and letters.",
            steps=("shift",),
        ),
        AugmentationEntry(
            "shift and flip",
            "Shift and flip",
            "Moved by up to an eighth, and half of them mirrored: the usual choice for CIFAR and other small photos. Wrong for digits and letters.",
            steps=("shift", "flip"),
        ),
        AugmentationEntry(
            "crop and flip",
            "Crop and flip",
            "A random part of the image (a quarter of it at least) fills the picture, and half are mirrored: the usual choice for photos. "
            "Wrong for digits and letters.",
            steps=("crop", "flip"),
        ),
        AugmentationEntry(
            "rotate",
            "Rotate",
            "Each image is turned by up to 15 degrees either way, with black behind it. Safe for digits and letters.",
            steps=("rotate",),
        ),
        AugmentationEntry(
            "colour jitter",
            "Colour jitter",
            "Brightness, contrast and saturation change by up to 40 percent. Right where light varies; wrong where colour tells the classes apart.",
            steps=("colour",),
        ),
        AugmentationEntry(
            "crop, flip and colour",
            "Crop, flip and colour",
            "A random part fills the picture, half are mirrored, and brightness, contrast and saturation change: strong, for photos and many epochs.",
            steps=("crop", "flip", "colour"),
        ),
        AugmentationEntry(
            "trivial augment",
            "Trivial augment",
            "One change drawn at random for each image (turn, shear, shift, colour, contrast, ...) with random strength, as in TrivialAugment "
            "(Mueller and Hutter, 2021). Strong and slower than the others; for photos and many epochs.",
            steps=("trivial",),
        ),
    )
)


def largest_side(image_size: int, smallest_area: float | None, pictures: int = 0) -> int:
    """Up to how many pixels a side pictures are kept for random crops of at least this share of their area: as many as the smallest crop needs.

    `image_size` where nothing is cut out, and where so many pictures would take more than `DETAIL_BYTES` if they were larger.
    """
    if smallest_area is None:
        return image_size
    needed = image_size / math.sqrt(smallest_area)
    for share in (1.0, 0.5, 0.25):
        side = math.ceil(image_size + share * (needed - image_size))
        if 3 * side**2 * pictures <= DETAIL_BYTES:
            return side
    return image_size


def find_augmentation(text: str) -> AugmentationEntry:
    """The augmentation of this name, or that which a list of steps says (`core.data.steps`).

    Raises:
        ConfigError: on `augmentation`, there is none of that name, or the list cannot be used.
    """
    if not steps.is_list(text):
        return find(AUGMENTATIONS, "augmentation", text)
    own = steps.parse(text)
    return AugmentationEntry(steps.written(own), "Own steps", "Steps of torchvision, one after the other, picture by picture.", own=own)
