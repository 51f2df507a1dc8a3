"""All runs as a table: sorted by its headers, filtered, and with a box in each row that takes the run into a comparison."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import streamlit as st

from pages._parts.shared import assets

_FOLDER = Path(__file__).parent

_component = st.components.v2.component(
    "thaw_runs_table",
    html='<div class="thaw-runs"></div>\n',
    css=(_FOLDER.parent / "live_chart" / "virtual_table.css").read_text() + (_FOLDER / "runs_table.css").read_text(),
    js=assets.loader("runs_table.js", "virtual_table.js", "looks.js"),
    isolate_styles=False,
)

_ASKED = "runs_table_asked"
"""Where the session keeps a press until it is followed."""

COLUMNS = (
    "run_id", "called", "starred", "tags", "note", "status", "dataset", "version", "model", "freeze", "best_validation_accuracy", "best_epoch",
    "validation_accuracy", "last_epoch", "test_accuracy", "seconds", "device", "created", "seed", "learning_rate",
)  # fmt: skip


def runs_table(rows: Sequence[Mapping[str, Any]], most: int, key: str) -> tuple[str, list[str]]:
    """Show the rows of `core.comparing.rows`, each with what the run is `called`. At most `most` runs may be chosen for a comparison.

    Returns:
        The id of a run that somebody wants to open, empty: of none; and those that are to be compared, none: nobody asks.
    """
    text = json.dumps({"most": most, "rows": [[row[name] for name in COLUMNS] for row in rows]}, separators=(",", ":"))

    def pressed() -> None:  # a callback comes first: the rest of the run may be ended half-way by the fragment's clock
        st.session_state[_ASKED] = st.session_state[key].asked

    _component(key=key, data=text.encode(), on_asked_change=pressed)
    asked = st.session_state.pop(_ASKED, None)
    if not isinstance(asked, dict):
        return "", []
    known = {row["run_id"] for row in rows}
    ids = [str(each) for each in asked.get("ids", ()) if each in known]
    return (ids[0], []) if asked.get("what") == "open" and ids else ("", ids)
