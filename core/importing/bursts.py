"""Bursts of the webcam: their pictures are nearly the same, so those of one are kept in one split, where there are enough bursts for that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from core.config.run_config import RunConfig
from core.data.folders import some
from core.data.splits import TEST_SEED, TEST_SHARE, grouped_split
from core.importing.recognised import Planned
from core.versions import Item, edits, naming


def kept_together(taken: Sequence[Planned], there: Sequence[Item] = ()) -> tuple[list[Planned], str]:
    """Pictures of which some are of bursts (their `group`), and what to say of that; without groups where a run would have nothing to measure on.

    `there`: what the dataset has already that they are added to. Whether there are enough bursts is judged by all of them together.
    """
    bursts = {planned.group for planned in taken if planned.group}
    if not bursts:
        return list(taken), ""
    every = [*((item.label, item.group) for item in there), *((planned.label, planned.group) for planned in taken)]
    if any(planned.split for planned in taken) or _can_be_split(every):
        count = "1 burst" if len(bursts) == 1 else f"{len(bursts):,} bursts"
        said = f"Pictures of {count} of the webcam: those of one are nearly the same, so none of them is torn into two splits."
        return list(taken), said + _not_together(there)
    labels = sorted({planned.label for planned in taken if planned.group}, key=naming.people_order)
    counts = [f"{label} {len({group for one, group in every if one == label and group}):,}" for label in labels]
    what = f"Too few bursts of the webcam to set whole ones aside ({some(counts, 6)}): pictures of one, nearly the same, come into training and test"
    return [replace(planned, group="") for planned in taken], f"{what}, and accuracies come out too high. Take four or more of each class."


def _not_together(there: Sequence[Item]) -> str:
    """What to say of bursts that came before, when they were too few to be kept together."""
    loose = {edits.group_of(item.name, "burst") for item in there if not item.group} - {""}
    if not loose:
        return ""
    count = "1 burst that was there before is" if len(loose) == 1 else f"{len(loose):,} bursts that were there before are"
    return f" The pictures of {count} in no group: on the dataset's page, Splits can keep those together whose names differ in their last number."


def _can_be_split(pictures: Sequence[tuple[str, str]]) -> bool:
    """Whether whole bursts leave pictures of each class to test, and some to validate on, as a run divides them that is asked for nothing else.

    `pictures`: class and group of each, "" for none.
    """
    classes = {label: number for number, label in enumerate(sorted({label for label, _ in pictures}))}
    labels = np.asarray([classes[label] for label, _ in pictures], dtype=np.int64)
    numbers: dict[str, int] = {}
    groups = np.asarray([numbers.setdefault(group or f"/{place}", len(numbers)) for place, (_, group) in enumerate(pictures)], dtype=np.int64)
    kept, tested = grouped_split(labels, groups, TEST_SHARE, TEST_SEED)
    if len(np.unique(labels[tested])) < len(classes):
        return False
    usual = {name: RunConfig.model_fields[name].default for name in ("validation_share", "seed")}
    return len(grouped_split(labels[kept], groups[kept], usual["validation_share"], usual["seed"])[1]) > 0
