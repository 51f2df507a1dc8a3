"""Pictures with more than 8 bits a channel: which values a dataset's have, and so which become black and white. No torch.

Scientific cameras, scanners and microscopes write 10, 12 or 14 bits into 16, floats of 0 to 1, heights in metres. What the file could hold says
nothing about what it does hold, and a range for each picture would take away that one is darker than another: so there is one for a dataset.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from core.data.decoding import ValueRange, deep_values, has_deep_values
from core.data.intake import UnreadableImage, check_size, readable
from core.data.sources import Progress, Raw
from core.machine.files import written_whole

LOOKED_AT = 200
"""Deep pictures whose values are looked at, spread evenly over all of them."""

POOLED = 4096
"""Values of each of them, spread evenly from its lowest to its highest, that make up the pool of which shares are taken."""

SORTED = 1_000_000
"""Values of one picture that are put in order, at most about twice as many."""

LONE, FAR = 2e-3, 4.0
"""Values beyond what all but this share of the pool is within are left aside if they make the range longer than so many times: defect pixels of
a sensor, or a number that means "nothing here"."""

KEPT_SECONDS = 30 * 86_400
"""A range that was found is kept until it was not asked for so long."""


Result = TypeVar("Result")


@dataclass(frozen=True)
class Depth:
    """The values `low` to `high` become 0 to 255, in the `pictures` of `of` that have more than 8 bits a channel."""

    low: float
    high: float
    pictures: int
    of: int

    @property
    def value_range(self) -> ValueRange:
        """As `core.data.decoding.decode` takes it."""
        return self.low, self.high

    @property
    def note(self) -> str:
        """What a person should know of it."""
        which = "The pictures have" if self.pictures == self.of else f"{self.pictures:,} of {self.of:,} pictures have"
        if self.low >= self.high:
            return f"{which} more than 8 bits a channel, and those that were looked at have no value but {self.low:,.6g}: they come out black."
        return f"{which} more than 8 bits a channel: values from {self.low:,.6g} to {self.high:,.6g} become 0 to 255, in training, tests and use."


def find_depth(raw: Raw, cache: Path, progress: Progress) -> Depth | None:
    """The range of a dataset's training pictures with more than 8 bits a channel, or of the others if only these have any. None: all have 8 bits.

    `cache` is where it is kept for the next time. Files that cannot be read are left aside.
    """
    files = [file for source in (raw.train, raw.validation, raw.test) if source and isinstance(source.images, tuple) for file in source.images]
    if not files:
        return None
    trained = len(raw.train) if isinstance(raw.train.images, tuple) else 0
    kept = cache / "depths" / f"{_key(files, trained)}.json"
    with suppress(OSError, ValueError, TypeError):  # not kept, or damaged
        found = json.loads(kept.read_bytes())
        os.utime(kept)
        return None if found is None else Depth(**found)
    depth = _find(files, trained, progress)
    _keep(kept, depth)
    return depth


def _find(files: Sequence[Path], trained: int, progress: Progress) -> Depth | None:
    """See `find_depth`. The first `trained` files are the training pictures."""
    deep = [place for place, is_deep in enumerate(_look(files, _is_deep)) if is_deep]
    if not deep:
        return None
    chosen = [place for place in deep if place < trained] or deep
    some = [files[chosen[place]] for place in np.unique(np.linspace(0, len(chosen) - 1, LOOKED_AT).astype(int))]
    progress(f"looking for the range of the values in {len(some):,} pictures", None)
    low, high = value_range([values for values in _look(some, _values) if values is not None and len(values)])
    return Depth(low, high, len(deep), len(files))


def value_range(pictures: Sequence[NDArray[np.float64]]) -> ValueRange:
    """The lowest and the highest value of some pictures, as `extract` gives them, without a few that lie far from all others."""
    if not pictures:
        return 0.0, 0.0
    low, high = min(float(values[0]) for values in pictures), max(float(values[-1]) for values in pictures)
    inner = np.quantile(np.concatenate(pictures), (LONE, 1 - LONE), method="nearest")
    inner_low, inner_high = float(inner[0]), float(inner[1])
    return (inner_low, inner_high) if 0 < FAR * (inner_high - inner_low) < high - low else (low, high)


def extract(values: NDArray[Any]) -> NDArray[np.float64]:
    """About `POOLED` of a picture's values, from its lowest to its highest. What is not finite is left aside; empty where that is everything."""
    finite = values[np.isfinite(values)]
    if not len(finite):
        return np.empty(0)
    some = np.sort(finite[:: max(1, len(finite) // SORTED)])
    places = np.unique(np.linspace(0, len(some) - 1, POOLED).astype(int))
    return np.concatenate([[finite.min()], some[places], [finite.max()]]).astype(np.float64)


def _look(files: Sequence[Path], look: Callable[[Path], Result]) -> list[Result | None]:
    """What `look` gives for each file; None where the file cannot be read: decoding it says why, later."""

    def careful(file: Path) -> Result | None:
        try:
            with readable(file):
                return look(file)
        except (UnreadableImage, OSError):
            return None

    with ThreadPoolExecutor(os.cpu_count()) as pool, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return list(pool.map(careful, files))


def _is_deep(file: Path) -> bool:
    with file.open("rb") as stream:
        head = stream.read(26)
    if head.startswith(b"\x89PNG"):
        return head[24:25] == b"\x10"  # bits a channel
    return head.startswith((b"II", b"MM", b"P")) and has_deep_values(file)


def _values(file: Path) -> NDArray[np.float64] | None:
    values = deep_values(file, check_size)
    return None if values is None else extract(values)


def _key(files: Sequence[Path], trained: int) -> str:
    """Another one for other files, and for other training pictures among them."""
    key = hashlib.sha256(str(trained).encode())
    for file in files:
        with suppress(OSError):
            status = file.stat()
            key.update(os.fsencode(file) + f"\0{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}\0".encode())
    return key.hexdigest()[:32]


def _keep(file: Path, found: Depth | None) -> None:
    """Write it, or leave it: it can be found again. What was not asked for in a long time goes."""
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        for other in file.parent.glob("*.json"):
            if time.time() - other.stat().st_mtime > KEPT_SECONDS:
                other.unlink(missing_ok=True)
        with written_whole(file) as stream:
            stream.write(json.dumps(asdict(found) if found else None).encode())
