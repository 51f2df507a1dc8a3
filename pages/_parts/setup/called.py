"""What the next run will be called: a name and a note, which change nothing of what it does. Kept in the address until it is started."""

from __future__ import annotations

import streamlit as st

from core.config import ConfigError
from core.records.labels import LONGEST_NAME, LONGEST_NOTE, LabelChange
from core.store.labelling import relabel
from pages._parts.shared import draft
from pages._parts.shared.fields import Fields
from pages._parts.shared.services import Services

NAME, NOTE = "name", "note"
"""Their names in the address, and where errors of them are shown."""

_KEYS = {NAME: "next_run_name", NOTE: "next_run_note"}


def ask(fields: Fields) -> None:
    """The two fields."""
    for name, key in _KEYS.items():
        st.session_state.setdefault(key, str(st.query_params.get(name, "")))
    left, right = st.columns(2)
    with left:
        placeholder = "Without one, it is called by its settings"
        st.text_input("Name of the run", key=_KEYS[NAME], max_chars=LONGEST_NAME, placeholder=placeholder)
        fields.say(NAME)
    with right:
        st.text_input("Note", key=_KEYS[NOTE], max_chars=LONGEST_NOTE, placeholder="What is tried, and why")
        fields.say(NOTE)


def in_url() -> dict[str, str]:
    """What the address keeps of them."""
    given = {name: text for name, key in _KEYS.items() if (text := str(st.session_state.get(key) or ""))}
    return {draft.SET_UP: "1", **given} if given else {}


def change() -> LabelChange:
    """What the run is to be called. Raises ConfigError on `name` or `note`."""
    given = {name: str(st.session_state.get(key) or "") for name, key in _KEYS.items()}
    return LabelChange(name=given[NAME] or None, note=given[NOTE] or None)


def call(shared: Services, run_id: str, wanted: LabelChange) -> None:
    """Call a run that was just started so, and empty the fields for the next one. For the callback."""
    if wanted:
        try:
            relabel(shared.store, shared.home.run_folder(run_id), run_id, wanted)
        except (ConfigError, KeyError, OSError):
            st.toast("The run was started, and its name could not be written. Give it one on its page.", icon=":material/info:")
    for key in _KEYS.values():
        st.session_state[key] = ""
