"""What import had to say of a version: each file that was left out, why, and what to do; what was changed on the way in."""

from __future__ import annotations

from typing import Any

import streamlit as st

from core.data.folders import counted_pictures
from core.records import telling
from core.versions import Version, shelf
from pages._parts.shared import words
from pages._parts.shared.services import Services

COLUMNS = {"file": "File", "reason": "Why", "remedy": "What to do"}

MOST = 2_000
"""Files of a list that are shown; the download has all."""


def show(shared: Services, version: Version) -> None:
    """The report of the version, or of the last one before it that was imported."""
    number, report = version.number, shelf.report_of(shared.home, version.dataset, version.number)
    for each in shelf.summaries(shared.home, version.dataset):
        if not report and each.number < version.number:
            number, report = each.number, shelf.report_of(shared.home, version.dataset, each.number)
    if not report:
        st.info("Nothing was imported into this dataset that left a report.", icon=":material/fact_check:")
        return
    if number != version.number:
        st.caption(f"Version {version.number:,} was made here; this is the report of version {number:,}, the last that was imported.")
    draw(report)


def draw(report: dict[str, Any]) -> None:
    """A report as sentences and a table."""
    if images := int(report.get("images", 0)):
        took = float(report.get("seconds", 0.0))
        st.caption(f"{counted_pictures(images)}, {telling.size(int(report.get('bytes', 0)))}, read in {telling.duration(took)}")
    for text in report.get("notes", ()):
        st.markdown(f":material/info: {words.plain(str(text))}")
    for text in report.get("left_out", ()):
        st.caption(words.plain(str(text)))
    skipped = list(report.get("skipped", ()))
    in_all = int(report.get("skipped_in_all", len(skipped)))
    if not skipped:
        st.success("Every picture was taken in.", icon=":material/check_circle:")
        return
    st.warning(f"{in_all:,} {'file was' if in_all == 1 else 'files were'} left out.", icon=":material/report:")
    st.dataframe(
        [{column: str(each.get(name, "")) for name, column in COLUMNS.items()} for each in skipped[:MOST]],
        hide_index=True,
        width="stretch",
    )
    if in_all > MOST:
        st.caption(f"and {in_all - MOST:,} more")
