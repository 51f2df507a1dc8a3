"""How a file of weights fits the model, beside its field. A helper looks at it: nobody waits, and the page is drawn anew once it has answered."""

from __future__ import annotations

import streamlit as st

from core.catalog import find_model
from core.config import ConfigError, RunConfig
from core.helpers.helper import LabError
from core.records.starting_weights import WeightsFit
from pages._parts.setup import checks, trained
from pages._parts.setup.trained import EVERYTHING, Where
from pages._parts.shared import draft, layer_rules, words
from pages._parts.shared.draft import FILE, key
from pages._parts.shared.services import Services

TICK = 0.5  # seconds between looks while something is being found out


def of_draft(shared: Services) -> tuple[WeightsFit | None, bool]:
    """How the form's file fits its model, and whether that is being looked at. (None, False) where there is no file, or nobody can look."""
    given = draft.values()
    if st.session_state[key("starting_weights")] != FILE:
        return None, False
    names = ("dataset", "model", "image_size", "starting_weights", "head_dropout", "head_hidden")
    try:
        found = checks.file_fit(shared, RunConfig(**{name: given[name] for name in names}))
    except (ConfigError, LabError):  # said where it is wrong; the run says the rest
        return None, False
    return found, found is None


def show(shared: Services, place: Where) -> None:
    """Below the field: that the file fits, that trained weights can be had, or that they cannot. What does not fit is an error, and said as one."""
    kind, model = st.session_state[key("starting_weights")], st.session_state[key("model")]
    if kind == FILE:
        found, waiting = of_draft(shared)
        if waiting:
            st.markdown(":material/hourglass_top: Looking whether the file fits the model.")
            st.fragment(_wait_for_file, run_every=TICK)(shared)
        elif found is not None and not found.error:
            st.markdown(f":material/check_circle: {words.plain(found.sentence)}")
        return
    if place == "not known yet":
        st.fragment(_wait_for_place, run_every=TICK)(shared, model)
    elif place == "out of reach":
        _out_of_reach(model, kind)
    elif place in ("here", "network") and kind == "random" and layer_rules.rules().freeze == EVERYTHING:
        _offer(model, place)


def _out_of_reach(model: str, kind: str) -> None:
    nowhere = f"Trained weights of {words.plain(find_model(model).label)} are not on this machine and the network cannot be reached"
    if kind == "pretrained":
        st.warning(f"{nowhere}: choose a file of weights, or begin from random numbers.", icon=":material/cloud_off:")
    else:
        st.caption(f":material/cloud_off: {nowhere}; a file of weights can be chosen.")


def _offer(model: str, place: Where) -> None:
    entry = find_model(model)
    whence = "are on this machine" if place == "here" else f"can be downloaded ({entry.megabytes or 0:,} MB)"
    with st.container(horizontal=True, vertical_alignment="center", gap="xsmall", key="offered_weights"):
        st.caption(f"Trained weights of {words.plain(entry.label)} {whence}.", width="content")
        st.button("Start from them, head only", key="take_trained", icon=":material/model_training:", on_click=trained.take)


def _wait_for_file(shared: Services) -> None:
    if not of_draft(shared)[1]:
        st.rerun(scope="app")


def _wait_for_place(shared: Services, model: str) -> None:
    if trained.where(shared, model) != "not known yet":
        st.rerun(scope="app")
