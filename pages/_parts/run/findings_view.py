"""What the doctor found out about a run: live, one line of chips above the charts, worst first.

A chip opens over the page and pushes nothing: in it what was found in words, and what can be done about it at one click.
"""

from __future__ import annotations

from collections import Counter

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.catalog.faults import preset_of
from core.config import FAULTS, ConfigError, RunConfig
from core.config.plans import Change
from core.doctor import RULES
from core.records.findings import Diagnosis, Finding, Severity
from core.store import Run
from pages._parts.components.live_chart import evidence_link
from pages._parts.run import findings_chart
from pages._parts.run.steering_view import ask_button
from pages._parts.shared import draft, words
from pages._parts.shared.services import Services

TICK = 2.0
"""Seconds between looks at the findings while a run goes on: the doctor's own come a few times a second at most."""

LOOKS: dict[Severity, tuple[str, str, words.Colour]] = {
    "serious": ("Serious", ":material/error:", "red"),
    "warning": ("Warning", ":material/warning:", "orange"),
    "note": ("Note", ":material/info:", "blue"),
}
"""A severity as a word, an icon and a colour: never a colour alone."""

_USED = "findings_settings_used"


def anything(shared: Services, run: Run) -> bool:
    """Whether the line of chips says anything, or will."""
    return run.status.active or is_broken(run) or shared.store.findings(run.id) is not None


def show(shared: Services, run: Run) -> None:
    """The line of chips, as high with findings as without any. For a fragment, so that the charts are left alone."""
    if st.session_state.pop(_USED, False):
        st.rerun(scope="app")  # the form takes the page's place
    with st.container(key="run_findings", horizontal=True, wrap=False, vertical_alignment="center", gap="xsmall"):
        broken(run)
        diagnosis = shared.store.findings(run.id)
        if diagnosis is None:
            if run.status.active:
                st.caption(":material/stethoscope: Findings: the doctor looks once the run has its model and data.")
            return
        said = headline(shared.store.run(run.id), diagnosis)
        # Beside chips the line is short: what was looked at, and when, stands in the last of them.
        short = said.partition(" (")[0] if diagnosis.open else said
        with st.container(key="run_counted" if diagnosis.open else "run_none_found", width="content"):
            st.markdown(f":material/stethoscope: **{words.plain(short)}**", width="content")
        for finding in diagnosis.open:
            _finding(shared, run, finding)
        _resolved(run, diagnosis)
        _rules(run, diagnosis, said)


def _resolved(run: Run, diagnosis: Diagnosis) -> None:
    if not diagnosis.resolved:
        return
    box = st.popover("Resolved findings", icon=":material/task_alt:", key=f"resolved_{run.id}", on_change="rerun")
    if not box.open:
        return
    with box, st.container(key="findings_resolved"):
        for finding in diagnosis.resolved:
            word, icon, _ = LOOKS[finding.severity]
            st.markdown(f"{icon} **{words.plain(finding.title)}** ({word.lower()}, steps {finding.since_step:,} to {finding.resolved_step:,})")
            st.caption(words.plain(finding.cause))
            evidence_link(run.id, finding, key=f"evidence_link_{run.id}_{finding.rule}_{finding.since_step}")


def _rules(run: Run, diagnosis: Diagnosis, said: str) -> None:
    box = st.popover("What the doctor looks at", icon=":material/checklist:", type="tertiary", key=f"rules_{run.id}", on_change="rerun")
    if not box.open:
        return
    with box, st.container(key="findings_rules"):
        st.markdown(f"**{words.plain(said)}**")
        st.markdown("\n".join(f"- **{rule.title}:** {rule.about}" for name, rule in RULES.items() if name in diagnosis.rules))


def headline(run: Run, diagnosis: Diagnosis) -> str:
    """'Findings: 1 serious, 2 warnings', or that there are none, how many rules were looked at, and at which step that was."""
    step = f"after step {diagnosis.step:,}"
    if not diagnosis.final and run.status.active and run.step > diagnosis.step:
        step += f" of {run.step:,} so far"
    if not diagnosis.open:
        return f"No findings: {len(diagnosis.rules)} rules looked at, {step}"
    counts = Counter(finding.severity for finding in diagnosis.open)
    plural = {"serious": "serious", "warning": "warnings", "note": "notes"}
    said = [f"{counts[severity]} {severity if counts[severity] == 1 else plural[severity]}" for severity in LOOKS if counts[severity]]
    return f"Findings: {', '.join(said)} ({len(diagnosis.rules)} rules looked at, {step})"


