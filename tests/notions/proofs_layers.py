"""A model and its layers: each sentence tried."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from tests.notions.proving import proves


@proves("nn.Module")
def module(n: Any) -> None:
    assert all(isinstance(each, nn.Module) for each in n.model.modules())
    assert callable(n.model)
    assert [name for name, _ in n.model.fc.named_parameters()] == ["weight", "bias"]


@proves("__init__")
def init(n: Any) -> None:
    assert [name for name, _ in n.net.named_parameters()] == ["fc.weight", "fc.bias"]

    class Early(nn.Module):
        def __init__(self) -> None:
            self.fc = nn.Linear(8, 2)
            super().__init__()

    with pytest.raises(AttributeError, match=r"before Module.__init__\(\) call"):
        Early()


@proves("forward")
def forward(n: Any) -> None:
    assert n.y.tolist() == [2, 2, 2]
    double, called = n.Double(), []
    double.register_forward_hook(lambda *_: called.append(1))
    double.forward(torch.ones(3))
    assert not called, "forward by itself runs no hook"
    double(torch.ones(3))
    assert called


@proves("nn.Sequential")
def sequential(n: Any) -> None:
    x = n.images
    for layer in n.net:
        x = layer(x)
    assert torch.equal(x, n.net(n.images))


@proves("Layer")
def layer(n: Any) -> None:
    paths = dict(n.model.named_modules())
    assert paths["layer1.0.conv1"] is n.model.layer1[0].conv1
    assert set(paths.values()) == set(n.model.modules())


@proves("Parameter")
def parameter(n: Any) -> None:
    net = nn.Module()
    net.w, net.x = nn.Parameter(torch.ones(2)), torch.ones(2)
    assert [name for name, _ in net.named_parameters()] == ["w"]
    assert net.w.requires_grad
    assert not nn.Parameter(torch.ones(2), requires_grad=False).requires_grad
    assert n.name == "fc.bias"


@proves("Weight and bias")
def weight_and_bias(n: Any) -> None:
    x = torch.rand(4, 512)
    assert torch.allclose(n.model.fc(x), x @ n.model.fc.weight.T + n.model.fc.bias, atol=1e-5)
    assert (n.model.fc.weight.shape, n.model.fc.bias.shape, n.model.conv1.bias) == ((10, 512), (10,), None)
    before = n.model.bn1(h := n.model.conv1(n.images))
    assert torch.allclose(n.model.bn1(h + 3), before, atol=1e-4), "BatchNorm takes a bias away again"


@proves("Buffer")
def buffer(n: Any) -> None:
    mean = n.model.bn1.running_mean
    assert "bn1.running_mean" in n.model.state_dict()
    assert not any(mean is each for each in n.model.parameters())
    assert not mean.requires_grad
    passing = nn.Module()
    passing.register_buffer("places", torch.ones(2), persistent=False)
    assert list(dict(passing.named_buffers())) == ["places"]
    assert passing.state_dict() == {}


@proves("Initialisation")
def initialisation(n: Any) -> None:
    for layer, inputs in ((n.layer, 512), (nn.Conv2d(16, 64, 3), 16 * 9)):
        weights, bound = layer.weight.detach(), 1 / inputs**0.5
        assert weights.abs().max() <= bound
        assert weights.abs().max() > 0.99 * bound
        assert weights.std().item() == pytest.approx(bound / 3**0.5, rel=0.03), "evenly"
    assert n.bound == 1 / 512**0.5


@proves("Number of parameters")
def number(n: Any) -> None:
    conv, fc = n.model.conv1.weight, n.model.fc.weight
    assert conv.nbytes == 4 * conv.numel()
    with FlopCounterMode(display=False) as first:
        n.model.conv1(n.images[:1])
    with FlopCounterMode(display=False) as last:
        n.model.fc(torch.rand(1, 512))
    assert conv.numel() < 2 * fc.numel()
    assert first.get_total_flops() > 1000 * last.get_total_flops()


@proves("Linear")
def linear(n: Any) -> None:
    assert n.y.shape == (4, 10)
    jacobian = torch.autograd.functional.jacobian(nn.Linear(6, 3), torch.rand(6))
    assert (jacobian != 0).all()


@proves("Conv2d")
def convolution(n: Any) -> None:
    assert n.y.shape == (4, 16, 64, 64)
    conv = nn.Conv2d(3, 2, 3, padding=1)
    assert conv.weight.shape == (2, 3, 3, 3), "a filter for each output, as deep as the input"
    assert nn.Conv2d(6, 4, 3, groups=2).weight.shape == (4, 3, 3, 3), "or as its group of channels"
    moved = conv(n.images.roll(5, 3))[..., 10:50]
    assert torch.allclose(moved, conv(n.images).roll(5, 3)[..., 10:50], atol=1e-5), "the same weights everywhere"


@proves("Stride and padding")
def stride(n: Any) -> None:
    assert n.y.shape[-1] == 32
    for size, kernel, padding, by in ((64, 3, 1, 2), (63, 3, 0, 2), (17, 5, 2, 3), (64, 3, 1, 1)):
        out = nn.Conv2d(1, 1, kernel, stride=by, padding=padding)(torch.zeros(1, 1, size, size)).shape[-1]
        assert out == math.floor((size + 2 * padding - kernel) / by) + 1
    assert out == size == 64
    assert nn.Conv2d(1, 1, 3, padding=1, dilation=2)(torch.zeros(1, 1, 64, 64)).shape[-1] == 62, "without dilation it would be 64"


@proves("Feature map")
def feature_map(n: Any) -> None:
    assert n.maps.shape == (4, 64, 32, 32)


@proves("Receptive field")
def receptive_field(n: Any) -> None:
    assert (n.images.grad[0, 0] != 0).sum() == 49
    n.images.grad = None
    n.model.maxpool(n.model.conv1(n.images))[0, :, 8, 8].sum().backward()
    rows = (n.images.grad[0, 0] != 0).any(1).sum()
    assert rows > 7, "it grows"


@proves("Activation function")
def activation(n: Any) -> None:
    first, second = nn.Linear(5, 7), nn.Linear(7, 3)
    x = torch.rand(4, 5)
    weight, bias = second.weight @ first.weight, second.weight @ first.bias + second.bias
    assert torch.allclose(second(first(x)), F.linear(x, weight, bias), atol=1e-5), "two without one are one"
    assert not torch.allclose(second(torch.relu(first(x))), F.linear(x, weight, bias), atol=1e-3)


@proves("Hidden layer")
def hidden(n: Any) -> None:
    x, xor = torch.tensor([[0.0, 0], [0, 1], [1, 0], [1, 1]]), torch.tensor([0.0, 1, 1, 0])
    hidden = torch.relu(x.sum(1, keepdim=True) - torch.tensor([0.0, 1.0]))
    assert torch.equal(hidden @ torch.tensor([1.0, -2.0]), xor), "two hidden units do what no straight line does"
    columns = torch.cat([x, torch.ones(4, 1)], 1)
    assert torch.allclose(columns @ torch.linalg.lstsq(columns, xor[:, None]).solution, torch.full((4, 1), 0.5), atol=1e-6)
    assert [type(layer) for layer in n.net] == [nn.Linear, nn.ReLU, nn.Linear]


@proves("torch.nn.functional")
def functional(n: Any) -> None:
    x = torch.randn(5)
    assert torch.equal(F.relu(x), nn.ReLU()(x))
    assert n.y.shape == (4, 10)


@proves("ReLU")
def relu(n: Any) -> None:
    assert n.y.tolist() == [0, 0, 2]
    x = torch.tensor([-1.0, 0.0, 2.0], requires_grad=True)
    torch.relu(x).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [0, 0, 1]


@proves("Pooling")
def pooling(n: Any) -> None:
    assert n.y[0, 0, 0, 0] == n.images[0, 0, :2, :2].max()
    assert torch.allclose(n.z[..., 0, 0], n.images.mean(dim=(2, 3)), atol=1e-6)
    assert list(nn.MaxPool2d(2).parameters()) == []
    assert nn.MaxPool2d(3, stride=1, padding=1)(n.images).shape == n.images.shape, "as in the Inception blocks of GoogLeNet"


@proves("Flatten")
def flatten(n: Any) -> None:
    assert n.y.shape == (4, 12288)


@proves("BatchNorm")
def batch_norm(n: Any) -> None:
    norm, h = nn.BatchNorm2d(64), n.model.conv1(n.images).detach()
    with torch.no_grad():
        norm.weight.fill_(2), norm.bias.fill_(5)
    mean, variance = h.mean(dim=(0, 2, 3)), h.var(dim=(0, 2, 3), unbiased=False)
    norm.train()
    wanted = 2 * (h - mean.view(64, 1, 1)) / (variance.view(64, 1, 1) + norm.eps).sqrt() + 5
    assert torch.allclose(norm(h), wanted, atol=1e-4)
    norm.eval()
    assert norm.running_mean is not None
    assert norm.running_var is not None
    wanted = 2 * (h - norm.running_mean.view(64, 1, 1)) / (norm.running_var.view(64, 1, 1) + norm.eps).sqrt() + 5
    assert torch.allclose(norm(h), wanted, atol=1e-4)
    assert not torch.allclose(n.y, n.z, atol=0.1)


@proves("Running statistics")
def running(n: Any) -> None:
    norm = nn.BatchNorm2d(3)
    norm.requires_grad_(False)
    with torch.no_grad():
        norm(n.images)
    assert norm.running_mean is not None
    assert torch.allclose(norm.running_mean, 0.1 * n.images.mean(dim=(0, 2, 3)), atol=1e-6)
    assert n.model.bn1.num_batches_tracked == 1
    slow = nn.BatchNorm2d(3, momentum=0.01)
    slow(n.images)
    assert slow.running_mean is not None
    assert torch.allclose(slow.running_mean, 0.01 * n.images.mean(dim=(0, 2, 3)), atol=1e-6)


@proves("LayerNorm")
def layer_norm(n: Any) -> None:
    norm, x = nn.LayerNorm(8), torch.rand(4, 8)
    wanted = (x - x.mean(1, keepdim=True)) / (x.var(1, unbiased=False, keepdim=True) + norm.eps).sqrt()
    assert torch.allclose(norm(x), wanted, atol=1e-5)
    assert torch.equal(norm.eval()(x), norm.train()(x))
    assert list(norm.buffers()) == []
    positions = torch.rand(2, 5, 8)
    assert torch.allclose(norm(positions)[1, 3], norm(positions[1, 3]), atol=1e-6), "each position by itself"


@proves("Dropout")
def dropout(n: Any) -> None:
    assert set(n.y.tolist()) == {0.0, 2.0}
    assert (n.y == 0).float().mean().item() == pytest.approx(0.5, abs=0.08)
    assert n.dropout.eval()(torch.ones(10)).tolist() == [1] * 10
    assert nn.Dropout(0.2)(torch.ones(1000)).max().item() == pytest.approx(1 / 0.8)


@proves("Residual connection")
def residual(n: Any) -> None:
    x = torch.rand(4, 64, 16, 16, requires_grad=True)
    with torch.no_grad():
        n.block.bn2.weight.zero_(), n.block.bn2.bias.zero_()
    y = n.block(x)
    assert torch.equal(y, x), "its layers give 0: what is left is the input"
    y.sum().backward()
    assert x.grad is not None
    assert (x.grad == 1).float().mean() > 0.99


@proves("Attention")
def attention(n: Any) -> None:
    weights = F.softmax(n.q @ n.k.transpose(1, 2) / 8**0.5, dim=-1)
    assert torch.allclose(n.y, weights @ n.v, atol=1e-5)
    assert torch.allclose(weights.sum(-1), torch.ones(1, 5))


@proves("Logits")
def logits(n: Any) -> None:
    assert n.logits.shape == (4, 10)
    assert (n.logits < 0).any()
    assert (n.logits > 0).any()


@proves("Softmax")
def softmax(n: Any) -> None:
    z = torch.randn(4, 10)
    assert torch.allclose(F.softmax(z, 1), z.exp() / z.exp().sum(1, keepdim=True))
    assert torch.equal(F.softmax(z, 1).argmax(1), z.argmax(1))
    assert torch.allclose(n.probabilities.sum(1), torch.ones(4))


@proves("Vanishing gradient")
def vanishing(n: Any) -> None:
    assert n.x.grad.item() <= 0.25**8
    x = torch.linspace(-9, 9, 1001, requires_grad=True)
    torch.sigmoid(x).sum().backward()
    assert x.grad is not None
    assert x.grad.max().item() == pytest.approx(0.25, abs=1e-4)


@proves("Exploding gradient")
def exploding(n: Any) -> None:
    assert n.x.grad.item() == 3**8
    y = torch.ones(1, requires_grad=True)
    x = y
    for _ in range(90):
        x = 3 * x
    (gradient,) = torch.autograd.grad(x, y)
    assert gradient.isinf()


@proves("Head")
def head(n: Any) -> None:
    assert n.model(n.images).shape == (4, 5)
