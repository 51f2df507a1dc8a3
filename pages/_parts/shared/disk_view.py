"""What a run, or all of them, take on disk by kind, with buttons that give some of it back after a question."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import streamlit as st

from core.config import ConfigError
from core.records import telling
from core.store import Run
from core.store.freeing import KIND, LOST, SHARED, What, free
from core.store.sizes import BOUNDS, NAMED, run_bytes, runs_bytes, shared_bytes
from pages._parts.shared import asking, words
from pages._parts.shared.services import Services
from pages._parts.shared.store_told import careful

_BUTTONS: Mapping[str, What] = {**{kind: what for what, kind in KIND.items()}, **{share: what for what, share in SHARED.items()}}
"""The kinds that can be freed."""


def of_run(shared: Services, run: Run) -> None:
    """What one run takes. Counted only once it is open. Nothing can be freed while it goes on."""
    box = st.expander("Room on disk", icon=":material/hard_drive:", key=f"disk_{run.id}", on_change="rerun")
    if box.open:
        with box:
            _rows(shared, run_bytes(shared.home.run_folder(run.id)).items(), "" if run.status.active else run.id)


def of_all(shared: Services) -> None:
    """What all runs take, and what they share."""
    box = st.expander("Room on disk", icon=":material/hard_drive:", key="room_on_disk", on_change="rerun")
    if box.open:
        with box:
            _rows(shared, [*runs_bytes(shared.home, shared.store.ids()).items(), *shared_bytes(shared.home).items()], None)


def _rows(shared: Services, taken: Iterable[tuple[str, int]], run_id: str | None) -> None:
    """`run_id`: whose files they are; None: of all; empty: none of them can be freed now."""
    for kind, size in taken:
        bound = f": {BOUNDS[kind]}" if kind in BOUNDS else ""
        what = _BUTTONS.get(kind)
        row = st.container(horizontal=True, vertical_alignment="center", key=f"disk_row_{kind}")
        row.markdown(f"**{NAMED[kind]}** {telling.size(size)}{words.plain(bound)}", width="stretch")
        if what is None or run_id == "" or not size:
            continue
        label = f"Free {NAMED[kind].lower()}"
        if row.button(label, key=f"free_{what}", icon=":material/mop:"):
            _ask(shared, what, size, run_id)


def _ask(shared: Services, what: What, size: int, run_id: str | None) -> None:
    of_all = {"epochs": "of all ended runs", "checkpoints": "of all finished runs", "uploads": "that are not imported yet"}
    whose = "of this run" if run_id else of_all.get(what, "that runs share")

    def question() -> None:
        name = NAMED[KIND.get(what) or SHARED[what]].lower()
        st.markdown(f"The {name} {words.plain(whose)} are removed. On disk there are {telling.size(size)} of that kind.")
        st.warning(words.plain(f"Nothing brings them back: {LOST[what]}."), icon=":material/warning:")

    asking.ask("Free room on disk?", question, "Free it", ":material/mop:", careful(_free), shared, what, run_id)


def _free(shared: Services, what: What, run_id: str | None) -> None:
    try:
        done = free(shared.home, shared.store, what, run_id)
    except (ConfigError, KeyError, OSError) as error:
        st.toast(words.plain(f"Nothing was freed. {error}"), icon=":material/error:", duration="long")
    else:
        st.toast(f"{telling.size(done.freed)} are free", icon=":material/mop:")
