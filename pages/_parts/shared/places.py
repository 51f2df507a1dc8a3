"""Places on a page that are drawn anew by themselves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st


def alone(part: Callable[..., None], *arguments: Any, every: float | None = None) -> None:
    """Draw a part of the page that can be drawn anew by itself, `every` so many seconds.

    In a container of its own: where a part is drawn anew while the whole page still is, Streamlit leaves the part out of the page at
    first, and what stood below it would move up and be drawn over.
    """
    with st.container():
        st.fragment(part, run_every=every)(*arguments)
