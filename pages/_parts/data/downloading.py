"""The download of a dataset of the catalogue on its card: a button, how far it is, or what came of it."""

from __future__ import annotations

import streamlit as st

from core.data.datasets import DatasetEntry
from pages._parts.shared import words
from pages._parts.shared.places import alone
from pages._parts.shared.services import Services

TICK = 0.5
"""Seconds between looks while something is downloaded."""


def offer(shared: Services, entry: DatasetEntry, here: bool) -> None:
    """What can be done, in a fragment of its own with a clock while it goes on. A refresh finds it where it is."""
    state = shared.lab.downloads.state(entry.name)
    if here and (state is None or state.state == "done"):
        return
    going = state is not None and state.state == "working"
    alone(_go, shared, entry, going, every=TICK if going else None)


def _go(shared: Services, entry: DatasetEntry, going: bool) -> None:
    state = shared.lab.downloads.state(entry.name)
    if (state is not None and state.state == "working") != going:
        st.rerun(scope="app")
    if state is not None and going:
        known = f" · {100 * state.share:.0f}\u00a0%" if state.share is not None else ""
        st.progress(min(1.0, max(0.0, state.share or 0.0)), text=f"{words.plain(words.sentence(state.message).rstrip('.'))}{known}")
        st.button("Cancel", key=f"data_download_stop_{entry.name}", icon=":material/close:", on_click=shared.lab.downloads.cancel, args=(entry.name,))
        return
    label = f"Download {entry.megabytes:,} MB"
    st.button(label, key=f"data_download_{entry.name}", icon=":material/download:", on_click=shared.lab.downloads.begin, args=(entry.name,))
    if state is not None and state.state == "failed":
        st.error(words.plain(words.sentence(state.message)), title="It was not downloaded", icon=":material/error:")
