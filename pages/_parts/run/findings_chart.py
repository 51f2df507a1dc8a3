"""The window of a signal in which a finding can be seen, with a little of what lies around it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.charts.lines import Line, lines_figure
from core.doctor.rule import listed
from core.records.findings import Finding
from core.store import Run
from core.store.rows import StepColumns
from pages._parts.shared import words
from pages._parts.shared.services import Services

POINTS = 1000
"""Points that a chart has at most."""

AROUND = 0.25
"""How much is shown before and after the window, as a share of it."""

LINES = 4
"""Layers that are drawn."""


def show(shared: Services, run: Run, finding: Finding) -> None:
    """Say where it is, and draw that window. Nothing to draw for what lies in the settings or the data."""
    layers = f" · {words.plain(listed(finding.layers, 6))}" if finding.layers else ""
    if finding.chart == "settings" or not run.plan:
        st.caption(f"It shows in no curve: it lies in the settings, the data or the layers{layers}.")
        return
    if finding.chart == "accuracy":
        _epochs(shared, run, finding)
        return
    lines = _lines(shared, run, finding)
    lines = [line for line in lines if np.isfinite(line.values).any()] or lines[:1]
    if not any(len(line.across) for line in lines):
        st.caption("The steps of this window are not recorded yet.")
        return
    name = {"loss": "Loss", "gradient norms": "Gradient norm (L2)", "update ratio": "Update, as a share of the weights"}[finding.chart]
    first, last = max(1, finding.first_step), max(1, finding.last_step)
    st.caption(f"{name}, steps {first:,} to {last:,}{layers}. {_said(lines[0], first, last)}")
    figure = lines_figure(lines, name, window=(first, last))
    st.plotly_chart(figure, key=f"evidence_chart_{run.id}_{finding.rule}", config={"displayModeBar": False})


def _lines(shared: Services, run: Run, finding: Finding) -> list[Line]:
    length = max(finding.last_step - finding.first_step, 8)
    first = max(0, int(finding.first_step - 1 - AROUND * length))
    steps = int((1 + 2 * AROUND) * length) + 2
    level = max(0, math.ceil(math.log2(steps / POINTS))) if steps > POINTS else 0
    found = shared.store.steps_after(run.id, level, first, limit=max(2, steps >> level))
    if finding.chart == "loss":
        return [Line("loss", found.step, found.loss)]
    assert run.plan is not None
    rows = {layer.name: row for row, layer in enumerate(run.plan.layers)}
    places = [rows[name] for name in finding.layers if name in rows][:LINES]  # in the finding's order: what it is about most comes first
    if finding.chart == "gradient norms":
        return _norm_lines(run, found, places)
    ratios = np.where(
        (found.update_norms < 0) | (found.weight_norms <= 0), np.nan, found.update_norms / np.where(found.weight_norms > 0, found.weight_norms, 1)
    )
    return [Line(run.plan.layers[place].name, found.updated, ratios[:, place].astype(np.float64)) for place in places if len(ratios)]


def _norm_lines(run: Run, found: StepColumns, places: list[int]) -> list[Line]:
    norms = found.gradient_norms
    if not len(norms):
        return []
    assert run.plan is not None
    known = np.where(norms < 0, np.nan, norms).astype(np.float64)
    measured = ~np.isnan(known).all(axis=1)
    if not places:
        return [Line("all gradients together", found.step[measured], np.sqrt(np.nansum(known[measured] ** 2, axis=1)))]
    return [Line(run.plan.layers[place].name, found.step[measured], known[measured, place]) for place in places]


def _epochs(shared: Services, run: Run, finding: Finding) -> None:
    rows = shared.store.epochs_after(run.id)
    if not rows:
        st.caption("No epoch is over yet.")
        return
    epochs = np.array([row.epoch for row in rows])
    st.caption(f"Epochs up to step {finding.last_step:,}: training and validation.")
    left, right = st.columns(2)
    charts: tuple[tuple[DeltaGenerator, str, list[tuple[str, Sequence[float | None]]]], ...] = (
        (left, "Loss", [("training", [row.train_loss for row in rows]), ("validation", [row.validation_loss for row in rows])]),
        (right, "Accuracy (share)", [("training", [row.train_accuracy for row in rows]), ("validation", [row.validation_accuracy for row in rows])]),
    )
    for place, name, curves in charts:
        lines = [Line(label, epochs, np.array([math.nan if value is None else value for value in values])) for label, values in curves]
        figure = lines_figure(lines, name, "Epoch", log=False)
        place.plotly_chart(figure, key=f"evidence_{name}_{run.id}_{finding.rule}", config={"displayModeBar": False})


def _said(line: Line, first: int, last: int) -> str:
    """The first line in words: from what to what it goes in the window."""
    inside = line.values[(line.across >= first) & (line.across <= last)]
    finite = inside[np.isfinite(inside)]
    if not len(finite):
        return "None of it is a finite number."
    return f"{words.plain(line.label)}: from {finite[0]:.3g} to {finite[-1]:.3g}, between {finite.min():.3g} and {finite.max():.3g}."
