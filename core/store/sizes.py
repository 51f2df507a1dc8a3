"""How many bytes a run and what runs share take on disk, by kind. No torch, no SQL.

Counted is the room that is taken (blocks): a file with holes, as kept features are, takes less than its length.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Literal, get_args

from core.machine.home import Home

Kind = Literal["weights", "epochs", "resume", "logs", "lists", "rest"]
Share = Literal["features", "pictures", "data"]

BOUNDS: Mapping[str, str] = {
    "epochs": "at most 12 epochs of a run are kept",
    "features": "at most as much as a run's room for features (feature_cache_gigabytes): the tables that were not used for longest go first",
    "pictures": "not bounded: decoded pictures can be made again, so they may be removed while no run goes on",
}
"""What bounds a kind, in words."""

_LOGS = ("worker.log", "trouble.json")
_LISTS = ("run.json", "rows.thaw", "pictures.csv", "recipe.json")


def run_bytes(folder: Path) -> dict[Kind, int]:
    """Bytes of a run's folder by kind, 0 for what is not there. `rest`: what was evaluated, and whatever else lies there."""
    found: dict[Kind, int] = dict.fromkeys(get_args(Kind), 0)
    for path, size in _files(folder):
        found[_kind(path.relative_to(folder))] += size
    return found


def shared_bytes(home: Home) -> dict[Share, int]:
    """Bytes of what runs share: kept features, decoded pictures and other caches, downloaded datasets."""
    features = folder_bytes(home.features)
    return {"features": features, "pictures": folder_bytes(home.cache) - features, "data": folder_bytes(home.data)}


def folder_bytes(folder: Path) -> int:
    """Bytes that everything in a folder takes; 0 where there is none."""
    return sum(size for _, size in _files(folder))


def free_epochs(folder: Path) -> int:
    """Remove the weights of single epochs that a run has kept; returns the bytes that became free. What it ended with stays (`weights.pth`)."""
    freed = 0
    for path, size in _files(folder / "checkpoints"):
        if _kind(Path("checkpoints") / path.name) == "epochs" and (folder / "weights.pth").is_file():
            with suppress(OSError):
                path.unlink()
                freed += size
    return freed


def _kind(path: Path) -> Kind:
    if path.parts[0] == "checkpoints":
        return "resume" if len(path.parts) > 1 and path.parts[1].startswith("resume-") else "epochs"
    name = path.parts[0]
    return "weights" if name == "weights.pth" else "logs" if name in _LOGS else "lists" if name in _LISTS else "rest"


def _files(folder: Path) -> list[tuple[Path, int]]:
    """Every file below a folder, no links followed, with the bytes that it takes."""
    found = []
    for place, _, names in os.walk(folder):
        for name in names:
            path = Path(place, name)
            with suppress(OSError):  # gone meanwhile
                status = path.lstat()
                found.append((path, status.st_blocks * 512 if hasattr(status, "st_blocks") else status.st_size))
    return found
