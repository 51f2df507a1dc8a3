"""One dataset: what it is called and holds, what was done last and the way back, and its parts, of which the open one is worked out."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import streamlit as st

from core import versions
from core.config import ConfigError
from core.config.limits import quoted
from core.importing import keeping
from core.versions import Version
from core.versions import bin as dataset_bin
from pages._parts.data import (
    balance,
    changing,
    classes_view,
    doubts,
    duplicates,
    gallery_view,
    loader_view,
    map,
    report_view,
    splits_view,
    versions_view,
)
from pages._parts.data import state as data_state
from pages._parts.shared import asking, draft, words
from pages._parts.shared.services import Services

# By their name in the URL.
PARTS: Mapping[str, tuple[str, Callable[[Services, Version], None]]] = {
    "gallery": (":material/photo_library: Gallery", gallery_view.show),
    "classes": (":material/category: Classes", classes_view.show),
    "splits": (":material/call_split: Splits", splits_view.show),
    "balance": (":material/bar_chart: Statistics", balance.show),
    "duplicates": (":material/content_copy: Duplicates", duplicates.show),
    "map": (":material/scatter_plot: Map", map.show),
    "doubts": (":material/help: Doubted labels", doubts.show),
    "versions": (":material/history: Versions", versions_view.show),
    "loader": (":material/view_module: Dataset and DataLoader", loader_view.show),
    "report": (":material/fact_check: Import report", report_view.show),
}
_PART, _GONE = "data_part", "data_gone"


def show(shared: Services, name: str) -> None:
    """Everything of the dataset `name`; where there is none, that is said."""
    try:
        newest = versions.read(shared.home, name)
        number = data_state.number("version")
        version = newest if number in (None, newest.number) else versions.read(shared.home, name, number)
    except ConfigError as error:
        st.error(words.plain(words.refusal(error)), icon=":material/link_off:")
        return
    _head(shared, version, newest)
    with st.container():  # there always: what moved down would be mounted anew, and a gallery forget where it was
        _done_last(shared, version, newest)
    part = data_state.get("part")
    if part is not None and part not in PARTS:
        st.warning(f"The link asks for the part {words.plain(quoted(part))}, which there is not; this is the gallery.", icon=":material/link_off:")
    st.session_state[_PART] = part if part in PARTS else "gallery"
    st.segmented_control(
        "Part", list(PARTS), key=_PART, format_func=lambda each: PARTS[each][0], required=True, label_visibility="collapsed", on_change=_chose_part
    )
    with st.container():
        PARTS[st.session_state[_PART]][1](shared, version)


def _done_last(shared: Services, version: Version, newest: Version) -> None:
    changing.refusal()
    if version.number == newest.number:
        changing.undo_bar(shared, newest)
        return
    row = st.container(horizontal=True, vertical_alignment="center")
    row.info(f"This is version {version.number:,}; the newest is {newest.number:,}. An older version stays as it is.", icon=":material/history:")
    row.button("To the newest", key="data_newest", icon=":material/update:", on_click=data_state.choose, kwargs={"version": None})


def _chose_part() -> None:
    chosen = st.session_state[_PART]
    changing.forget_refusal()
    data_state.choose(part=None if chosen == "gallery" else chosen)


def _head(shared: Services, version: Version, newest: Version) -> None:
    row = st.container(horizontal=True, vertical_alignment="center")
    row.subheader(words.plain(version.dataset), anchor=False, width="stretch")
    named = f"own:{version.dataset}" + ("" if version.number == newest.number else f"@{version.number}")
    row.page_link("train.py", label="Train on it", icon=":material/model_training:", query_params=draft.on_dataset(named, version.fit))
    row.button(
        "Add pictures",
        key="data_add",
        icon=":material/add_photo_alternate:",
        on_click=_add,
        args=(version.dataset,),
    )
    if row.button("Delete", key="data_delete", icon=":material/delete:"):
        _ask_delete(shared, version.dataset)
    splits = ", ".join(f"{sum(counts):,} {split or 'not split yet'}" for split, counts in version.counts.items())
    classes = f"{len(version.classes):,} {'class' if len(version.classes) == 1 else 'classes'}"
    st.caption(
        f"Version {version.number:,} ({words.code(version.short_hash)}) · {len(version.items):,} pictures · {classes}: "
        f"{words.plain(classes_view.listed(version.classes))} · {words.plain(splits)}"
    )


def _add(name: str) -> None:
    data_state.only(way="classes", add=name)


def _ask_delete(shared: Services, name: str) -> None:
    """Delete it: at once where no run would miss it, since that can be undone; else after a question."""
    using = keeping.users(shared.store, name)
    said = using.sentence
    if not said or using.active:  # refused, where a run that goes on uses it
        delete(shared, name)
        st.rerun()

    def question() -> None:
        st.markdown(words.plain(said))

    asking.ask("Delete this dataset?", question, "Delete it", ":material/delete:", delete, shared, name)


def delete(shared: Services, name: str) -> None:
    """Put a dataset into the bin. For callbacks."""
    try:
        keeping.delete(shared.home, shared.store, name)
    except (ConfigError, OSError) as error:
        changing.refuse(error)
        return
    st.session_state[_GONE] = (name, "")
    data_state.only()


def deleted(shared: Services) -> None:
    """Say what was deleted last, with the way back, or why it could not be brought back."""
    found = st.session_state.get(_GONE)
    if not found or asking.is_open():
        return
    name, why = found
    if why:
        st.error(words.plain(why), title="It was not brought back", icon=":material/error:")
        return
    row = st.container(horizontal=True, vertical_alignment="center", key="data_deleted")
    row.markdown(f":material/delete: {words.plain(name)} lies in the bin.", width="content")
    row.button("Undo", key="data_undelete", icon=":material/undo:", on_click=undelete, args=(shared, name))


def undelete(shared: Services, name: str) -> None:
    """Bring a dataset back out of the bin, and open it. For callbacks."""
    try:
        back = dataset_bin.undelete(shared.home, name)
    except (ConfigError, OSError) as error:
        st.session_state[_GONE] = (name, words.refusal(error))
        return
    st.session_state.pop(_GONE, None)
    data_state.only(dataset=f"own:{back}")
