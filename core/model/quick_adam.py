"""The update of Adam and AdamW for a few small tensors: the operations of torch's own, without the Python around them, bit for bit.

Where a head learns, these operations take a third of what `torch.optim` takes to find out in each step which of its ways they go. What is
updated here is what torch would update: the same tensors of the optimizer's own state, so that whoever saves, loads or regroups it sees no
difference, and nothing is remembered from one step to the next but how often it was right.

The proof is by trying, as in `core.reuse.linear_head`: the first updates of what learns, and one of each `EVERY` after that, are done by torch as
well, from the same values. Weights and state must be equal to the bit (torch's are kept); once they are not, this file is not used again
in the run.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Adam, AdamW, Optimizer

from core.machine.bits import same

EVERY = 100
"""One update of so many is done both ways, at random."""

FIRST = 2
"""So many of the first with the same tensors, too."""

MOST = 1_000_000
"""Numbers that learn, at most: where there are more, the operations themselves take the time."""

_OTHERWISE = ("amsgrad", "maximize", "capturable", "differentiable", "fused")
"""Settings of torch's with which the operations are others."""

_STATE = ("step", "exp_avg", "exp_avg_sq")
_ONE = torch.ones(())


class QuickAdam:
    """Updates for `optimizer`; `by_torch` does one as torch does, without hooks."""

    def __init__(self, optimizer: Optimizer, by_torch: Callable[[], Any]) -> None:
        self.optimizer = optimizer
        self.by_torch = by_torch
        self.given_up = type(optimizer) not in (Adam, AdamW)
        """Whether this optimizer is none for it, or torch once gave other bits."""
        self.steps = self.checked = 0
        """Updates made this way, and those made both ways."""
        self._proved: tuple[int, ...] = ()
        self._left = FIRST
        self._random = random.Random(0)
        # Numbers that all tensors are multiplied by, in tensors of their own: torch would make one of a number for each tensor anew.
        self._shrink, self._keep, self._root, self._least = (torch.zeros(()) for _ in range(4))

    def step(self) -> bool:
        """Update all that has a gradient; False, with nothing done, where that is torch's to do. Call it without gradients."""
        if self.given_up:
            return False
        groups, state = self.optimizer.param_groups, self.optimizer.state
        learning = [parameter for group in groups for parameter in group["params"]]
        for parameter in learning:
            if parameter.grad is None or not state.get(parameter):
                return False
        which = tuple(map(id, learning))
        if which != self._proved:
            if not self._fits(learning):
                return False
            self._proved, self._left = which, FIRST
        for group in groups:
            for name in _OTHERWISE:
                if group[name]:
                    return False
        self.steps += 1
        if self._left or self._random.random() * EVERY < 1:
            self._left = max(0, self._left - 1)
            self._both(learning)
        else:
            self._update()
        return True

    def _fits(self, learning: list[Tensor]) -> bool:
        """Whether these are few numbers of the usual kind, where the usual operations are."""
        usual = all(each.dtype is torch.float32 and each.is_cpu and not (each.grad is None or each.grad.is_sparse) for each in learning)
        return usual and 0 < sum(each.numel() for each in learning) <= MOST

    def _update(self) -> None:
        for group in self.optimizer.param_groups:
            parameters = group["params"]
            gradients = [parameter.grad for parameter in parameters]
            states = [self.optimizer.state[parameter] for parameter in parameters]
            counts, means, squares = ([state[name] for state in states] for name in _STATE)
            (keep_mean, keep_square), rate, decay = group["betas"], group["lr"], group["weight_decay"]
            torch._foreach_add_(counts, _ONE, alpha=1.0)
            if decay and group["decoupled_weight_decay"]:
                torch._foreach_mul_(parameters, self._shrink.fill_(1 - rate * decay))
            elif decay:
                gradients = list(torch._foreach_add(gradients, parameters, alpha=decay))
            torch._foreach_lerp_(means, gradients, 1 - keep_mean)
            torch._foreach_mul_(squares, self._keep.fill_(keep_square))
            torch._foreach_addcmul_(squares, gradients, gradients, 1 - keep_square)
            roots = torch._foreach_sqrt(squares)
            done = [count.item() for count in counts]
            if done.count(done[0]) == len(done):
                torch._foreach_div_(roots, self._root.fill_((1 - keep_square ** done[0]) ** 0.5))
                torch._foreach_add_(roots, self._least.fill_(group["eps"]))
                torch._foreach_addcdiv_(parameters, means, roots, -(rate / (1 - keep_mean ** done[0])))
            else:  # some of them began to learn later
                torch._foreach_div_(roots, [(1 - keep_square**count) ** 0.5 for count in done])
                torch._foreach_add_(roots, group["eps"])
                torch._foreach_addcdiv_(parameters, means, roots, [-(rate / (1 - keep_mean**count)) for count in done])

    def _both(self, learning: list[Tensor]) -> None:
        """Update by torch, and see whether that is what is done here."""
        self.checked += 1
        moved = [*learning, *(self.optimizer.state[parameter][name] for parameter in learning for name in _STATE)]
        before = [tensor.clone() for tensor in moved]
        self._update()
        mine = [tensor.clone() for tensor in moved]
        for tensor, value in zip(moved, before, strict=True):
            tensor.copy_(value)
        self.by_torch()
        self.given_up = not all(same(one, other) for one, other in zip(mine, moved, strict=True))
