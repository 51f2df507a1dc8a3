"""The network that is being built: its name and its layers as text, right or not, kept in the URL so that a refresh loses nothing."""

from __future__ import annotations

import math
import time

import streamlit as st

from core import catalog, networks
from core.config import ConfigError, RunConfig
from core.networks import Row
from pages._parts.components.network_editor import edited
from pages._parts.shared import draft
from pages._parts.shared.services import Services

NAME, SIZE, CLASSES = "build_name", "build_size", "build_classes"
EDITOR = "build_editor"
"""Keys of the widgets in `st.session_state`."""

NETWORK = "network"
"""In the URL: the network as text. Its image size and number of classes stand beside it where they are not the usual ones."""

LATE = 5.0
"""Seconds for which a URL that we have replaced can still come back from the browser."""

_LAYERS, _ORIGIN, _USUAL = "build_layers", "build_origin", "build_usual"
_RANGE = {SIZE: (8, 1024), CLASSES: (2, 100_000)}
_SEEN, _LEFT = "build_seen_in_url", "build_left_urls"


def open_network(shared: Services) -> None:
    """See to it that there is a network: what it was, else what the URL says, else none.

    A URL that says something else than what was written there last (a link, the browser's back button) wins.
    """
    state, query = st.session_state, st.query_params.to_dict()
    if _LAYERS not in state:
        state[_LAYERS], state[_ORIGIN], state[NAME] = "", 0, ""
        state[_USUAL] = (_draft_size(), _draft_classes(shared))
        state[SIZE], state[CLASSES] = state[_USUAL]
    if NETWORK in query and query != state.get(_SEEN) and not _is_late(query):
        for name, place in (("size", SIZE), ("classes", CLASSES)):
            if name in query:
                state[place] = _number(query[name])
        if query[NETWORK] != text():
            fill(query[NETWORK])
        state[_SEEN] = query


def fill(text: str) -> None:
    """Take over a network, right or not: the editor shows it, and can undo that."""
    try:
        label, rows = networks.read(text)
    except ConfigError:
        return  # far too long to be one
    state = st.session_state
    state[NAME], state[_LAYERS] = label[:40], _joined(rows)
    state[_ORIGIN] += 1


def take_edit() -> None:
    """The editor was used: keep what it holds. For its callback."""
    st.session_state[_LAYERS] = _joined(edited(EDITOR))


def text() -> str:
    """The whole network as it stands, right or not."""
    return f"{st.session_state[NAME].replace(':', '')}: {st.session_state[_LAYERS]}"  # a colon ends the name


def rows() -> tuple[Row, ...]:
    """Its layers."""
    return networks.read(f": {st.session_state[_LAYERS]}")[1]


def origin() -> int:
    """Grows whenever the layers come from somewhere else than the editor."""
    return int(st.session_state[_ORIGIN])


def problem() -> str:
    """What is wrong with the name, '' if nothing is. A network that has just been begun may be without one."""
    try:
        networks.check_label(st.session_state[NAME])
    except ConfigError as error:
        message = error.message[:1].upper() + error.message[1:] + "."
        return message if st.session_state[NAME] or st.session_state[_LAYERS] else ""
    return ""


def keep_in_url() -> None:
    """Write the network into the URL, once there is anything to it."""
    state = st.session_state
    wanted: dict[str, str] = {}
    if state[_LAYERS] or state[NAME]:
        wanted[NETWORK] = text()
        size, classes = state[_USUAL]
        wanted |= {name: str(value) for name, value, usual in (("size", whole(SIZE), size), ("classes", whole(CLASSES), classes)) if value != usual}
    before = st.query_params.to_dict()
    if wanted != before:
        state[_LEFT] = [*state.get(_LEFT, [])[-20:], (time.monotonic(), before)]
        st.query_params.from_dict(wanted)
    state[_SEEN] = wanted


def _is_late(query: dict[str, str]) -> bool:
    """True for a URL that we have just replaced: an edit that was on its way meanwhile still brings it, and it is nobody's wish."""
    now = time.monotonic()
    return any(query == left and now - when < LATE for when, left in st.session_state.get(_LEFT, ()))


def _joined(rows: tuple[Row, ...]) -> str:
    return ", ".join(row.text for row in rows)


def _draft_size() -> int:
    low, high = _RANGE[SIZE]
    return int(min(max(draft.number("image_size", RunConfig().image_size), low), high))


def _draft_classes(shared: Services) -> int:
    """Classes of the dataset that is being set up."""
    try:
        return len(catalog.class_names(st.session_state.get(draft.key("dataset"), RunConfig().dataset), shared.home.data))
    except ConfigError:
        return 10


def _number(text: str) -> float | None:
    """A number of the URL, whatever it is: the screen says what is wrong with it. None where it is none."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def whole(place: str) -> int:
    """The image size or the number of classes, or the usual one where what the widget holds cannot be used."""
    value = st.session_state[place]
    return int(st.session_state[_USUAL][place == CLASSES] if wrong(place) else value)


def wrong(place: str) -> str:
    """What is wrong with the image size or the number of classes, '' if nothing is."""
    value, (low, high) = st.session_state[place], _RANGE[place]
    usual = st.session_state[_USUAL][place == CLASSES]
    if value is not None and low <= value <= high and value == int(value):
        return ""
    got = "It is empty, and must" if value is None else f"{value:.12g} cannot be used: it must"
    return f"{got} be a whole number from {low:,} to {high:,}. The shapes are those for {usual:,}."
