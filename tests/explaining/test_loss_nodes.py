"""What is said of a loss's nodes holds with class weights and label smoothing: each formula, worked out, is the gradient that torch sends there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.graph import Node
from torchvision.ops import StochasticDepth

from core.catalog import LOSSES, losses
from core.config import RunConfig
from core.explaining.graph import kind_of, walk
from core.explaining.loss_nodes import smoothing, words_in
from core.explaining.nodes import plain, words_of
from core.explaining.words import ABOUT, about_layer

pytestmark = pytest.mark.usefixtures("one_thread")

WEIGHTS = (0.5, 2.0, 1.0, 3.0)


@dataclass
class Here:
    """A node of a loss: what arrives and leaves, and what it was worked out from."""

    words: Any
    arrives: Tensor
    leaves: Tensor
    x: Tensor
    labels: Tensor
    eps: float

    @property
    def right(self) -> Tensor:
        return F.one_hot(self.labels, len(WEIGHTS)).double()

    @property
    def w(self) -> Tensor:
        return torch.tensor(WEIGHTS, dtype=torch.float64)

    @property
    def counts(self) -> Tensor:
        return self.w[self.labels].unsqueeze(1)


def nodes(config: RunConfig, weights: tuple[float, ...]) -> tuple[dict[str, Here], Tensor]:
    """The nodes of a loss by name, and the gradient at the logits."""
    generator = torch.Generator().manual_seed(2)
    logits = (2 * torch.randn(6, len(WEIGHTS), generator=generator, dtype=torch.float64)).requires_grad_()
    labels = torch.tensor([0, 1, 2, 3, 1, 3])
    loss = losses.build(config, weights).double()(logits, labels)
    found: dict[str, Here] = {}
    handles = []
    for node in walk(loss).nodes:
        handles.append(node.register_hook(_taker(found, node, config, logits, labels)))
    loss.backward()
    assert logits.grad is not None
    return found, logits.grad


def _taker(found: dict[str, Here], node: Node, config: RunConfig, logits: Tensor, labels: Tensor) -> Callable[..., None]:
    def take(leaves: tuple[Tensor | None, ...], arrives: tuple[Tensor | None, ...]) -> None:
        if leaves and leaves[0] is not None and arrives and arrives[0] is not None:
            kind = kind_of(node)
            found[plain(kind)] = Here(words_in(kind, config), arrives[0], leaves[0], logits.detach(), labels, smoothing(config))

    return take


def _d(here: Here, off: float = 0.0) -> Tensor:
    return here.x - torch.where(here.right > 0, 1.0, off)


def _huber(here: Here) -> Tensor:
    return _d(here).clamp(-1, 1)


def _soft(here: Here) -> Tensor:
    t = torch.where(here.right > 0, 1.0, -1.0)
    return -t / (1 + torch.exp(t * here.x))


DERIVATIVES: dict[str, Callable[[Here], Tensor]] = {
    "dL/dx[n, c] = -ḡ / N for the right class, 0 for all others": lambda here: -here.arrives / 6 * here.right,
    "dL/dx[n, c] = -ḡ · w[labelₙ] / W for the right class, 0 for all others": lambda here: (
        -here.arrives * here.counts / here.counts.sum() * here.right
    ),
    "dL/dx = ḡ · 2 · (x - target) / n": lambda here: here.arrives * 2 * _d(here) / here.x.numel(),
    "dL/dx = ḡ · 2 · (x - target)": lambda here: here.arrives * 2 * _d(here),
    "dL/dx = ḡ/n · d/β where |d| < β, else ḡ/n · sign(d)": lambda here: here.arrives / here.x.numel() * _huber(here),
    "dL/dx = ḡ · d/β where |d| < β, else ḡ · sign(d)": lambda here: here.arrives * _huber(here),
    "dL/dx = ḡ/n · d where |d| < δ, else ḡ/n · δ · sign(d)": lambda here: here.arrives / here.x.numel() * _huber(here),
    "dL/dx = ḡ · d where |d| < δ, else ḡ · δ · sign(d)": lambda here: here.arrives * _huber(here),
    "dL/dx = -ḡ/n · t / (1 + e^(t·x))": lambda here: here.arrives / here.x.numel() * _soft(here),
    "dL/dx = -ḡ · t / (1 + e^(t·x))": lambda here: here.arrives * _soft(here),
    "dL/dx = ḡ · (s - t) / n": lambda here: here.arrives * (torch.sigmoid(here.x) - here.right) / here.x.numel(),
    "dL/dx = ḡ · (s - t)": lambda here: here.arrives * (torch.sigmoid(here.x) - here.right),
    "dL/dxᵢ = ḡᵢ - softmax(x)ᵢ · Σⱼ ḡⱼ": lambda here: here.arrives - here.x.softmax(1) * here.arrives.sum(1, keepdim=True),
}
"""Every derivative of a loss's own node that is shown, worked out (β and δ are 1 here, as they are by default)."""


