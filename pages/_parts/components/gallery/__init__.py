"""The gallery: all pictures of a version as a wall that scrolls, filtered and selected in the browser. Only what is in sight exists there.

Its list of pictures comes by an address of its own (`pages._parts.data.picture_routes`), which a browser keeps: 60,000 of them travel once.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import streamlit as st

from pages._parts.shared import assets, outbox

_component = st.components.v2.component(
    "thaw_gallery",
    html='<div class="thaw-gallery"></div>\n',
    css=Path(__file__).with_name("gallery.css").read_text(),
    js=assets.loader("gallery.js", "outbox.js"),
    isolate_styles=False,
)


def gallery(
    key: str,
    dataset: str,
    number: int,
    classes: Sequence[str],
    list_address: str,
    on_edit: Callable[[list[Any]], None],
    editable: bool = True,
    chosen: tuple[str, Sequence[int]] | None = None,
    own_url: bool = True,
) -> None:
    """Draw it.

    Args:
        number: of the version; what is sent back speaks of its pictures by their places in it.
        list_address: where the browser gets its list of pictures.
        on_edit: called in a callback with each edit: ["relabel", number, places, class], ["move", number, places, split],
            ["leave out", number, places].
        editable: False for a version that is not the newest.
        chosen: what is shown alone, in words and as places in the version; None: all.
        own_url: whether its filters stand in the address of the page.
    """

    def edited() -> None:
        for edit in outbox.received(key, "edited"):
            on_edit(edit)

    only = {"told": chosen[0], "places": list(chosen[1])} if chosen else None
    data = {
        "dataset": dataset,
        "number": number,
        "classes": list(classes),
        "list": list_address,
        "editable": editable,
        "only": only,
        "ownUrl": own_url,
        "acknowledged": outbox.acknowledged(key),
    }
    _component(key=key, data=json.dumps(data, separators=(",", ":")).encode(), on_edited_change=edited)
