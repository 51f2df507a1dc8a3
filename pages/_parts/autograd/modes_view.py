"""What freezing, eval(), no_grad() and inference_mode() do to the model that is looked at: each tried, in one table."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from core.records.modes import COLUMNS, LABELS, USES, Modes, cells, told
from core.records.walkthrough import Example
from pages._parts.shared import words
from pages._parts.shared.awaiting import awaited
from pages._parts.shared.services import Services

TITLE = "Try them on this model"

ABOUT = (
    "`requires_grad` says of one tensor whether it gets a gradient, `train()` and `eval()` how BatchNorm and dropout compute, `no_grad()` and "
    "`inference_mode()` whether anything is recorded. None of these three does what another one does."
)
COMPANY = "Other company"
"""The column that a single picture has no use for."""

ABOUT_COLUMNS: dict[str, str] = {
    "Kept for backward": "what the graph holds, the pictures included, the model's own weights left out.",
    "Statistics moved": "BatchNorm layers whose running mean is another after the forward pass.",
    "Same batch twice": "the logits of two passes.",
    COMPANY: "the first picture's logits once the others of its batch were replaced.",
    "Logits later on": "whether a later loss may keep them for its own backward pass.",
}
"""What stands in a column, where its title does not say it all."""
_CLIENT = "modes_client"
_BOX = "autograd_modes"


def show(shared: Services, example: Example) -> None:
    """The panel. For a fragment: nothing is tried before it is opened."""
    st.markdown(ABOUT)
    asked = st.query_params.get("modes") == "open"
    box = st.expander(TITLE, icon=":material/rule:", key=_BOX, on_change="rerun", expanded=asked)
    if not box.open:
        return
    with box:
        modes = awaited(lambda client: shared.lab.modes(client, example), _CLIENT, "Trying each of them, with a forward and a backward pass")
        if modes is not None:
            shown = columns(modes)
            st.markdown(_table(modes, shown))
            about = " ".join(f"**{words.plain(name)}**: {ABOUT_COLUMNS[name]}" for name in shown if name in ABOUT_COLUMNS)
            st.caption(f"The same pictures go through the model in each setting. {about}")
            st.markdown("\n".join(["**On this model**\n", *(f"- {words.plain(line)}" for line in told(modes))]))
            st.markdown(f"**What each is for**\n\n{_uses(modes)}")


def columns(modes: Modes) -> list[str]:
    """Titles of the columns that say something about these pictures."""
    return [name for name in COLUMNS if name != COMPANY or modes.pictures > 1]


def _table(modes: Modes, shown: Sequence[str]) -> str:
    """The table as Markdown. Every text in it is one of ours, or a number."""
    rows = [" | ".join(words.plain(name) for name in shown), " | ".join("---" for _ in shown)]
    for effect in modes.effects:
        first, *rest = (text for name, text in zip(COLUMNS, cells(modes, effect), strict=True) if name in shown)
        rows.append(" | ".join([f"**{words.plain(first)}**", *(words.plain(text) for text in rest)]))
    return "\n".join(f"| {row} |" for row in rows)


def _uses(modes: Modes) -> str:
    """What each setting is for, as a list in Markdown."""
    return "\n".join(f"- **{words.plain(LABELS[effect.setting])}**: {words.plain(USES[effect.setting])}" for effect in modes.effects)
