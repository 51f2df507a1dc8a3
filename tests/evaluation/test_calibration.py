"""The calibration error, the exact test of it, and what is said of it: against slow and simple ways, and over test sets that are drawn."""

from __future__ import annotations

import re

import numpy as np
import pytest
from numpy.typing import NDArray

from core.config import RunConfig
from core.evaluation import calibration, metrics, telling
from core.evaluation.confidence import Meaning, meaning_of
from core.evaluation.intervals import wilson
from core.records.evaluation import Evaluation, Interval

JUDGED = Meaning(True)
Floats = NDArray[np.float64]


def confident(kind: str, count: int, generator: np.random.Generator) -> Floats:
    """Confidences like those of a good model (97 % on average), of one that is surer still (99 %), and of one that often hesitates (71 %)."""
    match kind:
        case "good":
            return 1 - np.minimum(generator.exponential(0.03, count), 0.85)
        case "sure":
            return 1 - np.minimum(generator.exponential(0.008, count), 0.85)
        case _:
            return np.clip(generator.beta(5, 2, count), 0.12, 0.9999)


def evaluated(confidence: Floats, right: NDArray[np.bool_]) -> Evaluation:
    """An evaluation of two classes whose predictions have these confidences and are right where they are."""
    logits = np.column_stack([np.log(np.maximum(confidence, 0.5001)), np.log1p(-np.maximum(confidence, 0.5001))])
    return metrics.evaluation("run", 1, 1, ("a", "b"), logits, np.where(right, 0, 1))


def test_gaps_of_both_signs_do_not_make_up_for_each_other() -> None:
    generator = np.random.default_rng(0)
    sure = np.arange(400) < 200
    right = generator.random(400) < np.where(sure, 0.7, 0.6)
    interval = calibration.calibration_interval(np.where(sure, 0.95, 0.3).astype(np.float32), right)
    assert interval.value == pytest.approx((0.95 - right[sure].mean() + right[~sure].mean() - 0.3) / 2, abs=5e-3)
    drawn = [(0.95 - generator.choice(right[sure], 200).mean() + generator.choice(right[~sure], 200).mean() - 0.3) / 2 for _ in range(500)]
    assert interval.low == pytest.approx(np.quantile(drawn, 0.025), abs=0.015)
    assert interval.high == pytest.approx(np.quantile(drawn, 0.975), abs=0.015)


def test_the_calibration_error_is_the_gap_between_confidence_and_accuracy() -> None:
    confidence = np.array([0.95, 0.95, 0.55, 0.55, 1 / 15])
    right = np.array([True, False, True, True, False])
    # (|1 - 1.9| + |2 - 1.1| + |0 - 1/15|) / 5
    assert calibration.calibration_error(confidence, right) == pytest.approx((0.9 + 0.9 + 1 / 15) / 5)
    found = calibration.bins(confidence, right)
    assert (found[14].samples, found[14].accuracy.value) == (2, 0.5)
    assert found[14].confidence == pytest.approx(0.95)
    assert found[0].samples == 1, "a bin has its upper end"
    assert (found[5].samples, found[5].confidence, found[5].accuracy) == (0, None, Interval(None, None, None))
    assert sum(part.samples for part in found) == 5


def test_the_sum_of_trials_is_what_multiplying_one_by_one_gives() -> None:
    generator = np.random.default_rng(0)
    for count in (1, 2, 7, 359):
        chances = confident("good", count, generator)
        slow = np.ones(1)
        for chance in chances:
            slow = np.convolve(slow, [1 - chance, chance])
        assert np.allclose(calibration.sum_of_trials(chances), slow, rtol=0, atol=1e-14)


def test_the_p_value_is_a_binomial_one_where_all_confidences_are_equal() -> None:
    from scipy.stats import binom

    confidence = np.full(200, 0.9)
    for hits in (150, 171, 180, 195, 200):
        found = calibration.sureness(confidence, np.arange(200) < hits)
        assert found is not None
        two = 2 * min(binom.cdf(hits, 200, 0.9), binom.sf(hits - 1, 200, 0.9))
        assert found.p_value == pytest.approx(min(1, two), rel=1e-6, abs=1e-13)
        assert found.confidence == pytest.approx(0.9)
        assert found.right == hits / 200
    assert calibration.sureness(np.zeros(0), np.zeros(0, bool)) is None


