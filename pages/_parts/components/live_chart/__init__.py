"""Live charts of one run: what it learns and where, fed by the `/live` WebSocket and not by reruns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import urlencode

import streamlit as st

from core.records.events import Layer
from core.records.findings import Finding
from pages._parts.shared import assets

_component = st.components.v2.component(
    "thaw_live_chart",
    html='<div class="thaw-live"></div>\n',
    css="".join(Path(__file__).with_name(name).read_text() for name in ("live_chart.css", "virtual_table.css")),
    js=assets.loader("live_chart.js"),
    isolate_styles=False,  # Plotly's mode bar loses its styles in a shadow root
)

_ahead = st.components.v2.component("thaw_live_ahead", html='<div class="thaw-live" hidden></div>\n', js=assets.loader("live_chart.js"))

_link = st.components.v2.component(
    "thaw_evidence_link",
    # The icon is a letter of Streamlit's own font.
    html='<a class="thaw-evidence-link"><span class="thaw-icon" aria-hidden="true" translate="no">frame_inspect</span>'
    "<span>Show on the chart <small></small></span></a>\n",
    css=Path(__file__).with_name("evidence_link.css").read_text(),
    js=assets.loader("evidence_link.js", mount="mountLink"),
    isolate_styles=False,
)

_CHARTS = {"loss": "loss", "accuracy": "accuracy", "gradient norms": "gradient norms", "update ratio": "update ratios"}
"""What a finding's chart is called in a sentence."""


def live_chart(
    run_id: str,
    on_inspect: Callable[[str], object],
    layers: Sequence[Layer] = (),
    on_branch: Callable[[int], object] = lambda step: None,
    forgetting: bool = False,
) -> None:
    """Show the charts of a run, with its whole history, as it grows. Reruns of the page leave them alone.

    `on_inspect` is called with the name of a layer when a person asks for histograms of it, `on_branch` with a step from which another run is to
    branch off. `forgetting`: the run measures what it forgets, which has a chart of its own. `layers` are those of the run's plan, where there
    is one: the charts take the room that they need at once, and nothing below them moves.
    """
    key = f"live-{run_id}"

    def inspect() -> None:
        asked = st.session_state[key].inspect
        if asked:
            on_inspect(str(asked["name"]))

    def branch() -> None:
        asked = st.session_state[key].branch
        if asked and isinstance(asked.get("step"), int):
            on_branch(asked["step"])

    blocks = len({layer.block or layer.name for layer in layers})
    data = {"run": run_id, "plotly": assets.address("plotly.min.js"), "rows": len(layers), "blocks": blocks}
    _component(key=key, data={**data, "forgetting": forgetting}, on_inspect_change=inspect, on_branch_change=branch)


def evidence_link(run_id: str, finding: Finding, key: str) -> None:
    """A link to the window of the live charts of a run in which a finding can be seen. Nothing for one that no chart shows.

    It acts in the browser alone, and writes the window into the address: `?run=ID&chart=loss&steps=120-180&layers=...&finding=...`.
    """
    if finding.chart == "settings":
        return
    first, last = max(1, finding.first_step), max(1, finding.last_step)
    asked = {"run": run_id, "chart": finding.chart, "steps": f"{first}-{last}", "layers": ",".join(finding.layers), "finding": finding.rule}
    steps = f"step {first:,}" if first == last else f"steps {first:,} to {last:,}"
    help = f"Zooms the live charts to {steps} with a little around, marks them, and goes to the chart of the {_CHARTS[finding.chart]}."
    label = f"Show on the chart: {finding.title}, {steps}"
    address = f"?{urlencode({name: value for name, value in asked.items() if value}, safe=',')}"
    _link(key=key, data={"address": address, "steps": steps, "help": help, "label": label}, width="content")


def load_ahead() -> None:
    """Let the browser fetch and compile Plotly while a person still reads the page, so that charts appear at once later."""
    _ahead(key="live-ahead", data={"run": None, "plotly": assets.address("plotly.min.js")}, height=1)
