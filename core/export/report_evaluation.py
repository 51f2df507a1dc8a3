"""What the report tells of the test: measures with intervals, confusions, the surest mistakes as pictures. Torch only where there are weights."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from PIL import Image

from core.config import ConfigError
from core.config.errors import Cancelled
from core.evaluation import known
from core.evaluation.predictions import Predictions
from core.export.report_charts import reliability
from core.export.report_parts import figure, percent
from core.export.subject import Subject
from core.records.evaluation import ClassScore, Evaluation, Interval, Sample
from core.store.checkpoint import newest

MOST_MISTAKES = 24
SIDE = 112
"""Pixels that a picture of a mistake is wide and high, at most."""

MOST_CELLS = 20
"""Classes up to which the confusion matrix is a table: a page is no wider."""

MOST_CLASSES = 200
"""Classes of which the measures are listed: of more, those with the lowest F1."""

MOST_CONFUSIONS = 20

NOTHING = Markup("")

Progress = Callable[[str, float | None], None]


@dataclass(frozen=True)
class Mistake:
    """A picture that was taken for another class."""

    picture: str
    label: str
    taken_for: str
    confidence: str
    index: int


@dataclass(frozen=True)
class Cell:
    """A cell of the confusion matrix: `shade` 0 to 1 is its share of its row."""

    count: int
    shade: float
    right: bool


@dataclass(frozen=True)
class Tested:
    """The test set through one checkpoint, ready for the template. `missing`: why there is none, or no pictures of it."""

    missing: str = ""
    which: str = ""
    accuracy: str = ""
    between: str = ""
    measures: tuple[tuple[str, str, str], ...] = ()
    classes: tuple[tuple[str, int, int, str, str, str], ...] = ()
    classes_told: str = ""
    confusion: tuple[tuple[str, tuple[Cell, ...]], ...] = ()
    names: tuple[str, ...] = ()
    confusion_picture: Markup = NOTHING
    confusions: tuple[tuple[str, str, int, str], ...] = ()
    reliability: Markup = NOTHING
    known: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    mistakes: tuple[Mistake, ...] = ()
    mistakes_told: str = ""


def tested(subject: Subject, progress: Progress, cancelled: Callable[[], bool]) -> Tested:
    """Evaluate the subject's weights, where that is not done yet, and put the figures into words.

    Raises:
        Cancelled: `cancelled` was.
    """
    if subject.checkpoint is None:
        why = "it has not saved any yet" if subject.run.status.active else "it ended before it saved any, or they were deleted"
        return Tested(missing=f"The test was not made: the run has no weights ({why}).")
    from core.evaluation import evaluate  # imports torch

    chosen = None if subject.checkpoint == newest(subject.home, subject.run) else subject.checkpoint.epoch
    try:
        made = evaluate.evaluate(subject.home, subject.run.id, chosen, progress, cancelled)
    except ConfigError as error:
        return Tested(missing=f"The test could not be made: {error.message}.")
    if cancelled():
        raise Cancelled
    progress("drawing the test", None)
    found = made.evaluation
    mistakes, mistakes_told = _mistakes(subject, made, progress)
    few = len(found.classes) <= MOST_CELLS
    return Tested(
        which=f"Weights after epoch {found.epoch:,} (step {found.step:,}), {found.samples:,} test pictures.",
        accuracy=percent(found.accuracy.value),
        between=f"95 % interval {percent(found.accuracy.low)} to {percent(found.accuracy.high)}; epoch {found.epoch:,}, {found.samples:,} pictures",
        measures=tuple(_measures(found)),
        classes=tuple(_class(score) for score in _listed(found)),
        classes_told="" if len(found.classes) <= MOST_CLASSES else f"Of {len(found.classes):,} classes the {MOST_CLASSES:,} with the lowest F1.",
        confusion=tuple(_rows(found)) if few else (),
        names=found.classes if few else (),
        confusion_picture=NOTHING if few else _matrix_picture(found),
        confusions=tuple(_confusions(found)),
        reliability=reliability(found.bins, "Reliability: how often predictions are right against how confident they are"),
        known=tuple(known.known(subject.home, subject.store, subject.run, found)),
        notes=found.notes,
        mistakes=mistakes,
        mistakes_told=mistakes_told,
    )  # fmt: skip


def interval(found: Interval, share: bool = True) -> str:
    """'91.2 % [88.1 %, 93.6 %]'."""
    said = percent if share else figure
    return "not defined" if found.value is None else f"{said(found.value)} [{said(found.low)}, {said(found.high)}]"


def _measures(found: Evaluation) -> Iterator[tuple[str, str, str]]:
    yield "Accuracy", interval(found.accuracy), "pictures whose likeliest class is right"
    if found.top5 is not None:
        yield "Top-5 accuracy", interval(found.top5), "the right class is among the five likeliest"
    yield "Macro precision", _alone(found.macro_precision), "mean over classes of: right among those taken for the class"
    yield "Macro recall", _alone(found.macro_recall), "mean over classes of: right among those of the class"
    yield "Macro F1", interval(found.macro_f1), "mean over classes of the harmonic mean of both"
    yield "Calibration error", interval(found.calibration_error), "mean distance between confidence and being right, without what chance adds"
    yield "Cross-entropy", figure(found.loss), "mean of minus the logarithm of the right class's probability"
    if found.not_finite:
        yield "Not finite", f"{found.not_finite:,}", "pictures whose outputs were not numbers: they count as wrong"


def _alone(value: float | None) -> str:
    return "not defined" if value is None else percent(value)


def _listed(found: Evaluation) -> list[ClassScore]:
    scores = list(found.per_class)
    return (
        scores if len(scores) <= MOST_CLASSES else sorted(scores, key=lambda score: -1.0 if score.f1.value is None else score.f1.value)[:MOST_CLASSES]
    )


def _class(score: ClassScore) -> tuple[str, int, int, str, str, str]:
    return score.name, score.samples, score.predicted, interval(score.precision), interval(score.recall), interval(score.f1)


def _rows(found: Evaluation) -> Iterator[tuple[str, tuple[Cell, ...]]]:
    for label, (name, counts) in enumerate(zip(found.classes, found.confusion, strict=True)):
        total = max(sum(counts), 1)
        yield name, tuple(Cell(count, count / total, label == column) for column, count in enumerate(counts))


def _confusions(found: Evaluation) -> Iterator[tuple[str, str, int, str]]:
    """The most frequent ones: of class, taken for, pictures, their share of the class."""
    matrix = np.array(found.confusion, np.int64).reshape(len(found.classes), -1)
    totals = matrix.sum(axis=1)
    np.fill_diagonal(matrix, 0)
    for cell in np.argsort(-matrix, axis=None, kind="stable")[:MOST_CONFUSIONS].tolist():
        label, taken = divmod(cell, len(found.classes))
        if matrix[label, taken]:
            count = int(matrix[label, taken])
            yield found.classes[label], found.classes[taken], count, percent(count / max(int(totals[label]), 1))


def _matrix_picture(found: Evaluation) -> Markup:
    """The matrix of many classes, a pixel a cell: each row's shares, darker for more."""
    matrix = np.array(found.confusion, np.float64).reshape(len(found.classes), -1)
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    file = io.BytesIO()
    Image.fromarray(np.round(255 - 235 * np.sqrt(shares)).astype(np.uint8), mode="L").save(file, "PNG", optimize=True)
    said = f"Confusion matrix of {len(found.classes):,} classes: rows are what the pictures are, columns what they are taken for"
    return Markup('<img class="matrix pixels" alt="{}" src="data:image/png;base64,{}">').format(said, base64.b64encode(file.getvalue()).decode())


