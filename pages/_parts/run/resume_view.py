"""A run that has ended, continued or trained on at one press; and how it was proved each time that it went on as the same run."""

from __future__ import annotations

import streamlit as st

from core.records.events import RunStatus
from core.store import Run
from core.store.resume_files import resume_points
from pages._parts.shared import continuing, waiting_view, words
from pages._parts.shared.services import Services


def offer(shared: Services, run: Run) -> None:
    """The button, where there is something to continue or to train on."""
    if run.status is RunStatus.FINISHED:
        continuing.train_on(shared, run)
    if not run.status.continuable or waiting_view.was_cancelled(run):
        return
    points = resume_points(shared.home.run_folder(run.id))
    steps = f" of {run.plan.total_steps:,}" if run.plan else ""
    if points:
        about = f"A checkpoint has all that decides the rest: it goes on behind step {points[0].step:,}{steps} and ends as if nothing had happened."
    else:
        about = "It kept no checkpoint yet, so it begins anew, with the same settings and the same seed."
    continuing.offer(shared, run, points, "continue_run", about=about)


def proved(shared: Services, run: Run) -> None:
    """What was proved each time that the run went on."""
    for line in shared.store.continued(run.id):
        st.caption(words.plain(line[:1].upper() + line[1:] + "."))
