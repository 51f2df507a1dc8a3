"""Images as one uint8 tensor: from an array, or from image files that are decoded once and kept in a cache."""

from __future__ import annotations

import hashlib
import json
import os
import time
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import PIL
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.config import ConfigError
from core.data.decoding import Fit, ValueRange
from core.data.folders import shown
from core.data.intake import Decoded, UnreadableImage, decode_and_look
from core.data.loader import resize
from core.data.sources import Progress, Source
from core.machine.files import written_whole

KEEP_BYTES = 512 * 2**20
"""Resized images are kept up to this size; larger sets are resized batch by batch."""

CACHE_BYTES = 8 * 2**30
"""Decoded images of earlier runs are kept up to this size in all, the last used ones."""

DECODER = 2
"""Part of every cache key: raise it when `core.data.decoding.decode` gives other pixels for the same file."""

CHUNK = 256
"""Images decoded between two writes and two progress reports."""


@dataclass(frozen=True)
class Store:
    """Images uint8 [N, C, H, W] and labels int64 [N], those that could be read; `skipped` names the others with the reason.

    `numbers` int64 [N] are the images' places in their source. `key` is another one for other pixels; None where only the pixels themselves can tell.
    For images that were files, float32 [N] `beyond` is the share of each one's area beyond its middle square, and `flat` says how many came out in
    as good as one colour.
    """

    images: Tensor
    labels: Tensor
    numbers: NDArray[np.int64]
    skipped: tuple[str, ...] = ()
    key: str | None = None
    beyond: NDArray[np.float32] | None = None
    flat: int = 0


def open_images(
    source: Source, image_size: int, cache: Path, name: str, progress: Progress, fit: Fit = "crop", value_range: ValueRange | None = None
) -> Store:
    """The images of `source` ready for batches: in memory, or in a file below `cache` that is mapped into memory.

    `name` says what they are in progress reports, `fit` and `value_range` are as in `core.data.decoding.decode`.
    Array images keep their own size if the resized ones would take too much memory.

    Raises:
        ConfigError: where more than half of the files are no images, and where the cache cannot be written.
    """
    labels = torch.from_numpy(source.labels)
    if isinstance(source.images, tuple):
        how = _How(image_size, fit, value_range)
        key = _key(source.images, how)
        images, notes = _decoded(source.images, how, cache, key, name, progress)
        readable = np.setdiff1d(np.arange(len(labels)), [place for place, _ in notes.skipped])
        reasons = tuple(f"{shown('/'.join(source.images[place].parts[-2:]))} ({reason})" for place, reason in notes.skipped)
        return Store(images, labels[torch.from_numpy(readable)], readable, reasons, key, np.asarray(notes.beyond, dtype=np.float32), notes.flat)
    images = torch.from_numpy(np.ascontiguousarray(source.images))
    if len(images) * images.shape[1] * image_size**2 <= KEEP_BYTES:
        images = _resized(images, image_size, fit, name, progress)
    return Store(images, labels, np.arange(len(labels)))


def open_kept(source: Source, image_size: int, cache: Path, fit: Fit = "crop", value_range: ValueRange | None = None) -> Store | None:
    """What `open_images` gave for files that it has decoded before and that are the same still; None where it has not."""
    if not isinstance(source.images, tuple):
        return None
    pixels = cache / "decoded" / f"{_key(source.images, _How(image_size, fit, value_range))}.uint8"
    if not (pixels.is_file() and pixels.with_suffix(".json").is_file()):
        return None
    try:
        return open_images(source, image_size, cache, "", lambda text, share: None, fit, value_range)
    except (OSError, ValueError):
        return None  # it was forgotten just now


def _resized(images: Tensor, image_size: int, fit: Fit, name: str, progress: Progress) -> Tensor:
    if images.shape[-2:] == (image_size, image_size):
        return images
    kept = torch.empty((len(images), images.shape[1], image_size, image_size), dtype=torch.uint8)
    for start in range(0, len(images), 4_096):
        if start > 0:
            progress(f"resizing {name}: {start:,} of {len(images):,}", start / len(images))
        kept[start : start + 4_096] = resize(images[start : start + 4_096], image_size, fit)
    return kept


@dataclass(frozen=True)
class _How:
    """What decides the pixels beside the files themselves."""

    image_size: int
    fit: Fit
    value_range: ValueRange | None


@dataclass
class _Notes:
    """What is kept beside decoded images: (place, reason) of files that cannot be read, and of the others what `Store` says."""

    skipped: list[tuple[int, str]] = field(default_factory=list)
    beyond: list[float] = field(default_factory=list)
    flat: int = 0


def _decoded(files: Sequence[Path], how: _How, cache: Path, key: str, name: str, progress: Progress) -> tuple[Tensor, _Notes]:
    """Images uint8 [N, 3, S, S] of the files that can be read, and the notes on all."""
    folder = cache / "decoded"
    pixels = folder / f"{key}.uint8"
    beside = pixels.with_suffix(".json")
    if not (pixels.is_file() and beside.is_file()):
        try:
            _decode_into(pixels, beside, files, how, name, progress)
        except OSError as error:
            need = len(files) * 3 * how.image_size**2 / 1e6
            raise ConfigError(
                "dataset",
                f"the decoded images need {need:,.0f} MB in {folder}, which could not be written ({error.strerror}); "
                "free some space, choose a smaller image size, or keep everything elsewhere with THAW_HOME",
            ) from None
        _forget_oldest(folder, keep=pixels)
    os.utime(pixels)  # used just now: the last to be forgotten
    notes = _Notes(**json.loads(beside.read_text()))
    _check_skipped(notes.skipped, files)
    # Mapped, not read: the system keeps what it has memory for. Copy-on-write, because torch wants memory it may write to.
    mapped = np.memmap(pixels, dtype=np.uint8, mode="c", shape=(len(notes.beyond), 3, how.image_size, how.image_size))
    return torch.from_numpy(mapped), notes


def _key(files: Sequence[Path], how: _How) -> str:
    """Depends on all that decides the pixels: the files by path, size and times of change, how they are to be, the decoder."""
    key = hashlib.sha256(f"{DECODER} {PIL.__version__} {how}".encode())
    for file in files:
        try:
            status = file.stat()
        except OSError:
            continue  # its decoding will say what is wrong
        key.update(os.fsencode(file) + f"\0{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}\0".encode())
    return key.hexdigest()[:32]


def _decode_into(pixels: Path, beside: Path, files: Sequence[Path], how: _How, name: str, progress: Progress) -> None:
    """Decode everything into a file that gets its name when it is whole."""
    notes = _Notes()
    # Written, not mapped: on a full disk a write fails with an error, a mapped page kills the process.
    with written_whole(pixels) as file:
        for place, image in enumerate(_decode_all(files, how)):
            if place % CHUNK == 0:
                progress(f"decoding {name}: {place:,} of {len(files):,}", place / len(files))
            if isinstance(image, str):
                notes.skipped.append((place, image))
            else:
                file.write(image.pixels.tobytes())
                notes.beyond.append(round(1 - min(image.width, image.height) / max(image.width, image.height), 4))
                notes.flat += image.flat
        _check_skipped(notes.skipped, files)
        beside.write_text(json.dumps(asdict(notes)))


def _decode_all(files: Sequence[Path], how: _How) -> Iterator[Decoded | str]:
    """Each image in turn, or the reason why it cannot be read. Pillow decodes outside of Python's lock, so threads do it at the same time."""

    def decode_or_reason(file: Path) -> Decoded | str:
        try:
            return decode_and_look(file, how.image_size, how.fit, how.value_range)
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
