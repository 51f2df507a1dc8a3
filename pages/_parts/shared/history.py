"""Runs as a list, newest first, each with a link to its charts."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from core.store import Run, UnreadableRun
from pages._parts.shared import found_on_disk, words
from pages._parts.shared.services import Services

TRAIN = "train.py"


def history(shared: Services, runs: Sequence[Run | UnreadableRun]) -> None:
    """One row a run: status, what it is about, what is frozen, how far it came, how well it did, when. Of one that cannot be read, why."""
    for run in runs:
        if isinstance(run, UnreadableRun):
            found_on_disk.unreadable(shared, run, "history")
            continue
        word, icon, colour = words.STATUS[run.status]
        with st.container(border=True, key=f"history_{run.id}"):
            status, subject, facts = st.columns([2, 5, 9], vertical_alignment="center")
            status.badge(word, icon=icon, color=colour)
            subject.page_link(TRAIN, label=f"**{words.plain(words.subject(run.config))}**", query_params={"run": run.id}, help=f"Open run {run.id}")
            facts.caption(words.plain(f"{_line(run)} · {words.ago(run.created)}"))


def _line(run: Run) -> str:
    of = f"{run.epoch:,} of " if run.epoch != run.config.epochs else ""
    epochs = f"{of}{run.config.epochs:,} epoch{'' if run.config.epochs == 1 else 's'}"
    parts = [str(run.config.freeze), epochs]
    if run.result and run.result.test_accuracy is not None:
        parts.append(f"test accuracy {words.percent(run.result.test_accuracy)}")
    elif run.error:
        parts.append(run.error.strip().partition("\n")[0][:90])
    return " · ".join(parts)
