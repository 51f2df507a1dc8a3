"""The freeze editor: a model's layers as a tree with a switch each and, where there is room, as a treemap that toggles too."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import streamlit as st

from pages._parts.components.freeze_tree.tree import LayerTable
from pages._parts.shared import assets, outbox

# Rows and looks are the same for every state of a model, so they come by a component of their own: Streamlit sends an unchanged
# message of some size to a browser once. What a toggle sends is one character a layer.
_rows = st.components.v2.component(
    "thaw_layer_rows",
    html="<div></div>",
    css=Path(__file__).with_name("freeze_tree.css").read_text(),
    js=assets.loader("freeze_tree.js", mount="take"),
    isolate_styles=False,
)
_tree = st.components.v2.component(
    "thaw_freeze_tree",
    html='<div class="thaw-layers"></div>\n',
    js=assets.loader("freeze_tree.js", "outbox.js", "treemap.js"),
    isolate_styles=False,
)


def freeze_tree(
    table: LayerTable,
    frozen: frozenset[str],
    key: str,
    on_toggle: Callable[[], None],
    treemap: bool = False,
    on_settled: Callable[[], None] | None = None,
) -> None:
    """Show the layers of a model with the parameter tensors `frozen` switched on.

    A toggle calls `on_toggle`, which finds what was toggled with `toggles(key)`. The browser paints a toggle at once; the state given
    here after that is the truth, also when a toggle was refused. `on_settled` is called once toggles have been answered and no other
    came: the time to draw what follows from them, where this is a fragment by itself.
    """
    leaves = [row for row in table.rows if not row.group]
    counts = {parameter.name: parameter.count for parameter in table.description.parameters}
    partly = [
        (place, sum(counts[name] for name in row.tensors if name in frozen)) for place, row in enumerate(leaves) if row.state(frozen) == "mixed"
    ]
    acknowledged = outbox.acknowledged(key)
    data: dict[str, Any] = {
        "key": table.key,
        "states": table.states(frozen),
        "partly": partly,
        "map": treemap,
        "settles": on_settled is not None,
        "acknowledged": acknowledged,
        "revision": f"{acknowledged[0]} {acknowledged[1]}",
    }
    with st.container(gap=None):
        _rows(key=f"{key}_rows", data=table.message, height=1)
        _tree(key=key, data=data, on_toggled_change=on_toggle, on_settled_change=on_settled or _nothing)


def _nothing() -> None:
    """Streamlit wants a callback for each event."""


def toggles(key: str) -> list[tuple[str, bool]]:
    """What has been toggled since the last call, oldest first: (path of a module or parameter, whether to freeze it). For `on_toggle`."""
    return [(path, freeze) for path, freeze in outbox.received(key, "toggled")]
