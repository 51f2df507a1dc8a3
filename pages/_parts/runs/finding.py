"""Which runs the Runs screen lists: those with some words, those with a star. Kept in the URL, so that a list can be kept and sent."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from core.config.limits import LONGEST_NAME, quoted
from core.records.labels import words_of
from pages._parts.shared import words
from pages._parts.shared.services import Services

FIND, STARRED = "find", "starred"
"""The names of both in the URL, and the keys of their widgets."""

OTHERWISE = "Look for fewer words, or press “List all runs”."


@dataclass(frozen=True)
class Found:
    """What somebody looks for. False: for nothing, all runs are listed."""

    text: str = ""
    starred: bool = False

    def __bool__(self) -> bool:
        return bool(words_of(self.text)) or self.starred

    def in_words(self) -> str:
        """'“lr” and a star', made plain."""
        parts = [words.plain(quoted(self.text.strip())) if words_of(self.text) else "", "a star" if self.starred else ""]
        return " and ".join(filter(None, parts))

    def among(self, shared: Services) -> set[str] | None:
        """The ids of the runs that are to be listed; None: all are."""
        return shared.store.matching(self.text, self.starred) if self else None


def looking_for() -> Found:
    """What is looked for just now."""
    return Found(str(st.session_state.get(FIND) or "")[:LONGEST_NAME], bool(st.session_state.get(STARRED)))


def ask_what(shared: Services) -> None:
    """The two widgets, and the way back to all runs."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        about = "Words of the name, note or tags, of the dataset or model, or of the id. A run is listed that has all of them."
        st.text_input("Find runs", key=FIND, bind="query-params", icon=":material/search:", placeholder="Name, note, tag, data, model", help=about)
        st.toggle("Starred only", key=STARRED, bind="query-params")
        found = looking_for()
        if found:
            st.button("List all runs", key="find_nothing", icon=":material/close:", type="tertiary", on_click=_look_for_nothing)
    if (among := found.among(shared)) is not None:
        count = len(among)
        st.caption(f"{count:,} {'run' if count == 1 else 'runs'} {'has' if count == 1 else 'have'} {found.in_words()}.")


def _look_for_nothing() -> None:
    st.session_state[FIND], st.session_state[STARRED] = "", False
