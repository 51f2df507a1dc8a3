"""Curves that other programs wrote, kept in the home so that they can be drawn beside runs. What was read is kept, not the files.

A file `curves/curves-HASH.npz` holds one of them; its id follows from where it came from, so that reading the same source again brings the same
one up to date. A source that is damaged or still being written gives what could be read of it, and `said` says what could not.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from core.config import ConfigError
from core.config.limits import LONGEST_NAME, quoted
from core.machine.files import written_whole
from core.machine.home import Home

Meaning = Literal["loss", "validation_loss", "accuracy", "validation_accuracy", "rate", ""]
"""Beside which curves of a run one is drawn; empty: in a chart of its own."""

MOST_CURVES, MOST_POINTS = 2_000, 5_000_000
"""Of one import: more than any training writes, less than fills the memory."""

_ID = re.compile(r"curves-[0-9a-f]{12}")
_UNREADABLE = (OSError, ValueError, KeyError, EOFError, TypeError, zipfile.BadZipFile)


@dataclass(frozen=True, eq=False)
class ImportedCurve:
    """One line: `value` float64[n] (NaN: it was not a number) at `step` int64[n], in increasing order, and `time` in seconds since the first."""

    name: str
    meaning: Meaning
    step: NDArray[np.int64]
    value: NDArray[np.float64]
    time: NDArray[np.float64]

    def thinned(self, points: int) -> ImportedCurve:
        """At most `points` points: means of neighbours, each standing at the last of them."""
        each = -(-len(self.step) // points) if len(self.step) else 1
        if each <= 1:
            return self
        whole = len(self.step) // each * each
        groups = self.value[:whole].reshape(-1, each)
        there = np.isfinite(groups)
        counts = there.sum(axis=1)
        means = np.where(counts, np.where(there, groups, 0.0).sum(axis=1) / np.maximum(counts, 1), np.nan)
        ends = slice(each - 1, whole, each)
        return ImportedCurve(self.name, self.meaning, self.step[:whole][ends], means, self.time[:whole][ends])


@dataclass(frozen=True, eq=False)
class Imported:
    """What came from one training elsewhere. `said`: sentences on what could not be read. `source`: the path that it was read from.

    `per_epoch`: steps of an epoch, None where nothing tells. `read_at`: Unix time.
    """

    name: str
    source: str
    curves: tuple[ImportedCurve, ...]
    said: tuple[str, ...] = ()
    per_epoch: float | None = None
    read_at: float = 0.0


@dataclass(frozen=True)
class About:
    """What a chart is told of one."""

    name: str
    per_epoch: float | None


def is_imported(id: str) -> bool:
    """Whether an id is one of imported curves, be they there or not."""
    return _ID.fullmatch(id) is not None


def id_of(source: str, name: str) -> str:
    """The id of the curves called `name` from `source`."""
    return f"curves-{hashlib.sha256(json.dumps([source, name]).encode()).hexdigest()[:12]}"


def read(path: Path, name: str = "") -> list[Imported]:
    """What lies at `path`: a CSV file, a file of TensorBoard events, or a folder with such in it, a training for each folder.

    Raises:
        ConfigError: on `curves`, where nothing is there, nothing can be read, or a package is missing.
    """
    from core.comparing import csv_curves, event_files

    if not path.exists():
        raise ConfigError("curves", f"there is nothing at {quoted(str(path))}; give a folder of TensorBoard event files, or a CSV file")
    if path.is_dir() or event_files.is_one(path):
        found = event_files.read(path)
    else:
        found = csv_curves.read(path)
    if name and len(found) == 1:
        found = [replace(found[0], name=name[:LONGEST_NAME])]
    return found


def keep(home: Home, found: Iterable[Imported]) -> list[str]:
    """Keep what was read, over what was kept of the same before; returns the ids."""
    ids = []
    for one in found:
        ids.append(id_of(one.source, one.name))
        about = {
            "name": one.name, "source": one.source, "said": list(one.said), "per_epoch": one.per_epoch, "read_at": one.read_at or time.time(),
            "curves": [{"name": curve.name, "meaning": curve.meaning} for curve in one.curves],
        }  # fmt: skip
        arrays: dict[str, NDArray[np.generic]] = {"about": np.frombuffer(json.dumps(about).encode(), np.uint8)}
        for place, curve in enumerate(one.curves):
            arrays |= {f"step{place}": curve.step, f"value{place}": curve.value, f"time{place}": curve.time}
        home.curves.mkdir(parents=True, exist_ok=True)
        with written_whole(_file(home, ids[-1])) as file:
            np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
    return ids


def load(home: Home, id: str) -> Imported:
    """What was kept. ConfigError on `run`: it is not there, or is damaged."""
    file = _file(home, id)
    try:
        with np.load(file, allow_pickle=False) as arrays:
            about = json.loads(arrays["about"].tobytes())
            curves = tuple(
                ImportedCurve(str(each["name"]), each["meaning"], arrays[f"step{place}"], arrays[f"value{place}"], arrays[f"time{place}"])
                for place, each in enumerate(about["curves"])
            )
        return Imported(str(about["name"]), str(about["source"]), curves, tuple(map(str, about["said"])), about["per_epoch"], float(about["read_at"]))
    except FileNotFoundError:
        raise ConfigError("run", f"there are no imported curves {quoted(id)}; import them again") from None
    except _UNREADABLE as error:
        raise ConfigError("run", f"the imported curves {quoted(id)} are damaged ({type(error).__name__}); import them again") from None


def stamp(home: Home, id: str) -> int | None:
    """A number that is another one once the curves were read anew; None: they are not there."""
    try:
        return _file(home, id).stat().st_mtime_ns
    except OSError:
        return None


def listed(home: Home) -> dict[str, Imported]:
    """All that was kept and can be read, newest first, by id."""
    found = {}
    for file in home.curves.glob("curves-*.npz"):
        if is_imported(file.stem):
            try:
                found[file.stem] = load(home, file.stem)
            except ConfigError:
                continue
    return dict(sorted(found.items(), key=lambda item: -item[1].read_at))


def remove(home: Home, id: str) -> None:
    """Take curves off the list. `bring_back` undoes it, until others are removed under the same name."""
    if is_imported(id) and _file(home, id).is_file():
        _file(home, id).replace(_removed(home, id))


def bring_back(home: Home, id: str) -> None:
    """Put curves that were removed back on the list; nothing where there are none."""
    if is_imported(id) and _removed(home, id).is_file():
        _removed(home, id).replace(_file(home, id))


def meaning_of(name: str) -> Meaning:
    """What a curve's name says that it is: of names such as `loss/train`, `val_acc`, `Accuracy/test` and `lr`."""
    words = set(re.split(r"[^a-z0-9]+|(?<=[a-z])(?=[0-9])", re.sub(r"([a-z])([A-Z])", r"\1 \2", name).lower()))
    held_out = bool(words & {"val", "valid", "validation", "eval", "evaluation", "dev"})
    other = words & {"test", "step", "steps", "box", "cls", "aux", "norm", "grad", "gradient", "top5", "balanced"}
    if (words & {"acc", "accuracy", "acc1", "top1"}) and not other:
        return "validation_accuracy" if held_out else "accuracy"
    if (words & {"loss", "nll", "crossentropy"}) and not other - {"step", "steps"}:
        return "validation_loss" if held_out else "loss"
    return "rate" if words & {"lr", "rate"} and words & {"lr", "learning"} else ""


