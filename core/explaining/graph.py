"""The `grad_fn` graph that a forward pass recorded: its nodes in the order of the backward pass, their modules, and what they saved."""

from __future__ import annotations

import bisect
import heapq
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import Node
from torch.nn.modules import module as modules

from core.explaining.saved import saved_tensors
from core.records.walkthrough import GraphEdge, GraphNode

LEAF = "AccumulateGrad"


def is_leaf(node: Node) -> bool:
    """Whether a node is the place where the gradient of a parameter is added up."""
    return node.name().endswith(LEAF)


def kind_of(node: Node) -> str:
    """A node's name without the namespace that some have: 'ConvolutionBackward0'."""
    return node.name().rpartition("::")[2]


@dataclass
class Tracer:
    """Knows, while a forward pass goes on within `following`, which module is at work, and later which one made a node.

    autograd gives each node it makes the next number of a sequence. So the number at the moment when a module begins or ends says
    what was made within it.
    """

    names: Mapping[nn.Module, str]
    begins: list[int] = field(default_factory=list)
    places: list[str] = field(default_factory=list)

    def module_of(self, node: Node) -> str:
        """The innermost module in whose forward `node` was recorded; '' for none, that is, the loss."""
        place = bisect.bisect_right(self.begins, node._sequence_nr()) - 1
        return self.places[place] if place >= 0 else ""

    def mark(self, path: str) -> None:
        """From the next node on, it is the module at `path`."""
        self.begins.append(sequence_number())
        self.places.append(path)


def sequence_number() -> int:
    """The number that autograd gives the next node."""
    number: int = torch._C._autograd._get_sequence_nr()
    return number


@contextmanager
def following(model: nn.Module) -> Iterator[Tracer]:
    """Within it, the modules of `model` tell a `Tracer` when they begin and end. Hooks for all modules: they change no module's way.

    What the model itself does between its modules counts for its class name, so that '' is the loss alone.
    """
    tracer = Tracer({module: path or type(model).__name__ for path, module in model.named_modules()})
    inside: list[str] = []

    def begins(module: nn.Module, inputs: Any) -> None:
        path = tracer.names.get(module)
        if path is not None:
            inside.append(path)
            tracer.mark(path)

    def ends(module: nn.Module, inputs: Any, output: Any) -> None:
        if module in tracer.names:
            inside.pop()
            tracer.mark(inside[-1] if inside else "")

    handles = [modules.register_module_forward_pre_hook(begins), modules.register_module_forward_hook(ends)]
    try:
        yield tracer
    finally:
        for handle in handles:
            handle.remove()


@dataclass(frozen=True)
class Recorded:
    """A graph as it hangs on a loss: its nodes in the order in which the backward pass comes to them, which makes their ids."""

    nodes: tuple[Node, ...]
    ids: Mapping[Node, int]

    @property
    def root(self) -> Node:
        """The loss's own node."""
        return self.nodes[0]


def walk(loss: Tensor) -> Recorded:
    """All nodes that can be reached from `loss.grad_fn` through `next_functions`, each once, in the order of the backward pass.

    A node's turn comes once all that send it a gradient are done; of those that are ready the one made last is first, leaves before
    all others. That is how autograd's engine takes them from its queue, for a graph on one device.

    Raises:
        ValueError: the loss hangs on nothing that learns.
    """
    root = loss.grad_fn
    if root is None:
        raise ValueError("nothing learns, so the loss has no graph")
    waits: dict[Node, int] = {root: 0}
    waiting = [root]
    while waiting:
        for following, _ in waiting.pop().next_functions:
            if following is None:
                continue
            if following not in waits:
                waits[following] = 0
                waiting.append(following)
            waits[following] += 1
    ready = [(-root._sequence_nr(), 0, root)]
    order: list[Node] = []
    count = 0
    while ready:
        node = heapq.heappop(ready)[2]
        order.append(node)
        for following, _ in node.next_functions:
            if following is None:
                continue
            waits[following] -= 1
            if not waits[following]:
                count += 1
                heapq.heappush(ready, (-following._sequence_nr(), count, following))
    return Recorded(tuple(order), {node: number for number, node in enumerate(order)})


def matched(full: Recorded, other: Recorded) -> dict[Node, int]:
    """The nodes of `other`, the graph of the same forward pass under another plan, with the ids that they have in `full`.

    Both are walked at once from the loss: the same operation has the same inputs in the same slots. One that was carried out by
    another kernel, because fewer gradients are needed, is still the same place of the graph.
    """
    ids = {other.root: 0}
    waiting: list[tuple[Node, Node]] = [(full.root, other.root)]
    while waiting:
        theirs, ours = waiting.pop()
        for (their_input, _), (our_input, _) in zip(theirs.next_functions, ours.next_functions, strict=False):
            if our_input is not None and their_input is not None and our_input not in ids:
                ids[our_input] = full.ids[their_input]
                waiting.append((their_input, our_input))
    return ids


def shape_of(node: Node) -> tuple[int, ...]:
    """The shape of the tensor that a node stands for: what its operation gave, or the leaf."""
    if is_leaf(node):
        return tuple(node.variable.shape)  # type: ignore[attr-defined]
    metadata = node._input_metadata
    return tuple(int(length) for length in metadata[0].shape) if metadata else ()


def described(graph: Recorded, module_of: Callable[[Node], str], model: nn.Module) -> tuple[tuple[GraphNode, ...], tuple[GraphEdge, ...]]:
    """The graph as data. Asked before the backward pass, which frees what was saved."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    own = {tensor.untyped_storage().data_ptr(): name for name, tensor in (*model.named_buffers(), *model.named_parameters())}
    nodes: list[GraphNode] = []
    edges: list[GraphEdge] = []
    for number, node in enumerate(graph.nodes):
        parameter = names.get(id(node.variable), "") if is_leaf(node) else ""  # type: ignore[attr-defined]
        saved, kept = saved_tensors(node, own)
        nodes.append(
            GraphNode(
                id=number,
                kind=LEAF if is_leaf(node) else kind_of(node),
                module=parameter.rpartition(".")[0] or type(model).__name__ if parameter else module_of(node),
                parameter=parameter,
                shape=shape_of(node),
                saved=saved,
                saved_bytes=kept,
            )
        )
        edges += [GraphEdge(number, graph.ids[following], slot) for slot, (following, _) in enumerate(node.next_functions) if following is not None]
    return tuple(nodes), tuple(edges)


def count(graph: Sequence[Node]) -> int:
    """How many nodes hang behind the loss's own."""
    return len(graph) - 1
