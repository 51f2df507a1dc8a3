"""Live charts of one run: what it learns and where, fed by the `/live` WebSocket and not by reruns."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import streamlit as st

from pages._parts import assets

_component = st.components.v2.component(
    "thaw_live_chart",
    html='<div class="thaw-live"></div>\n',
    css="".join(Path(__file__).with_name(name).read_text() for name in ("live_chart.css", "virtual_table.css")),
    js=assets.loader("live_chart.js"),
    isolate_styles=False,  # Plotly's mode bar loses its styles in a shadow root
)


def live_chart(run_id: str, on_inspect: Callable[[str], object]) -> None:
    """Show the charts of a run, with its whole history, as it grows. Reruns of the page leave them alone.

    `on_inspect` is called with the name of a layer when a person asks for histograms of it.
    """
    key = f"live-{run_id}"

    def inspect() -> None:
        asked = st.session_state[key].inspect
        if asked:
            on_inspect(str(asked["name"]))

    _component(key=key, data={"run": run_id, "plotly": assets.address("plotly.min.js")}, on_inspect_change=inspect)


def load_ahead() -> None:
    """Let the browser fetch and compile Plotly while a person still reads the page, so that charts appear at once later."""
    _component(key="live-ahead", data={"run": None, "plotly": assets.address("plotly.min.js")}, height=1)
