"""A run that ended before its steps were done, continued at one press; and how it was proved each time that it went on as the same run."""

from __future__ import annotations

import streamlit as st

from core.config import ConfigError
from core.records.events import RunStatus
from core.store import Run
from core.store.continued import ResumeRequest
from core.store.resume_files import resume_points
from pages._parts.shared import words
from pages._parts.shared.services import Services
from pages._parts.shared.store_told import careful

OTHER_BITS = "accept_other_bits: "
"""What begins the reason for which a run was not continued, where this machine computes other bits."""


def show(shared: Services, run: Run) -> None:
    """The button where there is something to continue, and what was proved so far."""
    for line in shared.store.continued(run.id):
        st.caption(words.plain(line[:1].upper() + line[1:] + "."))
    if not run.status.continuable:
        return
    points = resume_points(shared.home.run_folder(run.id))
    steps = f" of {run.plan.total_steps:,}" if run.plan else ""
    if points:
        about = f"A checkpoint has all that decides the rest: it goes on behind step {points[0].step:,}{steps} and ends as if nothing had happened."
    else:
        about = "It kept no checkpoint yet, so it begins anew, with the same settings and the same seed."
    row = st.container(horizontal=True, vertical_alignment="center")
    accepts = bool(run.error and run.error.startswith(OTHER_BITS))
    label = "Continue with other bits" if accepts else f"Continue from step {points[0].step:,}" if points else "Begin anew"
    row.button(
        label,
        key="continue_run",
        icon=":material/resume:",
        type="secondary" if run.status is RunStatus.FAILED and not accepts else "primary",
        on_click=careful(_continue),
        args=(shared, run.id, ResumeRequest(accepts)),
    )
    row.caption(about, width="stretch")


def _continue(shared: Services, run_id: str, request: ResumeRequest) -> None:
    """Have it go on. Of two people who press at once, one finds that it goes on already: that is what both wanted."""
    try:
        shared.supervisor.go_on(run_id, request)
    except ConfigError as error:
        if not shared.store.run(run_id).status.active:
            st.toast(words.plain(error.message), icon=":material/error:", duration="long")
