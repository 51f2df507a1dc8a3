"""Early stopping, with validation losses that are made up: which epoch ends it, and whose weights are kept, in every place that keeps some."""

from __future__ import annotations

import math
from collections.abc import Generator
from typing import Any

import pytest
import torch
from torch import Tensor

from core.config import RunConfig
from core.data import Loader
from core.machine.home import Home
from core.records.events import RunStatus
from core.store import RunStore, saving
from core.store.checkpoint import checkpoints, load_checkpoint, newest, weights_of
from core.training.trainer import EpochReport, EvaluationReport, FinalReport, Report, Score, Trainer
from core.worker.assembly import assemble
from core.worker.process import work

pytestmark = pytest.mark.usefixtures("one_thread")

QUICK: dict[str, Any] = {
    "dataset": "digits", "model": "tiny: conv 4, norm, relu, pool, global pool", "image_size": 8, "batch_size": 512, "epochs": 8,
    "learning_rate": 0.01, "threads": 1,
}  # fmt: skip

NAN, INF = math.nan, math.inf

COURSES = [
    # patience, validation losses, the epoch that ends it, the epoch whose weights are kept
    (1, [3.0, 2.0, 2.5], 3, 2),
    (2, [3.0, 2.0, 2.5, 2.2], 4, 2),
    (3, [3.0, 2.0, 2.5, 2.2, 1.0, 4.0, 5.0, 6.0], 8, 5),
    (1, [2.0, 2.0], 2, 1),  # as good is no better
    (2, [3.0, NAN, INF], 3, 1),
    (2, [INF, NAN], 2, 2),  # never a loss to go back to
    (4, [3.0, 2.0, 1.0, 1.5, 1.6, 1.4, 1.8], 7, 3),
    (9, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0], 8, 1),  # the epochs are over first
    (None, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0], 8, 8),
]


class MadeUp:
    """Validation losses as they are given, and the weights that each epoch left."""

    def __init__(self, losses: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
        self.states: list[dict[str, Tensor]] = []
        left, measured = iter(losses), Trainer._evaluate

        def evaluate(trainer: Trainer, loader: Loader, what: Any) -> Generator[Report, None, Score]:
            if what == "test":
                return (yield from measured(trainer, loader, what))
            trainer.freezing.eval()
            self.states.append({name: tensor.clone() for name, tensor in trainer.model.state_dict().items()})
            yield EvaluationReport(what, 1, 1)
            return Score(next(left), 0.5)

        monkeypatch.setattr(Trainer, "_evaluate", evaluate)


def same(left: dict[str, Tensor], right: dict[str, Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def bare_test(trainer: Trainer, state: dict[str, Tensor]) -> tuple[float, float]:
    """Loss and accuracy of these weights on the test set, by hand."""
    trainer.model.load_state_dict(state)
    trainer.model.eval()
    with torch.no_grad():
        logits = torch.cat([trainer.model(trainer.partition.normalise(images)) for images, _ in trainer.test.batches(0)])
    labels = torch.cat([labels for _, labels in trainer.test.batches(0)])
    return torch.nn.functional.cross_entropy(logits, labels).item(), (logits.argmax(1) == labels).float().mean().item()


@pytest.mark.parametrize(("patience", "losses", "ends", "best"), COURSES)
def test_training_ends_after_its_patience_with_the_best_weights(
    home: Home, monkeypatch: pytest.MonkeyPatch, patience: int | None, losses: list[float], ends: int, best: int
) -> None:
    made = MadeUp(losses, monkeypatch)
    trainer = assemble(RunConfig(**QUICK, early_stopping=patience), home).trainer
    reports = list(trainer.run())
    epochs = [report for report in reports if isinstance(report, EpochReport)]
    assert [report.epoch for report in epochs] == list(range(1, ends + 1))
    assert not same(made.states[0], made.states[1]), "an epoch moves something"
    assert same(trainer.model.state_dict(), made.states[best - 1])
    assert trainer.epoch == epochs[best - 1]
    assert isinstance(reports[-1], FinalReport)
    assert (reports[-1].test.loss, reports[-1].test.accuracy) == pytest.approx(bare_test(trainer, made.states[best - 1]), rel=1e-5)


def test_a_run_keeps_the_weights_that_were_brought_back_and_says_which_epoch_they_are_of(
    home: Home, store: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saving, "SHARE", 1e9)  # every epoch is worth keeping, however quick it was
    losses, best = [3.0, 2.0, 2.5, 2.2], 2
    made = MadeUp(losses, monkeypatch)
    config = RunConfig(**QUICK, early_stopping=2)
    run_id = store.create_run(config)
    assert work(home, run_id) is RunStatus.FINISHED
    run = store.run(run_id)
    assert run.plan is not None
    assert run.result is not None
    steps = run.plan.steps_per_epoch

    weights = weights_of(home, run)
    assert weights is not None
    assert same(torch.load(weights, weights_only=True), made.states[best - 1])
    kept = newest(home, run)
    assert kept is not None
    assert (kept.epoch, kept.step, kept.final) == (best, best * steps, True)
    assert same(load_checkpoint(kept), made.states[best - 1])
    assert [checkpoint.epoch for checkpoint in checkpoints(home, run)].count(best) == 1, "no epoch is kept twice"
    for checkpoint in checkpoints(home, run)[1:]:
        assert same(load_checkpoint(checkpoint), made.states[checkpoint.epoch - 1]), checkpoint.epoch

    rows = store.epochs_after(run_id)
    assert [row.validation_loss for row in rows] == losses
    result = run.result
    assert (result.epochs, result.steps) == (4, 4 * steps), "all that was done, not only what was kept"
    assert (result.validation_loss, result.train_loss) == (losses[best - 1], rows[best - 1].train_loss)
    assert result.train_accuracy == rows[best - 1].train_accuracy
    assert (result.test_loss, result.test_accuracy) == pytest.approx(bare_test(assemble(config, home).trainer, made.states[best - 1]), rel=1e-5)
