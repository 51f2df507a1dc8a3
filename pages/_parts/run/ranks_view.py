"""The processes that share a run: what each does, how long it waits for the others, and when it was last heard of."""

from __future__ import annotations

import time
from typing import Any

import streamlit as st

from core.ranks import joining, signs
from core.ranks.joining import Machines
from core.ranks.signs import Sign
from core.records import telling
from core.records.events import RunStatus
from core.store import Run
from pages._parts.shared import words
from pages._parts.shared.services import Services

TICK = 1.0
"""Seconds between looks while a run goes on."""

COLUMNS = {
    "Rank": "Number of the process; rank 0 writes down what happens and obeys commands",
    "Machine": "Where it runs, as that machine is called",
    "State": "What it does",
    "Step": "Steps done",
    "Step time (ms)": "Mean time of the last steps, waiting included",
    "Waiting (ms)": "Of that: adding up with the others, and waiting for the slowest",
    "Memory": "What the process holds",
    "Last sign (s ago)": "Each gives one twice a second, whatever it does",
}


def ask_machines(shared: Services, run: Run) -> None:
    """What to type on the machines that a run waits for. For a fragment; nothing once all are here."""
    machines = joining.read(shared.home.run_folder(run.id)) if shared.store.run(run.id).status is RunStatus.PREPARING else None
    if machines is None or not machines.missing or machines.job:  # nodes of a job come by themselves
        return
    with st.container(border=True):
        st.markdown(f":material/lan: **{words.plain(words.sentence(machines.waits))}** {words.plain(_how(machines))}")
        for line in machines.lines:
            st.code(line, language=None, wrap_lines=True)
        if machines.refused:
            st.warning(words.plain(words.sentence(machines.refused)), icon=":material/block:")


def _how(machines: Machines) -> str:
    each = "On it" if machines.missing == 1 else "On each"
    line = "this line" if len(machines.lines) == 1 else "one of these lines, each of which is good for one machine,"
    here = f" Here so far: {', '.join(machines.names)}." if len(machines.names) > 1 else ""
    return (
        f"{each}, in a folder with the same commit of Thaw, type {line} in a terminal. The pictures and weights must be there too, and the network "
        f"one of people who trust each other: what ranks send is not encrypted.{here}"
    )


def show(shared: Services, run: Run) -> None:
    """A table with a row a process. For a fragment."""
    rows = signs.read(shared.home.run_folder(run.id))
    if not rows:
        if run.status.active:
            st.caption(":material/hub: Devices: the processes that share this run are still to come.")
        return
    machines = joining.read(shared.home.run_folder(run.id)) if run.config.nodes > 1 else None
    sent = max(row.bytes for row in rows)
    each = f" · each sends {words.plain(telling.size(sent))} a step: the gradients of what learns" if sent else ""
    where = f" on {len(machines.names)} machines" if machines else ""
    st.markdown(f":material/hub: **{len(rows)} devices{where} share this run**{each}")
    if run.status.active and (slow := signs.slowest(rows)):
        st.warning(words.plain(slow + "."), icon=":material/hourglass_top:")
    config = {name: st.column_config.Column(help=about) for name, about in COLUMNS.items()}
    st.dataframe([line(row, run.status.active, machines) for row in rows], hide_index=True, column_config=config, width="stretch")


def line(row: Sign, active: bool, machines: Machines | None = None) -> dict[str, Any]:
    """A row of the table; what is not known yet, or of no meaning any more, is empty."""
    known = row.step_seconds > 0
    return {
        "Rank": row.rank,
        **({"Machine": machines.of(row.rank)} if machines else {}),
        "State": row.phase if row.pid else "not begun",
        "Step": row.step if row.pid else None,
        "Step time (ms)": round(1e3 * row.step_seconds, 1) if known else None,
        "Waiting (ms)": round(1e3 * row.waiting_seconds, 1) if known else None,
        "Memory": telling.size(row.memory) if row.memory else None,
        "Last sign (s ago)": round(max(0.0, time.time() - row.alive), 1) if active and row.alive else None,
    }
