"""A run's validation pictures judge labels: those of the version as it is now, by the weights that validation chose, and nothing it learned from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from core.config import ConfigError, RunConfig
from core.curating import by_runs, doubts
from core.curating.looking import Progress
from core.data.manifest import Picture, write_pictures
from core.machine.home import Home
from core.records.events import EpochRow, RunPlan, RunStatus
from core.store import Run, RunStore
from core.versions import Version, write
from tests.curating.planted import NAME, drawn, item, quiet, saved, version

CLASSES = ("a", "b")


@pytest.fixture
def made(home: Home) -> Version:
    """Forty pictures, those from the twentieth on held back; number 30 is an `a` that is called `b`."""
    items = [item(home, saved(drawn(place)), f"{place}.png", CLASSES[place % 2]) for place in range(40)]
    items[30] = items[30]._replace(label="b")
    return version(home, items)


def run_on(home: Home, store: RunStore, made: Version, *, validation: int = 20) -> str:
    run_id = store.create_run(RunConfig(dataset=f"own:{made.dataset}@{made.number}"))
    store.begin(run_id, RunPlan((), 1, 2, CLASSES, 20, validation, 0, "cpu"))
    pictures = [Picture("validation" if place >= 20 else "train", one.label, one.name, one.sha256) for place, one in enumerate(made.items)]
    write_pictures(home.run_folder(run_id), pictures)
    store.end(run_id, RunStatus.FINISHED)
    return run_id


def sure(home: Home, version: Version, run: Run, epoch: int, places: Sequence[int], progress: Progress) -> tuple[list[int], NDArray[np.float64]]:
    """A run that is right of all pictures, and sure of it."""
    truth = np.array([int(version.items[place].name[:-4]) % 2 for place in places])
    return list(places), np.where(np.eye(2)[truth] > 0, 0.95, 0.05)


def test_labels_are_doubted_among_the_pictures_that_a_run_was_validated_on(
    home: Home, store: RunStore, made: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(by_runs, "_through", sure)
    asked = f"run:{run_on(home, store, made)}:3"
    found = doubts.doubts_of(home, made, quiet, asked)
    assert [(doubt.picture, doubt.label, doubt.guesses[0][0]) for doubt in found.found] == [(30, "b", "a")]
    assert (found.judged, found.counts, found.model) == (20, (1,), asked)
    assert found.sentence.startswith("1 of 20 labels of the validation pictures are doubted. The run agrees with 95.0 % of them")
    assert replace(found, found=()).sentence == "None of 20 labels is doubted. The run that judges them agrees with 95.0 % of them."
    assert doubts.kept(home, made, asked) == found

    def corrected() -> Version:
        items = [one._replace(label="a") if place == 30 else one for place, one in enumerate(made.items)]
        return write(home, NAME, made.classes, items, "Corrected.", made.number)

    assert doubts.doubts_of(home, corrected(), quiet, asked).found == (), "labels are those of the version that is asked about"


def test_only_runs_that_held_pictures_back_and_kept_weights_are_offered(
    home: Home, store: RunStore, made: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id, without = run_on(home, store, made), run_on(home, store, made, validation=0)
    assert by_runs.offers(home, store, NAME) == [], "no weights are kept"
    monkeypatch.setattr(by_runs, "by_validation", lambda home, store, run: EpochRow(7, 14, 0.0, 0.1, 0.9, 0.2, 0.8))
    assert [each.asked for each in by_runs.offers(home, store, NAME)] == [f"run:{run_id}:7"]
    assert by_runs.offers(home, store, "another") == []
    with pytest.raises(ConfigError, match="has no validation pictures or kept no weights"):
        by_runs.offer(home, store, without)


@pytest.mark.parametrize(("asked", "said"), [("run:../../etc:1", "no run and epoch"), ("run:nobody:1", "there is no run 'nobody'")])
def test_what_is_no_run_is_refused(home: Home, store: RunStore, made: Version, asked: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        doubts.doubts_of(home, made, quiet, asked)
