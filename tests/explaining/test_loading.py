"""What is said of a Dataset and a DataLoader is what the code beside it gives."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

from core.code.loading import loading_code
from core.config import ConfigError
from core.evaluation.pictures import data_uri
from core.explaining.loading import loading
from core.machine.home import Home
from core.versions import path_of, write
from tests.versions.own_cases import dataset


@pytest.mark.parametrize(("split", "fit"), [("train", ""), ("all", "pad"), ("all", "squash")])
def test_the_code_gives_the_same_batches_in_the_same_order(home: Home, split: str, fit: str, capsys: pytest.CaptureFixture[str]) -> None:
    version = dataset(home, count=10, splits=("train", "train", "validation", "test", "train"))
    wide = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (30, 71, 3), dtype=np.uint8)).save(wide, "PNG")
    first = [item for item in version.items if split in ("all", item.split)][2]
    path_of(home, version.dataset, first).write_bytes(wide.getvalue())
    version = write(home, version.dataset, version.classes, version.items, "Fitted.", 1, fit=fit)
    found = loading(home, version.dataset, 2, split, 2, 24, 8, 3)
    given: dict[str, object] = {"__name__": "script"}
    exec(compile(loading_code(version, home.datasets / version.dataset, split, 24, 8, 3), "script.py", "exec"), given)
    pictures, order = given["dataset"], given["order"]
    image, label = pictures[2]  # type: ignore[index]
    assert (len(pictures), tuple(image.shape), str(image.dtype), label) == (found.length, found.sample_shape, found.sample_dtype, found.label)  # type: ignore[arg-type]
    assert (int(image.min()), int(image.max())) == (found.lowest, found.highest)
    assert data_uri(image.numpy()) == found.picture  # type: ignore[attr-defined]
    assert [tuple(order(epoch)[:8]) for epoch in (1, 2)] == [found.orders[0], found.orders[1]]  # type: ignore[operator]
    images, labels = next(iter(torch.utils.data.DataLoader(pictures, batch_size=8, sampler=order(1))))  # type: ignore[arg-type, operator]
    assert (tuple(images.shape), tuple(labels.tolist())) == (found.batch_shape, found.batch_labels)
    assert found.orders[2] != found.orders[0], "another seed, another order"
    assert f"{found.length} torch.Size([3, 24, 24]) torch.uint8" in capsys.readouterr().out


def test_it_says_what_cannot_be(home: Home) -> None:
    version = dataset(home, count=5)
    with pytest.raises(ConfigError, match="numbered from 0 to 9"):
        loading(home, version.dataset, 1, "all", 10, 24, 8, 0)
    with pytest.raises(ConfigError, match="no pictures in 'test'"):
        loading(home, version.dataset, 1, "test", 0, 24, 8, 0)
