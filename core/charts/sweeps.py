"""What came out of many runs: accuracy against what it took, and all that varied side by side."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import plotly.graph_objects as go

WIDE = 30.0
"""Largest value over smallest from which on a logarithmic scale shows more."""

FEW = 6
"""So many different numbers are places on an axis, each with its own."""

FROM_LOW_TO_HIGH = ((0.0, "#78828c"), (0.5, "#1f8fd0"), (1.0, "#d06a00"))
"""Colours that can be seen on a light and on a dark page: the ends of Plotly's own scales vanish on one of the two."""

MANY_WORDS = 24
"""Characters of a value on an axis; what is longer is cut."""


@dataclass(frozen=True)
class Point:
    """One run, or the mean of some: what it took (`across`), its accuracy from 0 to 1, and what is said of it.

    `low` and `high` are the lowest and highest accuracy of those it is the mean of; None: it is one run.
    """

    across: float
    accuracy: float
    label: str
    best: bool = False
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Axis:
    """One thing that varied, or that was measured: a value for each run, numbers or words. `log`: by its logarithm."""

    title: str
    values: Sequence[Any]
    log: bool = False


def accuracy_against(points: Sequence[Point], across: str, named: bool = False) -> go.Figure:
    """Accuracies in percent against what they took. The best is a star, for those who see no colour. `named`: the labels stand beside the points."""
    import plotly.graph_objects as go  # takes a third of a second, and most pages never need it

    positive = [point.across for point in points if point.across > 0]
    wide = len(positive) > 1 and max(positive) > WIDE * min(positive)
    figure = go.Figure(
        go.Scatter(
            x=[point.across for point in points],
            y=[100 * point.accuracy for point in points],
            mode="markers+text" if named else "markers",
            marker={"size": [15 if point.best else 9 for point in points], "symbol": ["star" if point.best else "circle" for point in points]},
            text=[html.escape(point.label) for point in points],
            textposition="top center",
            error_y=_spread(points),
            hovertemplate="%{text}<br>%{y:.1f} %<br>%{x:,.4~g}<extra></extra>",
        )
    )
    figure.update_layout(
        height=320, margin={"l": 8, "r": 8, "t": 24, "b": 8}, xaxis_title=across + (", logarithmic" if wide else ""),
        yaxis_title="Validation accuracy (%)", xaxis_type="log" if wide else "linear", showlegend=False,
    )  # fmt: skip
    if not wide:
        figure.update_xaxes(rangemode="tozero")
    else:
        figure.update_xaxes(tickvals=_round_numbers(min(positive), max(positive)), tickformat=",.4~s")
    if named and positive:  # room for the names of the outermost points
        low, high = min(positive), max(positive)
        room = 0.12 * (math.log10(high / low) if wide else high) or 0.1
        figure.update_xaxes(range=[math.log10(low) - room, math.log10(high) + room] if wide else [-room, high + 2 * room])
    return figure


def _spread(points: Sequence[Point]) -> dict[str, Any] | None:
    if all(point.low is None for point in points):
        return None
    up = [100 * ((point.high or point.accuracy) - point.accuracy) for point in points]
    down = [100 * (point.accuracy - (point.accuracy if point.low is None else point.low)) for point in points]
    return {"type": "data", "symmetric": False, "array": up, "arrayminus": down}


def parallel(axes: Sequence[Axis], colour: Axis) -> go.Figure:
    """A line a run through all that varied, coloured by `colour`, which is the last axis too."""
    import plotly.graph_objects as go

    figure = go.Figure(
        go.Parcoords(
            dimensions=[*map(_dimension, axes), _numbers(colour)],
            line={"color": list(colour.values), "colorscale": FROM_LOW_TO_HIGH, "showscale": False},
            labelfont={"size": 13},
            tickfont={"size": 12},
        )
    )
    figure.update_layout(height=340, margin={"l": 96, "r": 96, "t": 56, "b": 24})
    return figure


def _dimension(axis: Axis) -> dict[str, Any]:
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in axis.values):
        if len(set(axis.values)) <= FEW and not axis.log:
            known = sorted(set(axis.values))
            places = [known.index(value) for value in axis.values]
            return _words(axis.title, places, [f"{value:g}" for value in known])
        if not axis.log:
            return _numbers(axis)
        logs = [math.log10(value) for value in axis.values]
        ticks = list(range(math.floor(min(logs)), math.ceil(max(logs)) + 1))
        return {
            "label": html.escape(axis.title), "values": logs, "tickvals": ticks, "ticktext": [f"{10.0**tick:g}" for tick in ticks],
            "range": [ticks[0], ticks[-1]] if len(ticks) > 1 else None,
        }  # fmt: skip
    words = [str(value) for value in axis.values]
    known = list(dict.fromkeys(words))
    return _words(axis.title, [known.index(word) for word in words], known)


def _numbers(axis: Axis) -> dict[str, Any]:
    return {"label": html.escape(axis.title), "values": list(axis.values), "tickformat": ".4~g", "range": _ends(axis.values)}


def _words(title: str, places: Sequence[int], known: Sequence[str]) -> dict[str, Any]:
    """An axis with a place for each of a few values."""
    shown = [html.escape(word if len(word) <= MANY_WORDS else word[: MANY_WORDS - 1] + "…") for word in known]
    return {
        "label": html.escape(title), "values": list(places),
        "tickvals": list(range(len(known))), "ticktext": shown,
    }  # fmt: skip


def _ends(values: Sequence[float]) -> list[float]:
    """The ends of an axis: those of the values, with few digits."""
    low, high = min(values), max(values)
    step = 10.0 ** math.floor(math.log10((high - low) / 2)) if high > low else abs(low) or 1.0
    return [step * math.floor(low / step), step * math.ceil(high / step + (high == low))]


def _round_numbers(low: float, high: float) -> list[float]:
    """1, 2 and 5 times each power of ten between the two, or powers of ten alone where that would be many."""
    steps = (1,) if high > 100 * low else (1, 2, 5)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [step * 10.0**power for power in powers for step in steps]
