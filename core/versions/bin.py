"""Datasets taken away whole: into a bin first, brought back from there, or removed for good."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from core.config.errors import ConfigError
from core.machine.files import size_of
from core.machine.home import Home
from core.versions import naming, shelf

_NOTE = "deleted.json"


@dataclass(frozen=True)
class Binned:
    """A dataset in the bin: what it was called, when it was deleted (ISO 8601), and how many bytes it takes."""

    name: str
    deleted: str
    folder: Path

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return size_of(self.folder)


def delete(home: Home, name: str, in_use: Sequence[str] = ()) -> Binned:
    """Put a dataset into the bin.

    Args:
        in_use: what runs that use it and are not finished are called.

    Raises:
        ConfigError: on `dataset`, where there is none or runs use it; on `name`, while it is being changed.
    """
    name = shelf.find(home, name)
    if in_use:
        runs = ", ".join(in_use[:5]) + (f" and {len(in_use) - 5} more" if len(in_use) > 5 else "")
        raise ConfigError("dataset", f"{name!r} is used by {runs}; wait until they are done or stop them, and delete it then")
    with shelf.changing(home, name):
        now = datetime.now(UTC)
        place = home.datasets / ".bin" / f"{now:%Y%m%d%H%M%S%f}"
        place.parent.mkdir(parents=True, exist_ok=True)
        folder = home.datasets / name
        (folder / _NOTE).write_text(json.dumps({"name": name, "deleted": now.isoformat(timespec="seconds")}), encoding="utf-8")
        folder.rename(place)
    return Binned(name, now.isoformat(timespec="seconds"), place)


def binned(home: Home) -> list[Binned]:
    """What is in the bin, last deleted first."""
    found = []
    for folder in sorted((home.datasets / ".bin").glob("*"), reverse=True):
        try:
            note = json.loads((folder / _NOTE).read_bytes())
            found.append(Binned(str(note["name"]), str(note["deleted"]), folder))
        except (OSError, ValueError, LookupError, TypeError):
            continue  # half purged
    return found


def undelete(home: Home, name: str) -> str:
    """Bring back the dataset of this name that was deleted last; returns its name.

    Raises:
        ConfigError: on `dataset`, where none is in the bin, or another has its name now.
    """
    found = next((one for one in binned(home) if naming.same(one.name, name)), None)
    if found is None:
        raise ConfigError("dataset", f"no dataset called {name!r} is in the bin; it may have been removed for good. Import it anew")
    with shelf.changing(home, found.name):
        place = home.datasets / found.name
        if any(naming.same(one, found.name) for one in shelf.names(home)):
            raise ConfigError("dataset", f"another dataset is called {found.name!r} now; delete that one first")
        shutil.rmtree(place, ignore_errors=True)  # what an import left that was killed
        found.folder.rename(place)
        (place / _NOTE).unlink(missing_ok=True)
    return found.name


def purge(home: Home, name: str | None = None) -> int:
    """Remove what is in the bin for good, or all of one name in it; returns the bytes that became free. Raises OSError."""
    freed = 0
    folders = [one.folder for one in binned(home) if naming.same(one.name, name)] if name else list((home.datasets / ".bin").glob("*"))
    for folder in folders:
        freed += size_of(folder)
        shutil.rmtree(folder)
    return freed
