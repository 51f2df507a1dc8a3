"""Which part of a model cannot change while it trains: the model cut in two there.

A step of the model *can change* if it has a parameter that learns, draws a random number, or depends on the other pictures of
the batch (BatchNorm in train mode), or if anything before it can change. All other steps are *static*. The *border* are the
static tensors that steps that can change make use of.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_eval

from core.machine.bits import same
from core.records.telling import first_line

_WITHOUT_MODES = frozenset(
    {
        nn.Conv2d, nn.Linear, nn.LayerNorm, nn.GroupNorm, nn.ReLU, nn.ReLU6, nn.SiLU, nn.GELU, nn.Sigmoid, nn.Hardswish, nn.Hardsigmoid,
        nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.Flatten, nn.Identity,
    }
)  # fmt: skip
"""Layers that do the same in train and in eval mode."""


class NotSplit(Exception):
    """The model has no part that can be computed once; the text says why."""


@dataclass(frozen=True)
class Facts:
    """What trying a model out shows of the steps of its trace, by their names: all that its code and its parameters do not say by themselves."""

    by_chance: frozenset[str]
    """Steps that draw a random number, or write to a buffer."""
    by_picture: frozenset[str]
    """Steps whose result has a row a picture."""


@dataclass(frozen=True)
class Split:
    """A model cut in two. Both halves share its modules, so what is learned in one is learned in the other.

    `prefix` takes images float [N, 3, S, S] and returns a tuple of tensors [N, ...], the border; `suffix` takes these and returns
    what the model returns. `border` names the layers that the tensors come from. `layers` of `all_layers` lie in the prefix.
    `chance` names the layer of which nothing learns, but that draws random numbers, so that the prefix ends before it; empty: none.
    """

    prefix: fx.GraphModule
    suffix: fx.GraphModule
    border: tuple[str, ...]
    layers: int
    all_layers: int
    chance: str = ""
    example: tuple[Tensor, ...] = field(default=(), repr=False)
    """The border of two pictures."""
    modes: tuple[bool, ...] = ()
    """Whether the modules of the prefix to which that matters were in train mode when `example` was computed."""
    facts: Facts | None = field(default=None, repr=False)
    """What was found out to cut it there."""
    proved: bool = False
    """An earlier run has tried it: of `example` there is no more than shape, strides and number format, on the device "meta"."""

    @property
    def known(self) -> tuple[Tensor, ...] | None:
        """`example`, if the prefix is the one that gave it; None where a module of it is in another mode now, or nothing was computed."""
        return self.example if self.modes == _modes(self.prefix) and not self.proved else None


def split(model: nn.Module, images: Tensor, graph: fx.Graph | None = None) -> Split:
    """Cut `model` between what can change and what cannot, as its parameters' `requires_grad` and its modules' modes are now.

    Args:
        model: in train or eval mode; its buffers and torch's chance are left as they were.
        images: float [N, 3, S, S], at least 3, on the model's device: what it is tried out with.
        graph: what `traced` gives for it, where that is known.

    Raises:
        NotSplit: every layer can change, or the model cannot be traced, or its halves do not give what it gives.
    """
    graph = graph or traced(model)
    whole = _Whole(model, graph)
    probe = _probed(whole, images[:3])
    facts = Facts(frozenset(node.name for node in probe.random), frozenset(node.name for node in probe.with_rows(3)))
    found = cut_by(model, graph, facts)
    kept = check(model, found, images[:2])
    if any(tensor.shape[:1] != (2,) for tensor in kept):  # what has three rows need not have one for each of three pictures
        two = frozenset(node.name for node in _probed(whole, images[:2]).with_rows(2))
        facts = replace(facts, by_picture=facts.by_picture & two)
        found = cut_by(model, graph, facts)
        kept = check(model, found, images[:2])
    return replace(found, example=tuple(kept), modes=_modes(found.prefix))


def traced(model: nn.Module) -> fx.Graph:
    """The steps of a model, in its mode.

    Raises:
        NotSplit: it decides by its data what it does.
    """
    try:
        return fx.Tracer().trace(model)
    except Exception as error:  # noqa: BLE001  whatever a model's forward does with a stand-in for a tensor
        raise NotSplit(f"the model decides while it runs what it does next, so it cannot be cut in two ({first_line(error)})") from None


def cut_by(model: nn.Module, graph: fx.Graph, facts: Facts) -> Split:
    """`model`, whose trace is `graph`, cut by what is known of its steps and what learns now. Nothing is computed.

    Raises:
        NotSplit: every layer can change.
    """
    whole = _Whole(model, graph)
    changing = _changing(whole, {node for node in graph.nodes if node.name in facts.by_chance})
    found = _halves(whole, changing, _border(graph, changing, {node for node in graph.nodes if node.name in facts.by_picture}))
    return replace(found, facts=facts)


@dataclass(frozen=True)
class _Whole:
    """A model and what was traced of it. Not a GraphModule, whose program nobody would run."""

    model: nn.Module
    graph: fx.Graph


def _halves(whole: _Whole, changing: set[fx.Node], cut: tuple[list[fx.Node], set[fx.Node]]) -> Split:
    """The model cut at a border and what is done again, as `_border` gives them."""
    border, again = cut
    if not border:
        raise NotSplit("nothing is frozen before the first layer that learns")
    names = tuple(_name(node) for node in border)
    prefix, suffix = _prefix(whole, border), _suffix(whole, border, changing | again)
    layers = _layers(prefix, prefix.graph)
    if not layers or any(node.op == "placeholder" for node in border):
        raise NotSplit("the first layer can change, and everything after it with it")
    return Split(prefix, suffix, names, layers, _layers(whole.model, whole.graph), _first_by_chance(whole, changing))


class _Probe(fx.Interpreter):
    """Runs a model step by step, and notes what each step gives and does.

    What its convolutions and linear layers would give is not asked, only its shape: they neither draw a random number nor move a buffer, and
    take most of the time.
    """

    def __init__(self, whole: _Whole) -> None:
        super().__init__(whole.model, graph=whole.graph)
        self.shapes: dict[fx.Node, tuple[int, ...]] = {}
        self.random: set[fx.Node] = set()  # drew a random number, or moved a buffer

    def run_node(self, n: fx.Node) -> Any:
        buffers = self._written(n)
        before = _chance(), [buffer._version for buffer in buffers]  # torch counts the writes to a tensor
        result = self._zeros(n)
        if result is None:
            result = super().run_node(n)
        if not torch.equal(before[0], _chance()) or before[1] != [buffer._version for buffer in buffers]:
            self.random.add(n)
        if isinstance(result, Tensor):
            self.shapes[n] = tuple(result.shape)
        return result

    def with_rows(self, rows: int) -> set[fx.Node]:
        """The steps whose result has so many."""
        return {node for node, shape in self.shapes.items() if shape[:1] == (rows,)}

    def _zeros(self, n: fx.Node) -> Tensor | None:
        """In place of what a plain convolution or linear layer gives, 0s of its shape; None for any other step."""
        if n.op != "call_module" or len(n.args) != 1 or not isinstance(n.args[0], fx.Node) or n.kwargs:
            return None
        layer, given = self.fetch_attr(str(n.target)), self.env[n.args[0]]
        if type(layer) not in (nn.Conv2d, nn.Linear) or not isinstance(given, Tensor):
            return None
        if layer._forward_hooks or layer._forward_pre_hooks or "forward" in layer.__dict__:
            return None
        device = given.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else layer.weight.dtype
        if type(layer) is nn.Linear:
            return given.new_zeros(*given.shape[:-1], layer.out_features, dtype=dtype)
        if isinstance(layer.padding, str) or given.dim() != 4:
            return None
        sides = zip(given.shape[2:], layer.kernel_size, layer.stride, layer.padding, layer.dilation, strict=True)
        # The formula in the documentation of torch.nn.Conv2d.
        shape = [(side + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1 for side, kernel, stride, padding, dilation in sides]
        result = given.new_zeros(len(given), layer.out_channels, *shape, dtype=dtype)
        last = any(each.is_contiguous(memory_format=torch.channels_last) and not each.is_contiguous() for each in (given, layer.weight))
        return result.contiguous(memory_format=torch.channels_last) if last else result

    def _written(self, n: fx.Node) -> list[Tensor]:
        """The buffers that a step can write to."""
        if n.op == "call_module":
            return list(self.fetch_attr(str(n.target)).buffers())
        return [self.env[before] for before in n.all_input_nodes if before.op == "get_attr" and isinstance(self.env[before], Tensor)]


def _probed(whole: _Whole, images: Tensor) -> _Probe:
    probe = _Probe(whole)
    with _untouched(whole.model, images.device):
        probe.run(images)
    return probe


def _chance() -> Tensor:
    """The state of torch's random generators, as bytes."""
    states = [torch.get_rng_state()]
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        states.append(torch.cuda.get_rng_state())
    return torch.cat(states)


