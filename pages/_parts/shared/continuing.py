"""The button that has a run go on which ended before its steps were done."""

from __future__ import annotations

import streamlit as st

from core.config import ConfigError
from core.records.events import RunStatus
from core.store import Run
from core.store.continued import ResumeRequest
from core.store.resume_files import ResumePoint
from pages._parts.shared import words
from pages._parts.shared.services import Services
from pages._parts.shared.store_told import careful

OTHER_BITS = "accept_other_bits: "
"""What begins the reason for which a run was not continued, where this machine computes other bits."""


def offer(shared: Services, run: Run, points: list[ResumePoint], key: str, quiet: bool = False) -> None:
    """The button. `points`: the run's checkpoints, the newest first; `quiet`: one of many, where others stand beside it."""
    accepts = bool(run.error and run.error.startswith(OTHER_BITS))
    label = "Continue with other bits" if accepts else f"Continue from step {points[0].step:,}" if points else "Begin anew"
    st.button(
        label,
        key=key,
        icon=":material/resume:",
        type="secondary" if quiet or (run.status is RunStatus.FAILED and not accepts) else "primary",
        help=f"{words.plain(words.subject(run.config))}, {run.id}" if quiet else None,
        on_click=careful(_continue),
        args=(shared, run.id, ResumeRequest(accepts)),
    )


def _continue(shared: Services, run_id: str, request: ResumeRequest) -> None:
    """Have it go on. Of two people who press at once, one finds that it goes on already: that is what both wanted."""
    try:
        shared.supervisor.go_on(run_id, request)
    except ConfigError as error:
        if not shared.store.run(run_id).status.active:
            st.toast(words.plain(error.message), icon=":material/error:", duration="long")
