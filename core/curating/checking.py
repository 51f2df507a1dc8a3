"""What is wrong with a version, found in one go and kept by its hash: pictures that are there twice, what stands out, figures of the colours."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from core.curating import duplicates, statistics
from core.curating.duplicates import KINDS, Group
from core.curating.kept import folder_of, put, taken
from core.curating.looking import Progress, look_at_all
from core.curating.statistics import Channels, Odd
from core.machine.home import Home
from core.versions import Version

FORMAT = 1
"""Part of the file's name: raise it when the same pictures give something else."""


@dataclass(frozen=True)
class Check:
    """What was found in the version of this hash. `said`: what many of its pictures have in common, in sentences."""

    hash: str
    pictures: int
    groups: tuple[Group, ...]
    odd: tuple[Odd, ...]
    said: tuple[str, ...]
    channels: Channels | None

    def of(self, kind: str) -> tuple[Group, ...]:
        """The groups that have this wrong with them, a name of `duplicates.KINDS`."""
        return tuple(group for group in self.groups if kind in group.kinds)

    @property
    def counts(self) -> dict[str, int]:
        """How many groups have what wrong with them, worst first."""
        return {kind: len(self.of(kind)) for kind in KINDS}


CHECK = TypeAdapter(Check)


def check(home: Home, version: Version, progress: Progress) -> Check:
    """What is wrong with a version: read where it is kept, else found out.

    Args:
        progress: told what is being done, and the share of it that is done (0 to 1) where that is known. What it raises ends the work.
    """
    known = kept(home, version)
    if known is not None:
        return known
    looks = look_at_all(home, version, progress)
    groups = duplicates.find(home, version, looks, progress)
    odd, said = statistics.odd(version, looks)
    found = Check(version.hash, len(version.items), groups, odd, said, statistics.channels(home, version, progress))
    if not looks.problems:  # what cannot be read today may be there again tomorrow
        put(_path(home, version), CHECK.dump_json(found))
    return found


def kept(home: Home, version: Version) -> Check | None:
    """What `check` found, where it is kept."""
    found = taken(_path(home, version), CHECK)
    return found if found is not None and found.hash == version.hash else None


def _path(home: Home, version: Version) -> Path:
    return folder_of(home, version.dataset) / f"check-{FORMAT}-{version.hash[:32]}.json"
