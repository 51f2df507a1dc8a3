"""From what the layer before the last makes of images to a map of two dimensions. No torch; scikit-learn only for t-SNE."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable
from contextlib import redirect_stdout
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from core.config import ConfigError
from core.evaluation.predictions import Predictions
from core.records.evaluation import EmbeddingMap, Point, Surroundings

Array = NDArray[Any]
Method = Literal["pca", "t-sne"]

METHODS = ("pca", "t-sne")
SEED = 0
NEAREST = 10
"""Other points that count as near to one."""

ITERATIONS = 1_000
"""Of t-SNE, for each of the two maps: scikit-learn's usual number."""

Told = Callable[[float], None]


def choose_points(labels: NDArray[np.int64], most: int, seed: int = SEED) -> NDArray[np.int64]:
    """Up to `most` images, sorted: each class in its share, and at least one of it where there is room. Equal labels give equal images."""
    if len(labels) <= most:
        return np.arange(len(labels))
    order = np.random.default_rng(seed).permutation(len(labels))
    # How far down its own class each image comes, from 0 to 1: taking the lowest takes equal shares of all classes.
    depth = np.empty(len(labels))
    for label in np.unique(labels):
        members = order[labels[order] == label]
        depth[members] = np.arange(len(members)) / len(members)
    return np.sort(order[np.argsort(depth[order], kind="stable")[:most]])


def principal(values: Array) -> tuple[NDArray[np.float64], float]:
    """The first two principal components: scores float64 [M, 2], and the share (0 to 1) of the variance that they have.

    `values` [M, D] are centred, and decomposed by `numpy.linalg.svd` (of the smaller of the two Gram matrices). The sign of each component is
    such that the largest score is positive. Source: K. Pearson 1901; as scikit-learn's PCA.
    """
    centred = values.astype(np.float64)
    centred -= centred.mean(axis=0)
    total = float((centred**2).sum())
    if total == 0:
        return np.zeros((len(centred), 2)), 0.0
    tall = centred.shape[0] > centred.shape[1]
    vectors, squares, _ = np.linalg.svd(centred.T @ centred if tall else centred @ centred.T, hermitian=True)
    scores = centred @ vectors[:, :2] if tall else vectors[:, :2] * np.sqrt(np.maximum(squares[:2], 0))
    if scores.shape[1] < 2:
        scores = np.column_stack([scores, np.zeros(len(scores))])
    signs = np.sign(scores[np.abs(scores).argmax(axis=0), [0, 1]])
    return scores * np.where(signs == 0, 1, signs), float(squares[:2].sum() / total)


def turned_to(moving: Array, still: Array) -> NDArray[np.float64]:
    """`moving` [M, 2], centred, turned or mirrored so that it lies as close to `still` [M, 2] as it can. No distance within it changes.

    Orthogonal Procrustes problem: P. H. Schönemann, Psychometrika 31 (1966).
    """
    left, _, right = np.linalg.svd(moving.T @ still)
    turned: NDArray[np.float64] = moving @ (left @ right)
    return turned


def embedding_map(before: Predictions, after: Predictions, method: Method = "pca", told: Told = lambda share: None) -> EmbeddingMap:
    """Both checkpoints' maps of the same images, each in the space of its own weights.

    Each map is centred and scaled so that its points are 1 away from the middle on average (root mean square), and the first is turned to the
    second: positions can be compared, distances only within one map. Of PCA the second map has the components as its axes, the first has them
    turned. For t-SNE the shares of the variance are NaN: it has none.

    Args:
        told: told how much is done, 0 to 1, every 50 iterations of t-SNE. What it raises ends the work.

    Raises:
        ConfigError: on `method`, there is no such; on `epoch`, the embeddings are of other images, or nearly all are not finite numbers.
    """
    if method not in METHODS:
        raise ConfigError("method", f"there is no method {method!r}; use one of {', '.join(METHODS)}")
    if before.test_set != after.test_set or not np.array_equal(before.points, after.points):
        raise ConfigError("epoch", "the two epochs were evaluated on other images, the dataset must have changed in between; evaluate both again")
    finite: NDArray[np.bool_] = np.isfinite(np.concatenate([before.embeddings, after.embeddings], axis=1)).all(axis=1, keepdims=True)[:, 0]
    if finite.sum() < 3:
        count = f"{len(finite) - int(finite.sum()):,} of {len(finite):,} images"
        raise ConfigError("epoch", f"the layer before the last gives NaN or infinite values for {count}, so there is no map; choose an earlier epoch")
    points = before.points[finite]
    labels = after.labels[points]
    first, first_share = laid_out(before.embeddings[finite], method, lambda share: told(share / 2))
    second, second_share = laid_out(after.embeddings[finite], method, lambda share: told((1 + share) / 2))
    first = turned_to(first, second)
    predicted = [made.predicted[points] for made in (before, after)]
    notes = [*after.notes_on_pictures]
    if len(before.points) < len(before.labels):
        notes.append(f"{len(before.points):,} of {len(before.labels):,} test images are shown, each class in its share.")
    if not finite.all():
        notes.append(f"Left out, because the layer gives NaN or infinite values for them: {int((~finite).sum()):,} of the images.")
    return EmbeddingMap(
        method=method,
        layer=after.layer,
        points=tuple(
            Point(int(index), int(label), (float(x0), float(y0)), (float(x1), float(y1)))
            for index, label, (x0, y0), (x1, y1) in zip(points, labels, first, second, strict=True)
        ),
        explained=(first_share, second_share),
        before_epoch=before.epoch,
        after_epoch=after.epoch,
        note=" ".join(notes),
        dimensions=after.embeddings.shape[1],
        still=np.array_equal(before.embeddings, after.embeddings),
        surroundings=(
            surroundings(before.embeddings[finite], first, labels, predicted[0]),
            surroundings(after.embeddings[finite], second, labels, predicted[1]),
        ),
    )