def _changing(whole: _Whole, by_chance: set[fx.Node]) -> set[fx.Node]:
    """The steps that can change; `by_chance` are those that drew a random number."""
    changing: set[fx.Node] = set()
    for node in whole.graph.nodes:
        own = False
        if node.op == "call_module":
            module = whole.model.get_submodule(str(node.target))
            own = any(parameter.requires_grad for parameter in module.parameters())
            own |= any(isinstance(part, _BatchNorm) and (part.training or part.running_mean is None) for part in module.modules())
        elif node.op == "get_attr":
            own = getattr(operator.attrgetter(str(node.target))(whole.model), "requires_grad", False)
        if own or node.op == "output" or node in by_chance or any(before in changing for before in node.all_input_nodes):
            changing.add(node)
    return changing


def _border(graph: fx.Graph, changing: set[fx.Node], with_rows: set[fx.Node]) -> tuple[list[fx.Node], set[fx.Node]]:
    """The tensors to keep, and the static steps that are done again each time: those whose result is not one row a picture.

    `with_rows`: steps whose result has as many rows as there were pictures.
    """
    of_images: set[fx.Node] = set()
    for node in graph.nodes:
        if node.op == "placeholder" or any(before in of_images for before in node.all_input_nodes):
            of_images.add(node)
    by_picture = of_images & with_rows
    border: set[fx.Node] = set()
    again: set[fx.Node] = set()
    waiting = [before for node in changing for before in node.all_input_nodes]
    while waiting:
        node = waiting.pop()
        if node in changing or node in again or node in border:
            continue
        if node in by_picture:
            border.add(node)
        else:
            again.add(node)
            waiting += node.all_input_nodes
    for node in reversed(graph.nodes):  # what a function makes of other kept tensors (a concatenation, say) is sooner made than read
        if (
            node in border
            and node.op in ("call_function", "call_method")
            and all(before in border or before in again for before in node.all_input_nodes)
        ):
            border.remove(node)
            again.add(node)
    return [node for node in graph.nodes if node in border], again


