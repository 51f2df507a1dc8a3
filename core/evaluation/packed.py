"""Pictures in a zip file, which is taken to be hostile: nothing of it is ever unpacked to a disk, each picture is read into memory. No torch."""

from __future__ import annotations

import lzma
import stat
import threading
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from core.config import ConfigError
from core.data.endings import ending, is_head, is_picture, is_system
from core.data.folders import shown
from core.data.intake import UnreadableImage
from core.evaluation.pictures import MOST_BYTES

MOST_MEMBERS = 500_000
"""Files in a zip file, at most: what looks through a folder stops there too."""

MOST_UNPACKED = 200_000_000_000
"""Bytes that a zip file may say that it unpacks to."""

MOST_RATIO, RATIO_FROM = 200, 10_000_000
"""How many times its packed size a picture may unpack to, from so many bytes on: pictures are packed already, and hardly become smaller."""

_ERRORS = (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError, ValueError, zlib.error, lzma.LZMAError)
"""What reading a damaged zip file raises."""


@dataclass(frozen=True)
class Member:
    """A file in a zip file: its place in the list of members and its name. `refused` says why it is not read; `passed`: it is no picture at all."""

    number: int
    name: str
    refused: str | None = None
    passed: bool = False


def members(path: Path) -> Iterator[Member]:
    """What a zip file says that it holds, without folders and what systems keep for themselves. Only its list is read, and how files
    without an ending begin.

    Raises:
        ConfigError: on `pictures`, it cannot be read, or says that it holds far too much.
    """
    try:
        with path.open("rb") as stream, zipfile.ZipFile(stream) as archive:
            found = archive.infolist()
            # A picture may have no ending, as in a folder. Only such names are looked into.
            nameless = {
                number for number, info in enumerate(found[:MOST_MEMBERS]) if not ending(PurePosixPath(info.filename).name) and _begins(archive, info)
            }
    except _ERRORS as error:
        why = (error.strerror if isinstance(error, OSError) else str(error)) or type(error).__name__
        raise ConfigError("pictures", f"{path} cannot be read as a zip file ({why}); pack it again, or give the folder itself") from None
    if len(found) > MOST_MEMBERS:
        raise ConfigError("pictures", f"{path} holds {len(found):,} files, more than {MOST_MEMBERS:,}; pack fewer pictures at a time")
    total = sum(info.file_size for info in found)
    if total > MOST_UNPACKED:
        what = f"{path} says that it unpacks to {total / 1e9:,.0f} GB, more than {MOST_UNPACKED / 1e9:,.0f} GB"
        raise ConfigError("pictures", f"{what}; pack fewer pictures at a time")
    names: set[str] = set()
    for number, info in enumerate(found):
        parts = PurePosixPath(info.filename.replace("\\", "/")).parts
        if info.is_dir() or any(is_system(part) or part.startswith(".") and part not in ("..", ".") for part in parts):
            continue
        name = info.orig_filename.replace("\\", "/") if "\0" in info.orig_filename else info.filename.replace("\\", "/")
        refused = _why_refused(info, name, parts, names)
        names.add(name)
        yield Member(number, name, refused, passed=not is_picture(name) and number not in nameless)


def _begins(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bool:
    """Whether a member begins as a picture does. What cannot be read is none."""
    if info.is_dir() or info.flag_bits & 1:
        return False
    try:
        with archive.open(info) as stream:
            return is_head(stream.read(12))
    except _ERRORS:
        return False


def _why_refused(info: zipfile.ZipInfo, name: str, parts: tuple[str, ...], names: set[str]) -> str | None:
    mode = info.external_attr >> 16
    if ".." in parts or name.startswith("/") or name[1:2] == ":" or "\0" in name:
        return "its name in the zip file leads out of it"
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        return "it is a link in the zip file, or no file; pack what it leads to"
    if name in names:
        return "another file of this name comes before it in the zip file"
    if info.flag_bits & 1:
        return "it is encrypted; unpack the zip file with its password, and give the folder"
    if info.file_size > MOST_BYTES:
        return f"it unpacks to {info.file_size / 1e6:,.0f} MB, more than {MOST_BYTES / 1e6:,.0f} MB"
    if info.file_size > RATIO_FROM and info.file_size > MOST_RATIO * max(info.compress_size, 1):
        return f"it unpacks to {info.file_size / max(info.compress_size, 1):,.0f} times its size in the zip file, as no picture does"
    return None


class Reader:
    """Opens zip files once, and reads their members into memory. Thread-safe. Close it, or use it in a `with` block."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._archives: dict[Path, zipfile.ZipFile] = {}

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            for archive in self._archives.values():
                archive.close()
            self._archives.clear()

    def read(self, path: Path, number: int, name: str) -> bytes:
        """The bytes of the member in this place, which must have this name still.

        Raises:
            UnreadableImage: it cannot be unpacked, is larger than it says, or the zip file is another one now.
        """
        try:
            with self._lock:  # unpacking a picture takes far less than decoding it
                archive = self._archives.get(path)
                if archive is None:
                    archive = self._archives[path] = zipfile.ZipFile(path)
                info = archive.infolist()[number]
                if info.filename.replace("\\", "/") != name:
                    raise UnreadableImage("the zip file was changed meanwhile", "out of reach")
                with archive.open(info) as stream:
                    data = stream.read(MOST_BYTES + 1)
        except UnreadableImage:
            raise
        except IndexError:
            raise UnreadableImage("the zip file was changed meanwhile", "out of reach") from None
        except _ERRORS as error:
            reason = shown(str(error)).split("\n")[0][:80] or type(error).__name__
            raise UnreadableImage(f"it cannot be unpacked: {reason}", "damaged") from None
        if len(data) > MOST_BYTES:
            raise UnreadableImage(f"it unpacks to more than {MOST_BYTES / 1e6:,.0f} MB", "too large")
        return data
