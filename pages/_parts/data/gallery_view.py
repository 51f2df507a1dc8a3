"""The gallery of a version: look, filter, select; what is selected gets another class or split, or is left out, each as a new version."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from core.config import ConfigError
from core.config.limits import quoted
from core.data.folders import counted_pictures
from core.versions import Version, edits, shelf
from pages._parts.components.gallery import gallery
from pages._parts.data import changing, chosen, picture_routes
from pages._parts.shared import words
from pages._parts.shared.services import Services


def show(shared: Services, version: Version) -> None:
    """All pictures, or those that were handed over."""
    only = chosen.handed_over(version)
    if only is not None:
        row = st.container(horizontal=True, vertical_alignment="center")
        row.markdown(f":material/filter_alt: Only the pictures of: {words.plain(only.told)}", width="content")
        row.button("Show all pictures", key="data_all_pictures", icon=":material/filter_alt_off:", on_click=chosen.give_up)
    draw(shared, version, "data_gallery", (only.told, only.places(version)) if only else None)


def draw(shared: Services, version: Version, key: str, only: tuple[str, Sequence[int]] | None = None, own_url: bool = True) -> None:
    """The wall itself. `only`: in words, and as places in the version, what it shows; other parts may draw one below a map."""
    gallery(
        key,
        version.dataset,
        version.number,
        version.classes,
        picture_routes.list_address(version),
        lambda edit: edited(shared, version, edit),
        editable=version.number == shelf.newest(shared.home, version.dataset).number,
        chosen=only,
        own_url=own_url,
    )


def edited(shared: Services, shown: Version, edit: list[Any]) -> None:
    """Do what the browser asks for: see `components.gallery.gallery`. It speaks of the version that it has, which may be an older one."""
    try:
        what, number, places, *rest = edit
        version = shown if number == shown.number else shelf.read(shared.home, shown.dataset, int(number))
        items = [version.items[int(place)] for place in places]
    except (ConfigError, ValueError, IndexError):
        return  # a tab from before a restart: the page is drawn anew, and shows what there is
    keys = frozenset(item.key for item in items)
    many = counted_pictures(len(items))
    match what, rest:
        case "relabel", [str(label)] if label in version.classes:
            changing.change(shared, version, lambda before: edits.relabel(before, keys, label), f"{many} relabelled as {quoted(label)}.")
        case "move", [str(split)]:
            changing.change(shared, version, lambda before: edits.move(before, keys, split), f"{many} moved to {split}.")
        case "leave out", []:
            changing.change(shared, version, lambda before: edits.leave_out(before, keys), f"{many} left out.")
