"""Test metrics and how sure they are: numpy alone, from logits and labels. scikit-learn gives the same figures, which a test compares.

Shares (accuracy, precision, recall) have Wilson's interval, and so has F1, by way of a share; for the mean of F1 see `intervals`, for the
calibration error `calibration`. All are for 95 % (about 19 of 20 hold the true figure: `tests/evaluation/test_coverage.py` draws test sets and
counts) and are about chance in the choice of the test images, not about other chance, such as the seed of the training.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.evaluation.calibration import bins, calibration_error, calibration_interval, sureness
from core.evaluation.intervals import DRAWS, SEED, UNDEFINED, Array, mean_interval, wilson
from core.records.evaluation import ClassScore, Evaluation, Interval

TOP = 5

Logits = NDArray[np.floating[Any]]
Labels = NDArray[np.integer[Any]]


def evaluation(
    run_id: str,
    epoch: int,
    step: int,
    classes: Sequence[str],
    logits: Logits,
    labels: Labels,
    seconds: float = 0.0,
    notes: Sequence[str] = (),
) -> Evaluation:
    """All the figures of one pass over the test set: logits [N, C] of images whose classes are `labels` int [N].

    Probabilities are the softmax of the logits; `loss` is the mean cross-entropy (log loss) over images with finite logits, whatever loss the
    run was trained with. Macro means are over the classes for which the measure is defined, as the table of classes has it: scikit-learn's with
    `zero_division=nan` (its default counts 0 instead), and for recall its `balanced_accuracy_score`.
    """
    count = len(labels)
    predicted = predictions(logits)
    finite = predicted >= 0
    missing = count - int(finite.sum())
    confusion = confusion_matrix(labels, predicted, len(classes))
    support, chosen, hits = np.bincount(labels, minlength=len(classes)), confusion.sum(axis=0), np.diagonal(confusion)
    one, all_classes = f1_intervals(labels, predicted, len(classes))
    confidence = probabilities(logits).max(axis=1)[finite] if count else np.zeros(0)
    right = (predicted == labels)[finite]
    return Evaluation(
        run_id=run_id,
        epoch=epoch,
        step=step,
        classes=tuple(classes),
        samples=count,
        loss=log_loss(logits[finite], labels[finite]),
        accuracy=wilson(int((predicted == labels).sum()), count),
        top5=wilson(top_hits(logits, labels, TOP), count) if len(classes) > TOP else None,
        macro_precision=_mean(hits[chosen > 0] / chosen[chosen > 0]),
        macro_recall=_mean(hits[support > 0] / support[support > 0]),
        macro_f1=all_classes,
        per_class=tuple(
            ClassScore(
                name,
                int(support[label]),
                int(chosen[label]),
                wilson(int(hits[label]), int(chosen[label])),
                wilson(int(hits[label]), int(support[label])),
                one[label],
            )
            for label, name in enumerate(classes)
        ),
        calibration_error=calibration_interval(confidence, right),
        plain_calibration_error=calibration_error(confidence, right),
        sureness=sureness(confidence, right),
        bins=bins(confidence, right),
        confusion=tuple(tuple(int(number) for number in row) for row in confusion),
        not_finite=missing,
        seconds=seconds,
        notes=tuple(notes),
    )


def predictions(logits: Logits) -> NDArray[np.int64]:
    """int64 [N]: the class with the highest logit, the first of equals; -1 where any logit is NaN or infinite."""
    finite: NDArray[np.bool_] = np.isfinite(logits).min(axis=1, keepdims=True, initial=True)
    highest = np.where(finite, logits, 0).argmax(axis=1)
    return np.where(finite[:, 0], highest, -1).astype(np.int64)


def probabilities(logits: Logits) -> NDArray[np.float32]:
    """float32 [N, C]: softmax in float64; a row of NaN where any logit is NaN or infinite."""
    finite = np.isfinite(logits).all(axis=1, keepdims=True)
    safe = np.where(finite, logits, 0).astype(np.float64)
    powers = np.exp(safe - safe.max(axis=1, keepdims=True))
    return np.where(finite, powers / powers.sum(axis=1, keepdims=True), np.nan).astype(np.float32)


def log_loss(logits: Logits, labels: Labels) -> float | None:
    """Mean of -log softmax(logits)[label], in float64; None without images."""
    if len(labels) == 0:
        return None
    wide = logits.astype(np.float64)
    highest = wide.max(axis=1)
    totals = highest + np.log(np.exp(wide - highest[:, None]).sum(axis=1))
    return float((totals - wide[np.arange(len(labels)), labels]).mean())


def top_hits(logits: Logits, labels: Labels, most: int) -> int:
    """How many images have their label among the `most` highest logits; the first of equal logits is the higher one."""
    finite = np.flatnonzero(predictions(logits) >= 0)
    rows, wanted = logits[finite], labels[finite]
    own = rows[np.arange(len(wanted)), wanted][:, None]
    before = (rows > own).sum(axis=1) + ((rows == own) & (np.arange(rows.shape[1]) < wanted[:, None])).sum(axis=1)
    return int((before < most).sum())


def confusion_matrix(labels: Labels, predicted: Labels, classes: int) -> NDArray[np.int64]:
    """int64 [C, C]: images by label (rows) and predicted class (columns). Those without a prediction (-1) are in none."""
    there = predicted >= 0
    cells = labels[there].astype(np.int64) * classes + predicted[there]
    return np.bincount(cells, minlength=classes * classes).reshape(classes, classes)


def f1_intervals(labels: Labels, predicted: Labels, classes: int, draws: int = DRAWS, seed: int = SEED) -> tuple[tuple[Interval, ...], Interval]:
    """F1 of each class, 2 TP / (2 TP + FP + FN), and their macro mean, with their intervals.

    F1 of a class follows from the share J = TP / (TP + FP + FN) of the images that are of the class or taken for it: F1 = 2 J / (1 + J), which
    rises with J. So its interval is Wilson's for J, carried over. (A bootstrap never draws what is not there: a class of one image that is right
    would be sure to have an F1 of 1.) It is undefined where a class occurs neither among the labels nor among the predictions.

    The mean leaves such classes out, in each drawn sample too. For its interval see `mean_interval`. Drawing N images anew is drawing the counts of
    the confusion matrix from a multinomial distribution, so no image is touched twice.
    """
    count = len(labels)
    if count == 0:
        return (UNDEFINED,) * classes, UNDEFINED
    width = classes + 1  # the last column: no prediction
    cells, numbers = np.unique(labels.astype(np.int64) * width + np.where(predicted < 0, classes, predicted), return_counts=True)
    rows, columns = cells // width, cells % width
    values, mean = _f1(numbers[None, :].astype(np.float64), rows, columns, classes)
    generator = np.random.default_rng(seed)
    # A chunk of draws at a time: large confusion matrices have thousands of cells.
    chunk = max(1, 4_000_000 // len(cells))
    means = [
        _f1(generator.multinomial(count, numbers / count, size=min(chunk, draws - start)).astype(np.float64), rows, columns, classes)[1]
        for start in range(0, draws, chunk)
    ]
    hits = np.bincount(labels[labels == predicted], minlength=classes)
    either = np.bincount(labels, minlength=classes) + np.bincount(predicted[predicted >= 0], minlength=classes) - hits
    each = tuple(_f1_of(float(values[0, label]), wilson(int(hits[label]), int(either[label]))) for label in range(classes))
    return each, mean_interval(float(mean[0]), np.concatenate(means), each)


def _f1_of(value: float, share: Interval) -> Interval:
    """F1 with the interval that follows from that of TP / (TP + FP + FN)."""
    if share.low is None or share.high is None:
        return UNDEFINED
    return Interval(value, min(value, 2 * share.low / (1 + share.low)), max(value, 2 * share.high / (1 + share.high)))


def _f1(counts: Array, rows: Array, columns: Array, classes: int) -> tuple[Array, Array]:
    """F1 [draws, C], NaN where undefined, and its mean [draws], for counts [draws, cells] of the cells at (rows, columns)."""
    by_row, by_column = np.zeros((len(counts), classes)), np.zeros((len(counts), classes))
    starts = np.flatnonzero(np.diff(rows, prepend=-1))  # the cells come sorted by row
    by_row[:, rows[starts]] = np.add.reduceat(counts, starts, axis=1)
    order = np.argsort(columns, kind="stable")
    order = order[columns[order] < classes]
    if len(order):
        starts = np.flatnonzero(np.diff(columns[order], prepend=-1))
        by_column[:, columns[order][starts]] = np.add.reduceat(counts[:, order], starts, axis=1)
    hits = np.zeros((len(counts), classes))
    diagonal = np.flatnonzero(rows == columns)
    hits[:, rows[diagonal]] = counts[:, diagonal]
    total = by_row + by_column
    values = np.divide(2 * hits, total, out=np.full(hits.shape, np.nan), where=total > 0)
    defined = total > 0
    mean = np.where(defined, values, 0).sum(axis=1) / np.maximum(defined.sum(axis=1), 1)
    return values, np.where(defined.any(axis=1), mean, np.nan)


def _mean(values: Array) -> float | None:
    return float(values.mean()) if len(values) else None


def mcnemar(first: int, second: int) -> float:
    """The p-value of McNemar's exact test, two-sided: `first` images only one model gets right, `second` only the other.

    How often a split at least as uneven comes by chance where both are equally good: each of these images is then as likely to be on one side as on
    the other, a binomial test with share 1/2. It is not how likely it is that both are equally good.
    Source: Q. McNemar, Note on the sampling error of the difference between correlated proportions, Psychometrika 12 (1947).
    """
    total, few = first + second, min(first, second)
    term = tail = 1  # binomial coefficients, as whole numbers of any length
    for place in range(1, few + 1):
        term = term * (total - place + 1) // place
        tail += term
    return min(1.0, 2 * tail / 2**total) if total else 1.0
