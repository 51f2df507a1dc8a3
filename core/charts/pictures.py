"""What the pictures of a dataset have in common, as small figures: how many of each class, of what shape and size, and their colours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import plotly.graph_objects as go

MOST = 40
"""Classes that a chart of all of them can show; of more, counts are drawn without names, largest first."""

SPLITS = {"train": "train", "validation": "validation", "test": "test", "": "no split yet"}
PATTERNS = {"train": "", "validation": "/", "test": "x", "": "."}
COLOURS = {"Red": "#d62728", "Green": "#2ca02c", "Blue": "#1f77b4"}
DASHES = {"Red": "solid", "Green": "dash", "Blue": "dot"}


def balance_figure(classes: Sequence[str], counts: Mapping[str, Sequence[int]]) -> go.Figure:
    """Pictures of each class, stacked by split. `counts`: of each class in their order, by split ("" for none yet)."""
    import plotly.graph_objects as go  # takes a third of a second, and most pages never need it

    total = np.sum([list(each) for each in counts.values()], axis=0)
    many = len(classes) > MOST
    order = np.argsort(-total, kind="stable") if many else np.arange(len(classes))
    figure = go.Figure(
        [
            go.Bar(
                x=list(range(1, len(classes) + 1)),  # not the names: Plotly makes numbers of '1' and '10', dates of '2024-05'
                y=[int(counts[split][label]) for label in order],
                name=SPLITS[split],
                marker_pattern={"shape": PATTERNS[split], "fillmode": "overlay", "size": 6, "solidity": 0.15},
                customdata=[escape(classes[label]) for label in order],
                hovertemplate="%{customdata}: %{y:,}<extra>%{fullData.name}</extra>",
            )
            for split in counts
        ]
    )
    figure.update_layout(
        barmode="stack", bargap=0.25 if not many else 0, height=300, margin={"l": 8, "r": 8, "t": 8, "b": 8}, yaxis_title="Pictures",
        xaxis_title=f"{len(classes):,} classes, largest first" if many else None, legend={"orientation": "h", "y": 1.12}, showlegend=len(counts) > 1,
    )  # fmt: skip
    if not many:
        figure.update_xaxes(tickvals=list(range(1, len(classes) + 1)), ticktext=[escape(_short(name)) for name in classes])
    return figure


def shapes_figure(ratios: NDArray[np.float64]) -> go.Figure:
    """How wide pictures are for their height, on a logarithmic scale: 1:2 and 2:1 are as far from a square."""
    import plotly.graph_objects as go

    edges = np.linspace(-2.5, 2.5, 41)
    counts, _ = np.histogram(np.clip(np.log2(ratios), -2.49, 2.49), edges)
    middle = (edges[1:] + edges[:-1]) / 2
    figure = go.Figure(go.Bar(x=middle, y=counts, hovertemplate="%{y:,}<extra></extra>"))
    figure.update_xaxes(tickvals=[-2, -1, 0, 1, 2], ticktext=["1:4", "1:2", "square", "2:1", "4:1"], title="Width : height", range=[-2.5, 2.5])
    figure.update_layout(height=240, bargap=0.05, margin={"l": 8, "r": 8, "t": 8, "b": 8}, yaxis_title="Pictures")
    return figure


def sides_figure(widths: Sequence[int], heights: Sequence[int]) -> go.Figure:
    """Width and height of pictures: a point for each size, the larger the more pictures have it."""
    import plotly.graph_objects as go

    pairs, counts = np.unique(np.column_stack([widths, heights]), axis=0, return_counts=True)
    most = np.argsort(-counts, kind="stable")[:1_500]
    pairs, counts = pairs[most], counts[most]
    sizes = 6 + 20 * np.sqrt(counts / counts.sum())
    figure = go.Figure(
        go.Scatter(
            x=pairs[:, 0], y=pairs[:, 1], mode="markers", marker={"size": sizes, "opacity": 0.55}, customdata=counts,
            hovertemplate="%{x:,} x %{y:,}: %{customdata:,}<extra></extra>",
        )
    )  # fmt: skip
    largest = int(max(pairs.max(), 1)) * 1.12
    figure.add_shape(type="line", x0=0, y0=0, x1=largest, y1=largest, line={"width": 1, "dash": "dot", "color": "gray"})
    figure.update_xaxes(range=[0, largest], title="Width (px)")
    figure.update_yaxes(range=[0, largest], title="Height (px)")
    figure.update_layout(height=240, margin={"l": 8, "r": 8, "t": 8, "b": 8})
    return figure


def colours_figure(histograms: Sequence[Sequence[float]]) -> go.Figure:
    """Shares of the values 0 to 255 in red, green and blue, 4 values together, in percent."""
    import plotly.graph_objects as go

    across = np.arange(2, 256, 4)
    figure = go.Figure(
        [
            go.Scatter(
                x=across, y=100 * np.asarray(shares).reshape(64, 4).sum(axis=1), name=name, mode="lines", line={"color": COLOURS[name], "dash": dash}
            )
            for (name, dash), shares in zip(DASHES.items(), histograms, strict=True)
        ]
    )
    figure.update_layout(
        height=240, margin={"l": 8, "r": 8, "t": 8, "b": 8}, xaxis_title="Value (0 to 255)", yaxis_title="Share (%)",
        legend={"orientation": "h", "y": 1.18},
    )  # fmt: skip
    return figure


def _short(name: str, most: int = 22) -> str:
    return name if len(name) <= most else f"{name[: most - 1]}…"
