"""Bursts of the webcam: their pictures are nearly the same, so those of one are kept in one split, where there are enough bursts for that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from core.config.run_config import RunConfig
from core.data.folders import some
from core.data.splits import TEST_SEED, TEST_SHARE, grouped_split
from core.importing.recognised import Planned
from core.versions import naming


def kept_together(taken: Sequence[Planned]) -> tuple[list[Planned], str]:
    """Pictures of which some are of bursts (their `group`), and what to say of that; without groups where a run would have nothing to measure on."""
    bursts = {planned.group for planned in taken if planned.group}
    if not bursts:
        return list(taken), ""
    if any(planned.split for planned in taken) or _can_be_split(taken):
        count = "1 burst" if len(bursts) == 1 else f"{len(bursts):,} bursts"
        return list(taken), f"Pictures of {count} of the webcam: those of one are nearly the same, so none of them is torn into two splits."
    labels = sorted({planned.label for planned in taken if planned.group}, key=naming.people_order)
    counts = [f"{label} {len({planned.group for planned in taken if planned.label == label and planned.group}):,}" for label in labels]
    what = f"Too few bursts of the webcam to set whole ones aside ({some(counts, 6)}): pictures of one, nearly the same, come into training and test"
    return [replace(planned, group="") for planned in taken], f"{what}, and accuracies come out too high. Take four or more of each class."


def _can_be_split(taken: Sequence[Planned]) -> bool:
    """Whether whole bursts leave pictures of each class to test, and some to validate on, as a run divides them that is asked for nothing else."""
    classes = sorted({planned.label for planned in taken})
    labels = np.asarray([classes.index(planned.label) for planned in taken], dtype=np.int64)
    numbers: dict[str, int] = {}
    groups = np.asarray([numbers.setdefault(planned.group or f"/{place}", len(numbers)) for place, planned in enumerate(taken)], dtype=np.int64)
    kept, tested = grouped_split(labels, groups, TEST_SHARE, TEST_SEED)
    if len(np.unique(labels[tested])) < len(classes):
        return False
    usual = {name: RunConfig.model_fields[name].default for name in ("validation_share", "seed")}
    return len(grouped_split(labels[kept], groups[kept], usual["validation_share"], usual["seed"])[1]) > 0
