"""The chain rule tried out at one node of the graph: does the loss change as the gradient there says?

A float64 copy of the model runs on the same batch; the result of that very operation, or one of its inputs, is moved a little along
a random direction. What the loss does then is measured, and compared with what the gradient predicts.
"""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import psutil
import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, Node
from torch.utils._python_dispatch import TorchDispatchMode

from core.explaining.graph import is_leaf, kind_of, sequence_number, walk
from core.explaining.nodes import plain, stem
from core.explaining.replay import Replay
from core.explaining.specimen import Specimen
from core.records.walkthrough import Check

STEP = 1e-6
"""How far a value of size 1 is moved: small enough to cross few kinks of a ReLU, large enough for float64."""

SMALLER = (1e-8, 1e-10)
"""Steps for where the loss bends too much: behind batch normalisation over a few nearly equal values, say."""

_BENDS = "The loss bends sharply along this direction, so a smaller step than usual was needed."

COPIES = 4
"""Times that the weights are held in float64 meanwhile, about: themselves, a gradient, a direction and its step."""

CLOSE = 1e-4
"""Relative difference up to which measured and predicted agree. A wrong formula is wrong by far more."""


class NoBench(Exception):
    """Nothing can be tried out; the text says why."""


class Bench:
    """A specimen in float64, to try things out on: the same weights, modes and chance.

    The graph of one forward pass is kept, so that each question costs a part of a backward pass, and forward passes of which only what
    lies behind the node is computed (`core.explaining.replay`).
    """

    def __init__(self, specimen: Specimen) -> None:
        """Raises NoBench where there is no float64, or no memory for it."""
        if specimen.inputs.device.type == "mps":
            raise NoBench("Apple's GPUs have no float64, so nothing was tried here.")
        weights = sum(parameter.numel() for parameter in specimen.model.parameters())
        if COPIES * 8 * weights > psutil.virtual_memory().available:
            raise NoBench("A float64 copy of this model does not fit into the free memory, so nothing was tried here.")
        self.specimen = replace(
            specimen,
            inputs=specimen.inputs.double(),
            labels=specimen.labels.double() if specimen.labels.is_floating_point() else specimen.labels,
            criterion=copy.deepcopy(specimen.criterion).double() if specimen.criterion is not None else None,
        )
        self.model = specimen.working().double()
        with self.specimen.seeded():
            self._replay = Replay(self.model)
            begin = sequence_number()
            with self._replay.recording():
                output = self.model(self.specimen.inputs)
            self._loss, _ = self.specimen.loss_of(output)
        self.value = float(self._loss.detach())
        self._nodes = walk(self._loss).nodes
        self._made = [node._sequence_nr() - begin for node in self._nodes]

    def checks(self, place: int, nodes: int, kind: str, names: Sequence[str], number: int) -> tuple[Check, ...]:
        """Try the chain rule at the `place`-th node of the graph's walk: at its output, and at each input that gets a gradient.

        Args:
            nodes: how many the graph has, and `kind`: of which this one is, in the model's own number format.
            names: what its inputs are called, by slot.
            number: where the random directions come from.
        """
        if len(self._nodes) != nodes or (not is_leaf(self._nodes[place]) and plain(kind_of(self._nodes[place])) != plain(kind)):
            return (Check("output", None, None, None, STEP, None, "In float64 another kernel carries this operation out, so it was not tried."),)
        node = self._nodes[place]
        with self.specimen.seeded():
            if is_leaf(node):
                return (self._check_parameter(node.variable, number),)  # type: ignore[attr-defined]
            target = Target(self._made[place], kind_of(node))
            self._value(_Mover(target))
            incoming, outgoing = self._gradients(node)
            found = []
            for slot, gradient in ((-1, incoming), *enumerate(outgoing)):
                if gradient is not None:
                    where = "output" if slot < 0 else f"input {slot} ({names[slot]})" if slot < len(names) else f"input {slot}"
                    found.append(self._check(where, gradient, number + 1 + slot, target, slot))
            return tuple(found)

    def _gradients(self, node: Node) -> tuple[Tensor | None, tuple[Tensor | None, ...]]:
        """What comes to the first output of `node` and what leaves it, by input. Nothing else of the graph is computed."""
        seen: list[tuple[tuple[Tensor | None, ...], tuple[Tensor | None, ...]]] = []

        def leaves(inputs: tuple[Tensor | None, ...], outputs: tuple[Tensor | None, ...]) -> None:
            seen.append((_copied(outputs), _copied(inputs)))

        handle = node.register_hook(leaves)
        edges = [GradientEdge(following, output) for following, output in node.next_functions if following is not None]
        try:
            torch.autograd.grad(self._loss, edges, retain_graph=True, allow_unused=True)
        finally:
            handle.remove()
        if not seen:
            return None, ()
        outputs, inputs = seen[0]
        return (outputs[0] if outputs else None), inputs

    def _check(self, where: str, gradient: Tensor, number: int, target: Target, slot: int) -> Check:
        at = target.output if slot < 0 else target.inputs[slot] if slot < len(target.inputs) else None
        if at is None or at.shape != gradient.shape:
            return Check(where, None, None, None, STEP, None, "This operation could not be told apart from those around it, so it was not tried.")
        return self._compare(where, gradient, at, number, lambda change: self._value(_Mover(target, slot, change)))

    def _check_parameter(self, parameter: nn.Parameter, number: int) -> Check:
        (gradient,) = torch.autograd.grad(self._loss, parameter, retain_graph=True)
        # Its first use is where the computation begins to differ: all is computed again.
        before = parameter.detach().clone()

        def value(change: Tensor) -> float:
            with torch.no_grad():
                parameter.data = before + change
            try:
                return self._value(_Mover(Target(self._replay.first_use(parameter), "")))
            finally:
                parameter.data = before

        return self._compare("the parameter", gradient, before, number, value)

    def _compare(self, where: str, gradient: Tensor, at: Tensor, number: int, value: Callable[[Tensor], float]) -> Check:
        """Measure the slope of the loss along a random direction, and compare it with the gradient."""
        if not (math.isfinite(self.value) and bool(torch.isfinite(gradient).all())):
            return Check(
                where, None, None, None, STEP, None, "The loss or the gradient is not a finite number here, so there is no slope to measure."
            )
        generator = torch.Generator().manual_seed(number)
        direction = torch.randn(gradient.shape, generator=generator, dtype=torch.float64).to(gradient.device)
        direction = direction * (float(at.abs().mean()) or 1.0)  # as large as the values are
        check = self._slopes(where, gradient, direction, value, STEP)
        if check.agrees:
            return check
        tries = [
            (direction, SMALLER[0], _BENDS),
            *((other, step, note) for other, note in _around_kinks(at, direction, generator) for step in (STEP, *SMALLER)),
        ]
        for other, step, note in (*tries, (direction, SMALLER[1], _BENDS)):
            again = self._slopes(where, gradient, other, value, step)
            if again.agrees:
                return replace(again, note=note)
        note = "The step crosses a kink (of a ReLU or a maximum) or a sharp bend of the loss: a gradient is about infinitely small steps."
        return replace(check, note=note)

    def _slopes(self, where: str, gradient: Tensor, direction: Tensor, value: Callable[[Tensor], float], step: float) -> Check:
        predicted = float((gradient * direction).sum())
        above, below = value(step * direction), value(-step * direction)
        measured = (above - below) / (2 * step)
        noise = 64 * torch.finfo(torch.float64).eps * max(abs(self.value), 1.0) / step
        difference = abs(measured - predicted)
        relative = difference / max(abs(measured), abs(predicted), noise)
        # A slope of 0 cannot be told from the rounding of the loss; with smaller steps nothing small could, so there it does not count.
        return Check(where, measured, predicted, relative, step, relative < CLOSE or (step == STEP and difference < noise))

    def _value(self, mover: _Mover) -> float:
        """The loss of a forward pass with `mover` at work; what lies before its target is not computed again."""
        with self._replay.from_node(mover.target.made) as number, mover.numbered(number):
            loss, _ = self.specimen.loss_of(self.model(self.specimen.inputs))
        return float(loss.detach())


