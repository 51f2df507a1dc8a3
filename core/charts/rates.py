"""The loss at rising learning rates, with the rate to take."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from core.records.rate_curve import RateCurve

if TYPE_CHECKING:
    import plotly.graph_objects as go

ABOVE = 1.6
"""How much of what lies above the first loss is shown, as a factor: where it grows, the fall would be flattened."""


def rate_figure(curve: RateCurve) -> go.Figure:
    """Losses of single batches as dots, the smoothed line, and a line where the suggestion is. Each point can be chosen."""
    import plotly.graph_objects as go  # takes a third of a second, and most pages never need it

    figure = go.Figure(
        [
            go.Scatter(x=curve.rates, y=curve.losses, name="each batch", mode="markers", marker={"size": 5, "opacity": 0.45, "color": "gray"}),
            go.Scatter(x=curve.rates, y=curve.smoothed, name="smoothed", mode="lines+markers", marker={"size": 4}, line_width=2.2),
        ]
    )
    figure.update_traces(hovertemplate="learning rate %{x:.3g}: loss %{y:.4g}<extra>%{fullData.name}</extra>")
    known = [value for value in curve.smoothed if value is not None]
    axis: dict[str, Any] = {"title": "Loss", "rangemode": "tozero"}
    if known:
        low, high = min(known), max(known[0] * ABOVE, min(known) + 1e-9)
        axis["range"] = [low - 0.08 * (high - low), high]
    figure.update_layout(
        height=260, margin={"l": 8, "r": 8, "t": 8, "b": 8},
        xaxis={"title": "Learning rate", "type": "log", "exponentformat": "power", "dtick": 1}, yaxis=axis,
        legend={"orientation": "h", "y": 1.18}, clickmode="event+select", dragmode=False,
    )  # fmt: skip
    if curve.suggestion is not None:
        figure.add_vline(x=curve.suggestion, line_width=1.5, line_dash="dash", line_color="gray")
        # On a logarithmic axis an annotation stands at the power of ten.
        figure.add_annotation(
            x=math.log10(curve.suggestion),
            xref="x",
            y=1,
            yref="paper",
            yanchor="top",
            xanchor="left",
            xshift=5,
            showarrow=False,
            text=f"{curve.suggestion:g}",
        )
    return figure
