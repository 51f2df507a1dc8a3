"""Try several settings: what varies, how, and how many runs; the button that begins them."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from core.config import ConfigError, RunConfig
from core.helpers.helper import LabError
from core.records.layers import head_options
from core.sweeps import drawing, engine, moving
from core.sweeps.plan import ASKED_FIRST, DEFAULT_RUNS, METHODS, PRUNERS, Plan
from core.sweeps.vary import as_text
from pages._parts.setup import checks
from pages._parts.shared import draft, refusals, words
from pages._parts.shared.once import Click
from pages._parts.shared.services import Services
from pages._parts.sweeps import state

_FAILED, _ASKED = "sweep_failed", "sweep_asked"
_SHOWN = 5
"""Settings that are shown before they begin."""

_TOLD = 50
"""Settings between two words on how many were looked at."""

ABOUT_VALUES = (
    "Values with | between them, or a range with .. between its ends: `1e-4..1e-1 log` spreads it by its logarithm, `in 5` makes five values of it."
)


def show(shared: Services, title: bool = True) -> None:
    """The form, below what the runs have in common."""
    config, errors = checks.checked(shared)
    state.open_plan()
    st.subheader("Try several settings", anchor=False)
    _what_stays(config, errors)
    plan, wrong = _ask(config)
    left, middle, right = st.columns([3, 3, 2])
    left.selectbox(
        "How the settings are chosen", [state.AUTOMATIC, *METHODS], key=state.key("method"), persist_state="session",
        help="automatic: every combination where all values are listed, else by chance",
    )  # fmt: skip
    middle.selectbox("Give up early", list(PRUNERS), key=state.key("pruner"), persist_state="session")
    right.number_input("Runs", min_value=1.0, step=1.0, format="%.0f", key=state.key("runs"), placeholder=_usual_runs(plan), persist_state="session")
    _said_of_choices(left, middle, wrong)
    if "runs" in wrong:
        right.error(words.plain(words.sentence(wrong["runs"])), icon=":material/error:")
    st.text_input("Name", key=state.key("called"), placeholder="What this sweep is about", persist_state="session", max_chars=200)
    if "name" in wrong:
        st.error(words.plain(words.sentence(wrong["name"])), icon=":material/error:")
    _begin(shared, plan, {**errors, **wrong})
    draft.keep_in_url({draft.SET_UP: "1", **state.in_url()})


def _what_stays(config: RunConfig | None, errors: dict[str, str]) -> None:
    row = st.container(horizontal=True, vertical_alignment="center", key="sweep_base")
    if config is None:
        field, message = next(iter(errors.items()))
        row.error(words.plain(f"The settings that all runs share cannot be used. {words.field(field)}: {message}"), icon=":material/error:")
    else:
        epochs = f"{config.epochs:,} epoch{'' if config.epochs == 1 else 's'}"
        row.markdown(words.plain(f"All runs share the settings of the form: {words.subject(config)}, {config.freeze}, {epochs}."), width="stretch")
    row.page_link("train.py", label="Change them", icon=":material/tune:", query_params={draft.SET_UP: "1"})


def _ask(config: RunConfig | None) -> tuple[Plan | None, dict[str, str]]:
    """What varies, a line a setting, each with what is wrong with it."""
    st.multiselect(
        "What varies", sorted({*state.FIELDS, *st.session_state[state.key("fields")]}, key=_order), key=state.key("fields"),
        format_func=words.field, help="Each run gets one value of each", persist_state="session",
    )  # fmt: skip
    fields = sorted(st.session_state[state.key("fields")], key=_order)
    for field in fields:
        state.suggest(field)
    plan, wrong = state.read(config)
    for field in fields:
        with st.container(gap="xxsmall", key=f"sweep_values_{field}"):
            label = f"Values of {words.plain(words.field(field).lower())}"
            st.text_input(label, key=state.key(field), persist_state="session", help=ABOUT_VALUES, autocomplete="off")
            if field in wrong:
                st.error(words.plain(words.sentence(wrong[field])), icon=":material/error:")
    if "vary" in wrong:
        st.info(words.plain(words.sentence(wrong["vary"])), icon=":material/tune:")
    return plan, wrong


def _usual_runs(plan: Plan | None) -> str:
    """How many runs there are where no number is given: every combination of what is listed, or so many that are drawn."""
    return "all" if plan is None or plan.method == "grid" else f"{DEFAULT_RUNS}"


def _order(field: str) -> tuple[int, str]:
    return (state.FIELDS.index(field) if field in state.FIELDS else len(state.FIELDS), field)


def _said_of_choices(left: st.delta_generator.DeltaGenerator, middle: st.delta_generator.DeltaGenerator, wrong: dict[str, str]) -> None:
    method, pruner = st.session_state[state.key("method")], st.session_state[state.key("pruner")]
    missing = engine.missing()
    for place, name, value, about in (
        (left, "method", method, METHODS.get(method, "Every combination where all values are listed, else by chance.")),
        (middle, "pruner", pruner, PRUNERS[pruner]),
    ):
        place.caption(words.plain(about))
        of_optuna = value not in ("automatic", "grid", "random", "none")
        message = wrong.get(name) or (f"{value!r} {missing}" if missing and of_optuna else "")
        if message:
            place.error(words.plain(words.sentence(message)), icon=":material/error:")


def _begin(shared: Services, plan: Plan | None, wrong: dict[str, str]) -> None:
    """What will happen, and the button."""
    unasked = {
        name: text for name, text in wrong.items() if name not in (*st.session_state[state.key("fields")], "vary", "method", "pruner", "runs", "name")
    }
    for name, text in unasked.items():
        st.error(words.plain(f"{words.field(name)}: {text}"), icon=":material/error:")
    failed = refusals.noted(_FAILED)
    if failed:
        st.error(words.plain(failed), icon=":material/error:", title="Nothing was started")
    if plan is not None:
        _preview(plan)
    large = plan is not None and plan.total >= ASKED_FIRST
    sure = st.checkbox(f"Yes, begin all {plan.total:,} runs", key="sweep_sure") if plan is not None and large else True
    row = st.container(horizontal=True, vertical_alignment="center", key="sweep_go")
    label = "Begin" if plan is None else f"Begin {plan.total:,} run{'' if plan.total == 1 else 's'}"
    row.button(
        label, type="primary", icon=":material/play_arrow:", key="sweep_begin", disabled=plan is None or not sure, on_click=_ask_to_begin,
        args=(plan, Click()),
    )  # fmt: skip
    _start(shared)


def _preview(plan: Plan) -> None:
    """How many runs, and the first of them."""
    every = plan.combinations
    said = f"{plan.total:,} run{'' if plan.total == 1 else 's'}"
    if every is not None and plan.method == "grid":
        said += ", every combination" if plan.total == every else f" of {every:,} combinations, taken by chance"
    beside = plan.side_by_side
    said += f"; up to {beside} at a time, once the first has kept what all of them share." if beside > 1 else ", one after the other."
    st.caption(words.plain(said))
    if plan.method in ("grid", "random"):
        shown = [given for given, _ in zip(drawing.settings_of(plan), range(min(_SHOWN, plan.total)), strict=False)]
        lines = [", ".join(f"{words.field(name).lower()} {as_text(value)}" for name, value in given.items()) for given in shown]
        more = [f"… and {plan.total - len(lines):,} more"] if plan.total > len(lines) else []
        st.caption("  \n".join(words.plain(line) for line in ["The first:", *lines, *more]))


def _ask_to_begin(plan: Plan | None, click: Click) -> None:
    st.session_state[_ASKED] = (plan, click)


def _start(shared: Services) -> None:
    """Begin the sweep that was asked for, and show it. What stands in the way of all of its runs is said above the button."""
    plan, click = st.session_state.pop(_ASKED, (None, Click()))
    if plan is None:
        return
    refusals.forget(_FAILED)
    if not click.made:
        try:
            click.made = begin(shared, plan, bar(plan.total, "Nothing has begun yet."))
        except ConfigError as error:
            refusals.note(_FAILED, f"{words.field(error.field)}: {error.message}")
        except (LabError, OSError) as error:
            refusals.note(_FAILED, str(error))
    if click.made:
        st.query_params.from_dict({"sweep": click.made})
    st.rerun()


def bar(total: int, so_far: str) -> Callable[[int], None]:
    """What shows how many of so many runs were looked at, once it is told; of few of them nothing. `so_far`: what has come of it meanwhile."""
    if total <= _TOLD:
        return lambda done: None
    shown = st.progress(0.0, "Looking at the settings of each run")

    def told(done: int) -> None:
        if done % _TOLD == 0:
            shown.progress(min(1.0, done / total), f"Looking at the settings of each run: {done:,} of {total:,}. {so_far}")

    return told


def begin(shared: Services, plan: Plan, progress: Callable[[int], None] = lambda done: None) -> str:
    """Queue the runs of a sweep, each looked at as one that the form starts; the sweep's id. Raises ConfigError, LabError and OSError.

    `progress` is told how many were looked at.
    """
    sweep_id, _ = moving.begin(shared.store, plan, checker(shared), progress)
    try:
        shared.supervisor.look_after()
    except OSError:  # they are in the queue, and the next look comes soon
        pass
    return sweep_id


def checker(shared: Services) -> drawing.Check:
    """What is asked of each run's settings before it is queued, as of one that the form starts. Raises ConfigError and LabError."""

    def checked(config: RunConfig) -> RunConfig:
        config = checks.check(shared, config)
        checks.check_layers(config, checks.layers(shared, config.dataset, config.model, config.image_size, head_options(config)))
        return config

    return checked
