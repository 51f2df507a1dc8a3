"""The runs that are compared, to be taken away, and others, to be added."""

from __future__ import annotations

import streamlit as st

from core.comparing.stream import MOST_RUNS
from core.store.bin import restore
from pages._parts.compare.subject import Subject, offered, put
from pages._parts.shared import words
from pages._parts.shared.services import Services
from pages._parts.shared.store_told import careful

_CHOSEN = "compare_chosen"

FULL = 9
"""From so many runs on the picker is as high as it gets. Its room is kept while Streamlit loads it: charts below are not pushed down."""


def show(shared: Services, subject: Subject, too_many: int) -> None:
    """The picker, and what is wrong with the link that led here."""
    texts = {**subject.options, **offered(shared, subject.ids)}
    if st.session_state.get(_CHOSEN) != list(subject.ids):
        st.session_state[_CHOSEN] = list(subject.ids)
    with st.container(key="compare_pick"):
        st.multiselect(
            "Runs", list(texts), key=_CHOSEN, format_func=lambda id: texts[id], max_selections=MOST_RUNS, on_change=_chosen,
            placeholder="Choose runs, or curves that were imported", help="They stand in the address: a link to this page shows the same comparison.",
        )  # fmt: skip
    if len(subject.ids) >= FULL:
        st.html("<style>.st-key-compare_pick { min-height: 10.7rem; }</style>")
    if too_many:
        st.warning(f"The link names {too_many:,} more: at most {MOST_RUNS} runs are compared at a time.", icon=":material/filter_list:")
    if not subject.ids:
        st.info("Choose two runs or more above, or select them in the table of the Runs screen.", icon=":material/compare_arrows:")
        st.page_link("runs.py", label="Choose in the table of all runs", icon=":material/list:")
    binned = shared.store.binned() if subject.found.gone else {}
    for id in subject.found.gone:
        with st.container(horizontal=True, vertical_alignment="center", key=f"gone_{subject.ids.index(id)}"):
            if id in binned:
                st.warning(f"{words.code(id)} lies in the bin. Its curves are shown as they are.", icon=":material/delete:")
                st.button("Restore", key=f"restore_{id}", icon=":material/restore_from_trash:", on_click=careful(restore), args=(shared.store, id))
            else:
                st.warning(f"There is no run {words.code(id)} any more: it was deleted, or the link is not right.", icon=":material/link_off:")
            rest = tuple(each for each in subject.ids if each != id)
            st.button("Leave it out", key=f"leave_{subject.ids.index(id)}", icon=":material/close:", on_click=put, args=(rest,))


def _chosen() -> None:
    put(tuple(st.session_state[_CHOSEN]))
