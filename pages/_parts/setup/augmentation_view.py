"""What the model is given: one of the person's own pictures under random changes, before and after, and one batch, number by number."""

from __future__ import annotations

from collections.abc import Callable
from html import escape

import streamlit as st

from core.config import ConfigError, RunConfig
from core.data.augmentations import find_augmentation
from core.helpers.helper import LabError
from core.records.batches import VARIANTS, BatchSeen, Side, about_back, about_detail, about_reuse
from pages._parts.shared import words
from pages._parts.shared.services import Services

SIDE = 104
"""Side of a picture, in pixels."""

_TABLE = "border-collapse:collapse;font-size:0.82rem;font-variant-numeric:tabular-nums;width:100%"
_CELL = "text-align:left;vertical-align:top;padding:0.3rem 0.8rem 0.3rem 0;border-bottom:1px solid color-mix(in srgb, currentColor 18%, transparent)"


def show(shared: Services, config: RunConfig | None) -> None:
    """Two expanders, each worked out once it is open. `config` is None where the draft cannot be used."""
    place = st.expander("What random changes do to a picture", icon=":material/flip:", key="variants", on_change="rerun")
    if place.open:
        with place:
            _usable(_variants, shared, config)
    place = st.expander("One batch as the model sees it", icon=":material/grid_on:", key="one_batch", on_change="rerun")
    if place.open:
        with place:
            _usable(_batch, shared, config)


def _usable(part: Callable[[Services, RunConfig], None], shared: Services, config: RunConfig | None) -> None:
    """`part` of a config that can be used, or why it cannot."""
    if config is None:
        st.caption("Tried on your pictures once all settings can be used.")
        return
    try:
        part(shared, config)
    except (ConfigError, LabError) as error:
        st.info(words.plain(words.refusal(error)), icon=":material/info:")


def _variants(shared: Services, config: RunConfig) -> None:
    number = st.number_input("Training picture number", min_value=1, value=1, step=1, key="variants_number")
    with st.spinner("Drawing"):
        found = shared.lab.variants(config, int(number) - 1)
    entry = find_augmentation(config.augmentation)
    row = st.container(horizontal=True, gap="small")
    row.image(found.before, width=SIDE, caption="before" if entry.changes else "every time")
    for place, picture in enumerate(found.after if entry.changes else (), 1):
        row.image(picture, width=SIDE, caption=f"draw {place}")
    if not entry.changes:
        st.info(
            f"No random changes are chosen, so every draw is the picture itself. Choose some at **Augmentation** (in More settings, above), or put "
            f"steps together there: then {VARIANTS} draws of it stand here.",
            icon=":material/flip:",
        )
    detail = f" {about_detail(found)}" if entry.smallest_area is not None else ""
    st.caption(words.plain(f"Picture {found.number + 1:,} of {found.of:,}, class {found.label}.{detail}"))
    st.markdown(words.plain(about_reuse(entry.changes, bool(entry.variants), config.fixed_views)))


def _batch(shared: Services, config: RunConfig) -> None:
    with st.spinner("Loading the first batch"):
        found = shared.lab.batch_seen(config)
    st.html(f'<div style="overflow-x:auto">{_table(found)}</div>')
    figures = "; ".join(f"{mean:.3g}, {std:.3g}" for mean, std in zip(found.mean, found.std, strict=True))
    st.caption(words.plain(f"Normalised: divided by 255, less the mean, divided by the spread of red, green and blue: {figures}."))
    for pictures, what in ((found.normalised, "Normalised: lowest number black, highest white"), (found.pictures, "Denormalised")):
        st.markdown(f"**{words.plain(what)}**")
        row = st.container(horizontal=True, gap="small")
        for picture, label, number in zip(pictures, found.labels, found.label_numbers, strict=True):
            row.image(picture, width=SIDE, caption=words.plain(f"{number}: {label}"))
    st.caption(words.plain(about_back(found)))


def _table(found: BatchSeen) -> str:
    """A column a tensor, as HTML."""
    sides = {"As the loader gives it": found.loaded, "As the model gets it": found.given}
    head = "".join(f'<th scope="col" style="{_CELL};font-weight:600">{escape(text)}</th>' for text in ("", *sides))
    cells = [_cells(side) for side in sides.values()]
    rows = "".join(
        f'<tr><th scope="row" style="{_CELL};font-weight:600">{name}</th>'
        + "".join(f'<td style="{_CELL}">{escape(column[name])}</td>' for column in cells)
        + "</tr>"
        for name in cells[0]
    )
    return f'<table style="{_TABLE}"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'


def _cells(side: Side) -> dict[str, str]:
    channels = ", ".join(f"{mean:.3g} ± {std:.2g}" for mean, std in zip(side.channel_mean, side.channel_std, strict=True))
    return {
        "shape": str(list(side.shape)),
        "dtype": side.dtype,
        "device": side.device,
        "lowest to highest": f"{side.low:.4g} to {side.high:.4g}",
        "mean ± spread of red, green, blue": channels,
        "size": f"{side.megabytes:,.2f} MB",
    }
