"""What is looked at on the Data screen: dataset, version, part, what is being brought. In the session and the URL.

As `evaluate/state.py`: the URL wins where it comes from outside, the session else. What the gallery filters by it writes into the URL itself, under
names that begin with `f_`; they go along for as long as the same dataset is looked at.
"""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from pages._parts.shared import draft

NAMES = ("dataset", "version", "part", "way", "staging", "source", "reading", "add", "job", "with", "chosen", "run")
"""What can be in the URL: see where each is read."""

FILTERS = "f_"

_HELD = "data_held"


def open_state(marker: str) -> None:
    """Take over what the URL says if it comes from outside: a link, a refresh, the browser's own back button.

    `marker` is the key of a widget that is always on the screen: Streamlit forgets its value when the page is left.
    """
    url = {name: value for name, value in st.query_params.to_dict().items() if name in NAMES}
    held = st.session_state.get(_HELD)
    if held is None or (url and (marker not in st.session_state or draft.went_back())):
        st.session_state[_HELD] = url
    _write()


def get(name: str) -> str | None:
    """What is chosen under a name; None: nothing."""
    return _held().get(name)


def number(name: str) -> int | None:
    """A chosen whole number above 0; None where there is none, or one that cannot be."""
    text = get(name) or ""
    return int(text) if text.isascii() and text.isdigit() and 0 < len(text) < 7 and int(text) else None


def choose(**changes: str | int | None) -> None:
    """Choose something else under some names; None: nothing. For callbacks."""
    held = dict(_held())
    if "dataset" in changes and changes["dataset"] != held.get("dataset"):
        changes = {**dict.fromkeys(("version", "part", "with", "chosen", "run")), **changes}
        for name in [each for each in st.query_params if each.startswith(FILTERS)]:
            del st.query_params[name]
    for name, value in changes.items():
        held[name] = "" if value is None else str(value)
    st.session_state[_HELD] = {name: value for name, value in held.items() if value}
    _write()


def only(**chosen: str | int | None) -> None:
    """Choose this, and nothing else. For callbacks."""
    choose(**{**dict.fromkeys(NAMES), **chosen})


def _held() -> Mapping[str, str]:
    held: Mapping[str, str] = st.session_state.get(_HELD) or {}
    return held


def _write() -> None:
    there = st.query_params.to_dict()
    wanted = {**dict(_held()), **{name: value for name, value in there.items() if name.startswith(FILTERS)}}
    if there != wanted:
        st.query_params.from_dict(wanted)
