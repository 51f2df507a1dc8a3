"""Names from outside as names of files: what every system takes, and no way out of the folder."""

from __future__ import annotations

import re
import unicodedata
from pathlib import PurePosixPath

from core.config import ConfigError
from core.config.limits import quoted

LONGEST = 100
"""Letters of a name that is kept."""

MOST_BYTES = 200
"""Bytes of such a name: systems take 255, and something may be put behind it."""

DEEPEST = 8
"""Folders in folders that are kept of a dragged folder: layouts are looked for no deeper."""

_FORBIDDEN = re.compile(r'[\x00-\x1f\x7f<>:"/\\|?*]')
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


def class_name(text: str, field: str = "class") -> str:
    """A name of a class that can be the name of a folder, without blanks around it. Raises ConfigError on `field`, with what is in the way."""
    name = unicodedata.normalize("NFC", text).strip()
    if not name:
        raise ConfigError(field, "a class needs a name; type one")
    if len(name) > LONGEST or len(name.encode()) > MOST_BYTES:
        raise ConfigError(field, f"{quoted(name)} has {len(name):,} letters; give it {LONGEST} at most")
    if found := _FORBIDDEN.search(name):
        raise ConfigError(field, f"{quoted(name)} holds {found.group()!r}, which no name of a folder may on every system; leave it out")
    if name.startswith(".") or name.endswith(".") or _DEVICES.fullmatch(name):
        raise ConfigError(field, f"{quoted(name)} cannot be the name of a folder on every system; give another")
    return name


def file_name(text: str) -> str:
    """The last part of a path as a name of a file: forbidden letters become `_`, a long one loses letters in its middle, the ending stays."""
    name = _FORBIDDEN.sub("_", unicodedata.normalize("NFC", re.split(r"[/\\]", text)[-1])).strip(" ")
    name = name.strip(".") if set(name) <= {".", " "} else name.rstrip(".")
    if not name or _DEVICES.fullmatch(name):
        name = f"_{name}"
    stem, dot, end = name.rpartition(".")
    if not stem or len(end) > 12:
        stem, dot, end = name, "", ""
    while len(stem) + len(end) > LONGEST or len(f"{stem}{dot}{end}".encode()) > MOST_BYTES:
        half = len(stem) // 2
        stem = stem[: half - 1] + stem[half + 1 :]
    return f"{stem}{dot}{end}"


def inner_path(text: str) -> PurePosixPath:
    """A path in a dragged folder, each part cleaned, so that it leads nowhere else. Raises ConfigError on `file` where it is too deep."""
    parts = [file_name(part) for part in re.split(r"[/\\]", text) if part not in ("", ".", "..")]
    if not parts:
        raise ConfigError("file", f"{quoted(text)} names no file")
    if len(parts) > DEEPEST:
        raise ConfigError("file", f"{quoted(text)} lies {len(parts) - 1} folders down; bring the folder itself that holds the classes")
    return PurePosixPath(*parts)
