"""What a page says when the store cannot be used, or a run in it cannot be read: an alert in place of what it would show."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import ParamSpec

import streamlit as st

from core.store.reading import UnreadableRun
from core.store.trouble import StoreError
from pages._parts.shared import words

Arguments = ParamSpec("Arguments")


@contextmanager
def store_told() -> Iterator[None]:
    """Within it, the store is read; where that fails, the alert says which file, why, and what to do. The next look tries again."""
    try:
        yield
    except StoreError as error:
        st.error(words.plain(str(error)), title="The store of runs cannot be used", icon=":material/error:")
    except UnreadableRun as error:
        st.error(words.plain(error.message), title="A run cannot be read", icon=":material/error:")


def careful(act: Callable[Arguments, object]) -> Callable[Arguments, None]:
    """`act` for a button's callback: where the store cannot be used, a passing message says so, and nothing was done."""

    @wraps(act)
    def carefully(*arguments: Arguments.args, **options: Arguments.kwargs) -> None:
        try:
            act(*arguments, **options)
        except (StoreError, UnreadableRun) as error:
            st.toast(words.plain(f"Nothing was done. {error}"), icon=":material/error:", duration="long")

    return carefully
