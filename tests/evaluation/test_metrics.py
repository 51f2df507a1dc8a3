"""Test metrics against scikit-learn and scipy, their intervals against slow and simple ways, and the map of embeddings."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from core.config import ConfigError
from core.evaluation import metrics
from core.evaluation.embedding import choose_points, embedding_map, principal, turned_to
from core.evaluation.intervals import wilson
from core.evaluation.predictions import Predictions, difference
from core.records.evaluation import Interval

CLASSES = tuple("abcdefghij")
MISSING, NEVER = 7, 3
"""A class without images, and one that nothing is taken for."""


@cache
def some() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Logits float32 [500, 10] that are right more often than not, and labels; five rows are not finite."""
    generator = np.random.default_rng(1)
    labels = generator.choice([label for label in range(10) if label != MISSING], 500).astype(np.int64)
    logits = generator.normal(size=(500, 10)).astype(np.float32) * 2
    logits[np.arange(500), labels] += 2
    logits[:, NEVER] = -20
    logits[:3] = np.nan
    logits[3, 4] = np.inf
    logits[4, 5] = -np.inf
    return logits, labels


def of(
    logits: NDArray[np.float32], labels: NDArray[np.int64], test_set: str = "digits", embeddings: NDArray[np.float32] | None = None
) -> Predictions:
    points = np.arange(len(labels))
    found = np.zeros((len(labels), 4), np.float32) if embeddings is None else embeddings
    return Predictions(logits, labels, points, found, "fc", test_set, metrics.evaluation("run", 3, 30, CLASSES, logits, labels))


@pytest.mark.parametrize("taken", [True, False], ids=["others are taken for the missing class", "the missing class never occurs"])
def test_the_figures_equal_scikit_learns(taken: bool) -> None:
    from scipy.special import softmax
    from sklearn import metrics as theirs

    logits, labels = some()
    if not taken:
        logits = logits.copy()
        logits[:, MISSING] = np.where(np.isfinite(logits[:, MISSING]), -20, logits[:, MISSING])
    made = metrics.evaluation("run", 3, 30, CLASSES, logits, labels, 1.5, ("a note",))
    predicted = metrics.predictions(logits)
    finite = predicted >= 0
    assert (made.not_finite, int((~finite).sum()), made.samples, made.seconds, made.notes) == (5, 5, 500, 1.5, ("a note",))
    assert made.accuracy.value == theirs.accuracy_score(labels, predicted)
    top = theirs.top_k_accuracy_score(labels[finite], logits[finite], k=5, labels=range(10), normalize=False)
    assert made.top5 is not None
    assert made.top5.value == top / 500
    assert made.loss == pytest.approx(theirs.log_loss(labels[finite], softmax(logits[finite].astype(float), axis=1), labels=range(10)), rel=1e-12)
    assert np.array_equal(made.confusion, theirs.confusion_matrix(labels[finite], predicted[finite], labels=range(10)))
    each = theirs.precision_recall_fscore_support(labels, predicted, labels=range(10), zero_division=np.nan)
    for figures, name in zip(each[:3], ("precision", "recall", "f1"), strict=True):
        for value, score in zip(figures, made.per_class, strict=True):
            found = getattr(score, name).value
            assert (found is None) == np.isnan(value)
            assert found is None or found == pytest.approx(value, abs=1e-15)
    assert [score.samples for score in made.per_class] == each[3].tolist()
    # Macro means are over the classes for which the table has a figure. What is taken for nothing is no class of its own.
    occurring = sorted(set(labels.tolist()) | set(predicted[finite].tolist()))
    means = theirs.precision_recall_fscore_support(labels, predicted, labels=occurring, average="macro", zero_division=np.nan)
    assert [made.macro_precision, made.macro_recall, made.macro_f1.value] == pytest.approx(list(means[:3]), abs=1e-15)
    for name, value in (("precision", made.macro_precision), ("recall", made.macro_recall), ("f1", made.macro_f1.value)):
        there = [getattr(score, name).value for score in made.per_class if getattr(score, name).value is not None]
        assert value == pytest.approx(np.mean(there), abs=1e-15), "the mean of what stands in the table"
    with pytest.warns(UserWarning, match="y_pred contains classes not in y_true"):
        assert made.macro_recall == pytest.approx(theirs.balanced_accuracy_score(labels, predicted))


