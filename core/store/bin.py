"""Deleting runs: into the bin, back out of it, and off the disk. No SQL.

A run in the bin is as it was, row and folder, and is offered nowhere. Emptying forgets the row first, so that whoever wants the run back at
the same moment either has it whole or hears that it is gone; what a crash leaves of its folder is marked, and removed at the next look.
"""

from __future__ import annotations

import shutil
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from core.config import ConfigError
from core.machine.home import Home
from core.store.database import unknown
from core.store.run_folder import FORGOTTEN
from core.store.run_store import RunStore
from core.store.sizes import folder_bytes

KEPT_DAYS = 30
"""How long a run stays in the bin before a server empties it."""

_EMPTIED = "emptied"
"""A file of this name in a run's folder: the run was emptied out of the bin, and the folder is to go."""


@dataclass(frozen=True)
class Emptied:
    """`removed`: ids of the runs that are gone; `freed`: bytes; `kept`: (id, reason) of those that stay in the bin."""

    removed: tuple[str, ...]
    freed: int
    kept: tuple[tuple[str, str], ...]


def dependents(home: Home, store: RunStore, run_id: str, going: bool = False) -> list[str]:
    """The runs whose starting weights are those of `run_id`; with `going` only those that wait or go on, and still need the file."""
    from core.data.ancestry import run_of  # not at the top: a list of runs need not know how pictures are read

    named = [(other, weights) for other, weights, active in store.starting_weights() if other != run_id and (active or not going)]
    return [other for other, weights in named if weights not in ("random", "pretrained", "") and run_of(weights, home.runs) == run_id]


def delete(home: Home, store: RunStore, run_id: str, anyway: bool = False) -> bool:
    """Put a run into the bin. False: it lies there already.

    Args:
        anyway: also where other runs start from its weights.

    Raises:
        ConfigError: on `run`: its process lives, or others start from its weights and that was not confirmed.
        KeyError: there is no such run.
    """
    if run_id not in store.ids():
        raise unknown(run_id)
    others = dependents(home, store, run_id)
    if others and not anyway:
        named = ", ".join(others[:5]) + (f" and {len(others) - 5:,} more" if len(others) > 5 else "")
        reason = f"{run_id} has the weights that {named} {'starts' if len(others) == 1 else 'start'} from"
        raise ConfigError("run", f"{reason}; delete it all the same with --anyway, or delete {'that one' if len(others) == 1 else 'those'} first")
    if store.put_into_bin(run_id):
        return True
    if run_id in store.binned():
        return False
    raise ConfigError("run", f"{run_id} is still going on; stop it first (python -m core stop {run_id}), then delete it")


def restore(store: RunStore, run_id: str) -> bool:
    """Bring a run back out of the bin. False: it is not in there, but in the list. Raises KeyError: it is nowhere."""
    if store.take_out_of_bin(run_id):
        return True
    if run_id not in store.ids():
        raise unknown(run_id)
    return False


def empty(home: Home, store: RunStore, older_than: float = 0.0) -> Emptied:
    """Remove what lies in the bin for more than `older_than` seconds, rows and folders. Raises StoreError.

    A run stays whose weights another one still waits for, and one whose folder cannot be removed.
    """
    removed: list[str] = []
    kept: list[tuple[str, str]] = []
    freed = 0
    for run_id, since in store.binned().items():
        if older_than and time.time() - since <= older_than:
            continue
        needed = dependents(home, store, run_id, going=True)
        if needed:
            kept.append((run_id, f"{needed[0]} waits or goes on, and starts from its weights"))
            continue
        folder = home.run_folder(run_id)
        size = folder_bytes(folder)
        marks = [folder / FORGOTTEN, folder / _EMPTIED]
        try:
            for mark in marks if folder.is_dir() else ():
                mark.touch()
        except OSError as error:
            _unmark(marks)
            kept.append((run_id, f"its folder {folder} cannot be changed ({error.strerror or error})"))
            continue
        if not store.forget_binned(run_id):  # somebody has just brought it back
            _unmark(marks)
            continue
        removed.append(run_id)
        shutil.rmtree(folder, ignore_errors=True)
        freed += size - folder_bytes(folder)
    return Emptied(tuple(removed), freed, tuple(kept))


def clear_up(home: Home, store: RunStore) -> Emptied:
    """What a server does now and then: empty what is old, and remove what emptying has left behind. Raises StoreError."""
    done = empty(home, store, KEPT_DAYS * 86_400.0)
    known = store.ids()
    with suppress(OSError):
        for folder in home.runs.iterdir():
            if folder.name not in known and (folder / _EMPTIED).exists():
                shutil.rmtree(folder, ignore_errors=True)
    return done


def _unmark(marks: list[Path]) -> None:
    for mark in marks:
        with suppress(OSError):
            mark.unlink(missing_ok=True)
