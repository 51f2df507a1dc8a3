"""How pictures become squares: the choice, and what each of them does to a picture."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.config import FITS, ConfigError
from core.data import own
from core.data.datasets import DATASETS, folder_of
from core.data.decoding import Fit
from core.data.fit_example import FitExample, fit_example
from core.data.folders import shown
from core.data.layouts import place as place_of
from core.evaluation.pictures import data_uri
from core.machine.home import Home
from pages._parts.shared import words
from pages._parts.shared.draft import FOLDER, key
from pages._parts.shared.fields import Fields

SIDE = 72
"""Side of an example, in pixels."""

_CARDS = "display:flex;gap:0.75rem;flex-wrap:wrap"
_PICTURE = "border-radius:6px;display:block"
_CAPTION = "font-size:0.8rem;max-width:6.5rem"


def ask_fit(fields: Fields, place: DeltaGenerator) -> None:
    """Which part of a picture that is not square the model sees."""
    with fields.field(place, "fit"):
        name = st.selectbox(words.field("fit"), list(FITS), key=key("fit"), persist_state="session")
        usual = own.fit_of(fields.shared.home, str(st.session_state[key("dataset")]))
        said = "" if not usual else " It is what your dataset says." if usual == name else f" Your dataset says {words.plain(usual)}."
        fields.say("fit", f"{FITS[name]}{said}")


def show_fits(place: DeltaGenerator) -> None:
    """What each fit makes of one picture and what is lost of it: one of the folder that was typed, or of a dataset of one's own, if there is one.

    Of a dataset of squares: that it makes no difference.
    """
    folder = _folder()
    dataset = str(st.session_state[key("dataset")])
    if (entry := DATASETS.get(dataset)) and entry.pixels:
        place.caption(f"Its pictures are squares of {entry.pixels:,} px: all of each is seen, whatever is chosen here.")
        return
    found = _example(folder, _changed(folder), dataset if own.parse(dataset) else "")
    draw(place, found, str(st.session_state[key("fit")]))


def show_fits_of(place: DeltaGenerator, dataset: str, chosen: str) -> None:
    """The same of a dataset in versions, `own:NAME`."""
    folder = str(folder_of(dataset))
    draw(place, _example(folder, _changed(folder), dataset), chosen)


def draw(place: DeltaGenerator, found: FitExample, chosen: str) -> None:
    """The three ways side by side, the chosen one with a frame."""
    about: dict[Fit, str] = {"crop": "Its middle square", "squash": "All of it, distorted", "pad": "All of it, with black at two sides"}
    cards = "".join(
        f'<figure style="margin:0"><img src="{data_uri(found.pixels[fit])}" width="{SIDE}" height="{SIDE}" alt="{alternative}" '
        f'style="{_PICTURE};outline:{"2px solid" if fit == chosen else "none"}">'
        f'<figcaption style="{_CAPTION}">{fit}: {found.lost(fit)}</figcaption></figure>'
        for fit, alternative in about.items()
    )
    with place.container(gap="xxsmall", key="fit_example"):
        whole = (
            f'<figure style="margin:0"><img src="{data_uri(found.whole)}" height="{SIDE}" style="{_PICTURE}" '
            f'alt="The whole picture, dark beyond its middle square"><figcaption style="{_CAPTION}">all of it</figcaption></figure>'
        )
        st.html(f'<div style="{_CARDS}">{whole}{cards}</div>')
        whose = f"Your {words.plain(found.name)}" if found.name else "A drawn picture"
        square = ", which is square: all three are the same" if found.width == found.height else ""
        deep = " It has more than 8 bits a channel: a run finds the range of all its pictures before it starts, and says it." if found.deep else ""
        st.caption(f"{whose}, {found.width:,} x {found.height:,} px{square}.{deep}")


def _folder() -> str | None:
    """The folder that the pictures lie in; None where they lie in none, or nobody has said in which."""
    chosen = str(st.session_state[key("dataset")])
    if chosen == FOLDER:
        return st.session_state[key("dataset", "path")] or None
    try:
        return str(folder_of(chosen)) if own.parse(chosen) else None
    except ConfigError:  # there is no such dataset: the form says so
        return None


@lru_cache(maxsize=16)
def _example(folder: str | None, changed: int, dataset: str) -> FitExample:
    """`dataset`: one of the person's own, in versions, whose files are called by their digests; else empty."""
    found = fit_example(folder, SIDE)
    called = own.names_of(Home.in_use(), dataset).get(Path(found.name).stem) if dataset else None
    return replace(found, name=shown(called)) if called else found


def _changed(folder: str | None) -> int:
    """Another number once something was put into a folder or taken out of it."""
    try:
        return place_of(folder)[0].stat().st_mtime_ns if folder else 0
    except (OSError, ConfigError):  # not there, or no path at all
        return 0
