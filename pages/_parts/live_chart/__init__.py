"""Live charts of one run: loss, accuracy, gradient norms and learning rate, fed by the `/live` WebSocket and not by reruns."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from pages._parts import assets

_component = st.components.v2.component(
    "thaw_live_chart",
    html='<div class="thaw-live"></div>\n',
    css=Path(__file__).with_name("live_chart.css").read_text(),
    js=assets.loader("live_chart.js"),
    isolate_styles=False,  # Plotly's mode bar loses its styles in a shadow root
)


def live_chart(run_id: str) -> None:
    """Show the charts of a run, with its whole history, as it grows. Reruns of the page leave them alone."""
    _component(key=f"live-{run_id}", data={"run": run_id, "plotly": assets.address("plotly.min.js")})


def load_ahead() -> None:
    """Let the browser fetch and compile Plotly while a person still reads the page, so that charts appear at once later."""
    _component(key="live-ahead", data={"run": None, "plotly": assets.address("plotly.min.js")}, height=1)
