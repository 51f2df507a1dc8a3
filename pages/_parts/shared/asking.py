"""Questions before something is lost, in a dialog. Whoever redraws the whole page by a clock looks here first: that would close it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

_OPEN = "question_is_open"


def page_is_drawn() -> None:
    """The whole page is drawn from its beginning: a dialog of before is closed. For a page's first line."""
    st.session_state[_OPEN] = False


def is_open() -> bool:
    """Whether somebody is being asked something."""
    return bool(st.session_state.get(_OPEN))


def opened() -> None:
    """Somebody is being asked something from here on."""
    st.session_state[_OPEN] = True


def ask(title: str, draw: Callable[[], None], label: str, icon: str, act: Callable[..., None], *arguments: Any) -> None:
    """Ask in a dialog what `draw` draws, and have the button with this `label` do it."""

    @st.dialog(title, on_dismiss="rerun")
    def question() -> None:
        draw()
        if st.button(label, type="primary", icon=icon, key="surely", on_click=act, args=arguments):
            st.rerun()

    opened()
    question()
