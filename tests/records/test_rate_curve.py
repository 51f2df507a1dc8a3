"""Which learning rate follows from losses at rising rates: where they fall fastest, well below where they grow; and none where they never fall."""

from __future__ import annotations

import math

import numpy as np
import pytest

from core.charts.rates import rate_figure
from core.records.rate_curve import FEWEST_STEPS, RateCurve, has_grown, rates, suggest

TRIED = [float(rate) for rate in rates(1e-6, 10.0, 100)]


def losses(fall: float, noise: float = 0.0, grows: float | None = 1.0, middle: float = 1e-2) -> list[float]:
    """2.3 down to 2.3 - `fall` around the rate `middle`, and up from `grows` on."""
    random = np.random.default_rng(0)
    found = []
    for rate in TRIED:
        loss = 2.3 - fall / (1 + (middle / rate) ** 2) + (0 if grows is None else (rate / grows) ** 2) + noise * random.standard_normal()
        found.append(float(loss))
    return found


def test_it_lies_where_the_loss_falls_fastest_and_says_why() -> None:
    found = suggest(TRIED, losses(2.0))
    assert found.rate is not None
    assert 3e-3 < found.rate < 2e-2
    assert found.lowest is not None
    assert found.grows is not None
    assert found.rate < found.lowest < found.grows
    assert f"falls fastest at {found.rate:.3g}"[:19] in found.reason
    assert "it grows again" in found.reason


def test_noise_moves_it_by_little() -> None:
    found = suggest(TRIED, losses(2.0, noise=0.15))
    assert found.rate is not None
    assert 1e-3 < found.rate < 4e-2


def test_it_stays_a_tenth_below_where_the_loss_grows() -> None:
    found = suggest(TRIED, losses(2.0, grows=0.03))
    assert found.rate is not None
    assert found.grows is not None
    assert found.rate <= 1.1 * found.grows / 10
    assert "a tenth of that is taken" in found.reason


def test_one_that_still_falls_at_the_end_says_so() -> None:
    assert "still falls at the highest rate tried" in suggest(TRIED, losses(2.0, grows=None)).reason


@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_a_loss_that_never_falls_gives_none(noise: float) -> None:
    found = suggest(TRIED, losses(0.0, noise=noise))
    assert found.rate is None
    assert "never falls between 1e-06 and" in found.reason


def test_a_loss_that_is_never_finite_gives_none() -> None:
    found = suggest(TRIED[:1], [math.nan])
    assert (found.rate, found.smoothed) == (None, (None,))
    assert "not a finite number at the lowest rate already (1e-06)" in found.reason
    early = suggest(TRIED[:5], [2.0, 2.0, 1.9, 2.0, math.inf])
    assert early.rate is None
    assert "too few steps came before" in early.reason


def test_a_trial_ends_once_the_loss_has_grown_or_is_none() -> None:
    flat = [1.0] * FEWEST_STEPS
    assert not has_grown([])
    assert not has_grown(flat)
    assert not has_grown([*flat, 9.0]), "one bad batch"
    assert has_grown([*flat, *[9.0] * 6])
    assert has_grown([math.inf])


@pytest.mark.parametrize("values", [losses(2.0), [math.nan]])
def test_the_figure_shows_any_curve(values: list[float]) -> None:
    found = suggest(TRIED[: len(values)], values)
    shown = tuple(value if math.isfinite(value) else None for value in values)
    figure = rate_figure(RateCurve(tuple(TRIED[: len(values)]), shown, found.smoothed, found.rate, found.reason))
    assert len(figure.data) == 2
    assert len(figure.layout.shapes) == (found.rate is not None)
