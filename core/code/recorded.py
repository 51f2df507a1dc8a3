"""What a run recorded of itself that its script is made from: its pictures, its live changes, the step at which it was stopped. No torch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from core.config import RunConfig
from core.config.plans import Change, TimedChange, Timeline
from core.data.manifest import PICTURES, read_recipe
from core.machine.home import Home
from core.records.events import ChangeRow, RunStatus
from core.store import Run


@dataclass(frozen=True)
class Recorded:
    """What a script takes from a run's record.

    Args:
        pictures: the run's list of its pictures; None where it kept none, so that they are looked for anew.
        root: the folder that the listed files lie in; None for a dataset that is no folder.
        classes: by label, as the list calls them.
        shared: the parts that were taken from the dataset's training pictures.
        value_range: what becomes 0 and 255 of pictures with more than 8 bits a channel; None where there are none.
        largest: up to how many pixels a side pictures were kept for random crops; None where the run has not said.
        old: the run is of a time before Thaw kept lists: its folder is read as it was then.
        stopped_after: the step after which somebody stopped it; None: it went on to its end, or still goes on.
        as_file: the script is a file that leaves its weights beside itself, and finds there the list of its pictures.
        data: the folder in which torchvision's datasets lie; "": `data` in whatever folder the script is run in.
    """

    pictures: Path | None = None
    root: str | None = None
    classes: tuple[str, ...] = ()
    shared: tuple[str, ...] = ("train",)
    value_range: tuple[float, float] | None = None
    largest: int | None = None
    old: bool = False
    stopped_after: int | None = None
    as_file: bool = False
    data: str = ""

    def beside(self, pictures: str, data: str) -> Recorded:
        """The same for a script that is a file, with the list called `pictures` lying beside it, where there is one."""
        return replace(self, as_file=True, data=data, pictures=Path(pictures) if self.pictures is not None else None)


NOTHING_RECORDED = Recorded()
"""Of a run that has not started, or of one of a time before Thaw kept records."""


def recorded(home: Home, run: Run) -> Recorded:
    """What `run` has recorded so far.

    Raises:
        ConfigError: on `run`, its record is damaged.
    """
    folder = home.run_folder(run.id)
    stopped = run.step if run.status == RunStatus.STOPPED else None
    recipe = read_recipe(folder)
    listed = (folder / PICTURES).is_file()
    if recipe is None or recipe.root is None or not listed:
        return Recorded(old=not listed, stopped_after=stopped, largest=recipe.largest if recipe else None)
    shared = tuple(part for part, source in recipe.sources.items() if source == "train")
    return Recorded(folder / PICTURES, recipe.root, recipe.classes, shared, recipe.value_range, recipe.largest, stopped_after=stopped)


def repeated(config: RunConfig, changes: Iterable[ChangeRow]) -> RunConfig:
    """The run's settings with what was changed live in its timeline, so that another run does the same at the same steps, in the same order."""
    rows = tuple(changes)
    timeline = list(config.timeline.changes)
    for place, row in enumerate(rows):
        if row.source == "live":
            timed = TimedChange(unit="step", at=row.step, change=Change.parse(row.text))
            own = _made_after(timeline, rows, place)
            if own is None:
                timeline.append(timed)
            else:  # what the timeline has for that moment came after it
                timeline.insert(timeline.index(own), timed.model_copy(update={"unit": own.unit, "at": own.at}))
    return config.replace(timeline=Timeline(changes=tuple(timeline))) if any(row.source == "live" for row in rows) else config


def _made_after(timeline: Sequence[TimedChange], rows: Sequence[ChangeRow], place: int) -> TimedChange | None:
    """The change of the timeline that was made after that at `place`, before the same step; None where there is none."""
    later = [number for number in range(place + 1, len(rows)) if rows[number].step == rows[place].step and rows[number].source == "timeline"]
    if not later:
        return None
    text = rows[later[0]].text
    before = sum(row.source == "timeline" and row.text == text for row in rows[: later[0]])
    alike = sorted((timed for timed in timeline if str(timed.change) == text), key=lambda timed: timed.at)
    return alike[before] if before < len(alike) else None
