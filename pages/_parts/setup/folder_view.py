"""A person's own folder on a form: how it is read, what each of the three sets holds, what is left out, and the ways to choose from."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from core import catalog
from core.config import ConfigError
from core.data.datasets import find_dataset
from core.data.layouts import Choice, Layout, LayoutQuestion, read_layout
from core.data.stock import planned
from pages._parts.shared import draft, words
from pages._parts.shared.draft import key


def look(dataset: str) -> Layout | None:
    """How a folder is read, its images counted; None for a dataset of the catalogue. Quick where nothing was changed since the last look.

    Raises:
        ConfigError: as `catalog.survey`.
    """
    path = find_dataset(dataset).name.partition(":")[2]
    if not path:
        return None
    found = _counted(dataset, read_layout(path).stamp())
    if isinstance(found, ConfigError):
        raise found
    return found


@st.cache_data(ttl=60, max_entries=32, show_spinner="Looking through the folder")
def _counted(dataset: str, stamp: int) -> Layout | ConfigError | None:
    """A refusal is kept like an answer: to find that a class is empty takes as long as to count it."""
    try:
        return catalog.survey(dataset)
    except ConfigError as error:
        return error


def show() -> None:
    """Below the box of the path: what the draft's folder gives, or what can be chosen where it can be read in several ways."""
    given = draft.values()
    try:
        layout = look(given["dataset"])
    except LayoutQuestion as question:
        _choices(question.root, question.choices, "Take it so:")
        return
    except ConfigError:  # said below the box, with everything else that is wrong
        return
    if layout is None:
        return
    said = [layout.sentence, _planned(layout, given["validation_share"]), *(left.sentence for left in layout.left_out)]
    for line in filter(None, said):
        st.caption(words.plain(line))
    _choices(str(layout.root), layout.choices, "Instead:")


def _planned(layout: Layout, validation_share: object) -> str:
    """How many images each of the three sets will hold."""
    if layout.counts is None or not isinstance(validation_share, int | float) or not 0 <= validation_share < 1:
        return ""
    train, validation, test = planned(layout, validation_share)
    return f"{train:,} images train, {validation:,} measure progress and {test:,} test it, if all can be read."


def _choices(root: str, choices: Sequence[Choice], before: str) -> None:
    for number, choice in enumerate(choices):
        label = words.plain(f"{before} {choice.meaning}")
        st.button(label, key=f"layout_choice_{number}", type="tertiary", icon=":material/rule_folder:", on_click=_choose, args=(root, choice.spec))


def _choose(root: str, spec: str) -> None:
    st.session_state[key("dataset", "path")] = f"{root}::{spec}"
