"""Which model's frozen part says what is alike: the best that is on this machine, one that is named, or none."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from core.curating.features import AUTO, FIRST, PIXELS
from core.networks.model_entries import MODELS
from pages._parts.shared import draft

NAMES = {AUTO: "the best that is here", PIXELS: "no model, the pixels"}


def ask(key: str, about: str = "Compare by", also: Mapping[str, str] | None = None) -> str:
    """The name of a model, one of `NAMES`, or of `also` (with its text): what is chosen in the widget of this key. The form's model is among them."""
    wanted = str(st.session_state.get(draft.key("model"), ""))
    called = {**NAMES, **(also or {})}
    names = [AUTO, PIXELS, *(also or {}), *dict.fromkeys([*([wanted] if wanted in MODELS else []), "small_cnn", *FIRST])]
    if st.session_state.get(key) not in names:
        st.session_state[key] = AUTO
    return str(
        st.selectbox(
            about,
            names,
            key=key,
            format_func=lambda name: called.get(name, name),
            help="By what goes into the head of this model. Its trained weights must be on this machine: nothing is downloaded.",
            width=420,
        )
    )
