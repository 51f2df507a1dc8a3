"""TensorBoard's event files, read by TensorBoard's own reader: scalars alone, what could be read of them, and what could not.

A record that is cut off is at the end of a file that is still being written, and in one whose disk was full; a checksum that is wrong ends the
reading of its file as well. Either way the rest of that file stays unread, and is counted.
"""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.comparing.imported import MOST_CURVES, MOST_POINTS, Imported, curve_of, steps_of_an_epoch
from core.config import ConfigError
from core.config.limits import LONGEST_NAME, quoted

if TYPE_CHECKING:
    Point = tuple[int, float, float]

MOST_FILES = 1_000
LARGEST = 2**30
"""Bytes of one event file: its reader works a byte at a time, some five million a second."""

_FRAME = 16
"""Bytes around a record: its length, and two checksums."""

NEEDS = "TensorBoard's own reader is missing; install it with: pip install -r requirements-export.txt"


def is_one(path: Path) -> bool:
    """Whether a file is called like an event file."""
    return "tfevents" in path.name


def read(path: Path) -> list[Imported]:
    """What lies in an event file, or in a folder and those in it: one for each folder that has event files, by name.

    Raises:
        ConfigError: on `curves`: there are none, none has a scalar, or the reader is not installed.
    """
    folders = _folders(path)
    if not folders:
        raise ConfigError("curves", f"no event file (called events.out.tfevents...) lies in {quoted(str(path))} or a folder in it; give another one")
    try:
        from tensorboard.backend.event_processing import event_file_loader  # noqa: F401
    except ImportError:
        raise ConfigError("curves", NEEDS) from None
    root = path if path.is_dir() else path.parent
    found = [_one(root, folder, files) for folder, files in folders.items()]
    there = [one for one in found if one.curves]
    if not there:
        why = " ".join(said for one in found for said in one.said[:2]) or "They hold no scalars."
        raise ConfigError("curves", f"nothing to draw was found in {quoted(str(path))}. {why}")
    return there


def _folders(path: Path) -> dict[Path, list[Path]]:
    if path.is_file():
        return {path.parent: [path]}
    found: dict[Path, list[Path]] = {}
    count = 0
    for here, inside, names in os.walk(path):  # follows no links
        inside.sort()
        files = [Path(here) / name for name in sorted(names) if "tfevents" in name]
        count += len(files)
        if count > MOST_FILES:
            raise ConfigError("curves", f"{quoted(str(path))} holds more than {MOST_FILES:,} event files; give a folder further in")
        if files:
            found[Path(here)] = files
    return found


def _one(root: Path, folder: Path, files: list[Path]) -> Imported:
    points: dict[str, list[Point]] = {}
    said: list[str] = []
    total = 0
    for file in files:
        try:
            size = file.stat().st_size
            if size > LARGEST:
                said.append(f"{file.name} was left out: it has {size / 1e9:.1f} GB, and at most {LARGEST / 1e9:.1f} are read.")
                continue
            used = 0
            for record, event in _events(file):
                used += _FRAME + record
                for name, value in _scalars(event):
                    if name not in points and len(points) >= MOST_CURVES:
                        continue
                    points.setdefault(name, []).append((int(event.step), value, float(event.wall_time)))
                    total += 1
                if total > MOST_POINTS:
                    said.append(f"Of {file.name} only the first {MOST_POINTS:,} points were read.")
                    break
            else:
                if used < size:
                    what = f"{size - used:,} of {size:,} bytes of {file.name} could not be read: it is damaged there, or still being written."
                    said.append(f"{what} What came before is shown.")
        except OSError as error:
            said.append(f"{file.name} could not be read ({error.strerror or type(error).__name__}).")
    own = str(folder.relative_to(root)) if folder != root else root.name
    name = (own if folder == root or root.name in ("", ".") else f"{root.name}/{own}")[:LONGEST_NAME]
    curves = tuple(curve_of(tag[:LONGEST_NAME], found) for tag, found in points.items())
    return Imported(name or "events", str(folder.resolve()), curves, tuple(said), _per_epoch(points), time.time())


def _events(file: Path) -> Iterator[tuple[int, Any]]:
    """Bytes of each record, and the event in it, up to the first that cannot be read."""
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
    from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
    from tensorboard.compat.proto.event_pb2 import Event

    try:
        for record in RawEventFileLoader(str(file)).Load():
            try:
                event = Event.FromString(record)
            except DecodeError:
                return
            yield len(record), event
    except (struct.error, ValueError, OverflowError, MemoryError):
        return


def _scalars(event: Any) -> Iterator[tuple[str, float]]:
    """Names and values of the scalars of an event: as torch and TensorFlow 1 write them, and as TensorFlow 2 does."""
    if not event.HasField("summary"):
        return
    from tensorboard.util.tensor_util import make_ndarray

    for value in event.summary.value:
        if value.HasField("simple_value"):
            yield value.tag, float(value.simple_value)
        elif value.HasField("tensor") and value.metadata.plugin_data.plugin_name in ("scalars", ""):
            try:
                array = make_ndarray(value.tensor)
                if array.size == 1 and array.dtype.kind in "fiu":
                    yield value.tag, float(array.reshape(-1)[0])
            except (TypeError, ValueError):
                continue


def _per_epoch(points: dict[str, list[Point]]) -> float | None:
    """Steps of an epoch, where a curve says in which epoch each step was: `epoch` of Lightning and others, or Thaw's own."""
    for name, found in points.items():
        if name.lower().rpartition("/")[2] == "epoch":
            return steps_of_an_epoch([each[0] for each in found], [each[1] for each in found])
    return None
