"""Random changes to training pictures: a preset, or steps of torchvision put together, each with its options."""

from __future__ import annotations

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.catalog import AUGMENTATIONS
from core.config import ConfigError
from core.data import steps
from core.data.augmentations import AugmentationEntry, find_augmentation
from core.data.steps import STEPS
from pages._parts.shared import draft, refusals, words
from pages._parts.shared.draft import key
from pages._parts.shared.fields import Fields, option

_STEPS, _REFUSED = key("augmentation", "steps"), key("augmentation", "refused")


def ask_augmentation(fields: Fields, place: DeltaGenerator) -> None:
    """The choice, what it does, and the editor of steps. A list of steps may also be typed."""
    chosen = str(st.session_state[key("augmentation")])
    names = [*AUGMENTATIONS, *([] if chosen in AUGMENTATIONS else [chosen])]
    with fields.field(place, "augmentation"):
        st.selectbox("Augmentation", names, key=key("augmentation"), accept_new_options=True, persist_state="session")
        fields.say("augmentation", words.plain(about()))
        with st.popover("Put steps together", icon=":material/tune:", key="augmentation_steps"):
            _editor()


def chosen_entry() -> AugmentationEntry | None:
    """What is chosen; None where it cannot be used."""
    try:
        return find_augmentation(str(st.session_state[key("augmentation")]))
    except ConfigError:
        return None


def about() -> str:
    """What is chosen does, in a sentence or two."""
    entry = chosen_entry()
    if entry is None:
        return ""
    if not entry.own:
        return entry.about
    return "; ".join(f"{step.entry.label}: {step.entry.about}" for step in entry.own)


def _editor() -> None:
    st.caption(
        "Steps of torchvision.transforms.v2 are done one after the other on each picture, drawn anew each time. Their order is that of the list."
    )
    if _STEPS not in st.session_state:
        _begin()
    picked = st.multiselect("Steps", list(STEPS), key=_STEPS, format_func=lambda name: f"{STEPS[name].label} ({name})", persist_state="session")
    for name in picked:
        entry = STEPS[name]
        st.markdown(f"**{words.plain(entry.label)}** {words.plain(entry.about)}")
        if entry.options:
            for column, given in zip(st.columns(len(entry.options)), entry.options, strict=True):
                with column:
                    option(given, _option_key(name, given.name))
    if refused := refusals.noted(_REFUSED):
        st.error(words.plain(words.sentence(refused)), icon=":material/error:")
    st.button("Use these steps", icon=":material/check:", disabled=not picked, on_click=_use)


def _begin() -> None:
    """The editor begins with the steps that are chosen."""
    entry = chosen_entry()
    own = entry.own if entry else ()
    st.session_state[_STEPS] = list(dict.fromkeys(step.entry.name for step in own))
    for step in own:
        for name, value in step.options.items():
            st.session_state[_option_key(step.entry.name, name)] = draft.shown(value)


def _use() -> None:
    refusals.forget(_REFUSED)
    try:
        made = [
            steps.step(name, {given.name: st.session_state.get(_option_key(name, given.name), given.default) for given in STEPS[name].options})
            for name in st.session_state[_STEPS]
        ]
    except ConfigError as error:
        refusals.note(_REFUSED, error.message)
        return
    st.session_state[key("augmentation")] = steps.written(made)


def _option_key(name: str, given: str) -> str:
    return key("augmentation", f"{name}_{given}")
