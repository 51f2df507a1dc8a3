"""The report's charts: figures lie where the axis says, what is missing is a gap, and texts are texts."""

from __future__ import annotations

import io
import math
import re
from base64 import b64decode
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from core.export import report_charts, report_layers
from core.export.report_charts import Scale, Series, lines, named, ticks
from core.records.events import FROZEN, NO_GRADIENT, NOT_MEASURED, Layer


def path(drawing: str) -> str:
    """The first line that is drawn."""
    return re.findall(r'<path class="line s0" d="([^"]*)"', drawing)[0]


def across(*steps: int) -> np.ndarray:
    return np.array(steps, np.int64)


def test_points_lie_where_the_axes_say() -> None:
    drawing = lines([Series("loss", across(1, 11), np.array([0.0, 1.0]))], "loss", percent=True, height=210)
    (x0, y0), (x1, y1) = [(float(x), float(y)) for x, y in re.findall(r"[ML]([\d.]+) ([\d.]+)", path(drawing))]
    labels = {text: (float(x), float(y)) for x, y, text in re.findall(r'<text class="tick" x="([\d.]+)" y="([\d.]+)"[^>]*>([^<]*)<', drawing)}
    assert y0 == pytest.approx(labels["0 %"][1] - 4)
    assert y1 == pytest.approx(labels["100 %"][1] - 4)
    assert (x1 - x0) * 0.3 == pytest.approx(labels["4"][0] - x0, abs=0.2)


def test_what_is_missing_is_a_gap_and_not_a_number_is_a_cross() -> None:
    values = np.array([1.0, 2.0, math.nan, 2.0, 1.0])
    drawing = lines([Series("loss", across(1, 2, 3, 4, 5), values)], "loss", not_finite=[3])
    assert path(drawing).count("M") == 2
    assert drawing.count('class="bad"') == 1


def test_losses_far_apart_are_drawn_on_a_logarithmic_scale_and_zero_is_no_point_of_it() -> None:
    far = lines([Series("loss", across(1, 2, 3), np.array([1000.0, 10.0, 1.0]))], "loss")
    assert re.findall(r'text-anchor="end">(1|10|100|1,000)</text>', far) == ["1", "10", "100", "1,000"]
    near = lines([Series("loss", across(1, 2), np.array([2.0, 1.0]))], "loss")
    assert ">1,000<" not in near
    assert math.isnan(Scale(1, 10, 0, 1, log=True).of(0.0))


@pytest.mark.parametrize("values", [[math.nan], [math.nan, math.nan], []])
def test_nothing_to_draw_is_said(values: list[float]) -> None:
    assert "Nothing that could be drawn" in lines([Series("loss", across(*range(len(values))), np.array(values))], "loss")


@pytest.mark.parametrize("values", [[0.0], [5.0, 5.0], [-1.0, 1e30], [1e-30, 1e30], [0.0, math.inf, 1.0]])
def test_odd_figures_are_drawn_within_the_frame(values: list[float]) -> None:
    drawing = lines([Series("loss", across(*range(1, len(values) + 1)), np.array(values))], "loss", height=200)
    points = [(float(x), float(y)) for x, y in re.findall(r"[ML]([-\d.]+) ([-\d.]+)", path(drawing))]
    assert points
    assert all(0 <= x <= report_charts.WIDTH and 0 <= y <= 200 for x, y in points)


def test_texts_are_escaped_wherever_they_stand() -> None:
    evil = "<b onload='x'>&\""
    drawing = lines([Series(evil, across(1, 2), np.array([1.0, 2.0])), Series("b", across(1, 2), np.array([1.0, 2.0]))], evil, evil, [(1.5, evil)])
    assert "<b" not in drawing
    assert drawing.count("&lt;b") == 4
    for part in re.findall(r"<svg.*?</svg>", drawing):
        ElementTree.fromstring(part)


@given(st.floats(-1e12, 1e12), st.floats(1e-9, 1e12), st.integers(3, 8))
def test_ticks_are_a_few_round_numbers_between_the_ends(low: float, width: float, count: int) -> None:
    high = low + width
    found = ticks(low, high, count)
    assert len(found) <= 2 * count + 1
    assert list(found) == sorted(set(found))
    room = 1e-6 * max(abs(low), abs(high), width)
    assert all(low - room <= tick <= high + room for tick in found)


@pytest.mark.parametrize(("value", "said"), [(0.0, "0"), (1500.0, "1,500"), (0.03, "0.03"), (1e-7, "1e-7"), (2.5e-5, "2.5e-5"), (1e9, "1e+09")])
def test_figures_beside_an_axis_are_short(value: float, said: str) -> None:
    assert named(value) == said


def test_each_state_of_a_norm_has_a_colour_of_its_own_and_not_measured_has_none() -> None:
    layers = [Layer(f"a.{number}", (1,), 1, False, "a") for number in range(7)]
    norms = np.array([[FROZEN, 0.0, NO_GRADIENT, NOT_MEASURED, math.nan, 0.01, 10.0]] * 2, np.float32)
    drawing = report_layers.heatmap(report_layers.Heat(across(1, 2), norms), layers, 2)
    data = re.findall(r'href="data:image/png;base64,([^"]*)"', drawing)[0]
    image = Image.open(io.BytesIO(b64decode(data))).convert("RGBA")
    assert image.size == (2, 7)
    column = [image.getpixel((0, row)) for row in range(7)]
    colours = [tuple(int(colour[at : at + 2], 16) for at in (1, 3, 5)) for _, colour, _ in report_layers.STATES[:4]]
    assert [pixel[:3] for pixel in (column[0], column[1], column[2], column[4])] == colours  # type: ignore[index]
    assert column[3][3] == 0  # type: ignore[index]
    assert column[5][:3] == (0x1D, 0x11, 0x47)  # type: ignore[index]
    assert column[6][:3] == (0xFC, 0xFD, 0xBF)  # type: ignore[index]
    assert all(said in drawing for _, _, said in report_layers.STATES)


def test_a_bucket_stands_for_the_steps_since_the_one_before() -> None:
    codes = report_layers._spread(across(10, 20), np.array([[1], [2]], np.uint8), 20)
    assert codes[:, 0].tolist() == [1] * 10 + [2] * 10
