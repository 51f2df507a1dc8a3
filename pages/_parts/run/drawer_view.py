"""The drawer beside the charts of a run: what can be changed while it trains, and what came of it. Closed until somebody opens it.

It stands right of the charts where there is room, and below in the same window where there is none (`run_drawer` in `run.css`), so that a
change is seen to land on the curve. The charts stay the same ones when it opens.
"""

from __future__ import annotations

import streamlit as st

from core.store import Run
from pages._parts.run import requests_view, steering_view
from pages._parts.shared.places import alone
from pages._parts.shared.services import Services

TICK = 1.0
"""Seconds between looks at what came of the requests."""


def is_open(run: Run) -> bool:
    """Whether the drawer of this run is open in this session: it stays so from page to page."""
    return bool(st.session_state.get(_place(run)))


def opener(run: Run) -> None:
    """The button that opens and closes it. Its label stays, so the keyboard's focus stays on it."""
    about = "Learning rate, freezing and multipliers, beside the charts. Pressed again, it closes."
    st.button("Change it while it trains", key=f"steering_{run.id}", icon=":material/tune:", help=about, on_click=_toggle, args=(run,))


def show(shared: Services, run: Run) -> None:
    """The drawer of a run that goes on and knows what it does."""
    head = st.container(horizontal=True, wrap=False, vertical_alignment="center")
    head.markdown("**Change it now**", width="stretch")
    head.button("Close", key=f"steering_close_{run.id}", icon=":material/close:", type="tertiary", on_click=_close, args=(run,))
    alone(_requests, shared, run, every=TICK)
    alone(steering_view.panel, shared, run)


def _requests(shared: Services, run: Run) -> None:
    with st.container(key="run_asked", gap=None):
        if not requests_view.show(shared, shared.store.run(run.id)):
            st.caption("What you change holds from the next step on. It is shown here: requested first, then applied or refused.")


def _place(run: Run) -> str:
    return f"steering_open_{run.id}"


def _toggle(run: Run) -> None:
    if is_open(run):
        _close(run)
    else:
        st.session_state[_place(run)] = True


def _close(run: Run) -> None:
    steering_view.forget_refusals(run)
    st.session_state[_place(run)] = False
