"""One sweep: how far it is, what is best, and what all of its runs came to. Drawn anew by itself while it goes on."""

from __future__ import annotations

import math
from typing import Any

import streamlit as st

from core.charts.sweeps import Axis, Point, accuracy_against, parallel
from core.config import ConfigError
from core.sweeps import moving
from core.sweeps.outcome import Entry, Outcome, best_first, outcome, ranked
from pages._parts.shared import draft, words
from pages._parts.shared.places import alone
from pages._parts.shared.services import Services
from pages._parts.shared.store_told import careful
from pages._parts.sweeps import adding, answer_view
from pages._parts.sweeps.listing import badge, title_of

TICK = 2.0
_USE = "sweep_use"
_WAS_GOING = "sweep_was_going"


def go_to_form() -> None:
    """Go to the form that a click has filled, if one has. First of all on the page: the address has no sweep any more then."""
    if st.session_state.pop(_USE, False):
        st.switch_page("train.py", query_params={draft.SET_UP: "1"})


def show(shared: Services, sweep_id: str) -> None:
    """The whole screen."""
    try:
        found = outcome(shared.store, sweep_id)
    except ConfigError as error:
        st.title("Sweep", anchor=False)
        st.error(words.plain(error.message), icon=":material/error:")
        return
    st.title(words.plain(title_of(found)), anchor=False)
    st.session_state[_WAS_GOING] = found.going
    alone(_parts, shared, sweep_id, every=TICK if found.going else None)
    st.page_link("sweep.py", label="All sweeps, and a new one", icon=":material/arrow_back:", query_params={})


def _parts(shared: Services, sweep_id: str) -> None:
    found = outcome(shared.store, sweep_id)
    if found.going != st.session_state.get(_WAS_GOING):
        st.rerun(scope="app")  # with another clock, or none
    _head(shared, found)
    for line in found.refused:
        st.warning(words.plain(line), icon=":material/block:")
    if found.row.trouble:
        st.error(words.plain(found.row.trouble), icon=":material/error:")
    best = found.best
    if found.plan.about == "layers":
        answer_view.show(found, lambda place, freeze, key: _use_button(place, found, {"freeze": freeze}, key))
    elif best is not None:
        with st.container(border=True, horizontal=True, vertical_alignment="center", key="sweep_best"):
            st.markdown(words.plain(found.sentence), width="stretch")
            _use_button(st, found, best.given, "sweep_use_best")
    else:
        st.caption(words.plain(found.sentence))
    if best is not None and found.plan.about != "layers":  # there the depths have a chart of their own
        _charts(found)
    _table(found)


def _head(shared: Services, found: Outcome) -> None:
    """How far it is, and the buttons."""
    plan = found.plan
    with st.container(horizontal=True, vertical_alignment="center", key="sweep_about"):
        badge(found)
        varied = "; ".join(f"{vary.field} {vary.said}" for vary in plan.vary)
        st.caption(words.plain(f"{words.subject(plan.config)} · {plan.method} over {varied} · {found.row.id}"), width="stretch")
    with st.container(horizontal=True, vertical_alignment="bottom", key="sweep_head"):
        share = found.done / max(found.total, 1)
        left = "" if found.seconds_left is None else f", about {words.duration(found.seconds_left)} left"
        st.progress(min(share, 1.0), words.plain(f"{found.done:,} of {found.total:,} runs{left}"))
        if found.going:
            st.button(
                "Stop", icon=":material/stop:", key="sweep_stop", help="Runs that go on save their weights and end; no other begins",
                on_click=careful(moving.stop), args=(shared.store, found.row.id),
            )  # fmt: skip
        elif _can_go_on(found):
            st.button("Go on", icon=":material/play_arrow:", key="sweep_go_on", on_click=careful(_go_on), args=(shared, found.row.id))
        adding.ask(found)
    adding.carry_out(shared, found.row.id)


def _can_go_on(found: Outcome) -> bool:
    """Whether runs did not come to their end, other than by themselves."""
    return any(not entry.status.active and entry.status.continuable and entry.pruned is None and entry.status != "failed" for entry in found.entries)


def _go_on(shared: Services, sweep_id: str) -> None:
    moving.resume(shared.store, sweep_id)
    shared.supervisor.look_after()


