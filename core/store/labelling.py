"""What a run is called, in the store and beside it: `labels.json` in the run's folder, so that a run that is taken in again has its name. No SQL."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

from core.machine.files import written_whole
from core.records.labels import LabelChange, Labels, read, written
from core.store.run_store import RunStore

NAME = "labels.json"
_TRIES = 8


def relabel(store: RunStore, folder: Path, run_id: str, change: LabelChange) -> tuple[Labels, Labels]:
    """Call a run something else, in the store and in its `folder`; returns what it was called before, and now.

    Raises:
        ConfigError: on `run`, it lies in the bin; on `tag`, there would be too many.
        KeyError: there is no such run.
        StoreError: the store cannot be written; nothing was changed.
    """
    before, after = store.label(run_id, change)
    keep_beside(store, folder, run_id)
    return before, after


def keep_beside(store: RunStore, folder: Path, run_id: str) -> None:
    """Write what the store calls a run into its folder. No folder is made for it, and none that cannot be written stops anybody."""
    with suppress(OSError, KeyError):
        for _ in range(_TRIES):
            labels = store.labels(run_id)
            if not folder.is_dir() or read_beside(folder) == labels:
                return
            # Another one may write an older name over a newer one: whoever writes looks once more whether the store still says so.
            with written_whole(folder / NAME) as file:
                file.write(json.dumps(written(labels), indent=1).encode())


def read_beside(folder: Path) -> Labels:
    """What a run's folder says that it is called; nothing where it does not say, or cannot be read."""
    try:
        return read(json.loads((folder / NAME).read_text(encoding="utf-8")))
    except (OSError, ValueError, RecursionError):
        return Labels()
