"""Curves of other programs: read from this machine's disk or sent by the browser, kept, and put beside the runs."""

from __future__ import annotations

import tempfile
from pathlib import Path

import streamlit as st

from core.comparing import imported
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
"""MB of one file that a browser sends; larger ones are read from the disk."""


def show(shared: Services, subject: Subject) -> None:
    """What was imported of those compared, with what could not be read of it; and below it a part that imports more."""
    for one in subject.found.imported.values():
        for said in one.said:
            st.warning(f"{words.plain(one.name)}: {words.plain(said)}", icon=":material/healing:")
    with st.expander("Curves from elsewhere", icon=":material/upload_file:", key="compare_import"):
        st.caption(
            "A folder of TensorBoard event files, or a CSV file with a column for the step. They are read and kept; the files stay as they are."
        )
        left, right = st.columns(2, vertical_alignment="bottom")
        path = left.text_input("Path on this machine", key="curves_path", placeholder="~/runs/experiment, or metrics.csv")
        name = right.text_input("Call it", key="curves_name", max_chars=LONGEST_NAME, placeholder="As the folder or file is called")
        st.button("Read", key="curves_read", icon=":material/download:", disabled=not path.strip(), on_click=_ask, args=(path, name))
        sent = st.file_uploader(
            "Or send a CSV file from this browser", ["csv", "tsv", "txt"], accept_multiple_files=False, key=f"curves_sent_{_number()}",
            max_upload_size=LARGEST_UPLOAD, help="Of event files, give the path of their folder.",
        )  # fmt: skip
        if sent is not None:
            _keep_sent(shared.home, subject, sent.name, sent.getvalue(), name)
        _listed(shared, subject)
    asked = st.session_state.get(_ASKED)
    if asked is not None:
        _read(shared, subject, *asked)


def _number() -> int:
    return int(st.session_state.get(_NUMBER, 0))


def _ask(path: str, name: str) -> None:
    st.session_state[_NUMBER] = _number() + 1
    st.session_state[_ASKED] = (path, name, _number())


def _read(shared: Services, subject: Subject, path: str, name: str, number: int) -> None:
    try:
        place = str(pasted(path, "curves"))
    except ConfigError as error:
        st.error(words.plain(words.refusal(error)), icon=":material/error:")
        return
    ids = awaited(lambda client: shared.lab.comparing.curves(client, place, name.strip(), number), _CLIENT, "Reading curves")
    if ids:
        st.session_state.pop(_ASKED, None)
        _put_beside(subject, ids)


def _keep_sent(home: Home, subject: Subject, file: str, content: bytes, name: str) -> None:
    """Curves from a file that the browser sent: it is small, so it is read here and now."""
    with tempfile.TemporaryDirectory(prefix="thaw-curves-") as folder:
        path = Path(folder) / (Path(file.replace("\\", "/")).name[-LONGEST_NAME:] or "curves.csv")
        path.write_bytes(content)
        try:
            found = imported.read(path, name.strip())
        except ConfigError as error:
            st.error(words.plain(words.refusal(error)), icon=":material/error:")
            return
    st.session_state[_NUMBER] = _number() + 1  # the field is empty again
    _put_beside(subject, imported.keep(home, [imported.sent(one, file) for one in found]))


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
            about = (
                f"{words.plain(one.name)} · {len(one.curves):,} curves, {points:,} points · {words.code(one.source)} · read {words.ago(one.read_at)}"
            )
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
