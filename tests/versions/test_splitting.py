"""Splits: stratified, seeded, and no group in two of them."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence

import pytest

from core.config import ConfigError
from core.versions import Item, Version
from core.versions.edits import group_of
from core.versions.splitting import sentence, split_up, torn_groups

SHARES = {"train": 0.7, "validation": 0.15, "test": 0.15}


def version(items: Sequence[Item]) -> Version:
    return Version("v", 1, "", tuple(sorted({item.label for item in items})), tuple(items), "", "", None)


def pictures(label: str, count: int, groups: int = 0) -> list[Item]:
    hashes = [hashlib.sha256(f"{label} {number}".encode()).hexdigest() for number in range(count)]
    return [Item(sha, ".png", f"{label}/{at}.png", label, "", f"{label} {at % groups}" if groups else "") for at, sha in enumerate(hashes)]


def test_every_split_has_the_classes_in_proportion() -> None:
    _, items = split_up(version([*pictures("a", 200), *pictures("b", 40)]), SHARES, seed=1)
    found = Counter((item.label, item.split) for item in items)
    assert found == {
        ("a", "train"): 140, ("a", "validation"): 30, ("a", "test"): 30, ("b", "train"): 28, ("b", "validation"): 6, ("b", "test"): 6,
    }  # fmt: skip


def test_rounding_of_small_classes_evens_out_over_all_of_them() -> None:
    _, items = split_up(
        version([item for number in range(20) for item in pictures(f"c{number}", 5)]), {"train": 0.8, "validation": 0.1, "test": 0.1}, 0
    )
    assert Counter(item.split for item in items) == {"train": 80, "validation": 10, "test": 10}


def test_the_seed_decides_and_nothing_else() -> None:
    made = version(pictures("a", 100) + pictures("b", 100))
    assert split_up(made, SHARES, 3) == split_up(made, SHARES, 3)
    assert split_up(made, SHARES, 3) != split_up(made, SHARES, 4)


@pytest.mark.parametrize("stratified", [True, False])
def test_no_group_and_no_bytes_are_in_two_splits(stratified: bool) -> None:
    items = [*pictures("a", 120, groups=12), *pictures("b", 120, groups=30)]
    twins = [item._replace(name=f"again/{item.name}", group="") for item in items[:40]]
    _, placed = split_up(version([*items, *twins]), SHARES, 5, stratified=stratified)
    assert torn_groups(placed) == []
    assert all(len({item.split for item in placed if item.sha256 == sha}) == 1 for sha in {item.sha256 for item in twins})
    counts = Counter(item.split for item in placed)
    assert all(abs(counts[split] / 280 - share) < 0.05 for split, share in SHARES.items())
    _, loose = split_up(version(items), SHARES, 5, by_group=False)
    assert len(torn_groups(loose)) > 30


def test_a_class_with_a_single_picture_trains() -> None:
    _, items = split_up(version([*pictures("a", 50), *pictures("b", 1), *pictures("c", 2)]), {"train": 0.2, "test": 0.8}, 0)
    assert {item.label for item in items if item.split == "train"} == {"a", "b", "c"}


@pytest.mark.parametrize(
    "shares", [{}, {"train": 0.5}, {"test": 1.0}, {"train": 1.2, "test": -0.2}, {"train": 0.5, "dev": 0.5}, {"train": float("nan")}]
)
def test_shares_that_cannot_be_are_refused(shares: dict[str, float]) -> None:
    with pytest.raises(ConfigError) as caught:
        split_up(version(pictures("a", 4)), shares, 0)
    assert caught.value.field == "shares"


def test_how_it_was_split_is_said() -> None:
    assert sentence(SHARES, 3, True, True) == "70 % train, 15 % validation, 15 % test, each class alike, seed 3, groups kept together."


@pytest.mark.parametrize(
    ("name", "way", "group"),
    [
        ("cats/patient7/2.jpg", "folder", "cats/patient7"), ("2.jpg", "folder", ""), ("cats/patient7_002.jpg", "stem", "patient7"),
        ("cats/walk_frame_0010.png", "stem", "walk"), ("cats/0010.png", "stem", ""), ("a/b.png", "none", ""),
    ],
)  # fmt: skip
def test_groups_come_from_names(name: str, way: str, group: str) -> None:
    assert group_of(name, way) == group  # type: ignore[arg-type]


@pytest.mark.parametrize(("groups", "train"), [(3, {3, 2}), (4, {2}), (5, {3}), (20, {14, 13})])
def test_few_groups_of_a_class_are_in_every_split_as_long_as_two_are_left_to_train_on(groups: int, train: set[int]) -> None:
    made = version([*pictures("ball", 10 * groups, groups), *pictures("clock", 10 * groups, groups)])
    for seed in range(5):
        _, placed = split_up(made, SHARES, seed)
        found = {(item.label, item.split): set[str]() for item in placed}
        for item in placed:
            found[item.label, item.split].add(item.group)
        assert {len(found[label, "train"]) for label in ("ball", "clock")} <= train
        assert len(found) == 6 or groups == 3
        assert torn_groups(placed) == []
