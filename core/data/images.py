"""Images as one uint8 tensor: from an array, or from image files that are decoded once and kept in a cache."""

from __future__ import annotations

import hashlib
import json
import os
import time
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.config import ConfigError
from core.data.intake import UnreadableImage, decode, shown
from core.data.loader import resize
from core.data.sources import Progress, Source
from core.machine.files import written_whole

KEEP_BYTES = 512 * 2**20
"""Resized images are kept up to this size; larger sets are resized batch by batch."""

CACHE_BYTES = 8 * 2**30
"""Decoded images of earlier runs are kept up to this size in all, the last used ones."""

DECODER = 1
"""Part of every cache key: raise it when `decode` gives other pixels for the same file."""

CHUNK = 256
"""Images decoded between two writes and two progress reports."""


@dataclass(frozen=True)
class Store:
    """Images uint8 [N, C, H, W] and labels int64 [N], those that could be read; `skipped` names the others with the reason.

    `numbers` int64 [N] are the images' places in their source. `key` is another one for other pixels; None where only the pixels themselves can tell.
    """

    images: Tensor
    labels: Tensor
    numbers: NDArray[np.int64]
    skipped: tuple[str, ...] = ()
    key: str | None = None


def open_images(source: Source, image_size: int, cache: Path, name: str, progress: Progress) -> Store:
    """The images of `source` ready for batches: in memory, or in a file below `cache` that is mapped into memory.

    `name` says what they are in progress reports. Array images keep their own size if the resized ones would take too much memory.

    Raises:
        ConfigError: where more than half of the files are no images, and where the cache cannot be written.
    """
    labels = torch.from_numpy(source.labels)
    if isinstance(source.images, tuple):
        key = _key(source.images, image_size)
        images, skipped = _decoded(source.images, image_size, cache, key, name, progress)
        readable = np.setdiff1d(np.arange(len(labels)), [place for place, _ in skipped])
        reasons = tuple(f"{shown(source.images[place].name)} ({reason})" for place, reason in skipped)
        return Store(images, labels[torch.from_numpy(readable)], readable, reasons, key)
    images = torch.from_numpy(np.ascontiguousarray(source.images))
    if len(images) * images.shape[1] * image_size**2 <= KEEP_BYTES:
        images = _resized(images, image_size, name, progress)
    return Store(images, labels, np.arange(len(labels)))


def open_kept(source: Source, image_size: int, cache: Path) -> Store | None:
    """What `open_images` gave for files that it has decoded before and that are the same still; None where it has not."""
    if not isinstance(source.images, tuple):
        return None
    pixels = cache / "decoded" / f"{_key(source.images, image_size)}.uint8"
    if not (pixels.is_file() and pixels.with_suffix(".json").is_file()):
        return None
    try:
        return open_images(source, image_size, cache, "", lambda text, share: None)
    except (OSError, ValueError):
        return None  # it was forgotten just now


def _resized(images: Tensor, image_size: int, name: str, progress: Progress) -> Tensor:
    if images.shape[-2:] == (image_size, image_size):
        return images
    kept = torch.empty((len(images), images.shape[1], image_size, image_size), dtype=torch.uint8)
    for start in range(0, len(images), 4_096):
        if start > 0:
            progress(f"resizing {name}: {start:,} of {len(images):,}", start / len(images))
        kept[start : start + 4_096] = resize(images[start : start + 4_096], image_size)
    return kept


