"""The loop: it learns, it is deterministic, it freezes, and what it reports is what PyTorch computes."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest
import torch
from torch import Tensor

from core.config import ConfigError, RunConfig
from core.machine.home import Home
from core.records.events import NO_GRADIENT
from core.training.audit import Audit
from core.training.trainer import EpochReport, EvaluationReport, FinalReport, Report, Score, StepReport
from core.worker.assembly import Assembly, assemble
from tests.training.trainer_cases import keep_few

QUICK: dict[str, Any] = {"dataset": "digits", "model": "small_cnn", "image_size": 16, "epochs": 1, "batch_size": 64}


def assembly(home: Home, **changes: Any) -> Assembly:
    return assemble(RunConfig(**{**QUICK, **changes}), home)


def run(home: Home, few: int | None = None, **changes: Any) -> tuple[list[Report], dict[str, Tensor]]:
    trainer = assembly(home, **changes).trainer
    if few is not None:
        keep_few(trainer, few)
    return list(trainer.run()), trainer.model.state_dict()


def test_training_learns_to_read_digits(home: Home) -> None:
    reports, _ = run(home, epochs=4, learning_rate=3e-3)
    test = reports[-1]
    assert isinstance(test, FinalReport)
    assert test.test.accuracy > 0.9
    epochs = [report for report in reports if isinstance(report, EpochReport)]
    assert epochs[-1].train.loss < epochs[0].train.loss / 2


def test_reports_count_every_step_and_come_in_order(home: Home) -> None:
    made = assembly(home, epochs=2)
    reports = list(made.trainer.run())
    steps = [report.step for report in reports if isinstance(report, StepReport)]
    assert steps == list(range(1, made.plan.total_steps + 1))
    assert sum(report.samples for report in reports if isinstance(report, StepReport)) >= 2 * made.plan.train_samples - 2
    assert [report.epoch for report in reports if isinstance(report, EpochReport)] == [1, 2]
    assert {report.what for report in reports if isinstance(report, EvaluationReport)} == {"validation", "test"}


@pytest.mark.parametrize(
    "changes",
    [
        {"few": 300},
        {"few": 300, "augmentation": "flip"},
        {"few": 60, "model": "resnet18", "image_size": 32, "freeze": "last stage", "batch_size": 20},
    ],
)
def test_same_config_gives_the_same_weights_twice(home: Home, changes: dict[str, Any]) -> None:
    first, second = run(home, **changes)[1], run(home, **changes)[1]
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_another_seed_gives_other_weights(home: Home) -> None:
    first, second = run(home, 100)[1], run(home, 100, seed=1)[1]
    assert any(not torch.equal(first[name], second[name]) for name in first)


def test_gradient_norms_are_those_of_a_bare_loop(home: Home) -> None:
    trainer = assembly(home, optimizer="SGD", momentum=0.0, learning_rate=0.1).trainer
    before = {name: parameter.detach().clone() for name, parameter in trainer.model.named_parameters()}
    first = next(report for report in trainer.run() if isinstance(report, StepReport))
    assert first.gradient_norms is not None
    for (name, parameter), norm in zip(trainer.model.named_parameters(), first.gradient_norms, strict=True):
        # Plain SGD moves a weight by learning rate times gradient, so the move tells the gradient.
        moved = (before[name] - parameter.detach()) / 0.1
        assert norm.item() == pytest.approx(moved.norm().item(), rel=1e-3, abs=1e-4), name


def test_gradient_of_zero_and_no_gradient_at_all_are_told_apart(home: Home) -> None:
    trainer = assembly(home).trainer
    model: Any = trainer.model
    model.stage3[0].weight.register_hook(torch.zeros_like)
    model.forward = lambda images: model.head.bias.expand(len(images), -1) + 0 * model.head.weight.sum() + model.stage3[0].weight.sum()
    report = next(report for report in trainer.run() if isinstance(report, StepReport))
    assert report.gradient_norms is not None
    norms = dict(zip((name for name, _ in model.named_parameters()), report.gradient_norms.tolist(), strict=True))
    assert norms["stage1.0.weight"] == NO_GRADIENT
    assert norms["stage3.0.weight"] == norms["head.weight"] == 0
    assert norms["head.bias"] > 0
    assert report.sample is not None
    assert report.sample.has_gradient.sum() == 3


@pytest.mark.parametrize("clip_norm", [1e-3, 0.05, 1e9])
@pytest.mark.parametrize("freeze", ["train everything", "stage2, head.bias"])
def test_clipping_is_that_of_torch_where_some_parameters_have_no_gradient(home: Home, clip_norm: float, freeze: str) -> None:
    settings: dict[str, Any] = {"optimizer": "SGD", "momentum": 0.0, "learning_rate": 1.0, "clip_norm": clip_norm, "freeze": freeze}
    trainer, theirs = assembly(home, **settings).trainer, assembly(home, **settings).trainer
    for made in (trainer, theirs):
        model: Any = made.model
        # Only the head has a part in it: all that comes before has no gradient, which `gradient_norms` marks with a code below 0.
        model.forward = lambda images, head=model.head: images.mean((2, 3)) @ head.weight[:, :3].T + head.bias
    before = {name: parameter.detach().clone() for name, parameter in trainer.model.named_parameters()}
    report = next(report for report in trainer.run() if isinstance(report, StepReport))
    assert report.gradient_norms is not None
    assert (report.gradient_norms == NO_GRADIENT).sum() >= 4

    images, labels = next(iter(theirs.train.batches(1)))
    torch.nn.functional.cross_entropy(theirs.model(theirs.partition.normalise(images)), labels).backward()
    learning = [parameter for parameter in theirs.model.parameters() if parameter.requires_grad]
    length = torch.nn.utils.clip_grad_norm_(learning, clip_norm).item()
    assert 1e-3 < length < 1e9
    for (name, mine), other in zip(trainer.model.named_parameters(), theirs.model.parameters(), strict=True):
        step = torch.zeros_like(mine) if other.grad is None else other.grad
        assert torch.allclose(before[name] - mine.detach(), step, rtol=1e-4, atol=1e-7), name
    moved = torch.cat([(before[name] - mine.detach()).flatten() for name, mine in trainer.model.named_parameters()]).norm().item()
    assert moved == pytest.approx(min(clip_norm, length), rel=1e-3), "with a learning rate of 1 the step is as long as the clipped gradient"


def test_thaw_ends_with_the_very_weights_of_a_bare_pytorch_loop(home: Home) -> None:
    settings: dict[str, Any] = {"model": "resnet18", "image_size": 32, "freeze": "head only", "batch_size": 20}
    mine, theirs = (keep_few(assembly(home, optimizer="SGD", learning_rate=0.05, **settings).trainer, 90) for _ in range(2))
    list(mine.run())

    model = theirs.model
    for parameter in model.parameters():
        parameter.requires_grad = False
    for parameter in model.fc.parameters():  # type: ignore[union-attr]
        parameter.requires_grad = True
    optimizer = torch.optim.SGD(model.fc.parameters(), lr=0.05, momentum=0.9)  # type: ignore[union-attr]
    model.eval()  # frozen BatchNorm keeps its statistics
    for images, labels in theirs.train.batches(1):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(theirs.partition.normalise(images)), labels).backward()
        optimizer.step()
    assert all(torch.equal(mine.model.state_dict()[name], tensor) for name, tensor in model.state_dict().items())


def test_frozen_weights_do_not_move_through_a_whole_run(home: Home) -> None:
    trainer = keep_few(assembly(home, model="resnet18", image_size=32, freeze="last stage", batch_size=20).trainer, 90)
    audit = Audit(trainer.freezing, trainer.optimizer)
    list(trainer.run())
    report = audit.finish(trainer.step)
    assert report.frozen_values > 2_000_000
    assert {row.moved for row in report.rows if not row.requires_grad} == {False}
    assert {row.statistics_moved for row in report.rows if not row.requires_grad} == {False, None}
    assert {row.moved for row in report.rows if row.requires_grad} == {True}


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_lower_precision_trains(home: Home, precision: str) -> None:
    reports, state = run(home, 500, precision=precision, image_size=8, learning_rate=0.003, batch_size=25)
    assert all(tensor.isfinite().all() for tensor in state.values())
    assert all(tensor.dtype in (torch.float32, torch.int64) for tensor in state.values())
    assert isinstance(reports[-1], FinalReport)
    assert reports[-1].test.accuracy > 0.2


def test_early_stopping_ends_with_the_best_weights(home: Home) -> None:
    made = assembly(home, epochs=40, early_stopping=1, optimizer="SGD", momentum=0.95, learning_rate=0.3, validation_share=0.3)
    reports = list(made.trainer.run())
    epochs = [report for report in reports if isinstance(report, EpochReport)]
    assert len(epochs) < 40
    losses = [report.validation.loss for report in epochs if report.validation]
    validation = made.trainer.validation
    assert validation is not None
    again = result_of(made.trainer._evaluate(validation, "validation"))
    assert again.loss == pytest.approx(min(losses), rel=1e-4)
    assert made.trainer.epoch == epochs[losses.index(min(losses))]


def result_of(generator: Generator[Report, None, Score]) -> Score:
    """What the generator returns once it is exhausted."""
    while True:
        try:
            next(generator)
        except StopIteration as end:
            score: Score = end.value
            return score


def test_run_without_a_validation_set_reports_none(home: Home) -> None:
    reports, _ = run(home, validation_share=0)
    assert [report.validation for report in reports if isinstance(report, EpochReport)] == [None]


def test_missing_device_is_refused_with_the_list_of_those_there_are(home: Home) -> None:
    with pytest.raises(ConfigError, match=r"device.*cuda:17.*cpu \("):
        assembly(home, device="cuda:17")


def test_step_does_not_read_the_loss(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = assembly(home, optimizer="SGD").trainer  # torch's own Adam reads its step counter on a CPU
    reports = trainer.run()
    next(reports)

    def refuse(self: Tensor) -> float:
        raise AssertionError("a value was read inside a step: on an accelerator that waits for the device")

    monkeypatch.setattr(torch.Tensor, "item", refuse)
    monkeypatch.setattr(torch.Tensor, "tolist", refuse)
    monkeypatch.setattr(torch.Tensor, "__float__", refuse)
    assert isinstance(next(reports), StepReport)
