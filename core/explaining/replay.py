"""A forward pass done again from somewhere in the middle: modules that were over by then give what they gave, instead of computing it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from core.explaining.graph import sequence_number


@dataclass
class _Call:
    """A module's call: what it gave, how many nodes autograd had made when it began and ended, and the number of the first call after it."""

    module: nn.Module
    begin: int
    end: int = 0
    after: int = 0
    output: Any = None
    chance: Tensor | None = None


@dataclass
class _State:
    """Where a pass is: the number of the next call, and by how much autograd's numbers differ from those of the recorded pass."""

    call: int = 0
    offset: int = 0
    until: int = 0
    open: list[_Call] = field(default_factory=list)


class Replay:
    """The module calls of one forward pass of `model`, remembered; the model's modules get a `forward` that can give them again.

    Buffers are put back before each pass: BatchNorm in train mode moves its own.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._calls: list[_Call] = []
        self._state: _State | None = None
        self._recording = False
        self._buffers = [
            (module, name, buffer.clone()) for module in model.modules() for name, buffer in module.named_buffers(recurse=False) if buffer is not None
        ]
        self._chance = torch.get_rng_state()
        self._random = False
        for module in model.modules():
            module.forward = self._wrapped(module, module.forward)

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Within it, one forward pass is remembered, with its graph."""
        self._chance = torch.get_rng_state()
        self._state = _State(offset=-sequence_number())
        self._recording = True
        try:
            yield
        finally:
            self._recording, self._state = False, None
        self._random = not torch.equal(self._chance, torch.get_rng_state())
        if not self._random:
            for call in self._calls:
                call.chance = None

    @contextmanager
    def from_node(self, made: int) -> Iterator[Callable[[], int]]:
        """Within it, a forward pass computes only modules that were not over when autograd made node `made`. Gives how many it has made by now."""
        torch.set_rng_state(self._chance)
        for module, name, before in self._buffers:  # new ones: the graph of the recorded pass holds on to its own
            module._buffers[name] = before.clone()
        state = self._state = _State(offset=-sequence_number(), until=made)
        try:
            yield lambda: sequence_number() + state.offset
        finally:
            self._state = None

    def first_use(self, parameter: nn.Parameter) -> int:
        """How many nodes had been made when the first module began that has `parameter` in it, or one above it."""
        owners = {module for module in self._model.modules() if any(own is parameter for own in module.parameters(recurse=False))}
        return next((call.begin for call in self._calls if call.module in owners), 0)

    def _wrapped(self, module: nn.Module, forward: Callable[..., Any]) -> Callable[..., Any]:
        def again(*arguments: Any, **named: Any) -> Any:
            state = self._state
            if state is None:
                return forward(*arguments, **named)
            if self._recording:
                return self._recorded(state, module, forward, arguments, named)
            call = self._calls[state.call]
            assert call.module is module, "the model went another way than in the recorded pass"
            if call.end > state.until:
                state.call += 1
                return forward(*arguments, **named)
            state.call = call.after
            output = _copied(call.output)
            state.offset = call.end - sequence_number()
            if call.chance is not None:
                torch.set_rng_state(call.chance)
            return output

        return again

    def _recorded(self, state: _State, module: nn.Module, forward: Callable[..., Any], arguments: Any, named: Any) -> Any:
        call = _Call(module, sequence_number() + state.offset)
        self._calls.append(call)
        output = forward(*arguments, **named)
        call.end, call.after = sequence_number() + state.offset, len(self._calls)
        # A copy: an in-place operation behind the module will overwrite what it gave.
        call.output = _detached(output)
        call.chance = torch.get_rng_state()
        return output


def _detached(output: Any) -> Any:
    if isinstance(output, Tensor):
        return output.detach().clone().requires_grad_(output.requires_grad)
    if isinstance(output, tuple) and hasattr(output, "_fields"):  # what googlenet and inception_v3 return
        return type(output)(*map(_detached, output))
    return type(output)(map(_detached, output)) if isinstance(output, tuple | list) else output


def _copied(output: Any) -> Any:
    """A copy that may be overwritten, and that needs a gradient where the original did: else operations behind it would make no node."""
    if isinstance(output, Tensor):
        return output.clone()
    if isinstance(output, tuple) and hasattr(output, "_fields"):
        return type(output)(*map(_copied, output))
    return type(output)(map(_copied, output)) if isinstance(output, tuple | list) else output
