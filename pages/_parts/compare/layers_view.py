"""How far each layer of two of the runs moved: worked out on demand, in another process."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from core.charts.layers import moved_figure
from core.records.weight_difference import Moved, TensorDifference, WeightDifference, in_words
from pages._parts.compare.subject import Subject
from pages._parts.shared import words
from pages._parts.shared.awaiting import awaited
from pages._parts.shared.services import Services

_CLIENT = "compare_client"

NUMBERS = ("A to B", "L2 norm", "start to A", "start to B", "Cosine", "Largest")


def show(shared: Services, subject: Subject) -> None:
    """A closed part of the page that compares weights once it is opened."""
    opened = st.expander("How far each layer moved", icon=":material/straighten:", key="compare_layers", on_change="rerun")
    if not opened.open:
        return
    with opened:
        st.caption("The weights that two runs kept last, layer by layer: how far from where they began, in which direction, and what a freeze held.")
        texts = {id: subject.options[id] for id in subject.runs}
        if len(texts) < 2:
            st.info("Choose two runs of Thaw above: imported curves have no weights.", icon=":material/compare_arrows:")
            return
        ids = list(texts)
        left, right = st.columns(2)
        a = left.selectbox("A", ids, 0, format_func=lambda id: texts[id], key=f"layers_a_{len(ids)}")
        b = right.selectbox("B", ids, 1, format_func=lambda id: texts[id], key=f"layers_b_{len(ids)}")
        if a == b:
            st.info("Choose another run for B: a run is no distance from itself.", icon=":material/compare_arrows:")
            return
        found = awaited(lambda client: shared.lab.comparing.difference(client, a, b), _CLIENT, "Reading the weights of both runs")
        if found is not None:
            told(found)


def told(found: WeightDifference) -> None:
    """What was found: sentences, a chart of the layers, a table of the tensors."""
    for said in in_words(found):
        st.markdown(f"- {words.plain(said)}")
    layers = [layer for layer in found.layers if layer.kind == "parameter"]
    if layers:
        if found.start:
            moved = {"start to A": [_ratio(each.a) for each in layers], "start to B": [_ratio(each.b) for each in layers]}
        else:
            moved = {"A to B": [_ratio(each.between) for each in layers]}
        st.plotly_chart(moved_figure([each.layer for each in layers], moved), key="layers_moved")
    if found.rows:
        st.dataframe(
            pd.DataFrame([_row(row) for row in found.rows]),
            hide_index=True,
            height=360,
            placeholder="",
            alt="Tensors, those first that moved though they were frozen",
            column_config={name: st.column_config.NumberColumn(format="%.3g") for name in NUMBERS},
        )  # fmt: skip
        about = "Distances are relative: the L2 norm of the difference over that of where it began; empty where that is 0 or not known."
        st.caption(f"{about} The cosine is that of both ways from one start: 1 is the same direction.")


def _ratio(moved: Moved | None) -> float | None:
    return None if moved is None else moved.relative


def _row(row: TensorDifference) -> dict[str, object]:
    broken = f"frozen in {' and '.join(each.upper() for each in row.broken)}, and moved" if row.broken else ""
    held = {"": "learns", "a": "frozen in A", "b": "frozen in B", "both": "frozen in both"}[row.frozen]
    return {
        "Tensor": row.name,
        "Kind": row.kind,
        "Plan": broken or held,
        "Same": "to the bit" if row.same else "differs",
        "A to B": _ratio(row.between),
        "L2 norm": row.between.distance,
        "start to A": _ratio(row.a),
        "start to B": _ratio(row.b),
        "Cosine": row.cosine,
        "Largest": row.largest,
        "Values": row.count,
    }
