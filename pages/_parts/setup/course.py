"""When each block learns and how fast: the timeline, the learning-rate multipliers, and the grid that edits both."""

from __future__ import annotations

import streamlit as st

from core.config import ConfigError
from core.config.plans import FreezePlan, Timeline
from pages._parts.components.freeze_tree.tree import LayerTable
from pages._parts.components.timeline_editor import Factor, Painted, edits, grid, patterns, timeline_editor
from pages._parts.setup import rate_hint
from pages._parts.setup.freezing import put_plan
from pages._parts.shared import draft, layer_rules, words
from pages._parts.shared.draft import key
from pages._parts.shared.fields import Fields, sentence

_EDITOR = "setup_timeline_editor"
_TIMELINE, _MULTIPLIERS = key("timeline", "box"), key("learning_rate_multipliers", "box")

ABOUT_TIMELINE = (
    "Changes that come by themselves: an epoch, a colon and rules as in the freeze plan. `3: !layer4; 6: train everything`. "
    "Also `step 900: ...`, and `learning_rate=0.0005` or `layer4=0.3` among the rules."
)
ABOUT_MULTIPLIERS = "A layer, a pattern or one of stem, body, last stage, head, then = and a factor: `stem=0.01, layer4=0.3`. 1 for the rest."


def ask_course(fields: Fields, table: LayerTable) -> None:
    """Ask for timeline and multipliers, by pointing or as texts, and say in words what they do."""
    epochs, rate, buttons = st.columns([2, 2, 7])
    with fields.field(epochs, "epochs"):
        st.number_input("Epochs", step=1.0, format="%g", key=key("epochs"), persist_state="session")
        fields.say("epochs")
    with fields.field(rate, "learning_rate"):
        st.number_input("Learning rate", step=1e-4, format="%g", key=key("learning_rate"), persist_state="session")
        fields.say("learning_rate", words.plain(rate_hint.learning_rate(rate_hint.usable())))
    with buttons:
        st.space(14)
        _buttons(table)
    layer_rules.show_note(_EDITOR)
    course, said = read_course(table)
    if course:
        st.markdown(words.plain(said))
        _grid(table, course)
    else:
        st.caption("The grid of blocks and epochs appears here once freeze rules and timeline can be used.")
    _texts(fields)


def read_course(table: LayerTable) -> tuple[tuple[grid.Stretch, ...], str]:
    """What is frozen when, and the same in words; empty where the draft's rules cannot be used."""
    parameters = table.description.parameters
    try:
        config = layer_rules.rules().config()
        course = grid.stretches(config.freeze, config.timeline, parameters)
    except ConfigError:
        return (), ""
    return course, patterns.in_words(course, parameters, table.blocks, _epochs())


def _buttons(table: LayerTable) -> None:
    parameters, epochs = table.description.parameters, _epochs()
    row = st.container(horizontal=True, vertical_alignment="center")

    desk = layer_rules.desk()

    def unfreeze(spread: bool) -> None:
        plan, timeline = patterns.gradual(parameters, table.blocks, epochs, spread)
        desk.put(freeze=str(plan), timeline=str(timeline))

    with row.popover("Gradual unfreezing", icon=":material/stairs:"):
        st.caption("The head alone learns first; the rest follows from there down to the stem.")
        st.button("A block each epoch", key="course_each", width="stretch", on_click=unfreeze, args=(False,))
        st.button("Spread over all epochs", key="course_spread", width="stretch", on_click=unfreeze, args=(True,))

    def slow_down() -> None:
        desk.put(learning_rate_multipliers=str(patterns.discriminative(parameters, table.blocks)))

    def clear() -> None:
        desk.put(timeline="", learning_rate_multipliers="")

    row.button(
        "Discriminative learning rates",
        icon=":material/signal_cellular_alt:",
        on_click=slow_down,
        help=f"Each block has the next one's rate divided by {patterns.STEP_DOWN:g}, the head the full one (ULMFiT, Howard & Ruder 2018).",
    )
    nothing = not (desk.rules.timeline or desk.rules.learning_rate_multipliers)
    row.button("Clear", icon=":material/backspace:", on_click=clear, disabled=nothing, help="No timeline and no multipliers. The freeze plan stays.")
    layer_rules.undo_button(row, "course_undo")


def _grid(table: LayerTable, course: tuple[grid.Stretch, ...]) -> None:
    try:
        config = layer_rules.rules().config()
        timeline = config.timeline
        factors = grid.block_factors(config.learning_rate_multipliers, table.description.parameters, table.blocks)
    except ConfigError:
        timeline, factors = Timeline(), {}
    rate = st.session_state[key("learning_rate")]
    timeline_editor(
        table, course, _epochs(), factors, rate if rate and rate > 0 else None, key=_EDITOR, on_edit=lambda: _edit(table, _epochs())
    )  # fmt: skip
    width = -(-_epochs() // grid.MOST_COLUMNS)
    if width > 1:
        st.caption(f"Each column stands for {width:,} epochs.")
    for line in patterns.in_other_words(timeline):
        st.caption(f":material/schedule: {line}")


def _texts(fields: Fields) -> None:
    left, right = st.columns(2)
    with fields.field(left, "timeline"):
        layer_rules.text_box("Timeline", _TIMELINE, "timeline", placeholder="3: !layer4; 6: train everything", help=ABOUT_TIMELINE)
        fields.say("timeline", "epoch: what changes; the next ... Also step 900: ..., and learning_rate=0.0005")
    with fields.field(right, "learning_rate_multipliers"):
        label, name = "Learning rate multipliers", "learning_rate_multipliers"
        layer_rules.text_box(label, _MULTIPLIERS, name, placeholder="stem=0.01, layer4=0.3", help=ABOUT_MULTIPLIERS)
        fields.say("learning_rate_multipliers", "layer, pattern or role = factor; 1 for the rest")


def _epochs() -> int:
    """The draft's epochs, or what comes nearest where they cannot be used."""
    return int(min(max(1, draft.number("epochs", 1)), 100_000))


def _edit(table: LayerTable, epochs: int) -> None:
    """Cells or factors were edited: put each edit into the draft, unless it leaves nothing to train."""
    parameters, desk = table.description.parameters, layer_rules.desk()
    for edit in edits(_EDITOR):
        try:
            config = desk.rules.config()
            if isinstance(edit, Factor):
                factor = 1 if edit.factor is None else edit.factor
                desk.put(learning_rate_multipliers=str(grid.with_factor(config.learning_rate_multipliers, parameters, edit.path, factor)))
                continue
            plan, timeline = _painted(config.freeze, config.timeline, edit, table, epochs)
            put_plan(desk, plan, table)
            desk.put(timeline=str(timeline))
        except ConfigError as error:
            desk.notes[_EDITOR] = f"{words.plain(sentence(error.message))} The edit was taken back."


def _painted(plan: FreezePlan, timeline: Timeline, edit: Painted, table: LayerTable, epochs: int) -> tuple[FreezePlan, Timeline]:
    last = edit.last if edit.last is not None and edit.last < epochs else None
    for path in edit.paths:
        plan, timeline = grid.with_block(plan, timeline, table.description.parameters, path, edit.first, last, edit.frozen)
    return plan, timeline
