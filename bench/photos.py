"""A folder of JPEG files, one sub-folder a class, made from the two photographs that scikit-learn brings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = ("temple", "flower")
"""What the photographs show, in scikit-learn's order."""

SMALLEST, LARGEST = 256, 400  # px
QUALITY = 90


def make(folder: Path, train: int, test: int, seed: int = 0) -> Path:
    """Fill `folder` with `train/CLASS/*.jpg` and `test/CLASS/*.jpg`, that many in all; returns it. The same seed gives the same files.

    Each file is a square cut out at random, 256 to 400 px a side, so that resizing it to a square is the same for every loader,
    whether it cuts the middle out or not, and at 224 px too small for a decoder to take the short cut of decoding at half the size.
    """
    from sklearn.datasets import load_sample_images

    photographs = load_sample_images().images  # uint8 [427, 640, 3]
    generator = np.random.default_rng(seed)
    for part, count in (("train", train), ("test", test)):
        for name in CLASSES:
            (folder / part / name).mkdir(parents=True)
        for number in range(count):
            label = number % len(CLASSES)
            photograph = photographs[label]
            side = int(generator.integers(SMALLEST, LARGEST + 1))
            top, left = (int(generator.integers(0, length - side + 1)) for length in photograph.shape[:2])
            crop = Image.fromarray(photograph[top : top + side, left : left + side])
            crop.save(folder / part / CLASSES[label] / f"{number:05}.jpg", quality=QUALITY)
    return folder
