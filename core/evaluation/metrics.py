"""Test metrics and how sure they are: numpy alone, from logits and labels. scikit-learn gives the same figures, which a test compares.

Shares (accuracy, precision, recall) have Wilson's interval, and so has F1, by way of a share; the mean of F1 and the calibration error have a
percentile bootstrap. All intervals are for 95 % (about 19 of 20 hold the true figure) and are about chance in the choice of the test
images, not about other chance, such as that of the training.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.records.evaluation import Bin, ClassScore, Evaluation, Interval

BINS = 15
"""Bins of the calibration error, as in Guo et al. 2017."""

DRAWS = 1_000
"""Bootstrap samples."""

LEVEL = 0.95
Z = 1.959963984540054
"""The 97.5 % point of the normal distribution."""

TOP = 5
SEED = 0

Array = NDArray[Any]
Logits = NDArray[np.floating[Any]]
Labels = NDArray[np.integer[Any]]

UNDEFINED = Interval(None, None, None)


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
    run was trained with. Macro means are scikit-learn's: over the classes that occur among the labels or the predictions, where an undefined
    precision or recall counts as 0.
    """
    count = len(labels)
    predicted = predictions(logits)
    finite = predicted >= 0
    missing = count - int(finite.sum())
    confusion = confusion_matrix(labels, predicted, len(classes))
    support, chosen, hits = np.bincount(labels, minlength=len(classes)), confusion.sum(axis=0), np.diagonal(confusion)
    one, all_classes = f1_intervals(labels, predicted, len(classes))
    occurs = (support + chosen) > 0
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
        macro_precision=_mean(np.divide(hits, chosen, out=np.zeros(len(classes)), where=chosen > 0)[occurs]),
        macro_recall=_mean(np.divide(hits, support, out=np.zeros(len(classes)), where=support > 0)[occurs]),
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


def wilson(hits: int, count: int) -> Interval:
    """A share with Wilson's score interval; undefined where there is nothing to take a share of.

    Source: E. B. Wilson, Probable Inference, the Law of Succession, and Statistical Inference, JASA 22 (1927). Unlike the normal
    approximation it stays between 0 and 1 and is honest for few images and for shares near 0 and 1 (Brown, Cai, DasGupta 2001).
    """
    if count == 0:
        return UNDEFINED
    share = hits / count
    middle = (share + Z**2 / (2 * count)) / (1 + Z**2 / count)
    half = Z / (1 + Z**2 / count) * math.sqrt(share * (1 - share) / count + Z**2 / (4 * count**2))
    return Interval(share, max(0.0, min(middle - half, share)), min(1.0, max(middle + half, share)))


def f1_intervals(labels: Labels, predicted: Labels, classes: int, draws: int = DRAWS, seed: int = SEED) -> tuple[tuple[Interval, ...], Interval]:
    """F1 of each class, 2 TP / (2 TP + FP + FN), and their macro mean, with their intervals.

    F1 of a class follows from the share J = TP / (TP + FP + FN) of the images that are of the class or taken for it: F1 = 2 J / (1 + J), which
    rises with J. So its interval is Wilson's for J, carried over. (A bootstrap never draws what is not there: a class of one image that is right
    would be sure to have an F1 of 1.) It is undefined where a class occurs neither among the labels nor among the predictions.

    The mean leaves such classes out, in each drawn sample too. Its interval is a percentile bootstrap (Efron & Tibshirani 1993, ch. 13). Drawing
    N images anew is drawing the counts of the confusion matrix from a multinomial distribution, so no image is touched twice.
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
    return each, _percentiles(mean[0], np.concatenate(means))


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


def bins(confidence: Array, right: Array, number: int = BINS) -> tuple[Bin, ...]:
    """Reliability: predictions by confidence (low, high], how confident they are and how often they are right."""
    places = _places(confidence, number)
    found = []
    for place in range(number):
        members = places == place
        count = int(members.sum())
        mean = float(confidence[members].mean(dtype=np.float64)) if count else None
        found.append(Bin(place / number, (place + 1) / number, count, mean, wilson(int(right[members].sum()), count)))
    return tuple(found)


def calibration_error(confidence: Array, right: Array, number: int = BINS) -> float | None:
    """Expected calibration error: the mean over images of |accuracy - confidence| of their bin, bins of equal width. None without images.

    Source: C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger, On Calibration of Modern Neural Networks, ICML 2017, equation 3.
    """
    if len(confidence) == 0:
        return None
    gaps = right.astype(np.float64) - confidence
    return float(np.abs(np.bincount(_places(confidence, number), gaps, number)).sum() / len(gaps))


def calibration_interval(confidence: Array, right: Array, number: int = BINS, draws: int = DRAWS, seed: int = SEED) -> Interval:
    """`calibration_error` with a percentile bootstrap interval.

    Images of one bin that are alike (both right or both wrong, confidence equal to a thousandth) are drawn together, each with their mean gap:
    the multinomial counts of some hundred groups in place of N images. The error is a sum of absolute values, so chance only adds to it and a
    resampled error tends to be larger; the interval is widened where it would leave out the value itself.
    """
    value = calibration_error(confidence, right, number)
    if value is None:
        return UNDEFINED
    count = len(confidence)
    gaps = right.astype(np.float64) - confidence
    places = _places(confidence, number)
    groups = (places * 2 + right.astype(np.int64)) * 1001 + np.rint(confidence * 1000).astype(np.int64)
    _, members, numbers = np.unique(groups, return_inverse=True, return_counts=True)
    gap = np.bincount(members, gaps) / numbers
    place = np.zeros(len(numbers), dtype=np.int64)
    place[members] = places
    drawn = np.random.default_rng(seed).multinomial(count, numbers / count, size=draws)
    onto = np.zeros((len(numbers), number))
    onto[np.arange(len(numbers)), place] = gap
    errors = np.abs(drawn @ onto).sum(axis=1) / count
    return _percentiles(value, errors)


def _places(confidence: Array, number: int) -> NDArray[np.int64]:
    """The bin (low, high] that each confidence lies in."""
    return np.clip(np.ceil(confidence.astype(np.float64) * number).astype(np.int64) - 1, 0, number - 1)


def _percentiles(value: float, drawn: Array) -> Interval:
    drawn = drawn[np.isfinite(drawn)]
    if not math.isfinite(value) or len(drawn) == 0:
        return UNDEFINED
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(value), float(min(low, value)), float(max(high, value)))


def _mean(values: Array) -> float | None:
    return float(values.mean()) if len(values) else None


def mcnemar(first: int, second: int) -> float:
    """The p-value of McNemar's exact test, two-sided: `first` images only one model gets right, `second` only the other.

    Were both equally good, each of these images would be as likely to be on one side as on the other: a binomial test with share 1/2.
    Source: Q. McNemar, Note on the sampling error of the difference between correlated proportions, Psychometrika 12 (1947).
    """
    total, few = first + second, min(first, second)
    term = tail = 1  # binomial coefficients, as whole numbers of any length
    for place in range(1, few + 1):
        term = term * (total - place + 1) // place
        tail += term
    return min(1.0, 2 * tail / 2**total) if total else 1.0
