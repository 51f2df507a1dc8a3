"""Runs that lie on disk and that the list does not have, offered to be taken in again; and runs that cannot be read."""

from __future__ import annotations

import streamlit as st

from core.config import ConfigError
from core.store import UnreadableRun, recovery
from core.store.recovery import OnDisk
from pages._parts.shared import labels, words
from pages._parts.shared.services import Services
from pages._parts.shared.store_told import careful

_DONE = "found_on_disk_done"


def offer(shared: Services) -> None:
    """Say which runs lie on disk and are not in the list, with a button that takes them in. Draws nothing where there is none."""
    for line in st.session_state.pop(_DONE, ()):
        st.info(words.plain(line), icon=":material/inventory_2:")
    found = recovery.found(shared.home, shared.store)
    whole = [each for each in found if not each.problem]
    if whole:
        count = f"{len(whole):,} runs lie" if len(whole) > 1 else "A run lies"
        st.warning(f"{count} on disk and {'are' if len(whole) > 1 else 'is'} not in this list.", icon=":material/inventory_2:")
        label = "Take them in again" if len(whole) > 1 else "Take it in again"
        st.button(label, key="take_in", icon=":material/inventory_2:", on_click=careful(_take_in), args=(shared, whole))
    for each in [each for each in found if each.problem][:5]:
        st.caption(f":material/inventory_2: {words.code(each.id)} lies on disk and cannot be taken in: {words.plain(each.problem)}.")


def unreadable(shared: Services, run: UnreadableRun, key: str, listed: bool = True) -> None:
    """One that cannot be read: why, and the button that takes it off the list. `listed`: as one of a list, with the menu of one."""
    with st.container(border=True, key=f"{key}_{run.id}"):
        status, reason, act, when, more = st.columns([20, 84, 30, 20, 6], vertical_alignment="center")
        status.badge("Unreadable", icon=":material/help:", color="red")
        name = shared.store.labels(run.id).name
        reason.caption(f"{words.plain(name or run.id)} · {words.plain(run.reason)}")
        about = "Its folder and its weights stay where they are. A newer Thaw may be able to read it."
        act.button("Take it off the list", key=f"{key}_forget_{run.id}", help=about, on_click=careful(_forget), args=(shared, run.id))
        when.caption(words.ago(run.created) if run.created else "")
        if listed:
            with more:
                labels.menu(shared, run, name or run.id, deletes=False)


def _take_in(shared: Services, found: list[OnDisk]) -> None:
    """For the callback: what came of it is said when the page is drawn next."""
    taken = []
    for each in found:
        try:
            done = recovery.take_in(shared.store, each)
        except ConfigError as error:
            taken.append(words.plain(error.message))
        else:
            taken.append(words.plain(f"{done.id} is in the list again, with {done.steps:,} steps. Not recovered: {done.missing}."))
    more = [f"And {len(taken) - 5:,} more."] if len(taken) > 5 else []
    st.session_state[_DONE] = [*taken[:5], *more]


def _forget(shared: Services, run_id: str) -> None:
    try:
        recovery.forget(shared.home, shared.store, run_id)
    except (ConfigError, KeyError, OSError) as error:
        st.toast(words.plain(f"It is still in the list. {error}"), icon=":material/error:", duration="long")
