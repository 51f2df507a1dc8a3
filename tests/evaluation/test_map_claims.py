"""What is said beside the map of embeddings: what moved, who stays near whom, which points are strangers. Against scikit-learn and slow loops."""

from __future__ import annotations

from typing import cast

import numpy as np
import pytest
from numpy.typing import NDArray

from core.evaluation import evaluate
from core.evaluation.embedding import embedding_map, surroundings
from core.evaluation.predictions import find_run
from core.machine.home import Home
from core.records.events import ChangeRow, Layer
from core.store import RunStore
from pages._parts.evaluate.map import learned_before, strangers, what_it_says, what_moved
from pages._parts.evaluate.subject import Subject
from tests.evaluation.evaluate_cases import trained as trained


class Named:
    """A subject, as far as the sentences ask."""

    here = "after epoch 2 (final)"

    def named(self, kept: int) -> str:
        return "before training" if kept == 0 else f"after epoch {kept}"


SUBJECT = cast(Subject, Named())


def clouds(classes: int = 4, each: int = 40, dimensions: int = 30) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Groups of points around random middles, in many dimensions."""
    generator = np.random.default_rng(0)
    labels = np.repeat(np.arange(classes), each)
    return generator.normal(size=(classes, dimensions))[labels] * 1.5 + generator.normal(size=(len(labels), dimensions)), labels


def test_who_is_near_is_counted_as_scikit_learn_would() -> None:
    from sklearn.neighbors import NearestNeighbors

    values, labels = clouds()
    places = values[:, :2]
    predicted = np.random.default_rng(1).integers(4, size=len(labels))
    found = surroundings(values, places, labels, predicted)

    def nearest(points: NDArray[np.float64]) -> NDArray[np.int64]:
        return np.asarray(NearestNeighbors(n_neighbors=11).fit(points).kneighbors(points, return_distance=False)[:, 1:])

    real, shown = nearest(values), nearest(places)
    assert found.kept == pytest.approx(np.mean([len(set(one) & set(other)) / 10 for one, other in zip(real, shown, strict=True)]))
    assert found.own == pytest.approx(np.mean([np.mean(labels[one] == label) for one, label in zip(real, labels, strict=True)]))
    strange = taken = right = 0
    for place, near in enumerate(shown):
        votes = np.bincount(labels[near], minlength=4)
        if votes.max() > votes[labels[place]]:
            strange += 1
            taken += predicted[place] == votes.argmax()
            right += predicted[place] == labels[place]
    assert (found.nearest, found.strangers, found.taken, found.right) == (10, strange, taken, right)
    dealt = np.mean([surroundings(values, np.random.default_rng(seed).normal(size=(160, 2)), labels, predicted).kept for seed in range(20)])
    assert found.by_chance == pytest.approx(dealt, abs=0.006)
    assert surroundings(values[:4], places[:4], labels[:4], predicted[:4]).kept == 1, "of four points all others are near"


def test_what_is_far_apart_on_a_map_by_pca_is_far_apart_and_what_is_close_need_not_be() -> None:
    from core.evaluation.embedding import principal

    values, _ = clouds()
    scores, share = principal(values)
    real = np.linalg.norm(values[:, None] - values, axis=2)
    shown = np.linalg.norm(scores[:, None] - scores, axis=2)
    assert (shown <= real + 1e-9).all(), "a projection only brings points closer"
    assert shown.min(initial=np.inf, where=shown > 0) < 0.05 * real.min(initial=np.inf, where=real > 0)
    assert share == pytest.approx(scores.var(axis=0).sum() / values.var(axis=0).sum())
    others = np.linalg.qr(np.random.default_rng(0).normal(size=(30, 30)))[0]
    assert scores[:, 0].var() > ((values - values.mean(axis=0)) @ others).var(axis=0).max(), "the first direction is that of the largest spread"


def test_t_sne_keeps_neighbours_that_pca_loses_and_its_distances_say_nothing() -> None:
    from sklearn.manifold import TSNE

    from core.evaluation.embedding import principal

    values, labels = clouds()
    places = TSNE(perplexity=30, init="pca", random_state=0).fit_transform(values)
    by_pca = surroundings(values, principal(values)[0], labels, labels).kept
    assert surroundings(values, places, labels, labels).kept > by_pca + 0.15
    # One group is pushed away from all others, many times as far as before: the map hardly shows it.
    far = values.copy()
    far[labels == 3] += 16 * (values[labels == 3].mean(axis=0) - values.mean(axis=0))
    moved = TSNE(perplexity=30, init="pca", random_state=0).fit_transform(far)

    def gap(points: NDArray[np.float64]) -> float:
        middles = np.array([points[labels == label].mean(axis=0) for label in range(4)])
        apart = np.linalg.norm(middles[:, None] - middles, axis=2)
        return float(apart[3, :3].mean() / apart[:3, :3][np.triu_indices(3, 1)].mean())

    assert gap(far) > 4 * gap(values)
    assert gap(moved) < 2 * gap(places)


def test_a_run_of_which_the_head_alone_learned_moved_nothing_bit_for_bit(trained: tuple[Home, str, str]) -> None:
    home, whole, head_only = trained
    store = RunStore(home.database)
    for run_id, learned in ((whole, True), (head_only, False)):
        run = find_run(home, run_id)
        assert run.plan is not None
        first, last = evaluate.evaluate(home, run_id, 0), evaluate.evaluate(home, run_id)
        made = embedding_map(first, last)
        assert learned_before(run.plan.layers, store.changes_after(run_id), made.layer) == learned
        assert made.still == (not learned) == np.array_equal(first.embeddings, last.embeddings)
        assert not np.array_equal(first.logits, last.logits)
        told = what_moved(SUBJECT, made, 0, learned)
        assert ("equal bit for bit" in told) == ("it cannot have moved" in told) == (not learned)
        assert made.surroundings is not None
        assert (f"{100 * made.surroundings[1].own:.1f}" in told) == learned
        assert made.surroundings[1].nearest == 10
        assert f"{100 * made.surroundings[1].kept:.1f}" in what_it_says(SUBJECT, made, 0)
        assert f"{made.surroundings[1].strangers:,} of 359" in strangers(made)
        assert made.dimensions == last.embeddings.shape[1]


def test_points_among_another_colour_are_mostly_taken_for_what_they_are(trained: tuple[Home, str, str]) -> None:
    """The sentence that stood here before said the opposite."""
    last = evaluate.evaluate(trained[0], trained[1])
    made = embedding_map(last, last)
    assert made.surroundings is not None
    after = made.surroundings[1]
    assert after.strangers >= 5
    assert after.right > after.taken
    assert "is not yet a picture that the model takes for that class" in strangers(made)


def test_the_two_methods_say_opposite_things(trained: tuple[Home, str, str]) -> None:
    last = evaluate.evaluate(trained[0], trained[1])
    assert what_it_says(SUBJECT, embedding_map(last, last), 0).startswith("**Directions mean something, nearness little.**")
    by_neighbours = embedding_map(last, last, "t-sne")
    assert what_it_says(SUBJECT, by_neighbours, 0).startswith("**Nearness means something, directions do not.**")
    pca = embedding_map(last, last)
    assert by_neighbours.surroundings is not None
    assert pca.surroundings is not None
    assert by_neighbours.surroundings[1].kept > pca.surroundings[1].kept


def test_what_learned_is_read_off_plan_and_changes() -> None:
    layers = (Layer("conv.weight", (1,), 1, True), Layer("fc.1.weight", (1,), 1, False), Layer("fc.4.weight", (1,), 1, False))
    assert learned_before(layers, [], "fc.4"), "a hidden layer of the head comes before it"
    assert not learned_before(layers[::2], [], "fc.4")
    thawed = ChangeRow(1, 9, "live", "!conv", 0.1, np.array([False, False]), np.ones(2, np.float32))
    assert learned_before(layers[::2], [thawed], "fc.4")
    assert not learned_before((Layer("fc.40.weight", (1,), 1, True),), [], "fc.4")
