"""What is said of intervals and p-values, counted over test sets that are drawn from a known truth."""

from __future__ import annotations

import re

import numpy as np
import pytest
from numpy.typing import NDArray

from core.evaluation import metrics
from core.evaluation.intervals import wilson
from core.evaluation.looks import optimism
from pages._parts.evaluate import metrics as screen


def _wilson(count: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    found = [wilson(hits, count) for hits in range(count + 1)]
    return np.array([each.low for each in found]), np.array([each.high for each in found])


def _held(count: int) -> NDArray[np.float64]:
    """How often Wilson's interval holds each of the true shares 0.5 to 99.5 %, without any drawing."""
    from scipy.stats import binom

    low, high = _wilson(count)
    shares = np.linspace(0.005, 0.995, 199)
    likely = binom.pmf(np.arange(count + 1)[:, None], count, shares)
    inside = (low[:, None] <= shares) & (shares <= high[:, None])
    held: NDArray[np.float64] = (likely * inside).sum(axis=0)
    return held


@pytest.mark.parametrize("count", [5, 20, 100, 359, 2_000])
def test_wilsons_interval_holds_the_true_share_19_times_of_20_on_average(count: int) -> None:
    assert _held(count).mean() == pytest.approx(0.95, abs=0.006)


@pytest.mark.parametrize(("count", "least"), [(5, 84), (100, 91), (359, 94)])
def test_for_some_shares_it_does_so_as_often_as_its_docstring_says(count: int, least: int) -> None:
    assert f"{least} % with {count}" in " ".join((wilson.__doc__ or "").split())
    assert 100 * _held(count).min() == pytest.approx(least, abs=0.8)


@pytest.mark.parametrize("count", [20, 100, 359, 2_000])
@pytest.mark.parametrize("share", [0.5, 0.9, 0.98])
def test_a_second_measurement_is_in_the_interval_of_the_first_about_8_times_of_10(count: int, share: float) -> None:
    from scipy.stats import binom

    assert "about 8 times of 10" in screen.COVERED
    low, high = _wilson(count)
    likely = binom.pmf(np.arange(count + 1), count, share)
    values = np.arange(count + 1) / count
    inside = (low[:, None] <= values) & (values <= high[:, None])
    assert 0.72 < (likely[:, None] * inside * likely).sum() < 0.92


# F1


def _drawn(classes: int, right: float, count: int, uneven: bool, sets: int) -> tuple[float, float, float]:
    """How often the interval of the mean F1 holds the true one, and those of the classes theirs, and how wide the former is."""
    generator = np.random.default_rng(classes)
    prior = 0.7 ** np.arange(classes) if uneven else np.ones(classes)
    prior /= prior.sum()
    taken = np.eye(classes) * right
    for label in range(classes):
        taken[label, label ^ 1] += 1 - right  # classes are confused in pairs
    joint = prior[:, None] * taken
    true = 2 * np.diag(joint) / (joint.sum(axis=0) + joint.sum(axis=1))
    held, each_held, widths = 0, [], []
    for _ in range(sets):
        labels = generator.choice(classes, count, p=prior)
        predicted = np.where(generator.random(count) < right, labels, labels ^ 1)
        each, mean = metrics.f1_intervals(labels, predicted, classes, draws=200)
        assert mean.low is not None
        assert mean.high is not None
        held += mean.low <= true.mean() <= mean.high
        each_held += [one.low <= value <= one.high for one, value in zip(each, true, strict=True) if one.low is not None and one.high is not None]
        widths.append(mean.high - mean.low)
    return held / sets, float(np.mean(each_held)), float(np.mean(widths))


@pytest.mark.parametrize(
    ("classes", "right", "count", "uneven"),
    [(10, 0.92, 359, False), (10, 0.9, 359, True), (10, 0.999, 359, False), (2, 0.95, 100, False), (40, 0.9, 200, False), (100, 0.8, 2_000, False)],
)
def test_the_intervals_of_f1_hold_the_true_one(classes: int, right: float, count: int, uneven: bool) -> None:
    """A plain percentile bootstrap of the mean did so in 33 % of cases with one mistake in 1,000, and in 83 % with many classes."""
    held, each, width = _drawn(classes, right, count, uneven, 100)
    assert held >= 0.9
    assert each >= 0.92
    assert width < 0.15, "and not by being of no use"


# Comparing


@pytest.mark.parametrize("count", [10, 60, 300])
def test_mcnemars_p_value_is_below_five_percent_in_at_most_five_percent_of_equals(count: int) -> None:
    """So 'that speaks for A' is said of equally good ones in under 1 of 20 comparisons: the p-value is this rate, not how likely they are equal."""
    from scipy.stats import binom

    likely = binom.pmf(np.arange(count + 1), count, 0.5)
    values = np.array([metrics.mcnemar(first, count - first) for first in range(count + 1)])
    for level in (0.01, 0.03, 0.05, 0.2):
        assert likely[values <= level].sum() <= level + 1e-12
    each = 17 * count // 40
    assert metrics.mcnemar(each, count - each) == pytest.approx(likely[np.abs(np.arange(count + 1) - count / 2) >= count / 2 - each].sum())


def test_a_p_value_is_not_the_chance_that_both_are_equally_good() -> None:
    """Where nine of ten comparisons are of equals, far more than 5 % of those with p below 5 % are of equals."""
    generator = np.random.default_rng(0)
    equal = generator.random(4_000) < 0.9
    first = generator.binomial(40, np.where(equal, 0.5, 0.7))
    small = np.array([metrics.mcnemar(int(hits), 40 - int(hits)) for hits in first]) < 0.05
    assert equal[small].mean() > 0.25


@pytest.mark.parametrize(("choices", "samples", "accuracy"), [(2, 359, 0.9), (6, 359, 0.9), (12, 2_000, 0.95), (40, 1_000, 0.8)])
def test_the_best_of_several_is_as_much_too_good_as_is_said(choices: int, samples: int, accuracy: float) -> None:
    drawn = np.random.default_rng(0).binomial(samples, accuracy, (20_000, choices)) / samples
    assert optimism(choices, samples, accuracy) == pytest.approx(drawn.max(axis=1).mean() - accuracy, rel=0.06)
    alike = np.random.default_rng(0).binomial(samples, accuracy, 20_000) / samples
    assert alike.mean() - accuracy < optimism(choices, samples, accuracy) / 10, "weights that are right about the same pictures give nothing away"
    assert optimism(1, samples, accuracy) == 0


def test_the_screen_says_what_an_interval_is() -> None:
    assert re.search("of 20 such intervals about 19 hold the true figure", screen.COVERED, re.IGNORECASE)


def test_the_f1_of_the_shown_code_is_that_of_the_screen() -> None:
    """0 for a class of which no picture was found, nan for one that neither is there nor is taken for anything: the screen says not defined."""
    import torch

    from core.code import evaluation as shown

    labels, predicted = np.array([0, 0, 1, 1, 2, 2]), np.array([0, 0, 0, 1, 1, 1])
    text = shown._FIGURES.split("for name,")[0]
    names = {"torch": torch, "classes": list("abcd"), "labels": torch.from_numpy(labels), "predicted": torch.from_numpy(predicted)}
    exec(text, names)
    each, _ = metrics.f1_intervals(labels, predicted, 4)
    assert [one.value for one in each] == [pytest.approx(0.8), pytest.approx(0.4), 0, None]
    found = [float(value) for value in names["f1"]]  # type: ignore[attr-defined]
    assert found[:3] == pytest.approx([0.8, 0.4, 0])
    assert np.isnan(found[3])
