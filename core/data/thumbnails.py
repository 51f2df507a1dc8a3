"""Small pictures for screens: made when they are first looked at, kept in the cache by what the large one holds, bounded in size. No torch."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from PIL import Image

from core.data.decoding import DECODING_ERRORS, upright
from core.machine.files import written_whole
from core.machine.home import Home

SIDE = 192
"""Pixels of the longer side: on screen it has 96 at most, on a fine screen twice as many dots."""

LARGE = 1_200
"""Pixels of the longer side of a picture that is looked at closely."""

MOST_PIXELS = 120_000_000
"""A larger picture is shown by nothing: it would take a second and half a gigabyte to make one small."""

ROOM = 600_000_000
"""Bytes on disk that thumbnails take at most: some 100,000 of them. Those that were made first go first."""

EACH = 2_000
"""Thumbnails that are made between two looks at how much room they take."""

_lock = threading.Lock()
_made = 0


class NoThumbnail(ValueError):
    """A picture that cannot be shown; the text says why."""


def folder(home: Home) -> Path:
    """Where they are kept: all of it can be made again."""
    return home.cache / "thumbnails"


def thumbnail(home: Home, key: str, picture: Path) -> bytes:
    """A JPEG of a picture, upright, its longer side `SIDE` pixels at most.

    Args:
        key: what the picture is known by: its SHA-256 in hexadecimal, or another text of letters and digits that means these bytes alone.

    Raises:
        NoThumbnail: it cannot be decoded, or is too large. FileNotFoundError: it is gone.
    """
    kept = folder(home) / key[:2] / f"{key}.jpg"
    with suppress(OSError):
        return kept.read_bytes()
    data = made(picture)
    with suppress(OSError):  # a full disk: it is made again the next time
        with written_whole(kept, settled=False) as file:
            file.write(data)
        _count(home)
    return data


def made(picture: Path, side: int = SIDE) -> bytes:
    """A picture made anew as a JPEG with `side` pixels on its longer side at most. Raises as `thumbnail`."""

    def shrink(image: Image.Image) -> Image.Image:
        return image.reduce(max(1, min(image.size) // (2 * side))) if image.mode in ("RGB", "L") else image

    try:
        image = upright(picture, side, check=_check, shrink=shrink)
        image.thumbnail((side, side), Image.Resampling.BILINEAR)
        file = io.BytesIO()
        image.save(file, "JPEG", quality=85)
    except FileNotFoundError:
        raise
    except (*DECODING_ERRORS, Image.DecompressionBombError) as error:
        raise NoThumbnail(str(error) or type(error).__name__) from error
    return file.getvalue()


def trim(home: Home, room: int = ROOM) -> int:
    """Remove the oldest until all take `room` bytes at most; bytes that were freed."""
    found = sorted(_files(home), key=lambda file: file[0])
    over = sum(size for _, size, _ in found) - room
    freed = 0
    for _, size, path in found:
        if freed >= over:
            break
        with suppress(OSError):
            Path(path).unlink()
            freed += size
    return freed


def _count(home: Home) -> None:
    global _made
    with _lock:
        _made += 1
        due = _made % EACH == 0
    if due:
        trim(home)


def _files(home: Home) -> Iterator[tuple[float, int, str]]:
    with suppress(FileNotFoundError):
        for below in os.scandir(folder(home)):
            for file in os.scandir(below.path):
                with suppress(OSError):
                    about = file.stat()
                    yield about.st_mtime, about.st_size, file.path


def _check(image: Image.Image) -> None:
    if image.width * image.height > MOST_PIXELS:
        raise NoThumbnail(f"{image.width:,} x {image.height:,} pixels are too many to show")
