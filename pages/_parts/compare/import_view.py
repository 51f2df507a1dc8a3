"""Curves of other programs: read from this machine's disk or sent by the browser, kept, and put beside the runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from core.comparing import event_files, imported
from core.comparing import sent as sent_files
from core.config import ConfigError
from core.config.limits import LONGEST_NAME
from core.machine.home import Home
from core.machine.paths import pasted
from pages._parts.compare.subject import Subject, put
from pages._parts.shared import words
from pages._parts.shared.awaiting import awaited
from pages._parts.shared.services import Services

_CLIENT, _ASKED, _NUMBER, _REMOVED = "curves_client", "curves_asked", "curves_number", "curves_removed"
LARGEST_UPLOAD = 50
"""MB of one file that a browser sends; larger ones are read from the disk, by their path."""


def show(shared: Services, subject: Subject) -> None:
    """What was imported of those compared, with what could not be read of it; and below it a part that imports more."""
    for one in subject.found.imported.values():
        for said in one.said:
            st.warning(f"{words.plain(one.name)}: {words.plain(said)}", icon=":material/healing:")
    with st.expander("Curves from elsewhere", icon=":material/upload_file:", key="compare_import"):
        st.caption("TensorBoard event files, or CSV files with a column for the step. What they hold is read and kept; the files stay as they are.")
        left, right = st.columns(2, vertical_alignment="bottom")
        path = left.text_input("Path on this machine", key="curves_path", placeholder="~/runs/experiment, or metrics.csv")
        name = right.text_input("Call it", key="curves_name", max_chars=LONGEST_NAME, placeholder="As the folder or file is called")
        st.button("Read", key="curves_read", icon=":material/download:", disabled=not path.strip(), on_click=_ask, args=(path, name))
        left, right = st.columns(2)
        about = "CSV files, or event files of TensorBoard. Event files that are sent together are one training: send a folder to keep them apart."
        files = left.file_uploader(
            "Or send files from this browser", accept_multiple_files=True, key=f"curves_sent_{_number()}", max_upload_size=LARGEST_UPLOAD, help=about
        )
        folder = right.file_uploader(
            "Or send a folder", accept_multiple_files="directory", key=f"curves_folder_{_number()}", max_upload_size=LARGEST_UPLOAD,
            help="All event files and CSV files in it are read; each folder with event files is a training.",
        )  # fmt: skip
        _take(shared.home, [*files, *folder], name)
        _listed(shared, subject)
    asked = st.session_state.get(_ASKED)
    if asked is not None:
        _read(shared, subject, *asked)


def _number() -> int:
    return int(st.session_state.get(_NUMBER, 0))


def _ask(path: str, name: str, sent: bool = False) -> None:
    st.session_state[_NUMBER] = _number() + 1  # where files are sent, the fields are empty again
    st.session_state[_ASKED] = (path, name, _number(), sent)


def _take(home: Home, files: Sequence[UploadedFile], name: str) -> None:
    """Have files read that the browser sent; what is neither CSV nor an event file, in a folder that has much else, is left out."""
    wanted = [file for file in files if event_files.is_one(Path(file.name)) or Path(file.name).suffix.lower() in (".csv", ".tsv", ".txt")]
    if not files:
        return
    if not wanted:
        st.error("None of these files is an event file (called events.out.tfevents...) or a CSV file.", icon=":material/error:")
        return
    try:
        folder = sent_files.lay_out(home, ((file.name, file.getvalue()) for file in wanted))
    except OSError as error:
        st.error(words.plain(f"The files cannot be kept while they are read: {error}"), icon=":material/error:")
        return
    _ask(str(folder), name, sent=True)


def _read(shared: Services, subject: Subject, path: str, name: str, number: int, sent: bool) -> None:
    try:
        place = path if sent else str(pasted(path, "curves"))
    except ConfigError as error:
        st.error(words.plain(words.refusal(error)), icon=":material/error:")
        return
    ids = awaited(lambda client: shared.lab.comparing.curves(client, place, name.strip(), number, sent), _CLIENT, "Reading curves")
    if ids:
        st.session_state.pop(_ASKED, None)
        _put_beside(subject, ids)


def _put_beside(subject: Subject, ids: list[str]) -> None:
    put((*subject.ids, *(id for id in ids if id not in subject.ids)))
    st.rerun()


def _listed(shared: Services, subject: Subject) -> None:
    removed = st.session_state.get(_REMOVED)
    if removed is not None:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.info("The curves are off the list.", icon=":material/delete:")
            st.button("Undo", key="curves_undo", icon=":material/undo:", on_click=_undo, args=(shared.home, removed))
    for id, one in imported.listed(shared.home).items():
        with st.container(border=True, horizontal=True, vertical_alignment="center", key=f"curves_{id}"):
            points = sum(len(curve.step) for curve in one.curves)
            holds = f"{len(one.curves):,} curve{'' if len(one.curves) == 1 else 's'}, {points:,} point{'' if points == 1 else 's'}"
            about = f"{words.plain(one.name)} · {holds} · {words.code(one.source)} · read {words.ago(one.read_at)}"
            st.markdown(about, width="stretch")
            if id not in subject.ids:
                st.button("Compare", key=f"curves_add_{id}", type="tertiary", on_click=put, args=((*subject.ids, id),))
            if Path(one.source).exists():
                again = "Read it again: what was written since comes in"
                st.button("Read again", key=f"curves_again_{id}", type="tertiary", help=again, on_click=_ask, args=(one.source, one.name))
            st.button("Remove", key=f"curves_remove_{id}", type="tertiary", on_click=_remove, args=(shared.home, id))


def _remove(home: Home, id: str) -> None:
    imported.remove(home, id)
    st.session_state[_REMOVED] = id


def _undo(home: Home, id: str) -> None:
    imported.bring_back(home, id)
    st.session_state.pop(_REMOVED, None)
