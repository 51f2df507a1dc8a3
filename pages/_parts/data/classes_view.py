"""The classes of a dataset: how many pictures each has where, and other names, one in place of several, or fewer."""

from __future__ import annotations

import streamlit as st

from core.config.limits import quoted
from core.versions import SPLITS, Version, edits
from pages._parts.components import data_card as drawn
from pages._parts.data import changing
from pages._parts.shared.services import Services

LEGEND = ":blue[■] train :orange[■] validation :gray[■] test"
"""What the colours of bars mean."""


def show(shared: Services, version: Version) -> None:
    """Counts, and what can be changed."""
    st.caption(LEGEND)
    st.html(drawn.bars([_row(version, label) for label in range(len(version.classes))]))
    left, middle, right = st.columns(3, gap="large")
    with left:
        _ask_rename(shared, version)
    with middle:
        _ask_merge(shared, version)
    with right:
        _ask_drop(shared, version)
    st.caption("Each makes a new version, which can be undone. Runs that used an older one keep it.")


def _row(version: Version, label: int) -> drawn.ClassRow:
    counts = {split: version.counts[split][label] if split in version.counts else 0 for split in SPLITS}
    counts["train"] += version.counts[""][label] if "" in version.counts else 0
    return drawn.ClassRow(version.classes[label], counts)


def _ask_rename(shared: Services, version: Version) -> None:
    with st.form(f"data_rename_{version.number}", border=True):
        st.markdown("**Rename a class**")
        st.selectbox("Class", version.classes, key="data_rename_old")
        st.text_input("New name", key="data_rename_new", max_chars=200)
        st.form_submit_button("Rename", icon=":material/edit:", on_click=_rename, args=(shared, version))


def _rename(shared: Services, version: Version) -> None:
    old, new = st.session_state["data_rename_old"], st.session_state["data_rename_new"].strip()
    if changing.change(shared, version, lambda before: edits.rename_class(before, old, new), f"Class {quoted(old)} renamed to {quoted(new)}."):
        st.session_state["data_rename_new"] = ""


def _ask_merge(shared: Services, version: Version) -> None:
    with st.form(f"data_merge_{version.number}", border=True):
        st.markdown("**Merge classes**")
        st.multiselect("Classes", version.classes, key="data_merge_which")
        st.text_input("Name of the one class", key="data_merge_into", max_chars=200, placeholder="the first of them")
        st.form_submit_button("Merge", icon=":material/merge:", on_click=_merge, args=(shared, version))


def _merge(shared: Services, version: Version) -> None:
    which = list(st.session_state["data_merge_which"])
    into = st.session_state["data_merge_into"].strip() or (which[0] if which else "")
    told = ", ".join(map(quoted, which[:5])) + (f" and {len(which) - 5:,} more" if len(which) > 5 else "")
    if changing.change(shared, version, lambda before: edits.merge_classes(before, which, into), f"Classes {told} merged into {quoted(into)}."):
        st.session_state["data_merge_into"] = ""


def _ask_drop(shared: Services, version: Version) -> None:
    with st.form(f"data_drop_{version.number}", border=True):
        st.markdown("**Leave a class out**")
        st.selectbox("Class with its pictures", version.classes, key="data_drop_which")
        st.form_submit_button("Leave it out", icon=":material/remove:", on_click=_drop, args=(shared, version))
        st.caption("Its pictures stay on disk for older versions.")


def _drop(shared: Services, version: Version) -> None:
    which = st.session_state["data_drop_which"]
    changing.change(shared, version, lambda before: edits.drop_class(before, which), f"Class {quoted(which)} left out with its pictures.")


def listed(classes: tuple[str, ...], most: int = 8) -> str:
    """Names of classes in a line."""
    told = ", ".join(classes[:most])
    return f"{told} and {len(classes) - most:,} more" if len(classes) > most else told
