"""Flipped labels are found, a map is laid out, and what a person said is remembered; bad input is told plainly."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from core.config import ConfigError
from core.curating import checking, doubts, features, judged, layout
from core.data import intake
from core.data.decoding import Fit
from core.evaluation.embedding import Method
from core.machine.home import Home
from core.versions import Item, Version, path_of, write
from tests.curating.planted import NAME, drawn, item, quiet, saved, version

FLIPPED = 20


def noting(opened: list[object]) -> Callable[..., object]:
    """Decodes as ever, and notes which files it was given."""

    def decode(file: Path, size: int, fit: Fit) -> object:
        opened.append(file)
        return intake.decode(file, size, fit)

    return decode


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, Version, set[int]]:
    """Handwritten digits of scikit-learn, 20 of them with a wrong label, and their places."""
    home = Home.from_environment(str(tmp_path_factory.mktemp("home")))
    found = load_digits()
    generator = np.random.default_rng(1)
    flipped = set(generator.choice(len(found.target), FLIPPED, replace=False).tolist())
    items = []
    for place, (values, digit) in enumerate(zip(found.images, found.target.tolist(), strict=True)):
        label = (digit + 1 + int(generator.integers(9))) % 10 if place in flipped else digit
        items.append(item(home, saved(Image.fromarray((values * 15.9).astype(np.uint8))), f"{digit}/{place}.png", str(label)))
    return home, version(home, items), {place for place in flipped if items[place].label != str(found.target[place])}


def test_flipped_labels_are_found(digits: tuple[Home, Version, set[int]]) -> None:
    """18 of 20 are, and no more than 60 pictures are shown for it."""
    home, made, flipped = digits
    found = doubts.doubts_of(home, made, quiet, features.PIXELS)
    assert len(flipped) == FLIPPED
    assert len(flipped & {doubt.picture for doubt in found.found}) >= 18
    assert len(flipped & {doubt.picture for doubt in found.found[:FLIPPED]}) >= 17, "the most doubtful come first"
    assert len(found.found) <= 60
    assert all(doubt.label == made.items[doubt.picture].label for doubt in found.found)
    assert all(len(doubt.guesses) == doubts.GUESSES for doubt in found.found)
    assert min(found.counts) > 0
    assert f"of {len(made.items):,} labels" in found.sentence
    assert doubts.kept(home, made, features.PIXELS) == found


def test_what_was_said_is_not_asked_again_and_makes_one_version(digits: tuple[Home, Version, set[int]]) -> None:
    home, made, _ = digits
    found = doubts.doubts_of(home, made, quiet, features.PIXELS).found
    first, second, third = (made.items[doubt.picture] for doubt in found[:3])
    judged.remember(home, made, [(first.key, found[0].guesses[0][0]), (second.key, second.label), (third.key, third.label)])
    judged.remember(home, made, [(third.key, None)])
    now = judged.read(home, NAME)
    assert now.corrections == {first.key: found[0].guesses[0][0]}
    assert [doubt.picture for doubt in judged.waiting(made, found, now)] == [doubt.picture for doubt in found[2:]]
    after = write(home, NAME, *judged.corrected(made, now), "1 label corrected.", made.number)
    judged.settle(home, NAME)
    now = judged.read(home, NAME)
    assert (now.corrections, len(now.settled)) == ({}, 2)
    assert now.wrong.value == 0.5
    assert after.by_key[first.key].label == found[0].guesses[0][0]
    assert sum(old.label != new.label for old, new in zip(made.items, after.items, strict=True)) == 1
    asked = {doubt.picture for doubt in judged.waiting(after, doubts.doubts_of(home, after, quiet, features.PIXELS).found, now)}
    assert not asked & {found[0].picture, found[1].picture}
    assert now.of(first.key, first.label) is None, "where a correction is undone, the label is doubted again"
    with pytest.raises(ConfigError, match="there is no class 'ten'"):
        judged.remember(home, made, [(first.key, "ten")])


@pytest.mark.parametrize("method", ["pca", "t-sne"])
def test_pictures_of_one_class_are_near_on_the_map(digits: tuple[Home, Version, set[int]], method: Method, monkeypatch: pytest.MonkeyPatch) -> None:
    home, made, _ = digits
    monkeypatch.setattr(layout, "LANDMARKS", 300)
    monkeypatch.setattr("core.evaluation.embedding.ITERATIONS", 300)
    found = layout.map_of(home, made, quiet, features.AUTO, method)
    assert found.model == "small_cnn", "the digits are small, and no other trained weights are on a machine of tests"
    places = found.places.astype(np.float64)
    assert places.shape == (len(made.items), 2)
    assert np.abs(places).max() == layout.REACH
    labels = np.array([int(one.label) for one in made.items])
    far = ((places[::9, None] - places[None]) ** 2).sum(axis=2)
    nearest = np.argsort(far, axis=1)[:, 1:6]
    own = (labels[nearest] == labels[::9, None]).mean()
    assert own > (0.3 if method == "pca" else 0.8), "by chance it is 0.1"
    assert layout.kept(home, made, features.AUTO, method) == found
    fewer = Version(NAME, 9, "fewer", made.classes, made.items[5::3], "", "", None)
    there = found.of(fewer)
    assert there is not None
    assert np.array_equal(there, found.places[5::3]), "fewer pictures, or other labels, are no other map"


def test_a_new_version_computes_features_of_what_is_new_alone(digits: tuple[Home, Version, set[int]], monkeypatch: pytest.MonkeyPatch) -> None:
    home, made, _ = digits
    source = features.source_of(made, "small_cnn")
    features.features_of(home, made, source, quiet)
    opened: list[object] = []
    monkeypatch.setattr(features, "decode", noting(opened))
    more = item(home, saved(drawn(1, 16)), "1/new.png", "1")
    gone = item(home, saved(drawn(2, 16)), "1/gone.png", "1")
    path_of(home, NAME, gone).unlink()
    grown = Version(NAME, 9, "grown", made.classes, (more, *made.items, gone), "", "", None)
    found = features.features_of(home, grown, source, quiet)
    assert opened == [path_of(home, NAME, more), path_of(home, NAME, gone)]
    assert list(found.problems) == [len(made.items) + 1]
    assert found.values.shape[0] == len(made.items) + 2


def test_what_was_worked_out_until_it_was_given_up_is_kept(digits: tuple[Home, Version, set[int]], monkeypatch: pytest.MonkeyPatch) -> None:
    home, made, _ = digits
    new = tuple(item(home, saved(drawn(seed, 16)), f"1/{seed}.png", "1") for seed in range(300, 300 + 3 * features.BATCH))
    grown = Version(NAME, 9, "more", made.classes, new, "", "", None)
    source = features.source_of(made, "small_cnn")

    def give_up(text: str, share: float | None) -> None:
        if share is not None and share > 0.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        features.features_of(home, grown, source, give_up)
    opened: list[object] = []
    monkeypatch.setattr(features, "decode", noting(opened))
    features.features_of(home, grown, source, quiet)
    assert len(opened) == features.BATCH


def few(home: Home, counts: dict[str, int]) -> Iterator[Item]:
    """So many drawn pictures of each class."""
    seed = 1_000
    for label, count in counts.items():
        for _ in range(count):
            seed += 1
            yield item(home, saved(drawn(seed, 24)), f"{label}/{seed}.png", label)


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ({"a": 9}, "has 1 class with 3 pictures"),
        ({"a": 9, "b": 2}, "has 1 class with 3 pictures"),
        ({"a": 1, "b": 1}, "has 0 classes with 3 pictures"),
    ],
)
def test_doubting_needs_two_classes_of_three_pictures(tmp_path: object, counts: dict[str, int], message: str) -> None:
    home = Home.from_environment(str(tmp_path))
    made = version(home, few(home, counts))
    with pytest.raises(ConfigError, match=message):
        doubts.doubts_of(home, made, quiet, features.PIXELS)
    assert checking.check(home, made, quiet).groups == ()


def test_rare_classes_are_left_out_and_named(tmp_path: object) -> None:
    home = Home.from_environment(str(tmp_path))
    made = version(home, few(home, {"a": 12, "b": 12, "owl": 2}))
    found = doubts.doubts_of(home, made, quiet, features.PIXELS)
    assert (found.left_out, found.judged) == (("owl (2)",), 24)


def test_two_thousand_classes_of_three_pictures_are_doubted() -> None:
    """Pictures are held as numbers: drawing 6,000 files would take longer than doubting them."""
    labels = np.repeat(np.arange(2_000), 3)
    values = np.random.default_rng(0).normal(size=(2_000, 24)).astype(np.float32)[labels]
    values += np.random.default_rng(1).normal(scale=0.05, size=values.shape).astype(np.float32)
    folds = doubts._probabilities(values, labels, np.arange(6_000), 0)
    assert folds.shape == (6_000, 2_000)
    assert np.allclose(folds.sum(axis=1), 1)
    assert len(doubts.issues_of(labels, folds)) < 6_000


def test_weights_that_are_not_here_and_methods_that_there_are_not_are_refused(digits: tuple[Home, Version, set[int]]) -> None:
    home, made, _ = digits
    with pytest.raises(ConfigError, match="trained weights of vit_l_32 are not on this machine"):
        features.source_of(made, "vit_l_32")
    with pytest.raises(ConfigError, match="there is no method 'umap'"):
        layout.map_of(home, made, quiet, features.PIXELS, "umap")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="a map needs three"):
        layout.map_of(home, Version(NAME, 9, "two", made.classes, made.items[:2], "", "", None), quiet, features.PIXELS)
