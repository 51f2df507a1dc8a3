"""The sweeps that there are, newest first."""

from __future__ import annotations

import streamlit as st

from core.config import ConfigError
from core.sweeps.outcome import Outcome, outcome
from pages._parts.shared import words
from pages._parts.shared.services import Services

MOST = 20
STATES = {"going on": ("blue", ":material/sync:"), "stopped": ("orange", ":material/stop_circle:"), "done": ("green", ":material/check_circle:")}
"""A sweep's state to the colour and the icon of its badge."""


def show(shared: Services) -> None:
    """A line a sweep, with the way to what came out."""
    st.subheader("Sweeps so far", anchor=False)
    rows = shared.store.sweeps(MOST)
    if not rows:
        st.caption(
            "No sweep yet. Choose above what varies and begin one; or ask on the Model screen which layers to unfreeze, or on the command line: "
            "`python -m core sweep --vary 'learning_rate=1e-4..1e-1 log' --runs 8`"
        )
    for row in rows:
        try:
            found = outcome(shared.store, row.id)
        except ConfigError as error:
            st.error(words.plain(f"{row.id} {error.message}"), icon=":material/error:")
            continue
        _line(found)


def _line(found: Outcome) -> None:
    with st.container(border=True, horizontal=True, vertical_alignment="center", key=f"sweep_row_{found.row.id}"):
        badge(found)
        st.page_link("sweep.py", label=words.plain(title_of(found)), query_params={"sweep": found.row.id}, width="content")
        best = found.best
        reached = [] if best is None or best.validation_accuracy is None else [f"best {words.percent(best.validation_accuracy)}"]
        parts = [f"{found.done:,} of {found.total:,} runs", *reached, words.subject(found.plan.config), words.ago(found.row.created)]
        st.caption(words.plain(" · ".join(parts)), width="stretch")


def badge(found: Outcome) -> None:
    """A sweep's state in a word."""
    colour, icon = STATES[found.state]
    st.badge(words.plain(found.state), icon=icon, color=colour)  # type: ignore[arg-type]  # one of Streamlit's own colours


def title_of(found: Outcome) -> str:
    """What it is called, or what varies in it."""
    return found.plan.name or "Sweep over " + ", ".join(words.field(vary.field).lower() for vary in found.plan.vary)
