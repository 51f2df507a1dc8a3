"""All datasets: one's own as cards with pictures, the catalogue's with what they are and on what terms, and the bin."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from itertools import islice

import streamlit as st

from core import versions
from core.config import ConfigError
from core.data import on_disk
from core.data.datasets import DATASETS, FOLDER, DatasetEntry
from core.machine.files import size_of
from core.machine.home import Home
from core.records import telling
from core.versions import Item, Summary, shelf
from core.versions import bin as dataset_bin
from pages._parts.components import data_card as drawn
from pages._parts.data import downloading, import_view, one, versions_view
from pages._parts.data import state as data_state
from pages._parts.setup.looking import Looks
from pages._parts.shared import asking, draft, words
from pages._parts.shared.places import alone
from pages._parts.shared.services import Services
from pages._parts.shared.store_told import careful

TASTE = 4
"""Pictures on a card."""

CARDS = 24
"""Cards of one's own datasets that are drawn at first."""

TICK = 0.5
"""Seconds between looks at what is being found out."""

_ALL = "data_cards_all"


@dataclass(frozen=True)
class _Facts:
    """Some pictures of a dataset, and the bytes that all of its versions take."""

    taste: tuple[Item, ...]
    size: int


_seen: Looks[_Facts] = Looks(at_most=0.3)


def show(shared: Services) -> None:
    """One's own first: they are what most come for."""
    one.deleted(shared)
    import_view.going_on(shared)
    names = versions.names(shared.home)
    st.subheader("Your datasets", anchor=False)
    if not names:
        st.info(
            "None yet. Bring pictures in: a zip or a folder dragged here, classes that you make on screen, your webcam, or a folder on this machine. "
            "They stay on this machine.",
            icon=":material/add_photo_alternate:",
        )
        st.button("Bring pictures in", type="primary", key="data_bring", icon=":material/add_photo_alternate:", on_click=_bring)
    shown = names if st.session_state.get(_ALL) else names[:CARDS]
    columns = st.columns(2, gap="medium") if shown else []
    for place, name in enumerate(shown):
        with columns[place % 2]:
            _own_card(shared, name)
    if len(shown) < len(names):
        st.button(f"Show all {len(names):,}", key="data_cards_more", icon=":material/expand_more:", on_click=_show_all)
    st.subheader("The catalogue", anchor=False)
    st.caption("Known datasets. What is not on disk yet is downloaded once, checked, and kept for all runs.")
    columns = st.columns(2, gap="medium")
    entries = [entry for entry in DATASETS.values() if entry.name != FOLDER and entry.classes]
    for place, entry in enumerate(entries):
        with columns[place % 2]:
            _catalogue_card(shared, entry)
    _bin(shared)


def _bring() -> None:
    data_state.only(way="classes")


def _show_all() -> None:
    st.session_state[_ALL] = True


def _own_card(shared: Services, name: str) -> None:
    with st.container(border=True, gap="xsmall", key=f"data_own_{name}"):
        try:
            newest = shelf.newest(shared.home, name)
        except ConfigError as error:
            st.markdown(f"**{words.plain(name)}**")
            st.error(words.plain(words.refusal(error)), icon=":material/error:")
            return
        row = st.container(horizontal=True, vertical_alignment="center")
        row.markdown(f"**{words.plain(name)}**", width="stretch")
        row.button("Open", key=f"data_open_{name}", icon=":material/photo_library:", on_click=_open, args=(name,))
        row.page_link("train.py", label="Train on it", icon=":material/model_training:", query_params=draft.on_dataset(f"own:{name}", newest.fit))
        known = _seen.knows(_key(shared, newest))
        alone(_look_of, shared, newest, known, every=None if known else TICK)


def _key(shared: Services, newest: Summary) -> tuple[object, ...]:
    return shared.home, newest.dataset, newest.number, newest.hash


def _look_of(shared: Services, newest: Summary, known: bool) -> None:
    """Some pictures of a dataset, and its figures: the first look at 60,000 pictures takes a second, in which the page is there already."""
    found = _seen.ask(_key(shared, newest), lambda before: _find(shared.home, newest), steady=True)
    if found is None:
        st.html(drawn.waiting(TASTE))
    else:
        st.html(drawn.tiles([versions_view.tile(newest.dataset, item, item.label) for item in found.taste], False))
    size = f" · {telling.size(found.size)}" if found else ""
    count = f"{newest.images:,} pictures · {len(newest.classes):,} classes{size} · version {newest.number:,}"
    st.caption(f"{count} · {words.plain(versions_view.when(newest.made))}: {words.plain(newest.note)}")
    if found is not None and not known:
        st.rerun(scope="app")  # once more, and then without a clock