def surroundings(values: Array, places: Array, labels: NDArray[np.int64], predicted: NDArray[np.int64]) -> Surroundings:
    """Who is near whom, for what the layer gets, `values` [M, D], and on the map, `places` [M, 2]; three points or more."""
    nearest = min(NEAREST, len(values) - 1)
    near, near_on_map = _nearest(values, nearest), _nearest(places, nearest)
    kept = (near[:, :, None] == near_on_map[:, None, :]).any(axis=2).mean()
    votes = np.zeros((len(values), int(labels.max()) + 1), dtype=np.int64)
    np.add.at(votes, (np.arange(len(values))[:, None], labels[near_on_map]), 1)
    most = votes.argmax(axis=1)
    strange = votes.max(axis=1) > votes[np.arange(len(values)), labels]
    return Surroundings(
        nearest=nearest,
        kept=float(kept),
        by_chance=nearest / (len(values) - 1),
        own=float((labels[near] == labels[:, None]).mean()),
        strangers=int(strange.sum()),
        taken=int((strange & (predicted == most)).sum()),
        right=int((strange & (predicted == labels)).sum()),
    )


def _nearest(values: Array, number: int) -> NDArray[np.int64]:
    """int64 [M, number]: the points nearest to each, by Euclidean distance, itself left out; in no order."""
    wide = values.astype(np.float64)
    wide = wide - wide.mean(axis=0)
    squares = (wide**2).sum(axis=1)
    distances = squares[:, None] + squares - 2 * wide @ wide.T
    np.fill_diagonal(distances, np.inf)
    found: NDArray[np.int64] = np.argpartition(distances, number - 1, axis=1)[:, :number]
    return found


def laid_out(values: Array, method: Method, told: Told) -> tuple[NDArray[np.float64], float]:
    """A map of `values` [M, D], three or more: places float64 [M, 2], centred, 1 away from the middle on average (root mean square), and the share of
    the variance that they have; NaN for t-SNE, which has none. `told` as in `embedding_map`.
    """
    if method == "pca":
        scores, share = principal(values)
    else:
        from sklearn.manifold import TSNE

        neighbours = min(30.0, (len(values) - 1) / 3)
        share = math.nan
        estimator = TSNE(perplexity=neighbours, init="pca", random_state=SEED, max_iter=ITERATIONS, verbose=2)
        with redirect_stdout(_Counted(told)):
            scores = estimator.fit_transform(values.astype(np.float64)).astype(np.float64)
    scores = scores - scores.mean(axis=0)
    radius = math.sqrt(float((scores**2).sum()) / len(scores))
    return scores / (radius or 1.0), share


class _Counted(io.TextIOBase):
    """Where scikit-learn's t-SNE prints to. It has no other way to say how far it is than to print "Iteration 50: ..."."""

    def __init__(self, told: Told) -> None:
        self._told = told

    def write(self, text: str) -> int:
        """Pass on the number of iterations, as a share of them all."""
        found = re.search(r"Iteration (\d+)", text)
        if found:
            self._told(min(1.0, int(found[1]) / ITERATIONS))
        return len(text)
