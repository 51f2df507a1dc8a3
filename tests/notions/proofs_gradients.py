"""Autograd and its switches: each sentence tried."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn
from torch.autograd.graph import saved_tensors_hooks

from tests.notions.proving import proves


def grads(model: nn.Module) -> list[str]:
    return [name for name, parameter in model.named_parameters() if parameter.grad is not None]


def still_recorded(output: torch.Tensor) -> int:
    """Nodes behind `output`."""
    seen, waiting = set(), [output.grad_fn] if output.grad_fn else []
    while waiting:
        node = waiting.pop()
        if node not in seen:
            seen.add(node)
            waiting += [following for following, _ in node.next_functions if following is not None]
    return len(seen)


@proves("Autograd")
def autograd(n: Any) -> None:
    assert len(grads(n.model)) == len(list(n.model.parameters()))


@proves("Gradient")
def gradient(n: Any) -> None:
    assert all(parameter.grad.shape == parameter.shape for parameter in n.model.parameters())
    bias = n.model.fc.bias
    with torch.no_grad():
        features = torch.rand(4, 512)
        n.model.fc.weight.mul_(0.1)
    n.model.zero_grad()
    n.criterion(n.model.fc(features), n.labels).backward()
    with torch.no_grad():
        bias[3] += 0.01
        above = n.criterion(n.model.fc(features), n.labels)
        bias[3] -= 0.02
        below = n.criterion(n.model.fc(features), n.labels)
    assert ((above - below) / 0.02).item() == pytest.approx(bias.grad[3].item(), abs=2e-4)


@proves("requires_grad")
def requires_grad(n: Any) -> None:
    assert n.y.grad_fn is not None
    assert (torch.ones(3) * n.x).requires_grad
    assert not (torch.ones(3) * torch.ones(3)).requires_grad
    assert not n.x.argmax().requires_grad, "a place has no derivative"
    assert not (n.x > 0).requires_grad


@proves("grad_fn")
def grad_fn(n: Any) -> None:
    assert n.loss.grad_fn.name() == "NllLossBackward0"
    assert n.images.grad_fn is None
    assert n.model.fc.weight.grad_fn is None


@proves("Computational graph")
def graph(n: Any) -> None:
    first, second = (n.criterion(n.model(n.images), n.labels).grad_fn for _ in range(2))
    assert first is not second, "made anew"

    def walk(node: Any, above: tuple[Any, ...]) -> None:
        assert node not in above, "a cycle"
        for following, _ in node.next_functions if len(above) < 30 else ():
            if following is not None:
                walk(following, (*above, node))

    walk(n.model.fc(torch.rand(2, 512)).grad_fn, ())
    assert n.node.next_functions


@proves("Leaf")
def leaf(n: Any) -> None:
    h = n.model(n.images)
    assert n.model.fc.weight.is_leaf
    assert not h.is_leaf
    h.sum().backward()
    assert n.model.fc.weight.grad is not None
    with pytest.warns(UserWarning, match="not a leaf"):
        assert h.grad is None


@proves("AccumulateGrad")
def accumulate_grad(n: Any) -> None:
    assert n.node.name() == "torch::autograd::AccumulateGrad"
    assert n.node.variable is n.model.fc.bias
    n.model.fc.bias.grad = torch.ones(10)
    (2 * n.model.fc.bias).sum().backward()
    assert n.model.fc.bias.grad.tolist() == [3] * 10


@proves(".grad")
def dot_grad(n: Any) -> None:
    assert nn.Linear(2, 2).weight.grad is None
    assert n.model.fc.weight.grad.shape == n.model.fc.weight.shape


@proves("backward")
def backward(n: Any) -> None:
    before = n.model.fc.weight.detach().clone()
    n.criterion(n.model(n.images), n.labels).backward()
    assert torch.equal(before, n.model.fc.weight)
    assert len(grads(n.model)) == 62
    assert n.images.is_leaf
    assert n.images.grad is None, "a leaf that requires none gets none"


@proves("Chain rule")
def chain_rule(n: Any) -> None:
    assert n.x.grad.item() == pytest.approx(math.cos(4) * 4, rel=1e-6)


@proves("Jacobian")
def jacobian(n: Any) -> None:
    assert torch.equal(n.J, torch.diag(torch.tensor([2.0, 4.0, 6.0])))
    wide = torch.autograd.functional.jacobian(lambda x: torch.stack([x.sum(), 5 * x[2]]), torch.rand(3))
    assert wide.tolist() == [[1, 1, 1], [0, 0, 5]]


@proves("Vector-Jacobian product")
def vjp(n: Any) -> None:
    v = torch.tensor([1.0, 0.1, 0.01])
    assert torch.allclose(n.x.grad, v @ torch.diag(torch.tensor([2.0, 4.0, 6.0])))
    first, second = torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)
    first.sum().backward()
    second.sum().backward(torch.tensor(1.0))
    assert torch.equal(first.grad, second.grad)  # type: ignore[arg-type]


@proves("Scalar output")
def scalar_output(n: Any) -> None:
    with pytest.raises(RuntimeError, match="grad can be implicitly created only for scalar outputs"):
        n.model(n.images).backward()


@proves("Accumulation of gradients")
def accumulation(n: Any) -> None:
    n.model.zero_grad()
    twice = []
    for _ in range(2):
        (one,) = torch.autograd.grad(n.criterion(n.model(n.images), n.labels), n.model.fc.bias)
        twice.append(one)
        n.criterion(n.model(n.images), n.labels).backward()
    assert torch.allclose(n.model.fc.bias.grad, sum(twice), atol=1e-5)  # type: ignore[arg-type]


@proves("zero_grad")
def zero_grad(n: Any) -> None:
    other = nn.Linear(2, 2)
    other(torch.ones(1, 2)).sum().backward()
    n.criterion(n.model(n.images), n.labels).backward()
    n.optimizer.zero_grad()
    assert grads(n.model) == []
    assert len(grads(other)) == 2, "it does not hold those"


def kept(model: nn.Module, images: torch.Tensor) -> int:
    own = {each.untyped_storage().data_ptr() for each in (*model.parameters(), *model.buffers())}
    found: dict[int, torch.Tensor] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        found.setdefault(tensor.untyped_storage().data_ptr(), tensor)
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        output = model(images)
    assert output.grad_fn is not None
    return sum(tensor.untyped_storage().nbytes() for place, tensor in found.items() if place not in own)


@proves("Saved tensors")
def saved(n: Any) -> None:
    few, many = kept(n.model, n.images[:2].clone()), kept(n.model, n.images.clone())
    assert many == pytest.approx(2 * few, rel=0.02)
    assert n.model.fc(torch.rand(4, 512)).grad_fn._saved_mat1.shape == (4, 512)


@proves("retain_graph")
def retain_graph(n: Any) -> None:
    with pytest.raises(RuntimeError, match="second time"):
        n.loss.backward()
    x = torch.ones(3, requires_grad=True)
    total = x.sum()  # nothing is kept for the derivative of a sum
    total.backward()
    total.backward()
    assert x.grad is not None
    assert x.grad.tolist() == [2] * 3


@proves("retain_grad")
def retain_grad(n: Any) -> None:
    assert n.h.grad.shape == n.h.shape
    assert not n.h.is_leaf


@proves("Hook")
def hook(n: Any) -> None:
    bias = n.model.fc.bias
    for change, wanted in ((lambda gradient: 2 * gradient, 2.0), (lambda gradient: None, 1.0)):
        bias.grad = None
        handle = bias.register_hook(change)
        bias.sum().backward()
        handle.remove()
        assert bias.grad.tolist() == [wanted] * 10


@proves("Gradient check")
def gradient_check(n: Any) -> None:
    step = 1e-6
    measured = (torch.sin(n.x + step) - torch.sin(n.x - step)) / (2 * step)
    assert torch.allclose(measured, torch.cos(n.x), rtol=1e-8)


@proves("torch.autograd.grad")
def by_value(n: Any) -> None:
    assert n.g.shape == (10,)
    assert grads(n.model) == []


@proves("detach")
def detach(n: Any) -> None:
    h = n.model.conv1(n.images)
    assert h.detach().data_ptr() == h.data_ptr()
    n.model.fc(torch.zeros(1, 512) + n.features.mean()).sum().backward()
    assert n.model.conv1.weight.grad is None
    assert n.model.fc.weight.grad is not None


@proves("no_grad")
def no_grad(n: Any) -> None:
    assert n.logits.grad_fn is None
    norm, dropout = nn.BatchNorm1d(2).train(), nn.Dropout(0.5).train()
    with torch.no_grad():
        norm(torch.rand(8, 2))
        dropped = dropout(torch.ones(200))
    assert norm.running_mean is not None
    assert (norm.running_mean != 0).all()
    assert (dropped == 0).any()
    found: list[int] = []
    with torch.no_grad(), saved_tensors_hooks(lambda tensor: found.append(1), lambda tensor: tensor):
        n.model(n.images)
    assert not found


@proves("inference_mode")
def inference_mode(n: Any) -> None:
    assert n.logits.is_inference()
    with pytest.raises(RuntimeError, match="Inference tensors cannot be saved for backward"):
        nn.Linear(10, 2)(n.logits)


@proves("train()")
def train(n: Any) -> None:
    n.model.requires_grad_(False)
    n.model.eval()
    before = n.model.fc.weight.clone()
    n.model.train()
    assert all(module.training for module in n.model.modules())
    assert torch.equal(before, n.model.fc.weight)
    assert not any(parameter.requires_grad for parameter in n.model.parameters())


@proves("eval()")
def evaluation(n: Any) -> None:
    assert not any(module.training for module in n.model.modules())
    n.criterion(n.model(n.images), n.labels).backward()
    assert len(grads(n.model)) == 62
    assert n.model.bn1.num_batches_tracked == 0
    assert torch.equal(nn.Dropout(0.5).eval()(torch.ones(9)), torch.ones(9))


@proves("Freezing a layer")
def freezing(n: Any) -> None:
    before, mean = n.model.layer1[0].conv1.weight.clone(), n.model.layer1[0].bn1.running_mean.clone()
    n.optimizer = torch.optim.SGD(n.model.parameters(), lr=1.0, momentum=0.9, weight_decay=0.1)
    n.criterion(n.model(n.images), n.labels).backward()
    n.optimizer.step()
    assert not [name for name in grads(n.model) if name.startswith("layer1")]
    assert torch.equal(before, n.model.layer1[0].conv1.weight)
    assert not torch.equal(mean, n.model.layer1[0].bn1.running_mean)
    mean = n.model.eval().layer1[0].bn1.running_mean.clone()
    n.model(n.images)
    assert torch.equal(mean, n.model.layer1[0].bn1.running_mean), "in train mode alone"


@proves("What freezing leaves of the graph")
def frozen_graph(n: Any) -> None:
    n.y.sum().backward()
    assert grads(n.model) == ["conv1.weight"], "through all the frozen layers behind it"
    through_all = still_recorded(n.model(n.images))
    n.model.requires_grad_(False)
    n.model.fc.requires_grad_(True)
    assert still_recorded(n.model(n.images)) < 8 < through_all


@proves("Forward pass")
def forward_pass(n: Any) -> None:
    assert still_recorded(n.prediction) > 100
