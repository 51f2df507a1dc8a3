"""Evaluate: what a run has really learned. Try a picture, read the measures, open the mistakes, compare two runs, see the map."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import streamlit as st

from core.config.limits import quoted
from pages._parts.evaluate import choosing as evaluation_choosing
from pages._parts.evaluate import compare as evaluation_compare
from pages._parts.evaluate import confusion as evaluation_confusion
from pages._parts.evaluate import folder as evaluation_folder
from pages._parts.evaluate import map as evaluation_map
from pages._parts.evaluate import metrics as evaluation_metrics
from pages._parts.evaluate import mistakes as evaluation_mistakes
from pages._parts.evaluate import shown_code as evaluation_code
from pages._parts.evaluate import state as evaluation_state
from pages._parts.evaluate import subject as evaluation_subject
from pages._parts.evaluate import try_it as evaluation_try
from pages._parts.evaluate.subject import Subject
from pages._parts.shared import words
from pages._parts.shared.services import Services, services

# By their name in the URL. Only the open one is worked out. (A text below this would be drawn on the page: it is a script of Streamlit's.)
PARTS: Mapping[str, tuple[str, Callable[[Services, Subject], None]]] = {
    "try": (":material/touch_app: Try it", evaluation_try.show),
    "metrics": (":material/query_stats: Test metrics", evaluation_metrics.show),
    "confusion": (":material/grid_on: Confusion matrix", evaluation_confusion.show),
    "mistakes": (":material/report: Mistakes", evaluation_mistakes.show),
    "compare": (":material/compare_arrows: Compare", evaluation_compare.show),
    "map": (":material/scatter_plot: Map", evaluation_map.show),
}
_PART = "evaluate_part"


def _chose_part() -> None:
    chosen = st.session_state[_PART]
    evaluation_state.choose(view=None if chosen == "try" else chosen)


shared = services()
evaluation_state.open_state(_PART)
head = st.container(horizontal=True, vertical_alignment="center")
head.title("Evaluate", anchor=False, width="stretch")
subject = evaluation_subject.ask_subject(shared, head, partial(evaluation_choosing.offer, shared))
if subject is not None:
    evaluation_folder.ask_folder(shared, subject.run)
    part = evaluation_state.get("view")
    st.session_state[_PART] = part if part in PARTS else "try"
    if part is not None and part not in PARTS:
        st.warning(f"The link asks for the part {words.plain(quoted(part))}, which there is not; this is “Try it”.", icon=":material/link_off:")
    st.segmented_control(
        "Part", list(PARTS), key=_PART, format_func=lambda name: PARTS[name][0], required=True, label_visibility="collapsed", on_change=_chose_part
    )
    with st.container():
        PARTS[st.session_state[_PART]][1](shared, subject)
    evaluation_choosing.told(shared, subject)
    evaluation_code.show(shared, subject)
