"""The figures of a sweep: what is drawn is what was given, whatever it is called, and nothing of it is read as markup."""

from __future__ import annotations

import math
import tomllib

from core.charts.sweeps import FROM_LOW_TO_HIGH, Axis, Point, accuracy_against, parallel
from tests.support import ROOT

SHARES = (0.2126, 0.7152, 0.0722)


def test_the_best_is_a_star_and_spread_is_drawn_where_there_is_any() -> None:
    figure = accuracy_against([Point(1, 0.5, "<b>a</b>", low=0.4, high=0.7), Point(200, 0.9, "b", best=True)], "Seconds")
    trace = figure.data[0]
    assert list(trace.marker.symbol) == ["circle", "star"]
    assert list(trace.text) == ["&lt;b&gt;a&lt;/b&gt;", "b"]
    assert [round(value) for value in trace.error_y.array] == [20, 0]
    assert [round(value) for value in trace.error_y.arrayminus] == [10, 0]
    assert figure.layout.xaxis.type == "log"
    assert accuracy_against([Point(1, 0.5, "a"), Point(2, 0.6, "b")], "Seconds").layout.xaxis.type == "linear"


def test_words_few_numbers_and_logarithms_have_axes_of_their_own() -> None:
    rates = [1e-4, 1e-3, 1e-2, 1e-1, 3e-3, 4e-3, 5e-3]
    axes = [Axis("Freeze", ["head only", "<i>x</i>" * 10] * 3 + ["head only"]), Axis("Seed", [0, 1, 2] * 2 + [0]), Axis("Rate", rates, log=True)]
    figure = parallel(axes, Axis("Accuracy", [50.2, 60.0, 70.0, 80.0, 90.0, 91.0, 92.4]))
    words, seeds, logs, colour = figure.data[0].dimensions
    assert list(words.values) == [0, 1, 0, 1, 0, 1, 0]
    assert words.ticktext[0] == "head only"
    assert "<" not in words.ticktext[1]
    assert list(seeds.ticktext) == ["0", "1", "2"]
    assert list(logs.values) == [math.log10(rate) for rate in rates]
    assert (colour.range[0], colour.range[1]) == (50.0, 100.0)


def test_every_line_can_be_seen_on_a_light_and_on_a_dark_page() -> None:
    def light(colour: str) -> float:  # relative luminance, WCAG 2
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        return sum(share * (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4) for share, part in zip(SHARES, parts, strict=True))

    themes = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text())["theme"]
    for page in (themes["light"]["backgroundColor"], themes["dark"]["backgroundColor"]):
        for _, colour in FROM_LOW_TO_HIGH:
            darker, lighter = sorted((light(page), light(colour)))
            assert (lighter + 0.05) / (darker + 0.05) >= 3, (colour, page)


def test_one_value_alone_still_has_an_axis() -> None:
    figure = parallel([Axis("Seed", [1, 1])], Axis("Accuracy", [90.0, 90.0]))
    low, high = figure.data[0].dimensions[-1].range
    assert low <= 90.0 < high
