"""How pictures become squares: the choice, and what each of them does to a picture."""

from __future__ import annotations

from functools import lru_cache

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.config import FITS, ConfigError
from core.data.decoding import Fit
from core.data.fit_example import FitExample, fit_example
from core.data.layouts import place as place_of
from core.evaluation.pictures import data_uri
from pages._parts.shared import words
from pages._parts.shared.draft import FOLDER, key
from pages._parts.shared.fields import Fields

SIDE = 72
"""Side of an example, in pixels."""

_CARDS = "display:flex;gap:0.75rem;flex-wrap:wrap"
_PICTURE = "border-radius:6px;display:block"


def ask_fit(fields: Fields, place: DeltaGenerator) -> None:
    """Which part of a picture that is not square the model sees."""
    with fields.field(place, "fit"):
        name = st.selectbox(words.field("fit"), list(FITS), key=key("fit"), persist_state="session")
        fields.say("fit", FITS[name])


def show_fits(place: DeltaGenerator) -> None:
    """What each fit makes of one picture, of the folder that was typed if there is one in it."""
    folder = st.session_state[key("dataset", "path")] if st.session_state[key("dataset")] == FOLDER else None
    found = _example(folder or None, _changed(folder))
    chosen = st.session_state[key("fit")]
    about: dict[Fit, str] = {"crop": "Its middle square", "squash": "All of it, distorted", "pad": "All of it, with black at two sides"}
    cards = "".join(
        f'<figure style="margin:0"><img src="{data_uri(found.pixels[fit])}" width="{SIDE}" height="{SIDE}" alt="{alternative}" '
        f'style="{_PICTURE};outline:{"2px solid" if fit == chosen else "none"}"><figcaption style="font-size:0.8rem">{fit}</figcaption></figure>'
        for fit, alternative in about.items()
    )
    with place.container(gap="xxsmall", key="fit_example"):
        st.html(f'<div style="{_CARDS}">{cards}</div>')
        whose = f"Your {words.plain(found.name)}" if found.name else "A drawn picture"
        square = ", which is square: all three are the same" if found.width == found.height else ""
        deep = " It has more than 8 bits a channel: a run finds the range of all its pictures before it starts, and says it." if found.deep else ""
        st.caption(f"{whose}, {found.width:,} x {found.height:,} px{square}.{deep}")


@lru_cache(maxsize=16)
def _example(folder: str | None, changed: int) -> FitExample:
    return fit_example(folder, SIDE)


def _changed(folder: str | None) -> int:
    """Another number once something was put into a folder or taken out of it."""
    try:
        return place_of(folder)[0].stat().st_mtime_ns if folder else 0
    except (OSError, ConfigError):  # not there, or no path at all
        return 0
