"""Why a press was refused, said until it was read.

A button is pressed for one drawing of its page only. A part further down that draws the page anew in the same moment, since an evaluation or a
run has come to its end, would take an error away with it before anybody saw it.
"""

from __future__ import annotations

from time import monotonic
from typing import Any

import streamlit as st

LONGEST = 10.0
"""Seconds that a refusal is said for at the least, once it was drawn. The first drawing after them is without it."""


def note(key: str, why: Any, of: object = None) -> None:
    """Have `why` said where `noted(key)` is asked for.

    Args:
        of: what was refused, such as a path or the values of a form: it is said for as long as it is these, and no longer. None: for `LONGEST`.
    """
    st.session_state[key] = (why, of, None)


def noted(key: str, of: object = None) -> Any:
    """What was noted last under this key; None where nothing was, or it was said long enough, or was refused of something else."""
    why, about, since = st.session_state.get(key, (None, None, None))
    if why is None:
        return None
    now = monotonic()
    if about != of if about is not None else since is not None and now - since > LONGEST:
        forget(key)
        return None
    st.session_state[key] = (why, about, now if since is None else since)
    return why


def forget(key: str) -> None:
    """Say it no more: somebody presses again."""
    st.session_state.pop(key, None)