def _both(here: Here) -> Tensor:
    share, classes = here.x.softmax(1), len(WEIGHTS)
    middle = (1 - here.eps) * here.counts * here.right
    return (share * ((1 - here.eps) * here.counts + here.eps / classes * here.w.sum()) - middle - here.eps / classes * here.w) / here.counts.sum()


def _target(here: Here) -> Tensor:
    return here.x.softmax(1) - ((1 - here.eps) * here.right + here.eps / len(WEIGHTS))


TOGETHER: dict[str, Callable[[Here], Tensor]] = {
    "(share - 1) for the right class and (share) for the others, over the number of pictures.": lambda here: (here.x.softmax(1) - here.right) / 6,
    "(share - 1) for the right class and (share) for the others, times the weight of the picture's class, over the sum of "
    "these weights.": lambda here: (here.x.softmax(1) - here.right) * here.counts / here.counts.sum(),
    "(share - target), target 1 - ε + ε/C for the right class and ε/C for the others (label smoothing ε), over the number of "
    "pictures.": lambda here: _target(here) / 6,
    "(share - target), target 1 - ε + ε/C for the right class and ε/C for the others (label smoothing ε), over the number of pictures, times the "
    "weight of the picture's class.": lambda here: _target(here) * here.counts / 6,
    "(share · ((1 - ε) · w[label] + ε/C · Σ w) - (1 - ε) · w[label] - ε/C · w[class]) / W, without the middle part for all classes but the right "
    "one. ε is the label smoothing, w are the class weights, W is the sum of w[label] over the pictures.": _both,
    "(share - 1) for the right class and (share) for the others, times the weight of the picture's class, over the number of "
    "pictures.": lambda here: (here.x.softmax(1) - here.right) * here.counts / 6,
}
"""Every sentence on what log-softmax and the loss come to together, worked out."""

CASES = [
    (name, {"label_smoothing": share} if share is not None else {}, balanced)
    for name, entry in LOSSES.items()
    for share in ((0.0, 0.3) if entry.option("label_smoothing") else (None,))
    for balanced in (False, True)
]


@pytest.mark.parametrize(("name", "options", "balanced"), CASES, ids=lambda value: str(value))
def test_a_losss_formulas_hold_for_the_settings_of_the_run(name: str, options: dict[str, Any], balanced: bool) -> None:
    config = RunConfig(loss=name, loss_options=options, class_weights="balanced" if balanced else "none")
    found, gradient = nodes(config, WEIGHTS if balanced else ())
    tried = 0
    for kind, here in found.items():
        if kind == "MultiMarginLoss":
            coming = here.leaves != 0
            assert ("w[label]" in here.words.formula[0]) == balanced
            assert bool(((here.leaves > 0) <= (here.right == 0)).all())
            assert here.leaves.sum(1) == pytest.approx(torch.zeros(6).double(), abs=1e-12), "the right one gets the negative sum of the others"
            assert bool(coming.any())
            tried += 1
            continue
        if kind != "LogSoftmax" and kind not in ("NllLoss", "MseLoss", "SmoothL1Loss", "HuberLoss", "SoftMarginLoss", "BinaryCrossEntropyWithLogits"):
            continue
        (formula,) = here.words.derivative
        assert here.leaves == pytest.approx(DERIVATIVES[formula](here), abs=1e-12), formula
        tried += 1
        if kind == "LogSoftmax":
            sentence = here.words.about.partition("Together with the loss behind it its gradient is ")[2]
            assert gradient == pytest.approx(TOGETHER[sentence](here), abs=1e-12), sentence
        if kind == "NllLoss" and here.eps:
            assert float(here.arrives) == pytest.approx(1 - here.eps)
            assert "1 - ε" in here.words.about
    assert tried or name in ("L1Loss", "MultiLabelSoftMarginLoss")  # made of operations that have words of their own


