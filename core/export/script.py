"""The run as one plain PyTorch file, with the list of its pictures beside it: `python run.py`, in any folder, ends with the run's weights."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from core.catalog import find_model
from core.code.differences import ABOUT
from core.code.of_run import script_of
from core.data.datasets import folder_of
from core.data.manifest import PICTURES
from core.export.formats import Cancelled, Progress
from core.export.subject import Subject
from core.machine.files import written_whole


def write(subject: Subject, target: Path, progress: Progress, cancelled: Cancelled) -> tuple[str, ...]:
    """See `core.export.formats.Writer`."""
    progress("writing the script", None)
    listed = f"{target.name.removesuffix(target.suffix)}.{PICTURES}"
    said, code = script_of(subject.home, subject.store, subject.run, listed)
    head = f'"""Run {subject.run.id} as plain PyTorch: python {target.name}. It writes weights.pth beside itself, and needs nothing of Thaw."""\n\n'
    with written_whole(target) as file:
        file.write((head + code).encode("utf-8", "surrogateescape"))
    if f'with_name("{listed}")' in code or f"with_name({listed!r})" in code:
        shutil.copyfile(subject.folder / PICTURES, target.with_name(listed))
    return (*(sentence for sentence in said if sentence != ABOUT), *_needed(subject))


def _needed(subject: Subject) -> Iterator[str]:
    """Which files the script reads that do not lie beside it."""
    config = subject.run.config
    shipped = find_model(config.model).shipped if config.starting_weights == "pretrained" else None
    if shipped is not None or config.starting_weights not in ("random", "pretrained"):
        yield f"It reads its starting weights from {shipped.path if shipped else config.starting_weights}: take that file along to another machine."
    if folder_of(config.dataset) is not None:
        yield "It reads the pictures where the run found them: change ROOT in it where they lie elsewhere."
