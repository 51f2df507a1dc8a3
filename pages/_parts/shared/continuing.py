"""The buttons that have a run go on: one that ended before its steps were done, and a finished one for more epochs."""

from __future__ import annotations

import streamlit as st

from core.config import ConfigError
from core.records.events import RunStatus
from core.store import Run, StoreError
from core.store.continued import ResumeRequest
from core.store.resume_files import ResumePoint
from core.worker.training_on import refuse_to_train_on
from pages._parts.shared import naming, words
from pages._parts.shared.services import Services
from pages._parts.shared.store_told import careful

OTHER_BITS = "accept_other_bits: "
"""What begins the reason for which a run was not continued, where this machine computes other bits."""


def offer(shared: Services, run: Run, points: list[ResumePoint], key: str, quiet: bool = False, about: str = "") -> None:
    """The button. `points`: the run's checkpoints, the newest first; `quiet`: one of many, where others stand beside it; `about`: what it does."""
    accepts = bool(run.error and run.error.startswith(OTHER_BITS))
    where = f"from step {points[0].step:,}" if points else ""
    label = "Continue with other bits" if accepts else f"Continue {where}" if points and not quiet else "Continue" if points else "Begin anew"
    st.button(
        label,
        key=key,
        icon=":material/resume:",
        type="secondary" if quiet or (run.status is RunStatus.FAILED and not accepts) else "primary",
        help=words.plain(f"{naming.called(run)}, {run.id} {where}".rstrip() if quiet else about) or None,
        on_click=careful(_continue),
        args=(shared, run.id, ResumeRequest(accepts)),
    )


def train_on(shared: Services, run: Run) -> None:
    """For a finished run: the number of epochs, and the button; or why it cannot be trained on as the same run."""
    box = st.popover("Train on for more epochs", icon=":material/resume:", key=f"train_on_{run.id}", on_change="rerun")
    if not box.open:
        return
    with box:
        more = run.config.epochs + 1
        try:
            refuse_to_train_on(run, shared.home.run_folder(run.id), more)
        except ConfigError as error:
            st.caption(words.plain(f"This run cannot be trained on as the same run: {error.message}."))
            return
        key = f"epochs_in_all_{run.id}"
        with st.container(horizontal=True, vertical_alignment="bottom"):
            st.number_input("Epochs in all", min_value=float(more), value=float(2 * run.config.epochs), step=1.0, format="%.0f", key=key, width=160)
            st.button("Train on", key="train_on", icon=":material/resume:", type="primary", on_click=careful(_train_on), args=(shared, run.id, key))
        st.caption(
            "It goes on behind its last step, and becomes the run that was begun with as many epochs, to the bit. Only the doctor has looked, up to "
            "there, as often as a shorter run asks for."
        )


def _train_on(shared: Services, run_id: str, key: str) -> None:
    epochs = st.session_state[key]
    if epochs != int(epochs):
        st.toast(f"Epochs in all must be a whole number, got {epochs:g}.", icon=":material/error:", duration="long")
        return
    _continue(shared, run_id, ResumeRequest(epochs=int(epochs)))


def _continue(shared: Services, run_id: str, request: ResumeRequest) -> None:
    """Have it go on. Of two people who press at once, one finds that it goes on already: that is what both wanted."""
    try:
        shared.supervisor.go_on(run_id, request)
    except ConfigError as error:
        if not shared.store.run(run_id).status.active:
            st.toast(words.plain(error.message), icon=":material/error:", duration="long")
    except StoreError:  # `careful` tells of it
        raise
    except OSError as error:  # this machine starts no process just now: the run waits in the queue
        st.toast(words.plain(str(error)), icon=":material/error:", duration="long")
