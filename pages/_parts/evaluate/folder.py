"""The folder of a run's pictures is not where it was: said at the top of the Evaluate screen, where it can be told where it is now."""

from __future__ import annotations

import streamlit as st

from core.config import ConfigError
from core.data.folders import shown
from core.data.own_pictures import root_of
from core.evaluation.relocation import moved
from core.store import Run
from pages._parts.shared import refusals, words
from pages._parts.shared.services import Services

_PATH, _REFUSED = "evaluate_folder", "evaluate_folder_refused"


def ask_folder(shared: Services, run: Run) -> None:
    """Say that a run's folder is not there, and ask where it is now. Nothing where it is there, or the dataset is no folder."""
    try:
        root = root_of(shared.home, run.id, run.config.dataset)
    except ConfigError as error:
        st.error(words.plain(error.message), icon=":material/error:")
        return
    if root is None or root.is_dir():
        return
    st.warning(
        f"It was moved or renamed, or is on a drive that is not connected: {words.plain(shown(str(root)))}. A picture of your own can be tried all "
        "the same, and what was measured before is shown; the test pictures themselves cannot be.",
        title="The folder of this run's pictures is not there",
        icon=":material/folder_off:",
    )
    row = st.container(horizontal=True, vertical_alignment="bottom")
    path = row.text_input("The folder is now here", key=_PATH, placeholder="/path/to/the/folder")
    if row.button("Use this folder", icon=":material/folder_open:"):
        try:
            with st.spinner("Looking whether it holds the run's pictures"):
                said = moved(shared.home, run, path)
        except ConfigError as error:
            refusals.note(_REFUSED, f"{error.message[:1].upper()}{error.message[1:]}", of=path)
        else:
            st.toast(words.plain(said), icon=":material/check_circle:")
            st.rerun()
    if why := refusals.noted(_REFUSED, of=path):
        st.error(words.plain(why), title="It stays as it was", icon=":material/error:")
