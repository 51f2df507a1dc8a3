"""The ways in: an archive or a folder dropped as it is, classes made on screen (files, webcam), a folder here. Then the plan."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

import streamlit as st

from core.config import ConfigError
from core.machine.paths import pasted
from core.records import telling
from core.staging import staging
from core.staging.staging import Staged
from core.versions import shelf
from pages._parts.components.picture_intake import picture_intake
from pages._parts.data import import_view, plan_view
from pages._parts.data import state as data_state
from pages._parts.shared import refusals, words
from pages._parts.shared.services import Services

WAYS: Mapping[str, str] = {
    "files": ":material/upload_file: Drop files",
    "classes": ":material/category: Make classes here",
    "folder": ":material/folder_open: A folder on this machine",
}
LAID_OUT = 60
"""Classes of a dataset that have a card at once where more pictures are brought for it."""

_WAY, _PATH, _WRONG, _SHOT, _SHOT_CLASS = "data_way", "data_path", "data_path_wrong", "data_shot", "data_shot_class"


def show(shared: Services, way: str) -> None:
    """The chosen way, and once that is asked for, what import would make of what was brought."""
    way = way if way in WAYS else "files"
    if job := data_state.get("job"):
        import_view.show(shared, job)
        return
    if add := data_state.get("add"):
        row = st.container(horizontal=True, vertical_alignment="center")
        row.markdown(f":material/add_photo_alternate: More pictures for **{words.plain(add)}**, as its next version.", width="content")
        row.button("A new dataset instead", key="data_add_not", on_click=data_state.choose, kwargs={"add": None})
    st.session_state[_WAY] = way
    st.segmented_control(
        "Way", list(WAYS), key=_WAY, format_func=lambda each: WAYS[each], required=True, label_visibility="collapsed", on_change=_chose
    )
    here = _staging(shared, way)
    if data_state.get("source") == "staging":
        st.button("Back", key="data_back_to_files", icon=":material/arrow_back:", on_click=data_state.choose, kwargs={"source": None})
        plan_view.show(shared, here)
    elif way == "folder":
        _folder(shared, here)
        _unfinished(shared, here)
    else:
        _brought(shared, way, here)


def _chose() -> None:
    data_state.choose(way=st.session_state[_WAY], staging=None, source=None)


def _brought(shared: Services, way: str, here: str) -> None:
    picture_intake(f"data_intake_{here}", here, "classes" if way == "classes" else "files", _changed)
    found = staging.staged(shared.home, here)
    if way == "classes":
        _single_shots(shared, found)
    _go_on(shared, way, found)
    _unfinished(shared, here)


def _changed() -> None:
    """Something arrived or was taken out: the page is drawn anew, and that is all."""


def _staging(shared: Services, way: str) -> str:
    """The staging of this way: that of the URL, the one that this tab began, or a new one."""
    add = data_state.get("add") or ""
    kept = f"data_staging_{way}_{add}"
    for known in (data_state.get("staging"), st.session_state.get(kept)):
        try:
            if known:
                staging.folder(shared.home, known)
                break
        except ConfigError as error:
            if known == data_state.get("staging"):
                st.warning(words.plain(words.refusal(error)), icon=":material/link_off:")
                data_state.choose(source=None)
    else:
        known = staging.begin(shared.home)
        if add and way == "classes":
            _lay_out(shared, known, add)
    st.session_state[kept] = known
    data_state.choose(staging=known)
    return str(known)


def _lay_out(shared: Services, here: str, dataset: str) -> None:
    """The classes of a dataset that more pictures are brought for, each empty still."""
    with suppress(ConfigError):  # it was deleted meanwhile: the import says so
        for name in shelf.newest(shared.home, dataset).classes[:LAID_OUT]:
            with suppress(ConfigError):  # one that no folder can be called
                staging.add_class(shared.home, here, name)


def _go_on(shared: Services, way: str, found: Staged) -> None:
    enough = found.files if way == "files" else found.pictures
    row = st.container(horizontal=True, vertical_alignment="center")
    row.button(
        "Look at what it is",
        type="primary",
        key="data_to_plan",
        icon=":material/arrow_forward:",
        disabled=not enough,
        on_click=data_state.choose,
        kwargs={"source": "staging"},
    )
    if not found.is_empty:
        row.button("Throw it away", key="data_throw", icon=":material/delete:", on_click=_throw_away, args=(shared, found.id))
    st.caption(
        f"What you bring is kept on this machine for {staging.KEPT_DAYS} days, through a refresh or a restart, until it is imported or thrown away. "
        "Nothing is sent anywhere else."
    )


def _throw_away(shared: Services, name: str) -> None:
    staging.throw_away(shared.home, name)
    data_state.choose(staging=None, source=None)


def _unfinished(shared: Services, here: str) -> None:
    """What was brought in another tab, or before."""
    others = [each for each in staging.all_of(shared.home) if each != here][:6]
    found = [each for each in (staging.staged(shared.home, name) for name in others) if not each.is_empty]
    if not found:
        return
    st.markdown("**Brought before, and not imported yet**")
    for each in found:
        row = st.container(border=True, horizontal=True, vertical_alignment="center", key=f"data_unfinished_{each.id}")
        way = "files" if each.files else "classes"
        named = f"{each.first_file}" if each.files == 1 else f"{each.files:,} files" if each.files else f"{len(each.classes):,} classes"
        pictures = f", {each.pictures:,} pictures" if each.pictures else ""
        row.markdown(words.plain(f"{named}{pictures}"), width="content")
        row.caption(f"{telling.size(each.bytes)} · {words.ago(each.changed)}", width="stretch")
        go_on = {"way": way, "staging": each.id}
        row.button("Go on", key=f"data_go_on_{each.id}", icon=":material/arrow_forward:", on_click=data_state.choose, kwargs=go_on)
        row.button("Throw away", key=f"data_throw_{each.id}", icon=":material/delete:", on_click=staging.throw_away, args=(shared.home, each.id))


def _single_shots(shared: Services, found: Staged) -> None:
    """Streamlit's own camera, a picture a press: where the burst above cannot be used."""
    box = st.expander("Single shots", icon=":material/photo_camera:", key="data_shots", on_change="rerun")
    if not box.open:
        return
    with box:
        if not found.classes:
            st.caption("Add a class first.")
            return
        st.selectbox("Class", [each.name for each in found.classes], key=_SHOT_CLASS)
        st.camera_input("A picture of the webcam", key=_SHOT, on_change=_shot, args=(shared, found.id))


def _shot(shared: Services, name: str) -> None:
    taken = st.session_state[_SHOT]
    if taken is None:
        return
    staging.bring(shared.home, name, st.session_state[_SHOT_CLASS], f"shot-{taken.file_id}.jpg", taken.getvalue())


def _folder(shared: Services, here: str) -> None:
    st.session_state.setdefault(_PATH, staging.remembered(shared.home, here).get("path", ""))
    with st.form("data_folder", border=False):
        st.text_input(
            "A folder, an archive or a table on this machine",
            key=_PATH,
            placeholder="/path/to/photos",
            help="It is only read. What is imported is copied, so the folder may go afterwards.",
        )
        st.form_submit_button("Look at what it is", icon=":material/arrow_forward:", type="primary", on_click=_take_path, args=(shared, here))
    if error := refusals.noted(_WRONG):
        st.error(words.plain(error), icon=":material/error:")


def _take_path(shared: Services, here: str) -> None:
    refusals.forget(_WRONG)
    try:
        staging.remember(shared.home, here, path=str(pasted(st.session_state[_PATH], "source")), corrections={})
    except (ConfigError, OSError) as error:
        refusals.note(_WRONG, words.refusal(error))
    else:
        data_state.choose(source="staging")