def test_what_is_not_defined_is_none_and_does_not_count() -> None:
    logits, labels = some()
    made = metrics.evaluation("run", 3, 30, CLASSES, logits, labels)
    nothing = Interval(None, None, None)
    assert made.per_class[MISSING].recall == nothing
    assert made.per_class[MISSING].precision.value == 0, "images of other classes are taken for it"
    assert made.per_class[NEVER].precision == nothing
    assert (made.per_class[NEVER].recall.value, made.per_class[NEVER].f1.value) == (0, 0)
    without = np.delete(logits, MISSING, axis=1)
    made = metrics.evaluation("run", 3, 30, CLASSES, np.insert(without, MISSING, -20, axis=1), labels)
    assert made.per_class[MISSING].f1 == nothing
    nine = metrics.evaluation("run", 3, 30, CLASSES[:9], without, labels - (labels > MISSING))
    assert (made.macro_f1, made.macro_recall) == (nine.macro_f1, nine.macro_recall), "as if it were not there"


def test_five_classes_have_no_top_five_and_no_images_no_figures() -> None:
    made = metrics.evaluation("run", 0, 0, CLASSES[:5], np.eye(5, dtype=np.float32), np.arange(5))
    assert made.top5 is None
    assert made.accuracy.value == 1
    empty = metrics.evaluation("run", 0, 0, CLASSES, np.empty((0, 10), np.float32), np.empty(0, np.int64))
    assert (empty.accuracy.value, empty.loss, empty.macro_f1.value, empty.calibration_error.value) == (None, None, None, None)
    broken = metrics.evaluation("run", 0, 0, CLASSES, np.full((4, 10), np.nan, np.float32), np.arange(4))
    assert (broken.accuracy.value, broken.loss, broken.not_finite, broken.calibration_error.value) == (0, None, 4, None)


def test_equal_logits_are_ranked_as_they_are_predicted() -> None:
    logits = np.zeros((10, 10), np.float32)
    assert metrics.predictions(logits).tolist() == [0] * 10
    assert metrics.top_hits(logits, np.arange(10), 5) == 5


def test_wilsons_interval_has_the_published_values() -> None:
    # Newcombe 1998, table I: 81 of 263 and 0 of 20, rounded to four places there.
    assert [round(value or 0, 4) for value in vars(wilson(81, 263)).values()] == [0.308, 0.2553, 0.3662]
    assert [round(value or 0, 4) for value in vars(wilson(0, 20)).values()] == [0.0, 0.0, 0.1611]
    whole = wilson(20, 20)
    assert (whole.value, whole.high) == (1, 1)
    assert wilson(0, 0) == Interval(None, None, None)


def test_the_bootstrap_of_the_mean_is_that_of_drawing_images_anew() -> None:
    from sklearn.metrics import f1_score

    logits, labels = some()
    keep = np.isfinite(logits).all(axis=1)
    logits, labels = logits[keep], labels[keep]
    predicted = metrics.predictions(logits)
    each, mean = metrics.f1_intervals(labels, predicted, 10)
    generator = np.random.default_rng(5)
    drawn = []
    for _ in range(200):
        chosen = generator.integers(len(labels), size=len(labels))
        drawn.append(np.nanmean(f1_score(labels[chosen], predicted[chosen], labels=range(10), average=None, zero_division=np.nan)))
    assert mean.value is not None
    low, high = np.quantile(drawn, [0.025, 0.975]) + 2 * (mean.value - np.mean(drawn))
    assert mean.low == pytest.approx(low, abs=0.02)
    assert mean.high == pytest.approx(high, abs=0.02)
    assert metrics.f1_intervals(labels, predicted, 10) == (each, mean), "the same each time"


def test_class_of_a_few_images_that_are_all_right_is_not_sure_to_stay_so() -> None:
    labels = np.repeat(np.arange(3), [1, 6, 300])
    each, mean = metrics.f1_intervals(labels, labels, 3)
    assert [interval.value for interval in each] == [1, 1, 1]
    for interval, count in zip(each, (1, 6, 300), strict=True):
        low = wilson(count, count).low or 0
        assert interval.low == pytest.approx(2 * low / (1 + low))
        assert interval.high == 1
    assert each[0].low < 0.4 < each[1].low < 0.8 < each[2].low  # type: ignore[operator]
    assert (mean.value, mean.high) == (1, 1)
    assert 0.7 < (mean.low or 0) < 0.95, "and neither is the mean: a bootstrap alone would never draw a mistake"


