"""The code of the chosen model: its class and those of its layers, as Python has loaded them, linked with the tree of layers."""

from __future__ import annotations

import streamlit as st

from core.catalog import find_model
from core.config import ConfigError
from core.helpers.helper import LabError
from core.records.layers import HeadOptions
from pages._parts.components.freeze_tree.tree import LayerTable
from pages._parts.components.layer_source import layer_source
from pages._parts.shared import draft, words
from pages._parts.shared.services import Services

ABOUT = (
    "What `__init__` makes and `forward` calls, as Python has loaded it. Choose a layer here or in the tree: the class around it is shown with the "
    "lines that make and call it, and beside it the layer's own class."
)


def source_view(shared: Services, table: LayerTable) -> None:
    """An expander with the code, asked for once it is open."""
    place = st.expander("The model's own code: `__init__` and `forward`", icon=":material/data_object:", key="model_source", on_change="rerun")
    if not place.open:
        return
    given = draft.values()
    description = table.description
    with place:
        st.caption(ABOUT)
        try:
            head = HeadOptions(given["head_dropout"], given["head_hidden"])
            source = shared.lab.source(description.model, description.classes, description.image_size, head)
        except (ConfigError, LabError) as error:
            st.error(words.plain(words.refusal(error)))
            return
        layer_source(source, find_model(description.model).label, key="model_source_view")
