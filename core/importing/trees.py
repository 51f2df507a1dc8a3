"""What pictures come in: a folder, or an archive (`archives`), looked into in the same way."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from core.data import endings
from core.data.folders import Folders, shown
from core.data.intake import UnreadableImage

HEIC = frozenset((".heic", ".heics", ".heif", ".heifs", ".hif"))
"""What is converted while it is taken in."""

MOST_BYTES = 300_000_000
"""Bytes of one picture."""

Kind = Literal["folder", "zip", "tar", "parquet"]
Read = Callable[[], bytes]


@dataclass(frozen=True)
class Refused:
    """A file that is not taken, under the name that it has in its source: why, in a few words, and what to do."""

    file: str
    reason: str
    remedy: str = ""


class Tree(Folders):
    """A source with folders and files in it; paths begin with `root`. Close it, or use it in a `with` block."""

    kind: Kind
    refused: Sequence[Refused] = ()

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.root = path

    def __enter__(self) -> Tree:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Nothing is read any more."""

    def is_picture(self, name: str) -> bool:
        """See `Folders`; HEIC too."""
        return endings.is_picture(name) or endings.ending(name) in HEIC

    def size(self, path: Path) -> int:
        """Bytes of a file; 0 for one that went away."""
        raise NotImplementedError

    def read(self, path: Path) -> bytes:
        """The bytes of a file. Raises UnreadableImage."""
        raise NotImplementedError

    def contents(self, paths: Sequence[Path]) -> Iterator[tuple[Path, Read]]:
        """Some files in the order that is quickest, each with what reads it, from any thread; that raises UnreadableImage."""
        for path in paths:
            yield path, lambda path=path: self.read(path)  # type: ignore[misc]

    def name(self, path: Path) -> str:
        """What a file is called below the root, as text that can be printed."""
        return shown(str(path)[len(str(self.root)) :].lstrip(os.sep).replace(os.sep, "/"))


class FolderTree(Tree):
    """A folder of the disk."""

    kind = "folder"

    def size(self, path: Path) -> int:
        """See `Tree`."""
        try:
            return path.stat().st_size
        except OSError:
            return 0

    def read(self, path: Path) -> bytes:
        """See `Tree`. A file that is written to while it is read is refused."""
        try:
            with path.open("rb", buffering=0) as stream:  # a buffer would be made for all that may be asked for
                before = os.fstat(stream.fileno())
                if not stat.S_ISREG(before.st_mode):
                    raise UnreadableImage("no regular file any more", "out of reach")
                most = min(before.st_size, MOST_BYTES) + 1
                data = stream.read(most)
                while len(data) < before.st_size and (more := stream.read(most - len(data))):
                    data += more
                after = os.fstat(stream.fileno())
        except FileNotFoundError:
            raise UnreadableImage("it went away while the folder was read", "out of reach") from None
        except OSError as error:
            raise UnreadableImage(error.strerror or type(error).__name__, "out of reach") from None
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns) or (len(data) != after.st_size and len(data) <= MOST_BYTES):
            raise UnreadableImage("it was changed while it was read", "out of reach")
        return checked(data)


def checked(data: bytes) -> bytes:
    """The bytes of a picture, if they are not far too many. Raises UnreadableImage."""
    if len(data) > MOST_BYTES:
        raise UnreadableImage(f"more than {MOST_BYTES / 1e6:,.0f} MB", "too large")
    return data
