"""The checkpoints from which a run can go on: which there are in its folder. `core.worker.checkpoints` writes them. No torch."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

FORMAT = 1
"""A higher number was written by a newer Thaw."""

_NAME = re.compile(r"resume-(\d+)\.pt")


@dataclass(frozen=True)
class ResumePoint:
    """A run after `step` steps."""

    step: int
    path: Path


def resume_path(folder: Path, step: int) -> Path:
    """Where a run in `folder` keeps what it needs to go on after `step` steps."""
    return folder / "checkpoints" / f"resume-{step:08d}.pt"


def resume_points(folder: Path) -> list[ResumePoint]:
    """Those in a run's folder, the newest first."""
    found = [(match, path) for path in (folder / "checkpoints").glob("resume-*.pt") if (match := _NAME.fullmatch(path.name))]
    return sorted((ResumePoint(int(match[1]), path) for match, path in found), key=lambda point: -point.step)
