"""What a model's frozen part makes of the pictures of a version: the numbers that go into its head, kept by content for maps and doubts."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from core.config import ConfigError, RunConfig
from core.curating.kept import Kept, folder_of
from core.curating.looking import Progress, look_at_all
from core.data.decoding import Fit
from core.data.intake import UnreadableImage, decode
from core.machine.home import Home
from core.networks.model_entries import MODELS, ModelEntry
from core.networks.models import find_model
from core.versions import Item, Version, path_of

if TYPE_CHECKING:
    from torch import Tensor

AUTO, PIXELS = "auto", "pixels"
"""Names beside those of models: the best that is on this machine, and the picture itself, 16 x 16 pixels of it."""

FIRST = ("resnet18", "mobilenet_v3_small", "mobilenet_v3_large", "efficientnet_b0", "resnet50", "convnext_tiny")
"""Models whose features `AUTO` takes first, where their weights are on this machine: small ones."""

SIDE = 128
"""Pixels a side, where a model takes so few: a third of the work of 224, and enough to tell pictures apart."""

BATCH = 32


@dataclass(frozen=True)
class Source:
    """Where features come from. `model` is the name of a model, or `PIXELS`; `about` says it in a sentence."""

    model: str
    image_size: int
    about: str


@dataclass(frozen=True, eq=False)
class Features:
    """float32 [N, F], a row for each picture of a version; `problems`: place to reason of those that could not be read. Their rows mean nothing."""

    source: Source
    values: NDArray[np.float32]
    problems: dict[int, str]

    @property
    def seen(self) -> NDArray[np.int64]:
        """The places of those that could be read, int64 [M], ascending."""
        return np.setdiff1d(np.arange(len(self.values)), list(self.problems))


def source_of(version: Version, asked: str) -> Source:
    """What `asked` means for a version: the name of a model, `AUTO` or `PIXELS`. Nothing is downloaded.

    Raises:
        ConfigError: on `model`, there is no such one, or its trained weights are not on this machine.
    """
    if asked == PIXELS:
        return Source(PIXELS, 16, "The pictures themselves, 16 x 16 pixels of each: what has like colours in like places is near.")
    if asked != AUTO:
        entry = find_model(asked)
        if not _is_here(entry):
            remedy = f"train once with {entry.name} and published weights, or choose {AUTO} or {PIXELS}"
            raise ConfigError("model", f"trained weights of {entry.label} are not on this machine; {remedy}")
        return _of(entry)
    names = [*FIRST, *(name for name, entry in MODELS.items() if entry.published is not None and name not in FIRST)]
    found = next((MODELS[name] for name in names if _is_here(MODELS[name])), None)
    if found is not None:
        return _of(found)
    shipped = next(entry for entry in MODELS.values() if entry.shipped is not None)
    small = bool(version.items) and max(max(item.width, item.height) for item in version.items) <= shipped.usual
    return _of(shipped) if small else source_of(version, PIXELS)


def _is_here(entry: ModelEntry) -> bool:
    from core.explaining.normalising import is_here  # torchvision knows where weights lie

    return is_here(entry)


def _of(entry: ModelEntry) -> Source:
    fits = entry.smallest <= SIDE and SIDE % entry.multiple == 0 and not entry.family.fixed
    size = SIDE if fits and entry.usual > SIDE else entry.usual
    origin = entry.published.origin if entry.published else entry.shipped.origin if entry.shipped else "random"
    return Source(entry.name, size, f"What goes into the head of {entry.label} at {size} x {size} pixels, with weights {origin}.")


def features_of(home: Home, version: Version, source: Source, progress: Progress) -> Features:
    """The features of all pictures. Only those are worked out that no earlier version had.

    Args:
        progress: told how far it is; what it raises ends the work, and what was worked out until then is kept.

    Raises:
        ConfigError: on `starting_weights`, the weights cannot be used.
    """
    if source.model == PIXELS:
        looks = look_at_all(home, version, progress)
        return Features(source, looks.thumbs.reshape(len(looks.thumbs), -1).astype(np.float32) / np.float32(255), looks.problems)
    fit = cast(Fit, version.fit or "crop")
    kept = Kept(folder_of(home, version.dataset) / f"features-{source.model}-{source.image_size}-{fit}.npz", ("values",))
    digests = [item.sha256 for item in version.items]
    wanted = set(kept.missing(digests))
    items = list({item.sha256: item for item in version.items if item.sha256 in wanted}.values())
    problems: dict[str, str] = {}
    try:
        _work_out(home, version.dataset, items, source, fit, kept, problems, progress)
    finally:
        kept.save()
    places = kept.places(digests)
    missing = {place: problems[digests[place]] for place in np.flatnonzero(places < 0).tolist()}
    values = kept.column("values")[places].astype(np.float32) if len(missing) < len(digests) else np.zeros((len(digests), 1), np.float32)
    return Features(source, values, missing)


def _work_out(
    home: Home, dataset: str, items: Sequence[Item], source: Source, fit: Fit, kept: Kept, problems: dict[str, str], progress: Progress
) -> None:
    if not items:
        return
    progress("loading the model", None)
    import torch

    from core.data.loader import Normalise
    from core.explaining.normalising import features_and_logits, starting_model

    entry = find_model(source.model)
    config = RunConfig(model=entry.name, image_size=source.image_size, starting_weights="pretrained")
    model, *_ = starting_model(config, entry, ("one", "other"))
    normalise = Normalise(*entry.normalise)
    files = [path_of(home, dataset, item) for item in items]
    done = 0
    for decoded in _decoded(files, source.image_size, fit):
        progress(f"working out features: {done:,} of {len(items):,}", done / len(items))
        part = items[done : done + len(decoded)]
        done += len(decoded)
        problems.update({item.sha256: found for item, found in zip(part, decoded, strict=True) if isinstance(found, str)})
        pixels = [found for found in decoded if not isinstance(found, str)]
        if pixels:
            images: Tensor = torch.from_numpy(np.stack(pixels))
            values = features_and_logits(model, entry, normalise(images))[0].numpy()
            half = np.clip(values, -65_000, 65_000).astype(np.float16)  # half the room, and far finer than pictures differ
            kept.add([item.sha256 for item, found in zip(part, decoded, strict=True) if not isinstance(found, str)], {"values": half})


def _decoded(files: Sequence[Path], image_size: int, fit: Fit) -> Iterator[list[Any]]:
    """Pictures as a model sees them, uint8 [3, S, S] each, or the reasons why not, a batch at a time: the next is decoded while one is worked on."""

    def decode_or_reason(file: Path) -> NDArray[np.uint8] | str:
        try:
            return decode(file, image_size, fit)
        except UnreadableImage as error:
            return str(error)

    with ThreadPoolExecutor(os.cpu_count()) as pool, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what Pillow finds odd in a file that it can read
        ahead: list[Future[NDArray[np.uint8] | str]] = []
        for start in range(0, len(files), BATCH):
            batch, ahead = ahead, [pool.submit(decode_or_reason, file) for file in files[start : start + BATCH]]
            if batch:
                yield [each.result() for each in batch]
        yield [each.result() for each in ahead]
