"""What is being set up as a sweep, in widgets and in the URL: what varies, how, and how many runs. The settings that stay are the draft's."""

from __future__ import annotations

import streamlit as st

from core.config import ConfigError, RunConfig
from core.sweeps.plan import METHODS, PRUNERS, Plan, make
from core.sweeps.vary import Vary, parse

SUGGESTED = {
    "learning_rate": "1e-4..1e-1 log",
    "freeze": "head only|last stage|train everything",
    "optimizer": "AdamW|SGD",
    "seed": "0..2",
    "batch_size": "16|32|64",
    "weight_decay": "1e-5..1e-1 log",
    "momentum": "0|0.9",
    "head_dropout": "0|0.2|0.5",
    "head_hidden": "none|256",
    "schedule": "constant|CosineAnnealingLR",
    "augmentation": "none|flip",
    "epochs": "5|10|20",
    "image_size": "32|64",
    "clip_norm": "none|1",
    "learning_rate_multipliers": "head=1|body=0.1, head=1",
}
"""What is offered to vary, each with what it begins with."""

FIELDS = tuple(SUGGESTED)
AUTOMATIC = "automatic"
_WIDGET = "sweep_set_up"
_SEEN = "sweep_seen_in_url"


def key(name: str) -> str:
    """The key of a widget."""
    return f"{_WIDGET}_{name}"


def open_plan() -> None:
    """See to it that every widget has a value: what it had, else what the URL says, else what is suggested."""
    in_url = {name: st.query_params.get(name, "") for name in ("vary", "method", "runs", "pruner", "called")}
    if key("fields") in st.session_state and in_url == st.session_state.get(_SEEN, in_url):
        return
    found: dict[str, str] = {}
    for text in filter(None, in_url["vary"][:20_000].split("\n")):
        field, _, values = text.partition("=")
        if field in RunConfig.model_fields:
            found[field] = values
    found = found or {"learning_rate": SUGGESTED["learning_rate"]}
    st.session_state[key("fields")] = list(found)
    for field, values in found.items():
        st.session_state[key(field)] = values
    st.session_state[key("method")] = in_url["method"] if in_url["method"] in METHODS else AUTOMATIC
    st.session_state[key("pruner")] = in_url["pruner"] if in_url["pruner"] in PRUNERS else "none"
    runs = in_url["runs"]
    st.session_state[key("runs")] = float(runs[:6]) if runs[:6].isdecimal() else None
    st.session_state[key("called")] = in_url["called"][:200]
    st.session_state[_SEEN] = in_url


def fill(plan: Plan) -> None:
    """Have the widgets say what a sweep was asked. For callbacks."""
    state = st.session_state
    state[key("fields")] = [vary.field for vary in plan.vary]
    for vary in plan.vary:
        state[key(vary.field)] = vary.said
    state[key("method")], state[key("pruner")] = plan.method, plan.pruner
    state[key("runs")] = None if plan.method == "grid" else float(plan.runs or 0) or None
    state[key("called")] = plan.name
    state[_SEEN] = dict.fromkeys(("vary", "method", "runs", "pruner", "called"), "")


def in_url() -> dict[str, str]:
    """What the URL keeps of it."""
    state = st.session_state
    given = {"vary": "\n".join(f"{field}={state.get(key(field), '')}" for field in state[key("fields")])}
    if state[key("method")] != AUTOMATIC:
        given["method"] = state[key("method")]
    if state[key("pruner")] != "none":
        given["pruner"] = state[key("pruner")]
    if state[key("runs")]:
        given["runs"] = f"{state[key('runs')]:.0f}"
    if state[key("called")]:
        given["called"] = state[key("called")]
    st.session_state[_SEEN] = {name: given.get(name, "") for name in ("vary", "method", "runs", "pruner", "called")}
    return given


def suggest(field: str) -> None:
    """A field that is chosen anew begins with what is suggested for it."""
    if not st.session_state.get(key(field)):
        st.session_state[key(field)] = SUGGESTED.get(field, "")


def read(config: RunConfig | None) -> tuple[Plan | None, dict[str, str]]:
    """The plan that the widgets say, or None; and what is wrong, by field (or by `method`, `runs`, `vary`)."""
    state = st.session_state
    errors: dict[str, str] = {}
    vary: list[Vary] = []
    for field in state[key("fields")]:
        try:
            vary.append(parse(f"{field}={state.get(key(field)) or ''}"))
        except ConfigError as error:
            errors[field] = error.message
    if not state[key("fields")]:
        errors["vary"] = "nothing varies yet; choose at least one setting"
    if errors or config is None:
        return None, errors
    method = state[key("method")]
    runs = state[key("runs")]
    try:
        return make(
            config,
            tuple(vary),
            None if method == AUTOMATIC else method,
            state[key("pruner")],
            int(runs) if runs else None,
            name=state[key("called")],
            seed=config.seed,
        ), {}
    except ConfigError as error:
        return None, {error.field: error.message}
