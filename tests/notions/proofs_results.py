"""How good a model is, and how it is kept: each sentence tried."""

from __future__ import annotations

import copy
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from sklearn import metrics
from torch import nn
from torch.nn import functional as F

from core.notions import NOTIONS
from tests.notions.proving import proves

TRUE, PREDICTED = [0] * 10 + [1] * 10, [0] * 8 + [1] * 2 + [0] + [1] * 9
"""What the matrix [[8, 2], [1, 9]] counts."""


@proves("Prediction")
def prediction(n: Any) -> None:
    z = torch.randn(100, 10)
    assert torch.equal(z.argmax(1), F.softmax(z, 1).argmax(1))
    assert n.predicted.shape == (4,)


@proves("Accuracy")
def accuracy(n: Any) -> None:
    n.model.eval()
    predicted = n.model(n.images).argmax(1)
    assert n.accuracy.ndim == 0
    assert (predicted == n.labels).float().mean().item() == pytest.approx(metrics.accuracy_score(n.labels, predicted))
    assert metrics.zero_one_loss(n.labels, predicted) == pytest.approx(1 - metrics.accuracy_score(n.labels, predicted))


@proves("Confusion matrix")
def confusion(n: Any) -> None:
    assert n.matrix.tolist() == metrics.confusion_matrix([0, 1, 1], [0, 1, 2], labels=[0, 1, 2]).tolist()
    assert n.matrix.trace() == 2


@proves("Precision")
def precision(n: Any) -> None:
    assert n.precision.tolist() == pytest.approx(metrics.precision_score(TRUE, PREDICTED, average=None))
    empty = torch.tensor([[4, 0], [1, 0]])
    assert (empty.diag() / empty.sum(dim=0))[1].isnan(), "not defined"


@proves("Recall")
def recall(n: Any) -> None:
    assert n.recall.tolist() == pytest.approx(metrics.recall_score(TRUE, PREDICTED, average=None))
    absent = torch.tensor([[4, 1], [0, 0]])
    assert (absent.diag() / absent.sum(dim=1))[1].isnan(), "not defined"


@proves("F1")
def f1(n: Any) -> None:
    assert n.f1.tolist() == pytest.approx(metrics.f1_score(TRUE, PREDICTED, average=None))
    missed = torch.tensor([[8, 2], [3, 0]])
    exec(NOTIONS["F1"].code.splitlines()[-1], {}, both := {"matrix": missed})
    assert both["f1"][1] == 0 == metrics.f1_score([0] * 10 + [1] * 3, [0] * 8 + [1] * 2 + [0] * 3)  # type: ignore[comparison-overlap]
    p, r = torch.rand(200), torch.rand(200)
    assert ((2 * p * r / (p + r) - torch.minimum(p, r)).abs() <= (2 * p * r / (p + r) - torch.maximum(p, r)).abs() + 1e-6).all()
    assert (2 * p * r / (p + r) <= (p + r) / 2 + 1e-6).all()


@proves("Macro average")
def macro(n: Any) -> None:
    assert n.macro_recall.item() == pytest.approx(metrics.recall_score(TRUE, PREDICTED, average="macro"))


@proves("Confidence")
def confidence(n: Any) -> None:
    assert ((n.confidence >= 0.1) & (n.confidence <= 1)).all()


@proves("Confidence interval")
def interval(n: Any) -> None:
    torch.manual_seed(0)
    measured = (torch.rand(4000, 359) < 0.9).float().mean(1).std().item()
    assert n.error == pytest.approx(measured, rel=0.05)
    assert round(n.error, 3) == 0.016


@proves("Misclassified pictures")
def misclassified(n: Any) -> None:
    assert n.wrong.shape[1:] == (3, 64, 64)


@proves("Embedding")
def embedding(n: Any) -> None:
    weight = n.model.fc.weight.detach()
    first, second = torch.rand(2, 512)
    apart = (weight @ first - weight @ second).norm()
    assert apart <= torch.linalg.matrix_norm(weight, 2) * (first - second).norm()
    assert n.embedding.shape == (4, 512)


@proves("Grad-CAM")
def grad_cam(n: Any) -> None:
    assert n.cam.shape == (1, n.maps.shape[2], n.maps.shape[3])
    assert (n.cam >= 0).all()
    weights = n.model.fc.weight[3].view(1, -1, 1, 1) / n.maps[0, 0].numel()
    assert torch.allclose(n.cam, F.relu((weights * n.maps).sum(1)), atol=1e-5), "the mean gradient of this head, by hand"


@proves("state_dict")
def state_dict(n: Any) -> None:
    state = n.model.state_dict()
    names = {name for name, _ in (*n.model.named_parameters(), *n.model.named_buffers())}
    assert set(state) == names
    with torch.no_grad():
        n.model.fc.bias.fill_(9)
    assert (state["fc.bias"] == 9).all()


@proves("torch.save")
def save(n: Any) -> None:
    torch.save({"epoch": 3, "weights": torch.ones(2)}, "some.pth")
    read = torch.load("some.pth")
    assert read["epoch"] == 3
    assert set(torch.load("model.pth")) == set(n.model.state_dict())


class Harmful:
    """Would make a folder when it is unpickled."""

    def __reduce__(self) -> Any:
        return os.mkdir, ("made-by-a-file",)


@proves("torch.load")
def load(n: Any) -> None:
    assert torch.equal(n.state["fc.bias"], n.model.fc.bias)
    torch.save({"x": Harmful()}, "harmful.pth")
    with pytest.raises(pickle.UnpicklingError, match="Weights only load failed"):
        torch.load("harmful.pth")
    assert not Path("made-by-a-file").exists()


@proves("load_state_dict")
def load_state_dict(n: Any) -> None:
    assert torch.equal(n.other.fc.weight, n.model.fc.weight)
    assert n.other.fc.weight is not n.model.fc.weight
    state = n.model.state_dict()
    for wrong in (
        {name: value for name, value in state.items() if name != "fc.bias"},
        {**state, "extra": torch.ones(1)},
        {**state, "fc.bias": torch.ones(3)},
    ):
        with pytest.raises(RuntimeError, match=r"Missing key|Unexpected key|size mismatch"):
            n.other.load_state_dict(wrong)


@proves("Checkpoint")
def checkpoint(n: Any) -> None:
    def train(net: nn.Module, steps: torch.optim.Optimizer, times: int) -> None:
        for _ in range(times):
            steps.zero_grad()
            (net(torch.ones(1, 3)) ** 2).sum().backward()
            steps.step()

    def optimizer(net: nn.Module) -> torch.optim.Optimizer:
        return torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)

    net = nn.Linear(3, 2)
    steps = optimizer(net)
    train(net, steps, 3)
    kept, state = copy.deepcopy(net), copy.deepcopy(steps.state_dict())
    train(net, steps, 3)
    resumed, bare = copy.deepcopy(kept), copy.deepcopy(kept)
    again = optimizer(resumed)
    again.load_state_dict(state)
    train(resumed, again, 3)
    train(bare, optimizer(bare), 3)
    assert torch.equal(resumed.weight, net.weight)
    assert not torch.equal(bare.weight, net.weight)
    assert torch.load("checkpoint.pth")["epoch"] == 3


@proves("Export")
def export(n: Any) -> None:
    assert torch.allclose(n.program.module()(n.images), n.model(n.images), atol=1e-4)
