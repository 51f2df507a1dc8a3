"""What finds faults in data draws in the browser: doubles side by side, the wall of doubted labels, and the map of all pictures with its lasso.

Pictures and the list of a version come by addresses of their own (`pages._parts.data.picture_routes`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import streamlit as st

from pages._parts.shared import assets, outbox

_FOLDER = Path(__file__).parent

Edit = Callable[[list[Any]], None]


def _component(name: str, place: str, *needs: str) -> Callable[..., Any]:
    return st.components.v2.component(
        f"thaw_{name}",
        html=f'<div class="{place}"></div>\n',
        css=(_FOLDER / f"{name}.css").read_text(),
        js=assets.loader(f"{name}.js", "elements.js", *needs),
        isolate_styles=False,
    )


_DOUBLES = _component("doubles", "thaw-doubles", "outbox.js")
_DOUBTS = _component("doubt_wall", "thaw-doubts", "outbox.js")
_MAP = _component("picture_map", "thaw-picture-map", "embedding_map.js")


def doubles(key: str, label: str, number: int, groups: Sequence[dict[str, Any]], on_edit: Edit) -> None:
    """Groups of pictures that are one.

    Args:
        number: of the version that they are of.
        groups: each with `at` (what is sent back), `title`, `sameness`, `pictures` (address, name, label, about, few), `more` (how many are not
            drawn) and `does`: name, label and explanation of each mend.
        on_edit: called in a callback with ["mend", number, name, at].
    """
    _DOUBLES(
        key=key,
        data=_data(label=label, number=number, groups=groups, acknowledged=outbox.acknowledged(key)),
        on_edited_change=_received(key, on_edit),
    )


def doubt_wall(
    key: str, dataset: str, number: int, classes: Sequence[str], doubts: Sequence[dict[str, Any]], rounds: int, editable: bool, on_edit: Edit
) -> None:
    """The doubted labels.

    Args:
        doubts: each with `place` in the version, `address`, `name`, `label` (number of its class), `probability`, `guesses` (number of a class,
            probability), `rounds`, `few` (whether it has few pixels) and `said`: the number of the class that a person gave it, or None.
        rounds: how many there were.
        on_edit: called in a callback with ["say", number, place, number of a class or None].
    """
    data = _data(
        dataset=dataset, number=number, classes=list(classes), doubts=doubts, rounds=rounds, editable=editable, acknowledged=outbox.acknowledged(key)
    )
    _DOUBTS(key=key, data=data, on_edited_change=_received(key, on_edit))


def picture_map(
    key: str, label: str, dataset: str, classes: Sequence[str], list_address: str, across: str, up: str, missing: Sequence[int], gallery: str
) -> None:
    """The map of a version.

    Args:
        list_address: where the browser gets the list of the version's pictures.
        across, up: int16, little-endian, in base64, one number for each picture.
        missing: places of pictures that have none on the map.
        gallery: a CSS selector of what the gallery lies in that shows what is chosen.
    """
    data = _data(label=label, dataset=dataset, classes=list(classes), list=list_address, across=across, up=up, missing=list(missing), gallery=gallery)
    _MAP(key=key, data=data)


def _received(key: str, on_edit: Edit) -> Callable[[], None]:
    def edited() -> None:
        for edit in outbox.received(key, "edited"):
            on_edit(edit)

    return edited


def _data(**fields: Any) -> bytes:
    return json.dumps(fields, separators=(",", ":")).encode()
