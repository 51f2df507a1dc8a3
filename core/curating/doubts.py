"""Labels that a head on frozen features would not give: 3-fold cross-validation, and cleanlab says which of them are likely wrong."""

from __future__ import annotations

import math
import warnings
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from core.config import ConfigError
from core.curating.features import AUTO, features_of, source_of
from core.curating.kept import folder_of, put, taken
from core.curating.layout import directions, one_thread
from core.curating.looking import Progress
from core.machine.home import Home
from core.versions import Version

FORMAT = 1
"""Part of the file's name: raise it when the same features give other doubts."""

FOLDS = 3
LEAST = FOLDS
"""Pictures that a class needs: one for each fold."""

ROUNDS = 3
"""How often the folds are drawn anew: what is doubted in every round is no matter of chance."""

AXES = 128
"""Directions of the features that the head gets at most."""

BLIND = 0.5
"""Share of a guess's mistakes that a head may make."""

RUN = "run:"
"""What the name of a run begins with, where it stands in place of a model's."""

GUESSES = 9
"""Classes that are named for a picture, likeliest first: one for each key from 1 to 9."""


@dataclass(frozen=True)
class Doubt:
    """A picture, by its place in the version, whose label is doubted.

    `probability` is what the head gives its label, `guesses` are (class, probability), the likeliest first. `rounds`: in how many it was doubted.
    """

    picture: int
    label: str
    probability: float
    guesses: tuple[tuple[str, float], ...]
    rounds: int


@dataclass(frozen=True)
class Doubts:
    """The doubted labels of the version of this hash, the most doubtful first.

    `counts`: how many each round doubted. `right`: the share of all labels (0 to 1) that the head gives as well, `guess` the share that always
    naming the most frequent class would. `judged`: how many pictures were
    looked at; `left_out` classes have fewer than `LEAST` of them. `about` says what the features are.
    """

    hash: str
    model: str
    found: tuple[Doubt, ...]
    counts: tuple[int, ...]
    right: float
    guess: float
    judged: int
    left_out: tuple[str, ...]
    about: str

    @property
    def sentence(self) -> str:
        """How many there are, and how sure that is."""
        judge = "run" if self.model.startswith(RUN) else "head"
        if not self.found:
            return f"None of {self.judged:,} labels is doubted. The {judge} that judges them agrees with {100 * self.right:.1f} % of them."
        if judge == "run":
            what = f"{len(self.found):,} of {self.judged:,} labels of the validation pictures are doubted"
            return f"{what}. The run agrees with {100 * self.right:.1f} % of them, so some of its doubts are its own mistakes."
        low, high = min(self.counts), max(self.counts)
        each = f"{low:,}" if low == high else f"{low:,} to {high:,}"
        steady = sum(doubt.rounds == len(self.counts) for doubt in self.found)
        return (
            f"{each} of {self.judged:,} labels are doubted in each of {len(self.counts)} rounds with other folds, {steady:,} in all of them. "
            f"The head that doubts them agrees with {100 * self.right:.1f} % of the labels, so some of its doubts are its own mistakes."
        )

    @property
    def blind(self) -> bool:
        """Whether the head knows so little of these pictures that its doubts mean nothing: it halves not even the mistakes of a guess."""
        return 1 - self.right > BLIND * (1 - self.guess)


DOUBTS = TypeAdapter(Doubts)


def doubts_of(home: Home, version: Version, progress: Progress, model: str = AUTO) -> Doubts:
    """The doubted labels of a version: read where they are kept, else found.

    Args:
        model: whose frozen part gives the features for cross-validation (`core.curating.features`); `run:ID:EPOCH`: a run that judges the pictures
            that it was validated on (`core.curating.by_runs`, which says what it raises).

    Raises:
        ConfigError: on `model`, there is no such one; on `dataset`, with fewer than two classes of three pictures that can be read.
    """
    known = kept(home, version, model)
    if known is not None:
        return known
    if model.startswith(RUN):
        from core.curating.by_runs import by_run

        made = by_run(home, version, model, progress)
        put(_path(home, version, model), DOUBTS.dump_json(made))
        return made
    _check_classes(version, Counter(item.label for item in version.items))
    found = features_of(home, version, source_of(version, model), progress)
    counts = Counter(version.items[place].label for place in found.seen)
    classes = _check_classes(version, counts)
    left_out = tuple(f"{name} ({counts[name]:,})" for name in version.classes if name not in classes)
    places = np.array([place for place in found.seen if version.items[place].label in classes], dtype=np.int64)
    labels = np.array([classes.index(version.items[place].label) for place in places], dtype=np.int64)
    rounds = []
    with one_thread():
        for number in range(ROUNDS):
            progress(f"training heads: round {number + 1} of {ROUNDS}", number / ROUNDS)
            rounds.append(_probabilities(found.values[places], labels, _families(version, places), number))
        issues = [issues_of(labels, each) for each in rounds]
    mean = np.mean(rounds, axis=0)
    made = Doubts(
        hash=version.hash,
        model=found.source.model,
        found=ranked(version, places, labels, mean, issues, classes),
        counts=tuple(len(each) for each in issues),
        right=float(np.mean([(each.argmax(axis=1) == labels).mean() for each in rounds])),
        guess=float(np.bincount(labels).max() / len(labels)),
        judged=len(places),
        left_out=left_out,
        about=found.source.about,
    )
    if not found.problems:
        put(_path(home, version, model), DOUBTS.dump_json(made))
    return made


