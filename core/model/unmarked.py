"""An optimizer without the marks that `torch.profiler` reads: where a step takes a third of a millisecond, they are a tenth of it.

Updates of a few small tensors are made without most of the Python around them, see `quick_adam`.
"""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch.optim import Optimizer
from torch.optim import optimizer as of_all

from core.model.quick_adam import QuickAdam


def unmark(optimizer: Optimizer) -> QuickAdam:
    """Have `step` and `zero_grad` of this one object do what those of its class do, without the marks around them.

    Where somebody has a hook on steps, of this optimizer or of all, they are those of the class. Returns what makes the updates that it can.
    """
    step = inspect.unwrap(type(optimizer).step)
    quick = QuickAdam(optimizer, lambda: step(optimizer))

    def hooked() -> bool:
        own = optimizer._optimizer_step_pre_hooks or optimizer._optimizer_step_post_hooks
        return bool(own or of_all._global_optimizer_pre_hooks or of_all._global_optimizer_post_hooks)

    def unmarked_step() -> Any:
        if hooked():
            return type(optimizer).step(optimizer)
        with torch.no_grad():  # as the decorator has it that was left out
            return None if quick.step() else step(optimizer)

    def unmarked_zero_grad(set_to_none: bool = True) -> None:
        if not set_to_none:
            type(optimizer).zero_grad(optimizer, set_to_none=False)
            return
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                parameter.grad = None

    optimizer.step = unmarked_step  # type: ignore[method-assign,assignment]
    optimizer.zero_grad = unmarked_zero_grad  # type: ignore[method-assign]
    return quick
