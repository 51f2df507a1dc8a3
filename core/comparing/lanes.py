"""Which blocks of a model were frozen when: one lane a run, to be put beside the lanes of others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from core.records.events import ChangeRow, RunPlan
from core.records.layers import blocks

State = Literal["learns", "frozen", "in part"]


@dataclass(frozen=True)
class Stretch:
    """From step `first` (counted from 1) to before the next stretch's, a block was this."""

    first: int
    state: State


@dataclass(frozen=True)
class BlockLane:
    """One block of a model over the steps. `learning` is how many of its values learn in each stretch, of `count`."""

    name: str
    count: int
    stretches: tuple[Stretch, ...]


def lanes(plan: RunPlan, changes: Sequence[ChangeRow]) -> tuple[BlockLane, ...]:
    """What was frozen and what learned, block by block in the order of the model, from the plan and the changes made since."""
    names = [layer.name for layer in plan.layers]
    groups: dict[str, list[int]] = {}
    if all(layer.block for layer in plan.layers):
        for row, layer in enumerate(plan.layers):
            groups.setdefault(layer.block, []).append(row)
    else:  # runs of the first Thaw know no blocks
        groups = {block: [names.index(name) for name in members] for block, members in blocks(names).items()}
    begun = np.array([layer.frozen for layer in plan.layers], np.bool_)
    held = [(1, begun), *((max(change.step, 1), change.frozen) for change in changes if len(change.frozen) == len(begun))]
    return tuple(_lane(name, rows, sum(plan.layers[row].count for row in rows), held) for name, rows in groups.items())


def always_frozen(plan: RunPlan, changes: Sequence[ChangeRow]) -> tuple[str, ...]:
    """The tensors that no step was to change."""
    frozen = np.array([layer.frozen for layer in plan.layers], np.bool_)
    for change in changes:
        if len(change.frozen) == len(frozen):
            frozen = frozen & change.frozen
    return tuple(layer.name for layer, held in zip(plan.layers, frozen.tolist(), strict=True) if held)


def _lane(name: str, rows: Sequence[int], count: int, held: Sequence[tuple[int, NDArray[np.bool_]]]) -> BlockLane:
    found: list[Stretch] = []
    for first, frozen in held:
        part = frozen[list(rows)]
        state: State = "frozen" if part.all() else "in part" if part.any() else "learns"
        if found and found[-1].first == first:
            found.pop()
        if not found or found[-1].state != state:
            found.append(Stretch(first, state))
    return BlockLane(name, count, tuple(found))
