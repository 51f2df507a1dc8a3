"""The store as a worker in a job sees it: a database of the job's own, on its machine, and all that is written there told to the store's machine.

What is told is appended to a file that both machines see (`job_files`, `report_lines`), in blocks, each on the disk before the worker goes on;
`report_import` brings it in there. What was asked of the run comes back as a file and is obeyed and answered as ever. A folder that cannot be
written just now costs nothing: lines wait in memory, and are tried again.
"""

from __future__ import annotations

import inspect
import os
import time
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from pathlib import Path
from typing import Any

from core.records.events import Command, RunStatus
from core.store.job_files import asked, in_a_job, reports_of
from core.store.patience import Limits as Limits
from core.store.patience import PatientStore
from core.store.report_lines import METHODS, line
from core.store.run_store import RunStore

BLOCK_SECONDS = 0.25
"""How long a line waits for others at most, unless it is one of `_AT_ONCE`."""

LOOK_SECONDS = 0.2
"""How often the file of what was asked is looked at: on a network's folder each look costs some milliseconds."""

MOST_BYTES = 512_000_000
"""What may wait in memory while the folder cannot be written; beyond that the run ends."""

_AT_ONCE = {"begin", "end", "append", "append_change", "append_epoch", "cut", "acknowledge", "refuse_to_resume", "say_continued"}
"""What is on the disk before the worker goes on: a checkpoint may follow that stands behind it."""


class Replaced(BaseException):
    """Another job works on the run: this one must write nothing more. No `Exception`: nothing is saved or said on its way out."""


class Reports:
    """The end of a job's file of reports. Several processes of a job may append to it: a block is written in one piece."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._waiting = bytearray()
        self._since = 0.0
        self._torn = False
        self._retry = 0.0

    def add(self, text: bytes, now: bool) -> None:
        """Have a line written, `now` or with those that come soon.

        Raises:
            OSError: the folder cannot be written, and too much waits for it.
        """
        if not self._waiting:
            self._since = time.monotonic()
        self._waiting += text
        self.write(now=now)

    def write(self, now: bool = False) -> bool:
        """Write what waits if it has waited long enough, or `now`; True if nothing waits any more. Raises as `add`."""
        moment = time.monotonic()
        if not self._waiting or moment < self._retry or not (now or moment - self._since >= BLOCK_SECONDS):
            return not self._waiting
        try:
            self._append()
        except OSError:
            self._retry = moment + 1.0
            if len(self._waiting) > MOST_BYTES:
                raise
            return False
        return True

    def _append(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            # What is left of a block that a full disk has cut is a line that cannot be read: the block comes again behind it.
            content = (b"\n" if self._torn else b"") + bytes(self._waiting)
            written = os.write(descriptor, content)
            self._torn = written < len(content)
            if self._torn:
                raise OSError("the block was cut")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        self._waiting.clear()


class ReportingStore(PatientStore):
    """`PatientStore` that tells what it writes. Its methods in `report_lines.METHODS` are those that are told."""

    def __init__(self, store: RunStore, run_id: str, folder: Path, limits: Limits | None = None, number: int = 0) -> None:
        self.number = number
        self._reports = Reports(reports_of(folder, number))
        self._next_look = 0.0
        super().__init__(store, run_id, folder, limits)

    def commands(self, run_id: str, waiting: bool = False) -> list[Command]:
        """As in `PatientStore`, and what the file has besides. Raises `Replaced` where the run has another job."""
        self._reports.write()
        if time.monotonic() >= self._next_look:
            self._next_look = time.monotonic() + LOOK_SECONDS
            job, commands = asked(self.folder.path, run_id)
            if job > self.number:
                raise Replaced(f"Job {self.number} of {run_id} ends: job {job} works on it.")
            if commands:
                self.take_commands(run_id, commands)
        return super().commands(run_id, waiting)

    def settle(self, give_up: Callable[[], bool]) -> bool:
        """As in `PatientStore`; what is to be told, too."""
        end = time.monotonic() + self.limits.last
        settled = super().settle(give_up)
        while not self._reports.write(now=True):
            if give_up() or time.monotonic() > end:
                return False
            time.sleep(0.1)
        return settled

    def tell(self, method: str, arguments: tuple[Any, ...]) -> None:
        """Have a call told to the store's machine."""
        self._reports.add(line(method, arguments), now=method in _AT_ONCE)


def _told(name: str) -> Callable[..., Any]:
    """The method of `PatientStore` with this name, which tells what it was called with once it has done it."""
    method = getattr(PatientStore, name)
    signature = inspect.signature(method)

    @wraps(method)
    def call(self: ReportingStore, *given: Any, **named: Any) -> Any:
        bound = signature.bind(self, *given, **named)
        bound.apply_defaults()
        done = method(self, *given, **named)
        _, first, *rest = bound.arguments.values()
        if name == "acknowledge":
            self.tell(name, (first.id, *rest))
        elif name != "append" or len(bound.arguments["steps"]):
            self.tell(name, tuple(rest))
        return done

    return call


for _name in METHODS:
    setattr(ReportingStore, _name, _told(_name))


def store_of_worker(store: RunStore, run_id: str, folder: Path, limits: Limits | None = None) -> PatientStore:
    """What the worker of a run writes through: patiently, and in a job telling the store's machine."""
    number = in_a_job()
    return ReportingStore(store, run_id, folder, limits, number) if number else PatientStore(store, run_id, folder, limits)


def cannot_begin(store: PatientStore, run_id: str, error: str) -> None:
    """Say that a run cannot begin, and why. One that was asked to go on is as it was before, with what it had come to."""
    if store.resume_request(run_id) is None:
        store.end(run_id, RunStatus.FAILED, error=error)
    else:
        store.refuse_to_resume(run_id, error)
    store.settle(give_up=lambda: False)


def begun_before(folder: Path, number: int) -> bool:
    """Whether a job has told anything already: Slurm has begun it anew."""
    with suppress(OSError):
        return reports_of(folder, number).stat().st_size > 0
    return False
