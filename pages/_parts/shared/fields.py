"""The widgets of a draft on a screen, and below each a line that says what it means or, in its place, what is wrong with its value."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.catalog import Option
from pages._parts.shared import draft, words
from pages._parts.shared.services import Services
from pages._parts.shared.words import sentence as sentence


class Fields:
    """What is asked on one screen, or in one fragment of it. `errors` are messages by field; `show_errors` puts them where they belong.

    So it does with what `draft.notes` says: it stands in no way of a start.
    """

    def __init__(self, shared: Services) -> None:
        self.shared = shared
        self.errors: dict[str, str] = {}
        self._slots: dict[str, DeltaGenerator] = {}
        self._marked = draft.marked()
        self._rooms: dict[str, DeltaGenerator] = {}
        self.cannot_change: Callable[[str], object] = lambda name: None
        """Whether a field is as it is, whatever a person wants; something true: it is."""

    @contextmanager
    def field(self, place: DeltaGenerator, name: str) -> Iterator[None]:
        """A widget and the line below it, close together."""
        with place.container(gap="xxsmall", key=f"field_{name}"):
            yield

    def fixed(self, name: str) -> bool:
        """Whether a field's widget is there to be read alone. One whose value cannot be used is not: it has to be mended."""
        return bool(self.cannot_change(name)) and name not in self.errors

    def kept(self, name: str, disabled: bool = False) -> dict[str, Any]:
        """What a field's widget is given beside its own: it keeps its value for the session, and may be fixed, or `disabled` for another reason."""
        return {"persist_state": "session", "disabled": disabled or self.fixed(name)}

    def say(self, name: str, about: str = "") -> None:
        """Room below a widget for what it means, or for what is wrong with its value."""
        self._slots[name] = st.empty()
        if about or name in self._marked:
            self.say_again(name, about)

    def leave_room(self, name: str) -> None:
        """Room below that line for what is judged of the value once more is known."""
        self._rooms[name] = st.container(gap="xsmall")

    def room_of(self, name: str) -> DeltaGenerator | None:
        """That room; None where a screen has none for this field."""
        return self._rooms.get(name)

    def say_again(self, name: str, about: str) -> None:
        """Say something else below a widget, now that more is known."""
        mark = words.plain(self._marked.get(name, ""))  # what stood there before its value was set from a run
        self._slots[name].caption(f":blue-badge[{mark}] {about}" if mark else about)

    def needs(self, names: Collection[str]) -> bool:
        """True where one of these fields has something to say that must not hide in a closed expander."""
        return any(not told.keys().isdisjoint(names) for told in (self.errors, draft.notes(), self._marked))

    def has_room_for(self, name: str) -> bool:
        """True where an error of this field can be shown beside its widget."""
        return name in self._slots

    def show_error(self, name: str, message: str) -> None:
        """Put an error where its widget is; a request that nobody has answered yet is none."""
        if asked := draft.unanswered().get(name):
            self._slots[name].info(words.plain(asked), icon=":material/content_paste:")
            return
        self._slots[name].error(words.plain(sentence(message)), icon=":material/error:")

    def show_errors(self, rest: str | None = None) -> None:
        """Put each error where its widget is; those without one at `rest`, or nowhere."""
        for name, message in self.errors.items():
            if name in self._slots or rest is not None:
                self.show_error(name if name in self._slots else str(rest), message)
        for name, text in draft.notes().items():
            if name in self._slots and name not in self.errors:
                self._slots[name].warning(words.plain(text), icon=":material/link_off:")


def option(given: Option, place: str) -> None:
    """The widget of one further option, under the name that torch gives it."""
    st.session_state.setdefault(place, draft.shown(given.default))
    about = (f"{given.about} ({given.unit})" if given.unit else given.about) or None
    empty = "worked out at the start"
    match given.kind:
        case "bool" if given.default is None:  # a checkbox has no third state
            words_of = {None: empty, True: "yes", False: "no"}
            st.selectbox(
                given.name,
                list(words_of),
                format_func=lambda value: words_of[value],
                key=place,
                help=about,
                placeholder=empty,
                persist_state="session",
            )
        case "bool":
            st.checkbox(given.name, key=place, help=about, persist_state="session")
        case "choice":
            st.selectbox(given.name, given.choices, key=place, help=about, persist_state="session")
        case "floats":
            st.text_input(given.name, key=place, help=about, placeholder=empty, persist_state="session")
        case "int":
            st.number_input(given.name, step=1.0, format="%g", key=place, help=about, placeholder=empty, persist_state="session")
        case "float":
            st.number_input(given.name, step=None, format="%g", key=place, help=about, placeholder=empty, persist_state="session")
