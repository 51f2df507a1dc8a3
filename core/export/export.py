"""`export`: one run in one format, whole or not at all, with its receipt. No torch until a writer is imported."""

from __future__ import annotations

import errno
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from core.config import ConfigError
from core.config.limits import quoted
from core.evaluation import predictions
from core.export.formats import Cancelled, ExportEntry, Progress, find_format
from core.export.subject import Subject
from core.machine.files import folder_written_whole, size_of, written_whole
from core.machine.home import Home
from core.machine.paths import pasted
from core.records.export import Exported
from core.store import Run, RunStore
from core.store.checkpoint import Checkpoint, checkpoints, newest

EXPORTED = TypeAdapter(Exported)

_FULL = (errno.ENOSPC, errno.EDQUOT)


def export(
    home: Home,
    run_id: str,
    format: str,
    epoch: int | None = None,
    output: str | Path | None = None,
    force: bool = False,
    progress: Progress = lambda text, share: None,
    cancelled: Cancelled = lambda: False,
) -> Exported:
    """Write a run as `format`; formats with weights are compared with the original before they are in place.

    Args:
        epoch: whose weights, 0 being before training; None: those the run ended with, or the newest that it has kept.
        output: the file, or an existing folder to put it into; None: `exports/` in the run's folder.
        force: put it in the place of what lies there.

    Raises:
        ConfigError: on `run`, `format`, `epoch` or `output`, with the remedy. Nothing is left behind, and what was there is there still.
        Cancelled: `cancelled` was.
    """
    entry = find_format(format)
    entry.check_installed()
    run = predictions.find_run(home, run_id)
    store = RunStore(home.database)
    try:
        subject = Subject(home, store, run, _checkpoint(home, run, entry, epoch))
        target = target_of(subject, entry, output, force)
        with _told_where(target), folder_written_whole(target, force) as folder:
            told = [*_which(subject, entry, epoch)]
            told += entry.writer(subject, folder / target.name, progress, cancelled)
            receipt = None
            if entry.receipt:
                from core.export.receipt import make_receipt

                receipt, said = make_receipt(subject, entry, folder / target.name, progress, cancelled)
                told += said
            beside = sorted(path.name for path in folder.iterdir() if path.name != target.name)
            size = size_of(folder / target.name)
        made = Exported(
            target,
            entry.name,
            size,
            receipt,
            tuple(told),
            tuple(target.with_name(name) for name in beside),
            subject.checkpoint.epoch if entry.weights and subject.checkpoint else None,
            time.time(),
        )
        if target.parent == home.run_folder(run.id) / "exports":
            _remember(made)
        return made
    finally:
        store.close()


def exports_folder(home: Home, run_id: str) -> Path:
    """Where exports of a run go that nobody names a place for."""
    return home.run_folder(run_id) / "exports"


def target_of(subject: Subject, entry: ExportEntry, output: str | Path | None, force: bool) -> Path:
    """Where the export goes, absolute. Raises ConfigError on `output` where something lies there and `force` is not given."""
    usual = f"{entry.stem or subject.run.id}{_epoch_in_name(subject, entry)}{entry.suffix or f'-{entry.name}'}"
    if output is None:
        target = exports_folder(subject.home, subject.run.id) / usual
    else:
        target = pasted(str(output), "output")
        if target.is_dir() and entry.suffix and not (entry.files and entry.is_one(target)):
            target = target / usual
    empty = target.is_dir() and not any(target.iterdir())
    if os.path.lexists(target) and not force and not empty:
        raise ConfigError("output", f"{target} is there already; give another name, or replace it with --force")
    if target.is_dir() and not entry.is_one(target):
        raise ConfigError("output", f"{target} is a folder with files of somebody's own, which are not replaced; give another name")
    return target


def earlier(home: Home, run_id: str) -> tuple[Exported, ...]:
    """The exports that lie in the run's folder, newest first."""
    found = []
    for note in exports_folder(home, run_id).glob(".*.export.json"):
        with suppress(OSError, ValidationError, ValueError):
            made = EXPORTED.validate_json(note.read_text(encoding="utf-8"))
            made = replace(  # the home may have been moved
                made, path=note.with_name(made.path.name), beside=tuple(note.with_name(path.name) for path in made.beside)
            )
            if made.path.exists():
                found.append(made)
    return tuple(sorted(found, key=lambda made: -made.made))


def delete(home: Home, run_id: str, name: str) -> None:
    """Remove an export from the run's folder, with what lies beside it. Raises ConfigError on `name` where there is none of that name."""
    made = next((made for made in earlier(home, run_id) if made.path.name == name), None)
    if made is None:
        raise ConfigError("name", f"{quoted(name)} is no export of {run_id}; reload to see which there are")
    for path in (made.path, *made.beside, _note_of(made.path)):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _checkpoint(home: Home, run: Run, entry: ExportEntry, epoch: int | None) -> Checkpoint | None:
    if entry.weights or epoch is not None:
        return predictions.find_checkpoint(home, run, epoch)
    return newest(home, run)


def _which(subject: Subject, entry: ExportEntry, epoch: int | None) -> Iterator[str]:
    """Which weights were taken, where that goes without saying for nobody."""
    checkpoint = subject.checkpoint
    if not entry.weights or checkpoint is None or epoch is not None:
        return
    if subject.run.status.active:
        yield f"The run still goes on: these are its weights after epoch {checkpoint.epoch} (step {checkpoint.step:,}), the newest that it has kept."
    elif not checkpoint.final and len(checkpoints(subject.home, subject.run)):
        yield f"The run kept no last weights: these are those after epoch {checkpoint.epoch} (step {checkpoint.step:,}), the newest that it has kept."


def _epoch_in_name(subject: Subject, entry: ExportEntry) -> str:
    return f"-epoch-{subject.checkpoint.epoch}" if entry.weights and subject.checkpoint else ""


@contextmanager
def _told_where(target: Path) -> Iterator[None]:
    """Say of which path it is that it cannot be written, and what helps."""
    try:
        yield
    except OSError as error:
        beside = Path(error.filename or "")
        if isinstance(error, FileExistsError) and beside.parent == target.parent:
            raise ConfigError("output", f"{beside} is there already; give another name with --output, or replace it with --force") from None
        remedy = "free some space, or give another place with --output" if error.errno in _FULL else "give another place with --output"
        raise ConfigError("output", f"{target} could not be written ({error.strerror or error}); {remedy}") from None


def _note_of(path: Path) -> Path:
    return path.with_name(f".{path.name}.export.json")


def _remember(made: Exported) -> None:
    with suppress(OSError), written_whole(_note_of(made.path)) as file:  # the export itself is there
        file.write(json.dumps(EXPORTED.dump_python(made, mode="json")).encode())
