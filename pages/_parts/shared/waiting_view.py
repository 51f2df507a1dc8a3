"""Runs that wait for a place: what they wait for, and the buttons that order them. The same on Home, on Runs and on a run's own page."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.machine.hardware import device_of
from core.records.events import RunStatus
from core.store import Run, UnreadableRun
from core.store.bin import restore
from core.store.queue_tables import CANCELLED, CANCELLED_AGAIN
from core.store.waiting import Waiting, in_words, queue_of
from pages._parts.shared import labels, naming, words
from pages._parts.shared.services import Services
from pages._parts.shared.store_told import careful

TRAIN = "train.py"
_CANCELLED = "run_cancelled"


def queue(shared: Services) -> list[Waiting]:
    """The runs that wait, the next one first."""
    return queue_of(shared.store, shared.supervisor.settings().slots, device_of)


def why(waiting: Waiting) -> str:
    """'Waits for digits with small_cnn on cpu, about 4 min'. Not made plain."""
    text = in_words(waiting, naming.called)
    return text[:1].upper() + text[1:]


def why_of(shared: Services, run: Run) -> str:
    """The same of one run; that it is being started where it waits no more."""
    return next((why(each) for each in queue(shared) if each.run.id == run.id), "Being started")


def start_and_cancel(row: DeltaGenerator, shared: Services, run_id: str, about: str) -> None:
    """Two buttons for a waiting run. `about` tells those of one run from those of another to somebody who does not see them."""
    act = _acts(shared)
    for label, name, icon, does in (
        ("Start now", "now", ":material/play_arrow:", f"Begin {about} beside what goes on"),
        ("Cancel", "cancel", ":material/close:", f"End {about} before it begins"),
    ):
        row.button(label, key=f"{name}_{run_id}", icon=icon, help=does, on_click=act[name], args=(run_id,))


def waiting_list(shared: Services, waiting: list[Waiting], places: Sequence[int]) -> None:
    """The rows of the queue at these `places`, from 0, each with its buttons."""
    act = _acts(shared)
    told = naming.in_list(waiting[place].run for place in places)
    for number, each in ((place + 1, waiting[place]) for place in places):
        run = each.run
        name = run.id if isinstance(run, UnreadableRun) else str(told[run.id])
        with st.container(border=True, horizontal=True, vertical_alignment="center", key=f"waiting_{run.id}"):
            st.page_link(TRAIN, label=f"{number:,} · **{words.plain(name)}**", query_params={"run": run.id}, help=f"Open run {run.id}")
            st.caption(words.plain(why(each)), width="stretch")
            up = each.before
            below = next((other.run.id for other in waiting[number:] if other.device == each.device), None)
            about = words.plain(f"{name}, number {number}")
            for label, icon, what, arguments, useless in (
                ("Up", ":material/arrow_upward:", "move", (run.id, up), up is None),
                ("Down", ":material/arrow_downward:", "move", (below, run.id), below is None),
                ("Next", ":material/vertical_align_top:", "next", (run.id,), number == 1),
            ):
                key = f"{label}_{run.id}".lower()
                st.button(label, key=key, icon=icon, disabled=useless, help=f"Move {about}", on_click=act[what], args=arguments)
            start_and_cancel(st.container(horizontal=True, width="content"), shared, run.id, about)
            labels.menu(shared, run, f"{name}, number {number}", deletes=isinstance(run, Run))


def binned(shared: Services, run: Run) -> bool:
    """Say of a run in the bin that it lies there, with a button that brings it back; returns whether it does."""
    if run.binned is None:
        return False
    st.warning("Nothing of it is lost: bring it back to see it.", title="This run is in the bin", icon=":material/delete:")
    st.button("Restore this run", type="primary", icon=":material/restore_from_trash:", on_click=careful(restore), args=(shared.store, run.id))
    return True


def was_cancelled(run: Run) -> bool:
    """Whether it waited and was cancelled: it can wait again, where it stood."""
    return run.status == RunStatus.STOPPED and run.error in (CANCELLED, CANCELLED_AGAIN)


def cancelled(shared: Services, run: Run) -> None:
    """A button that has a cancelled run wait again. Draws nothing for another one."""
    if was_cancelled(run):
        put_back(shared, run.id, "Put it back into the queue", "put_back", None)


def put_back(shared: Services, run_id: str, label: str, key: str, about: str | None) -> None:
    """The button that does it."""
    st.button(label, key=key, icon=":material/undo:", help=about, on_click=careful(shared.supervisor.restore_cancelled), args=(run_id,))


def undo(shared: Services) -> None:
    """Right after a run was cancelled: the way back. Draws nothing once it waits again, or is deleted."""
    run_id = st.session_state.get(_CANCELLED)
    try:
        run = shared.store.run(run_id) if run_id is not None else None
    except (KeyError, UnreadableRun):
        run = None
    if run is None or not was_cancelled(run) or run.binned is not None:
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.info(f"{words.plain(naming.called(run))} ({words.code(run.id)}) was cancelled.", icon=":material/close:")
        put_back(shared, run.id, "Undo", "undo_cancel", None)


def _acts(shared: Services) -> dict[str, Callable[..., None]]:
    supervisor = shared.supervisor

    def cancel(run_id: str) -> bool:
        st.session_state[_CANCELLED] = run_id
        return supervisor.cancel(run_id)

    acts: dict[str, Callable[..., bool]] = {
        "now": supervisor.start_now,
        "cancel": cancel,
        "next": supervisor.run_next,
        "move": supervisor.move,
    }
    return {name: _heard(act) for name, act in acts.items()}


def _heard(act: Callable[..., bool]) -> Callable[..., None]:
    """`act` for a callback. Who comes too late, since another did something first, hears so."""

    def heard(*arguments: str) -> None:
        try:
            done = act(*arguments)
        except KeyError:
            done = False
        except OSError as error:
            st.toast(words.plain(f"Nothing was done. {error}"), icon=":material/error:", duration="long")
            return
        if not done:
            st.toast("It does not wait any more: it has begun, or was cancelled.", icon=":material/info:")

    return heard
