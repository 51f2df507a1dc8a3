"""A training step in slow motion, drawn in the browser: every moment of two steps is there at once, so going through them asks nobody."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import streamlit as st
from pydantic import TypeAdapter

from core.records.walkthrough import Walkthrough
from pages._parts.shared import assets

_FOLDER = Path(__file__).parent
_WALKTHROUGH = TypeAdapter(Walkthrough)
_LEFT_OUT = {"graph", "notes", "about", "title"}
"""What other parts of the page show."""

# The walkthrough is large, so what changes stays away from it: a picture is asked for, and comes, by a component of its own, in another fragment.
_component = st.components.v2.component(
    "thaw_slow_motion",
    html='<div class="thaw-motion"></div>\n',
    css=(_FOLDER.parent / "live_chart" / "virtual_table.css").read_text() + (_FOLDER / "slow_motion.css").read_text(),
    js=assets.loader("slow_motion.js", "virtual_table.js", "looks.js"),
    isolate_styles=False,
)
_picture, _drawn = (
    st.components.v2.component(name, html="<div></div>", js=assets.loader("slow_motion.js", mount=mount), isolate_styles=False)
    for name, mount in (("thaw_activation", "take"), ("thaw_motion_drawn", "whenDrawn"))
)


def slow_motion(walkthrough: Walkthrough, name: str, key: str) -> None:
    """Show the moments of a walkthrough. `name` tells this walkthrough from others."""
    shown = _WALKTHROUGH.dump_json(walkthrough, include={field.name for field in fields(Walkthrough)} - _LEFT_OUT)
    _component(key=key, data=b'{"name":"%s",%s' % (name.encode(), shown[1:]))


def picture(name: str, find: Callable[[int, int], str], key: str) -> None:
    """Bring the picture that a person looks at and that the walkthrough came without. In a fragment of its own: only this is drawn anew then.

    Args:
        find: (number of the step, from 1, and of the call) -> its picture, a PNG as a data URI ("": there is none).
    """
    data = None
    match (st.session_state.get(key) or {}).get("wanted"):
        case {"name": found, "step": int(step), "number": int(number)} if found == name:
            data = {"name": name, "step": step, "number": number, "source": find(step, number)}
    _picture(key=key, data=data, on_wanted_change=_nothing, height=1)


def drawn(key: str) -> bool:
    """Whether the browser has drawn the moments, so that what is heavy and stands below may come. In a fragment, which is drawn anew then."""
    told = bool((st.session_state.get(key) or {}).get("drawn"))
    _drawn(key=key, data=told, on_drawn_change=_nothing, height=1)
    return told


def _nothing() -> None:
    """Streamlit wants a callback for each event."""
