"""Autograd: one training step in slow motion, on real numbers, and the graph that its gradients flow through."""

import streamlit as st

from core.config import ConfigError
from core.helpers.helper import LabError
from core.records.walkthrough import Example, LabelsTried, Walkthrough
from pages._parts.autograd import choice as autograd_choice
from pages._parts.autograd import faults_view, modes_view
from pages._parts.autograd.choice import OWN
from pages._parts.components.grad_graph import closer_look, grad_graph
from pages._parts.components.slow_motion import drawn, picture, slow_motion
from pages._parts.setup import checks
from pages._parts.shared import draft, words
from pages._parts.shared.awaiting import awaited
from pages._parts.shared.fields import sentence
from pages._parts.shared.places import alone
from pages._parts.shared.services import services

_CLIENT = "autograd_client"

ABOUT_CODE = "Plain PyTorch that takes the same two steps. It runs as it stands."

shared = services()
draft.open_draft()


def example_of(kind: str, zero_grad: bool) -> Example | None:
    """What is to be looked at, or None where the draft cannot be used, with the reason said."""
    if kind != OWN:
        return Example(kind, zero_grad=zero_grad)  # type: ignore[arg-type]
    config, errors = checks.checked(shared)
    for name, message in errors.items():
        st.error(f"{words.field(name)}: {words.plain(sentence(message))}", icon=":material/error:")
    if config is None:
        st.info("The step appears here once what is set up on the Model screen fits together.", icon=":material/account_tree:")
        return None
    return Example("own", config, zero_grad)


def look(example: Example) -> Walkthrough | None:
    """The two steps, or None with the reason said. The first look at an example takes some seconds; another choice meanwhile gives it up."""
    doing = "Taking two real steps and writing down every number on the way"
    return awaited(lambda client: shared.lab.walkthrough(client, example), _CLIENT, doing)


def labels(tried: LabelsTried) -> None:
    """That other labels change the loss and no gradient."""
    with st.container(border=True, gap="xsmall", key="labels_tried"):
        st.markdown("**What the labels do here**")
        name = words.code(f"{tried.parameter}.grad")
        lines = [
            f"| | labels | loss | {name} |",
            "|---|---|---|---|",
            f"| as in the code | {words.plain(first(tried.labels))} | {words.plain(f'{tried.loss:,.2f}')} | {words.plain(first(tried.gradient))} |",
            f"| others | {words.plain(first(tried.other_labels))} | {words.plain(f'{tried.other_loss:,.2f}')} | "
            f"{words.plain(first(tried.other_gradient))} |",
        ]
        st.markdown("\n".join(lines))
        st.caption(words.plain(tried.found))


def first(values: tuple[float, ...]) -> str:
    """The first values of a tensor."""
    return " ".join(f"{value:.4g}" for value in values) + " ..."


def one_picture(example: Example, name: str) -> None:
    def find(step: int, number: int) -> str:
        try:
            return shared.lab.activation(example, step, number)
        except (ConfigError, LabError):
            return ""  # the moment says everything else; a picture that is missing is no reason to stop

    picture(name, find, key="autograd_picture")


def one_node(example: Example, name: str, nodes: int) -> None:
    closer_look(name, nodes, lambda id: shared.lab.node(example, id), lambda id: shared.lab.checks(example, id), key="autograd_node")


def faults(step_is_shown: bool) -> None:
    # After the step: a browser takes nearly as long over these cards as over all the rest.
    if not step_is_shown or drawn(key="autograd_drawn"):
        faults_view.show(shared)


def code(walkthrough: Walkthrough) -> None:
    # Written only where it is looked at: colouring it takes a browser as long as all the rest of the page.
    opened = st.expander("Show the PyTorch", icon=":material/code:", key="autograd_code", on_change="rerun")
    if opened.open:
        with opened:
            st.caption(ABOUT_CODE)
            st.code(walkthrough.code, language="python")


st.title("Autograd", anchor=False)
kind, zero_grad = autograd_choice.ask()
autograd_choice.keep_in_url()
if kind == OWN:
    autograd_choice.about_own(shared)
example = example_of(kind, zero_grad)
walkthrough = look(example) if example else None

if example and walkthrough:
    name = autograd_choice.name_of(example)
    st.caption(words.plain(walkthrough.about))
    for note in walkthrough.notes:
        st.caption(words.plain(note))

    st.subheader("A step in slow motion", anchor=False)
    slow_motion(walkthrough, name, key="autograd_motion")
    alone(one_picture, example, name)
    if walkthrough.labels_tried is not None:
        labels(walkthrough.labels_tried)

    st.subheader("The graph that the gradients flow through", anchor=False)
    grad_graph(walkthrough, name, key="autograd_graph")
    alone(one_node, example, name, len(walkthrough.graph.nodes))

    alone(code, walkthrough)

    st.subheader("Frozen, eval, no_grad: what each of them does", anchor=False)
    alone(modes_view.show, shared, example)

st.subheader("Break it on purpose", anchor=False)
alone(faults, walkthrough is not None)
