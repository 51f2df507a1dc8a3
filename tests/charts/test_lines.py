"""Small figures of lines: which scale they take, what is marked, how lines are told apart."""

from __future__ import annotations

import numpy as np
import pytest

from core.charts.lines import WIDE, Line, lines_figure


def line(values: list[float], label: str = "loss") -> Line:
    return Line(label, np.arange(1, len(values) + 1), np.array(values))


@pytest.mark.parametrize(
    ("values", "log", "scale"),
    [
        ([1.0, WIDE], True, "linear"),
        ([1.0, 1.01 * WIDE], True, "log"),
        ([1.0, 1.01 * WIDE], False, "linear"),
        ([1.0, 1.0], True, "linear"),
        ([1.0, 2.0], False, "linear"),
        ([0.0, np.nan, np.inf, -5.0, 1000.0], True, "linear"),  # one value alone is left that a logarithm is of
        ([0.0, np.nan, 0.1, 1000.0], True, "log"),
        ([], True, "linear"),
        ([np.nan], True, "linear"),
    ],
)
def test_the_scale_is_logarithmic_where_values_are_far_apart_and_a_logarithm_is_asked_for(values: list[float], log: bool, scale: str) -> None:
    assert lines_figure([line(values)], "Loss", log=log).layout.yaxis.type == scale


def test_how_far_apart_is_judged_over_all_lines_together() -> None:
    assert lines_figure([line([1.0, 2.0]), line([100.0, 101.0])], "Loss").layout.yaxis.type == "log"


def test_a_window_is_drawn_from_its_first_to_its_last_step_and_only_where_there_is_one() -> None:
    (shape,) = lines_figure([line([1.0, 2.0, 3.0])], "Loss", window=(2, 3)).layout.shapes
    assert (shape.type, shape.x0, shape.x1) == ("rect", 2, 3)
    assert lines_figure([line([1.0, 2.0, 3.0])], "Loss").layout.shapes == ()


def test_each_line_has_its_values_its_name_and_a_dash_of_its_own() -> None:
    figure = lines_figure([line([1.0, 2.0], "training"), line([3.0] * 40, "validation")], "Loss", "Epoch")
    first, second = figure.data
    assert (list(first.x), list(first.y), first.name) == ([1, 2], [1.0, 2.0], "training")
    assert first.line.dash != second.line.dash
    assert (first.mode, second.mode) == ("lines+markers", "lines"), "few points are marked, many would hide the line"
    assert (figure.layout.xaxis.title.text, figure.layout.yaxis.title.text) == ("Epoch", "Loss")
    assert figure.layout.showlegend is True
    assert lines_figure([line([1.0])], "Loss").layout.showlegend is False