def _around_kinks(at: Tensor, direction: Tensor, generator: torch.Generator) -> Iterator[tuple[Tensor, str]]:
    """Directions that stay clear of kinks, where the slope is another one to each side, with a note on what is special about them."""
    resting = at == 0
    if bool(resting.any()):
        still = f"{int(resting.sum()):,} of {resting.numel():,} values"
        note = f"{still} are exactly 0, where ReLU and max pooling have a kink: these were left as they are."
        yield torch.where(resting, 0.0, direction), note
    if at.dim() > 1:
        lengths = [length if place == 1 else 1 for place, length in enumerate(at.shape)]
        factors = torch.randn(lengths, generator=generator, dtype=torch.float64).to(at.device)
        note = (
            "Many values are equal, and which of two equal ones is the maximum is a kink: each channel was stretched as a whole, so that equal "
            "values stay equal."
        )
        yield at * factors, note


def _copied(gradients: tuple[Tensor | None, ...]) -> tuple[Tensor | None, ...]:
    return tuple(None if gradient is None else gradient.detach().clone() for gradient in gradients)


@dataclass
class Target:
    """An operation of the forward pass: that whose node autograd makes when it has made `made`. `output` and `inputs`: as they were, once seen."""

    made: int
    kind: str
    output: Tensor | None = None
    inputs: list[Tensor | None] = field(default_factory=list)


