"""Which pictures show the same: near in a perceptual hash, and then held against each other. No search of all pairs. numpy alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from core.curating.looking import Looks

NEAR = 10
"""Bits of 64 in which the hashes of two pictures may differ."""

ALIKE = 0.985
"""Least correlation of two thumbs. The hash alone takes 370 pairs of the 1,797 handwritten digits for one picture, with this it is some thirty."""

COLOUR = 48
"""Levels of 255 by which the mean of a channel may differ: the same picture brighter, not a red one for a blue one."""

BANDS = 6
"""Pieces that a hash is cut into. Of hashes with at most `NEAR` other bits, one piece has at most `NEAR // BANDS` = 1 (pigeonhole)."""

Pairs = NDArray[np.int64]
Told = Callable[[float], None]

BLOCK = 2_000_000
"""Pairs that are compared at a time: 16 MB."""


def groups(looks: Looks, told: Told = lambda share: None) -> list[list[int]]:
    """Places of pictures that look the same, a list for each such picture, sorted. A flat or unread picture is in none.

    Each list has one picture that all others of it are like: what is like by way of a third picture alone is not put together, so that a thousand
    handwritten ones do not become one group.
    """
    places = np.flatnonzero(looks.seen & ~looks.flat)
    if len(places) == 0:
        return []
    thumbs = Thumbs(looks.thumbs[places])
    leaders = _of_equal_hash(looks.hashes[places], thumbs)
    first = np.fromiter(leaders, np.int64, len(leaders))
    neighbours: dict[int, list[int]] = {}
    for left, right in near_pairs(looks.hashes[places][first], told):
        like = thumbs.alike(first[left], first[right])
        for one, other in zip(first[left[like]].tolist(), first[right[like]].tolist(), strict=True):
            neighbours.setdefault(one, []).append(other)
            neighbours.setdefault(other, []).append(one)
    found, taken = [], set()
    for leader in sorted(leaders, key=lambda leader: (-len(neighbours.get(leader, ())), leader)):
        if leader in taken:
            continue
        members = [leader, *(other for other in dict.fromkeys(neighbours.get(leader, ())) if other not in taken)]
        taken.update(members)
        together = sorted(place for member in members for place in leaders[member])
        if len(together) > 1:
            found.append(places[together].tolist())
    return sorted(found)


class Thumbs:
    """Small pictures uint8 [N, S, S, 3], ready to be held against each other."""

    def __init__(self, thumbs: NDArray[np.uint8]) -> None:
        count, side = thumbs.shape[:2]
        self._means = thumbs.mean(axis=(1, 2), dtype=np.float32)
        flat = thumbs.reshape(count, -1).astype(np.float32)
        flat -= flat.mean(axis=1, keepdims=True)
        flat /= np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6)
        self._directions = flat
        # A picture is its blocks of 4 x 4 pixels, averaged, and what is left of it, at right angles to that.
        blocks = flat.reshape(count, side // 4, 4, side // 4, 4, 3).sum(axis=(2, 4)) / 4
        self._coarse = blocks.reshape(count, -1)
        self._rest = np.sqrt(np.maximum(1 - (self._coarse**2).sum(axis=1), 0))

    def alike(self, left: Pairs, right: Pairs) -> NDArray[np.bool_]:
        """Whether the two of each pair, places int64 [P] each, correlate by `ALIKE` and have nearly the same colour: bool [P]."""
        like = np.zeros(len(left), dtype=bool)
        for start in range(0, len(left), 65_536):
            one, other = left[start : start + 65_536], right[start : start + 65_536]
            most = np.einsum("nd,nd->n", self._coarse[one], self._coarse[other]) + self._rest[one] * self._rest[other]  # Cauchy-Schwarz
            hopeful = np.flatnonzero(most >= ALIKE)
            one, other = one[hopeful], other[hopeful]
            likeness = np.einsum("nd,nd->n", self._directions[one], self._directions[other])
            like[start + hopeful] = (likeness >= ALIKE) & (np.abs(self._means[one] - self._means[other]).max(axis=1) <= COLOUR)
        return like


def _of_equal_hash(hashes: NDArray[np.uint64], thumbs: Thumbs) -> dict[int, list[int]]:
    """Pictures by the first one that has their hash and that they are like: each is compared with such first ones alone."""
    order = np.argsort(hashes, kind="stable")
    ends = np.flatnonzero(np.diff(hashes[order])) + 1
    leaders: dict[int, list[int]] = {}
    for bucket in np.split(order, ends):
        left = bucket
        while len(left):
            first = left[0]
            like = thumbs.alike(np.full(len(left), first), left)
            like[0] = True
            leaders[int(first)] = left[like].tolist()
            left = left[~like]
    return leaders


def near_pairs(hashes: NDArray[np.uint64], told: Told = lambda share: None) -> Iterator[tuple[Pairs, Pairs]]:
    """Pairs of places int64 [P], int64 [P] whose hashes uint64 [N] differ in at most `NEAR` bits, each once.

    Hashes are sorted by a piece of theirs, and compared where that piece is equal or differs by one bit. Source: M. Norouzi, A. Punjani, D. Fleet,
    Fast Exact Search in Hamming Space with Multi-Index Hashing (2014).
    """
    edges = np.linspace(0, 64, BANDS + 1).astype(int).tolist()
    pieces = [(2 ** (high - low) - 1) << low for low, high in pairwise(edges)]
    for number, piece in enumerate(pieces):
        told(number / BANDS)
        keys = (hashes & np.uint64(piece)) >> np.uint64(edges[number])
        order = np.argsort(keys, kind="stable")
        values, starts = np.unique(keys[order], return_index=True)
        buckets = dict(zip(values.tolist(), np.split(order, starts[1:]), strict=True))
        for key, bucket in buckets.items():
            others = [buckets[near] for bit in range(edges[number + 1] - edges[number]) if (near := key ^ (1 << bit)) > key and near in buckets]
            yield from _compared(hashes, bucket, np.concatenate([bucket, *others]), pieces[:number])


def _compared(hashes: NDArray[np.uint64], left: Pairs, right: Pairs, before: Sequence[int]) -> Iterator[tuple[Pairs, Pairs]]:
    """The near pairs between `left` and `right`, which begins with `left`, but for those that one of the pieces `before` has found."""
    rows = max(1, BLOCK // len(right))
    for start in range(0, len(left), rows):
        part = left[start : start + rows]
        other_bits = hashes[part][:, None] ^ hashes[right][None]
        one, other = np.nonzero(np.bitwise_count(other_bits) <= NEAR)
        keep = other > one + start
        one, other = one[keep], other[keep]
        bits = other_bits[one, other]
        for piece in before:
            new = np.bitwise_count(bits & np.uint64(piece)) > 1
            one, other, bits = one[new], other[new], bits[new]
        if len(one):
            yield part[one], right[other]
