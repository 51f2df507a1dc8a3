"""The answer to "Which layers should I unfreeze?": a sentence with its uncertainty, accuracy against time with spread, and each depth."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

from core.charts.sweeps import Point, accuracy_against
from core.records import telling
from core.sweeps.depths import Answered, answer
from core.sweeps.outcome import Outcome
from pages._parts.shared import words

Use = Callable[[Any, str, str], None]
"""Draws the button that fills the form: in a place, with a freeze plan, under a key."""


def show(found: Outcome, use: Use) -> None:
    """All of it, as far as it is known."""
    said = answer(found)
    with st.container(border=True, key="sweep_answer"):
        if said.sentence:
            st.markdown(f"**{words.plain(said.sentence)}**")
        else:
            st.caption("The answer comes here once two depths have come to their end.")
        if said.take is not None:
            use(st, said.depths[said.take].freeze, "sweep_use_answer")
    if not said.depths:
        return
    points = [
        Point(depth.seconds, depth.mean, depth.name, number == said.take, min(depth.accuracies), max(depth.accuracies))
        for number, depth in enumerate(said.depths)
    ]
    st.subheader("What each depth brings, and costs", anchor=False)
    st.caption("The mean of the seeds of each depth; the bars reach from the lowest to the highest. The star is what the sentence says to take.")
    st.plotly_chart(accuracy_against(points, "Seconds of training a run", named=True), key="sweep_depths", config={"displayModeBar": False})
    for number, depth in enumerate(said.depths):
        _line(depth, number, use)


def _line(depth: Answered, number: int, use: Use) -> None:
    with st.container(border=True, horizontal=True, vertical_alignment="center", key=f"sweep_depth_{number}"):
        low, high = min(depth.accuracies), max(depth.accuracies)
        seeds = len(depth.accuracies)
        spread = f" ({words.percent(low)} to {words.percent(high)}, {seeds} seeds)" if seeds > 1 else " (1 seed)"
        st.markdown(words.plain(depth.name), width="content")
        told = f"{words.percent(depth.mean)}{spread} · {telling.duration(depth.seconds)} a run · {depth.learning:,} numbers learn"
        st.caption(words.plain(told), width="stretch")
        use(st, depth.freeze, f"sweep_use_{number}")
