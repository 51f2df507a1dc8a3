"""The gradients of a head that is one linear layer, in nine operations instead of a graph, bit for bit what autograd gives.

For logits z = x Wᵀ + b and the mean cross-entropy, dL/dz = (softmax(z) - onehot) / N, dL/dW = (dL/dz)ᵀ x and dL/db is the sum of dL/dz over
the batch. These are the very kernels that autograd calls for `nn.Linear` and `nn.CrossEntropyLoss`; what is left out is recording the graph,
going back through it and calling modules, which takes twice as long as the kernels where a step takes a third of a millisecond.

The proof is by trying, as of all that is reused. The first batch of each size, and one of each `EVERY` after that, goes through autograd as well,
and loss, logits and gradients must be equal to the bit; once they are not, this file is not used again in the run. On how many threads it
computes is `partition.threads`' affair; autograd is asked on the number that the run began with. Where fewer threads round otherwise, dL/dz is
multiplied in the pieces of rows that those would take (see `core.reuse.rows`).
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, fx, nn

from core.data.loader import Batch
from core.machine.bits import same
from core.reuse.counts import use_threads
from core.reuse.partition import Partition
from core.reuse.rows import piece
from core.signals.profiling import Stages

EVERY = 100
"""One batch of so many is computed both ways, at random: about two per cent of the time."""

LOGITS = torch.float32

# Each named with its overload: finding that out in each call takes as long as a fifth of the operation.
_LOSS = torch.ops.aten.nll_loss_forward.default
_OF_SHARES = torch.ops.aten.nll_loss_backward.default
_OF_LOGITS = torch.ops.aten._log_softmax_backward_data.default


@dataclass(frozen=True)
class _Found:
    """The two parts of a suffix: what comes before its only layer that learns, and that layer, whose output is the suffix's."""

    before: fx.GraphModule | None
    """None: nothing."""
    layer: nn.Linear
    parameters: tuple[nn.Parameter, ...]

    @property
    def plain(self) -> bool:
        """Whether nobody has a hook on it, and no gradients wait that others would be added to."""
        layer = self.layer
        if layer._forward_hooks or layer._forward_pre_hooks or layer._backward_hooks or layer._backward_pre_hooks:
            return False
        return all(parameter.grad is None and not parameter._backward_hooks for parameter in self.parameters)


_Given = tuple[Tensor, Tensor, tuple[Tensor, ...]]
"""Loss, logits, and the gradients of weight and bias."""