class _Mover(TorchDispatchMode):
    """Looks at an operation while a forward pass goes on, and moves its output (`slot` -1) or what it takes in a slot by `change`.

    autograd makes an operation's node just before the operation is carried out: so the first one that is carried out when `made` + 1 nodes
    have been made is that of the node.
    """

    def __init__(self, target: Target, slot: int = -1, change: Tensor | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.target = target
        self.slot = slot
        self.change = change
        self.number: Callable[[], int] = lambda: 0
        self.done = False

    def numbered(self, number: Callable[[], int]) -> _Mover:
        """The same, with `number` to say how many nodes have been made."""
        self.number = number
        return self

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None) -> Any:
        kwargs = kwargs or {}
        if self.done or self.number() != self.target.made + 1:
            return func(*args, **kwargs)
        self.done = True
        if not _is(func, self.target.kind):
            return func(*args, **kwargs)
        arguments = list(args)
        slots = _slots(func, arguments)
        in_place = func._schema.is_mutable and func._schema.arguments[0].alias_info is not None
        if self.change is None:
            self.target.inputs = [_detached(_at(arguments, slot)) for slot in slots]
        elif 0 <= self.slot < len(slots):
            self._move_input(arguments, slots[self.slot], in_place)
        result = func(*arguments, **kwargs)
        first = result[0] if isinstance(result, tuple | list) else result
        if self.change is None:
            self.target.output = _detached(first)
        elif self.slot < 0:
            if in_place:
                first.add_(self.change)
                return result
            moved = first + self.change
            return moved if first is result else type(result)((moved, *result[1:]))
        return result

    def _move_input(self, arguments: list[Any], slot: tuple[int, int | None], in_place: bool) -> None:
        place, inner = slot
        tensor = _at(arguments, slot)
        assert tensor is not None
        assert self.change is not None
        if in_place and place == 0:
            tensor.add_(self.change)
            return
        moved = tensor + self.change
        arguments[place] = moved if inner is None else [*arguments[place][:inner], moved, *arguments[place][inner + 1 :]]


def _slots(func: Any, arguments: Sequence[Any]) -> list[tuple[int, int | None]]:
    """The arguments that have a slot in the graph, in its order, as (place, place in it where it is a list).

    Tensors of floats have one, and optional tensors that are left out keep theirs.
    """
    found: list[tuple[int, int | None]] = []
    for place, (argument, value) in enumerate(zip(func._schema.arguments, arguments, strict=False)):
        if "Tensor" not in str(argument.type):
            continue
        if isinstance(value, list | tuple):
            found += [(place, inner) for inner, tensor in enumerate(value) if _counts(tensor)]
        elif _counts(value):
            found.append((place, None))
    return found


def _at(arguments: Sequence[Any], slot: tuple[int, int | None]) -> Tensor | None:
    place, inner = slot
    found: Tensor | None = arguments[place] if inner is None else arguments[place][inner]
    return found


def _detached(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.detach().clone()


def _counts(value: Any) -> bool:
    return value is None or (isinstance(value, Tensor) and value.is_floating_point())


def _is(func: Any, kind: str) -> bool:
    """Whether an operation is that of a node: `aten.relu_` is that of ReluBackward0."""

    def letters(name: str) -> str:
        return re.sub(r"[^a-z0-9]", "", name.lower())

    name, wanted = letters(func._schema.name.rpartition("::")[2]), letters(stem(kind))
    return bool(wanted) and (name.startswith(wanted) or wanted.startswith(name) or wanted in name)
