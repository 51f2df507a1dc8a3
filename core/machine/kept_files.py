"""Small files that hold what was worked out once. A file counts if it is whole: its first line is the SHA-256 of the rest."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from core.machine.files import written_whole


def read(path: Path) -> bytes | None:
    """What `keep` was given; None: nothing is there, it cannot be read, or it is torn."""
    try:
        digest, _, body = path.read_bytes().partition(b"\n")
    except OSError:
        return None
    return body if hashlib.sha256(body).hexdigest().encode() == digest else None


def keep(path: Path, body: bytes, most: int) -> None:
    """Have `read` find this. Of the `.json` files in its folder at most so many stay: those of the oldest date go first.

    A disk that does not take it costs nothing but that.
    """
    with suppress(OSError):
        with written_whole(path, settled=False) as file:
            file.write(hashlib.sha256(body).hexdigest().encode() + b"\n" + body)
        files = list(path.parent.glob("*.json"))
        if len(files) > most:
            for old in sorted(files, key=lambda file: file.stat().st_mtime)[:-most]:
                old.unlink(missing_ok=True)


def code_of(files: Iterable[Path]) -> str:
    """SHA-256 of these files: part of the name of what their code has worked out."""
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()
