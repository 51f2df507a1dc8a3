"""Random changes to training images: each epoch shows slightly different pictures, so that a model learns what matters.

A change takes a whole batch, uint8 [N, 3, S, S], and a source of chance, and changes each image in its own way; the same
chance gives the same pictures. The changes themselves are in `core.data.changes`. No torch here until one is built.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.config.entry import Entry, by_name

if TYPE_CHECKING:
    from core.data.loader import Augmentation


@dataclass(frozen=True)
class AugmentationEntry(Entry):
    """One kind of random change. `steps` names functions of `core.data.changes`, in the order in which they are done.

    `variants` names the function there that says which of two possible pictures each sample becomes; empty: there are too many.
    """

    steps: tuple[str, ...] = ()
    variants: str = ""

    def build(self, fixed_views: int | None = None) -> Augmentation:
        """The change, ready for a `Loader`."""
        from core.data.loader import Augmentation

        if not self.steps:
            return Augmentation()
        from core.data import changes

        variants = changes.VARIANTS[self.variants] if self.variants else None
        return Augmentation(self.name, changes.chain(*(changes.CHANGES[step] for step in self.steps)), variants, fixed_views)


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
