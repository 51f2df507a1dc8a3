"""What the model sees: one of the person's own pictures normalised rightly and with other figures, and what the model makes of each."""

from __future__ import annotations

from html import escape

import streamlit as st

from core.config import ConfigError, RunConfig
from core.helpers.helper import LabError
from core.records.normalising import WHY, Seen, View, verdict
from pages._parts.shared import words
from pages._parts.shared.services import Services

SIDE = 112
"""Side of the picture, in pixels."""

_TABLE = "border-collapse:collapse;font-size:0.82rem;font-variant-numeric:tabular-nums;width:100%"
_CELL = "text-align:left;vertical-align:top;padding:0.3rem 0.8rem 0.3rem 0;border-bottom:1px solid color-mix(in srgb, currentColor 18%, transparent)"


def normalised_view(shared: Services, config: RunConfig | None) -> None:
    """An expander, worked out once it is open. `config` is None where the draft cannot be run."""
    place = st.expander("What the model sees: why pictures are normalised", icon=":material/contrast:", key="model_normalised", on_change="rerun")
    if not place.open:
        return
    with place:
        st.caption(WHY)
        if config is None:
            st.caption("Tried on your pictures once all settings can be used.")
            return
        try:
            with st.spinner("Looking at the first pictures"):
                seen = shared.lab.seen(config)
        except (ConfigError, LabError) as error:
            st.info(words.plain(words.refusal(error)), icon=":material/info:")
            return
        _show(seen)


def _show(seen: Seen) -> None:
    row = st.container(horizontal=True, gap="medium")
    row.image(seen.picture, width=SIDE, caption=f"class {words.plain(seen.label)}")
    with row.container(width="stretch"):
        st.html(f'<div style="overflow-x:auto">{_table(seen)}</div>')
    whose = f" Weights: {seen.weights}." if seen.learned else ""  # that they are random has been said
    st.markdown(words.plain(f"{verdict(seen)}{whose}"))


def _table(seen: Seen) -> str:
    """A row a view, as HTML."""
    heads = ["Taken off, then divided by", "What the model gets: mean ± spread of red, green, blue", "Features move by"]
    if all(view.answers is not None for view in seen.views):
        heads.append("Likeliest classes")
    head = "".join(f'<th scope="col" style="{_CELL};font-weight:600">{text}</th>' for text in heads)
    rows = "".join("<tr>" + "".join(f'<td style="{_CELL}">{cell}</td>' for cell in _row(view)) + "</tr>" for view in seen.views)
    return f'<table style="{_TABLE}"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'


def _row(view: View) -> list[str]:
    given = ", ".join(f"{mean:.3g} ± {std:.2g}" for mean, std in zip(view.channel_mean, view.channel_std, strict=True))
    moved = "0" if view.distance == 0 else f"{view.distance:.2g} of their length"
    cells = [f"<b>{escape(view.name)}</b><br>{_figures(view.mean)}; {_figures(view.std)}", given, moved]
    if view.answers is not None:
        cells.append("<br>".join(f"{escape(name)} {words.percent(probability)}" for name, probability in view.answers))
    return cells


def _figures(figures: tuple[float, ...]) -> str:
    """A figure a channel, or the one of them all."""
    return " ".join(f"{figure:.3g}" for figure in dict.fromkeys(figures))