def _mistakes(subject: Subject, made: Predictions, progress: Progress) -> tuple[tuple[Mistake, ...], str]:
    """The surest mistakes with their pictures, and a sentence on how many there are, or why there are no pictures."""
    from core.evaluation import evaluate
    from core.evaluation.test_set import open_test_set

    wrong = made.mistakes(len(made.labels))
    if not wrong:
        return (), f"No mistake in {len(made.labels):,} test pictures."
    said = f"{len(wrong):,} of {len(made.labels):,} test pictures are wrong"
    chosen = wrong[:MOST_MISTAKES]
    said += "; the surest mistakes come first." if len(wrong) <= len(chosen) else f"; these are the {len(chosen):,} of which the model was surest."
    try:
        test = open_test_set(subject.home, subject.run, progress)
        if test.key != made.test_set:
            return (), f"{said.partition(';')[0]}. The test pictures are others now, so none is shown."
        samples = evaluate.sample(lambda: evaluate.load(subject.home, subject.run.id), test, made, chosen, SIDE)
    except ConfigError as error:
        return (), f"{said.partition(';')[0]}. Their pictures cannot be shown: {error.message}."
    return tuple(_mistake(sample, made) for sample in samples), said


def _mistake(sample: Sample, made: Predictions) -> Mistake:
    taken = "no finite answer" if sample.predicted is None else made.classes[sample.predicted]
    return Mistake(sample.picture, made.classes[sample.label], taken, "" if sample.confidence is None else percent(sample.confidence), sample.index)
