"""Which example the Autograd screen looks at: two widgets, kept in the URL so that a refresh or a link shows the same."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import streamlit as st

from core.catalog import find_model
from core.config import ConfigError
from core.config.limits import quoted
from core.records.walkthrough import Example
from pages._parts.shared import draft, words
from pages._parts.shared.services import Services

CLASSIC, FINE_TUNING, OWN = "classic", "fine-tuning", "own"

EXAMPLES: Mapping[str, str] = {CLASSIC: "Classic step", FINE_TUNING: "Freeze for fine-tuning", OWN: "My model"}

MODEL_PAGE = "model.py"

_EXAMPLE, _ZERO_GRAD, _UNKNOWN = "autograd_example", "autograd_zero_grad", "autograd_unknown_example"
_IN_BROWSER = ("at", "plan", "node", "modes")
"""What else is in the URL: the moment of the step, the plan of the graph, the node that is looked at, and whether the modes are to be tried."""


def ask() -> tuple[str, bool]:
    """Which example, and whether the gradients of a step are dropped before the next one."""
    if _EXAMPLE not in st.session_state or draft.went_back():
        asked = st.query_params.get("example", CLASSIC)
        st.session_state[_EXAMPLE] = asked if asked in EXAMPLES else CLASSIC
        st.session_state[_UNKNOWN] = "" if asked in EXAMPLES else asked
        st.session_state[_ZERO_GRAD] = st.query_params.get("zero_grad") != "off"
    row = st.container(horizontal=True, vertical_alignment="bottom", gap="large")
    kind = row.segmented_control(
        "What to look at",
        list(EXAMPLES),
        format_func=lambda name: EXAMPLES[name],
        key=_EXAMPLE,
        required=True,
        persist_state="session",
    )
    zero_grad = row.toggle(
        "optimizer.zero_grad() before each step",
        key=_ZERO_GRAD,
        help="Switched off, the second backward pass adds its gradients to those of the first, as PyTorch does.",
        persist_state="session",
    )
    unknown = st.session_state.get(_UNKNOWN)
    if unknown and kind == CLASSIC:
        said = f"The link asks for the example {words.plain(quoted(unknown))}, which there is not; this is “{EXAMPLES[CLASSIC]}”."
        st.warning(said, icon=":material/link_off:")
    return kind or CLASSIC, zero_grad


def go_to(query: Mapping[str, str]) -> None:
    """Have the screen show what a link asks for that is followed on another screen: what was chosen here before would win otherwise."""
    st.session_state[_EXAMPLE] = query.get("example", CLASSIC)
    st.session_state[_ZERO_GRAD] = query.get("zero_grad") != "off"
    st.session_state[_UNKNOWN] = ""


def about_own(shared: Services) -> None:
    """What the draft is, and the way to where it is changed."""
    given = draft.values()
    rate = given["learning_rate"]
    facts = [
        f"**{words.plain(_label(str(given['model'])))}** on **{words.plain(str(given['dataset']))}**",
        f"images of {words.plain(str(given['image_size']))} px",
        f"freeze plan “{words.plain(str(given['freeze']))}”",
        words.plain(str(given["optimizer"])) + (f" at learning rate {rate:g}" if isinstance(rate, int | float) else ""),
    ]
    row = st.container(horizontal=True, vertical_alignment="center", gap="medium")
    row.markdown(", ".join(facts), width="stretch")
    row.page_link(MODEL_PAGE, label="Change it on Model", icon=":material/account_tree:")


def _label(model: str) -> str:
    """A model as a person reads it; one that nothing is known of keeps the name that it was given."""
    try:
        return find_model(model).label
    except ConfigError:
        return model


def name_of(example: Example) -> str:
    """A short name that tells this example from others: whose pictures and nodes an answer is about."""
    told = example.config.model_dump_json() if example.config else ""
    return f"{example.kind}-{example.zero_grad}-{hashlib.sha256(told.encode()).hexdigest()[:12]}"


def keep_in_url() -> None:
    """Write the choice into the URL, and for one's own model the draft too."""
    kind, zero_grad = st.session_state[_EXAMPLE], st.session_state[_ZERO_GRAD]
    chosen = {"example": kind} if kind != CLASSIC else {}
    if not zero_grad:
        chosen["zero_grad"] = "off"
    browser = {name: st.query_params[name] for name in _IN_BROWSER if name in st.query_params}
    if kind == OWN:
        draft.keep_in_url(chosen | browser)
    elif chosen | browser != st.query_params.to_dict():
        st.query_params.from_dict(chosen | browser)
