"""How much to freeze: what a person's own runs and pictures say about it, as data and in sentences. No torch, no rule of thumb."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Tried:
    """What finished runs with one freeze plan came to: `validation` accuracies (0 to 1), one a run. `seeds`: of how many seeds they are."""

    plan: str
    validation: tuple[float, ...]
    seeds: int

    @property
    def mean(self) -> float:
        """Mean of the accuracies."""
        return sum(self.validation) / len(self.validation)

    @property
    def sentence(self) -> str:
        """'96.0 % of 3 runs (3 seeds), from 95.1 to 97.2 %'."""
        runs = f"{len(self.validation):,} run{'' if len(self.validation) == 1 else 's'}"
        if len(self.validation) == 1:
            return f"{100 * self.mean:.1f} % in 1 run"
        low, high = min(self.validation), max(self.validation)
        seeds = f"{self.seeds:,} seed{'' if self.seeds == 1 else 's'}"
        return f"{100 * self.mean:.1f} % on average of {runs} ({seeds}), {100 * low:.1f} to {100 * high:.1f} %"


@dataclass(frozen=True)
class Separation:
    """How well frozen features tell the classes apart, before anything was trained: `right` of `pictures` pictures lie nearest to the mean of
    their own class. The means are of `known` other pictures. `share`, `low`, `high`: the share with its 95 % interval. `random`: the same
    number for the same model with random weights, None where these are what it begins with. `guess`: how many always naming the most frequent
    class of the known ones gets right.
    """

    right: int
    pictures: int
    known: int
    share: float
    low: float
    high: float
    random: int | None
    guess: int
    weights: str

    @property
    def sentence(self) -> str:
        """What was found, with its uncertainty, and what it can be held against."""
        share = f"{100 * self.share:.0f} %, 95 % interval {100 * self.low:.0f} to {100 * self.high:.0f} %"
        found = f"{self.right:,} of {self.pictures:,} pictures ({share}) lie nearest to the mean of their own class; means of {self.known:,} others."
        beside = f"Always naming the most frequent class of those others is right for {self.guess:,}"
        beside += f", the same model with random weights for {self.random:,}." if self.random is not None else "."
        return f"{found} {beside}"


ABOUT = (
    "How many pictures go with how many numbers that learn, and what your own finished runs came to. The validation accuracy decides between "
    "plans, not the test set; runs of one plan differ from seed to seed, so one run each says little."
)

ABOUT_SEPARATION = (
    "How far your pictures are from what the weights have seen cannot be read off anywhere. What can be tried is how well their features tell "
    "your classes apart: a picture counts as right if its features lie nearest to the mean of its own class. That rule is a linear one, so a "
    "head on these features can do the same."
)


def tried(plans: Iterable[tuple[str, int, float]]) -> tuple[Tried, ...]:
    """Finished runs, (plan, seed, validation accuracy) each, by plan; that with the highest mean first."""
    found: dict[str, list[tuple[int, float]]] = {}
    for plan, seed, accuracy in plans:
        found.setdefault(plan, []).append((seed, accuracy))
    made = [Tried(plan, tuple(accuracy for _, accuracy in runs), len({seed for seed, _ in runs})) for plan, runs in found.items()]
    return tuple(sorted(made, key=lambda each: -each.mean))


def per_picture(learning: int, pictures: int | None) -> str:
    """Numbers that learn for each training picture: '4.5 a picture'."""
    return "" if not pictures else f"{learning / pictures:,.0f} a picture" if learning >= 10 * pictures else f"{learning / pictures:.2g} a picture"


def lines(learning: Mapping[str, int], pictures: int | None, runs: Sequence[Tried]) -> list[tuple[str, str, str, str]]:
    """A row a plan: (plan, numbers that learn, how many that is a picture, what runs came to). Plans that `learning` does not know come last."""
    said = {each.plan: each.sentence for each in runs}
    rows = [(plan, f"{count:,}", per_picture(count, pictures), said.pop(plan, "no run yet")) for plan, count in learning.items()]
    return rows + [(plan, "", "", sentence) for plan, sentence in said.items()]
