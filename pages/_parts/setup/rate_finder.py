"""Beside the learning rate: rising rates tried on a copy, the curve, and the rate that follows from it, taken and put back with a press."""

from __future__ import annotations

import streamlit as st

from core.catalog.check import check
from core.catalog.optimizers import FIRST_STEP_ONLY
from core.charts.rates import rate_figure
from core.config import ConfigError, RunConfig
from core.lab.rates import Trial
from core.records.rate_curve import USUAL_STEPS, RateCurve
from pages._parts.setup import rate_hint
from pages._parts.shared import draft, words
from pages._parts.shared.draft import key
from pages._parts.shared.places import alone
from pages._parts.shared.services import Services

TICK = 0.5
"""Seconds between looks while rates are tried."""

ABOUT = (
    f"A copy is trained for {USUAL_STEPS} steps while the learning rate rises from step to step: too low, and nothing moves; too high, and the loss "
    "grows. The rate to take lies where the loss falls fastest (Smith 2015). Each group of layers keeps its ratio, frozen layers stay frozen, and "
    "the weights that a run starts from are untouched."
)
_BEFORE = "setup_rate_before"


def show(shared: Services) -> None:
    """The box below the first row of the training settings."""
    config = _usable()
    trial = shared.lab.rates.state(config) if config else None
    if trial is not None and "rate_finder" not in st.session_state:
        st.session_state["rate_finder"] = True  # after a refresh: it goes on, or has something to say
    box = st.expander("Find a learning rate", icon=":material/query_stats:", key="rate_finder", on_change="rerun")
    if not box.open:
        return
    with box:
        st.caption(words.plain(ABOUT))
        if config is None:
            st.info("It can be tried once the settings of this form can be used.", icon=":material/info:")
        elif config.optimizer in FIRST_STEP_ONLY:
            st.info(
                words.plain(f"{config.optimizer} takes the learning rate for its first step alone, and sizes the others itself."),
                icon=":material/info:",
            )
        else:
            working = trial is not None and trial.work.state == "working"
            if working:
                alone(_trial, shared, config, working, every=TICK)
            else:  # what it offers then changes the form, so a press draws all of it anew
                _trial(shared, config, working)


def _usable() -> RunConfig | None:
    config = rate_hint.usable()
    try:
        return check(config) if config else None
    except ConfigError:
        return None


def _trial(shared: Services, config: RunConfig, working: bool) -> None:
    """The button, how far it is, or what came of it. In a fragment with a clock while it works; once that ends, the page is drawn anew."""
    trial = shared.lab.rates.state(config)
    if (trial is not None and trial.work.state == "working") != working:
        st.rerun(scope="app")
    if trial is None:
        st.button("Try rising rates", key="rate_try", icon=":material/play_arrow:", on_click=shared.lab.rates.begin, args=(config,))
    elif working:
        _progress(shared, config, trial)
    elif trial.work.state == "failed":
        st.error(words.plain(words.sentence(trial.work.message or "nothing says why")), title="No rates could be tried", icon=":material/error:")
        st.button("Try again", key="rate_try", icon=":material/replay:", on_click=shared.lab.rates.begin, args=(config,))
    elif trial.curve is not None:
        _found(trial.curve)


def _progress(shared: Services, config: RunConfig, trial: Trial) -> None:
    share = trial.work.share
    known = f" · {100 * share:.0f}\u00a0%" if share is not None else ""
    told = words.plain(words.sentence(trial.work.message or "working").rstrip("."))
    st.progress(min(1.0, max(0.0, share or 0.0)), text=f"{told}{known}")
    st.button("Cancel", key="rate_cancel", icon=":material/close:", on_click=shared.lab.rates.cancel, args=(config,))


def _found(curve: RateCurve) -> None:
    st.plotly_chart(
        rate_figure(curve), key="rate_chart", config={"displayModeBar": False}, on_select=_chosen, selection_mode="points",
    )  # fmt: skip
    if curve.suggestion is None:
        st.warning(words.plain(words.sentence(f"no rate can be told from this: {curve.reason}")), icon=":material/help:")
    else:
        st.markdown(f"**{curve.suggestion:g}**: {words.plain(words.sentence(curve.reason))}")
    row = st.container(horizontal=True, vertical_alignment="center")
    before = st.session_state.get(_BEFORE)
    now = st.session_state.get(key("learning_rate"))
    if curve.suggestion is not None and now != curve.suggestion:
        row.button(f"Use {curve.suggestion:g}", key="rate_use", type="primary", icon=":material/check:", on_click=_use, args=(curve.suggestion,))
    if before is not None and before[1] == now:
        row.button(f"Put {before[0]:g} back", key="rate_undo", icon=":material/undo:", on_click=_undo)
    groups = f", in groups of {' and '.join(f'x {factor:g}' for factor, _ in curve.groups)}" if len(curve.groups) > 1 else ""
    same = "the same bits before and after" if curve.model[0] == curve.model[1] else "other bits than before: please report this"
    kept = "; what frozen layers compute was kept" if curve.kept else ""
    st.caption(
        f"{len(curve.rates):,} steps in {curve.seconds:.1f} s{groups}{kept}. The model has {same} (SHA-256 {words.code(curve.model[0][:8])}). "
        "A press on a point of the curve takes its rate."
    )


def _chosen() -> None:
    """A point of the curve was pressed: its rate is taken."""
    chosen = st.session_state["rate_chart"]
    points = chosen.selection.points if chosen else []
    if points:
        _use(float(f"{float(points[0]['x']):.2g}"))


def _use(rate: float) -> None:
    st.session_state[_BEFORE] = (st.session_state.get(key("learning_rate")) or rate, rate)
    draft.put(learning_rate=rate)


def _undo() -> None:
    before, _ = st.session_state.pop(_BEFORE)
    draft.put(learning_rate=before)
