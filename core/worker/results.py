"""What a run came to, as the store keeps it: from the trainer's reports to rows."""

from __future__ import annotations

from core.records.events import EpochRow, RunResult
from core.training.trainer import EpochReport, Score, Trainer
from core.worker.recorder import Recorder


def result_of(trainer: Trainer, recorder: Recorder, test: Score | None, done: tuple[int, int], weights: str | None) -> RunResult:
    """What a run ended with.

    Args:
        test: None where it ended before the test set was seen.
        done: the number of epochs that are over, and of steps.
        weights: where they lie, from the home; None: nowhere.
    """
    train = trainer.epoch.train if trainer.epoch else None
    validation = trainer.epoch.validation if trainer.epoch else None
    return RunResult(
        epochs=done[0],
        steps=done[1],
        train_loss=train.loss if train else None,
        train_accuracy=train.accuracy if train else None,
        validation_loss=validation.loss if validation else None,
        validation_accuracy=validation.accuracy if validation else None,
        test_loss=test.loss if test else None,
        test_accuracy=test.accuracy if test else None,
        seconds=recorder.clock.seconds,
        samples_per_second=recorder.samples / recorder.step_seconds if recorder.step_seconds else 0.0,
        weights=weights,
    )


def epoch_row(report: EpochReport, seconds: float) -> EpochRow:
    """A finished epoch, `seconds` after the first step."""
    validation = report.validation
    return EpochRow(
        report.epoch,
        report.step,
        seconds,
        report.train.loss,
        report.train.accuracy,
        validation.loss if validation else None,
        validation.accuracy if validation else None,
    )
