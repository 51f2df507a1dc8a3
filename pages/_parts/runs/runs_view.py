"""The parts of the Runs screen. What goes on is drawn anew by itself; long lists come in pages, so that two hundred runs take no longer than ten."""

from __future__ import annotations

import streamlit as st

from core.comparing.rows import row_of, sweeps_called
from core.comparing.stream import MOST_RUNS
from core.records import telling
from core.store import Run, UnreadableRun
from core.store.bin import KEPT_DAYS, empty, restore
from core.store.resume_files import resume_points
from core.store.sizes import folder_bytes
from pages._parts.components.runs_table import pressed, runs_table
from pages._parts.runs.finding import OTHERWISE, ask_what, looking_for
from pages._parts.shared import asking, continuing, draft, found_on_disk, labels, naming, waiting_view, words
from pages._parts.shared.history import TRAIN, about, history, link
from pages._parts.shared.naming import Told
from pages._parts.shared.services import Services
from pages._parts.shared.store_told import careful

ROWS = 5
"""Rows of a list that are drawn at first: each costs the browser about 20 ms, and there are three lists."""

_SHOWN, _ENDED = "runs_shown", "runs_ended"


def head(shared: Services) -> None:
    """Title, and the way to a new run. The first thing that is drawn."""
    asking.page_is_drawn()
    st.title("Runs")
    with st.container(horizontal=True):
        st.page_link("train.py", label="Set up a run", icon=":material/tune:", query_params={draft.SET_UP: "1"})
        st.page_link("compare.py", label="Compare, or bring curves from elsewhere", icon=":material/compare_arrows:")
    ask_what(shared)
    labels.head(shared)
    st.session_state[_ENDED] = shared.store.count_ended()


def table(shared: Services) -> None:
    """All runs as a table, those that are looked for, and the way from those that are chosen in it to a comparison."""
    what, ids = pressed()
    if what == "open":  # before anything is read: somebody waits for another page
        st.switch_page(TRAIN, query_params={"run": ids[0]})
    if what == "compare":
        st.switch_page("compare.py", query_params={"runs": ",".join(ids)})
    found = looking_for()
    rows = [row_of(run) for run in shared.store.listed(found.among(shared))]
    if not rows:
        return
    of = sweeps_called(rows)
    called = [row | {"called": row["name"] or f"{row['dataset']} with {row['model']}", "sweep": of.get(row["sweep"], "")} for row in rows]
    runs_table(called, MOST_RUNS, key="runs_table")


def going_on(shared: Services) -> None:
    """What holds a place, and what waits for one."""
    settings = shared.supervisor.settings()
    if shared.supervisor.settings_problem:
        st.error(words.plain(shared.supervisor.settings_problem), icon=":material/error:")
    st.subheader("Going on", anchor=False)
    found = looking_for()
    among = found.among(shared)
    holding = [run for run in shared.store.holding_runs(2 * ROWS if among is None else -1) if among is None or run.id in among][: 2 * ROWS]
    history(shared, holding)
    if not holding:
        st.caption("Nothing trains just now." if among is None else f"No run that goes on has {found.in_words()}.")
    waiting = waiting_view.queue(shared)
    if st.session_state[_ENDED] != shared.store.count_ended() and not asking.is_open():
        st.rerun(scope="app")  # the lists below have another run
    st.subheader("Waiting", anchor=False)
    slots = "one run at a time goes on" if settings.slots == 1 else f"{settings.slots:,} runs at a time go on"
    st.caption(f"On each device {slots}. A paused run keeps its memory, and so its place. More at a time: `python -m core queue --slots 2`")
    if not waiting:
        st.caption("No run waits. A run that is started while another one has the place waits here for its turn.")
    waiting_view.undo(shared)
    shown = _shown("waiting")
    kept = [number for number, each in enumerate(waiting) if among is None or each.run.id in among]
    if waiting and not kept:
        st.caption(f"No run that waits has {found.in_words()}.")
    waiting_view.waiting_list(shared, waiting, kept[:shown])
    _more("waiting", len(kept) - shown)


