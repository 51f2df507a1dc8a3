"""Which model's frozen part says what is alike: the best that is on this machine, one that is named, or none."""

from __future__ import annotations

import streamlit as st

from core.curating.features import AUTO, FIRST, PIXELS
from core.networks.model_entries import MODELS
from pages._parts.shared import draft

NAMES = {AUTO: "the best that is here", PIXELS: "no model, the pixels"}


def ask(key: str) -> str:
    """The name of a model, or one of `NAMES`: what is chosen in the widget of this key. The form's model is among them."""
    wanted = str(st.session_state.get(draft.key("model"), ""))
    names = [AUTO, PIXELS, *dict.fromkeys([*([wanted] if wanted in MODELS else []), "small_cnn", *FIRST])]
    if st.session_state.get(key) not in names:
        st.session_state[key] = AUTO
    return str(
        st.selectbox(
            "Compare by",
            names,
            key=key,
            format_func=lambda name: NAMES.get(name, name),
            help="By what goes into the head of this model. Its trained weights must be on this machine: nothing is downloaded.",
            width=320,
        )
    )
