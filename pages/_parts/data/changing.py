"""A change of a dataset from the screen: always a new version, always to be undone, and never made of anything but what its person saw."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from core.config import ConfigError
from core.versions import Version, shelf, write
from core.versions.edits import Edited
from pages._parts.data import state as data_state
from pages._parts.shared import words
from pages._parts.shared.services import Services

_REFUSED = "data_refused"


def change(
    shared: Services, seen: Version, edit: Callable[[Version], Edited], note: str, split_note: str | None = None, fit: str | None = None
) -> Version | None:
    """Write the next version, made of the one that is seen; None where that was refused, which the screen says then. For callbacks.

    Args:
        note: what was done, in a sentence.
        split_note: how splits are made from here on; None: as in the version before.
        fit: how pictures go into a square from here on; None: as in the version before.
    """
    st.session_state.pop(_REFUSED, None)
    try:
        classes, items = edit(seen)
        kept = seen.split_note if split_note is None else split_note
        made = write(
            shared.home,
            seen.dataset,
            classes,
            items,
            note,
            seen.number,
            fit=seen.fit if fit is None else fit,
            split_note=kept,
        )
    except (ConfigError, OSError) as error:
        _refused(shared, seen, error, note)
        return None
    data_state.choose(version=None)
    return made


def restore(shared: Services, seen: Version, number: int) -> None:
    """Have version `number` again as the newest; `seen` is the newest as the screen shows it. For callbacks."""
    st.session_state.pop(_REFUSED, None)
    try:
        shelf.restore(shared.home, seen.dataset, number, seen.number)
    except (ConfigError, OSError) as error:
        _refused(shared, seen, error, f"Version {number} restored.")
    else:
        data_state.choose(version=None)


def _refused(shared: Services, seen: Version, error: ConfigError | OSError, note: str) -> None:
    """Note why, unless it is the same click that a busy machine played back: what it made is there then."""
    if isinstance(error, ConfigError) and error.field == "parent":
        newest = shelf.newest(shared.home, seen.dataset)
        if newest.parent == seen.number and newest.note == note:
            return
    refuse(error)


def refuse(error: ConfigError | OSError) -> None:
    """Note why the dataset that is looked at stays as it is. For callbacks."""
    st.session_state[_REFUSED] = words.refusal(error)


def refusal() -> None:
    """Say why the last change was not made, or the dataset not deleted, if it was not."""
    if text := st.session_state.get(_REFUSED):
        st.error(words.plain(text), title="Nothing was changed", icon=":material/error:")


def forget_refusal() -> None:
    """Something else is looked at."""
    st.session_state.pop(_REFUSED, None)


def undo_bar(shared: Services, newest: Version) -> None:
    """What was done last, and the way back. It is read from the versions, so a refresh loses nothing."""
    if newest.parent is None:
        return
    row = st.container(horizontal=True, vertical_alignment="center", key="data_undo_row")
    row.caption(f":material/history: Version {newest.number:,}: {words.plain(newest.note)}", width="content")
    row.button(
        "Undo",
        key=f"data_undo_{newest.dataset}_{newest.number}",
        icon=":material/undo:",
        on_click=restore,
        args=(shared, newest, newest.parent),
        help=f"Makes version {newest.parent:,} the newest again, as a new version. Nothing is lost.",
    )
