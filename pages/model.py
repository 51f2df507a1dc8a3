"""Model: choose a model, see what is in it, and decide what learns, when, how fast, and at what cost."""

import streamlit as st

from core.config import RunConfig
from pages._parts.components.freeze_tree.tree import LayerTable
from pages._parts.setup import (
    branch,
    checks,
    cost_view,
    course,
    freezing,
    head_choice,
    how_much_view,
    judging,
    model_choice,
    normalised_view,
    source_view,
    suit_model,
)
from pages._parts.setup.form import TRAIN_PAGE, go_on, show_code, start_from_elsewhere
from pages._parts.shared import draft, layer_rules, words
from pages._parts.shared.fields import Fields
from pages._parts.shared.once import Click
from pages._parts.shared.services import services
from pages._parts.sweeps import which_layers

shared = services()
go_on()  # before the address is written anew: it says which run was started
draft.open_draft()

LEARNING = "learning"


# Two fragments, one in the other: a switch is answered by the smaller, at once, and the larger follows when no other switch comes.
@st.fragment
def switches(table: LayerTable) -> None:
    """A switch a layer, as tree and as treemap."""
    layer_rules.desk().remember(table.description.model)
    freezing.editor(table, freezing.shown_frozen(table), treemap=True, on_settled=lambda: st.rerun(LEARNING))


@st.fragment(key=LEARNING)
def learning(table: LayerTable, begun: branch.Begun | None) -> None:
    """What learns, when, how fast and at what cost, for a model with these layers; of a branch, what it can change of that."""
    go_on()
    layer_rules.desk().remember(table.description.model)
    fields = Fields(shared)
    config, fields.errors = checks.checked(shared)
    fields.errors |= checks.rule_errors(table, fields.errors) | branch.refusals(begun, config)
    if begun is not None:
        fields.cannot_change = branch.cannot_change
        st.subheader(words.plain(branch.of_what(begun)), anchor=False)
        branch.show(begun, config)
    usable = None if fields.errors else config
    frozen = freezing.shown_frozen(table)

    title = st.container(horizontal=True, vertical_alignment="center")
    title.subheader("What learns", anchor=False, width="stretch")
    layer_rules.undo_button(title, "freeze_undo")
    left, right = st.columns([4, 11])
    freezing.ask_preset_and_rules(fields, left, right)
    switches(table)
    how_much_view.how_much_view(shared, table, usable)
    source_view.source_view(shared, table)
    normalised_view.normalised_view(shared, usable)

    st.subheader("What it costs", anchor=False)
    cost_view.cost_view(shared, table, frozen, usable)
    which_layers.show(shared, table, usable)

    st.subheader("The new head", anchor=False)
    head_choice.ask_head(fields, table)

    st.subheader("When it learns, and how fast", anchor=False)
    course.ask_course(fields, table)

    for name, message in fields.errors.items():
        if not fields.has_room_for(name):
            st.error(f"{words.field(name)}: {words.plain(message)}", icon=":material/error:")
    code(usable, table)
    next_step(fields, usable, "Start training" if begun is None else "Start the branch")
    judging.judge(fields, usable, table, part_of_page=True)
    fields.show_errors()
    draft.keep_in_url(branch.in_url())


def next_step(fields: Fields, config: RunConfig | None, label: str) -> None:
    """The way on, at the lower edge of the window (`screens.css`): what is decided here goes on for some screens."""
    row = st.container(horizontal=True, vertical_alignment="center", key="model_go")
    wrong = [f":red[:material/error:] {words.field(name)}: {words.plain(message)}" for name, message in fields.errors.items()]
    row.markdown(wrong[0] if wrong else "" if config is None else words.plain(words.subject(config)), width="stretch")
    back = {draft.SET_UP: "1", **branch.in_url()}
    row.page_link(TRAIN_PAGE, label="Other settings on Train", icon=":material/tune:", query_params=back)
    row.button(label, type="primary", icon=":material/play_arrow:", disabled=config is None, on_click=start_from_elsewhere, args=(shared, Click()))


def code(config: RunConfig | None, table: LayerTable) -> None:
    """The same in PyTorch."""
    # Written only where it is looked at: it is most of what a toggle would send.
    box = st.expander("Show the PyTorch", icon=":material/code:", key="model_code", on_change="rerun")
    if not box.open:
        return
    with box:
        if config is None:
            st.caption("The code appears here once all settings can be used.")
        else:
            show_code(config, table)


branch.open_link(shared)
fields = Fields(shared)
config, fields.errors = checks.checked(shared)
begun = branch.of_draft(shared)

st.title("Model", anchor=False)
if begun is not None:
    fields.errors |= branch.refusals(begun, config)
    fields.cannot_change = branch.cannot_change
model, dataset, size, weights = st.columns([4, 4, 3, 4])
model_choice.ask_model(fields, model)
model_choice.ask_dataset(fields, dataset)
model_choice.ask_image_size(fields, size)
model_choice.ask_starting_weights(fields, weights)
draft.keep_in_url(branch.in_url())
suit_model.notes()
table = model_choice.look(fields)
fields.show_errors()
if table is None:
    st.info("The layers appear here once dataset, model and image size fit together.", icon=":material/account_tree:")
else:
    st.markdown(model_choice.facts(table))
    learning(table, begun)