def test_ten_thousand_images_take_a_moment() -> None:
    generator = np.random.default_rng(0)
    labels = generator.integers(10, size=10_000)
    logits = generator.normal(size=(10_000, 10)).astype(np.float32)
    logits[np.arange(10_000), labels] += 1.5
    began = time.process_time()
    metrics.evaluation("run", 1, 1, CLASSES, logits, labels)
    assert time.process_time() - began < 1


def test_mcnemars_test_is_a_binomial_test() -> None:
    from scipy.stats import binomtest

    for first, second in ((0, 0), (1, 0), (6, 2), (3, 3), (40, 75), (0, 300)):
        expected = binomtest(first, first + second).pvalue if first + second else 1.0
        assert metrics.mcnemar(first, second) == pytest.approx(expected, rel=1e-9)
    assert 0 <= metrics.mcnemar(5_000, 5_300) < 0.01


# Image by image


def test_a_cell_has_its_images_most_confident_first() -> None:
    logits, labels = some()
    made = of(logits, labels)
    cells = {(label, taken): made.cell(label, taken) for label in range(10) for taken in range(-1, 10)}
    assert sorted(place for cell in cells.values() for place in cell) == list(range(500))
    assert all(len(cells[label, taken]) == made.evaluation.confusion[label][taken] for label in range(10) for taken in range(10))
    largest = max(cells.values(), key=len)
    assert [made.confidence[place] for place in largest] == sorted((made.confidence[place] for place in largest), reverse=True)
    assert made.cell(int(labels[0]), -1)[0] in range(5)


def test_mistakes_come_most_confident_first_and_what_is_not_finite_last() -> None:
    logits, labels = some()
    made = of(logits, labels)
    mistakes = made.mistakes(1_000)
    assert set(mistakes) == set(np.flatnonzero(made.predicted != labels))
    assert set(mistakes[-5:]) == set(range(5))
    assert mistakes[0] == max(mistakes[:-5], key=lambda place: made.confidence[place])
    assert made.mistakes(3) == mistakes[:3]


def test_two_runs_differ_image_by_image() -> None:
    logits, labels = some()
    second = logits.copy()
    second[10:60] = second[60:110]
    found = difference(of(logits, labels), of(second, labels))
    mine, other = metrics.predictions(logits) == labels, metrics.predictions(second) == labels
    assert found.only_first == tuple(np.flatnonzero(mine & ~other))
    assert found.only_second == tuple(np.flatnonzero(other & ~mine))
    assert (found.both, found.neither) == ((mine & other).sum(), (~mine & ~other).sum())
    assert found.p_value == metrics.mcnemar(len(found.only_first), len(found.only_second)) < 0.001
    assert difference(of(logits, labels), of(logits, labels)).p_value == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda made: replace(made, labels=made.labels[::-1].copy()), "another order"),
        (lambda made: replace(made, test_set="shapes"), "other images"),
        (lambda made: replace(made, labels=made.labels[:9], logits=made.logits[:9]), "500 and 9"),
        (lambda made: replace(made, evaluation=replace(made.evaluation, classes=tuple("xyzdefghij"))), "other classes"),
    ],
)
def test_runs_on_other_test_sets_are_not_compared(change: object, words: str) -> None:
    assert callable(change)
    made = of(*some())
    with pytest.raises(ConfigError, match=words) as caught:
        difference(made, change(made))
    assert caught.value.field == "run"
    assert "choose two runs on the same dataset" in caught.value.message


# The map


@pytest.mark.parametrize("shape", [(60, 12), (12, 60), (5, 1)])
def test_principal_components_are_scikit_learns(shape: tuple[int, int]) -> None:
    from sklearn.decomposition import PCA

    values = np.random.default_rng(0).normal(size=shape) * np.linspace(3, 1, shape[1])
    scores, share = principal(values)
    theirs = PCA(min(2, shape[1]), svd_solver="full").fit(values)
    expected = theirs.transform(values)
    assert np.allclose(np.abs(scores[:, : expected.shape[1]]), np.abs(expected))
    assert share == pytest.approx(theirs.explained_variance_ratio_.sum())
    assert (scores.max(axis=0) >= -scores.min(axis=0) - 1e-12).all(), "the sign is not left to chance"
    flat, none = principal(np.ones((4, 3)))
    assert (flat == 0).all()
    assert none == 0


