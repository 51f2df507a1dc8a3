"""Which sweep a run is of, beside the run: `sweep.json` in its folder, so that runs that are taken in again are one sweep again. No SQL."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from core.machine.files import written_whole
from core.store.run_store import RunStore
from core.store.sweep_tables import SweepMember, SweepRow
from core.store.trouble import StoreError

NAME = "sweep.json"
LONGEST_ID = 60


def keep_beside(store: RunStore, folder: Path, run_id: str) -> None:
    """Write the sweep of a run into its folder; nothing for a run of none. Neither a store nor a folder that cannot be used stops anybody."""
    with suppress(OSError, KeyError, StoreError):
        member = store.member(run_id)
        if member is None or not folder.is_dir():
            return
        row = store.sweep(member.sweep_id)
        sweep = {"id": row.id, "created": row.created, "plan": row.plan, "at_once": row.at_once}
        text = json.dumps({"sweep": sweep, "number": member.number, "given": member.given, "pruned": member.pruned}, indent=1)
        with written_whole(folder / NAME) as file:
            file.write(text.encode())


def read_beside(folder: Path) -> tuple[SweepRow, SweepMember] | None:
    """The sweep that a run's folder names, and the run as one of it; None where it names none, or cannot be read."""
    try:
        found = json.loads((folder / NAME).read_text(encoding="utf-8"))
        sweep, given, pruned = found["sweep"], found["given"], found["pruned"]
        row = SweepRow(_text(sweep["id"]), float(sweep["created"]), _text(sweep["plan"]), None, int(sweep["at_once"]), 0, (), "")
        if not isinstance(given, dict) or len(row.id) > LONGEST_ID or not isinstance(json.loads(row.plan), dict):
            return None
        return row, SweepMember(folder.name, row.id, int(found["number"]), given, None if pruned is None else int(pruned))
    except (OSError, ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return None


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{type(value).__name__} is no text")
    return value
