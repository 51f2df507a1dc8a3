"""What a run's starting weights have been trained and tested on, where they are those of another run in this home. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.config import ConfigError
from core.data.manifest import Picture, read_pictures, read_recipe
from core.data.origins import Origin, Part

FRESH, TRAINED, VALIDATED, TESTED = range(4)
"""What a picture was to the runs before: nothing yet, or in one of their sets."""

_STATES = {"train": TRAINED, "validation": VALIDATED, "test": TESTED}


@dataclass(frozen=True)
class Ancestry:
    """The run whose weights are started from, and the lists of that run and those that it came from. `unlisted`: runs without a list."""

    run_id: str
    lists: tuple[tuple[Picture, ...], ...]
    unlisted: tuple[str, ...] = ()

    def states(self, files: Sequence[str], digests: Sequence[str]) -> NDArray[np.int8]:
        """What each picture was to these runs, int8 [N]. One that any of them was trained on is TRAINED.

        Pictures are known by what they hold, so also under other names; of twins in two sets of one run each is what its name says.
        """
        states = np.zeros(len(files), dtype=np.int8)
        for pictures in self.lists:
            exactly = {(each.file, each.sha256): _STATES[each.part] for each in pictures}
            by_content: dict[str, int] = {}
            for each in pictures:
                by_content[each.sha256] = min(_STATES[each.part], by_content.get(each.sha256, TESTED))
            here = [exactly.get(pair, by_content.get(pair[1], FRESH)) for pair in zip(files, digests, strict=True)]
            found = np.asarray(here, dtype=np.int8)
            states = np.where(states == FRESH, found, np.where(found == FRESH, states, np.minimum(states, found)))
        return states

    def known(self, origins: Mapping[Part, Origin]) -> dict[Part, NDArray[np.int8]]:
        """The `states` of the pictures of each set's store."""
        return {part: self.states(origin.files, origin.digests) for part, origin in origins.items()}

    def notes(self, states: Mapping[Part, NDArray[np.int8]], drawn: bool, folder: bool) -> list[str]:
        """What a person should know of a run's three sets, whose pictures have these states.

        Args:
            drawn: the test set is a part of the training images that was set aside, and not the dataset's own.
            folder: the dataset is a folder, in which pictures come and go.
        """
        count = {part: {state: int((found == state).sum()) for state in range(4)} for part, found in states.items()}
        run = f"run {self.run_id}, whose weights this run starts from,"
        notes = []
        if self.unlisted and folder:
            older = ", ".join(self.unlisted)
            notes.append(f"No list of pictures is kept of {older}, which the starting weights come from: its test pictures may be trained on here.")
        news = sum(counts[FRESH] for counts in count.values())
        if drawn and count["test"][TESTED] and news:
            what = f"The {count['test'][TESTED]:,} test pictures of {run} are test pictures here too, and none that it was trained on is"
            notes.append(f"{what}; of {news:,} pictures that are new to it, {count['test'][FRESH]:,} were set aside to test on as well.")
        for part, measure in (("validation", "validation accuracy"), ("test", "test accuracy")):
            if part in count and count[part][TRAINED]:
                known = f"{count[part][TRAINED]:,} of the {len(states[part]):,} {part} pictures are among those that {run} was trained on"
                notes.append(f"{known}: the {measure} looks better than it is.")
        if count["train"][TESTED]:
            known = f"{count['train'][TESTED]:,} of the {len(states['train']):,} training pictures are test pictures of {run[:-1]}"
            notes.append(f"{known}: on those, the two cannot be compared.")
        return notes


def run_of(weights: str, runs: Path) -> str | None:
    """The id of the run in whose folder below `runs` a weights file lies; None for one that lies elsewhere, and for no file."""
    try:
        inside = Path(weights).expanduser().resolve().relative_to(runs.resolve())
    except (OSError, RuntimeError, ValueError):
        return None
    return inside.parts[0] if len(inside.parts) > 1 else None


def ancestry(starting_weights: str, runs: Path) -> Ancestry | None:
    """The runs that these starting weights came from, nearest first; None where they are not a run's."""
    first = run_of(starting_weights, runs)
    run_id = first
    lists: list[tuple[Picture, ...]] = []
    unlisted: list[str] = []
    seen: set[str] = set()
    while run_id is not None and run_id not in seen:
        seen.add(run_id)
        folder = runs / run_id
        try:
            pictures, recipe = read_pictures(folder), read_recipe(folder)
        except ConfigError:  # damaged
            pictures = recipe = None
        if pictures is None:
            unlisted.append(run_id)
        else:
            lists.append(pictures)
        run_id = recipe.started_from if recipe is not None else None
    return None if first is None else Ancestry(first, tuple(lists), tuple(unlisted))