def _find(home: Home, newest: Summary) -> _Facts:
    try:
        taste = _taste(versions.read(home, newest.dataset, newest.number).items)
    except ConfigError:  # opening it says why
        taste = []
    return _Facts(tuple(taste), size_of(home.datasets / newest.dataset / "pictures"))


def _open(name: str) -> None:
    data_state.only(dataset=f"own:{name}")


def _taste(items: tuple[Item, ...]) -> list[Item]:
    """Some pictures, of as many classes as there is room for."""
    first = {item.label: item for item in reversed(items)}
    chosen = list(first.values())[::-1][:TASTE]
    return [*chosen, *islice((item for item in items if item not in chosen), TASTE - len(chosen))]


def _catalogue_card(shared: Services, entry: DatasetEntry) -> None:
    with st.container(border=True, gap="xsmall", key=f"data_entry_{entry.name}"):
        here = _is_here(shared, entry)
        row = st.container(horizontal=True, vertical_alignment="center")
        row.markdown(f"**{words.plain(entry.label)}**", width="stretch")
        where = "needs no download" if not entry.megabytes else "on disk" if here else f"{entry.megabytes:,} MB to download"
        row.badge(words.plain(where), icon=":material/check:" if here else ":material/cloud_download:", color="green" if here else "gray")
        row.page_link("train.py", label="Train on it", icon=":material/model_training:", query_params={draft.SET_UP: "1", "dataset": entry.name})
        st.markdown(words.plain(entry.about))
        side = f" of {entry.pixels:,} x {entry.pixels:,} px" if entry.pixels else ""
        pictures = f"{entry.train_images + entry.test_images:,} pictures{side}"
        st.caption(f"{pictures} · {len(entry.classes or ()):,} classes · {words.plain(entry.terms)}")
        if entry.megabytes:
            downloading.offer(shared, entry, here)


def _is_here(shared: Services, entry: DatasetEntry) -> bool:
    return entry.megabytes == 0 or on_disk.is_here(entry.name, shared.home.data) or bool(entry.on_disk and entry.on_disk(shared.home.data))


def _bin(shared: Services) -> None:
    st.subheader("Bin", anchor=False)
    found = dataset_bin.binned(shared.home)
    if not found:
        st.caption("The bin is empty. What is deleted comes here first, and can be brought back.")
        return
    total = sum(each.size for each in found)
    row = st.container(horizontal=True, vertical_alignment="center")
    row.caption(f"{len(found):,} {'dataset' if len(found) == 1 else 'datasets'}, {telling.size(total)}.", width="stretch")
    if row.button(f"Empty the bin ({telling.size(total)})", key="data_empty_bin", icon=":material/delete_forever:"):
        _ask_empty(shared, len(found), total)
    for number, each in enumerate(found):
        with st.container(border=True, horizontal=True, vertical_alignment="center", key=f"data_bin_{number}"):
            st.markdown(f"**{words.plain(each.name)}**", width="content")
            since = words.ago(datetime.fromisoformat(each.deleted).timestamp())
            st.caption(f"deleted {since} · {telling.size(each.size)}", width="stretch")
            st.button("Restore", key=f"data_back_{number}", icon=":material/restore_from_trash:", on_click=one.undelete, args=(shared, each.name))


def _ask_empty(shared: Services, count: int, total: int) -> None:
    def question() -> None:
        what = "dataset is" if count == 1 else "datasets are"
        st.markdown(f"{count:,} {what} removed from the disk, with all versions: {telling.size(total)}.")
        st.warning("Nothing brings them back. A run that used them keeps its weights, and cannot be run again.", icon=":material/warning:")

    asking.ask("Empty the bin?", question, "Empty it", ":material/delete_forever:", careful(_empty), shared)


def _empty(shared: Services) -> None:
    try:
        freed = dataset_bin.purge(shared.home)
    except OSError as error:
        st.toast(words.plain(f"Not all of it could be removed ({error.strerror})"), icon=":material/error:", duration="long")
    else:
        st.toast(f"{telling.size(freed)} are free", icon=":material/delete_forever:")
