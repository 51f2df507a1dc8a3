"""What each run came to, and only what differs between their settings, as tables."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from pages._parts.compare.subject import Subject
from pages._parts.shared import words


def came_to(subject: Subject) -> None:
    """One row a run: best and last value with their epochs, test accuracy, time, device."""
    st.subheader("What they came to", anchor=False)
    rows = []
    for id, row in subject.found.runs.items():
        rows.append(
            {
                "Run": subject.names[id],
                "Status": row["status"],
                "Best validation": _share(row["best_validation_accuracy"]),
                "at epoch": row["best_epoch"],
                "Last validation": _share(row["validation_accuracy"]),
                "after epoch": row["last_epoch"],
                "Test": _share(row["test_accuracy"]),
                "Time": words.duration(row["seconds"]),
                "Device": row["device"] or "not known yet",
                "Open": f"train?run={id}",
            }
        )
    if rows:
        st.dataframe(
            pd.DataFrame(rows), hide_index=True, alt="What each run came to",
            column_config={"Open": st.column_config.LinkColumn(display_text="Open")},
        )  # fmt: skip
    else:
        st.caption("The best and the last values of runs of Thaw stand here; those of imported curves are below their charts.")
    for group in subject.found.spreads():
        best, test = group["best_validation_accuracy"], group["test_accuracy"]
        said = f"{len(group['runs'])} runs differ in their seed alone ({', '.join(map(str, group['seeds']))})"
        for what, spread in (("best validation accuracy", best), ("test accuracy", test)):
            if spread:
                said += f"; {what} {words.percent(spread['mean'])} ({words.percent(spread['low'])} to {words.percent(spread['high'])})"
        st.caption(words.plain(said + "."))


def differing(subject: Subject) -> None:
    """The settings in which the runs differ, and no others."""
    st.subheader("What differs", anchor=False)
    if len(subject.found.runs) < 2:
        st.caption("Settings are compared once two runs of Thaw are here.")
        return
    if not subject.found.differs:
        st.caption("Nothing: all their settings are the same.")
        return
    rows = [
        {"Setting": words.field(field), **{subject.names[id]: _value(value) for id, value in values.items()}}
        for field, values in subject.found.differs.items()
    ]
    st.dataframe(
        pd.DataFrame(rows), hide_index=True, alt="Settings in which the runs differ", column_config={"Setting": st.column_config.Column(pinned=True)}
    )


def _share(value: float | None) -> str:
    return "not measured" if value is None else words.percent(value)


def _value(value: Any) -> str:
    return "none" if value in (None, "", {}) else str(value)
