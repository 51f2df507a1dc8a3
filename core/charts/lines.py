"""A few lines over steps or epochs, with the window that matters shaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import plotly.graph_objects as go

WIDE = 30.0
"""Largest value over smallest from which on a logarithmic scale shows more."""


@dataclass(frozen=True)
class Line:
    """One line: `across` int64[n], steps or epochs, and `values` float64[n], NaN where there is none."""

    label: str
    across: NDArray[np.int64]
    values: NDArray[np.float64]


def accuracy_figure(lines: Sequence[Line], marks: Sequence[tuple[float, str]]) -> go.Figure:
    """Accuracies in percent over epochs, on the whole scale. `marks`: where between two epochs something changes, and what."""
    figure = lines_figure(lines, "Validation accuracy (%)", "Epoch", log=False)
    figure.update_yaxes(range=[0, 103])
    figure.update_xaxes(dtick=1)
    for across, text in marks:
        figure.add_vline(x=across, line_width=1, line_dash="dot", line_color="gray")
        figure.add_annotation(x=across, y=0, yref="paper", text=text, showarrow=False, xanchor="left", yanchor="bottom", xshift=4)
    return figure


def lines_figure(lines: Sequence[Line], name: str, across: str = "Step", window: tuple[int, int] | None = None, log: bool = True) -> go.Figure:
    """The lines as a small figure. `name` and `across` are the axes' titles; `log`: on a logarithmic scale where values are far apart."""
    import plotly.graph_objects as go  # takes a third of a second, and most pages never need it

    figure = go.Figure(
        [
            go.Scatter(x=line.across, y=line.values, name=line.label, mode="lines+markers" if len(line.across) < WIDE else "lines", line_dash=dash)
            for line, dash in zip(lines, ("solid", "dash", "dot", "dashdot"), strict=False)  # told apart without colour, too
        ]
    )
    values = np.concatenate([line.values for line in lines])
    positive = values[np.isfinite(values) & (values > 0)]
    wide = log and len(positive) > 1 and float(positive.max()) > WIDE * float(positive.min())
    figure.update_layout(
        height=240, margin={"l": 8, "r": 8, "t": 8, "b": 8}, xaxis_title=across, yaxis_title=name, yaxis_type="log" if wide else "linear",
        showlegend=len(lines) > 1, legend={"orientation": "h", "y": 1.18},
    )  # fmt: skip
    if window is not None:
        figure.add_vrect(x0=window[0], x1=window[1], fillcolor="gray", opacity=0.15, line_width=0)
    return figure
