"""Edits that a browser component sends: each is made once and in order, however fast they come.

The component sends all edits that have not been acknowledged, with a name for itself and a number each (`outbox.js`). A click that
comes while another is being answered is therefore neither lost nor made twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import streamlit as st


@dataclass
class Seen:
    """Who sent the last edit that was made, and its number."""

    client: str = ""
    number: int = 0


def received(key: str, event: str) -> list[list[Any]]:
    """The edits of the component `key` that have not been made yet, each without its number, oldest first. For its callback.

    They count as made from here on, so nothing that follows may look at the session: Streamlit could end the callback there.
    """
    if key not in st.session_state:  # sent again by a component that is not on the page any more: what it sends was made, or is given up with it
        return []
    seen, sent = _seen(key), st.session_state[key][event]
    if sent["client"] != seen.client:
        seen.client, seen.number = sent["client"], 0
    new = [edit for edit in sent["edits"] if edit[0] > seen.number]
    seen.number = max([seen.number, *(edit[0] for edit in new)])
    return [edit[1:] for edit in new]


def acknowledged(key: str) -> tuple[str, int]:
    """Who sent the last edit, and its number: goes back to the component, which drops what it has up to there."""
    seen = _seen(key)
    return seen.client, seen.number


def _seen(key: str) -> Seen:
    place = f"{key}_acknowledged"
    found = st.session_state.get(place)
    if found is None:
        found = st.session_state[place] = Seen()
    return found