class LinearHead:
    """Steps of the head behind what `partition` keeps; `loss` and `precision` are the run's."""

    def __init__(self, partition: Partition, loss: nn.Module, precision: str) -> None:
        self.partition = partition
        self.loss = loss
        self.given_up = False
        """Whether autograd once gave other bits than had been seen."""
        self.steps = self.checked = 0
        """Steps taken this way, and batches computed both ways."""
        self._weight = loss.weight if _is_plain(loss) else None
        self._possible = _is_plain(loss) and precision == "float32" and partition.device.type == "cpu" and not partition.compiled
        self._suffix: fx.GraphModule | None = None
        self._found: _Found | None = None
        self._rows: dict[tuple[int, int], int | None] = {}
        """In pieces of how many rows autograd's bits come out, by size of batch and number of threads: 0 all at once; None: in none."""
        self._one = torch.ones(())
        self._random = random.Random(0)

    def gradients(self, batch: Batch, stages: Stages) -> tuple[Tensor, Tensor] | None:
        """Fill `.grad` of what learns with the gradients of the mean loss of `batch`, and return that loss and the logits.

        None, with nothing done, where the head is another, or what comes before it is not kept: then the whole way has to be gone.
        """
        if not self._possible or self.given_up or len(batch) > self.partition.most or stages.listener is not None:
            return None  # whoever listens puts hooks on layers, which are not called here
        suffix = self.partition.suffix
        if suffix is None:
            return None
        if suffix is not self._suffix:
            self._suffix, self._found, self._rows = suffix, _taken_apart(suffix), {}
        found = self._found
        if found is None or not found.plain:
            return None
        if self._rows.get((len(batch), torch.get_num_threads()), 0) is None:
            return None
        border = self.partition.border(batch, stages)
        if border is None:
            return None
        stages.done("static prefix")
        self.partition.threads.live("train", border, suffix)
        with torch.no_grad():
            inputs = border[0] if found.before is None else found.before.forward(*border)
            loss, logits, gradients = self._computed(found, inputs, batch.labels, stages)
        for parameter, gradient in zip(found.parameters, gradients, strict=True):
            parameter.grad = gradient
        return loss, logits

    def _computed(self, found: _Found, inputs: Tensor, labels: Tensor, stages: Stages) -> _Given:
        key = (len(labels), torch.get_num_threads())
        rows = self._rows.get(key, -1)
        if rows == -1:
            expected = self._by_autograd(found, inputs, labels)
            rows = self._rows[key] = self._tried(found, inputs, labels, expected)
            if rows is not None:
                self.steps, self.checked = self.steps + 1, self.checked + 1
            return expected
        if rows is None:
            return self._by_autograd(found, inputs, labels)
        given = self._quick(found.layer, inputs, labels, rows, stages)
        self.steps += 1
        if self._random.random() * EVERY > 1:
            return given
        self.checked += 1
        expected = self._by_autograd(found, inputs, labels)
        if not _agree(given, expected):
            self.given_up = True
        return expected

    def _tried(self, found: _Found, inputs: Tensor, labels: Tensor, expected: _Given) -> int | None:
        """In pieces of how many rows autograd's bits come out for this batch; None: in none."""
        for rows in dict.fromkeys((0, piece(found.layer, self.partition.threads.base))):
            # Once more by autograd: changing the number of threads must not have changed what it gives.
            if _agree(self._quick(found.layer, inputs, labels, rows), expected) and _agree(self._by_autograd(found, inputs, labels), expected):
                return rows
        return None

    def _by_autograd(self, found: _Found, inputs: Tensor, labels: Tensor) -> _Given:
        """What autograd gives on the number of threads that the run began with."""
        now = torch.get_num_threads()
        self.partition.threads.frozen()
        try:
            with torch.enable_grad():
                logits = found.layer(inputs)
                loss = self.loss(logits, labels)
                return loss.detach(), logits.detach(), torch.autograd.grad(loss, found.parameters)
        finally:
            use_threads(now)

    def _quick(self, layer: nn.Linear, inputs: Tensor, labels: Tensor, rows: int, stages: Stages | None = None) -> _Given:
        weight, bias = layer.weight, layer.bias
        logits = torch.nn.functional.linear(inputs, weight, bias)
        shares = torch.log_softmax(logits, 1)
        loss, counted = _LOSS(shares, labels, self._weight, 1, -100)
        if stages is not None:
            stages.done("forward")
        of_shares = _OF_SHARES(self._one, shares, labels, self._weight, 1, -100, counted)
        of_logits = _OF_LOGITS(of_shares, shares, 1, LOGITS)
        turned = of_logits.t()
        of_weight = torch.cat([torch.mm(some, inputs) for some in turned.split(rows)]) if rows else torch.mm(turned, inputs)
        return loss, logits, (of_weight,) if bias is None else (of_weight, of_logits.sum(0))


def _is_plain(loss: nn.Module) -> bool:
    """Whether it is the cross-entropy that is written down above, with class weights or without."""
    return type(loss) is nn.CrossEntropyLoss and loss.reduction == "mean" and not loss.label_smoothing and loss.ignore_index == -100


def _taken_apart(suffix: fx.GraphModule) -> _Found | None:
    """The head, if it is what this file can do."""
    nodes = list(suffix.graph.nodes)
    last = nodes[-1].args[0]
    if not isinstance(last, fx.Node) or last.op != "call_module" or len(last.users) != 1 or len(last.args) != 1 or last.kwargs:
        return None
    layer = suffix.get_submodule(str(last.target))
    parameters = list(layer.parameters())
    learning = [parameter for parameter in suffix.parameters() if parameter.requires_grad]
    into = last.args[0]
    plain = type(layer) is nn.Linear and all(parameter.dtype == torch.float32 for parameter in parameters)
    if not plain or not isinstance(into, fx.Node) or {*map(id, parameters)} != {*map(id, learning)}:
        return None
    if sum(node.op == "call_module" and node.target == last.target for node in nodes) != 1 or any(node.op == "get_attr" for node in nodes):
        return None
    graph = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    copy: Callable[[fx.Node], fx.Node] = lambda node: copies[node]  # noqa: E731
    for node in nodes:
        if node is not last and node.op != "output":
            copies[node] = graph.node_copy(node, copy)
    graph.output(copies[into])
    nothing = into.op == "placeholder" and sum(node.op == "placeholder" for node in nodes) == 1
    before = None if nothing else fx.GraphModule(suffix, graph, "BeforeHead")
    return _Found(before, layer, tuple(parameters))  # type: ignore[arg-type]


def _agree(given: _Given, expected: _Given) -> bool:
    return all(same(left, right) for left, right in zip((*given[:2], *given[2]), (*expected[:2], *expected[2]), strict=True))
