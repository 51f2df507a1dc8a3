"""Curves whose files a browser sent: laid out in a folder of their own, read as those on this machine are, and thrown away again."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from core.comparing import csv_curves, event_files
from core.comparing.imported import Imported
from core.config import ConfigError
from core.config.limits import LONGEST_NAME
from core.machine.home import Home

ALONE = "sent files"
"""What files are called together that came without a folder."""

_LONGEST_PART = 120
_PREFIX = "sent-curves-"


def lay_out(home: Home, files: Iterable[tuple[str, bytes]]) -> Path:
    """Write files, each with its path within what was chosen, into a new folder, and return that. OSError: they cannot be written.

    A path leads nowhere else, whatever it says: of `../a` and `/a` only `a` counts. Of two with one path the later one counts.
    """
    home.cache.mkdir(parents=True, exist_ok=True)
    root = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=home.cache))
    for name, content in files:
        parts = [part[-_LONGEST_PART:] for part in re.split(r"[/\\]+", re.sub(r"[\x00-\x1f:]", "_", name)) if part.strip(". ")]
        path = root.joinpath(*(parts if len(parts) > 1 else [ALONE, *(parts or ["file"])]))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


def read(folder: Path, name: str = "") -> list[Imported]:
    """What lies in a folder of `lay_out`: event files, a training for each folder of theirs, and a training or more for each other file, as CSV.

    Raises:
        ConfigError: on `curves`, where there is nothing to draw in any of them: why not in the first.
    """
    found: list[Imported] = []
    problems: list[str] = []
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    tops = sorted({folder / path.relative_to(folder).parts[0] for path in files if event_files.is_one(path)})
    others = [path for path in files if not event_files.is_one(path)]
    for path in (*tops, *others):
        try:
            found += event_files.read(path) if path.is_dir() else csv_curves.read(path)
        except ConfigError as error:
            problems.append(error.message.replace(f"{folder}/", ""))
    if not found:
        raise ConfigError("curves", problems[0] if problems else "nothing was sent; send event files or CSV files, or a folder of them")
    found = [replace(one, source=f"sent by a browser: {_within(folder, one.source)}"[:LONGEST_NAME]) for one in found]
    if problems:
        found[0] = replace(found[0], said=(*found[0].said, *problems))
    if name and len(found) == 1:
        found = [replace(found[0], name=name[:LONGEST_NAME])]
    return found


def throw_away(folder: Path) -> None:
    """Remove a folder of `lay_out`, and nothing else."""
    if folder.name.startswith(_PREFIX):
        shutil.rmtree(folder, ignore_errors=True)


def _within(folder: Path, source: str) -> str:
    return source.replace(f"{folder.resolve()}/", "").replace(f"{folder}/", "").removeprefix(f"{ALONE}/")
