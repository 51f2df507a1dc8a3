"""What every page says while the server does not answer: that runs which train go on. The browser says it by itself; there is nobody to ask.

The same script tells the whole document whether the theme is dark, for what Streamlit draws beside its own element: dialogs, popovers.
"""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from pages._parts.shared import assets

_component = st.components.v2.component(
    "thaw_server_gone",
    html="<div></div>",
    css=Path(__file__).with_name("server_gone.css").read_text(),
    js=assets.loader("server_gone.js"),
    isolate_styles=False,
)


def watch_server() -> None:
    """Have the browser look after the connection, on whatever page it is from now on. Takes no room on the page."""
    _component(key="thaw_server_gone", height=1)
