"""The timeline editor: blocks x epochs, frozen or learning, and a learning-rate multiplier for each block."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from pages._parts.components.freeze_tree.tree import LayerTable
from pages._parts.components.timeline_editor.grid import Stretch, cells, columns
from pages._parts.shared import assets, outbox

_component = st.components.v2.component(
    "thaw_timeline_editor",
    html='<div class="thaw-timeline"></div>\n',
    css=Path(__file__).with_name("timeline_editor.css").read_text(),
    js=assets.loader("timeline_editor.js", "outbox.js"),
    isolate_styles=False,
)


@dataclass(frozen=True)
class Painted:
    """Blocks that shall be frozen, or learn, in the epochs `first` to `last`; None: to the end."""

    paths: tuple[str, ...]
    first: int
    last: int | None
    frozen: bool


@dataclass(frozen=True)
class Factor:
    """The learning-rate multiplier that a block shall have; None: 1."""

    path: str
    factor: float | None


def timeline_editor(
    table: LayerTable,
    course: Sequence[Stretch],
    epochs: int,
    factors: Mapping[str, tuple[float, ...]],
    learning_rate: float | None,
    key: str,
    on_edit: Callable[[], None],
) -> None:
    """Show what is frozen when and how fast each block learns.

    An edit calls `on_edit`, which finds it with `edits(key)`. The browser paints an edit at once; what is given here after that is
    the truth, also when an edit was refused.

    Args:
        course: what is frozen when, as `grid.stretches` works it out.
        factors: the different multipliers within each block of `table`, as `grid.block_factors` works them out.
        learning_rate: what they multiply; None where it cannot be used.
        key: of the component.
        on_edit: called in its callback.
    """
    spans = columns(epochs)
    count = {parameter.name: parameter.count for parameter in table.description.parameters}
    rows = [
        {
            "path": path,
            "count": sum(count[name] for name in names),
            "cells": cells(course, names, spans),
            "factors": factors.get(path, (1.0,)),
        }
        for path, names in table.blocks.items()
    ]
    data = {"rows": rows, "columns": spans, "rate": learning_rate, "acknowledged": outbox.acknowledged(key)}
    _component(key=key, data=data, on_edited_change=on_edit)


def edits(key: str) -> list[Painted | Factor]:
    """What has been edited since the last call, oldest first. For `on_edit`."""
    found: list[Painted | Factor] = []
    for kind, *edit in outbox.received(key, "edited"):
        if kind == "factor":
            path, factor = edit
            found.append(Factor(path, factor))
        else:
            paths, first, last, frozen = edit
            found.append(Painted(tuple(paths), first, last, frozen))
    return found
