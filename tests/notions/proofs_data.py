"""Tensors, pictures, batches: each sentence tried."""

from __future__ import annotations

import math
import os
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision import models
from torchvision.transforms import v2

from tests.notions.proving import proves


@proves("Tensor")
def tensor(n: Any) -> None:
    assert n.x.dim() == 2
    assert all(isinstance(each, torch.Tensor) for each in (n.images, n.model.fc.weight, n.criterion(n.model(n.images), n.labels)))
    assert torch.tensor([1, 2.5]).dtype is torch.float32, "one type for all numbers"


@proves("Shape")
def shape(n: Any) -> None:
    assert n.images.shape == (4, 3, 64, 64)


@proves("dtype")
def dtype(n: Any) -> None:
    assert {parameter.dtype for parameter in n.model.parameters()} == {torch.float32}
    assert n.labels.dtype is torch.int64
    assert v2.ToImage()(v2.ToPILImage()(torch.zeros(3, 4, 4))).dtype is torch.uint8


@proves("Scalar")
def scalar(n: Any) -> None:
    assert n.loss.dim() == 0
    assert n.loss.grad_fn is not None
    assert type(n.number) is float


@proves("Operations on tensors")
def operations(n: Any) -> None:
    assert torch.equal(n.y, torch.full((2, 2), 4.0)), "made before x was changed, and a tensor of its own"
    assert torch.equal(n.x, torch.full((2, 3), 6.0))


@proves("Broadcasting")
def broadcasting(n: Any) -> None:
    assert torch.equal(n.shifted, n.images - 0.5)
    first, second = torch.broadcast_tensors(torch.ones(3, 1, 1), torch.ones(3, 8, 8))
    assert first.stride()[1:] == (0, 0), "one number stands for all"
    assert second.shape == first.shape


@proves("View and reshape")
def view(n: Any) -> None:
    n.flat[0, 0] = 7.0
    assert n.images[0, 0, 0, 0] == 7.0
    assert n.flat.shape == (4, 3 * 64 * 64)


@proves("NumPy bridge")
def bridge(n: Any) -> None:
    back = torch.from_numpy(n.array)
    n.array[0] = 5
    assert back[0] == 5


@proves("Random tensor")
def chance(n: Any) -> None:
    even, normal = torch.rand(200_000), torch.randn(200_000)
    assert (even.min() >= 0) & (even.max() < 1)
    assert even.mean().item() == pytest.approx(0.5, abs=0.005)
    assert even.std().item() == pytest.approx(1 / 12**0.5, abs=0.005), "evenly"
    assert (normal.mean().item(), normal.std().item()) == pytest.approx((0, 1), abs=0.01)


@proves("Dataset")
def dataset(n: Any) -> None:
    assert n.image.shape == (3, 64, 64)
    assert len(n.dataset) == 32
    loader = DataLoader(Squares(), batch_size=5)
    assert [batch.tolist() for batch in loader] == [[0, 1, 4, 9, 16], [25]], "the two methods are all that is asked"


class Squares(Dataset[int]):
    """Six numbers."""

    def __len__(self) -> int:
        return 6

    def __getitem__(self, place: int) -> int:
        return place**2


@proves("Label")
def label(n: Any) -> None:
    assert n.labels.dtype is torch.int64
    assert (n.labels.min() >= 0) & (n.labels.max() < 10)
    assert n.criterion(n.model(n.images), n.labels).ndim == 0


@proves("Transform")
def transform(n: Any) -> None:
    half = n.transform(v2.ToPILImage()(torch.full((3, 2, 2), 255, dtype=torch.uint8)))
    assert half.dtype is torch.float32
    assert (half == 1).all()
    assert (n.x == 0).all()


@proves("Resize and crop")
def resize(n: Any) -> None:
    assert v2.Resize(32)(torch.zeros(3, 64, 128)).shape == (3, 32, 64)
    assert v2.CenterCrop(20)(torch.zeros(3, 64, 128)).shape == (3, 20, 20)


@proves("Normalisation")
def normalisation(n: Any) -> None:
    by_hand = (n.images - torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)) / torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    assert torch.allclose(n.x, by_hand, atol=1e-6)
    preset = models.ResNet18_Weights.IMAGENET1K_V1.transforms()
    assert (preset.mean, preset.std) == ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])


@proves("Augmentation")
def augmentation(n: Any) -> None:
    flip = v2.RandomHorizontalFlip(p=0.5)
    picture = n.images[0]
    flipped = [not torch.equal(flip(picture), picture) for _ in range(40)]
    assert {True, False} == set(flipped), "drawn anew each time"


