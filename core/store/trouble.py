"""Why the store cannot be used, in one sentence: the file, the reason, and what to do. Imports nothing of the project.

The reason comes from SQLite's result code and from what the system says of file and folder, never from the words of an error. The file
itself is not opened here: closing it would drop the locks that SQLite holds on it for the whole process.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from pathlib import Path
from typing import Literal

Kind = Literal["locked", "full", "read-only", "denied", "broken", "damaged", "foreign", "newer", "folder"]

RECOVER = "python -m core recover --set-aside"
ANOTHER = "set THAW_HOME to another folder"
ALMOST_FULL = 2_000_000
"""Bytes: with less than this free, a write that failed failed for want of room."""

_OWN_FAULT = (sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_MISUSE, sqlite3.SQLITE_RANGE, sqlite3.SQLITE_TOOBIG)


class StoreError(OSError):
    """The store cannot be opened, read or written. `kind` says which way; `str` names the file, the reason and the remedy."""

    def __init__(self, database: str, kind: Kind, reason: str, remedy: str) -> None:
        super().__init__(f"The store {database} {reason}; {remedy}.")
        self.database = database
        self.kind = kind
        self.reason = reason
        self.remedy = remedy

    def __reduce__(self) -> tuple[type[StoreError], tuple[str, Kind, str, str]]:
        return type(self), (self.database, self.kind, self.reason, self.remedy)

    @property
    def passing(self) -> bool:
        """True where waiting may be enough, since somebody may let go of the store or make room."""
        return self.kind in ("locked", "full", "broken")


def in_words(database: Path, error: sqlite3.Error) -> StoreError | None:
    """The same error for a person; None for one that is the program's own fault and no trouble with the file."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is None or code & 0xFF in _OWN_FAULT:
        return None
    name = error.sqlite_errorname
    match code & 0xFF:
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED | sqlite3.SQLITE_PROTOCOL:
            found: tuple[Kind, str, str] = (
                "locked",
                f"is locked by another process ({name})",
                "close what holds it (another program that has it open, a copy or a backup of it) and try again",
            )
        case sqlite3.SQLITE_FULL:
            found = _full(database, name)
        case sqlite3.SQLITE_NOTADB:
            found = ("foreign", f"is no database ({name})", f"move it away, or have {RECOVER} do so and take in the runs found on disk")
        case sqlite3.SQLITE_CORRUPT:
            found = ("damaged", f"is damaged ({name})", f"{RECOVER} moves it away and takes in the runs found on disk")
        case sqlite3.SQLITE_IOERR if _room(database) is not None and (_room(database) or 0) < ALMOST_FULL:
            found = _full(database, name)
        case sqlite3.SQLITE_IOERR:
            what = _IO.get(name, "the disk reports an error")
            found = ("broken", f"could not be read or written: {what} ({name})", f"check the disk, or {ANOTHER}")
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM | sqlite3.SQLITE_AUTH:
            found = _closed(database, name)
        case _:
            found = ("foreign", f"is not as Thaw makes it ({error}; {name})", f"{ANOTHER}, or have {RECOVER} move it away")
    return StoreError(str(database), *found)


_IO = {
    "SQLITE_IOERR_WRITE": "a write failed (an error of the disk, a quota or a limit on the size of files)",
    "SQLITE_IOERR_READ": "a read failed",
    "SQLITE_IOERR_SHORT_READ": "it ends too early",
    "SQLITE_IOERR_FSYNC": "what was written did not reach the disk",
    "SQLITE_IOERR_DIR_FSYNC": "what was written did not reach the disk",
    "SQLITE_IOERR_TRUNCATE": "its log could not be shortened",
    "SQLITE_IOERR_SHMSIZE": "the file beside it could not be made larger (no room, a quota or a limit on the size of files)",
    "SQLITE_IOERR_SHMMAP": "the file beside it could not be mapped into memory",
    "SQLITE_IOERR_SHMOPEN": "the file beside it could not be opened",
    "SQLITE_IOERR_LOCK": "it could not be locked",
    "SQLITE_IOERR_NOMEM": "memory ran out",
}


def _full(database: Path, name: str) -> tuple[Kind, str, str]:
    room = _room(database)
    if room is None or room < ALMOST_FULL:
        return "full", f"cannot be written: the disk is full ({name})", f"free some space, or {ANOTHER}"
    return "full", f"cannot be written: it may not become larger, by a quota or a limit of its own ({name})", f"raise the limit, or {ANOTHER}"


def _room(database: Path) -> int | None:
    """Bytes that are free on its disk; None where the system does not say."""
    try:
        return shutil.disk_usage(database.parent).free
    except OSError:
        return None


def _closed(database: Path, name: str) -> tuple[Kind, str, str]:
    """Why a file cannot be opened or written, after what the system says of it and its folder."""
    folder = database.parent
    try:
        a_folder, without_folder = database.is_dir(), not folder.is_dir()
    except OSError as error:  # a folder above it may not be entered
        return "denied", f"may not be read: {error.strerror or error} ({name})", f"give yourself the right to use its folder, or {ANOTHER}"
    if a_folder:
        return "folder", "is a folder, where a file should be", f"move it away, or {ANOTHER}"
    if without_folder:
        return "denied", "cannot be opened: its folder is gone", f"bring it back, or {ANOTHER}"
    if not _may(folder, os.X_OK) or (database.exists() and not _may(database, os.R_OK)):
        return "denied", f"may not be read: permission denied ({name})", f"give yourself the right to read and write it and its folder, or {ANOTHER}"
    if _disk_is_read_only(folder):
        return "read-only", f"cannot be written: its disk is read-only ({name})", f"make it writable, or {ANOTHER}"
    if database.exists() and not _may(database, os.W_OK):
        return "read-only", f"cannot be written: the file is read-only ({name})", f"make it writable, or {ANOTHER}"
    if not _may(folder, os.W_OK):
        return "read-only", f"cannot be written: its folder is read-only ({name})", f"make it writable, or {ANOTHER}"
    for beside in (database.with_name(f"{database.name}-wal"), database.with_name(f"{database.name}-shm")):
        if beside.is_dir() or (beside.exists() and not _may(beside, os.R_OK | os.W_OK)):
            return "read-only", f"cannot be used: {beside.name} beside it cannot be written ({name})", f"make that writable, or {ANOTHER}"
    kind: Kind = "read-only" if name.startswith("SQLITE_READONLY") else "denied"
    return kind, f"cannot be {'written' if kind == 'read-only' else 'opened'} ({name})", f"make it writable, or {ANOTHER}"


def _may(path: Path, what: int) -> bool:
    """Whether this process may do `what` (os.R_OK, os.W_OK, os.X_OK) with it; asked of the user that it acts for, where the system can tell."""
    return os.access(path, what, effective_ids=os.access in os.supports_effective_ids)


def _disk_is_read_only(folder: Path) -> bool:
    try:
        return bool(os.statvfs(folder).f_flag & os.ST_RDONLY)
    except (OSError, AttributeError):  # AttributeError: Windows knows no such thing
        return False
