"""The parts of the Runs screen. What goes on is drawn anew by itself; long lists come in pages, so that two hundred runs take no longer than ten."""

from __future__ import annotations

import streamlit as st

from core.config import ConfigError
from core.records import telling
from core.store import Run, UnreadableRun
from core.store.bin import KEPT_DAYS, delete, dependents, empty, restore
from core.store.resume_files import resume_points
from core.store.sizes import BOUNDS, folder_bytes, shared_bytes
from pages._parts.shared import continuing, draft, found_on_disk, waiting_view, words
from pages._parts.shared.history import history
from pages._parts.shared.services import Services
from pages._parts.shared.store_told import careful

ROWS = 10
"""Rows of a list that are drawn at a time: each costs the browser about 10 ms."""

_SHOWN, _DELETED, _ENDED = "runs_shown", "runs_deleted", "runs_ended"


def head() -> None:
    """Title, and the way to a new run."""
    st.title("Runs")
    st.page_link("train.py", label="Set up a run", icon=":material/tune:", query_params={draft.SET_UP: "1"})


def going_on(shared: Services) -> None:
    """What holds a place, and what waits for one."""
    settings = shared.supervisor.settings()
    if shared.supervisor.settings_problem:
        st.error(words.plain(shared.supervisor.settings_problem), icon=":material/error:")
    st.subheader("Going on", anchor=False)
    holding = shared.store.holding_runs(ROWS)
    history(shared, holding)
    if not holding:
        st.caption("Nothing trains just now.")
    waiting = waiting_view.queue(shared)
    ended = shared.store.count_ended()
    if st.session_state.get(_ENDED, ended) != ended:
        st.session_state[_ENDED] = ended
        st.rerun(scope="app")  # the lists below have another run
    st.session_state[_ENDED] = ended
    st.subheader("Waiting", anchor=False)
    slots = "one run at a time goes on" if settings.slots == 1 else f"{settings.slots:,} runs at a time go on"
    st.caption(f"On each device {slots}. A paused run keeps its memory, and so its place. More at a time: `python -m core queue --slots 2`")
    if not waiting:
        st.caption("No run waits. A run that is started while another one has the place waits here for its turn.")
    shown = _shown("waiting")
    waiting_view.waiting_list(shared, waiting, 0, shown)
    _more("waiting", len(waiting) - shown)


def ended(shared: Services) -> None:
    """The runs that have ended, newest first, each with a button that deletes it."""
    st.subheader("Ended", anchor=False)
    _undo(shared)
    shown = _shown("ended")
    runs = shared.store.entries(limit=shown + 1, active=False)
    if not runs:
        st.caption("Runs appear here once they have ended.")
    for run in runs[:shown]:
        if isinstance(run, UnreadableRun):
            found_on_disk.unreadable(shared, run, "runs")
            continue
        _row(shared, run)
    _more("ended", len(runs) - shown)


def in_the_bin(shared: Services) -> None:
    """What was deleted, with the ways back and off the disk."""
    st.subheader("Bin", anchor=False)
    found = list(shared.store.binned().items())
    if not found:
        st.caption("The bin is empty. What is deleted comes here first, and can be brought back.")
        return
    total = sum(folder_bytes(shared.home.run_folder(run_id)) for run_id, _ in found)
    row = st.container(horizontal=True, vertical_alignment="center")
    row.caption(f"{len(found):,} {'run' if len(found) == 1 else 'runs'}. What lies here for {KEPT_DAYS} days is removed by itself.", width="stretch")
    row.button(f"Empty the bin ({total / 1e6:,.1f} MB)", icon=":material/delete_forever:", on_click=careful(_empty), args=(shared,))
    shown = _shown("bin")
    for run_id, since in found[:shown]:
        with st.container(border=True, horizontal=True, vertical_alignment="center", key=f"bin_{run_id}"):
            st.markdown(words.code(run_id), width="content")
            st.caption(f"deleted {words.ago(since)}", width="stretch")
            back = careful(restore)
            st.button("Restore", key=f"restore_{run_id}", icon=":material/restore_from_trash:", on_click=back, args=(shared.store, run_id))
    _more("bin", len(found) - shown)


