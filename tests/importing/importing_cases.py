"""Pictures, archives and folders for tests of imports: drawn, small, and of every kind of trouble."""

from __future__ import annotations

import io
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from core.importing.job import take_in
from core.importing.plan import Corrections
from core.importing.report import Report
from core.machine.home import Home
from core.versions import Version

Files = Mapping[str, bytes]


def picture(seed: int, kind: str = "PNG", size: tuple[int, int] = (40, 32), mode: str = "RGB", **options: Any) -> bytes:
    """A picture of noise, another one for each seed."""
    noise = np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(noise).convert(mode).save(stream, kind, **options)
    return stream.getvalue()


def classes(*names: str, each: int = 2, below: str = "", first: int = 0) -> dict[str, bytes]:
    """So many pictures in a folder of each name."""
    return {
        f"{below}{name}/{number}.png": picture(zlib.crc32(f"{below}{name}".encode()) % 1000 + 7919 * (first + number))
        for name in names
        for number in range(each)
    }


def folder(place: Path, files: Files) -> Path:
    """The files on the disk."""
    for name, content in files.items():
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return place


def zipped(place: Path, files: Files) -> Path:
    """The files in a zip file."""
    path = place.with_suffix(".zip")
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return path


def tarred(place: Path, files: Files, packing: str = "gz") -> Path:
    """The files in a tar file."""
    path = place.with_name(f"{place.name}.tar.{packing}")
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, f"w:{packing}") as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


PACKERS: Mapping[str, Callable[[Path, Files], Path]] = {"folder": folder, "zip": zipped, "tar": tarred}


def imported(home: Home, source: Path, name: str = "mine", add: bool = False, **corrections: Any) -> tuple[Version, Report]:
    """The source taken in."""
    return take_in(home, source, name, Corrections(**corrections), add=add)


def reasons(report: Report) -> dict[str, str]:
    """Why each file was skipped."""
    return {one.file: one.reason for one in report.skipped}
