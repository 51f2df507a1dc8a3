"""A model's own code: the class of each layer, and in the class around it the lines that make and call it. Follows the tree of layers."""

from __future__ import annotations

import json
from pathlib import Path

import streamlit as st

from core.records.sources import ModelSource
from pages._parts.shared import assets

_component = st.components.v2.component(
    "thaw_layer_source",
    html='<div class="thaw-source"></div>\n',
    css=Path(__file__).with_name("layer_source.css").read_text(),
    js=assets.loader("layer_source.js"),
    isolate_styles=False,
)


def layer_source(source: ModelSource, label: str, key: str) -> None:
    """Show the code of a model that is called `label`, to begin with that of the model itself."""
    classes = [[each.name, each.module, each.first, each.text] for each in source.classes]
    layers = {
        path: [layer.place, [[mention.place, mention.first, mention.last, mention.use] for mention in layer.mentions], layer.note]
        for path, layer in source.layers.items()
    }
    _component(key=key, data=json.dumps({"label": label, "classes": classes, "layers": layers}, separators=(",", ":")).encode())