def ended(shared: Services) -> None:
    """The runs that have ended, newest first, each with a menu."""
    st.subheader("Ended", anchor=False)
    shown = _shown("ended")
    found = looking_for()
    among = found.among(shared)
    runs = shared.store.entries(limit=shown + 1, active=False, among=among)
    if not runs:
        st.caption("Runs appear here once they have ended." if among is None else f"No run that has ended has {found.in_words()}. {OTHERWISE}")
    told = naming.in_list(runs[:shown])
    for run in runs[:shown]:
        if isinstance(run, UnreadableRun):
            found_on_disk.unreadable(shared, run, "runs")
            continue
        _row(shared, run, told[run.id])
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
    if row.button(f"Empty the bin ({telling.size(total)})", icon=":material/delete_forever:", key="empty_bin"):
        _ask_empty(shared, len(found), total)
    shown = _shown("bin")
    for run_id, since in found[:shown]:
        with st.container(border=True, horizontal=True, vertical_alignment="center", key=f"bin_{run_id}"):
            name = shared.store.labels(run_id).name
            st.markdown(f"**{words.plain(name)}** {words.code(run_id)}" if name else words.code(run_id), width="content")
            st.caption(f"deleted {words.ago(since)}", width="stretch")
            back = careful(restore)
            st.button("Restore", key=f"restore_{run_id}", icon=":material/restore_from_trash:", on_click=back, args=(shared.store, run_id))
    _more("bin", len(found) - shown)


def _row(shared: Services, run: Run, told: Told) -> None:
    word, icon, colour = words.STATUS[run.status]
    accuracy = run.result.test_accuracy if run.result else None
    parts = [words.duration(run.active_seconds), telling.size(folder_bytes(shared.home.run_folder(run.id))), words.ago(run.ended or run.created)]
    with st.container(border=True, horizontal=True, vertical_alignment="center", key=f"ended_{run.id}"):
        st.badge(word, icon=icon, color=colour)
        link(run, told)
        reached = [f"test accuracy {words.percent(accuracy)}"] if accuracy is not None else []
        came_to = [str(run.error), words.ago(run.ended or run.created)] if waiting_view.was_cancelled(run) else [*reached, *parts]
        st.caption(words.plain(" · ".join([*about(run, told), *came_to])), width="stretch")
        named = words.plain(f"{told}, {run.id}")
        if waiting_view.was_cancelled(run):
            waiting_view.put_back(shared, run.id, "Put back", f"put_back_{run.id}", f"Have {named} wait again, where it stood")
        elif run.status.continuable:
            continuing.offer(shared, run, resume_points(shared.home.run_folder(run.id)), f"continue_{run.id}", quiet=True)
        labels.menu(shared, run, str(told), deletes=True)


def _ask_empty(shared: Services, count: int, total: int) -> None:
    def question() -> None:
        runs = "run is" if count == 1 else "runs are"
        st.markdown(f"{count:,} {runs} removed from the disk, with weights and charts: {telling.size(total)}.")
        st.warning("Nothing brings them back.", icon=":material/warning:")

    asking.ask("Empty the bin?", question, "Empty it", ":material/delete_forever:", careful(_empty), shared)


def _empty(shared: Services) -> None:
    done = empty(shared.home, shared.store)
    for run_id, why in done.kept:
        st.toast(words.plain(f"{run_id} stays in the bin: {why}"), icon=":material/info:", duration="long")
    st.toast(f"{telling.size(done.freed)} are free", icon=":material/delete_forever:")


def _shown(what: str) -> int:
    return int(st.session_state.get(f"{_SHOWN}_{what}", ROWS))


def _more(what: str, left: int) -> None:
    if left > 0:
        st.button("Show more", key=f"more_{what}", icon=":material/expand_more:", on_click=_show_more, args=(what,))


def _show_more(what: str) -> None:
    st.session_state[f"{_SHOWN}_{what}"] = _shown(what) + 10 * ROWS
