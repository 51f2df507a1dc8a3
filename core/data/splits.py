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
    quotas = _quotas([len(indices) for indices in members], share)
    held_out = np.sort(np.concatenate([indices[:quota] for indices, quota in zip(members, quotas, strict=True)]))
    kept = np.sort(np.concatenate([indices[quota:] for indices, quota in zip(members, quotas, strict=True)]))
    return kept.astype(np.int64), held_out.astype(np.int64)


def _quotas(counts: list[int], share: float) -> list[int]:
    """How many images each class holds out: its share rounded down, then one more where most was lost, up to the total."""
    wanted = [count * share for count in counts]
    quotas = [min(int(want), count - 1) for want, count in zip(wanted, counts, strict=True)]
    missing = round(sum(wanted)) - sum(quotas)
    by_loss = sorted(range(len(counts)), key=lambda place: quotas[place] - wanted[place])
    for place in by_loss:
        if missing <= 0:
            break
        if quotas[place] + 1 < counts[place]:
            quotas[place] += 1
            missing -= 1
    return quotas
