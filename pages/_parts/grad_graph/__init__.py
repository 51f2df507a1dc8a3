"""The `grad_fn` graph of a step, drawn in the browser: a tree that opens and closes, its picture, and one node looked at closely."""

from __future__ import annotations

from pathlib import Path

import streamlit as st
from pydantic import TypeAdapter

from core.walkthrough import Graph, NodeStory, ParameterLook, Walkthrough
from pages._parts import assets

_FOLDER = Path(__file__).parent
_GRAPH = TypeAdapter(Graph)
_PARAMETERS = TypeAdapter(tuple[ParameterLook, ...])
_STORY = TypeAdapter(NodeStory)

# The graph is the same whichever node is looked at, so its closer look comes by a component of its own.
_component = st.components.v2.component(
    "thaw_grad_graph",
    html='<div class="thaw-graph"></div>\n',
    css=(_FOLDER / "grad_graph.css").read_text(),
    js=assets.loader("grad_graph.js", "step_words.js"),
    isolate_styles=False,
)
_story = st.components.v2.component("thaw_node_story", html="<div></div>", js=assets.loader("grad_graph.js", mount="take"), isolate_styles=False)


def grad_graph(walkthrough: Walkthrough, name: str, key: str) -> int | None:
    """Show the graph of a walkthrough. `name` tells this walkthrough from others.

    Returns the id of the node that a person looks at, if any: give what is known about it to `story`.
    """
    graph = _GRAPH.dump_json(walkthrough.graph)
    parameters = _PARAMETERS.dump_json(walkthrough.parameters)
    data = b'{"name":"%s","parameters":%s,"graph":%s}' % (name.encode(), parameters, graph)
    asked = _component(key=key, data=data, on_node_change=_nothing).get("node")
    match asked:
        case {"name": found, "id": int(node)} if found == name and any(each.id == node for each in walkthrough.graph.nodes):
            return node
    return None


def story(name: str, node: int, told: NodeStory | str, key: str) -> None:
    """Bring what was asked about a node, or why there is no answer."""
    if isinstance(told, str):
        _story(key=key, data={"name": name, "id": node, "error": told}, height=1)
    else:
        _story(key=key, data=b'{"name":"%s","id":%d,"story":%s}' % (name.encode(), node, _STORY.dump_json(told)), height=1)


def _nothing() -> None:
    """Streamlit wants a callback for each event."""
