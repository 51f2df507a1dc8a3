"""Runs as a list, newest first, each with a link to its charts and a small menu."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from core.store import Run, UnreadableRun
from pages._parts.shared import found_on_disk, labels, naming, words
from pages._parts.shared.naming import Told
from pages._parts.shared.services import Services

TRAIN = "train.py"


def history(shared: Services, runs: Sequence[Run | UnreadableRun], beside: Sequence[Run | UnreadableRun] = ()) -> None:
    """One row a run: status, what it is called, what is frozen, how far it came, how well it did, when. Of one that cannot be read, why.

    `beside`: runs of another list in sight, which are to be told apart from these too.
    """
    told = naming.in_list((*runs, *beside))
    for run in runs:
        if isinstance(run, UnreadableRun):
            found_on_disk.unreadable(shared, run, "history")
            continue
        word, icon, colour = words.STATUS[run.status]
        with st.container(border=True, key=f"history_{run.id}"):
            status, subject, facts, more = st.columns([20, 50, 80, 6], vertical_alignment="center")
            status.badge(word, icon=icon, color=colour)
            with subject:
                link(run, told[run.id])
            facts.caption(words.plain(f"{_line(run, told[run.id])} · {words.ago(run.ended or run.created)}"))
            with more:
                labels.menu(shared, run, str(told[run.id]), labels.can_be_deleted(run))


def link(run: Run, told: Told) -> None:
    """What a run is called in a list, leading to its page."""
    star = "★ " if run.labels.starred else ""
    apart = "".join(f" · {words.plain(part)}" for part in told.apart)
    st.page_link(TRAIN, label=f"{star}**{words.plain(told.name)}**{apart}", query_params={"run": run.id}, help=_more_of(run))


def _more_of(run: Run) -> str:
    note = f"  \n{words.plain(run.labels.note)}" if run.labels.note else ""
    return f"Open run {run.id}{note}"


def _line(run: Run, told: Told) -> str:
    of = f"{run.epoch:,} of " if run.epoch != run.config.epochs else ""
    epochs = f"{of}{run.config.epochs:,} epoch{'' if run.config.epochs == 1 else 's'}"
    parts = [*about(run, told), epochs]
    if run.result and run.result.test_accuracy is not None:
        parts.append(f"test accuracy {words.percent(run.result.test_accuracy)}")
    elif run.error:
        parts.append(run.error.strip().partition("\n")[0][:90])
    return " · ".join(parts)


def about(run: Run, told: Told) -> list[str]:
    """What a list says of a run behind what it is called there: what it is about, what is frozen, its tags. Nothing that stands there already."""
    freeze = str(run.config.freeze)
    parts = [words.subject(run.config) if run.labels.name else "", freeze if freeze not in told.apart else ""]
    return [*filter(None, parts), *(f"#{tag}" for tag in run.labels.tags)]
