"""Places on a page that are drawn anew by themselves."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import streamlit as st

from pages._parts.shared.store_told import store_told


def alone(part: Callable[..., None], *arguments: Any, every: float | None = None) -> None:
    """Draw a part of the page that can be drawn anew by itself, `every` so many seconds.

    In a container of its own: where a part is drawn anew while the whole page still is, Streamlit leaves the part out of the page at
    first, and what stood below it would move up and be drawn over. Where the store cannot be read, the part says so and tries again.
    """

    @wraps(part)
    def told(*arguments: Any) -> None:
        with store_told():
            part(*arguments)

    with st.container():
        st.fragment(told, run_every=every)(*arguments)
