"""The index of notions, drawn and searched in the browser: themes as headings, an entry each with its sentence, its code and its link."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import streamlit as st

from pages._parts.shared import assets

_component = st.components.v2.component(
    "thaw_notions_index",
    html='<div class="thaw-notions"></div>\n',
    css=Path(__file__).with_name("notions_index.css").read_text(),
    js=assets.loader("notions_index.js"),
    isolate_styles=False,
)


@dataclass(frozen=True)
class Shown:
    """An entry. `link`: what its link is called ("" where it has none), `address`: where it leads, relative to the page's own, `part`: what it
    scrolls to there.
    """

    name: str
    also: tuple[str, ...]
    says: str
    code: str
    link: str
    address: str
    part: str


def notions_index(themes: Sequence[tuple[str, Sequence[Shown]]], setup: str, asked: str, key: str) -> str | None:
    """Show the index. `asked` is the name of the entry to begin with, "" for none.

    Returns:
        The name of the entry whose link was followed just now, or None.
    """
    data = {"themes": [[name, [asdict(entry) for entry in entries]] for name, entries in themes], "setup": setup, "asked": asked}
    found: Any = _component(key=key, data=data, on_follow_change=_nothing)
    followed = getattr(found, "follow", None)
    return followed if isinstance(followed, str) else None


def _nothing() -> None:
    """Streamlit wants a callback for each event."""
