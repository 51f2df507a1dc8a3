"""The proof that ranks hold the same: a digest of every tensor of the model, compared over all of them."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from core.machine.bits import digest
from core.ranks.group import Group


@dataclass(frozen=True)
class Compared:
    """What came out after `step` steps: how many `tensors` (weights, running statistics) were compared on how many `ranks`.

    `differing` are (rank, tensor): what that rank has other values in than rank 0.
    """

    step: int
    tensors: int
    ranks: int
    differing: tuple[tuple[int, str], ...] = ()

    @property
    def sentence(self) -> str:
        """For a person."""
        if not self.differing:
            return f"{self.tensors:,} tensors equal on {self.ranks} ranks at step {self.step:,}"
        drifted = "; ".join(
            f"rank {rank} has other values than rank 0 in {names[0]}" + (f" and {len(names) - 1:,} more" if len(names) > 1 else "")
            for rank in sorted({rank for rank, _ in self.differing})
            if (names := [name for other, name in self.differing if other == rank])
        )
        return f"{drifted}, of {self.tensors:,} tensors at step {self.step:,}"


def compare(group: Group, model: nn.Module, step: int) -> Compared:
    """Compare all tensors of `model` over all ranks; every rank must come here at the same step, and is told the same."""
    mine = {name: digest([tensor.detach()])[:32] for name, tensor in (*model.named_parameters(), *model.named_buffers())}
    first, *others = group.gather_words(mine)
    differing = tuple((rank, name) for rank, other in enumerate(others, start=1) for name in {**first, **other} if first.get(name) != other.get(name))
    return Compared(step, len(first), group.ranks, differing)
