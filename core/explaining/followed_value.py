"""One value of a parameter, followed through an optimizer's step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer


class FollowedValue:
    """One value of a parameter, followed through `optimizer.step()`: that with the largest gradient; the first one where there is none.

    Made right before the step; `look_again` right after it.
    """

    def __init__(self, name: str, parameter: nn.Parameter, group: Mapping[str, Any] | None, optimizer: Optimizer) -> None:
        self.name = name
        self.parameter = parameter
        self.group = dict(group) if group is not None else None
        self.optimizer = optimizer
        gradient = parameter.grad
        weight = parameter.detach()
        place = int(gradient.abs().argmax()) if gradient is not None else 0
        self.index = tuple(int(number) for number in torch.unravel_index(torch.tensor(place), parameter.shape)) if parameter.dim() else ()
        self.gradient = float(gradient[self.index]) if gradient is not None else None
        self.weight_before = float(weight[self.index])
        self.weight_after = self.weight_before
        self.norm_before = float(torch.linalg.vector_norm(weight))
        self.state_before = self._state()
        self.state_after: dict[str, float] = {}

    def look_again(self) -> None:
        """The step is made."""
        self.weight_after = float(self.parameter.detach()[self.index])
        self.state_after = self._state()

    @property
    def state(self) -> tuple[tuple[str, float | None, float], ...]:
        """The optimizer's entries for this value: name, before (None: there was none), after."""
        return tuple((name, self.state_before.get(name), after) for name, after in self.state_after.items())

    def entry(self, name: str) -> Tensor:
        """The whole tensor that the optimizer keeps for the parameter."""
        found: Tensor = self.optimizer.state[self.parameter][name]
        return found

    def _state(self) -> dict[str, float]:
        # .get: asking a defaultdict would make an entry, and some optimizers look whether there is one.
        found = self.optimizer.state.get(self.parameter, {})
        return {name: self._at_index(value) for name, value in found.items() if isinstance(value, Tensor | float | int)}

    def _at_index(self, value: Tensor | float) -> float:
        if not isinstance(value, Tensor):
            return float(value)
        if value.dim() != self.parameter.dim():
            return float(value)  # a counter
        return float(value[tuple(min(place, length - 1) for place, length in zip(self.index, value.shape, strict=True))])
