"""Another model was chosen: what the draft says about layers that it does not have goes, and each thing that went is named."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import streamlit as st

from core import catalog
from core.catalog import find_model
from core.config import ConfigError, RunConfig
from core.config.plans import Multipliers
from core.helpers.helper import LabError
from core.records.layers import PLAIN_HEAD, check_timeline, frozen_parameters, multipliers_by_parameter
from pages._parts.components.freeze_tree.tree import LayerTable
from pages._parts.setup import checks
from pages._parts.setup.trained import model_chosen
from pages._parts.shared import draft, layer_rules, words
from pages._parts.shared.draft import key
from pages._parts.shared.layer_rules import Desk
from pages._parts.shared.services import Services

_NOTES = "setup_model_notes"
_ANY = 10  # classes, where the dataset cannot be asked: they change no layer's name


@dataclass(frozen=True)
class Noted:
    """What was dropped, in Markdown, and the values that the form held then."""

    given: dict[str, Any]
    said: list[str]


def suit_model(shared: Services) -> None:
    """Fit the draft to the model that has just been chosen. For the callback of its widget."""
    given = draft.values()
    try:
        entry = find_model(given["model"])
        table = checks.layer_table(shared.lab, entry.name, _classes(shared, given["dataset"]), entry.usual, PLAIN_HEAD)
    except (ConfigError, LabError):
        return  # said elsewhere
    model_chosen(shared, entry)
    desk = layer_rules.desk()
    parts = (_plan, _multipliers, _timeline, _head)
    said = [f"{words.plain(entry.label)} {note}" for part in parts for note in part(desk, table)]
    st.session_state[_NOTES] = Noted(draft.values(), said)


def notes() -> None:
    """Say what was dropped when the model changed, until something else is: a page that waits for an answer is drawn several times."""
    noted: Noted | None = st.session_state.get(_NOTES)
    if noted is None or noted.given != draft.values():
        st.session_state.pop(_NOTES, None)
        return
    for note in noted.said:
        st.warning(note, icon=":material/info:")


def _classes(shared: Services, dataset: str) -> int:
    try:
        return len(catalog.class_names(dataset, shared.home.data))
    except ConfigError:
        return _ANY


def _refused(look: Callable[..., object], *arguments: object) -> bool:
    try:
        look(*arguments)
    except ConfigError:
        return True
    return False


# Each drops from the draft what does not fit, and says so. What is no rule at all stays: the error beside its widget says why.


def _plan(desk: Desk, table: LayerTable) -> Iterator[str]:
    if _refused(desk.rules.plan):
        return
    plan = desk.rules.plan()
    if _refused(frozen_parameters, plan, table.description.parameters):
        desk.put(freeze=plan.preset)
        yield f"has other layers, so the rules {words.code(str(plan))} were dropped; {words.code(plan.preset)} is left."


def _multipliers(desk: Desk, table: LayerTable) -> Iterator[str]:
    try:
        given = RunConfig(learning_rate_multipliers=desk.rules.learning_rate_multipliers).learning_rate_multipliers
    except ConfigError:
        return
    parameters = table.description.parameters
    gone = [rule for rule in given.rules if _refused(multipliers_by_parameter, Multipliers(rules=(rule,)), parameters)]
    if gone:
        desk.put(learning_rate_multipliers=str(Multipliers(rules=tuple(rule for rule in given.rules if rule not in gone))))
        yield f"has other layers, so the learning-rate multipliers {words.code(', '.join(gone))} were dropped."


def _timeline(desk: Desk, table: LayerTable) -> Iterator[str]:
    text = desk.rules.timeline
    if not _refused(desk.rules.config) and _refused(check_timeline, desk.rules.config(), table.description.parameters):
        desk.put(timeline="")
        yield f"has other layers, so the timeline {words.code(text)} was dropped."


def _head(_desk: Desk, table: LayerTable) -> Iterator[str]:
    state = st.session_state
    wanted = state[key("head_dropout")] or state[key("head_hidden")] is not None
    if wanted and not any(head.options for head in table.description.head):
        state[key("head_dropout")], state[key("head_hidden")] = 0.0, None
        yield "takes neither dropout nor a hidden layer in its head, so both were dropped."
