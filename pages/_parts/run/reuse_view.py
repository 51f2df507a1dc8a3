"""What of a run's model is computed once and kept, in plain words: how far that is, why not, and what was wrong with it."""

from __future__ import annotations

import streamlit as st

from core.records import telling
from core.store import Run
from pages._parts.shared import words
from pages._parts.shared.services import Services

TICK = 1.0
"""Seconds between looks while a run goes on."""


def show(shared: Services, run: Run) -> None:
    """A line, with progress while features are being kept for the first time. For a fragment."""
    reuse = shared.store.reuse(run.id)
    if reuse is None:
        return
    given_up = telling.given_up(reuse)
    if given_up:
        st.warning(given_up, icon=":material/warning:")
    headline, details = words.plain(telling.reuse_headline(reuse)), words.plain(telling.reuse_details(reuse))
    match reuse.state:
        case "dropped":
            now = "Nothing has to be done: training goes on without them. " if run.status.active else ""
            remedy = f"{now}If it comes again, set the feature cache to off."
            st.warning(f"{details} {remedy}", title=headline, icon=":material/warning:")
        case "off":
            st.caption(f":material/memory: **{headline}.** {details}")
        case "filling":
            st.progress(min(1.0, reuse.kept / max(1, reuse.pictures)), text=f":material/inventory_2: **{headline}** · {details}")
        case "serving":
            budget = f" At most {telling.size(reuse.budget_bytes)} may be used." if reuse.budget_bytes else ""
            st.caption(
                f":material/inventory_2: **{headline}** · {details}",
                help=f"What frozen layers give for a picture is the same in every epoch, so it is kept instead of being computed again.{budget}",
            )
    if reuse.threads is not None:
        st.caption(
            f":material/memory: {words.plain(telling.threads_in_words(reuse.threads))}",
            help="More threads are not always quicker: on a busy machine they wait for each other in every step. Numbers are tried while the run "
            "goes on, and again when the load of the machine changes; only those that give exactly the same results are used.",
        )
