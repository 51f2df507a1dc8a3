"""One node of the graph, closely: what it does in words and symbols, the gradients that pass it, and the chain rule tried out there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from core.config import ConfigError, RunConfig
from core.explaining.chain_rule import STEP, Bench, NoBench
from core.explaining.loss_nodes import words_in
from core.explaining.nodes import words_of
from core.explaining.plans import Looked
from core.explaining.slow_step import Passing, Seen
from core.records.walkthrough import Check, Flow, Graph, GraphNode, NodeStory

LEAF = "AccumulateGrad"

MOST_SHAPES = 6
"""Inputs whose shapes are listed: a concatenation can have dozens."""


def story_of(looked: Looked, seen: Seen, number: int, config: RunConfig | None = None) -> NodeStory:
    """The story of node `number` of the graph, with its gradients in the specimen's first step. Its checks are left out: see `checks_of`.

    Args:
        config: of the example, whose loss decides what is said of the loss's nodes.

    Raises:
        ConfigError: there is no such node.
    """
    graph = looked.graph
    node = _node(graph, number)
    words = words_in(node.kind, config)
    inputs = _inputs(graph, number)
    sources = [edge for edge in graph.edges if edge.target == number and edge.source in set(looked.own_ids)]
    names = _names(node, inputs)
    removed = "" if number in looked.own_ids else _why_removed(graph, node)
    incoming: list[Flow] = []
    outgoing: list[Flow] = []
    if not removed:
        here = seen.passing.get(number, Passing())
        for output, gradient in enumerate(here.incoming):
            if gradient is None and output:
                continue
            what = _of_output(node, len(sources), output)
            incoming.append(Flow(what, sources[0].source if len(sources) == 1 else None, gradient))
        if len(sources) > 1:
            for edge in sources:
                parts = seen.passing.get(edge.source, Passing()).outgoing
                part = parts[edge.slot] if edge.slot < len(parts) else None
                incoming.append(Flow(f"the part that comes from {_place(graph.nodes[edge.source])}", edge.source, part))
        for slot, gradient in enumerate(here.outgoing):
            target = inputs.get(slot)
            what = names[slot] if slot < len(names) else f"input {slot}"
            outgoing.append(Flow(f"dL/d({what})", target if target in looked.own_ids else None, gradient))
    return NodeStory(
        id=number,
        kind=node.kind,
        title=f"{words.title}{f' of {node.parameter}' if node.parameter else f' in {node.module}' if node.module else ', the loss'}",
        about=words.about,
        formula=(*words.formula, _shapes(graph, node, inputs, names)),
        derivative=words.derivative,
        incoming=tuple(incoming),
        outgoing=tuple(outgoing),
        checks=(),
        removed=removed,
    )


def checks_of(looked: Looked, number: int, bench: Callable[[], Bench]) -> tuple[Check, ...]:
    """The chain rule tried out at node `number`, in the specimen's first step; nothing where its plan has removed the node.

    Args:
        bench: gives what the chain rule is tried out on, or raises NoBench.

    Raises:
        ConfigError: there is no such node.
    """
    node = _node(looked.graph, number)
    if number not in looked.own_ids:
        return ()
    try:
        names = _names(node, _inputs(looked.graph, number))
        return bench().checks(looked.own_ids.index(number), len(looked.own_ids), node.kind, names, node.id)
    except NoBench as error:
        return (Check("output", None, None, None, STEP, None, str(error)),)


def _node(graph: Graph, number: int) -> GraphNode:
    if not 0 <= number < len(graph.nodes):
        raise ConfigError("node", f"there is no node {number}; the graph's nodes have the numbers 0 to {len(graph.nodes) - 1}")
    return graph.nodes[number]


def _inputs(graph: Graph, number: int) -> Mapping[int, int]:
    """The node from which each input of an operation comes, by slot."""
    return {edge.slot: edge.target for edge in graph.edges if edge.source == number}


def _names(node: GraphNode, inputs: Mapping[int, int]) -> Sequence[str]:
    """What the inputs of a node's operation are called, by slot."""
    words, slots = words_of(node.kind), max(inputs, default=-1) + 1
    return [words.input(slot, slots) for slot in range(max(slots, len(words.inputs)))]


def _shapes(graph: Graph, node: GraphNode, inputs: Mapping[int, int], names: Sequence[str]) -> str:
    """A line with the real shapes: of the inputs that need a gradient when everything learns, and of what comes out."""
    known = dict.fromkeys(f"{names[slot]} {_sizes(graph.nodes[target].shape)}" for slot, target in sorted(inputs.items()))
    shown = [*known][:MOST_SHAPES] + ([f"and {len(known) - MOST_SHAPES} more"] if len(known) > MOST_SHAPES else [])
    given = f"{', '.join(shown)}; " if shown else ""
    return f"shapes: {given}{node.parameter or 'y'} {_sizes(node.shape)}"


def _sizes(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape)) or "a single number"


def _of_output(node: GraphNode, sources: int, output: int) -> str:
    if node.id == 0:
        return "dL/dL: the backward pass begins with 1"
    what = f"dL/d({node.parameter})" if node.parameter else f"dL/d(output {output})" if output else "dL/dy"
    return f"{what}: the sum of what comes from {sources} places" if sources > 1 else what


def _place(node: GraphNode) -> str:
    return f"{node.kind} in {node.module}" if node.module else f"{node.kind}, the loss"


def _why_removed(graph: Graph, node: GraphNode) -> str:
    plan = next(plan for plan in graph.plans if plan.chosen)
    if node.kind == LEAF:
        return f"Under the plan '{plan.name}' {node.parameter} is frozen: nothing waits for its gradient, and its .grad stays None."
    return f"Under the plan '{plan.name}' nothing that goes into this operation learns, so nobody needs its gradient and autograd does not record it."
