"""Which images train and which measure. No torch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]

TEST_SHARE = 0.2
"""Share of the images set aside to test on where a dataset comes without a test set."""

TEST_SEED = 0
"""The test set is the same for every run, whatever its seed: two runs can be compared."""


def stratified_split(labels: NDArray[np.int64], share: float, seed: int) -> tuple[Indices, Indices]:
    """Cut the images into (kept, held out) so that both have the classes in the proportions of the whole.

    About `share` of each class is held out, `round(share * N)` images in all where that is possible. A class always keeps
    at least one image, so one with a single image holds none out. Both results are sorted indices into `labels`; the same
    labels, share and seed give the same split.
    """
    generator = np.random.default_rng(seed)
    shuffled = generator.permutation(len(labels))
    members = [shuffled[labels[shuffled] == label] for label in np.unique(labels)]
    out = quotas([len(indices) for indices in members], share)
    held_out = np.sort(np.concatenate([indices[:quota] for indices, quota in zip(members, out, strict=True)]))
    kept = np.sort(np.concatenate([indices[quota:] for indices, quota in zip(members, out, strict=True)]))
    return kept.astype(np.int64), held_out.astype(np.int64)


def quotas(counts: list[int], share: float) -> list[int]:
    """How many images each class holds out: its share rounded down, then one more where most was lost, up to the total."""
    wanted = [count * share for count in counts]
    found = [min(int(want), count - 1) for want, count in zip(wanted, counts, strict=True)]
    missing = round(sum(wanted)) - sum(found)
    by_loss = sorted(range(len(counts)), key=lambda place: found[place] - wanted[place])
    for place in by_loss:
        if missing <= 0:
            break
        if found[place] + 1 < counts[place]:
            found[place] += 1
            missing -= 1
    return found


def grouped_split(labels: NDArray[np.int64], groups: NDArray[np.int64], share: float, seed: int) -> tuple[Indices, Indices]:
    """As `stratified_split`, with all images of a group (of one number in `groups`, int64 [N]) on the same side.

    Groups are gone through from the largest, those of one size in the order of the seed; one is held out where that brings the classes nearer
    to their share. A class always keeps an image, so there may be no group that can be held out.
    """
    names, place = np.unique(groups, return_inverse=True)
    counts = np.zeros((len(names), int(labels.max(initial=0)) + 1))
    np.add.at(counts, (place, labels), 1)
    totals = counts.sum(axis=0)
    lacking, left = totals * share, totals.copy()
    shuffled = np.random.default_rng(seed).permutation(len(names))
    held_out = np.zeros(len(names), dtype=bool)
    for group in shuffled[np.argsort(-counts[shuffled].sum(axis=1), kind="stable")]:
        count = counts[group]
        nearer = ((np.abs(lacking) - np.abs(lacking - count)) / np.maximum(totals, 1)).sum()
        if nearer > 1e-12 and (left - count)[count > 0].min() > 0:
            held_out[group] = True
            lacking -= count
            left -= count
    return np.flatnonzero(~held_out[place]).astype(np.int64), np.flatnonzero(held_out[place]).astype(np.int64)
