"""What learns and what is frozen: a preset, rules, a switch a layer, and the counts that follow. On the form and on the Model screen."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.config import ConfigError
from core.config.plans import PRESETS, FreezePlan
from core.records.layers import ParameterInfo, frozen_parameters, matches
from pages._parts.components.freeze_tree import freeze_tree, toggles
from pages._parts.components.freeze_tree.tree import LayerTable
from pages._parts.shared import layer_rules, words
from pages._parts.shared.draft import key
from pages._parts.shared.fields import Fields, sentence
from pages._parts.shared.layer_rules import CUSTOM, Desk

ABOUT_RULES = "A preset and name patterns, comma separated. `layer1.*` freezes, `!layer1.0` keeps trainable; the last that matches a layer decides."

_PRESET, _RULES = key("freeze", "preset_box"), key("freeze", "rules_box")
_TREE = "setup_tree"


def ask_preset(fields: Fields, place: DeltaGenerator) -> None:
    """A preset to begin with, and the rules behind it where there are any."""
    with fields.field(place, "freeze"):
        choice = layer_rules.preset_box(_PRESET)
        if choice == CUSTOM:
            _rules_box()
        fields.say("freeze", _about(choice))
        fields.leave_room("freeze")


def ask_preset_and_rules(fields: Fields, left: DeltaGenerator, right: DeltaGenerator) -> None:
    """A preset, and beside it the rules, always to be seen."""
    with left.container(gap="xxsmall"):
        choice = layer_rules.preset_box(_PRESET)
        st.caption(_about(choice))
    with fields.field(right, "freeze"):
        _rules_box()
        fields.say("freeze", "a preset, then layers or patterns: `layer1.*` freezes, `!layer1.0` keeps trainable, the last that matches decides")
        fields.leave_room("freeze")


def editor(table: LayerTable, frozen: frozenset[str], treemap: bool = False, on_settled: Callable[[], None] | None = None) -> None:
    """A switch a layer, and what came of the last one where it could not be obeyed. `on_settled` as `freeze_tree` has it."""
    layer_rules.show_note(_TREE)
    freeze_tree(table, frozen, key=_TREE, on_toggle=lambda: _toggle(table), treemap=treemap, on_settled=on_settled)


def shown_frozen(table: LayerTable) -> frozenset[str]:
    """What the draft's rules freeze as far as they can be understood: those that match nothing are passed over, and all may be frozen."""
    parameters = table.description.parameters
    try:
        plan = layer_rules.rules().plan()
        known = [rule for rule in plan.rules if rule in PRESETS or _matches(rule, parameters)]
        return frozen_parameters(FreezePlan(rules=tuple(known or ["train everything"])), parameters)
    except ConfigError as error:
        return frozenset(parameter.name for parameter in parameters) if "every layer" in error.message else frozenset()


def counts(table: LayerTable, frozen: frozenset[str]) -> None:
    """How many parameters learn, and how many do not."""
    total = table.description.count
    still = sum(parameter.count for parameter in table.description.parameters if parameter.name in frozen)
    learning, still_metric = st.columns(2)
    learning.metric("Trainable parameters", f"{total - still:,}", border=True)
    still_metric.metric("Frozen parameters", f"{still:,}", border=True)
    st.progress(1 - still / total, text=f"{100 * (1 - still / total):.3g} % of {total:,} parameters learn")


def put_plan(desk: Desk, plan: FreezePlan, table: LayerTable) -> None:
    """Put a plan on the desk, as the name of a preset where it does what that does. Raises ConfigError where nothing would be left to learn."""
    frozen = frozen_parameters(plan, table.description.parameters)
    desk.put(freeze=next((preset for preset, freezes in table.presets.items() if freezes == frozen), str(plan)))


def _rules_box() -> None:
    layer_rules.text_box("Rules", _RULES, "freeze", help=ABOUT_RULES)


def _about(choice: str) -> str:
    return PRESETS.get(choice, "The switches below, as rules: the last one that matches a layer decides.")


def _matches(rule: str, parameters: tuple[ParameterInfo, ...]) -> bool:
    return any(matches(rule.removeprefix("!"), name) for parameter in parameters for name in parameter.names)


def _toggle(table: LayerTable) -> None:
    """Switches were moved: add each to the plan, unless nothing would be left to learn."""
    desk = layer_rules.desk()
    for path, freeze in toggles(_TREE):
        try:
            put_plan(desk, desk.rules.plan().with_module(path, freeze), table)
        except ConfigError as error:
            desk.notes[_TREE] = f"{words.plain(sentence(error.message))} The switch of {words.code(path)} was put back."
