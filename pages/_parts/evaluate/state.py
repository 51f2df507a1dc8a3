"""What is looked at on the Evaluate screen: run, weights, part, picture, cell ... In the session, and in the URL so that a refresh loses nothing.

The URL wins where it comes from outside: a link, a refresh, the browser's back button. Else the session does, since an edit brings along
the URL that the browser had before it heard of the last one.
"""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from pages._parts.shared import draft

PAGES = ("page", "page_b")
"""The pages of the walls of pictures: of the only one or the left one, and of the right one."""

NAMES = (
    "run",
    "epoch",
    "view",
    "picture",
    "layer",
    "target",
    "other",
    "cell",
    "of",
    "shares",
    "with",
    "with_epoch",
    "before",
    "method",
    "many",
    *PAGES,
)
"""What can be in the URL: see where each is read."""

_ON_WALLS = {"run", "epoch", "view", "cell", "with", "with_epoch"}
"""What decides which pictures are on a wall: after another choice, it starts at its first page."""

_HELD = "evaluate_held"


def open_state(marker: str) -> None:
    """Take over what the URL says if it comes from outside. `marker` is the key of a widget that is always on the screen.

    Streamlit forgets a widget's value when the page is left, so where there is none the screen was just come to.
    """
    url = {name: value for name, value in st.query_params.to_dict().items() if name in NAMES}
    held = st.session_state.get(_HELD)
    if held is None or (url and (marker not in st.session_state or draft.went_back())):
        st.session_state[_HELD] = url
    _write()


def get(name: str) -> str | None:
    """What is chosen under a name; None: nothing."""
    value: str | None = _held().get(name)
    return value


def number(name: str, least: int = 0, most: int | None = None) -> int | None:
    """A chosen whole number; None where there is none, or one that cannot be."""
    text = get(name) or ""
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        return None
    value = int(text)
    return value if value >= least and (most is None or value <= most) else None


def choose(**changes: str | int | None) -> None:
    """Choose something else under some names; None: nothing. For callbacks: all changes together, then the URL."""
    held = dict(_held())
    if _ON_WALLS & changes.keys():
        changes = {**dict.fromkeys(PAGES), **changes}
    for name, value in changes.items():
        held[name] = "" if value is None else str(value)
    st.session_state[_HELD] = {name: value for name, value in held.items() if value != ""}
    _write()


def _held() -> Mapping[str, str]:
    held: Mapping[str, str] = st.session_state.get(_HELD) or {}
    return held


def _write() -> None:
    if st.query_params.to_dict() != dict(_held()):
        st.query_params.from_dict(dict(_held()))
