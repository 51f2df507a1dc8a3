"""The new head: what stood in its place, what stands there now, and what may be put into it."""

from __future__ import annotations

import streamlit as st

from core.records.layers import HeadInfo
from pages._parts.components.freeze_tree.tree import LayerTable
from pages._parts.shared import words
from pages._parts.shared.draft import key
from pages._parts.shared.fields import Fields


def ask_head(fields: Fields, table: LayerTable) -> None:
    """Show what replaces the old head, and ask for dropout and a hidden layer where they can be had."""
    description = table.description
    shown, dropout, hidden = st.columns([5, 2, 2])
    with shown:
        for head in description.head:
            st.markdown(_said(head, description.classes))
    possible = any(head.options for head in description.head)  # auxiliary classifiers keep their single layer
    # What cannot be had but is set must stay within reach, or it could not be taken away.
    fixed = not possible and not st.session_state[key("head_dropout")] and st.session_state[key("head_hidden")] is None
    why = "" if possible else "not for this model: its head is no single layer that another could replace"
    with fields.field(dropout, "head_dropout"):
        kept = fields.kept("head_dropout", fixed)
        st.number_input("Head dropout", step=0.1, format="%g", key=key("head_dropout"), on_change=st.rerun, **kept)
        fields.say("head_dropout", why or "chance of each number that goes into the last layer to be dropped while training, 0 to 1")
    with fields.field(hidden, "head_hidden"):
        kept = fields.kept("head_hidden", fixed)
        st.number_input("Hidden layer", step=64.0, format="%g", placeholder="none", key=key("head_hidden"), on_change=st.rerun, **kept)
        fields.say("head_hidden", why or f"units of a layer before the last{_inputs(description.head)}; empty: none")


def _said(head: HeadInfo, classes: int) -> str:
    """The place, the old layer and the new one: 'fc: Linear(512 → 1000) becomes Linear(512 → 10)'."""
    new = f"```python\n{head.path} = {head.new}\n```"
    if not head.old:
        return (
            f"**{words.code(head.path)}** is made for the {classes:,} classes of the dataset and takes {head.in_features:,} numbers an image.\n{new}"
        )
    was = f"**{words.code(head.path)}** was {words.code(head.old)} for ImageNet's 1,000 classes"
    return f"{was}. For the {classes:,} classes of the dataset it becomes\n{new}"


def _inputs(heads: tuple[HeadInfo, ...]) -> str:
    return f", which gets {heads[0].in_features:,}" if heads else ""
