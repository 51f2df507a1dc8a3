"""The server's end of imports: each is a process of its own, known by its folder in `imports` of the home, and outlives the server."""

from __future__ import annotations

import json
import secrets
import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from dataclasses import field as default
from pathlib import Path
from typing import Any, Literal

from core.config.errors import ConfigError
from core.importing.plan import Corrections
from core.machine.children import Interpreters
from core.machine.files import written_whole
from core.machine.home import Home
from core.machine.jobs import Starter
from core.machine.living import lives

REQUEST, STATUS, CANCEL, LOG = "request.json", "status.json", "cancel", "log"
MODULE = "core.importing.runner"

STARTING_SECONDS = 60.0
"""A process that has said nothing is given this long."""

KEPT_SECONDS = 7 * 86_400
"""How long what became of a job is kept."""

What = Literal["plan", "import"]


@dataclass(frozen=True)
class Job:
    """How far a job is, and what it came to.

    Args:
        state: "working", "done", "failed" (`field` and `message` say why) or "cancelled".
        text: what it does just now.
        done, of, rate, seconds_left: pictures looked at, of how many, how many a second, and about how many seconds are left.
        plan: `Plan.to_json`, once one that was asked for is made.
        name, version, report: the dataset and the version that it made, and what there is to say (`Report.to_json`).
    """

    id: str
    what: What
    source: str
    state: Literal["working", "done", "failed", "cancelled"] = "working"
    text: str = "starting"
    done: int = 0
    of: int = 0
    rate: float = 0.0
    seconds_left: float | None = None
    field: str = ""
    message: str = ""
    plan: Mapping[str, Any] | None = None
    name: str = ""
    version: int = 0
    report: Mapping[str, Any] = default(default_factory=dict)


def begin(
    home: Home, source: Path, name: str = "", corrections: Corrections | None = None, *,
    what: What = "import", add: bool = False, note: str = "", starter: Starter | None = None,
) -> str:  # fmt: skip
    """Have a source looked at (`what="plan"`) or imported, in a process of its own; returns the job's id at once.

    Raises:
        OSError: no process could be started, or the home cannot be written.
    """
    forget_old(home)
    job = f"{int(time.time())}-{secrets.token_hex(4)}"
    folder = folder_of(home, job)
    folder.mkdir(parents=True)
    request = {"source": str(source), "name": name, "corrections": (corrections or Corrections()).to_json(), "what": what, "add": add, "note": note}
    write_json(folder / REQUEST, request)
    (starter or Interpreters()).start(MODULE, ["--home", str(home.path), "--job", job], folder / LOG)
    return job


def state(home: Home, job: str) -> Job | None:
    """How far a job is; None for one that is not known (any more)."""
    folder = folder_of(home, job)
    try:
        request = read_json(folder / REQUEST)
        begun = (folder / REQUEST).stat().st_mtime
    except (OSError, ValueError):
        return None
    status: dict[str, Any] = {}
    with suppress(OSError, ValueError):
        status = read_json(folder / STATUS)
    known = {key: value for key, value in status.items() if key in Job.__dataclass_fields__}
    found = Job(**{"id": job, "what": request["what"], "source": request["source"], "name": request["name"], **known})
    if found.state != "working" or _lives(status) or (not status and time.time() - begun < STARTING_SECONDS):
        return found
    message = "its process was ended from outside; nothing was kept. Begin it once more"
    return Job(job, found.what, found.source, "failed", found.text, found.done, found.of, field="source", message=message, name=found.name)


def cancel(home: Home, job: str) -> None:
    """Give a job up; nothing of it is kept."""
    folder = folder_of(home, job)
    if folder.is_dir():
        (folder / CANCEL).touch()


def jobs(home: Home) -> list[Job]:
    """All that are known, newest first."""
    found = [state(home, folder.name) for folder in sorted((home.path / "imports").glob("*-*"), reverse=True)]
    return [job for job in found if job is not None]


def forget(home: Home, job: str) -> None:
    """Forget a job that is over."""
    found = state(home, job)
    if found is not None and found.state != "working":
        shutil.rmtree(folder_of(home, job), ignore_errors=True)


def forget_old(home: Home) -> None:
    """Forget what was over long ago."""
    for found in jobs(home):
        if time.time() - float(found.id.partition("-")[0]) > KEPT_SECONDS:
            forget(home, found.id)


def folder_of(home: Home, job: str) -> Path:
    """The folder of a job. Raises ConfigError on `job` for what is no id."""
    if not job.replace("-", "").isalnum():
        raise ConfigError("job", f"{job!r} is no import; choose one of those that are listed")
    return home.path / "imports" / job


def read_json(path: Path) -> dict[str, Any]:
    """An object. Raises OSError and ValueError."""
    return dict(json.loads(path.read_bytes()))


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write an object, whole."""
    with written_whole(path) as file:
        file.write(json.dumps(values).encode())


def _lives(status: Mapping[str, Any]) -> bool:
    try:
        return lives(int(status["pid"]), float(status["started"]))
    except (LookupError, ValueError):
        return False
