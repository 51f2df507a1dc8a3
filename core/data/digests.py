"""SHA-256 of what pictures hold: of files, each read once and remembered for as long as it is not changed, and of arrays. No torch."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.data.sources import Progress
from core.machine.files import written_whole

CHUNK = 256
"""Files between two progress reports."""

KEY_BYTES, DIGEST_BYTES = 16, 32
_RECORD = np.dtype([("key", f"V{KEY_BYTES}"), ("digest", f"V{DIGEST_BYTES}")])

MOST_REMEMBERED = 1_000_000
"""Digests remembered of one folder, 48 bytes each; where there are more, only those that were just asked for stay."""


def pixel_digests(images: NDArray[np.uint8]) -> list[str]:
    """Of each picture uint8 [N, C, H, W]: SHA-256 of its values in that order, in hexadecimal digits."""
    return [hashlib.sha256(image.tobytes()).hexdigest() for image in images]


def file_digests(files: Sequence[Path], root: Path, cache: Path, progress: Progress) -> list[str | None]:
    """Of each file: SHA-256 of its bytes, in hexadecimal digits; None for one that is not there, is no ordinary file or cannot be read.

    What was read before is not read again while path, size and times of the file stay the same.

    Args:
        root: the folder that they belong to: there is one memory a folder.
        cache: where decoded images lie too.
    """
    memory = cache / "decoded" / f"{hashlib.sha256(os.fsencode(root)).hexdigest()[:32]}.sha256"
    known = _remembered(memory)
    keys = [_key(file) for file in files]
    wanted = [place for place, key in enumerate(keys) if key is not None and key not in known]
    new: dict[bytes, bytes] = {}
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # hashlib and the system work outside of Python's lock
        for start in range(0, len(wanted), CHUNK):
            progress(f"reading the pictures' files: {start:,} of {len(wanted):,}", start / len(wanted))
            places = wanted[start : start + CHUNK]
            for place, digest in zip(places, pool.map(_digest, (files[place] for place in places)), strict=True):
                key = keys[place]
                if digest is not None and key is not None:
                    new[key] = digest
    if new:
        asked = {key: known[key] for key in keys if key is not None and key in known}
        _remember(memory, {**(known if len(known) + len(new) <= MOST_REMEMBERED else asked), **new})
    known |= new
    return [known[key].hex() if key is not None and key in known else None for key in keys]


def times_of(file: Path) -> tuple[int, int, int] | None:
    """Size and times of a file, other ones where it was changed; None where it is not there."""
    try:
        status = file.stat()
    except (OSError, ValueError):
        return None
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _key(file: Path) -> bytes | None:
    """Another one for a file that was changed; None for what is no ordinary file: a pipe would never end."""
    try:
        status = file.stat()
    except (OSError, ValueError):
        return None
    if not stat.S_ISREG(status.st_mode):
        return None
    # The time of the last change of any kind too: programs can set the other one back.
    times = f"\0{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}".encode()
    return hashlib.blake2b(os.fsencode(file) + times, digest_size=KEY_BYTES).digest()


def _digest(file: Path) -> bytes | None:
    try:
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").digest()
    except OSError:
        return None


def _remembered(memory: Path) -> dict[bytes, bytes]:
    try:
        records = np.frombuffer(memory.read_bytes(), dtype=_RECORD)
    except (OSError, ValueError):
        return {}  # there is none, or it is damaged: it can be made again
    return dict(zip(map(bytes, records["key"]), map(bytes, records["digest"]), strict=True))


def _remember(memory: Path, digests: dict[bytes, bytes]) -> None:
    with suppress(OSError), written_whole(memory) as file:
        file.write(b"".join(key + digest for key, digest in digests.items()))
