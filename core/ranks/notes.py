"""Which rank was the first to be gone in each attempt of a run, and how: kept in the run's folder for the attempt after it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from core.machine.files import written_whole

_NAME = "ranks.json"


def keep(folder: Path, restarts: int, gone: Mapping[int, str]) -> None:
    """Keep what is known so far, attempt to sentence. A folder that cannot be written stops nobody."""
    notes = {"restarts": restarts, **{str(attempt): text for attempt, text in gone.items()}}
    with suppress(OSError), written_whole(folder / _NAME, settled=False) as file:
        file.write(json.dumps(notes).encode())


def forget(folder: Path) -> None:
    """A run begins: what an earlier group left is of no meaning. Raises OSError."""
    (folder / _NAME).unlink(missing_ok=True)


def why_again(folder: Path, attempt: int) -> str:
    """Why the group was begun again for its `attempt`-th time, in a sentence."""
    with suppress(OSError, ValueError, KeyError):
        notes = json.loads((folder / _NAME).read_text())
        return f"begun again ({attempt} of at most {notes['restarts']}) by itself: {notes[str(attempt - 1)].splitlines()[0]}"
    return f"begun again ({attempt}) by itself after a failure"
