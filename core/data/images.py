"""Images as one uint8 tensor: from an array, or from image files that are decoded once and kept in a pool (`core.data.pool`)."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import PIL
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.config import ConfigError
from core.data.decoding import Fit, ValueRange
from core.data.digests import file_digests, times_of
from core.data.folders import shown
from core.data.intake import Decoded, UnreadableImage, decode_and_look
from core.data.loader import resize
from core.data.pool import Found, Pixels, Pool, forget_oldest
from core.data.rows import ArrayDetails, Details, Images, KeptDetails, rows
from core.data.sources import Progress, Source

KEEP_BYTES = 512 * 2**20
"""Resized images are kept up to this size; larger sets are resized batch by batch."""

DECODER = 3
"""Part of every pool's name: raise it when `core.data.decoding.decode` gives other pixels for the same file."""

CHUNK = 256
"""Images decoded between two progress reports."""


@dataclass(frozen=True)
class Store:
    """Images uint8 [N, C, H, W] and labels int64 [N], those that could be read; `skipped` names the others with the reason.

    `images` is a tensor, or is indexed like one (`core.data.rows`). `numbers` int64 [N] are the images' places in their source. `key` is another
    one for other pixels; None where only the pixels themselves can tell. For images that were files, float32 [N] `beyond` is the share of each
    one's area beyond its middle square, and `flat` says how many came out in as good as one colour.
    """

    images: Images
    labels: Tensor
    numbers: NDArray[np.int64]
    skipped: tuple[str, ...] = ()
    key: str | None = None
    beyond: NDArray[np.float32] | None = None
    flat: int = 0


@dataclass(frozen=True)
class How:
    """What decides the pixels beside the files themselves. `largest`: how large pictures are kept besides for random crops, in pixels a side."""

    image_size: int
    fit: Fit = "crop"
    value_range: ValueRange | None = None
    largest: int | None = None


def open_images(source: Source, how: How, cache: Path, name: str, progress: Progress, root: Path | None = None) -> Store:
    """The images of `source` ready for batches: in memory, or in files below `cache` that are mapped into memory.

    Files that nobody has decoded yet are decoded; with `how.largest` also what `open_details` will ask for. Array images keep their own size if
    the resized ones would take too much memory.

    Args:
        name: what they are, for progress reports.
        root: the folder that the dataset is: see `core.data.digests.file_digests`.

    Raises:
        ConfigError: where more than half of the files are no images, and where the pool cannot be written.
    """
    if isinstance(source.images, tuple):
        digests = _digests(source, cache, progress, root)
        _decode_missing(source.images, digests, how, cache, name, progress)
        return _store(source, digests, Pool(pool_of(cache, how)).find(_known(digests)), how)
    images = torch.from_numpy(np.ascontiguousarray(source.images))
    if len(images) * images.shape[1] * how.image_size**2 <= KEEP_BYTES:
        images = _resized(images, how.image_size, how.fit, name, progress)
    return Store(images, torch.from_numpy(source.labels), np.arange(len(source)))


def open_kept(source: Source, how: How, cache: Path, root: Path | None = None) -> Store | None:
    """What `open_images` would give for files of which each has been decoded before; None where one has not."""
    if not isinstance(source.images, tuple):
        return None
    digests = _digests(source, cache, lambda text, share: None, root)
    found = Pool(pool_of(cache, how)).find(_known(digests))
    if None in digests or (found.shard < 0).sum() > len(found.reasons):
        return None
    return _store(source, digests, found, how)


def open_details(
    source: Source, how: How, numbers: NDArray[np.int64], wanted: NDArray[np.int64], cache: Path, progress: Progress, root: Path | None
) -> Details | None:
    """The pictures of a store as large as `how.largest` allows, for random crops; None where those of the store are as good.

    Args:
        numbers: those of the store (`Store.numbers`), int64 [N].
        wanted: places in the store of those that will be asked for.
    """
    if how.largest is None:
        return None
    if not isinstance(source.images, tuple):
        height, width = source.images.shape[-2:]
        return ArrayDetails(torch.from_numpy(np.ascontiguousarray(source.images))) if height == width > how.image_size else None
    chosen = numbers[wanted]
    digests = _digests(source, cache, progress, root)
    _decode_missing(
        [source.images[number] for number in chosen], [digests[number] for number in chosen], how, cache, "training images", progress, large=True
    )
    found = Pool(pool_of(cache, how, large=True)).find(_known([digests[number] for number in chosen]))
    if (found.side <= 0).any():
        raise ConfigError("dataset", "pictures were changed while they were read; start again once nothing writes to their folder any more")
    return KeptDetails(found, len(numbers), wanted)


def pool_of(cache: Path, how: How, large: bool = False) -> Path:
    """The folder of the pool with the pictures of one way of decoding them. `large`: those for random crops."""
    text = f"{DECODER} {PIL.__version__} {how.fit} {how.value_range} " + (f"large {how.largest}" if large else f"{how.image_size}")
    return cache / "decoded" / hashlib.sha256(text.encode()).hexdigest()[:32]


def _digests(source: Source, cache: Path, progress: Progress, root: Path | None) -> list[str | None]:
    assert isinstance(source.images, tuple)
    return file_digests(source.images, root or Path(os.path.commonpath([file.parent for file in source.images])), cache, progress)


def _known(digests: Sequence[str | None]) -> list[str]:
    """With a digest that no picture has for a file that cannot be read."""
    return [digest or "0" * 64 for digest in digests]


