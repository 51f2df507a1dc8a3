"""The code that reads a version of a person's own pictures with a `Dataset` and a `DataLoader`, and gives what Thaw's own gives."""

from __future__ import annotations

from pathlib import Path

from core.versions import Version

_SQUARE = {
    "crop": "        square = ImageOps.fit(picture, (SIZE, SIZE), method=Image.Resampling.BILINEAR)  # the middle, cut out",
    "squash": "        square = picture.resize((SIZE, SIZE), Image.Resampling.BILINEAR)  # all of it, distorted",
    "pad": """        across, down = (max(1, round(side * SIZE / max(picture.size))) for side in picture.size)
        square = Image.new("RGB", (SIZE, SIZE))  # all of it, with black at two sides
        square.paste(picture.resize((across, down), Image.Resampling.BILINEAR), ((SIZE - across) // 2, (SIZE - down) // 2))""",
}
"""How a picture becomes a square, by the fit of the version."""


def loading_code(version: Version, folder: Path, split: str, image_size: int, batch_size: int, seed: int) -> str:
    """A script for the pictures of `split` ('all': every one) of a dataset that lies in `folder`."""
    rows = "ROWS = list(csv.DictReader(file))" if split == "all" else f'ROWS = [row for row in csv.DictReader(file) if row["split"] == {split!r}]'
    return f'''"""{version.text}: its pictures one by one, and in batches."""

import csv
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch.utils.data import DataLoader, Dataset

FOLDER = Path({str(folder)!r})
CLASSES = {list(version.classes)!r}
SIZE, BATCH, SEED = {image_size}, {batch_size}, {seed}

with (FOLDER / "versions" / "{version.number:04}.csv").open(newline="", encoding="utf-8") as file:
    {rows}


class Pictures(Dataset):
    """How many samples there are, and the one at an index: all that a Dataset is."""

    def __len__(self):
        return len(ROWS)

    def __getitem__(self, index):
        row = ROWS[index]
        file = FOLDER / "pictures" / row["sha256"][:2] / (row["sha256"] + row["ending"])
        with Image.open(file) as image:
            image.draft("RGB", (2 * SIZE, 2 * SIZE))  # a JPEG is decoded at half its size or less where that is enough
            picture = ImageOps.exif_transpose(image).convert("RGB")
{_SQUARE[version.fit or "crop"]}
        pixels = torch.from_numpy(np.asarray(square).copy()).permute(2, 0, 1)  # uint8 [3, SIZE, SIZE], 0 to 255
        return pixels, CLASSES.index(row["label"])


def order(epoch):
    """The order of an epoch: a function of seed and epoch alone, so a run that goes on in the middle sees what it would have seen."""
    state = int(np.random.SeedSequence([SEED, epoch]).generate_state(1, np.uint64)[0]) >> 1
    return torch.randperm(len(ROWS), generator=torch.Generator().manual_seed(state)).tolist()


dataset = Pictures()
image, label = dataset[0]
print(len(dataset), image.shape, image.dtype, CLASSES[label])

for epoch in (1, 2):
    loader = DataLoader(dataset, batch_size=BATCH, sampler=order(epoch))  # takes indices, asks the dataset, stacks what it gives
    images, labels = next(iter(loader))
    print(epoch, order(epoch)[:8], images.shape, labels[:8].tolist())
'''
