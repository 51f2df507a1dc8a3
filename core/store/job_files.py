"""The files by which a run's job, on another machine, and the store's machine talk: below `jobs` of the run's folder, which both see. No SQL.

    jobs/commands.json     what was asked of the run and is not answered yet, and for which job: written whole by the store's machine
    jobs/0001/reports      what job 1 told the store, line by line (`report_lines`): it alone appends
    jobs/0001/...          what submitit keeps of the job: its pickle, its script, what it printed before the run's own log

SQLite is no file for a network's folder: neither side opens the other's database.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from core.machine.files import written_whole
from core.machine.home import SCRATCH
from core.records.events import Command, CommandKind

NUMBER = "THAW_JOB"
"""In the environment of a job's processes: its number. There `core.machine.home.SCRATCH` names the job's own database."""

JOBS = "jobs"
"""The folder of all this in that of a run."""

LARGEST_COMMANDS = 1_000_000
"""Bytes."""


def in_a_job() -> int:
    """The number of the job that this process works for; 0: it works for none."""
    return int(os.environ.get(NUMBER) or 0) if os.environ.get(SCRATCH) else 0


def folder_of(run_folder: Path, number: int) -> Path:
    """The folder of a run's job."""
    return run_folder / JOBS / f"{number:04}"


def reports_of(run_folder: Path, number: int) -> Path:
    """Where a run's job tells what it does."""
    return folder_of(run_folder, number) / "reports"


def pass_on(run_folder: Path, number: int, commands: Sequence[Command]) -> bool:
    """Write what was asked of the run, for its job of that `number`, where another text stands there. Whether it was. Raises OSError."""
    path = _commands_of(run_folder)
    told = [[each.id, str(each.kind), each.payload, each.requested_at, each.requested_at_step] for each in commands]
    text = json.dumps({"job": number, "commands": told}).encode()
    with suppress(OSError):
        if path.read_bytes() == text:
            return False
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(path) as file:
        file.write(text)
    return True


def asked(run_folder: Path, run_id: str) -> tuple[int, list[Command]]:
    """The number of the job that works on the run now, and what it is to do; 0 and nothing where the file is not there, or cannot be read."""
    try:
        with _commands_of(run_folder).open("rb") as file:
            content = file.read(LARGEST_COMMANDS + 1)
        found: dict[str, Any] = json.loads(content) if len(content) <= LARGEST_COMMANDS else {}
        commands = [
            Command(int(number), run_id, CommandKind(kind), float(at), int(step), str(payload))
            for number, kind, payload, at, step in found["commands"]
        ]
        return int(found["job"]), commands
    except (OSError, ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return 0, []


def _commands_of(run_folder: Path) -> Path:
    return run_folder / JOBS / "commands.json"