def _decoded(files: Sequence[Path], image_size: int, cache: Path, key: str, name: str, progress: Progress) -> tuple[Tensor, list[tuple[int, str]]]:
    """Images uint8 [N, 3, S, S] of the files that can be read, and (place, reason) of those that cannot."""
    folder = cache / "decoded"
    pixels = folder / f"{key}.uint8"
    notes = pixels.with_suffix(".json")
    if not (pixels.is_file() and notes.is_file()):
        try:
            _decode_into(pixels, notes, files, image_size, name, progress)
        except OSError as error:
            need = len(files) * 3 * image_size**2 / 1e6
            raise ConfigError(
                "dataset",
                f"the decoded images need {need:,.0f} MB in {folder}, which could not be written ({error.strerror}); "
                "free some space, choose a smaller image size, or keep everything elsewhere with THAW_HOME",
            ) from None
        _forget_oldest(folder, keep=pixels)
    os.utime(pixels)  # used just now: the last to be forgotten
    skipped = [(int(place), str(reason)) for place, reason in json.loads(notes.read_text())]
    _check_skipped(skipped, files)
    # Mapped, not read: the system keeps what it has memory for. Copy-on-write, because torch wants memory it may write to.
    mapped = np.memmap(pixels, dtype=np.uint8, mode="c", shape=(len(files) - len(skipped), 3, image_size, image_size))
    return torch.from_numpy(mapped), skipped


def _key(files: Sequence[Path], image_size: int) -> str:
    """Depends on all that decides the pixels: the files by path, size and time of change, the image size, the decoder."""
    key = hashlib.sha256(f"{DECODER} {PIL.__version__} {image_size}".encode())
    for file in files:
        try:
            status = file.stat()
        except OSError:
            continue  # its decoding will say what is wrong
        key.update(os.fsencode(file) + f"\0{status.st_size} {status.st_mtime_ns}\0".encode())
    return key.hexdigest()[:32]


def _decode_into(pixels: Path, notes: Path, files: Sequence[Path], image_size: int, name: str, progress: Progress) -> None:
    """Decode everything into a file that gets its name when it is whole."""
    skipped: list[tuple[int, str]] = []
    # Written, not mapped: on a full disk a write fails with an error, a mapped page kills the process.
    with written_whole(pixels) as file:
        for place, image in enumerate(_decode_all(files, image_size)):
            if place % CHUNK == 0:
                progress(f"decoding {name}: {place:,} of {len(files):,}", place / len(files))
            if isinstance(image, str):
                skipped.append((place, image))
            else:
                file.write(image.tobytes())
        _check_skipped(skipped, files)
        notes.write_text(json.dumps(skipped))


def _decode_all(files: Sequence[Path], image_size: int) -> Iterator[NDArray[np.uint8] | str]:
    """Each image in turn, or the reason why it cannot be read. Pillow decodes outside of Python's lock, so threads do it at the same time."""

    def decode_or_reason(file: Path) -> NDArray[np.uint8] | str:
        try:
            return decode(file, image_size)
        except UnreadableImage as error:
            return str(error)

    with ThreadPoolExecutor(os.cpu_count()) as pool, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what Pillow finds odd in a file that it can read
        for start in range(0, len(files), CHUNK):  # a chunk at a time, or all decoded images would pile up in memory
            yield from pool.map(decode_or_reason, files[start : start + CHUNK])


def _check_skipped(skipped: Sequence[tuple[int, str]], files: Sequence[Path]) -> None:
    if 2 * len(skipped) > len(files):
        place, reason = skipped[0]
        raise ConfigError(
            "dataset",
            f"{len(skipped):,} of {len(files):,} files are not images that can be read, the first is {shown(str(files[place]))} ({reason}); "
            "replace or remove them",
        )


def _forget_oldest(folder: Path, keep: Path) -> None:
    """Remove the caches that were not used for longest until the others take less than `CACHE_BYTES`."""
    for file in folder.glob("*.partial-*"):
        if time.time() - file.stat().st_mtime > 86_400:  # of a run that was killed
            file.unlink(missing_ok=True)
    room = CACHE_BYTES
    for file in sorted(folder.glob("*.uint8"), key=lambda file: (file != keep, -file.stat().st_mtime)):
        room -= file.stat().st_size
        if room < 0 and file != keep:
            # A run that has it mapped keeps its pages. Windows refuses instead, then it stays.
            try:
                file.unlink()
                file.with_suffix(".json").unlink(missing_ok=True)
                file.with_suffix(".digests.npy").unlink(missing_ok=True)
            except PermissionError:
                continue
