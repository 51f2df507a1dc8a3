"""A person's own folder on a form: how it is read, what is wrong with it by name, and the ways to choose from."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from core import catalog
from core.catalog import DATASETS
from core.config import ConfigError
from core.data import own
from core.data.glance import Found, some_files
from core.data.layouts import Choice, Layout, LayoutQuestion, cleaned, read_layout
from pages._parts.setup.looking import Looks
from pages._parts.shared import draft, words
from pages._parts.shared.draft import FOLDER, key

COUNTED_ANEW_AFTER = 60.0
"""Seconds after which a folder is counted anew though nothing in it seems to have changed: what lies deeper is not asked."""


@dataclass(frozen=True)
class Seen:
    """What is known of a folder: how it is read and some of its pictures, or why it cannot be used. `stamp` is another one once it was changed."""

    stamp: int
    counted: float
    layout: Layout | None = None
    files: tuple[Found, ...] = ()
    refusal: ConfigError | None = None


_looks: Looks[Seen] = Looks()


def canonical(dataset: str) -> str:
    """A dataset as the form's config has it: of a folder the path as it is understood."""
    kind, colon, path = dataset.partition(":")
    return f"{FOLDER}:{cleaned(path)}" if colon and kind == FOLDER else dataset


def seen(dataset: str) -> Seen | None:
    """What is known of a folder; None while it is being looked at, and for any other dataset. Waits a moment at most, in all."""
    if dataset in DATASETS or dataset.startswith(f"{own.OWN}:"):
        return None
    name = canonical(dataset)
    return _looks.ask(name, lambda before: _see(name, before))


def look(dataset: str) -> Layout | None:
    """How a folder is read, its images counted; None for a dataset of the catalogue, and while it is not known yet.

    Raises:
        ConfigError: as `catalog.survey`.
    """
    found = seen(dataset)
    if found is not None and found.refusal is not None:
        raise found.refusal
    return found.layout if found else None


def _see(dataset: str, before: Seen | None) -> Seen:
    """Look through a folder. A refusal is kept like an answer: to find that a class is empty takes as long as to count it."""
    stamp = 0
    try:
        path = dataset.partition(":")[2]
        stamp = read_layout(path).stamp() if path.strip() else 0
        if before is None or before.stamp != stamp or time.monotonic() > before.counted + COUNTED_ANEW_AFTER:
            before = Seen(stamp, time.monotonic(), catalog.survey(dataset))
        files = some_files(before.layout) if before.layout else ()
        return Seen(stamp, before.counted, before.layout, files, before.refusal)
    except ConfigError as error:
        return Seen(stamp, time.monotonic(), refusal=error)
    except OSError as error:
        return Seen(stamp, time.monotonic(), refusal=ConfigError("dataset", f"the folder cannot be read ({error.strerror}); check the disk it is on"))


def ask_path() -> None:
    """The box of the path. It shows what was pasted as it is understood; below it, the ways where a folder can be read in several."""
    _clean()  # a path of a link
    st.text_input("Folder", key=key("dataset", "path"), placeholder="/path/to/photos", on_change=_clean, persist_state="session")
    found = seen(draft.values()["dataset"])
    if found is not None and isinstance(found.refusal, LayoutQuestion):
        choices(found.refusal.root, found.refusal.choices, "Take it so:")


def _clean() -> None:
    """A text that a browser sends a second time is cleaned to the same."""
    text = st.session_state[key("dataset", "path")]
    if text and (clean := cleaned(text)) != text:
        st.session_state[key("dataset", "path")] = clean


def choices(root: str, offered: Sequence[Choice], before: str) -> None:
    """A button for each way to read a folder."""
    for number, choice in enumerate(offered):
        label = words.plain(f"{before} {choice.meaning}")
        st.button(label, key=f"layout_choice_{number}", type="tertiary", icon=":material/rule_folder:", on_click=_choose, args=(root, choice.spec))


def _choose(root: str, spec: str) -> None:
    st.session_state[key("dataset", "path")] = f"{root}::{spec}"
