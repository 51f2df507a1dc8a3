"""Where a run's pictures come from: file, true class and digest of each picture of a store, and the list that is made of them. No torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from core.data.digests import file_digests, pixel_digests
from core.data.manifest import Picture
from core.data.sources import Progress, Source
from core.machine.home import Home

Part = Literal["train", "validation", "test"]


@dataclass(frozen=True)
class Origin:
    """The pictures of a store, place by place: `files` as in `core.data.manifest`, true labels int64 [N], SHA-256 digests.

    `part` is the part of the dataset that they were taken from.
    """

    part: Part
    files: tuple[str, ...]
    labels: NDArray[np.int64]
    digests: tuple[str, ...]

    def pictures(self, part: Part, places: Sequence[int], classes: Sequence[str]) -> Iterator[Picture]:
        """The pictures at these places of the store, as one of the sets of a run."""
        for place in places:
            yield Picture(part, classes[self.labels[place]], self.files[place], self.digests[place])


def origin_of(part: Part, source: Source, numbers: NDArray[np.int64], root: Path | None, home: Home, progress: Progress) -> Origin:
    """Where a store comes from whose images have these numbers in `source`.

    Args:
        root: the folder that the dataset is; None for a dataset that is none, whose pictures are told by their numbers.
    """
    places = numbers.tolist()
    files = tuple(f"#{number}" for number in places)
    if not isinstance(source.images, tuple):
        digests = pixel_digests(source.images if len(places) == len(source) else source.images[numbers])
        return Origin(part, files, source.labels[numbers], tuple(digests))
    paths = [source.images[number] for number in places]
    if root is not None:
        files = tuple(path.relative_to(root).as_posix() for path in paths)
    # Of a file that went away while it was read there is no digest: it is listed all the same, and nothing is equal to it.
    found = file_digests(paths, root or home.data, home.cache, progress)
    return Origin(part, files, source.labels[numbers], tuple(digest or "0" * 64 for digest in found))


def list_of(origins: Mapping[Part, Origin], places: Mapping[Part, Sequence[int]], classes: Sequence[str]) -> tuple[Picture, ...]:
    """All pictures of a run: of each of its sets those at the given places of its store."""
    return tuple(picture for part, chosen in places.items() for picture in origins[part].pictures(part, chosen, classes))