def test_without_a_run_the_words_are_the_plain_ones() -> None:
    assert words_in("NllLossBackward0", None) == words_of("NllLossBackward0") == words_in("NllLossBackward0", RunConfig())
    assert "auxiliary" in words_in("LogSoftmaxBackward0", RunConfig(model="googlenet", image_size=224)).about


def test_hardswish_is_three_pieces_whose_slope_jumps() -> None:
    x = torch.tensor([-3 - 1e-6, -3 + 1e-6, 3 - 1e-6, 3 + 1e-6], dtype=torch.float64, requires_grad=True)
    F.hardswish(x).sum().backward()
    assert x.grad == pytest.approx(torch.tensor([0, -0.5, 1.5, 1]).double(), abs=1e-5)
    inside = torch.linspace(-3, 3, 61, dtype=torch.float64)
    assert F.hardswish(inside).diff(n=2) == pytest.approx(torch.full((59,), 0.01 / 3).double(), rel=1e-6), "a parabola"
    for said in (words_of("HardswishBackward0").about, ABOUT["Hardswish"]):
        assert "smooth" not in said
        assert "straight" not in said
        assert "0 below -3" in said
        assert "a parabola between them" in said
    assert "from 0 to -1/2, and from 3/2 to 1" in words_of("HardswishBackward0").about


def test_slopes_of_squashing_functions_are_at_most_what_is_said() -> None:
    x = torch.linspace(-8, 8, 1601, dtype=torch.float64, requires_grad=True)
    for squash, most in ((torch.sigmoid, 0.25), (torch.tanh, 1.0)):
        (slope,) = torch.autograd.grad(squash(x).sum(), x)
        assert float(slope.max()) == pytest.approx(most)
    assert "at most 1/4" in words_of("SigmoidBackward0").about


@pytest.mark.parametrize(
    ("kind", "bend", "places", "slopes", "said"),
    [
        ("Relu", F.relu, [0.0], [0.0], "where x > 0, else 0"),
        ("LeakyRelu", lambda x: F.leaky_relu(x, 0.25), [0.0], [0.25], "where x > 0, else s·ḡ"),
        ("Hardtanh", F.relu6, [0.0, 6.0], [0.0, 0.0], "where low < x < high, else 0"),
        ("Hardswish", F.hardswish, [-3.0, 3.0], [0.0, 1.0], "0 where x ≤ -3, ḡ where x ≥ 3"),
        ("Hardsigmoid", F.hardsigmoid, [-3.0, 3.0], [0.0, 0.0], "where -3 < x < 3, else 0"),
        ("Clamp", lambda x: x.clamp(-1, 2), [-1.0, 2.0], [0.0, 0.0], "where low < x < high, else 0"),
        ("ClampMin", lambda x: x.clamp_min(1), [1.0], [0.0], "where x > low, else 0"),
    ],
)
def test_at_a_kink_the_slope_is_the_one_that_is_said(kind: str, bend: Any, places: list[float], slopes: list[float], said: str) -> None:
    x = torch.tensor(places, requires_grad=True)
    y = bend(x)
    assert plain(y.grad_fn.name()) == kind
    y.sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == slopes
    assert said in words_of(f"{kind}Backward0").derivative[0]


@pytest.mark.parametrize(("chance", "training", "drops"), [(0.5, True, True), (0.5, False, False), (0.0, True, False), (0.0, False, False)])
def test_what_drops_something_is_said_to_where_it_does(chance: float, training: bool, drops: bool) -> None:
    """The transformers of torchvision hold dropout with a chance of 0."""
    for module in (nn.Dropout(chance), nn.Dropout2d(chance), StochasticDepth(chance, "row")):
        gave = module.train(training)(torch.ones(64, 3, 2, 2))
        assert (gave == 0).any().item() == drops
        said = about_layer(module)
        assert ("the chance is 0.5" in said) == drops == ("everything passes" not in said)
    assert about_layer(nn.Linear(2, 2)) == ABOUT["Linear"]
    assert about_layer(nn.Bilinear(2, 2, 2)) == ""