def is_broken(run: Run) -> bool:
    """Whether something was broken in it on purpose."""
    return preset_of(run.config) is not None or run.config.fault != "none"


def broken(run: Run) -> None:
    """What was broken on purpose in a run, and what to look for."""
    if not is_broken(run):
        return
    config = run.config
    preset = preset_of(config)
    named = preset.label if preset else words.plain(config.fault)
    box = st.popover(f"Broken on purpose: {named}", icon=":material/science:", key=f"broken_{run.id}", on_change="rerun")
    if not box.open:
        return
    with box, st.container(key="findings_broken"):
        st.markdown(f"{preset.what} **What to look for:** {preset.watch_for}" if preset else FAULTS[config.fault])


def _finding(shared: Services, run: Run, finding: Finding) -> None:
    """A chip with the name of the rule, which stays the same: a chip whose label changes is another one, and closed."""
    word, icon, colour = LOOKS[finding.severity]
    key = finding.rule.replace(" ", "_")
    about = f"{word}: {words.plain(finding.title)}"
    chip = f"chip_{finding.severity}_{key}_{run.id}"
    box = st.popover(words.plain(finding.rule[:1].upper() + finding.rule[1:]), icon=icon, key=chip, help=about, on_change="rerun")
    if not box.open:
        return
    with box, st.container(gap="xsmall", key=f"finding_{key}"):
        head = st.container(horizontal=True, vertical_alignment="center", gap="small")
        head.badge(word, icon=icon, color=colour)
        since = "from the start" if not finding.since_step else f"since step {finding.since_step:,}"
        head.markdown(f"**{words.plain(finding.title)}** · {since}", width="stretch")
        st.markdown(words.plain(finding.cause))
        st.markdown(f":material/build: {words.plain(finding.remedy.advice)}")
        _buttons(st.container(horizontal=True, vertical_alignment="center"), shared, run, finding, key)
        # A constant label: an expander whose label changes is another one, and closed.
        more = st.expander(
            "Where to see it, and when it is a false alarm", icon=":material/query_stats:", key=f"evidence_{run.id}_{key}", on_change="rerun"
        )
        if more.open:
            with more:
                st.markdown(f"**A false alarm?** {words.plain(finding.false_alarm)}")
                findings_chart.show(shared, run, finding)


def _buttons(row: DeltaGenerator, shared: Services, run: Run, finding: Finding, key: str) -> None:
    """The place where it can be seen, and the remedies that one click brings."""
    remedy = finding.remedy
    with row:
        evidence_link(run.id, finding, key=f"evidence_link_{run.id}_{key}")
    if remedy.change and run.status.active:
        ask_button(row, shared, run, f"Do it now: {words.change(remedy.change, most=2)}", Change.parse(remedy.change), key=f"mend_now_{key}")
    mended = mended_config(run.config, finding)
    if mended is not None:
        said = ", ".join(f"{words.field(name)}: {_value(value)}" for name, value in remedy.settings.items())
        row.button(
            "Use these settings",
            key=f"mend_next_{key}",
            icon=":material/replay:",
            help=f"Opens the form with the settings of this run and what mends it: {words.plain(said)}",
            on_click=_use,
            args=(mended, run.config),
        )
        row.caption(words.plain(said), width="content")


def mended_config(config: RunConfig, finding: Finding) -> RunConfig | None:
    """The run's settings with what mends it; None where nothing can be set, or where it does not go together with the rest."""
    try:
        return config.replace(**finding.remedy.settings) if finding.remedy.settings else None
    except ConfigError:
        return None


def _value(value: bool | int | float | str | None) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _use(mended: RunConfig, before: RunConfig) -> None:
    draft.set_up(mended, before=before)
    st.session_state[_USED] = True