@pytest.mark.parametrize("count", [100, 359, 1_000, 10_000])
def test_a_calibrated_model_is_called_too_sure_or_less_sure_in_under_five_percent_of_test_sets(count: int) -> None:
    """By the direction, or by single places: both sentences together. (2,000 sets of 100, 359, 1,000 and 800 of 10,000: 3.4, 4.5, 3.9, 2.8 %.)"""
    generator = np.random.default_rng(count)
    sets = 200 if count < 1_000 else 100
    alarms = 0
    for number in range(sets):
        confidence = np.maximum(confident(("good", "sure", "hesitant")[number % 3], count, generator), 0.5001)
        right = generator.random(count) < confidence
        sure = calibration.sureness(confidence, right)
        assert sure is not None
        alarms += sure.p_value < calibration.ALARM or (calibration.calibration_interval(confidence, right, draws=300).low or 0) > 0
    # So few sets leave room for chance: 5 % alarms would show as more than this in 2 of 1,000 such tests.
    assert alarms <= 0.05 * sets + 3 * (0.05 * 0.95 * sets) ** 0.5


def test_the_exact_test_keeps_its_rate_and_finds_what_is_there_as_test_sets_grow() -> None:
    generator = np.random.default_rng(7)

    def rate(count: int, off: float, sets: int) -> float:
        alarms = 0
        for _ in range(sets):
            confidence = confident("good", count, generator)
            found = calibration.sureness(confidence, generator.random(count) < confidence - off)
            assert found is not None
            alarms += found.p_value < calibration.ALARM
        return alarms / sets

    assert rate(359, 0, 1_000) <= 0.033
    assert rate(10_000, 0, 80) <= 0.06
    assert rate(359, 0.01, 200) < 0.5, "a point is little on 359 pictures"
    assert rate(10_000, 0.01, 30) > 0.95, "and plain on 10,000"


@pytest.mark.parametrize("count", [359, 2_000])
def test_a_calibrated_model_measures_more_than_zero_and_its_interval_holds_zero(count: int) -> None:
    generator = np.random.default_rng(1)
    plain: list[float] = []
    held = []
    for _ in range(120):
        confidence = confident("good", count, generator)
        right = generator.random(count) < confidence
        plain.append(calibration.calibration_error(confidence, right) or 0.0)
        held.append(calibration.calibration_interval(confidence, right, draws=300).low == 0)
    assert np.mean(held) > 0.93
    # What the docstring says: chance alone makes 1 point of 0 at 359 pictures.
    assert np.mean(plain) == pytest.approx(0.0114 if count == 359 else 0.0048, abs=0.0012)


def test_chance_adds_more_where_fewer_are_right() -> None:
    generator = np.random.default_rng(1)
    plain: list[float] = []
    for _ in range(100):
        confidence = confident("hesitant", 359, generator)
        plain.append(calibration.calibration_error(confidence, generator.random(359) < confidence) or 0.0)
    assert np.mean(plain) == pytest.approx(0.056, abs=0.004)


def _off(kind: str, shape: str, error: float) -> float:
    """By how much confidences are shifted or stretched so that the true calibration error is `error`."""
    sure = confident(kind, 100_000, np.random.default_rng(99))
    low, high = 0.0, 1.0
    for _ in range(30):
        middle = (low + high) / 2
        gaps = _true(sure, shape, middle) - sure
        found = np.abs(np.bincount(calibration._places(sure, 15), gaps, 15)).sum() / len(sure)
        low, high = (middle, high) if found < error else (low, middle)
    return low


def _true(sure: Floats, shape: str, by: float) -> Floats:
    """How often predictions of these confidences are really right."""
    if shape == "shifted":
        return np.clip(sure - by, 0, 1)
    if shape == "both ways":
        return np.clip(sure + by * np.where(calibration._places(sure, 15) % 2 == 0, 1, -1), 0, 1)
    odds = np.clip(sure, 1e-6, 1 - 1e-6)
    return 1 / (1 + ((1 - odds) / odds) ** (1 - by))  # as another temperature would


@pytest.mark.parametrize("count", [359, 2_000])
@pytest.mark.parametrize("error", [0.0, 0.02, 0.05, 0.10])
@pytest.mark.parametrize(("kind", "shape"), [("good", "shifted"), ("hesitant", "another temperature"), ("hesitant", "both ways")])
def test_the_interval_holds_the_true_calibration_error(count: int, error: float, kind: str, shape: str) -> None:
    generator = np.random.default_rng(3)
    by = _off(kind, shape, error) if error else 0.0
    sets, held = 40, 0
    values: list[float] = []
    for _ in range(sets):
        sure = confident(kind, count, generator)
        right = generator.random(count) < (_true(sure, shape, by) if error else sure)
        found = calibration.calibration_interval(sure, right, draws=120)
        assert found.low is not None
        assert found.high is not None
        held += found.low <= error <= found.high
        values.append(found.value or 0.0)
    assert held / sets >= 0.8, "95 % are meant: 40 sets tell 95 from 80"
    assert np.median(values) == pytest.approx(error, abs=0.03 if not error else 0.02 if count == 359 else 0.012), "what chance adds is taken off"


