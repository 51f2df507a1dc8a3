"""What the draft says about layers: freeze plan, timeline and multipliers, as texts, and the last changes of them, to take back.

They are one object in the session, changed in one go and without a look at the session between two changes: Streamlit ends a
callback at any such look when a newer click has come, and half a change must not stay.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.config import RunConfig
from core.config.plans import PRESETS, FreezePlan
from pages._parts.shared.once import Click

CUSTOM = "custom"

UNDO_STEPS = 50
"""How many changes can be taken back."""

_DESK = "setup_layer_rules"


@dataclass(frozen=True)
class LayerRules:
    """The texts. `choice` is what the box of presets shows: the preset that `freeze` is, or custom."""

    freeze: str = "train everything"
    timeline: str = ""
    learning_rate_multipliers: str = ""
    choice: str = "train everything"

    def values(self) -> dict[str, str]:
        """The texts under the names of a config's fields."""
        texts = {"freeze": self.freeze, "timeline": self.timeline, "learning_rate_multipliers": self.learning_rate_multipliers}
        return {name: text.strip() for name, text in texts.items()}

    def config(self, **values: Any) -> RunConfig:
        """A config with these rules and further values. An epoch after the last is no error here. Raises ConfigError for rules that are none."""
        return RunConfig(**{**self.values(), "epochs": 100_000, **values})

    def plan(self) -> FreezePlan:
        """The freeze plan. Raises ConfigError for rules typed by hand that are none."""
        return RunConfig(freeze=self.freeze).freeze


RULE_FIELDS = tuple(LayerRules().values())
"""The fields of a config that are rules about layers."""


@dataclass
class Desk:
    """The rules as they are now, and as they were. Changing it is not seen by Streamlit, which is what it is for."""

    rules: LayerRules = field(default_factory=LayerRules)
    past: list[LayerRules] = field(default_factory=list)
    model: str = ""
    notes: dict[str, str] = field(default_factory=dict)
    """What came of the last change in a part of a screen, where it could not be made: shown once."""
    boxes: dict[str, tuple[int, str]] = field(default_factory=dict)
    """How often each box has been given another text than was typed into it, and what it was given last."""

    def put(self, **texts: str) -> None:
        """Change some of the texts. A plan that is a preset's name is shown as that preset."""
        if "freeze" in texts and "choice" not in texts:
            texts["choice"] = texts["freeze"].strip() if texts["freeze"].strip() in PRESETS else CUSTOM
        self.rules = replace(self.rules, **texts)

    def remember(self, model: str) -> None:
        """Take a note of the rules, if they are not what they were. Another model begins a new past: its layers are others."""
        if model != self.model:
            self.model, self.past = model, []
        if not self.past or self.past[-1].values() != self.rules.values():
            self.past.append(self.rules)
            del self.past[: -UNDO_STEPS - 1]

    def undo(self, click: Click) -> None:
        """Put the rules back to where they were before the last change."""
        if len(self.past) > 1 and not click.made:
            click.made = "undone"
            self.past.pop()
            self.put(**self.past[-1].values())


def desk() -> Desk:
    """The session's own."""
    found = st.session_state.get(_DESK)
    if found is None:
        found = st.session_state[_DESK] = Desk()
    return found


def rules() -> LayerRules:
    """The rules as they are now."""
    return desk().rules


def show_note(part: str) -> None:
    """Say what came of the last change in this part of a screen, where it could not be made."""
    note = desk().notes.pop(part, None)
    if note:
        st.warning(note, icon=":material/info:")


def undo_button(place: DeltaGenerator, name: str) -> None:
    """A button that takes back the last change."""
    at = desk()
    about = "Takes back the last change of freeze rules, timeline or multipliers."
    place.button("Undo", key=name, icon=":material/undo:", on_click=at.undo, args=(Click(),), disabled=len(at.past) < 2, help=about)


def text_box(label: str, box: str, name: str, **options: Any) -> None:
    """A text box `box` for the rules `name`. The desk holds them and the box shows them, whoever has changed them."""
    place, first = _place(box, getattr(rules(), name))
    st.text_input(label, first, key=place, on_change=_typed, args=(box, place, name), **options)


def preset_box(box: str) -> str:
    """The box of presets; returns what it shows."""
    choices = [*PRESETS, CUSTOM]
    place, first = _place(box, rules().choice)
    return str(st.selectbox("Freeze", choices, choices.index(first), key=place, on_change=_chosen, args=(box, place)))


def _place(box: str, value: str) -> tuple[str, str]:
    """The key of a box that shows `value`, and what it shows to begin with: another box than before, if somebody else has changed it.

    With each message a browser sends what all boxes hold. Until it has heard of the change that is the old text under the old key,
    and nobody may take it for typed.
    """
    at = desk()
    number, first = at.boxes.get(box, (0, value))
    if st.session_state.get(f"{box}_{number}", first) != value:
        number, first = number + 1, value
    at.boxes[box] = number, first
    return f"{box}_{number}", first


def _typed(box: str, place: str, name: str) -> None:
    at, text = desk(), st.session_state[place]
    if place == f"{box}_{at.boxes[box][0]}":
        at.put(**{name: text})


def _chosen(box: str, place: str) -> None:
    at, choice = desk(), st.session_state[place]
    if place == f"{box}_{at.boxes[box][0]}":
        at.put(**({"choice": choice} if choice == CUSTOM else {"freeze": choice}))