def on_disk(shared: Services) -> None:
    """What runs and what they share take on disk, and what bounds it. Counted only once it is open: that takes a while."""
    box = st.expander("Room on disk", icon=":material/hard_drive:", key="room_on_disk", on_change="rerun")
    if not box.open:
        return
    with box:
        st.markdown(f"Runs: {telling.size(folder_bytes(shared.home.runs))} ({BOUNDS['epochs']})")
        for name, taken in shared_bytes(shared.home).items():
            st.markdown(f"{words.plain(name.capitalize())}: {telling.size(taken)}{words.plain(f' ({BOUNDS[name]})' if name in BOUNDS else '')}")


def _row(shared: Services, run: Run) -> None:
    word, icon, colour = words.STATUS[run.status]
    accuracy = run.result.test_accuracy if run.result else None
    parts = [words.duration(run.active_seconds), telling.size(folder_bytes(shared.home.run_folder(run.id))), words.ago(run.created)]
    with st.container(border=True, horizontal=True, vertical_alignment="center", key=f"ended_{run.id}"):
        st.badge(word, icon=icon, color=colour)
        st.page_link("train.py", label=f"**{words.plain(words.subject(run.config))}**", query_params={"run": run.id}, help=f"Open run {run.id}")
        about = [str(run.config.freeze), *([f"test accuracy {words.percent(accuracy)}"] if accuracy is not None else []), *parts]
        st.caption(words.plain(" · ".join(about)), width="stretch")
        named = words.plain(f"{words.subject(run.config)}, {run.id}")
        if run.status.continuable:
            continuing.offer(shared, run, resume_points(shared.home.run_folder(run.id)), f"continue_{run.id}", quiet=True)
        if st.button("Delete", key=f"delete_{run.id}", icon=":material/delete:", help=f"Put {named} into the bin"):
            _ask(shared, run)


@st.dialog("Delete this run?")
def _ask(shared: Services, run: Run) -> None:
    st.markdown(f"{words.plain(words.subject(run.config))} ({words.code(run.id)}) goes to the bin, from which it can be brought back.")
    others = dependents(shared.home, shared.store, run.id)
    if others:
        named = ", ".join(words.code(each) for each in others[:5])
        st.warning(f"{len(others):,} {'run starts' if len(others) == 1 else 'runs start'} from its weights: {named}", icon=":material/account_tree:")
    if st.button("Delete", type="primary", icon=":material/delete:", key="delete_surely", on_click=_delete, args=(shared, run.id)):
        st.rerun()


def _delete(shared: Services, run_id: str) -> None:
    try:
        delete(shared.home, shared.store, run_id, anyway=True)
    except (ConfigError, KeyError, OSError) as error:
        st.toast(words.plain(f"Nothing was deleted. {error}"), icon=":material/error:", duration="long")
    else:
        st.session_state[_DELETED] = run_id


def _undo(shared: Services) -> None:
    """Right after a run was deleted: the way back."""
    run_id = st.session_state.get(_DELETED)
    if run_id is None or run_id not in shared.store.binned():
        return
    row = st.container(horizontal=True, vertical_alignment="center")
    row.info(f"Run {words.code(run_id)} is in the bin.", icon=":material/delete:")
    row.button("Undo", icon=":material/undo:", key="undo_delete", on_click=careful(restore), args=(shared.store, run_id))


def _empty(shared: Services) -> None:
    done = empty(shared.home, shared.store)
    for run_id, why in done.kept:
        st.toast(words.plain(f"{run_id} stays in the bin: {why}"), icon=":material/info:", duration="long")
    st.toast(f"{done.freed / 1e6:,.1f} MB are free", icon=":material/delete_forever:")


def _shown(what: str) -> int:
    return int(st.session_state.get(f"{_SHOWN}_{what}", ROWS))


def _more(what: str, left: int) -> None:
    if left > 0:
        st.button("Show more", key=f"more_{what}", icon=":material/expand_more:", on_click=_show_more, args=(what,))


def _show_more(what: str) -> None:
    st.session_state[f"{_SHOWN}_{what}"] = _shown(what) + 5 * ROWS
