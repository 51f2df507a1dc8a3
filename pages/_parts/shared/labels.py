"""Name, note, tags and star of a run where it is listed and on its page; and what a list's small menu does: rename, star, delete, undo.

A menu in a part that a clock draws anew cannot ask anything: with the next tick the question would be gone. So it writes down what was
asked for, and the page asks (`head`). A page that is drawn anew while somebody types asks again, with the text that is there.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import streamlit as st

from core.config import ConfigError
from core.records.labels import MOST_TAGS, LabelChange, Labels, undoing
from core.store import Run, UnreadableRun
from core.store.bin import delete, dependents, restore
from core.store.labelling import relabel
from pages._parts.shared import asking, naming, words
from pages._parts.shared.services import Services
from pages._parts.shared.store_told import careful

RENAME, STAR, UNSTAR, DELETE = "Rename and note", "Star", "Take the star away", "Delete"
_LISTS = Path(__file__).with_name("run_lists.css")
_ASKED, _DONE, _COUNT = "labels_asked", "labels_done", "labels_count"


@dataclass
class _Asked:
    """A question that a menu asked for. `number` tells the fields of one from those of an earlier one; `opened`: it has been asked."""

    what: str
    run_id: str
    number: int
    opened: bool = False
    refused: ConfigError | None = None


@dataclass(frozen=True)
class _Done:
    """What was done last, for the way back. Of a deleted run there are no labels."""

    run_id: str
    name: str
    before: Labels | None = None
    after: Labels | None = None


def came_to(screen: str) -> None:
    """A screen is drawn from its beginning: what another one has asked, and its way back, are left behind."""
    if st.session_state.get("labels_screen", screen) != screen:
        for name in (_ASKED, _DONE):
            st.session_state.pop(name, None)
    st.session_state["labels_screen"] = screen


def head(shared: Services, titled: str | None = None) -> None:
    """Ask what a menu of this page asked for, and offer the way back from what was done last. For a page's script, above its lists.

    Args:
        titled: the run whose heading is on this page, and with it the way back for that one.
    """
    st.html(_LISTS)
    undo(shared, titled)
    asked: _Asked | None = st.session_state.get(_ASKED)
    if asked is None:
        return
    asked.opened = True
    if asked.what == RENAME:
        _ask_labels(shared, asked)
    else:
        _ask_delete(shared, asked)


def menu(shared: Services, run: Run | UnreadableRun, name: str, deletes: bool) -> None:
    """The small button behind a run in a list, below `head`. `name` tells it from others to somebody who does not see them; not made plain."""
    asked: _Asked | None = st.session_state.get(_ASKED)
    if asked is not None and not asked.opened:
        st.rerun(scope="app")  # asked for in a part that is drawn by itself
    key = f"menu_{run.id}"
    starred = run.labels.starred if isinstance(run, Run) else shared.store.labels(run.id).starred
    options = [RENAME, UNSTAR if starred else STAR, *([DELETE] if deletes else [])]
    about = words.plain(f"More for {name}")
    st.menu_button(about, options, key=key, icon=":material/more_vert:", type="tertiary", on_click=careful(_chosen), args=(shared, run.id, key))


def can_be_deleted(run: Run) -> bool:
    """Whether a list offers that: it has ended, or waits."""
    return run.waits or not run.status.active


def title(shared: Services, run: Run) -> None:
    """The heading of a run's page, with its star and the button that renames it, and the browser's tab called like it: one row of the caller's."""
    st.set_page_config(page_title=f"{naming.called(run)} · Thaw")
    st.title(words.plain(naming.called(run)), anchor=False, width="content")
    star, does = ("★ Starred", "Take the star away") if run.labels.starred else ("☆ Star", "Put a star on this run: Runs can show those alone")
    st.button(star, key="run_star", type="tertiary", help=does, on_click=careful(_star), args=(shared, run.id, not run.labels.starred))
    st.button(RENAME, key="run_rename", type="tertiary", icon=":material/edit:", help="Rename, note and tags", on_click=_ask, args=(RENAME, run.id))
    done: _Done | None = st.session_state.get(_DONE)
    if done is not None and done.run_id == run.id and done.after == run.labels:
        st.button("Undo", key="run_undo", type="tertiary", icon=":material/undo:", on_click=careful(_undo), args=(shared, done))