@proves("Training, validation and test set")
def sets(n: Any) -> None:
    parts = [set(part.indices) for part in (n.train, n.validation, n.test)]
    assert set.union(*parts) == set(range(32))
    assert sum(map(len, parts)) == 32, "no picture is in two of them"


@proves("Leakage")
def leakage(n: Any) -> None:
    assert not n.doubles
    train = torch.randn(60, 20)
    labels = torch.randint(0, 2, (60,))
    test, answers = torch.cat([train[:30], torch.randn(30, 20)]), torch.cat([labels[:30], torch.randint(0, 2, (30,))])
    nearest = labels[torch.cdist(test, train).argmin(1)]
    right = (nearest == answers).float()
    assert right[:30].mean() == 1, "from memory, though there is nothing to learn"
    assert right[30:].mean() < 0.8


@proves("Class imbalance")
def imbalance(n: Any) -> None:
    labels = torch.tensor([0] * 95 + [1] * 5)
    assert (labels == 0).float().mean().item() == pytest.approx(0.95)
    held = n.counts > 0
    assert (n.weights[held] * n.counts[held]).tolist() == pytest.approx([3.2] * int(held.sum())), "each class weighs the same"


@proves("DataLoader")
def loader(n: Any) -> None:
    seen = list(n.loader)
    assert [len(images) for images, _ in seen] == [4] * 8
    wanted = torch.stack([image for image, _ in n.dataset]).flatten(1).sum(1).sort().values
    assert torch.allclose(torch.cat([images for images, _ in seen]).flatten(1).sum(1).sort().values, wanted), "each picture once"


@proves("Batch")
def batch(n: Any) -> None:
    n.model.eval()
    (whole,) = torch.autograd.grad(n.criterion(n.model(n.images), n.labels), n.model.fc.bias)
    parts = [torch.autograd.grad(n.criterion(n.model(x[None]), y[None]), n.model.fc.bias)[0] for x, y in zip(n.images, n.labels, strict=True)]
    assert torch.allclose(whole, torch.stack(parts).mean(0), atol=1e-5)


@proves("Epoch")
def epoch(n: Any) -> None:
    assert sum(1 for _ in n.loader) == len(n.loader) == 8
    assert n.epoch == 1


@proves("Step of training")
def step(n: Any) -> None:
    for size in (3, 4, 5, 32):
        assert len(DataLoader(n.dataset, batch_size=size)) == math.ceil(32 / size)
    assert n.steps == 8


@proves("shuffle")
def shuffle(n: Any) -> None:
    orders = [[int(x) for part in DataLoader(list(range(50)), batch_size=5, shuffle=mixed) for x in part] for mixed in (True, True, False, False)]  # type: ignore[arg-type]
    assert orders[0] != orders[1]
    assert orders[2] == orders[3] == list(range(50))
    assert sorted(orders[0]) == list(range(50))


@proves("drop_last")
def drop_last(n: Any) -> None:
    assert [len(labels) for _, labels in n.loader] == [5] * 6
    assert len(DataLoader(n.dataset, batch_size=4, drop_last=True)) == 8, "nothing is left out where all are whole"


@proves("collate_fn")
def collate(n: Any) -> None:
    assert torch.equal(n.images, torch.stack([n.dataset[0][0], n.dataset[1][0]]))
    with pytest.raises(RuntimeError, match="equal size"):
        n.default_collate([torch.zeros(3, 4, 4), torch.zeros(3, 5, 5)])


class Processes(Dataset[int]):
    """Which process reads a sample."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, place: int) -> int:
        return os.getpid()


@proves("num_workers")
def workers(n: Any) -> None:
    alone = {int(each) for batch in DataLoader(Processes(), batch_size=1) for each in batch}
    others = {int(each) for batch in DataLoader(Processes(), batch_size=1, num_workers=2) for each in batch}
    assert alone == {os.getpid()}
    assert len(others - alone) == 2
    assert (n.loader.num_workers, DataLoader(n.dataset).num_workers) == (2, 0)


@proves("pin_memory")
@pytest.mark.filterwarnings("ignore")
def pinned(n: Any) -> None:
    if not torch.cuda.is_available():
        assert not next(iter(DataLoader(torch.ones(4, 2), pin_memory=True))).is_pinned()  # type: ignore[arg-type]
    assert n.loader.pin_memory is torch.cuda.is_available()
    assert isinstance(n.model, nn.Module)