def test_a_map_is_turned_to_the_other_without_being_bent() -> None:
    still = np.random.default_rng(0).normal(size=(30, 2))
    still -= still.mean(axis=0)
    angle = 2.0
    mirrored = still @ np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) * [1, -1]
    assert np.allclose(turned_to(mirrored, still), still)
    other = np.random.default_rng(1).normal(size=(30, 2))
    turned = turned_to(other, still)
    assert np.allclose(turned @ turned.T, other @ other.T)
    assert ((turned - still) ** 2).sum() < ((other - still) ** 2).sum()


def test_the_images_of_a_map_are_of_all_classes_in_their_shares() -> None:
    labels = np.repeat([0, 1, 2], [6_000, 3_000, 2])
    chosen = choose_points(labels, 900)
    counts = np.bincount(labels[chosen])
    assert counts.sum() == 900
    assert abs(counts[0] - 2 * counts[1]) <= 3
    assert counts[2] >= 1
    assert np.array_equal(chosen, choose_points(labels, 900))
    assert np.array_equal(choose_points(labels[:10], 900), np.arange(10))


def test_a_map_has_both_epochs_and_leaves_out_what_is_not_finite() -> None:
    logits, labels = some()
    generator = np.random.default_rng(0)
    before, after = (generator.normal(size=(500, 8)).astype(np.float32) for _ in range(2))
    after[:, 0] += 10 * labels
    after[17, 2] = np.nan
    made = embedding_map(of(logits, labels, embeddings=before), of(logits, labels, embeddings=after))
    assert len(made.points) == 499
    assert 17 not in {point.index for point in made.points}
    assert made.note.endswith("values for them: 1 of the images.")
    assert made.explained[1] > 0.9 > made.explained[0]
    first, second = (np.array([getattr(point, name) for point in made.points]) for name in ("before", "after"))
    assert np.allclose(turned_to(first, second), first), "it lies as close to the other as it can"
    for name in ("before", "after"):
        places = np.array([getattr(point, name) for point in made.points])
        assert np.allclose(places.mean(axis=0), 0)
        assert (places**2).sum(axis=1).mean() == pytest.approx(1)
    again = embedding_map(of(logits, labels, embeddings=after), of(logits, labels, embeddings=after))
    assert all(point.before == pytest.approx(point.after) for point in again.points)


def test_a_map_that_cannot_be_drawn_says_why() -> None:
    logits, labels = some()
    good = of(logits, labels, embeddings=np.random.default_rng(0).normal(size=(500, 4)).astype(np.float32))
    with pytest.raises(ConfigError, match=r"umap.*pca, t-sne"):
        embedding_map(good, good, "umap")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="evaluate both again"):
        embedding_map(good, replace(good, test_set="other"))
    with pytest.raises(ConfigError, match="500 of 500 images"):
        embedding_map(good, replace(good, embeddings=np.full((500, 4), np.inf, np.float32)))


def test_a_map_by_t_sne_has_no_share_of_the_variance() -> None:
    labels = np.repeat(np.arange(3), 10)
    embeddings = (np.eye(3)[labels] * 20 + np.random.default_rng(0).normal(size=(30, 3))).astype(np.float32)
    one = of(np.zeros((30, 10), np.float32), labels, embeddings=embeddings)
    made = embedding_map(one, one, method="t-sne")
    assert np.isnan(made.explained).all()
    places = np.array([point.after for point in made.points])
    centres = np.array([places[labels == label].mean(axis=0) for label in range(3)])
    assert np.linalg.norm(places - centres[labels], axis=1).max() < np.linalg.norm(centres[0] - centres[1])


def test_t_sne_tells_how_far_it_is_and_ends_where_nobody_waits_any_more(capsys: pytest.CaptureFixture[str]) -> None:
    labels = np.repeat(np.arange(3), 10)
    one = of(np.zeros((30, 10), np.float32), labels, embeddings=np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32))
    shares: list[float] = []
    embedding_map(one, one, "t-sne", shares.append)
    assert shares == sorted(shares)
    assert len(shares) >= 10
    assert 0 < shares[0] < 0.1
    assert shares[-1] <= 1
    assert any(share > 0.5 for share in shares), "the second map follows the first"
    assert capsys.readouterr().out == "", "what scikit-learn prints is for nobody"

    class Enough(Exception):
        pass

    def enough(share: float) -> None:
        raise Enough

    with pytest.raises(Enough):
        embedding_map(one, one, "t-sne", enough)
