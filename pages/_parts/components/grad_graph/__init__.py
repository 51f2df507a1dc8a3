"""The `grad_fn` graph of a step, drawn in the browser: a tree that opens and closes, its picture, and one node looked at closely."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import streamlit as st
from pydantic import TypeAdapter

from core.config.errors import ConfigError
from core.helpers.helper import LabError
from core.records.walkthrough import Check, Graph, NodeStory, ParameterLook, Walkthrough
from pages._parts.shared import assets
from pages._parts.shared.words import refusal

_FOLDER = Path(__file__).parent
_GRAPH = TypeAdapter(Graph)
_PARAMETERS = TypeAdapter(tuple[ParameterLook, ...])
_STORY = TypeAdapter(NodeStory)
_CHECKS = TypeAdapter(tuple[Check, ...])

# The graph is the same whichever node is looked at, so its closer look is asked for, and comes, by components of their own, in another fragment.
_component = st.components.v2.component(
    "thaw_grad_graph",
    html='<div class="thaw-graph"></div>\n',
    css=(_FOLDER / "grad_graph.css").read_text(),
    js=assets.loader("grad_graph.js", "step_words.js"),
    isolate_styles=False,
)
_story, _checks = (
    st.components.v2.component(name, html="<div></div>", js=assets.loader("grad_graph.js", mount=mount), isolate_styles=False)
    for name, mount in (("thaw_node_story", "take"), ("thaw_node_checks", "takeChecks"))
)


def grad_graph(walkthrough: Walkthrough, name: str, key: str) -> None:
    """Show the graph of a walkthrough. `name` tells this walkthrough from others."""
    graph = _GRAPH.dump_json(walkthrough.graph)
    parameters = _PARAMETERS.dump_json(walkthrough.parameters)
    _component(key=key, data=b'{"name":"%s","parameters":%s,"graph":%s}' % (name.encode(), parameters, graph))


def closer_look(name: str, nodes: int, tell: Callable[[int], NodeStory], check: Callable[[int], tuple[Check, ...]], key: str) -> None:
    """Bring what a person wants to know about one of the graph's `nodes` nodes. In a fragment of its own: only this is drawn anew then.

    Args:
        tell: id -> the node's story, which is there at once.
        check: id -> the chain rule tried out there, which takes longer: it is brought when it comes. Both may raise ConfigError and LabError.
    """
    match (st.session_state.get(key) or {}).get("node"):
        case {"name": found, "id": int(node)} if found == name and 0 <= node < nodes:
            pass
        case _:
            _story(key=key, data=None, on_node_change=_nothing, height=1)
            return
    try:
        story = tell(node)
    except (ConfigError, LabError) as error:
        _story(key=key, data={"name": name, "id": node, "error": refusal(error)}, on_node_change=_nothing, height=1)
        return
    _story(key=key, data=b'{"name":"%s","id":%d,"story":%s}' % (name.encode(), node, _STORY.dump_json(story)), on_node_change=_nothing, height=1)
    try:
        checks = _CHECKS.dump_json(() if story.removed else check(node))
    except (ConfigError, LabError) as error:
        _checks(key=f"{key}_checks", data={"name": name, "id": node, "error": refusal(error)}, height=1)
        return
    _checks(key=f"{key}_checks", data=b'{"name":"%s","id":%d,"checks":%s}' % (name.encode(), node, checks), height=1)


def _nothing() -> None:
    """Streamlit wants a callback for each event."""
