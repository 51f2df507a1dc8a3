"""Losses, optimizers, the course of training: each sentence tried."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode
from torchvision import models

from tests.notions.proving import proves


def moved(optimizer: type[torch.optim.Optimizer], gradients: list[float], start: float = 0.0, **options: Any) -> list[float]:
    """Where one weight is after each step, under these gradients."""
    weight = nn.Parameter(torch.tensor(start, dtype=torch.float64))
    steps, places = optimizer([weight], **options), []
    for gradient in gradients:
        weight.grad = torch.tensor(gradient, dtype=torch.float64)
        steps.step()
        places.append(weight.item())
    return places


def bias_gradient(n: Any, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return torch.autograd.grad(n.criterion(n.model(images), labels), n.model.fc.bias)[0]


@proves("Loss")
def loss(n: Any) -> None:
    assert n.loss.numel() == 1
    right = torch.eye(10)[n.labels] * 20
    assert n.criterion(right, n.labels) < n.criterion(-right, n.labels)


@proves("CrossEntropyLoss")
def cross_entropy(n: Any) -> None:
    z = torch.randn(4, 10)
    wanted = -F.softmax(z, 1)[torch.arange(4), n.labels].log().mean()
    assert torch.allclose(nn.CrossEntropyLoss()(z, n.labels), wanted)
    assert not torch.allclose(nn.CrossEntropyLoss()(F.softmax(z, 1), n.labels), wanted, atol=0.01)


@proves("NLLLoss")
def nll(n: Any) -> None:
    z = torch.randn(4, 10)
    assert torch.allclose(nn.NLLLoss()(F.log_softmax(z, 1), n.labels), F.cross_entropy(z, n.labels))


@proves("MSELoss")
def mse(n: Any) -> None:
    z, wanted = torch.randn(4, 10), F.one_hot(n.labels, 10).float()
    assert torch.allclose(nn.MSELoss()(z, wanted), ((z - wanted) ** 2).mean())


@proves("Label smoothing")
def label_smoothing(n: Any) -> None:
    z, s = torch.randn(4, 10), 0.1
    targets = torch.full((4, 10), s / 10)
    targets[torch.arange(4), n.labels] = 1 - s + s / 10
    assert torch.allclose(F.cross_entropy(z, n.labels, label_smoothing=s), F.cross_entropy(z, targets))


@proves("Loss of guessing")
def guessing(n: Any) -> None:
    assert F.cross_entropy(torch.zeros(4, 10), n.labels).item() == pytest.approx(math.log(10))
    assert round(math.log(10), 3) == 2.303


@proves("Optimizer")
def optimizer(n: Any) -> None:
    first, second = nn.Linear(2, 2), nn.Linear(2, 2)
    before = second.weight.detach().clone(), first.weight.detach().clone()
    second(first(torch.ones(1, 2))).sum().backward()
    torch.optim.SGD(first.parameters(), lr=0.1).step()
    assert torch.equal(second.weight, before[0])
    assert not torch.equal(first.weight, before[1])


@proves("step")
def step(n: Any) -> None:
    a, b, c = (nn.Parameter(torch.ones(1)) for _ in range(3))
    a.grad = c.grad = torch.ones(1)
    torch.optim.SGD([a, b], lr=0.1, weight_decay=0.5).step()
    assert a.item() == pytest.approx(1 - 0.1 * (1 + 0.5))
    assert c.item() == 1, "it does not hold this one"
    assert b.item() == 1, "without .grad not even weight decay"


@proves("Gradient descent")
def descent(n: Any) -> None:
    assert n.x.item() == pytest.approx(3 - 0.1 * 6)
    assert moved(torch.optim.SGD, [6.0], 3.0, lr=0.1) == pytest.approx([2.4])


@proves("SGD")
def sgd(n: Any) -> None:
    assert moved(torch.optim.SGD, [2.0, 3.0], lr=0.01) == pytest.approx([-0.02, -0.05])
    n.criterion(n.model(n.images), n.labels).backward()
    n.optimizer.step()
    assert not any(value is not None for state in n.optimizer.state.values() for value in state.values())


@proves("Momentum")
def momentum(n: Any) -> None:
    gradients = [1.0, -2.0, 0.5, 4.0]
    sums = [sum(0.9 ** (t - s) * gradients[s] for s in range(t + 1)) for t in range(4)]
    places = moved(torch.optim.SGD, gradients, lr=0.01, momentum=0.9)
    assert [b - a for a, b in zip([0.0, *places], places, strict=False)] == pytest.approx([-0.01 * each for each in sums])
    steady = moved(torch.optim.SGD, [1.0] * 200, lr=0.01, momentum=0.9)
    assert steady[-2] - steady[-1] == pytest.approx(0.01 / (1 - 0.9))


@proves("Adam")
def adam(n: Any) -> None:
    for gradient in (1e-5, 0.1, 1.0, 1e4):
        assert moved(torch.optim.Adam, [gradient], lr=0.001) == pytest.approx([-0.001], rel=0.01)
    assert moved(torch.optim.Adam, [1e-9], lr=0.001)[0] > -0.0002, "not one that small"


@proves("AdamW")
def adamw(n: Any) -> None:
    assert moved(torch.optim.AdamW, [0.0], 5.0, lr=0.001, weight_decay=0.01) == pytest.approx([5 * (1 - 0.001 * 0.01)])
    assert moved(torch.optim.Adam, [0.0], 5.0, lr=0.001, weight_decay=0.01) == pytest.approx([5 - 0.001], abs=1e-6), "divided like the rest"


@proves("Learning rate")
def learning_rate(n: Any) -> None:
    one, ten = (moved(torch.optim.SGD, [1.5], lr=rate)[0] for rate in (0.01, 0.1))
    assert ten == pytest.approx(10 * one)

    def ends(rate: float) -> float:
        x = torch.tensor(1.0)
        for _ in range(20):
            x = x - rate * 2 * x
        return abs(float(x))

    assert ends(1.2) > 100
    assert ends(1e-5) > 0.999
    place = nn.Parameter(torch.tensor(0.0))
    steps = torch.optim.Rprop([place], lr=0.01)
    for rate, there in ((0.01, -0.01), (5.0, -0.022)):
        steps.param_groups[0]["lr"] = rate
        place.grad = torch.tensor(1.0)
        steps.step()
        assert place.item() == pytest.approx(there), "Rprop's: the first one only"


@proves("Learning rate schedule")
def schedule(n: Any) -> None:
    assert n.optimizer.param_groups[0]["lr"] == pytest.approx(0.001)
    scheduler = torch.optim.lr_scheduler.StepLR(torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=1), 1)
    with pytest.warns(UserWarning, match=r"lr_scheduler.step\(\)` before `optimizer.step\(\)"):
        scheduler.step()


@proves("Weight decay")
def weight_decay(n: Any) -> None:
    assert moved(torch.optim.SGD, [0.5], 2.0, lr=0.1, weight_decay=0.01) == pytest.approx([2 - 0.1 * (0.5 + 0.01 * 2)])
    weight = nn.Parameter(torch.ones(1))
    torch.optim.SGD([weight], lr=0.1, weight_decay=0.01).step()
    assert weight.item() == 1


@proves("Gradient clipping")
def clipping(n: Any) -> None:
    weights = [nn.Parameter(torch.zeros(3)), nn.Parameter(torch.zeros(2))]
    for weight in weights:
        weight.grad = torch.randn(weight.shape) * 10
    before = torch.cat([weight.grad for weight in weights])  # type: ignore[misc]
    torch.nn.utils.clip_grad_norm_(weights, 1.0)
    after = torch.cat([weight.grad for weight in weights])  # type: ignore[misc]
    assert after.norm().item() == pytest.approx(1, abs=1e-4)
    assert torch.allclose(after / after.norm(), before / before.norm(), atol=1e-5)
    torch.nn.utils.clip_grad_norm_(weights, 5.0)
    assert torch.equal(after, torch.cat([weight.grad for weight in weights]))  # type: ignore[misc]
    assert torch.cat([p.grad.flatten() for p in n.model.parameters()]).norm() <= 0.1001


@proves("Parameter groups")
def groups(n: Any) -> None:
    assert [group["lr"] for group in n.optimizer.param_groups] == [0.001, 0.01]


@proves("Gradient accumulation over batches")
def accumulated(n: Any) -> None:
    torch.manual_seed(0)
    fresh = models.resnet18(num_classes=10)
    for mode, same in ((False, True), (True, False)):
        fresh.train(mode)
        n.model = fresh
        whole = bias_gradient(n, n.images, n.labels)
        parts = [bias_gradient(n, x, y) / 2 for x, y in zip(n.images.chunk(2), n.labels.chunk(2), strict=True)]
        assert torch.allclose(whole, parts[0] + parts[1], atol=1e-4) is same
    fresh.eval()
    uneven = [bias_gradient(n, n.images[part], n.labels[part]) / 2 for part in (slice(0, 1), slice(1, 4))]
    assert not torch.allclose(bias_gradient(n, n.images, n.labels), uneven[0] + uneven[1], atol=1e-4), "with parts of one size"


@proves("Training loop")
def training_loop(n: Any) -> None:
    n.model.train()
    before = n.loss.item()
    for _ in range(6):
        n.optimizer.zero_grad()
        loss = n.criterion(n.model(n.images), n.labels)
        loss.backward()
        n.optimizer.step()
    assert loss.item() < before
    a, b = (nn.Parameter(torch.ones(1)) for _ in range(2))
    for weight, first in ((a, True), (b, False)):
        steps = torch.optim.SGD([weight], lr=0.1, momentum=0.9)
        for _ in range(3):
            if first:
                steps.zero_grad()
            (weight**2).sum().backward()
            steps.step()
            if not first:
                steps.zero_grad()
    assert a.item() == b.item(), "anywhere between step and the next backward"


@proves("Validation loop")
def validation_loop(n: Any) -> None:
    assert n.model.training
    assert 0 <= n.right <= 4
    assert n.model.bn1.num_batches_tracked == 0
    assert n.model.fc.weight.grad is None


@proves("Hyperparameter")
def hyperparameter(n: Any) -> None:
    n.criterion(n.model(n.images), n.labels).backward()
    n.optimizer.step()
    assert n.optimizer.param_groups[0]["lr"] == 0.01, "no step changes it"


@proves("Overfitting")
def overfitting(n: Any) -> None:
    torch.manual_seed(0)
    x, y = torch.randn(40, 50), torch.randint(0, 2, (40,))
    net = nn.Sequential(nn.Linear(50, 64), nn.ReLU(), nn.Linear(64, 2))
    steps, curves = torch.optim.Adam(net.parameters(), lr=0.01), []
    for _ in range(60):
        steps.zero_grad()
        loss = F.cross_entropy(net(x[:20]), y[:20])
        loss.backward()
        steps.step()
        curves.append((loss.item(), F.cross_entropy(net(x[20:]), y[20:]).item()))
    assert curves[-1][0] < 0.01 < curves[0][0]
    assert curves[-1][1] > curves[0][1] + 0.3
    assert isinstance(n.gap, float)


@proves("Underfitting")
def underfitting(n: Any) -> None:
    constant = nn.Parameter(torch.zeros(10))
    labels = torch.arange(100) % 10
    steps = torch.optim.SGD([constant], lr=0.1)
    for _ in range(50):
        steps.zero_grad()
        loss = F.cross_entropy(constant.expand(100, 10), labels)
        loss.backward()
        steps.step()
    assert loss.item() == pytest.approx(math.log(10), abs=0.01), "it cannot do better than guess"
    assert n.gap.ndim == 0


@proves("Early stopping")
def early_stopping(n: Any) -> None:
    assert (n.best, n.waited, n.loss) == (0.7, 2, 0.75), "it never saw the 0.6"


@proves("Learning curve")
def learning_curve(n: Any) -> None:
    assert len(n.losses) == 8


@proves("Divergence")
def divergence(n: Any) -> None:
    assert n.x.isnan()
    x, sizes = torch.tensor(1.0), []
    for _ in range(5):
        x = x - 1.5 * 2 * x
        sizes.append(abs(x.item()))
    assert sizes == [2, 4, 8, 16, 32]


@proves("Update ratio")
def update_ratio(n: Any) -> None:
    wanted = 0.01 * n.model.fc.weight.grad.norm() / n.before.norm()
    assert n.ratio.item() == pytest.approx(wanted.item(), rel=1e-3)


@proves("Seed")
def seed(n: Any) -> None:
    torch.manual_seed(0)
    first = torch.rand(3), nn.Linear(3, 3).weight
    torch.manual_seed(0)
    second = torch.rand(3), nn.Linear(3, 3).weight
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert not torch.equal(first[0], torch.rand(3))


@proves("Device")
def device(n: Any) -> None:
    there = torch.ones(2, device="meta")
    with pytest.raises(RuntimeError, match="device"):
        torch.ones(2) + there
    assert (there * torch.tensor(2.0)).device.type == "meta", "a single number may come from the CPU"
    assert n.images.device.type == "cpu"


@proves("to(device)")
def to_device(n: Any) -> None:
    net = nn.BatchNorm1d(2)
    assert net.to("meta") is net
    assert {each.device.type for each in (*net.parameters(), *net.buffers())} == {"meta"}
    assert n.images.to(n.images.device) is n.images
    moved = n.images.to("meta")
    assert (moved.device.type, n.images.device.type) == ("meta", n.device)


@proves("Mixed precision")
def mixed_precision(n: Any) -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert n.model.conv1(n.images).dtype is torch.bfloat16
        assert (torch.rand(2, 3) @ torch.rand(3, 2)).dtype is torch.bfloat16
    assert {each.dtype for each in n.model.parameters()} == {torch.float32}
    assert torch.tensor(1e-8).half() == 0
    assert (torch.tensor(1e-8) * 65536).half() != 0
    assert torch.amp.GradScaler(init_scale=65536.0, enabled=False).get_scale() == 1


@proves("torch.compile")
def compiled(n: Any) -> None:
    assert n.compiled.fc.weight is n.model.fc.weight
    net = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
    called = []

    def count(graph: Any, inputs: Any) -> Any:
        called.append(1)
        return graph.forward

    fast, x = torch.compile(net, backend=count), torch.rand(2, 4)
    assert not called
    assert torch.allclose(fast(x), net(x))
    assert called == [1], "made at the first call"


@proves("FLOPs")
def flops(n: Any) -> None:
    with FlopCounterMode(display=False) as counted:
        n.model.fc(torch.rand(1, 512))
    assert counted.get_total_flops() == n.flops == 10_240
    with FlopCounterMode(display=False) as whole, torch.device("meta"):
        models.resnet18()(torch.rand(1, 3, 224, 224))
    table = models.ResNet18_Weights.IMAGENET1K_V1.meta["_ops"]
    assert whole.get_total_flops() / 1e9 == pytest.approx(2 * table, rel=0.01)


@proves("Data parallelism")
def data_parallelism(n: Any) -> None:
    n.model.eval()
    halves = [bias_gradient(n, x, y) for x, y in zip(n.images.chunk(2), n.labels.chunk(2), strict=True)]
    assert torch.allclose(sum(halves) / 2, bias_gradient(n, n.images, n.labels), atol=1e-5)  # type: ignore[arg-type]
    assert issubclass(n.wrap, nn.Module)