def _first_by_chance(whole: _Whole, changing: set[fx.Node]) -> str:
    """The layer at which layers of which nothing learns begin to change only because a random number was drawn."""
    only_by_chance = changing - _changing(whole, set())
    if not any(node.op == "call_module" and any(True for _ in whole.model.get_submodule(str(node.target)).parameters()) for node in only_by_chance):
        return ""
    return next(_name(node) for node in whole.graph.nodes if node in only_by_chance)


def _prefix(whole: _Whole, border: Sequence[fx.Node]) -> fx.GraphModule:
    needed: set[fx.Node] = set()
    waiting = list(border)
    while waiting:
        node = waiting.pop()
        if node not in needed:
            needed.add(node)
            waiting += node.all_input_nodes
    graph = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    for node in whole.graph.nodes:
        if node in needed or node.op == "placeholder":
            copies[node] = graph.node_copy(node, lambda before: copies[before])
    graph.output(tuple(copies[node] for node in border))
    return fx.GraphModule(whole.model, graph, "Prefix")


def _suffix(whole: _Whole, border: Sequence[fx.Node], steps: set[fx.Node]) -> fx.GraphModule:
    graph = fx.Graph()
    copies = {node: graph.placeholder(f"border_{number}") for number, node in enumerate(border)}
    for node in whole.graph.nodes:
        if node in steps:
            copies[node] = graph.node_copy(node, lambda before: copies[before])
    return fx.GraphModule(whole.model, graph, "Suffix")


