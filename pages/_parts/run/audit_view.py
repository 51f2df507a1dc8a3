"""The freeze audit of a run: the proof that nothing frozen has moved, or what is wrong and how to mend it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import streamlit as st

from core.config.plans import Change
from core.records.audits import FAULTS, about, headline
from core.records.events import AuditRow, Verdict
from core.store import Run
from pages._parts.components.audit_table import audit_table
from pages._parts.run.run_state import paths
from pages._parts.run.steering_view import ask_button
from pages._parts.shared import draft, words
from pages._parts.shared.services import Services

TICK = 3.0
"""Seconds between looks at the audit while a run goes on: the worker's own come about as often."""


@dataclass(frozen=True)
class Remedy:
    """What mends a fault: a rule about each faulty tensor, `{}` in place of its name."""

    label: str
    rule: str


REMEDIES: dict[Verdict, Remedy] = {
    Verdict.LEAKING: Remedy("Freeze them properly", "{}"),
    Verdict.DRIFTING: Remedy("Freeze them properly", "{}"),
    Verdict.NO_OPTIMIZER: Remedy("Give them to the optimizer", "!{}"),
    Verdict.IDLE: Remedy("Freeze them", "{}"),
}


def show(shared: Services, run: Run) -> None:
    """The headline always, the rest once it is opened. For a fragment, so that the charts are left alone."""
    report = shared.store.audit(run.id)
    if report is None:
        if run.status.active and run.plan is not None:
            st.caption(":material/policy: Freeze audit: the first look is still to come.")
        return
    faulty = any(row.verdict.fault for row in report.rows)
    said = headline(report, shared.store.run(run.id).step)
    st.markdown(f"{':material/report:' if faulty else ':material/verified_user:'} **Freeze audit: {words.plain(said)}**")
    # Not the headline: an expander whose label changes is another one, and closed.
    box = st.expander("Every tensor of the freeze audit, and the proof", key=f"audit_{run.id}", expanded=faulty, on_change="rerun")
    if not box.open:
        return
    with box:
        for verdict in REMEDIES:
            _fault(shared, run, verdict, [row for row in report.rows if row.verdict == verdict])
        st.caption(words.plain(about(report)))
        audit_table(run.id, report)


def _fault(shared: Services, run: Run, verdict: Verdict, rows: list[AuditRow]) -> None:
    if not rows:
        return
    fault, remedy = FAULTS[verdict], REMEDIES[verdict]
    icon = ":material/error:" if verdict in (Verdict.LEAKING, Verdict.NO_OPTIMIZER) else ":material/warning:"
    names = [row.name for row in rows]
    listed = ", ".join(words.code(name) for name in names[:6]) + (f" and {len(names) - 6:,} more" if len(names) > 6 else "")
    box = st.container(border=True, key=f"fault_{verdict.name.lower()}", horizontal=True, vertical_alignment="center")
    with box:
        text = box.container(gap="xxsmall", width="stretch")
        text.markdown(f"{icon} **{len(rows):,} {'tensor' if len(rows) == 1 else 'tensors'}: {words.plain(fault.what)}.** {words.plain(fault.why)}")
        text.caption(listed)
        rules = _rules(run, remedy, rows)
        if not rules:
            text.caption("It has no parameters of its own, so no rule names it: freeze or unfreeze the layers around it.")
        elif run.status.active:
            ask_button(box, shared, run, remedy.label, Change(rules=rules), key=f"mend_{verdict.name.lower()}")
        else:
            about = f"Opens the form with these settings and the freeze plan changed: {words.plain(words.change(', '.join(rules)))}"
            label = f"Set up a run that does: {remedy.label[:1].lower()}{remedy.label[1:]}"
            if st.button(label, key=f"again_{verdict.name.lower()}", icon=":material/replay:", help=about):
                _use_mended(run, rules)
                st.rerun(scope="app")  # a button in a fragment draws that alone anew


def _rules(run: Run, remedy: Remedy, rows: Iterable[AuditRow]) -> tuple[str, ...]:
    """The remedy's rule for all faulty tensors together, about them and about no others."""
    faulty = {row.name for row in rows if row.count}
    names = [layer.name for layer in run.plan.layers] if run.plan else []
    return tuple(remedy.rule.format(path) for path in paths(names, faulty))


def _use_mended(run: Run, rules: tuple[str, ...]) -> None:
    plan = run.config.freeze.then(Change(rules=rules))
    draft.set_up(run.config.replace(freeze=str(plan)), before=run.config)
