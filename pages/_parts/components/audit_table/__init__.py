"""The freeze audit as a table, tensor by tensor: faults first, sortable, with a filter; digests are copied with a click."""

from __future__ import annotations

import json
from pathlib import Path

import streamlit as st

from core.records.events import AuditReport, AuditRow, Verdict
from pages._parts.shared import assets

_FOLDER = Path(__file__).parent

_component = st.components.v2.component(
    "thaw_audit_table",
    html='<div class="thaw-audit"></div>\n',
    css=(_FOLDER.parent / "live_chart" / "virtual_table.css").read_text() + (_FOLDER / "audit_table.css").read_text(),
    js=assets.loader("audit_table.js", "virtual_table.js"),
    isolate_styles=False,
)


def audit_table(run_id: str, report: AuditReport) -> None:
    """Show the rows of an audit."""
    worst = list(Verdict)
    rows = sorted(report.rows, key=lambda row: worst.index(row.verdict) if row.verdict.fault else len(worst))
    data = json.dumps([_fields(row) for row in rows], separators=(",", ":")).encode()
    _component(key=f"audit-table-{run_id}", data=data)


def _fields(row: AuditRow) -> list[object]:
    return [
        row.name, row.count, row.verdict, row.requires_grad, row.in_optimizer, row.gradient, row.moved, row.statistics_moved, row.mode,
        row.frozen_since, row.before, row.after,
    ]  # fmt: skip