def _store(source: Source, digests: Sequence[str | None], found: Found, how: How) -> Store:
    assert isinstance(source.images, tuple)
    readable = np.flatnonzero((found.shard >= 0) & (found.side > 0))
    skipped = np.setdiff1d(np.arange(len(source)), readable).tolist()
    reasons = [(source.images[place], found.reasons.get(place) or _out_of_reach(source.images[place], how)) for place in skipped]
    _check_skipped(reasons, len(source))
    told = tuple(f"{shown('/'.join(file.parts[-2:]))} ({reason})" for file, reason in reasons)
    key = hashlib.sha256(f"{DECODER} {PIL.__version__} {how.image_size} {how.fit} {how.value_range}".encode())
    key.update("".join(digests[place] or "" for place in readable.tolist()).encode())
    labels = torch.from_numpy(source.labels[readable])
    images = rows(found, readable, how.image_size)
    return Store(images, labels, readable, told, key.hexdigest()[:32], found.beyond[readable], int(found.flat[readable].sum()))


def _out_of_reach(file: Path, how: How) -> str:
    """Why a file is in no pool that could not be read by the system, or changes while it is read."""
    picture = _decoded(file, how)
    return picture if isinstance(picture, str) else "it was changed while it was read"


def _resized(images: Tensor, image_size: int, fit: Fit, name: str, progress: Progress) -> Tensor:
    if images.shape[-2:] == (image_size, image_size):
        return images
    kept = torch.empty((len(images), images.shape[1], image_size, image_size), dtype=torch.uint8)
    for start in range(0, len(images), 4_096):
        if start > 0:
            progress(f"resizing {name}: {start:,} of {len(images):,}", start / len(images))
        kept[start : start + 4_096] = resize(images[start : start + 4_096], image_size, fit)
    return kept


def _decode_missing(
    files: Sequence[Path], digests: Sequence[str | None], how: How, cache: Path, name: str, progress: Progress, large: bool = False
) -> None:
    """Have in the pools what is not there yet. `large`: what is kept for crops is what counts."""
    pool = Pool(pool_of(cache, how, large))
    places = [place for place, digest in enumerate(digests) if digest is not None]
    known = [str(digests[place]) for place in places]
    if not pool.missing(known):
        return
    beside = None if large or how.largest is None else Pool(pool_of(cache, how, large=True))
    try:
        with pool.adding(progress):
            missing = [places[number] for number in pool.missing(known)]
            _fill(pool, beside, [files[place] for place in missing], [str(digests[place]) for place in missing], how, large, name, progress)
    except OSError as error:
        need = len(files) * 3 * max(how.image_size, how.largest or 0) ** 2 / 1e6
        raise ConfigError(
            "dataset",
            f"the decoded images need {need:,.0f} MB in {cache / 'decoded'}, which could not be written ({error.strerror}); "
            "free some space, choose a smaller image size, or keep everything elsewhere with THAW_HOME",
        ) from None
    forget_oldest(cache / "decoded", keep=[pool, *([beside] if beside else [])])


def _fill(
    pool: Pool, beside: Pool | None, files: Sequence[Path], digests: Sequence[str], how: How, large: bool, name: str, progress: Progress
) -> None:
    """Decode all of `files` into `pool`; into `beside`, where there is one, what `decode_large` makes of them."""
    there = {digests[place] for place in range(len(digests))} - {digests[place] for place in beside.missing(digests)} if beside else set()
    with ExitStack() as stack:
        writer = stack.enter_context(pool.writer())
        second = stack.enter_context(beside.writer()) if beside else writer
        for place, picture in enumerate(_decode_all(files, how)):
            if place % CHUNK == 0:
                progress(f"decoding {name}: {place:,} of {len(files):,}", place / len(files))
            if isinstance(picture, str):
                if not isinstance(picture, _Passing):
                    writer.add(digests[place], picture)
                continue
            told = (round(1 - min(picture.width, picture.height) / max(picture.width, picture.height), 4), picture.flat)
            if picture.large is not None and digests[place] not in there:
                second.add(digests[place], Pixels(picture.large, len(picture.large), *told))
            if not large:
                writer.add(digests[place], Pixels(picture.pixels, how.image_size, *told))


class _Passing(str):
    """A reason why a picture could not be read now that says nothing of the picture."""


def _decode_all(files: Sequence[Path], how: How) -> Iterator[Decoded | str]:
    """The image of each file in turn, or the reason why it cannot be read. Threads do it: Pillow decodes outside of Python's lock."""
    workers = os.cpu_count() or 1
    with ThreadPoolExecutor(workers) as pool, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what Pillow finds odd in a file that it can read
        yield from _ahead(pool, lambda file: _decoded(file, how), files, 4 * workers)


Given = TypeVar("Given")
Made = TypeVar("Made")


def _ahead(pool: ThreadPoolExecutor, make: Callable[[Given], Made], given: Sequence[Given], most: int) -> Iterator[Made]:
    """What `make` makes of each in turn, with at most so many made ahead: all decoded images would not fit into memory."""
    waiting: deque[Future[Made]] = deque()
    for one in given:
        waiting.append(pool.submit(make, one))
        if len(waiting) >= most:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _decoded(file: Path, how: How) -> Decoded | str:
    """An image, or the reason why it cannot be read."""
    before = times_of(file)
    try:
        picture = decode_and_look(file, how.image_size, how.fit, how.value_range, how.largest)
    except UnreadableImage as error:
        return _Passing(error) if error.kind == "out of reach" or times_of(file) != before else str(error)
    # Kept under the digest of what it was before: it must be the same still.
    return picture if times_of(file) == before else _Passing("it was changed while it was read")


def _check_skipped(skipped: Sequence[tuple[Path, str]], total: int) -> None:
    if 2 * len(skipped) > total:
        file, reason = skipped[0]
        raise ConfigError(
            "dataset",
            f"{len(skipped):,} of {total:,} files are not images that can be read, the first is {shown(str(file))} ({reason}); "
            "replace or remove them",
        )
