"""Fields of a form in a line, those that something is wrong with above all: a button each scrolls there and puts the cursor into it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import streamlit as st

from pages._parts.shared import assets

_component = st.components.v2.component(
    "thaw_go_to",
    html='<div class="thaw-go-to"></div>\n',
    css=Path(__file__).with_name("go_to.css").read_text(),
    js=assets.loader("go_to.js"),
    isolate_styles=False,
)


def go_to(fields: Sequence[tuple[str, str, str]], key: str, before: str = "") -> None:
    """Show (field, its label, what is to be said of it) of each. Nothing of it is read as Markdown or HTML.

    `before`: what the line begins with where they are only named; without it something is wrong with them, and the first is said in full.
    """
    _component(key=key, data={"fields": [list(each) for each in fields], "before": before})
