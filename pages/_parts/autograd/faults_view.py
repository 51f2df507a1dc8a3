"""Break it on purpose: small real runs with a known failure, started with one click."""

from __future__ import annotations

import streamlit as st

from core.catalog.faults import PRESETS, Preset, preset_of
from core.config import ConfigError
from core.doctor import RULES
from core.store import Run
from pages._parts.shared import refusals, words
from pages._parts.shared.once import Click
from pages._parts.shared.services import Services

FIRST = 9
"""Presets that are shown at once: those of every course. The others are a click away."""

TRAIN_PAGE = "train.py"

_GO_ON = "faults_go_on"
_ERROR = "faults_error"


def show(shared: Services) -> None:
    """A card for each preset: what is broken, what to look for, and the button that starts it and opens its page."""
    run_id = st.session_state.pop(_GO_ON, None)
    if run_id:
        st.switch_page(TRAIN_PAGE, query_params={"run": run_id})
    st.markdown(
        "Each button starts a small real run on handwritten digits (8 px, over in seconds) in which one thing is wrong, and opens its page. "
        "The findings there say in words what it is."
    )
    if failed := refusals.noted(_ERROR):
        st.error(f"Nothing was started. {words.plain(failed)}", icon=":material/error:")
    before = _last_runs(shared)
    presets = list(PRESETS.values())
    _cards(shared, presets[:FIRST], before)
    # Drawn only where they are looked at: a browser draws what is in a closed expander as well.
    more = st.expander(f"{len(presets) - FIRST} more ways to break it", icon=":material/more_horiz:", key="more_faults", on_change="rerun")
    if more.open:
        with more:
            _cards(shared, presets[FIRST:], before)


def _cards(shared: Services, presets: list[Preset], before: dict[str, Run]) -> None:
    for start in range(0, len(presets), 3):
        for column, preset in zip(st.columns(3), presets[start : start + 3], strict=False):
            with column:
                _card(shared, preset, before.get(preset.name))


def _card(shared: Services, preset: Preset, before: Run | None) -> None:
    with st.container(border=True, height="stretch", key=f"fault_{preset.name}"):
        titles = ", ".join(f"“{RULES[rule].title}”" for rule in preset.findings)
        # Two texts, not four: a browser takes longest over how many things there are on a page.
        st.markdown(f"**{preset.label}**\n\n{preset.what}")
        st.caption(f"**What to look for:** {preset.watch_for}\n\n**Found as:** {titles}")
        row = st.container(horizontal=True, vertical_alignment="center")
        row.button(
            "Break it",
            key=f"break_{preset.name}",
            icon=":material/science:",
            help=f"Starts a run: {preset.label}",
            on_click=_start,
            args=(shared, preset, Click()),
        )
        if before is not None:
            row.page_link(TRAIN_PAGE, label=f"Last one, {words.ago(before.created)}", query_params={"run": before.id})


def _last_runs(shared: Services) -> dict[str, Run]:
    """The newest run of each preset, where there is one among the last 100."""
    found: dict[str, Run] = {}
    for run in shared.store.runs(limit=100):
        preset = preset_of(run.config)
        if preset is not None:
            found.setdefault(preset.name, run)
    return found


def _start(shared: Services, preset: Preset, click: Click) -> None:
    """For the callback: the page is switched when it is drawn next."""
    refusals.forget(_ERROR)
    try:
        click.made = click.made or shared.supervisor.start(preset.config)
        st.session_state[_GO_ON] = click.made
    except (ConfigError, OSError) as error:
        refusals.note(_ERROR, str(error))
