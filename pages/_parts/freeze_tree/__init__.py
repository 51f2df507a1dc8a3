"""The freeze editor: a model's layers as a tree with a switch each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import streamlit as st

from core.layers import ModelDescription
from pages._parts import assets
from pages._parts.freeze_tree.tree import rows

_component = st.components.v2.component(
    "thaw_freeze_tree",
    html='<div class="thaw-tree"></div>\n',
    css=Path(__file__).with_name("freeze_tree.css").read_text(),
    js=assets.loader("freeze_tree.js"),
    isolate_styles=False,
)


def freeze_tree(description: ModelDescription, frozen: frozenset[str], revision: int, key: str, on_toggle: Callable[[], None]) -> None:
    """Show the layers of a model with the parameters `frozen` switched on.

    A toggle calls `on_toggle`, which finds `{"path": ..., "freeze": bool}` in `st.session_state[key].toggled`. The browser paints a
    toggle at once; a new `revision` makes it take over the state given here, also when a toggle was refused.
    """
    table = [
        [row.path, row.name, row.level, row.group, row.kind, " x ".join(map(str, row.shape)), row.count, row.frozen]
        for row in rows(description, frozen)
    ]
    data = {"model": f"{description.model}/{description.classes}", "rows": table, "revision": revision}
    _component(key=key, data=data, on_toggled_change=on_toggle)
