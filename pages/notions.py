"""Notions: what a course on fine-tuning names, each with one sentence, the line of code, and a link to where it is seen on one's own model."""

from urllib.parse import urlencode

import streamlit as st

from core.config import ConfigError
from core.notions import NOTIONS, SETUP, THEMES, Notion, Place, find
from pages._parts.autograd import choice as autograd_choice
from pages._parts.components.notions_index import Shown, notions_index
from pages._parts.shared import draft, words
from pages._parts.shared.services import services

shared = services()
newest = [run.id for run in shared.store.entries(limit=1)]


def query_of(place: Place) -> dict[str, str]:
    """What the address of a place says; a place of a run is in the newest one."""
    if place.of_run:
        return {"run": newest[0]} if newest else {draft.SET_UP: "1"}
    return dict(place.query)


def entry(notion: Notion) -> Shown:
    """A notion as the index shows it."""
    place = notion.shown
    if place is None:
        return Shown(notion.name, notion.also, notion.says, notion.code, "", "", "")
    query = urlencode(query_of(place))
    link = f"{place.title} (of a run: there is none yet)" if place.of_run and not newest else place.title
    address = f"{place.screen or '.'}?{query}" if query else place.screen or "."
    return Shown(notion.name, notion.also, notion.says, notion.code, link, address, place.part)


def asked() -> str:
    """The entry that the address asks for, "" for none; what is not there is said."""
    name = st.query_params.get("notion", "")
    if not name:
        return ""
    try:
        return find(name).name
    except ConfigError as error:
        st.warning(f"The link cannot be followed: {words.plain(error.message)}", icon=":material/link_off:")
        return ""


def follow(place: Place) -> None:
    """Go to where a notion is seen, with what is set up in this tab."""
    query = query_of(place)
    if place.screen == "autograd":
        autograd_choice.go_to(query)
    st.switch_page(f"{place.screen or 'home'}.py", query_params=query)


st.title("Notions", anchor=False)
st.markdown(
    "What a course on fine-tuning names, each with one sentence, the line of PyTorch, and a link to where it is seen. Links to Autograd and Model "
    "show the model that is set up in this tab; links to a run show the newest one."
)
followed = notions_index([(theme, [entry(notion) for notion in notions]) for theme, notions in THEMES.items()], SETUP, asked(), key="notions_index")
if followed is not None and followed in NOTIONS and (place := NOTIONS[followed].shown) is not None:
    follow(place)
