"""The network editor: a list of layers with their options, and beside each what comes out of it or what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import streamlit as st

from core.networks import Row, Sketch
from pages._parts.components.network_editor.table import kinds, rows_of, table
from pages._parts.shared import assets

_component = st.components.v2.component(
    "thaw_network_editor",
    html='<div class="thaw-net"></div>\n',
    css=Path(__file__).with_name("network_editor.css").read_text(),
    js=assets.loader("network_editor.js"),
    isolate_styles=False,
)


def network_editor(rows: tuple[Row, ...], sketch: Sketch, image_size: int, origin: int, key: str, on_edit: Callable[[], None]) -> None:
    """Show the layers `rows` and what `sketch` says of them.

    The browser holds the list while it is edited, with its undo, and paints at once; each edit calls `on_edit`, after which
    `edited(key)` says what the list is now. A new `origin` makes the browser take over the rows given here, as one step of its undo.
    """
    client, number = st.session_state.get(_seen(key), ("", 0))
    data = {"kinds": kinds(), **table(rows, sketch, image_size), "origin": origin, "seen": [client, number]}
    _component(key=key, data=data, on_edited_change=on_edit)


def edited(key: str) -> tuple[Row, ...]:
    """The rows after the edit that has just come. For the callback."""
    sent = st.session_state[key].edited
    st.session_state[_seen(key)] = (str(sent["client"]), int(sent["number"]))
    return rows_of(sent["rows"])


def _seen(key: str) -> str:
    return f"{key}_seen"
