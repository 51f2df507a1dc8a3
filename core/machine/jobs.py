"""The processes that a server needs torch for, and what can be asked of whoever starts them (`children`) and of each that was started."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import IO, Protocol

WORKER, LAB, EVALUATION, EXPORTING = "core.worker.process", "core.lab.lab", "core.evaluation.helper", "core.export.helper"
CURATING = "core.curating.helper"
DOWNLOADING = "core.lab.downloading"
COMPARING = "core.lab.comparing"
JOBS = (WORKER, LAB, EVALUATION, EXPORTING, CURATING, DOWNLOADING, COMPARING)
"""The modules whose `main` a nursery runs: no other."""


class Child(Protocol):
    """A started process, as `subprocess.Popen` tells of it."""

    pid: int
    stdin: IO[str] | None
    stdout: IO[str] | None
    returncode: int | None

    def poll(self) -> int | None:
        """Its exit status, minus the signal that ended it, or None while it lives."""

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end. Raises subprocess.TimeoutExpired after `timeout` seconds."""

    def kill(self) -> None:
        """End it at once, if it lives."""


class Starter(Protocol):
    """Starts processes in sessions of their own: what ends this process does not end them."""

    @property
    def quick(self) -> bool:
        """True where a start takes a fraction of a second, so that no process need wait in reserve."""

    def start(self, module: str, arguments: Sequence[str], log: Path, talk: bool = False, patient: bool = False) -> Child:
        """Run `python -m module arguments`; what it prints is appended to `log`.

        Args:
            module: one of `JOBS`.
            talk: its standard input and output are pipes of text; else it has neither.
            patient: wait for up to a minute where that makes the start quicker.

        Raises:
            OSError: no process could be started.
        """

    def look_after(self) -> None:
        """Begin anew what quick starts need and what has died meanwhile. Cheap: call it often."""

    def close(self) -> None:
        """Nothing is started any more."""
