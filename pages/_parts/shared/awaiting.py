"""Waiting for what is worked out elsewhere: a new choice gives the old one up, and why there is nothing is said."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from typing import TypeVar

import streamlit as st

from core.config import ConfigError
from core.helpers.helper import LabError
from pages._parts.shared import words
from pages._parts.shared.fields import sentence

LOOK_AGAIN = 0.05
"""Seconds between looks while it is being worked out."""

Found = TypeVar("Found")


def awaited(ask: Callable[[str], Found | None], client_key: str, doing: str) -> Found | None:
    """What `ask` gives once it has it, or None with the reason said. Another choice meanwhile gives it up.

    Args:
        ask: given the client's name, None while it is being worked out. Raises ConfigError and LabError.
        client_key: where the session keeps the client's name.
        doing: what is being done, for the spinner.
    """
    client = st.session_state.setdefault(client_key, uuid.uuid4().hex)
    try:
        with st.spinner(doing, show_time=True):
            while (found := ask(client)) is None:
                time.sleep(LOOK_AGAIN)
                st.session_state.get(client_key)  # here Streamlit ends this run where a person has chosen something else
            return found
    except ConfigError as error:
        st.error(f"{words.field(error.field)}: {words.plain(sentence(error.message))}", icon=":material/error:")
    except LabError as error:
        st.error(words.plain(str(error)), icon=":material/error:")
    return None
