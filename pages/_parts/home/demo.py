"""The demo on Home: a fine-tune, the same from random weights, and both curves once they have run. What ran is read from the store alone."""

from __future__ import annotations

import math
from contextlib import suppress
from functools import cache

import numpy as np
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core import catalog
from core.catalog.demo import ABOUT, DEMO, DEMO_AT_RANDOM, DEMO_LARGE, EVERYTHING, LAST_STAGE, compared
from core.charts.lines import Line, accuracy_figure
from core.config import ConfigError, RunConfig
from core.records.events import RunStatus
from core.records.labels import LabelChange
from core.store import Run
from core.store.labelling import relabel
from core.store.trouble import StoreError
from pages._parts.shared import refusals, words
from pages._parts.shared.once import Click
from pages._parts.shared.places import alone
from pages._parts.shared.services import Services

LOOKED_AT = 200
"""The newest runs among which those of the demo are looked for."""

TRAINED, RANDOM = "trained weights", "random weights"

NAMED_TRAINED, NAMED_RANDOM, NAMED_LARGE = "Demo, trained weights", "Demo, random weights", "Demo, head of a resnet18"
"""What its runs are called, so that they can be told apart wherever they stand."""

_GO_ON, _ERROR = "home_go_on", "home_error"
_TRAIN = "train.py"


def go_on() -> None:
    """Open the page of a run that was just started: a callback cannot."""
    if _GO_ON in st.session_state:
        st.switch_page(_TRAIN, query_params={"run": st.session_state.pop(_GO_ON)})


def start_button(shared: Services, place: DeltaGenerator) -> None:
    """The demo itself."""
    place.button("Start the demo", type="primary", icon=":material/play_arrow:", on_click=_start, args=(shared, DEMO, NAMED_TRAINED, Click()))


def section(shared: Services) -> None:
    """What it is, what it is compared with, and what came of both."""
    if failed := refusals.noted(_ERROR):
        st.error(words.plain(f"Nothing was started. {failed}"), icon=":material/error:")
    st.caption(ABOUT)
    row = st.container(horizontal=True, vertical_alignment="center")
    row.button("The same from random weights", icon=":material/casino:", on_click=_start, args=(shared, DEMO_AT_RANDOM, NAMED_RANDOM, Click()))
    about = "resnet18 on all ten digits, from random weights: its head learns, the rest stays frozen."
    row.button("The head of a resnet18 instead", type="tertiary", on_click=_start, args=(shared, DEMO_LARGE, NAMED_LARGE, Click()), help=about)
    looking = _going(shared)
    alone(_came_of_it, shared, looking, every=2.0 if looking else None)


def _start(shared: Services, config: RunConfig, name: str, click: Click) -> None:
    """For the callback: the page is switched when it is drawn next."""
    refusals.forget(_ERROR)
    try:
        if not click.made:
            click.made = shared.supervisor.start(config)
            with suppress(StoreError):  # it trains, whatever it is called
                relabel(shared.store, shared.home.run_folder(click.made), click.made, LabelChange(name=name))
        st.session_state[_GO_ON] = click.made
    except (ConfigError, OSError) as error:
        refusals.note(_ERROR, str(error))


def _came_of_it(shared: Services, looking: bool) -> None:
    """Both curves and what they show; of one alone, that the other is there to be compared with."""
    runs = _runs(shared)
    if looking and not _active(runs):
        st.rerun(scope="app")  # once more, and then without a timer
    found = {name: _whole(shared, each) for name, each in runs.items()}
    if any(found.values()) and not all(found.values()):
        missing, button = (TRAINED, "Start the demo") if found[RANDOM] else (RANDOM, "The same from random weights")
        st.caption(f"Once it has run from {missing} too ({button}), both curves stand here, in one chart.{_steered(shared, runs[missing])}")
    elif not any(found.values()) and (steered := _steered(shared, [*runs[TRAINED], *runs[RANDOM]])):
        st.caption(f"Once both have run, from trained and from random weights, their curves stand here, in one chart.{steered}")
    pairs = [(name, *each) for name, each in found.items() if each]
    if len(pairs) < 2:
        return
    lines = [Line(name, np.arange(1, len(shares) + 1), 100 * np.array(shares)) for name, _, shares in pairs]
    marks = ((LAST_STAGE - 0.5, "the last stage learns too"), (EVERYTHING - 0.5, "all of it learns"))
    with st.container(border=True, key="demo_compared"):
        st.markdown(words.plain(compared(pairs[0][2], pairs[1][2])))
        st.plotly_chart(accuracy_figure(lines, marks), key="demo_chart", config={"displayModeBar": False})
        row = st.container(horizontal=True)
        links = ("Open the run from trained weights", "Open the run from random weights")
        for label, (_, run, _) in zip(links, pairs, strict=True):
            row.page_link(_TRAIN, label=label, icon=":material/show_chart:", query_params={"run": run.id})


def _steered(shared: Services, runs: list[Run]) -> str:
    """Why those of these runs that have ended are not shown; "" where there are none."""
    steered = any(run.status == RunStatus.FINISHED and _was_steered(shared, run) for run in runs)
    return " A run that was changed while it trained shows something else than the plan, so it is not compared." if steered else ""


def _was_steered(shared: Services, run: Run) -> bool:
    return any(row.source == "live" for row in shared.store.changes_after(run.id))


def _runs(shared: Services) -> dict[str, list[Run]]:
    """The runs of the demo and of what it is compared with, the newest first. Raises StoreError."""
    runs = shared.store.runs(LOOKED_AT)
    return {name: [run for run in runs if run.config == config] for name, config in _checked().items()}


@cache
def _checked() -> dict[str, RunConfig]:
    """As the store has them: every name in its canonical spelling."""
    return {TRAINED: catalog.check(DEMO), RANDOM: catalog.check(DEMO_AT_RANDOM)}


def _going(shared: Services) -> bool:
    """Whether one of them has not ended yet."""
    with suppress(StoreError):  # what cannot be read now says so in its own place
        return _active(_runs(shared))
    return False


def _active(runs: dict[str, list[Run]]) -> bool:
    return any(run.status.active for each in runs.values() for run in each)


def _whole(shared: Services, runs: list[Run]) -> tuple[Run, list[float]] | None:
    """The newest of these that ended by itself and was not steered, with its validation accuracies: a curve of what the plan does."""
    for run in runs:
        if run.status != RunStatus.FINISHED or _was_steered(shared, run):
            continue
        shares = [math.nan if row.validation_accuracy is None else row.validation_accuracy for row in shared.store.epochs_after(run.id)]
        if len(shares) == run.config.epochs and not any(map(math.isnan, shares)):
            return run, shares
    return None
