"""A map of the pictures of a version: what is near on it is alike by the features of a model. No torch beside what works out features."""

from __future__ import annotations

import base64
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from core.config import ConfigError
from core.curating.features import AUTO, Features, features_of, source_of
from core.curating.kept import folder_of, put, taken
from core.curating.looking import Progress
from core.evaluation.embedding import METHODS, Method, choose_points, laid_out
from core.machine.home import Home
from core.versions import Version

FORMAT = 1
"""Part of the file's name: raise it when the same features give another map."""

LANDMARKS = 3_000
"""Pictures that t-SNE itself lays out, a share of each class: it takes a minute for so many. Each other one is put among the nearest of these."""

NEIGHBOURS = 5
DIRECTIONS = 50
"""Directions of the most variance that t-SNE gets: what is beyond is mostly noise."""

REACH = 32_767
"""Places are whole numbers from -REACH to REACH."""


@dataclass(frozen=True)
class Map:
    """Places of pictures, known by the SHA-256 of their files: a version of the same pictures, or of some of them, has the same map.

    `digests` are all hashes in one text. `across` and `up` are int16 [N], little-endian, in base64. `missing` are hashes of pictures that could not
    be read, with the reason: they have no place. `about` says what the features are, `said` how they were laid out.
    """

    model: str
    method: str
    digests: str
    across: str
    up: str
    missing: dict[str, str]
    about: str
    said: str

    @cached_property
    def places(self) -> NDArray[np.int16]:
        """int16 [N, 2]."""
        return np.stack([np.frombuffer(base64.b64decode(axis), "<i2") for axis in (self.across, self.up)], axis=1)

    @cached_property
    def rows(self) -> dict[str, int]:
        """The row of each picture, by its hash."""
        return {self.digests[start : start + 64]: start // 64 for start in range(0, len(self.digests), 64)}

    def of(self, version: Version) -> NDArray[np.int16] | None:
        """The places of a version's pictures, int16 [N, 2]; None where one of them is on no place here."""
        rows = [self.rows.get(item.sha256, -1) for item in version.items]
        return None if -1 in rows else self.places[rows]


MAP = TypeAdapter(Map)


def map_of(home: Home, version: Version, progress: Progress, model: str = AUTO, method: Method = "pca") -> Map:
    """A map with all pictures of a version: read where one is kept, else worked out.

    Raises:
        ConfigError: on `method` or `model`, there is no such one; on `dataset`, with fewer than three pictures that can be read.
    """
    if method not in METHODS:
        raise ConfigError("method", f"there is no method {method!r}; use one of {', '.join(METHODS)}")
    known = kept(home, version, model, method)
    if known is not None:
        return known
    found = features_of(home, version, source_of(version, model), progress)
    if len(found.seen) < 3:
        raise ConfigError("dataset", f"{version.text} has {len(found.seen)} pictures that can be read; a map needs three: add pictures")
    with one_thread():
        places, said = _laid_out(version, found, method, progress)
    whole = np.zeros((len(version.items), 2), dtype="<i2")
    whole[found.seen] = np.round(places / max(float(np.abs(places).max()), 1e-9) * REACH)
    across, up = (base64.b64encode(whole[:, axis].tobytes()).decode() for axis in (0, 1))
    missing = {version.items[place].sha256: reason for place, reason in found.problems.items()}
    digests = "".join(item.sha256 for item in version.items)
    made = Map(found.source.model, method, digests, across, up, missing, found.source.about, said)
    if not missing:
        put(_path(home, version, model, method), MAP.dump_json(made))
    return made


def kept(home: Home, version: Version, model: str, method: str) -> Map | None:
    """A map with all pictures of a version, where one is kept."""
    found = taken(_path(home, version, model, method), MAP)
    return found if found is not None and found.of(version) is not None else None


def _laid_out(version: Version, found: Features, method: Method, progress: Progress) -> tuple[NDArray[np.float64], str]:
    """Places float64 [M, 2] of the pictures that were seen, around 0, and how they were made."""
    values = found.values[found.seen]
    progress("drawing the map", None)
    if method == "pca":
        places, share = laid_out(values, "pca", lambda share: None)
        return _around_middle(places), (
            f"PCA: the two directions in which the pictures differ most, with {100 * share:.0f} % of all that differs. What is far apart is unlike; "
            "what is near need not be alike."
        )
    along = directions(values)
    labels = {name: number for number, name in enumerate(version.classes)}
    some = choose_points(np.array([labels[version.items[place].label] for place in found.seen], dtype=np.int64), LANDMARKS)
    places, _ = laid_out(along[some], "t-sne", lambda share: progress("drawing the map", share))
    said = "t-SNE: what is near is alike. Which way groups lie, how far apart and how large says nothing."
    if len(some) < len(values):
        said += f" {len(some):,} of {len(values):,} pictures were laid out, each class in its share; each other is put among the nearest of these."
        places = _among(along, along[some], places)
    return _around_middle(places), said


def one_thread() -> AbstractContextManager[object]:
    """Within, numpy and scikit-learn compute on one thread: beside a training, threads of two sides wait for each other, ten times as long as one
    alone (heads for 1,797 digits: 1.6 s on one thread, 35 s on two beside four busy processes on two cores).
    """
    from threadpoolctl import threadpool_limits

    limits: AbstractContextManager[object] = threadpool_limits(1)
    return limits


def directions(values: NDArray[np.float32], most: int = DIRECTIONS) -> NDArray[np.float64]:
    """`values` [M, D] along the `most` directions of the most variance, float64 [M, most] (or D, or M): principal components."""
    centred = values.astype(np.float64) - values.mean(axis=0, dtype=np.float64)
    _, axes = np.linalg.eigh(centred.T @ centred)
    along: NDArray[np.float64] = centred @ axes[:, ::-1][:, :most]
    return along


def _among(values: NDArray[np.float64], marks: NDArray[np.float64], places: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each of `values` [M, D] at the mean of its nearest landmarks' `places` [L, 2], the nearer the more; a landmark at its own."""
    put = np.empty((len(values), 2))
    squares = (marks**2).sum(axis=1)
    for start in range(0, len(values), 2_048):
        part = values[start : start + 2_048]
        far = np.maximum((part**2).sum(axis=1)[:, None] + squares - 2 * part @ marks.T, 0)
        nearest = (
            np.argpartition(far, NEIGHBOURS, axis=1)[:, :NEIGHBOURS] if len(marks) > NEIGHBOURS else np.tile(np.arange(len(marks)), (len(part), 1))
        )
        weights = 1 / np.maximum(np.take_along_axis(far, nearest, axis=1), 1e-9)
        put[start : start + len(part)] = (places[nearest] * weights[..., None]).sum(axis=1) / weights.sum(axis=1, keepdims=True)
    return put


def _around_middle(places: NDArray[np.float64]) -> NDArray[np.float64]:
    centred: NDArray[np.float64] = places - (places.max(axis=0) + places.min(axis=0)) / 2
    return centred


def _path(home: Home, version: Version, model: str, method: str) -> Path:
    return folder_of(home, version.dataset) / f"map-{FORMAT}-{model}-{method}.json"
