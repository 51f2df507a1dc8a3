"""Room on disk that is given back without deleting a run: its kept epochs, its checkpoints, and what runs share. No SQL.

Nothing of it can be brought back; whoever asks a person says so first, in the words of `LOST`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from core.config import ConfigError
from core.machine.home import Home
from core.records.events import RunStatus
from core.store.run_store import Run, RunStore
from core.store.sizes import (
    NAMED,
    Kind,
    Share,
    free_checkpoints,
    free_epochs,
    free_features,
    free_pictures,
    free_previews,
    free_uploads,
    run_bytes,
    shared_bytes,
)
from core.versions.bin import purge

What = Literal["epochs", "checkpoints", "features", "pictures", "previews", "uploads", "bin"]
WHAT: tuple[What, ...] = get_args(What)

LOST: Mapping[What, str] = {
    "epochs": "Evaluate has the weights that a run ended with, and no others; those before training stay where a checkpoint needs them",
    "checkpoints": "a finished run cannot be trained on, nothing can branch off from it, and one that ended before its steps were done begins anew "
    "where it is continued",
    "features": "the next run whose layers are frozen computes them again, in its first epoch",
    "pictures": "the next run on files decodes them again, before its first epoch",
    "previews": "screens draw thumbnails again, what models are made of and where they are cut is worked out again, and pictures that were given to "
    "try have to be given again",
    "uploads": "what was brought and is not imported has to be brought again; what was touched within the last hour stays",
    "bin": "datasets that were deleted cannot be brought back, and runs on them cannot be repeated",
}
"""What is lost with each, in words."""

SHARED: Mapping[What, Share] = {"features": "features", "pictures": "pictures", "previews": "previews", "uploads": "uploads", "bin": "bin"}
"""What runs share, and how `shared_bytes` calls it."""

KIND: Mapping[What, Kind] = {"epochs": "epochs", "checkpoints": "resume"}


@dataclass(frozen=True)
class Freed:
    """`freed`: bytes; `runs`: ids of those that gave something back."""

    freed: int
    runs: tuple[str, ...]


def can_be_freed(home: Home, store: RunStore, what: What, run_id: str | None = None) -> int:
    """Bytes that `what` takes, of one run, or of all that `free` would look at. Bytes that are kept all the same may be among them."""
    if what in SHARED:
        return shared_bytes(home)[SHARED[what]]
    return sum(run_bytes(home.run_folder(each))[KIND[what]] for each in _runs(store, what, run_id))


def free(home: Home, store: RunStore, what: What, run_id: str | None = None) -> Freed:
    """Give the room back that `what` takes, of one run or of all that have ended; checkpoints, where no run is named, of finished ones only.

    Raises:
        ConfigError: on `run`, it goes on or waits, or the room is no run's; on `free`, what runs share is in use.
        KeyError: there is no such run.
    """
    if what in SHARED:
        return Freed(_free_shared(home, store, what), ())
    freed = {each: (free_epochs if what == "epochs" else free_checkpoints)(home.run_folder(each)) for each in _runs(store, what, run_id)}
    return Freed(sum(freed.values()), tuple(each for each, size in freed.items() if size))


def _free_shared(home: Home, store: RunStore, what: What) -> int:
    if what == "bin":
        return purge(home)
    if what == "uploads":
        return free_uploads(home)
    if store.holding_runs(1):
        raise ConfigError("free", f"a run goes on, and may be using the {NAMED[SHARED[what]].lower()}; stop it, or wait until it has ended")
    return {"features": free_features, "pictures": free_pictures, "previews": free_previews}[what](home)


def _runs(store: RunStore, what: What, run_id: str | None) -> list[str]:
    if run_id is not None:
        run = store.run(run_id)
        if run.status.active:
            raise ConfigError("run", f"{run_id} is {run.status}, and needs what it has kept; stop it, or wait until it has ended")
        return [run_id]
    ended = store.entries(limit=1_000_000, active=False)
    return [run.id for run in ended if isinstance(run, Run) and (what == "epochs" or run.status is RunStatus.FINISHED)]
