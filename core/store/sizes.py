"""How many bytes a run and what runs share take on disk, by kind. No torch, no SQL.

Counted is the room that is taken (blocks): a file with holes, as kept features are, takes less than its length.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal, get_args

from core.data.pool import POOL_BYTES
from core.machine.home import Home
from core.staging.staging import KEPT_DAYS, root, throw_idle_away
from core.store.resume_files import resume_points

Kind = Literal["weights", "epochs", "resume", "logs", "lists", "rest"]
Share = Literal["features", "pictures", "previews", "data", "own", "uploads", "curves", "bin"]

BOUNDS: Mapping[str, str] = {
    "epochs": "at most 12 epochs of a run are kept",
    "resume": "the last two and the best of a run that goes on, the last of one that is finished",
    "features": "at most as much as a run's room for features (feature_cache_gigabytes): the tables that were not used for longest go first",
    "pictures": f"at most {POOL_BYTES / 2**30:.0f} GiB, or what the run at hand needs: those that were not used for longest go first",
    "previews": "thumbnails, uploads and answers that can be made again",
    "own": "every picture once, however many versions have it",
    "uploads": f"not imported yet; thrown away {KEPT_DAYS} days after they were last touched",
    "curves": "what was read of trainings elsewhere; taken off the list on the Compare screen",
    "bin": "datasets of your own that were deleted: they can be brought back until they are freed",
}
"""What bounds a kind, in words."""

NAMED: Mapping[str, str] = {
    "weights": "Weights", "epochs": "Kept epochs", "resume": "Checkpoints", "logs": "Logs", "lists": "Lists and rows", "rest": "Evaluations, rest",
    "features": "Kept features", "pictures": "Decoded pictures", "previews": "Previews, uploads",
    "data": "Downloaded datasets", "own": "Datasets of your own", "uploads": "Brought pictures", "curves": "Imported curves",
    "bin": "Deleted datasets",
}  # fmt: skip
"""The kinds as a person reads them."""

_LOGS = ("worker.log", "trouble.json")
_LISTS = ("run.json", "rows.thaw", "pictures.csv", "recipe.json", "labels.json", "sweep.json")


def run_bytes(folder: Path) -> dict[Kind, int]:
    """Bytes of a run's folder by kind, 0 for what is not there. `rest`: what was evaluated, and whatever else lies there."""
    found: dict[Kind, int] = dict.fromkeys(get_args(Kind), 0)
    for path, size in _files(folder):
        found[_kind(path.relative_to(folder))] += size
    return found


def runs_bytes(home: Home, ids: Iterable[str]) -> dict[Kind, int]:
    """The same of several runs together."""
    total: dict[Kind, int] = dict.fromkeys(get_args(Kind), 0)
    for run_id in ids:
        for kind, taken in run_bytes(home.run_folder(run_id)).items():
            total[kind] += taken
    return total


def shared_bytes(home: Home) -> dict[Share, int]:
    """Bytes of what runs share: kept features, decoded pictures and other caches, datasets that were downloaded, brought, and deleted again."""
    features, pictures, binned = folder_bytes(home.features), folder_bytes(home.cache / "decoded"), folder_bytes(home.datasets / ".bin")
    return {
        "features": features,
        "pictures": pictures,
        "previews": folder_bytes(home.cache) - features - pictures,
        "data": folder_bytes(home.data),
        "own": folder_bytes(home.datasets) - binned,
        "uploads": folder_bytes(root(home)),
        "curves": folder_bytes(home.curves),
        "bin": binned,
    }


def folder_bytes(folder: Path) -> int:
    """Bytes that everything in a folder takes; 0 where there is none."""
    return sum(size for _, size in _files(folder))


def free_epochs(folder: Path) -> int:
    """Remove the weights of single epochs that a run has kept; returns the bytes that became free. What it ended with stays (`weights.pth`).

    Those before training stay as long as there is a checkpoint: what is frozen is on disk there alone.
    """
    if not (folder / "weights.pth").is_file():
        return 0
    needed = "epoch-0000-" if resume_points(folder) else None
    return _free(folder, [file for file in (folder / "checkpoints").glob("epoch-*.pth") if not (needed and file.name.startswith(needed))])


def free_checkpoints(folder: Path) -> int:
    """Remove a run's checkpoints; returns the bytes that became free. It cannot be continued or trained on any more."""
    return _free(folder, [point.path for point in resume_points(folder)])


def free_features(home: Home) -> int:
    """Remove what frozen layers gave for pictures; returns the bytes that became free. Runs compute it again. For while no run goes on."""
    return _emptied(home.features)


def free_pictures(home: Home) -> int:
    """Remove decoded pictures; returns the bytes that became free. Runs decode them again. For while no run goes on."""
    pools = [folder for folder in (home.cache / "decoded").glob("*") if folder.is_dir()]  # beside them lie digests of files: small, and slow to make
    return sum(map(_emptied, pools))


def free_previews(home: Home) -> int:
    """Remove what else can be made again: thumbnails, uploads, answers; returns the bytes that became free."""
    kept = (home.features, home.cache / "decoded")
    return sum(_emptied(folder) for folder in home.cache.glob("*") if folder.is_dir() and folder not in kept)


def free_uploads(home: Home) -> int:
    """Remove what was brought and not imported, and is left alone for now; returns the bytes that became free. It has to be brought again."""
    before = folder_bytes(root(home))
    throw_idle_away(home)
    return before - folder_bytes(root(home))


def _emptied(folder: Path) -> int:
    before = folder_bytes(folder)
    shutil.rmtree(folder, ignore_errors=True)
    return before - folder_bytes(folder)


def _free(folder: Path, files: Sequence[Path]) -> int:
    before = folder_bytes(folder)
    for file in files:
        with suppress(OSError):
            file.unlink()
    return before - folder_bytes(folder)


def _kind(path: Path) -> Kind:
    if path.parts[0] == "checkpoints":
        return "resume" if len(path.parts) > 1 and path.parts[1].startswith("resume-") else "epochs"
    name = path.parts[0]
    return "weights" if name == "weights.pth" else "logs" if name in _LOGS else "lists" if name in _LISTS else "rest"


def _files(folder: Path) -> list[tuple[Path, int]]:
    """Every file below a folder, no links followed, with the bytes that it takes: 0 for a second name of one that was counted."""
    found = []
    counted: set[tuple[int, int]] = set()
    for place, _, names in os.walk(folder):
        for name in names:
            path = Path(place, name)
            with suppress(OSError):  # gone meanwhile
                status = path.lstat()
                taken = status.st_blocks * 512 if hasattr(status, "st_blocks") else status.st_size
                known = status.st_nlink > 1 and (status.st_dev, status.st_ino) in counted
                counted.add((status.st_dev, status.st_ino))
                found.append((path, 0 if known else taken))
    return found