def check(model: nn.Module, found: Split, images: Tensor, known: Sequence[Tensor] | None = None) -> list[Tensor]:
    """Steps that write into their input could see another order of things when a model is cut: try it. Returns the border of these images.

    `known`: that border, where the prefix is known to give it; None: it is computed.

    Raises:
        NotSplit: the halves do not give what the model gives for these images, bit for bit.
    """
    with torch.no_grad(), _untouched(model, images.device) as again:
        expected = _tensors(model(images))
        again()
        kept = list(found.prefix(images) if known is None else known)
        given = _tensors(found.suffix(*(tensor.clone() for tensor in kept)))
    if len(expected) != len(given) or not all(same(left, right) for left, right in zip(expected, given, strict=True)):
        raise NotSplit("the model's two halves do not give what the whole model gives")
    return kept


@contextmanager
def _untouched(model: nn.Module, device: torch.device) -> Iterator[Any]:
    """Puts the model's buffers and torch's chance back at the end, and whenever what it yields is called. No gradients within it."""
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
    chance = torch.get_rng_state()
    own_chance = torch.cuda.get_rng_state(device) if device.type == "cuda" else None

    def put_back() -> None:
        for buffer, before in buffers:
            buffer.copy_(before)
        torch.set_rng_state(chance)
        if own_chance is not None:
            torch.cuda.set_rng_state(own_chance, device)

    with torch.no_grad():
        try:
            yield put_back
        finally:
            put_back()


def _modes(prefix: nn.Module) -> tuple[bool, ...]:
    """Of the modules that may do something else in train mode."""
    return tuple(module.training for module in prefix.modules() if type(module) not in _WITHOUT_MODES)


def _tensors(output: Any) -> list[Tensor]:
    if isinstance(output, Tensor):
        return [output]
    return [tensor for part in output for tensor in _tensors(part)] if isinstance(output, tuple | list) else []


def _layers(module: nn.Module, graph: fx.Graph) -> int:
    """Layers of a module with parameters that a graph calls."""
    called = {str(node.target) for node in graph.nodes if node.op == "call_module"}
    return sum(any(True for _ in module.get_submodule(target).parameters()) for target in called)


def _name(node: fx.Node) -> str:
    """Where the tensor comes from, in the model's words: the last layer on the way to it."""
    waiting, last = [node], node
    while waiting:
        last = waiting.pop(0)
        if last.op == "call_module":
            break
        waiting += reversed(last.all_input_nodes)
    return str(last.target)


def fold_norms(prefix: fx.GraphModule) -> fx.GraphModule:
    """A prefix whose BatchNorms are folded into the convolutions before them: fewer operations, other rounding.

    (w * x + b - mean) / sqrt(var + eps) * gamma + beta is a convolution again (Jacob et al., Quantization and Training of Neural
    Networks, 2018, section 3.2).
    """
    graph = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    root = dict(prefix.named_modules())
    folded: dict[str, nn.Module] = {}
    for node in prefix.graph.nodes:
        before = node.all_input_nodes[0] if node.all_input_nodes else None
        if (
            node.op == "call_module"
            and isinstance(root[node.target], nn.BatchNorm2d)
            and before is not None
            and before.op == "call_module"
            and isinstance(root[str(before.target)], nn.Conv2d)
            and len(before.users) == 1
        ):
            norm, convolution = root[node.target], root[str(before.target)]
            modes = norm.training, convolution.training
            fused = fuse_conv_bn_eval(convolution.eval(), norm.eval())
            norm.train(modes[0])
            convolution.train(modes[1])
            folded[str(before.target)] = fused.requires_grad_(False)
            copies[node] = copies[before]
        else:
            copies[node] = graph.node_copy(node, lambda before: copies[before])
    modules: dict[str, Any] = {str(node.target): root[str(node.target)] for node in graph.nodes if node.op == "call_module"}
    constants = {str(node.target): operator.attrgetter(str(node.target))(prefix) for node in graph.nodes if node.op == "get_attr"}
    return fx.GraphModule({**modules, **constants, **folded}, graph, "Prefix")
