"""The versions of a dataset: what changed from one to the next, two compared with their pictures, an old one restored, which runs used which."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime

import streamlit as st

from core import versions
from core.config import ConfigError
from core.data import own
from core.store import Run
from core.versions import Difference, Item, Summary, Version, naming, shelf
from pages._parts.components import data_card as drawn
from pages._parts.data import changing, chosen, picture_routes
from pages._parts.data import state as data_state
from pages._parts.shared import words
from pages._parts.shared.services import Services

ROWS = 12
"""Versions that are listed at first."""

SHOWN = 24
"""Pictures of a kind of change that are in sight."""

LINKS = 4
"""Runs of a version that are linked."""

RUNS = 2_000
"""The newest runs among which those are looked for that used the dataset."""

_OLD, _NEW, _ALL = "data_compare_old", "data_compare_new", "data_versions_all"


def show(shared: Services, version: Version) -> None:
    """The list, and below it the comparison."""
    found = shelf.summaries(shared.home, version.dataset)
    used = used_by(shared, version.dataset)
    newest = versions.read(shared.home, version.dataset)
    for each in found if st.session_state.get(_ALL) else found[:ROWS]:
        _row(shared, each, newest, used.get(each.number, ()))
    if len(found) > ROWS and not st.session_state.get(_ALL):
        st.button(f"Show all {len(found):,} versions", key="data_versions_more", icon=":material/expand_more:", on_click=_show_all)
    if len(found) > 1:
        _compare(shared, version, found)
    else:
        st.caption("A second version appears with the first change: a picture relabelled, left out or added, a class renamed, splits made.")


def used_by(shared: Services, dataset: str) -> Mapping[int, Sequence[Run]]:
    """The runs that used each version, newest first."""
    found: dict[int, list[Run]] = defaultdict(list)
    for run in shared.store.entries(limit=RUNS):
        if not isinstance(run, Run):
            continue
        choice = own.named(run.config.dataset)
        if choice is not None and choice.number and naming.same(choice.name, dataset):
            found[choice.number].append(run)
    return found


def when(made: str) -> str:
    """An ISO 8601 time as a person reads it: '12 min ago'."""
    try:
        return words.ago(datetime.fromisoformat(made).timestamp())
    except ValueError:
        return made


def _row(shared: Services, each: Summary, newest: Version, runs: Sequence[Run]) -> None:
    with st.container(border=True, gap="xsmall", key=f"data_version_{each.number}"):
        row = st.container(horizontal=True, vertical_alignment="center")
        row.markdown(f"**Version {each.number:,}** {words.code(each.short_hash)}", width="content")
        about = f"{each.images:,} pictures · {len(each.classes):,} classes"
        row.caption(f"{words.plain(when(each.made))} · {about}", width="stretch")
        row.button("Look at it", key=f"data_look_{each.number}", icon=":material/photo_library:", on_click=_look, args=(each.number, newest.number))
        if (each.hash, each.fit) != (newest.hash, newest.fit):
            row.button(
                "Restore",
                key=f"data_restore_{each.number}",
                icon=":material/restore:",
                on_click=changing.restore,
                args=(shared, newest, each.number),
                help="Makes it the newest again, as a new version.",
            )
        st.markdown(words.plain(each.note))
        if runs:
            row = st.container(horizontal=True, vertical_alignment="center")
            row.caption("Used by", width="content")
            for run in runs[:LINKS]:
                told = words.plain(run.labels.name or run.id)
                row.page_link("train.py", label=told, icon=":material/model_training:", query_params={"run": run.id})
            if len(runs) > LINKS:
                row.caption(f"and {len(runs) - LINKS:,} more", width="content")


def _look(number: int, newest: int) -> None:
    data_state.choose(version=None if number == newest else number, part="gallery")


def _show_all() -> None:
    st.session_state[_ALL] = True


def _compare(shared: Services, version: Version, found: Sequence[Summary]) -> None:
    st.subheader("Compare two versions", anchor=False)
    numbers = [each.number for each in found]
    notes = {each.number: each.note for each in found}
    wanted = data_state.number("with")
    for key, default in ((_OLD, wanted if wanted in numbers else numbers[1]), (_NEW, version.number)):
        if st.session_state.get(key) not in numbers:
            st.session_state[key] = default
    left, right = st.columns(2)
    named = lambda number: f"Version {number:,}: {notes[number]}"  # noqa: E731
    old = left.selectbox("From", numbers, key=_OLD, format_func=named)
    new = right.selectbox("To", numbers, key=_NEW, format_func=named)
    try:
        before, after = versions.read(shared.home, version.dataset, old), versions.read(shared.home, version.dataset, new)
    except ConfigError as error:
        st.error(words.plain(words.refusal(error)), icon=":material/error:")
        return
    difference = versions.compare(before, after)
    st.markdown(words.plain(difference.sentence))
    _pictures(version.dataset, after, before, difference)


def _pictures(dataset: str, new: Version, old: Version, found: Difference) -> None:
    _kind(dataset, new, "Came", [(item, item.label) for item in found.came])
    _kind(dataset, old, "Went", [(item, item.label) for item in found.went])
    _kind(dataset, new, "Changed label", [(after, f"{before.label} → {after.label}") for before, after in found.relabelled])
    _kind(dataset, new, "Changed split", [(after, f"{before.split or 'none'} → {after.split or 'none'}") for before, after in found.moved])


def _kind(dataset: str, version: Version, title: str, pairs: Sequence[tuple[Item, str]]) -> None:
    if not pairs:
        return
    row = st.container(horizontal=True, vertical_alignment="center")
    row.markdown(f"**{words.plain(title)}** ({len(pairs):,})", width="content")
    keys = [item.key for item, _ in pairs]
    told = f"{title.lower()}, version {version.number}"
    row.button("In the gallery", key=f"data_show_{title}", icon=":material/photo_library:", on_click=_in_gallery, args=(version, keys, told))
    st.html(drawn.tiles([tile(dataset, item, label) for item, label in pairs[:SHOWN]], False))
    if len(pairs) > SHOWN:
        st.caption(f"and {len(pairs) - SHOWN:,} more")


def tile(dataset: str, item: Item, label: str) -> drawn.Tile:
    """A picture as a tile with a line below it."""
    return drawn.Tile(label, f"{item.name}: {label}", picture_routes.picture_address(dataset, item))


def _in_gallery(version: Version, keys: Sequence[str], told: str) -> None:
    chosen.hand_over(version, keys, told)
    data_state.choose(version=version.number)
