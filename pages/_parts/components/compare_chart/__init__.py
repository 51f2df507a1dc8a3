"""Curves of several runs over each other, fed by the `/curves` WebSocket: what is shown and how comes from the page, what arrives does not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import streamlit as st

from pages._parts.shared import assets

_component = st.components.v2.component(
    "thaw_compare_chart",
    html='<div class="thaw-cmp" role="group" aria-label="Curves of these runs"></div>\n',
    css=Path(__file__).with_name("compare_chart.css").read_text(),
    js=assets.loader("compare_chart.js", "looks.js", "scales.js", "plotly_loader.js"),
    isolate_styles=False,  # Plotly's mode bar loses its styles in a shadow root
)

Axis = Literal["step", "epoch", "time"]


@dataclass(frozen=True)
class Shown:
    """A run in the chart. Runs of one `group` differ in their seed alone, and `shared` is what they are called together; empty: none."""

    id: str
    name: str
    group: str = ""
    shared: str = ""


@dataclass(frozen=True)
class View:
    """How curves are drawn. `smoothing` from 0 to below 1; `layer` names the tensor whose gradient norms are shown; `more` further curves."""

    axis: Axis = "step"
    smoothing: float = 0.6
    log: bool = False
    logx: bool = False
    seeds: bool = True
    layer: str = ""
    more: tuple[str, ...] = ()


def compare_chart(runs: Sequence[Shown], view: View) -> None:
    """Show the curves of `runs` with their whole history, as they grow."""
    data = {"runs": [asdict(run) for run in runs], "plotly": assets.address("plotly.min.js"), **asdict(view)}
    _component(key="compare_chart", data={**data, "more": list(view.more)})
