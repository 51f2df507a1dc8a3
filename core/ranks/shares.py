"""A sum of many numbers in memory that ranks share: each rank adds up a share of them, and all read it.

A rank shows the others what they add up, and no more. Its own share it adds where it stands to what the others show of it, in the order of
ranks, and puts the sum up for them. So of n numbers and two ranks each copies n / 2 out, adds n / 2 up and copies n / 2 in. A sum may be made
while what was given stays as it is; all ranks must have shown before one adds, and have added before one takes (`core.ranks.memory`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from core.ranks.collectives import Row, copy_where_both_are


class Piece(NamedTuple):
    """The tensor at place `tensor`, or some `rows` of it along its first dimension."""

    tensor: int
    rows: slice | None

    def of(self, tensors: Sequence[Tensor]) -> Tensor:
        """This piece of `tensors`, as a view."""
        return tensors[self.tensor] if self.rows is None else tensors[self.tensor][self.rows]

    def where_there(self, tensors: Sequence[Tensor | None]) -> Tensor | None:
        """The same, None where the tensor is."""
        found = tensors[self.tensor]
        return found if found is None or self.rows is None else found[self.rows]


def cut(shapes: Sequence[Sequence[int]], ranks: int) -> list[list[Piece]]:
    """Tensors of these shapes for so many ranks: all pieces once, each rank's as even as whole rows allow."""
    total, before = sum(math.prod(shape) for shape in shapes), 0
    found: list[list[Piece]] = [[] for _ in range(ranks)]
    for place, shape in enumerate(shapes):
        numbers, count = math.prod(shape), shape[0] if shape else 1
        if not numbers:
            continue
        ends = [min(max(round((total * rank / ranks - before) * count / numbers), 0), count) for rank in range(ranks + 1)]
        for rank, (first, end) in enumerate(pairwise(ends)):
            if first < end:
                found[rank].append(Piece(place, None if end - first == count else slice(first, end)))
        before += numbers
    return found


class Shares:
    """One rank's end of it.

    Args:
        memory: float32 [ranks + 1, n], the same on all ranks and 0 at first: what each rank shows, and the sum.
        like: tensors of the shapes of what is added up.
    """

    def __init__(self, memory: Tensor, like: Sequence[Tensor], rank: int) -> None:
        rows = [Row(like, memory.device, flat).views for flat in memory]
        *of_ranks, of_sum = rows
        pieces = cut([each.shape for each in like], len(of_ranks))
        self._rank = rank
        self._own = pieces[rank]
        self._adds = [([piece.of(row) for row in of_ranks], piece.of(of_sum)) for piece in self._own]
        self._others = [piece for other, their in enumerate(pieces) if other != rank for piece in their]
        self._shown = [piece.of(of_ranks[rank]) for piece in self._others]
        self._summed = [piece.of(of_sum) for piece in self._others]
        self._given: Sequence[Tensor | None] = ()

    def show(self, tensors: Sequence[Tensor | None]) -> None:
        """Show the others what they add up of `tensors`. None is 0."""
        self._given = tensors
        given = [piece.where_there(tensors) for piece in self._others]
        copy_where_both_are(self._shown, given)
        for view, each in zip(self._shown, given, strict=True):
            if each is None:
                view.zero_()

    def add(self) -> None:
        """Add up this rank's share, into what was given and for the others."""
        for piece, (shown, summed) in zip(self._own, self._adds, strict=True):
            own = piece.where_there(self._given)
            parts = list(shown)
            if own is not None:
                parts[self._rank] = own  # what this rank shows of its own share stays 0
            if own is None:
                added_in_order(parts, summed)
                continue
            into, too = (own, summed) if self._rank < 2 else (summed, own)  # its own is read by then: one of the first two
            added_in_order(parts, into)
            too.copy_(into)

    def take(self) -> None:
        """Copy what the others have added up into what was given."""
        copy_where_both_are([piece.where_there(self._given) for piece in self._others], self._summed)
        self._given = ()  # they are whose they were: a gradient is freed after its step


def added_in_order(parts: Sequence[Tensor], into: Tensor) -> None:
    """The sum of `parts`, the first and the second one first."""
    if len(parts) == 1:
        into.copy_(parts[0])
        return
    torch.add(parts[0], parts[1], out=into)
    for part in parts[2:]:
        into.add_(part)
