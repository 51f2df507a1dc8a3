"""Many pictures through a run's weights, in batches: while the model works on one, the next are decoded. Memory holds two batches, however many come.

Each picture is decoded as the run's own were (`core.evaluation.pictures.pixels_of`): its size, its fit, its range of values.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from core.config import ConfigError
from core.config.errors import Cancelled
from core.data.decoding import DECODING_ERRORS
from core.data.intake import UnreadableImage
from core.data.loader import resize
from core.data.sources import Progress
from core.evaluation import asked, metrics
from core.evaluation.answers import Answers
from core.evaluation.confidence import meaning_of
from core.evaluation.evaluate import Loaded, as_files
from core.evaluation.gathering import Picture, Refused, gather, is_many
from core.evaluation.packed import Reader
from core.evaluation.pictures import pixels_of, thumbnail
from core.machine.hardware import cores
from core.machine.home import Home

BATCH = 64
"""Pictures in a batch, at most; fewer where the run had smaller batches, so that memory that was enough for it is enough here."""

_Decoded = tuple[Picture, "Future[Tensor | str]"]


class Many:
    """One pass over many pictures. `refused` grows with those that turn out to be unusable."""

    def __init__(self, loaded: Loaded, pictures: Sequence[Picture]) -> None:
        self._loaded = loaded
        self._pictures = pictures
        self._as_files = as_files(loaded.config)
        self.refused: list[Refused] = []

    @property
    def notes(self) -> tuple[str, ...]:
        """What has to be known to read the probabilities."""
        meaning = meaning_of(self._loaded.config, len(self._loaded.classes))
        return () if meaning.judged else (meaning.text,)

    def batches(
        self, progress: Progress = lambda text, share: None, cancelled: Callable[[], bool] = lambda: False
    ) -> Iterator[tuple[Answers, Tensor]]:
        """What the model makes of the pictures that can be used, in their order, and what it saw of them, uint8 [N, 3, S, S].

        Raises:
            Cancelled: `cancelled` was, between two batches.
        """
        size = min(BATCH, self._loaded.config.batch_size)
        count = len(self._pictures)
        with Reader() as reader, ThreadPoolExecutor(cores()) as pool, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what Pillow finds odd in a file that it can read
            ahead = self._begin(pool, reader, 0, size)
            for start in range(0, count, size):
                if cancelled():
                    for _, future in ahead:
                        future.cancel()
                    raise Cancelled
                progress(f"predicting: {start:,} of {count:,} pictures", start / count)
                now, ahead = ahead, self._begin(pool, reader, start + size, size)
                yield from self._through(now)

    def _begin(self, pool: ThreadPoolExecutor, reader: Reader, start: int, size: int) -> list[_Decoded]:
        return [(picture, pool.submit(self._decode, picture, reader)) for picture in self._pictures[start : start + size]]

    def _decode(self, picture: Picture, reader: Reader) -> Tensor | str:
        """uint8 [3, S, S], or why there are none."""
        config = self._loaded.config
        try:
            pixels = pixels_of(picture.open(reader), config.image_size, self._as_files, config.fit, self._loaded.value_range)
            return resize(torch.from_numpy(pixels)[None], config.image_size, config.fit)[0]
        except UnreadableImage as error:
            return str(error)
        except DECODING_ERRORS as error:  # a file that is gone, say: `readable` has no word for it yet
            return (error.strerror if isinstance(error, OSError) else None) or str(error)[:80] or type(error).__name__

    def _through(self, decoded: list[_Decoded]) -> Iterator[tuple[Answers, Tensor]]:
        usable: list[Picture] = []
        images: list[Tensor] = []
        for picture, future in decoded:
            found = future.result()
            if isinstance(found, str):
                self.refused.append(Refused(picture.name, found))
            else:
                usable.append(picture)
                images.append(found)
        if not usable:
            return
        pixels = torch.stack(images)
        logits = self._loaded.logits(pixels).cpu().numpy()
        labels = metrics.predictions(logits)
        fine = np.flatnonzero(labels >= 0)
        reason = "the model gives NaN or infinite numbers for it; choose weights of an earlier epoch"
        self.refused += [Refused(usable[place].name, reason) for place in np.flatnonzero(labels < 0)]
        if len(fine):
            kept = tuple(usable[place] for place in fine)
            yield Answers(kept, labels[fine], metrics.probabilities(logits)[fine]), pixels[torch.from_numpy(fine)]


def answer_all(home: Home, key: str, progress: Progress, cancelled: Callable[[], bool], load: Callable[[str, int | None], Loaded]) -> None:
    """Answer a question of `core.evaluation.asked`, and keep the answer beside it.

    Args:
        load: gives the model of a run with its weights after an epoch.

    Raises:
        ConfigError: on `pictures`, the question is not known any more, there is nothing that can be used, or far too much for a screen.
        Cancelled: `cancelled` was.
    """
    began = time.perf_counter()
    ask = asked.asked(home, key)
    if ask is None:
        raise ConfigError("pictures", "this question is not kept any more; ask again")
    found = gather([("" if is_many(ask.path) else ask.path.name, ask.path)], progress)
    loaded = load(ask.run_id, ask.epoch)
    if len(found.pictures) * len(loaded.classes) > asked.MOST_VALUES:
        what = f"{len(found.pictures):,} pictures of {len(loaded.classes):,} classes are more than a table on a screen holds"
        raise ConfigError("pictures", f"{what}; use python -m core predict {ask.run_id} {ask.path} --csv predictions.csv")
    many = Many(loaded, found.pictures)
    batches: list[Answers] = []
    thumbnails: list[str] = []
    for answers, pixels in many.batches(progress, cancelled):
        batches.append(answers)
        if len(found.pictures) <= asked.THUMBNAILS:
            thumbnails += map(thumbnail, pixels.numpy())
    if not batches:
        first = (*found.refused, *many.refused)[0]
        raise ConfigError("pictures", f"none of the {len(found.pictures):,} pictures can be used, the first is {first.name!r} ({first.reason})")
    checkpoint = loaded.checkpoint
    answered = asked.Answered(
        ask.run_id,
        checkpoint.epoch,
        checkpoint.step,
        ask.called,
        loaded.classes,
        tuple(picture for batch in batches for picture in batch.pictures),
        np.concatenate([batch.labels for batch in batches]),
        np.concatenate([batch.probabilities for batch in batches]),
        (*found.refused, *many.refused),
        (*found.passed_over, *many.notes),
        time.perf_counter() - began,
        tuple(thumbnails),
    )
    asked.keep(home, key, answered)