def curve_of(name: str, points: Sequence[tuple[int, float, float]]) -> ImportedCurve:
    """A curve from (step, value, Unix time or seconds; NaN: unknown) in the order of writing. What was written later at a step counts.

    A program that went on after it was interrupted writes some steps twice.
    """
    step = np.array([each[0] for each in points], np.int64)
    value = np.array([each[1] for each in points], np.float64)
    moment = np.array([each[2] for each in points], np.float64)
    _, last = np.unique(step[::-1], return_index=True)
    order = len(step) - 1 - last
    step, value, moment = step[order], value[order], moment[order]
    known = moment[np.isfinite(moment)]
    return ImportedCurve(name, meaning_of(name), step, value, moment - (known.min() if len(known) else 0.0))


def steps_of_an_epoch(steps: Sequence[float], epochs: Sequence[float]) -> float | None:
    """Steps of an epoch, from the epoch that was written at each step, in order; None where that does not tell.

    Whole epochs stand for all their steps, so what counts is where they change; parts of epochs grow with each step.
    """
    places = [(step, epoch) for step, epoch in zip(steps, epochs, strict=True) if np.isfinite(step) and np.isfinite(epoch)]
    changes = [now for before, now in pairwise(places) if now[1] != before[1]]
    known = changes if len(changes) < len(places) - 1 else places
    if len(known) < 2 or known[-1][1] <= known[0][1]:
        return None
    return float((known[-1][0] - known[0][0]) / (known[-1][1] - known[0][1]))


def _file(home: Home, id: str) -> Path:
    if not is_imported(id):
        raise ConfigError("run", f"{quoted(id)} names no imported curves; list them with: python -m core curves")
    return home.curves / f"{id}.npz"


def _removed(home: Home, id: str) -> Path:
    return _file(home, id).with_suffix(".removed")


def plain_about(one: Imported) -> dict[str, object]:
    """What there is to say of one, ready for JSON."""
    told = asdict(About(one.name, one.per_epoch)) | {"source": one.source, "said": list(one.said)}
    return told | {"curves": [{"name": curve.name, "meaning": curve.meaning, "points": len(curve.step)} for curve in one.curves]}
