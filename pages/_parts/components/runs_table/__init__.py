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

LONGEST_ID, MOST_ASKED = 60, 200

COLUMNS = (
    "run_id", "called", "starred", "tags", "note", "status", "dataset", "version", "model", "freeze", "best_validation_accuracy", "best_epoch",
    "validation_accuracy", "last_epoch", "test_accuracy", "seconds", "device", "created", "seed", "learning_rate", "sweep",
)  # fmt: skip


NEXT = ("compare_chart.js", "looks.js", "scales.js", "plotly_loader.js")
"""What a comparison is drawn with: loaded once two runs are chosen, so that it is there when they are compared."""


def pressed() -> tuple[str, list[str]]:
    """What was pressed in the table since this was asked last: ("open", [run id]), ("compare", run ids), or ("", []).

    The ids come from a browser: there may be no such runs any more.
    """
    asked = st.session_state.pop(_ASKED, None)
    ids = asked.get("ids") if isinstance(asked, dict) else None
    if not isinstance(asked, dict) or not isinstance(ids, list) or not ids or asked.get("what") not in ("open", "compare"):
        return "", []
    return str(asked["what"]), [str(each)[:LONGEST_ID] for each in ids[:MOST_ASKED]]


def runs_table(rows: Sequence[Mapping[str, Any]], most: int, key: str) -> None:
    """Show the rows of `core.comparing.rows`, each with what the run is `called`. At most `most` runs may be chosen for a comparison.

    What is pressed in it is told by `pressed`, in the run of the script that follows.
    """
    ahead = {"modules": [assets.address(name) for name in NEXT], "plotly": assets.address("plotly.min.js")}
    told = {"most": most, "ahead": ahead, "rows": [[row[name] for name in COLUMNS] for row in rows]}

    def keep() -> None:  # a callback comes first: the rest of the run may be ended half-way by the fragment's clock
        st.session_state[_ASKED] = st.session_state[key].asked

    _component(key=key, data=json.dumps(told, separators=(",", ":")).encode(), on_asked_change=keep)