def about(run: Run) -> str:
    """What is called like nothing else: of a run with a name what it is about, its tags, and how its note begins. Not made plain."""
    labels = run.labels
    first = labels.note.partition("\n")[0]
    note = first if first == labels.note and len(first) <= 100 else f"{first[:100].rstrip()} ..."
    parts = [words.subject(run.config) if labels.name else "", *(f"#{tag}" for tag in labels.tags), note if labels.note else ""]
    return " · ".join(filter(None, parts))


def undo(shared: Services, titled: str | None = None) -> None:
    """Right after a run was renamed or deleted: the way back. Draws nothing once that is undone, or something else was done."""
    done: _Done | None = st.session_state.get(_DONE)
    if done is None or done.run_id == titled or not _still(shared, done):
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        if done.after is None:
            st.info(f"{words.plain(done.name)} ({words.code(done.run_id)}) is in the bin.", icon=":material/delete:")
        else:
            now = (
                f"{words.plain(done.name)} is now called {words.plain(done.after.name)}."
                if _renamed(done)
                else f"{words.plain(done.name)} was changed."
            )
            st.info(now, icon=":material/edit:")
        key = "undo_delete" if done.after is None else "undo_label"
        st.button("Undo", icon=":material/undo:", key=key, on_click=careful(_undo), args=(shared, done))


def _renamed(done: _Done) -> bool:
    return bool(done.before and done.after and done.after.name and done.before.name != done.after.name)


def _still(shared: Services, done: _Done) -> bool:
    if done.after is None:
        return done.run_id in shared.store.binned()
    try:
        return shared.store.labels(done.run_id) == done.after
    except KeyError:
        return False


def _undo(shared: Services, done: _Done) -> None:
    """For the callback. What others have changed meanwhile stays."""
    if done.before is None or done.after is None:
        restore(shared.store, done.run_id)
    else:
        _relabel(shared, done.run_id, undoing(done.before, done.after))
    st.session_state.pop(_DONE, None)


def _chosen(shared: Services, run_id: str, key: str) -> None:
    chosen = st.session_state[key]
    if chosen in (STAR, UNSTAR):
        _star(shared, run_id, chosen == STAR)
    elif chosen is not None:
        _ask(chosen, run_id)


def _ask(what: str, run_id: str) -> None:
    st.session_state[_COUNT] = st.session_state.get(_COUNT, 0) + 1
    st.session_state[_ASKED] = _Asked(what, run_id, st.session_state[_COUNT])


def _closed() -> None:
    st.session_state.pop(_ASKED, None)


def _star(shared: Services, run_id: str, starred: bool) -> None:
    try:
        _relabel(shared, run_id, LabelChange(starred=starred))
    except (ConfigError, KeyError) as error:
        _not_done(error)


def _relabel(shared: Services, run_id: str, change: LabelChange) -> tuple[Labels, Labels]:
    return relabel(shared.store, shared.home.run_folder(run_id), run_id, change)


def _not_done(error: Exception) -> None:
    said = error.args[0] if isinstance(error, KeyError) else error.message if isinstance(error, ConfigError) else error
    st.toast(words.plain(f"Nothing was changed. {said}"), icon=":material/error:", duration="long")


def _name_of(shared: Services, run_id: str) -> tuple[str, str]:
    """What a run is called, and what it is called without its name. Raises KeyError where there is none."""
    try:
        run = shared.store.run(run_id)
    except UnreadableRun:
        return shared.store.labels(run_id).name or run_id, run_id
    return naming.called(run), words.subject(run.config)


