"""How curves are drawn: asked with widgets that keep their values in the address."""

from __future__ import annotations

import streamlit as st

from pages._parts.compare.subject import Subject
from pages._parts.components.compare_chart import View

AXES = ("step", "epoch", "time")
MOST_MORE = 12


def ask(subject: Subject) -> View:
    """The row of widgets above the charts."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium", key="compare_view"):
        axis = st.segmented_control("Over", AXES, default="step", required=True, key="x", bind="query-params", help="What the curves are drawn over")
        smoothing = st.slider(
            "Smoothing", 0.0, 0.98, 0.6, 0.02, key="smooth", bind="query-params", width=200,
            help="Weight of what came before. A smoothed line looks back alone: what is drawn stays as it is. The raw line stays, faintly.",
        )  # fmt: skip
        log = st.toggle("Log values", key="log", bind="query-params", help="Losses, norms and rates on a log axis; accuracies stay as they are")
        logx = st.toggle("Log axis", key="logx", bind="query-params", help="Steps, epochs or time on a log axis")
        seeds = True
        if subject.found.repeats:
            seeds = st.toggle("Seeds together", True, key="seeds", bind="query-params", help="Runs that differ in their seed alone as mean and band")
    return View(axis, float(smoothing), log, logx, seeds, *_further(subject))  # type: ignore[arg-type]  # of AXES


def _further(subject: Subject) -> tuple[str, tuple[str, ...]]:
    """The layer whose norms are drawn, and curves that only imported trainings have."""
    layers = list(dict.fromkeys(layer.name for run in subject.runs.values() if run.plan for layer in run.plan.layers))
    brought = [curve for one in subject.found.imported.values() for curve in one.curves if not curve.meaning]
    more = sorted({curve.name for curve in brought})
    if not layers and not more:
        return "", ()
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium", key="compare_further"):
        layer = None
        if layers:
            about = "The gradient norms of this tensor, in all runs that have one of this name"
            layer = st.selectbox("Gradient norm of", layers, None, key="layer", bind="query-params", placeholder="Choose a layer", help=about)
        chosen: list[str] = []
        if more:
            chosen = st.multiselect(
                "More imported curves", more, key="more", bind="query-params", max_selections=MOST_MORE, placeholder="Choose curves"
            )
    return layer or "", tuple(chosen)
