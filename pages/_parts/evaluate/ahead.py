"""Every epoch of a run worked out ahead, so that the slider moves through them at once, and how the accuracy rose with them."""

from __future__ import annotations

import streamlit as st

from core.records.evaluation import Evaluation, Work
from pages._parts.evaluate.subject import Subject
from pages._parts.evaluate.work import asked
from pages._parts.shared import words
from pages._parts.shared.places import alone
from pages._parts.shared.services import Services

TICK = 0.7
"""Seconds between looks while epochs are worked out."""

_HELP = "Then the slider moves at once. Each is one more look at the test set: good for seeing, not for choosing an epoch."
_WANTED = "evaluate_ahead"
_DONE = "evaluate_ahead_done"


def show(shared: Services, subject: Subject) -> None:
    """A button that has the other epochs worked out, progress while they are, and then a line."""
    wanted = st.session_state.get(_WANTED) == subject.run.id
    alone(_ahead, shared, subject, wanted, every=TICK if wanted and _missing(subject) else None)


def _missing(subject: Subject) -> list[int]:
    done = _done(subject)
    return [kept for kept in subject.kept if kept not in done]


def _done(subject: Subject) -> dict[int, float | None]:
    """The accuracies that are known of these weights."""
    place = f"{_DONE}_{subject.run.id}_{subject.last.step}"
    known: dict[int, float | None] = st.session_state.setdefault(place, {})
    return known


def _ahead(shared: Services, subject: Subject, wanted: bool) -> None:
    missing = _missing(subject)
    count = len(subject.kept)
    if (st.session_state.get(_WANTED) == subject.run.id) != wanted:
        st.rerun(scope="app")  # with a timer from now on
    if not missing:
        figures = [f"{words.percent(accuracy)} {subject.named(kept)}" for kept, accuracy in _done(subject).items() if kept in _ends(subject)]
        st.caption(f"All {count:,} are worked out, from {' to '.join(figures)}. Move the slider “Weights” to see it come about.")
        return
    if not wanted:
        row = st.container(horizontal=True, vertical_alignment="center")
        row.caption("Move the slider “Weights” above to see it come about, epoch by epoch.", width="stretch")
        row.button(f"Work out all {count:,}", icon=":material/fast_forward:", help=_HELP, on_click=_want, args=(subject.run.id,))
        return
    share = 0.0
    for kept in missing:
        work, found = _ask(shared, subject, kept)
        if work.state == "failed":
            st.session_state.pop(_WANTED, None)
            st.error(f"Weights {subject.named(kept)}: {words.plain(work.message)}", icon=":material/error:")
            return
        if found is None:
            share = work.share or 0.0
            break
        _done(subject)[kept] = found.accuracy.value
    left = len(_missing(subject))
    if not left:
        st.rerun(scope="app")  # without a timer from now on
    st.progress(min(1.0, (count - left + share) / count), text=f"{count - left:,} of {count:,} are worked out")


def _ask(shared: Services, subject: Subject, kept: int) -> tuple[Work, Evaluation | None]:
    return asked(lambda retry=False: shared.lab.evaluation(subject.run.id, subject.epoch_at(kept), retry))


def _ends(subject: Subject) -> tuple[int, int]:
    return subject.kept[0], subject.kept[-1]


def _want(run_id: str) -> None:
    st.session_state[_WANTED] = run_id
