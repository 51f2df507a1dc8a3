"""Class weights: every class counts the same in the loss, to the bit as by hand, in parts and whole, while it trains and where it measures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.googlenet import GoogLeNetOutputs

from core.catalog import LOSSES, losses
from core.catalog.own_losses import dividing_weight
from core.config import RunConfig
from core.machine.home import Home
from core.networks.models import loss_and_logits
from core.training.trainer import EpochReport, FinalReport, StepReport
from core.worker.assembly import Assembly, assemble

pytestmark = pytest.mark.usefixtures("one_thread")

UNEVEN: dict[str, Any] = {
    "dataset": "digits", "model": "tiny: flatten, linear 16, tanh", "image_size": 8, "epochs": 1, "batch_size": 64, "device": "cpu", "threads": 1,
    "fault": "imbalanced classes", "class_weights": "balanced", "optimizer": "SGD", "learning_rate": 0.1, "momentum": 0.0, "weight_decay": 0.0,
    "feature_cache": "off",
}  # fmt: skip


def assembled(home: Home, **changes: Any) -> Assembly:
    return assemble(RunConfig(**{**UNEVEN, **changes}), home)


def weights_of(made: Assembly) -> Tensor:
    """N / (classes * N_c) of the training pictures, by hand."""
    images = made.images.train.images
    counts = [sum(int(images.labels[place]) == label for place in images.indices.tolist()) for label in range(10)]
    assert max(counts) > 10 * min(counts)
    return torch.tensor([sum(counts) / (10 * count) for count in counts])


# The weights


def test_balanced_weights_are_those_of_scikit_learn_and_one_on_average() -> None:
    for counts in ((5, 5), (1, 99), (3, 200, 41, 7), (1000, 1, 1)):
        labels = np.repeat(np.arange(len(counts)), counts)
        weights = losses.balanced(counts)
        assert np.allclose(weights, compute_class_weight("balanced", classes=np.arange(len(counts)), y=labels), rtol=1e-14)
        assert np.mean(np.asarray(weights)[labels]) == pytest.approx(1)


def test_class_without_training_pictures_counts_like_one_of_average_size() -> None:
    assert losses.balanced((30, 0, 10)) == (40 / 60, 1.0, 40 / 20)
    assert losses.balanced((0, 0)) == (1.0, 1.0)
    loss = losses.build(RunConfig(), losses.balanced((30, 0, 10)))
    assert torch.isfinite(loss(torch.randn(2, 3), torch.tensor([1, 1])))  # only pictures of that class, as when measuring


# The losses

OPTIONS = [
    *((name, {}) for name in LOSSES),
    ("MultiMarginLoss", {"p": 2, "margin": 0.5}),
    ("KLDivLoss", {"label_smoothing": 0.3}),
    ("HuberLoss", {"delta": 0.2}),
]


@pytest.mark.parametrize(("name", "options"), OPTIONS, ids=str)
def test_every_loss_counts_a_picture_by_the_weight_of_its_class(name: str, options: dict[str, Any]) -> None:
    config = RunConfig(loss=name, loss_options=options)
    generator = torch.Generator().manual_seed(0)
    logits, labels = 3 * torch.randn(12, 4, generator=generator), torch.randint(4, (12,), generator=generator)
    weights = (0.2, 3.0, 1.0, 0.7)
    weighted, plain = losses.build(config, weights), losses.build(config)
    each = torch.stack([plain(logits[place : place + 1], labels[place : place + 1]) for place in range(12)])
    counts = torch.tensor(weights)[labels]
    divisor = counts.sum() if name in ("CrossEntropyLoss", "NLLLoss") else 12
    torch.testing.assert_close(weighted(logits, labels), (counts * each).sum() / divisor)
    assert (dividing_weight(weighted) is not None) == (name in ("CrossEntropyLoss", "NLLLoss"))
    assert dividing_weight(plain) is None
    torch.testing.assert_close(losses.build(config, (1.0,) * 4)(logits, labels), plain(logits, labels))  # and nothing else has changed


def test_smoothed_cross_entropy_is_torchs_own_with_weights() -> None:
    logits, labels, weights = torch.randn(6, 3), torch.tensor([0, 1, 2, 0, 0, 1]), (0.5, 2.0, 1.0)
    by_torch = nn.CrossEntropyLoss(weight=torch.tensor(weights), label_smoothing=0.1)
    assert losses.build(RunConfig(loss_options={"label_smoothing": 0.1}), weights)(logits, labels) == by_torch(logits, labels)


# Training


def by_hand(name: str, weight: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
    """The weighted loss, written out; all but CrossEntropyLoss and NLLLoss divide by the number of pictures."""
    match name:
        case "CrossEntropyLoss":
            return nn.CrossEntropyLoss(weight=weight)
        case "NLLLoss":
            return lambda logits, labels: F.nll_loss(F.log_softmax(logits, dim=1), labels, weight)
        case "MultiMarginLoss":
            return nn.MultiMarginLoss(weight=weight)
    return lambda logits, labels: (F.mse_loss(logits, F.one_hot(labels, 10).float(), reduction="none").mean(dim=1) * weight[labels]).mean()


@pytest.mark.parametrize("name", ["CrossEntropyLoss", "NLLLoss", "MultiMarginLoss", "MSELoss"])
@pytest.mark.parametrize("accumulate", [1, 3])
def test_weights_after_training_are_those_of_a_loop_by_hand_to_the_bit(home: Home, name: str, accumulate: int) -> None:
    made = assembled(home, loss=name, accumulate=accumulate, batch_size=60)  # 617 pictures: the last step has fewer, in parts of two sizes
    other = assembled(home, loss=name, accumulate=accumulate, batch_size=60).trainer
    weight, model = weights_of(made), other.model
    loss_of, normalise = by_hand(name, weight), other.partition.normalise
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model.train()
    for images, labels in other.train.batches(1):
        parts = max(1, -(-len(labels) // 60))
        divided_by = weight[labels].sum() if name in ("CrossEntropyLoss", "NLLLoss") else torch.tensor(float(len(labels)))
        for pixels, own in zip(images.tensor_split(parts), labels.tensor_split(parts), strict=True):
            loss = loss_of(model(normalise(pixels)), own)
            counts = weight[own].sum() if name in ("CrossEntropyLoss", "NLLLoss") else torch.tensor(float(len(own)))
            (loss if parts == 1 else loss * (counts / divided_by)).backward()
        optimizer.step()
        optimizer.zero_grad()
    for _ in made.trainer.run():
        pass
    real = made.trainer.model.state_dict()
    for key, value in model.state_dict().items():
        assert torch.equal(real[key], value), key


@pytest.mark.parametrize("name", ["CrossEntropyLoss", "MSELoss"])
def test_parts_of_a_batch_add_up_to_the_step_of_the_whole(home: Home, name: str) -> None:
    first = [next(iter(step for step in assembled(home, loss=name, **changes).trainer.run() if isinstance(step, StepReport)))
             for changes in ({"batch_size": 60}, {"batch_size": 12, "accumulate": 5})]  # fmt: skip
    torch.testing.assert_close(first[0].loss, first[1].loss)
    assert first[0].gradient_norms is not None
    assert first[1].gradient_norms is not None
    torch.testing.assert_close(first[0].gradient_norms, first[1].gradient_norms, rtol=1e-4, atol=1e-6)


def test_losses_of_an_epoch_and_of_the_test_are_the_weighted_means_of_all_pictures(home: Home) -> None:
    made = assembled(home, batch_size=50, learning_rate=1e-12)  # the weights stay as good as they are, so that training measures one model
    trainer, weight = made.trainer, weights_of(made)
    reports = list(trainer.run())
    (epoch,) = [report for report in reports if isinstance(report, EpochReport)]
    (final,) = [report for report in reports if isinstance(report, FinalReport)]
    assert epoch.validation is not None
    for loader, score in ((trainer.train, epoch.train), (trainer.validation, epoch.validation), (trainer.test, final.test)):
        assert loader is not None
        images, labels = loader.images.__getitems__(list(range(len(loader.images))))
        with torch.inference_mode():
            logits = trainer.model(trainer.partition.normalise(images))
        assert score.loss == pytest.approx(float(F.cross_entropy(logits, labels, weight)), rel=1e-4)
        assert score.loss != pytest.approx(float(F.cross_entropy(logits, labels)), rel=1e-3)
        assert score.accuracy == pytest.approx(float((logits.argmax(dim=1) == labels).float().mean()))


def test_run_says_how_much_pictures_count_and_where(home: Home) -> None:
    made = assembled(home)
    least, most = min(weights_of(made).tolist()), max(weights_of(made).tolist())
    (note,) = made.plan.notes
    assert f"in the training, validation and test loss a picture counts {least:.3g} (1) to {most:.3g} (6). Accuracies" in note
    assert assembled(home, class_weights="none").plan.notes == ()


def test_rare_classes_are_recognised_more_often(home: Home) -> None:
    recalls = []
    for class_weights in ("none", "balanced"):
        trainer = assembled(home, class_weights=class_weights, epochs=4, optimizer="AdamW", momentum=None, learning_rate=3e-3).trainer
        for _ in trainer.run():
            pass
        images, labels = trainer.test.images.__getitems__(list(range(len(trainer.test.images))))
        rare = labels >= 5
        predicted = trainer.model(trainer.partition.normalise(images[rare])).argmax(dim=1)
        recalls.append(float((predicted == labels[rare]).float().mean()))
    assert recalls[1] > recalls[0] + 0.15


@pytest.mark.parametrize(
    "changes",
    [
        {"precision": "bfloat16", "accumulate": 2, "batch_size": 32},
        {"precision": "float16", "loss": "NLLLoss"},
        {"timeline": "step 4: linear1; step 7: train everything, learning_rate=0.01", "clip_norm": 0.5},
        {"speed": "automatic", "fault": "none"},
    ],
    ids=lambda changes: " ".join(changes),
)
def test_weights_go_with_whatever_else_is_set(home: Home, changes: dict[str, Any]) -> None:
    losses_seen = [float(report.loss) for report in assembled(home, **changes).trainer.run() if isinstance(report, StepReport)]
    assert np.isfinite(losses_seen).all()
    assert losses_seen[-1] < losses_seen[0]


def test_auxiliary_classifiers_are_weighted_too() -> None:
    weight, labels = torch.tensor([10.0] * 5 + [0.1] * 5), torch.tensor([0, 9, 3, 9])
    logits, first, second = torch.randn(3, 4, 10).unbind()
    own = nn.CrossEntropyLoss(weight=weight)
    expected = own(logits, labels) + 0.3 * own(first, labels) + 0.3 * own(second, labels)
    loss, _ = loss_and_logits(losses.build(RunConfig(), weight.tolist()), GoogLeNetOutputs(logits, second, first), labels)
    torch.testing.assert_close(loss, expected)
