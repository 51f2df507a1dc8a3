"""Trained weights first: where those of the chosen model can be had, and what the form sets with them, said and to be undone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import streamlit as st

from core.config import ConfigError
from core.helpers.helper import LabError
from core.machine.network import Reach
from core.networks.model_entries import ModelEntry
from core.networks.models import find_model
from pages._parts.shared import draft, layer_rules, words
from pages._parts.shared.draft import key
from pages._parts.shared.services import Services

Where = Literal["nowhere", "here", "network", "out of reach", "not known yet"]
"""Trained weights are published for no such model; on this machine; to be downloaded; neither; or nobody has found out yet."""

NETWORK = Reach("https://download.pytorch.org/models/resnet18-f37072fd.pth")
"""Where torchvision's weights lie."""

HEAD_ONLY, EVERYTHING = "head only", "train everything"

_CHOSEN, _CHANGED = "setup_chosen_weights", "setup_changed_for_weights"


@dataclass(frozen=True)
class Changed:
    """What the form has set by itself: in words, the values that it set, and those that stood there before."""

    text: str
    after: dict[str, Any]
    before: dict[str, Any]


def where(shared: Services, model: str, wait: bool = False) -> Where:
    """Where the trained weights of a model can be had. Returns at once, unless it is to `wait` for the helper that knows file names."""
    try:
        entry = find_model(model)
    except ConfigError:
        return "nowhere"
    if not entry.pretrained:
        return "nowhere"
    if entry.family.own:  # they come with Thaw
        return "here"
    if not shared.lab.ready:
        return "not known yet"
    try:
        file = shared.lab.published(entry.name) if wait else shared.lab.published_at(entry.name)
        if file is None:
            return "not known yet"
        if file.is_file():
            return "here"
    except (LabError, OSError):
        return "not known yet"
    reached = NETWORK.known()
    return "not known yet" if reached is None else "network" if reached else "out of reach"


def advised(shared: Services, model: str, dataset: str, wait: bool = False) -> Where:
    """Where trained weights can be had that help with this dataset: those that ship with Thaw know digits, and are no advice for photos."""
    try:
        shipped = find_model(model).shipped
    except ConfigError:
        return "nowhere"
    return where(shared, model, wait) if shipped is None or dataset == shipped.suits else "nowhere"


def model_chosen(shared: Services, entry: ModelEntry) -> None:
    """A model was chosen whose trained weights are here: begin from them, unless somebody has chosen otherwise. For a callback."""
    given = draft.values()
    if st.session_state.get(_CHOSEN) or given["starting_weights"] != "random" or advised(shared, entry.name, given["dataset"], wait=True) != "here":
        return
    change(f"The trained weights of {entry.label} are on this machine, so the form starts from them", starting_weights="pretrained")


def begin(shared: Services) -> None:
    """Begin a new form from trained weights where those of its model are here. Before its widgets are drawn.

    A form that somebody has filled, or a link, says what it means: only one that has nothing but defaults is begun, once in a session.
    """
    if _CHOSEN in st.session_state or draft.is_set():
        return
    given = draft.values()
    place = advised(shared, given["model"], given["dataset"])
    if place == "not known yet":
        return
    st.session_state[_CHOSEN] = False
    if place == "here":
        label = find_model(given["model"]).label
        change(f"The trained weights of {label} are on this machine, so the form starts from them", starting_weights="pretrained")


def in_url() -> dict[str, str]:
    """What the URL has to say although it is the default: that somebody has chosen random weights, so that a refresh offers no others."""
    return {"starting_weights": "random"} if st.session_state.get(_CHOSEN) and draft.values()["starting_weights"] == "random" else {}


def weights_chosen() -> None:
    """Somebody has chosen what to start from: with trained weights the head alone learns first. For the callback of that widget."""
    st.session_state[_CHOSEN] = True
    if st.session_state[key("starting_weights")] != "random":
        change("")
    elif (changed := _changed()) is not None and "freeze" in changed.before:
        draft.put(freeze=changed.before["freeze"])  # frozen layers with random weights would learn nothing
        st.session_state[_CHANGED] = None


def take() -> None:
    """Start from the trained weights that are offered. For the callback of that button."""
    st.session_state[_CHOSEN] = True
    change("The form starts from trained weights", starting_weights="pretrained")


def change(text: str, **values: Any) -> None:
    """Set `values`, and the head alone to learn where nobody has said what learns; note what there was. `text` begins what is said of it."""
    rules = layer_rules.rules()
    if rules.freeze == EVERYTHING and not rules.timeline and not rules.learning_rate_multipliers:
        values["freeze"] = HEAD_ONLY
        text = f"{text} and trains the head only" if text else "What learns was set to head only, the usual first step from trained weights"
    if not values:
        return
    before = {field: draft.values()[field] for field in values}
    draft.put(**values)
    st.session_state[_CHANGED] = Changed(f"{text}.", values, before)


def show_change() -> None:
    """What the form has set by itself, with a button that takes it back, for as long as it stands."""
    changed = _changed()
    if changed is None:
        return
    with st.container(horizontal=True, vertical_alignment="center", key="changed_for_weights"):
        st.markdown(f":material/auto_fix_high: {words.plain(changed.text)}", width="content")
        st.button("Undo", key="undo_for_weights", icon=":material/undo:", type="tertiary", on_click=_undo)


def _changed() -> Changed | None:
    changed: Changed | None = st.session_state.get(_CHANGED)
    given = draft.values()
    return changed if changed and all(given[field] == value for field, value in changed.after.items()) else None


def _undo() -> None:
    changed = _changed()
    st.session_state[_CHOSEN], st.session_state[_CHANGED] = True, None
    if changed:
        draft.put(**changed.before)
