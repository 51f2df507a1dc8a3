"""Pictures on their way in: classes that are made on screen, each with what was dropped into it or taken by a webcam; or files as they are.

The browser talks to the routes of `pages._parts.data.staging_routes` by itself, so nothing waits for a page to be drawn; Streamlit hears of it when
something has settled.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import streamlit as st

from pages._parts.shared import assets

_component = st.components.v2.component(
    "thaw_picture_intake",
    html='<div class="thaw-intake"></div>\n',
    css=Path(__file__).with_name("picture_intake.css").read_text(),
    js=assets.loader("picture_intake.js"),
    isolate_styles=False,
)


def picture_intake(key: str, staging: str, way: Literal["classes", "files"], on_change: Callable[[], None]) -> None:
    """Draw the way in. `staging`: where things go; `on_change` is called in a callback when something arrived, or was taken out."""
    _component(key=key, data={"staging": staging, "way": way}, on_changed_change=on_change)
