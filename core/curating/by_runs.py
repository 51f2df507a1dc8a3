"""Labels that a run would not give: its weights look at the pictures that it was validated on, which they did not learn from, and cleanlab judges."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.config import ConfigError
from core.curating.doubts import LEAST, Doubts, issues_of, ranked
from core.curating.looking import Progress
from core.data import own
from core.data.manifest import read_pictures
from core.evaluation.known import by_validation
from core.evaluation.predictions import find_run
from core.machine.home import Home
from core.store import Run, RunStore
from core.store.checkpoint import newest
from core.versions import Version, naming, path_of

_ASKED = re.compile(r"run:(?P<run>[\w-]{1,80}):(?P<epoch>\d{1,6})")

MOST_RUNS = 2_000
"""The newest runs among which those are looked for that learned from a dataset."""


@dataclass(frozen=True)
class Offer:
    """A run that can judge labels by its weights after an epoch. `asked`: what `doubts_of` takes in place of a model's name."""

    asked: str
    run: Run
    epoch: int


def is_run(asked: str) -> bool:
    """Whether the name of a model is that of a run and an epoch: `run:ID:EPOCH`."""
    return _ASKED.fullmatch(asked) is not None


def offers(home: Home, store: RunStore, dataset: str, most: int = 8) -> list[Offer]:
    """The runs on a dataset that are over and had validation pictures, newest first, each with the epoch that these choose."""
    found: list[Offer] = []
    for run in store.entries(limit=MOST_RUNS, active=False):
        if isinstance(run, Run) and len(found) < most and _learned_from(run, dataset) and (one := _offer(home, store, run)) is not None:
            found.append(one)
    return found


def offer(home: Home, store: RunStore, run_id: str) -> Offer:
    """What a run can judge labels by. Raises ConfigError on `run`, where there is none, or nothing was kept that can."""
    found = _offer(home, store, find_run(home, run_id))
    if found is None:
        raise ConfigError("run", f"{run_id} has no validation pictures or kept no weights, so it can judge no labels; choose another run")
    return found


def _offer(home: Home, store: RunStore, run: Run) -> Offer | None:
    if run.plan is None or not run.plan.validation_samples:
        return None
    best = by_validation(home, store, run)
    kept = newest(home, run) if best is None else None
    epoch = best.epoch if best else kept.epoch if kept and kept.epoch else 0
    return Offer(f"run:{run.id}:{epoch}", run, epoch) if epoch else None


def _learned_from(run: Run, dataset: str) -> bool:
    choice = own.named(run.config.dataset)
    return choice is not None and naming.same(choice.name, dataset)


def by_run(home: Home, version: Version, asked: str, progress: Progress) -> Doubts:
    """The doubted labels among the validation pictures of a run that are in a version, with the labels that they have there.

    Raises:
        ConfigError: on `run`, it is not there or had no such pictures; on `epoch`, its weights are not kept; on `dataset`, with fewer than two
            classes of three pictures.
    """
    match = _ASKED.fullmatch(asked)
    if match is None:
        raise ConfigError("model", f"{asked!r} is no run and epoch; write run:ID:EPOCH")
    run, epoch = find_run(home, match["run"]), int(match["epoch"])
    if not _learned_from(run, version.dataset):
        raise ConfigError("run", f"{run.id} did not learn from {version.dataset!r}; choose a run that did")
    seen = {picture.sha256 for picture in read_pictures(home.run_folder(run.id)) or () if picture.part == "validation"}
    known = run.plan.classes if run.plan else ()
    places = [place for place, item in enumerate(version.items) if item.sha256 in seen and item.label in known]
    counts = Counter(version.items[place].label for place in places)
    classes = [name for name in known if counts[name] >= LEAST]
    if len(classes) < 2:
        what = f"{len(places):,} validation pictures of {run.id} are in {version.text}, with {len(classes)} classes of {LEAST} or more"
        raise ConfigError("dataset", f"{what}; labels can be doubted where there are two: choose cross-validation, which looks at all pictures")
    places = [place for place in places if version.items[place].label in classes]
    answered, probabilities = _through(home, version, run, epoch, places, progress)
    columns = probabilities[:, [known.index(name) for name in classes]]
    columns = columns / np.maximum(columns.sum(axis=1, keepdims=True), 1e-9)
    labels = np.array([classes.index(version.items[place].label) for place in answered], dtype=np.int64)
    issues = issues_of(labels, columns)
    here = np.array(answered, dtype=np.int64)
    return Doubts(
        hash=version.hash,
        model=asked,
        found=ranked(version, here, labels, columns, [issues], tuple(classes)),
        counts=(len(issues),),
        right=float((columns.argmax(axis=1) == labels).mean()),
        guess=float(np.bincount(labels).max() / len(labels)),
        judged=len(answered),
        left_out=tuple(f"{name} ({counts[name]:,})" for name in version.classes if name not in classes),
        about=f"By the weights of run {run.id} after epoch {epoch:,}, which learned from none of the {len(answered):,} pictures judged here.",
    )


def _through(home: Home, version: Version, run: Run, epoch: int, places: Sequence[int], progress: Progress) -> tuple[list[int], NDArray[np.float64]]:
    """The places of those that can be read, and what the run makes of them: float64 [N, C] in the order of its own classes."""
    from core.evaluation.evaluate import load
    from core.evaluation.gathering import Picture
    from core.evaluation.many import Many

    progress("loading the model", None)
    loaded = load(home, run.id, epoch)
    pictures = [Picture(str(place), path_of(home, version.dataset, version.items[place])) for place in places]
    answered: list[int] = []
    found = []
    for answers, _ in Many(loaded, pictures).batches(progress):
        answered += [int(picture.name) for picture in answers.pictures]
        found.append(answers.probabilities.astype(np.float64))
    if len({version.items[place].label for place in answered}) < 2:
        raise ConfigError("dataset", f"hardly any validation picture of {run.id} can be read; look at the import report, or choose cross-validation")
    return answered, np.concatenate(found)
