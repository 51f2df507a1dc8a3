"""Runs that differ in nothing but their seed: how far chance in training alone moves the test accuracy. No torch."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from core.records.events import RunStatus
from core.store import Run


@dataclass(frozen=True)
class Spread:
    """Test accuracies (0 to 1) of finished runs with the same settings and other seeds, one for each seed, by seed.

    `deviation`: their standard deviation, with N - 1 in the divisor. `pictures`: how many each was tested on.
    """

    seeds: tuple[int, ...]
    accuracies: tuple[float, ...]
    mean: float
    deviation: float
    pictures: int


def spread(run: Run, runs: Sequence[Run]) -> Spread | None:
    """What is known of other seeds of `run`; None where there are not two finished runs with its settings and two seeds.

    Args:
        runs: to look among, newest first; of two with one seed the first counts.
    """
    found: dict[int, float] = {}
    for each in (run, *runs):
        if each.config.seed not in found and _same_but_seed(run, each) and each.result is not None and each.result.test_accuracy is not None:
            found[each.config.seed] = each.result.test_accuracy
    if len(found) < 2 or run.plan is None:
        return None
    seeds = tuple(sorted(found))
    accuracies = tuple(found[seed] for seed in seeds)
    return Spread(seeds, accuracies, statistics.fmean(accuracies), statistics.stdev(accuracies), run.plan.test_samples)


def _same_but_seed(one: Run, other: Run) -> bool:
    """Finished, with the same settings, and tested on as many pictures: a folder may have changed between two runs."""
    if other.status != RunStatus.FINISHED or one.plan is None or other.plan is None:
        return False
    tested = (one.plan.classes, one.plan.test_samples) == (other.plan.classes, other.plan.test_samples)
    return tested and one.config.replace(seed=0) == other.config.replace(seed=0)