def _use_button(place: Any, found: Outcome, given: dict[str, Any], key: str) -> None:
    """Fills the form with the settings of the sweep and these values. The page goes there, not the fragment."""
    if place.button("Use this", icon=":material/input:", key=key, help="Fill the form with these settings", on_click=_use, args=(found, given)):
        st.rerun(scope="app")


def _use(found: Outcome, given: dict[str, Any]) -> None:
    draft.set_up(found.plan.with_values(given), before=found.plan.config)
    st.session_state[_USE] = True


def _charts(found: Outcome) -> None:
    """Accuracy against time and against what learns, and all that varied side by side."""
    runs = ranked(found.entries)
    best = runs[0]
    left, right = st.columns(2)
    with left:
        st.subheader("Accuracy against time", anchor=False)
        points = [Point(run.seconds or 0.0, run.validation_accuracy or 0.0, _told(run), run is best) for run in runs if run.seconds]
        st.plotly_chart(accuracy_against(points, "Seconds of training"), key="sweep_by_time", config={"displayModeBar": False})
    with right:
        st.subheader("Accuracy against what learns", anchor=False)
        points = [Point(run.learning or 0, run.validation_accuracy or 0.0, _told(run), run is best) for run in runs if run.learning]
        st.plotly_chart(accuracy_against(points, "Numbers that learn"), key="sweep_by_learning", config={"displayModeBar": False})
    if len(runs) > 1:
        st.subheader("All settings side by side", anchor=False)
        st.caption("A line is a run, from the settings that it was given to the accuracy that it came to. Drag along an axis to keep a part of it.")
        axes = [Axis(words.field(vary.field), [_on_axis(run, vary.field) for run in runs], vary.log) for vary in found.plan.vary]
        colour = Axis("Validation accuracy (%)", [100 * (run.validation_accuracy or 0.0) for run in runs])
        st.plotly_chart(parallel(axes, colour), key="sweep_parallel", config={"displayModeBar": False})


def _on_axis(run: Entry, field: str) -> Any:
    value = run.given[field]
    return value if isinstance(value, int | float) and not isinstance(value, bool) else run.values[field]


def _told(run: Entry) -> str:
    return ", ".join(f"{name} {value}" for name, value in run.values.items())


def _table(found: Outcome) -> None:
    """Every run, the best first, with the way to its page."""
    st.subheader("Runs", anchor=False)
    best, rest = best_first(found.entries)
    rows = [*(_row(entry, number) for number, entry in enumerate(best, 1)), *(_row(entry, None) for entry in rest)]
    percent = st.column_config.NumberColumn(format="%.1f %%", width="small")
    st.dataframe(
        rows,
        hide_index=True,
        key="sweep_table",
        height=560 if len(rows) > 14 else "auto",
        placeholder="-",
        alt="The runs of this sweep, the best first",
        column_config={
            "Rank": st.column_config.NumberColumn(width="small", help="By validation accuracy; of equal ones the quicker first"),
            "Validation": percent,
            "Test": percent,
            "Time (s)": st.column_config.NumberColumn(format="%.1f", width="small", help="Seconds of training, without pauses"),
            "Numbers that learn": st.column_config.NumberColumn(format="localized"),
            "Run": st.column_config.LinkColumn(display_text=r"run=(.+)$", help="Opens the run's page"),
        },
    )
    failed = [entry for entry in found.entries if entry.error and entry.status == "failed"]
    for entry in failed[:3]:
        first = (entry.error or "").strip().splitlines()
        st.error(words.plain(f"{_told(entry)}: {first[0][:300] if first else 'failed'}"), icon=":material/error:")
    if len(failed) > 3:
        st.caption(f"{len(failed) - 3:,} more runs failed; their pages say why.")


def _row(entry: Entry, rank: int | None) -> dict[str, Any]:
    def percent(share: float | None) -> float | None:
        return None if share is None or math.isnan(share) else 100 * share

    return {
        "Rank": rank,
        "Run": f"train?run={entry.run_id}",
        **{words.field(name): value for name, value in entry.values.items()},
        "Validation": percent(entry.validation_accuracy),
        "Test": percent(entry.test_accuracy),
        "Time (s)": entry.seconds,
        "Numbers that learn": entry.learning,
        "Status": entry.said,
    }