def _ask_labels(shared: Services, asked: _Asked) -> None:
    try:
        shown, (name, without) = shared.store.labels(asked.run_id), _name_of(shared, asked.run_id)
    except KeyError as error:
        _closed()
        _not_done(error)
        return

    @st.dialog("Rename and note", on_dismiss=_closed)
    def question() -> None:
        if st.session_state.get(_ASKED) is not asked:  # saved
            st.rerun()
        key = f"label_{asked.number}"
        with st.form("label", border=False):
            st.text_input(
                "Name", shown.name, key=f"{key}_name", placeholder=without, help="One line. Without one, the run is called by its settings."
            )
            _refused(asked, "name")
            st.text_area("Note", shown.note, key=f"{key}_note", placeholder="What was tried, and what came of it")
            _refused(asked, "note")
            offered = sorted({*shared.store.tags(), *shown.tags}, key=str.casefold)
            st.multiselect(
                "Tags",
                offered,
                list(shown.tags),
                key=f"{key}_tags",
                accept_new_options=True,
                max_selections=MOST_TAGS,
                placeholder="Choose, or write a new one",
            )
            _refused(asked, "tag")
            _refused(asked, "run")
            st.form_submit_button("Save", type="primary", icon=":material/check:", on_click=careful(_save), args=(shared, asked, key, shown, name))

    asking.opened()
    question()


def _refused(asked: _Asked, field: str) -> None:
    if asked.refused is not None and asked.refused.field == field:
        st.error(words.plain(words.refusal(asked.refused)), icon=":material/error:")


def _save(shared: Services, asked: _Asked, key: str, shown: Labels, name: str) -> None:
    """For the callback. Only what was changed in the form is: of the rest, another one may know more by now."""
    given: dict[str, Any] = {field: st.session_state[f"{key}_{field}"] for field in ("name", "note", "tags")}
    asked.refused = None
    try:
        before, after = _relabel(
            shared,
            asked.run_id,
            LabelChange(
                name=None if given["name"] == shown.name else given["name"],
                note=None if given["note"] == shown.note else given["note"],
                add_tags=tuple(tag for tag in given["tags"] if tag not in shown.tags),
                remove_tags=tuple(tag for tag in shown.tags if tag not in given["tags"]),
            ),
        )
    except ConfigError as error:
        asked.refused = error
        return
    except KeyError as error:
        _not_done(error)
    else:
        if before != after:
            st.session_state[_DONE] = _Done(asked.run_id, name, before, after)
    _closed()


def _ask_delete(shared: Services, asked: _Asked) -> None:
    run_id = asked.run_id
    try:
        name, _ = _name_of(shared, run_id)
        others = dependents(shared.home, shared.store, run_id)
    except KeyError as error:
        _closed()
        _not_done(error)
        return

    @st.dialog("Delete this run?", on_dismiss=_closed)
    def question() -> None:
        if st.session_state.get(_ASKED) is not asked:  # deleted
            st.rerun()
        st.markdown(f"{words.plain(name)} ({words.code(run_id)}) goes to the bin, from which it can be brought back.")
        if others:
            named = ", ".join(words.code(each) for each in others[:5])
            start = "run starts" if len(others) == 1 else "runs start"
            st.warning(f"{len(others):,} {start} from its weights: {named}", icon=":material/account_tree:")
        st.button("Delete", type="primary", icon=":material/delete:", key="surely", on_click=careful(_delete), args=(shared, run_id, name))

    asking.opened()
    question()


def _delete(shared: Services, run_id: str, name: str) -> None:
    _closed()
    try:
        delete(shared.home, shared.store, run_id, anyway=True)
    except (ConfigError, KeyError, OSError) as error:
        st.toast(words.plain(f"Nothing was deleted. {error}"), icon=":material/error:", duration="long")
    else:
        st.session_state[_DONE] = _Done(run_id, name)
