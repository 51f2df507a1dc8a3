"""Further runs of a sweep that is there: asked for, looked at one by one with progress, and queued all together or not at all."""

from __future__ import annotations

import streamlit as st

from core.config import ConfigError
from core.helpers.helper import LabError
from core.sweeps import moving
from core.sweeps.moving import MOST_SEEDS
from core.sweeps.outcome import Outcome
from core.sweeps.plan import ASKED_FIRST, MOST_RUNS, Plan
from pages._parts.shared import draft, refusals, words
from pages._parts.shared.once import Click
from pages._parts.shared.services import Services
from pages._parts.sweeps import set_up, state

_ASKED, _FAILED = "sweep_more_asked", "sweep_more_failed"


def ask(found: Outcome) -> None:
    """Further runs; of a grid of which all is tried, further seeds; and the way to a sweep like this one with other values."""
    plan = found.plan
    with st.popover("Add runs", icon=":material/add:", key="sweep_more"):
        if plan.whole_grid:
            times = sum(entry.given.get("seed") == found.entries[0].given.get("seed") for entry in found.entries) if found.entries else 0
            said = f"All {plan.combinations or 0:,} combinations are in it. Other seeds repeat each of them and show what chance does to it"
            st.caption(f"{said}: {times:,} runs a seed.")
            _how_many(found, "seeds", MOST_SEEDS, 1, max(1, times))
        elif plan.method == "grid" and found.row.tried >= (plan.combinations or 0):
            st.caption(f"All {plan.combinations or 0:,} combinations are in it.")
        else:
            left = (plan.combinations or 0) - found.row.tried if plan.method == "grid" else MOST_RUNS - len(found.entries)
            _how_many(found, "runs", max(1, left), 8, 1)
        about = "Set up a sweep like this one"
        if st.button("Other values", icon=":material/tune:", key="sweep_like_this", help=about, on_click=_like, args=(plan,)):
            st.rerun(scope="app")


def _how_many(found: Outcome, what: str, most: int, usual: int, runs_each: int) -> None:
    """How many further `what`, each so many runs, and the button that asks for them; many are asked about first."""
    start = float(min(usual, most))
    count = int(st.number_input(f"Further {words.plain(what)}", 1.0, float(most), start, 1.0, "%.0f", key=f"sweep_more_{what}") or 1)
    runs = count * runs_each
    sure = runs < ASKED_FIRST or st.checkbox(f"Yes, add {runs:,} runs", key="sweep_more_sure")
    args = (found.row.id, what, count, runs, Click())
    st.button("Add them", icon=":material/add:", key="sweep_add", disabled=not sure, on_click=_asked, args=args)


def _asked(sweep_id: str, what: str, count: int, runs: int, click: Click) -> None:
    st.session_state[_ASKED] = (sweep_id, what, count, runs, click)


def carry_out(shared: Services, sweep_id: str) -> None:
    """Add what was asked for, with how far that is, and draw the page anew; or say what stood in the way."""
    of, what, count, runs, click = st.session_state.pop(_ASKED, ("", "", 0, 0, Click()))
    if of == sweep_id and not click.made:
        _add(shared, sweep_id, what, count, runs, click)
        st.rerun(scope="app")
    if failed := refusals.noted(_FAILED):
        st.error(words.plain(failed), title="Nothing was added", icon=":material/error:")


def _add(shared: Services, sweep_id: str, what: str, count: int, runs: int, click: Click) -> None:
    refusals.forget(_FAILED)
    add = moving.add_seeds if what == "seeds" else moving.add_more
    try:
        add(shared.store, sweep_id, count, set_up.checker(shared), set_up.bar(runs, "Nothing is added yet."))
        click.made = sweep_id
        shared.supervisor.look_after()
    except ConfigError as error:
        refusals.note(_FAILED, f"{words.field(error.field)}: {error.message}")
    except LabError as error:
        refusals.note(_FAILED, str(error))
    except OSError as error:  # also StoreError; what is in the queue by now begins at the next look
        if not click.made:
            refusals.note(_FAILED, str(error))


def _like(plan: Plan) -> None:
    """Fill the form of sweeps with what this one was asked."""
    draft.set_up(plan.config)
    state.fill(plan)
    st.query_params.from_dict({draft.SET_UP: "1"})
