"""How far each layer of a model moved, as bars in the order of the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import plotly.graph_objects as go

MOST_NAMES = 40
"""Layers whose names are written; of more, every so many-th."""


def moved_figure(layers: Sequence[str], moved: Mapping[str, Sequence[float | None]]) -> go.Figure:
    """A group of bars for each layer, one bar for each series of `moved`: relative distances, without a unit; None: not known."""
    import plotly.graph_objects as go  # takes a third of a second, and most pages never need it

    patterns = ("", "/", "x")  # told apart without colour, too
    places = list(range(len(layers)))
    names = [escape(layer) for layer in layers]
    bars = [
        go.Bar(
            x=places, y=list(values), name=escape(name), customdata=names, marker_pattern_shape=shape, hovertemplate="%{customdata}: %{y:.3g}",
        )
        for (name, values), shape in zip(moved.items(), patterns, strict=False)
    ]  # fmt: skip
    figure = go.Figure(bars)
    every = max(1, -(-len(layers) // MOST_NAMES))
    figure.update_layout(
        height=320, margin={"l": 8, "r": 8, "t": 8, "b": 8}, barmode="group", yaxis_title="relative distance", showlegend=len(bars) > 1,
        legend={"orientation": "h", "y": 1.15},
        xaxis={"tickvals": places[::every], "ticktext": [name if len(name) <= 24 else f"…{name[-23:]}" for name in names[::every]], "tickangle": -60},
    )  # fmt: skip
    return figure
