"""A training step in slow motion, drawn in the browser: every moment of two steps is there at once, so going through them asks nobody."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import streamlit as st
from pydantic import TypeAdapter

from core.walkthrough import Walkthrough
from pages._parts import assets

_FOLDER = Path(__file__).parent
_WALKTHROUGH = TypeAdapter(Walkthrough)
_LEFT_OUT = {"graph", "notes", "about", "title"}
"""What other parts of the page show."""

# The data is the same for every state of the page, and large: a component of its own brings it, which Streamlit sends to a browser once.
# A picture that is asked for comes by another.
_component = st.components.v2.component(
    "thaw_slow_motion",
    html='<div class="thaw-motion"></div>\n',
    css=(_FOLDER.parent / "live_chart" / "virtual_table.css").read_text() + (_FOLDER / "slow_motion.css").read_text(),
    js=assets.loader("slow_motion.js", "virtual_table.js", "looks.js"),
    isolate_styles=False,
)
_picture = st.components.v2.component("thaw_activation", html="<div></div>", js=assets.loader("slow_motion.js", mount="take"), isolate_styles=False)

Wanted = tuple[int, int]
"""A call of a layer whose picture is wanted: number of the step, from 1, and of the call."""


def slow_motion(walkthrough: Walkthrough, name: str, key: str) -> Wanted | None:
    """Show the moments of a walkthrough. `name` tells this walkthrough from others.

    Returns the call whose picture a person looks at and that came without one: give it to `picture`.
    """
    shown = _WALKTHROUGH.dump_json(walkthrough, include={field.name for field in fields(Walkthrough)} - _LEFT_OUT)
    result = _component(key=key, data=b'{"name":"%s",%s' % (name.encode(), shown[1:]), on_wanted_change=_nothing)
    match result.get("wanted"):
        case {"name": found, "step": int(step), "number": int(number)} if found == name:
            return step, number
    return None


def picture(name: str, wanted: Wanted, source: str, key: str) -> None:
    """Bring the picture of a call, a PNG as a data URI ("": there is none)."""
    _picture(key=key, data={"name": name, "step": wanted[0], "number": wanted[1], "source": source}, height=1)


def _nothing() -> None:
    """Streamlit wants a callback for each event."""
