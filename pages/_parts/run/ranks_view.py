"""The processes that share a run: what each does, how long it waits for the others, and when it was last heard of."""

from __future__ import annotations

import time
from typing import Any

import streamlit as st

from core.ranks import signs
from core.ranks.signs import Sign
from core.records import telling
from core.store import Run
from pages._parts.shared import words
from pages._parts.shared.services import Services

TICK = 1.0
"""Seconds between looks while a run goes on."""

COLUMNS = {
    "Rank": "Number of the process; rank 0 writes down what happens and obeys commands",
    "State": "What it does",
    "Step": "Steps done",
    "Step time (ms)": "Mean time of the last steps, waiting included",
    "Waiting (ms)": "Of that: adding up with the others, and waiting for the slowest",
    "Memory": "What the process holds",
    "Last sign (s ago)": "Each gives one twice a second, whatever it does",
}


def show(shared: Services, run: Run) -> None:
    """A table with a row a process. For a fragment."""
    rows = signs.read(shared.home.run_folder(run.id))
    if not rows:
        if run.status.active:
            st.caption(":material/hub: Devices: the processes that share this run are still to come.")
        return
    sent = max(row.bytes for row in rows)
    each = f" · each sends {words.plain(telling.size(sent))} a step: the gradients of what learns" if sent else ""
    st.markdown(f":material/hub: **{len(rows)} devices share this run**{each}")
    if run.status.active and (slow := signs.slowest(rows)):
        st.warning(words.plain(slow + "."), icon=":material/hourglass_top:")
    config = {name: st.column_config.Column(help=about) for name, about in COLUMNS.items()}
    st.dataframe([line(row, run.status.active) for row in rows], hide_index=True, column_config=config, width="stretch")


def line(row: Sign, active: bool) -> dict[str, Any]:
    """A row of the table; what is not known yet, or of no meaning any more, is empty."""
    known = row.step_seconds > 0
    return {
        "Rank": row.rank,
        "State": row.phase if row.pid else "not begun",
        "Step": row.step if row.pid else None,
        "Step time (ms)": round(1e3 * row.step_seconds, 1) if known else None,
        "Waiting (ms)": round(1e3 * row.waiting_seconds, 1) if known else None,
        "Memory": telling.size(row.memory) if row.memory else None,
        "Last sign (s ago)": round(max(0.0, time.time() - row.alive), 1) if active and row.alive else None,
    }
