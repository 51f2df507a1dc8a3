"""What the tests of exports share: one small run of pictures in folders, made once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from core.config import RunConfig
from core.machine.home import Home
from core.store import Run, RunStore
from core.worker.process import work

CLASSES = ('a "quoted" one', "it's", "<b>bold & more")
"""Folder names that have to be quoted in Python, JSON, CSV and HTML."""

ODD = ('say "hi"\nand `go`', "<script>alert(1)</script>\\", "it's {0} %s\u2028é")
"""Names with line breaks too, which a folder of a person's cannot well have, and a run's record can."""


def draw(folder: Path, images: int, seed: int) -> None:
    """Class folders with pictures of a colour each, which are no squares; some turned by EXIF, some with alpha, some grey."""
    chance = np.random.default_rng(seed)
    for label, name in enumerate(CLASSES):
        (folder / name).mkdir(parents=True)
        for number in range(images):
            pixels = chance.integers(0, 120, (30 + 2 * number, 44, 3)).astype(np.uint8)
            pixels[..., label] += 120
            image = Image.fromarray(pixels)
            path = folder / name / f"{number}"
            if number % 4 == 0:
                turned = Image.Exif()
                turned[0x0112] = 6
                image.resize((200, 131)).save(path.with_suffix(".jpg"), exif=turned)
            elif number % 4 == 1:
                image.putalpha(int(chance.integers(40, 255)))
                image.save(path.with_suffix(".png"))
            elif number % 4 == 2:
                image.convert("L").save(path.with_suffix(".png"))
            else:
                image.save(path.with_suffix(".png"))


def trained(home: Home, **changes: object) -> Run:
    """A run of a small network, over."""
    usual = {"model": "small_cnn", "image_size": 16, "batch_size": 8, "epochs": 2, "device": "cpu", "threads": 1, "dataset": "digits"}
    store = RunStore(home.database)
    run_id = store.create_run(RunConfig(**{**usual, **changes}))  # type: ignore[arg-type]
    work(home, run_id)
    run = store.run(run_id)
    store.close()
    assert run.error is None, run.error
    return run