def kept(home: Home, version: Version, model: str) -> Doubts | None:
    """The doubted labels, where they are kept."""
    found = taken(_path(home, version, model), DOUBTS)
    return found if found is not None and found.hash == version.hash else None


def _check_classes(version: Version, counts: Counter[str]) -> tuple[str, ...]:
    """The classes with enough pictures, in their order."""
    classes = tuple(name for name in version.classes if counts[name] >= LEAST)
    if len(classes) < 2:
        what = f"{version.text} has {len(classes)} class{'' if len(classes) == 1 else 'es'} with {LEAST} pictures or more"
        raise ConfigError("dataset", f"{what}; labels can be doubted where there are two: add pictures")
    return classes


def _families(version: Version, places: NDArray[np.int64]) -> NDArray[np.int64]:
    """A number for each picture, the same for those that belong together: a fold must not learn from what it is asked about."""
    numbers: dict[str, int] = {}
    keys = [version.items[place].group or version.items[place].sha256 for place in places]
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=np.int64)


def _probabilities(values: NDArray[np.float32], labels: NDArray[np.int64], families: NDArray[np.int64], seed: int) -> NDArray[np.float64]:
    """What heads give each class for pictures that they did not learn from, float64 [M, C]."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    ready = directions(values, AXES)
    ready /= max(float(np.sqrt((ready**2).sum(axis=1).mean())), 1e-9) / math.sqrt(ready.shape[1])
    classes = int(labels.max()) + 1
    whole = np.zeros((len(labels), classes))
    alone = len(np.unique(families)) == len(families)
    folds = (StratifiedKFold if alone else StratifiedGroupKFold)(FOLDS, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a head that is not quite trained through doubts as well
        for learn, ask in folds.split(ready, labels, families):
            head = LogisticRegression(C=1.0, max_iter=200, tol=1e-3).fit(ready[learn], labels[learn])
            whole[np.ix_(ask, head.classes_)] = head.predict_proba(ready[ask])
    return whole


def issues_of(labels: NDArray[np.int64], probabilities: NDArray[np.float64]) -> set[int]:
    """Places of the labels, int64 [M], that are likely wrong by their probabilities, float64 [M, C].

    Source: confident learning (Northcutt, Jiang, Chuang, JAIR 70, 2021).
    """
    from cleanlab.filter import find_label_issues

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return set(np.flatnonzero(find_label_issues(labels, probabilities, n_jobs=1)).tolist())


def ranked(
    version: Version,
    places: NDArray[np.int64],
    labels: NDArray[np.int64],
    mean: NDArray[np.float64],
    issues: list[set[int]],
    classes: tuple[str, ...],
) -> tuple[Doubt, ...]:
    """The doubts of M `places` of a version, the most doubtful first. `issues`: a set of indices into them for each round; `mean`: float64 [M, C]."""
    doubted = sorted(set().union(*issues), key=lambda place: (mean[place, labels[place]], place))
    found = []
    for place in doubted:
        likeliest = np.argsort(-mean[place], kind="stable")[:GUESSES]
        guesses = tuple((classes[guess], round(float(mean[place, guess]), 4)) for guess in likeliest)
        rounds = sum(place in each for each in issues)
        label = int(labels[place])
        found.append(Doubt(int(places[place]), version.items[places[place]].label, round(float(mean[place, label]), 4), guesses, rounds))
    return tuple(found)


def _path(home: Home, version: Version, model: str) -> Path:
    return folder_of(home, version.dataset) / f"doubts-{FORMAT}-{model.replace(':', '-')}-{version.hash[:32]}.json"