# What is said of it


def test_calibration_says_in_which_direction_it_is_off_where_chance_hardly_explains_it() -> None:
    generator = np.random.default_rng(0)
    sure = np.full(359, 0.95)

    def said(right: float) -> str:
        return telling.calibration(evaluated(sure, generator.permutation(359) < right * 359), JUDGED)

    assert "too sure of itself" in said(0.7)
    assert "Bars below the diagonal" in said(0.7)
    assert "less sure than it could be" in said(1.0)
    assert "359 pictures show no difference that chance does not explain" in said(0.94)
    assert "no difference" in said(0.93), "2 points are nothing on 359 pictures"
    many = evaluated(np.full(10_000, 0.95), np.arange(10_000) < 9_300)
    assert "too sure" in telling.calibration(many, JUDGED), "and much on 10,000"


def test_being_off_in_both_directions_is_said() -> None:
    sure = np.repeat([0.95, 0.55], 1_000)
    right = np.concatenate([np.arange(1_000) < 800, np.arange(1_000) < 700])
    told = telling.calibration(evaluated(sure, right), JUDGED)
    assert "too sure in some places and not sure enough in others" in told


def test_the_share_of_test_sets_that_is_said_is_the_p_value() -> None:
    found = evaluated(np.full(359, 0.95), np.arange(359) < 345)
    assert found.sureness is not None
    (share,) = re.findall(r"in ([\d.]+)\u00a0% of such test sets", telling.calibration(found, JUDGED))
    generator = np.random.default_rng(0)
    hits = (generator.random((4_000, 359)) < 0.95).sum(axis=1)
    counted = 2 * min((hits <= 345).mean(), (hits >= 345).mean())
    assert float(share) / 100 == pytest.approx(min(1, counted), abs=0.03)


def test_confidence_that_no_loss_aimed_at_is_not_judged() -> None:
    off = evaluated(np.full(359, 0.95), np.arange(359) < 200)
    told = telling.calibration(off, meaning_of(RunConfig(loss="MSELoss"), 10))
    assert "artefact" in told
    assert "sure" not in told
    smoothed = telling.calibration(off, meaning_of(RunConfig(loss_options={"label_smoothing": 0.1}), 10))
    assert "too sure" in smoothed
    assert "label smoothing 0.1" in smoothed


def test_without_finite_predictions_nothing_is_said() -> None:
    broken = metrics.evaluation("run", 0, 0, ("a", "b"), np.full((4, 2), np.nan, np.float32), np.zeros(4, np.int64))
    assert "nothing can be said" in telling.calibration(broken, JUDGED)
    assert telling.calibration_error(broken) == ""


def test_the_error_is_told_with_what_chance_adds_and_without() -> None:
    calm = evaluated(np.full(359, 0.95), np.arange(359) < 343)
    assert "chance alone explains all" in telling.calibration_error(calm)
    off = evaluated(np.full(359, 0.95), np.arange(359) < 250)
    assert "chance alone does not explain it" in telling.calibration_error(off)
    assert f"it is {100 * (off.plain_calibration_error or 0):.1f}" in telling.calibration_error(off)
    assert wilson(0, 0) == Interval(None, None, None)


def test_what_is_off_on_average_is_off_in_the_calibration_error_too() -> None:
    """Else the screen would call a model less sure than it could be, and say below that chance explains all of its calibration error."""
    generator = np.random.default_rng(11)
    off = held = 0
    for _ in range(80):
        sure = confident("hesitant", 359, generator)
        right = generator.random(359) < np.clip(sure + 0.06, 0, 1)
        found, tested = calibration.calibration_interval(sure, right, draws=100), calibration.sureness(sure, right)
        assert tested is not None
        assert found.low is not None
        assert found.value is not None
        off += tested.p_value < calibration.ALARM
        held += calibration.least_gap(sure, right) <= 0.06
        assert found.low > 0 or tested.p_value >= calibration.ALARM
        assert found.low <= found.value
    assert off > 25
    assert held / 80 > 0.97
