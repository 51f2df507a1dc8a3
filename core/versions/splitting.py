"""Which pictures of a version train, validate and test: stratified, seeded, and never a group in two splits. Pure."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from core.config.errors import ConfigError
from core.versions.edits import Edited
from core.versions.version import SPLITS, Item, Version


def split_up(version: Version, shares: Mapping[str, float], seed: int, by_group: bool = True, stratified: bool = True) -> Edited:
    """With every picture in a split.

    Pictures of the same bytes always come into one split, those of one group where `by_group` is set. The same items, shares and seed give
    the same splits. A class has at least one picture to train on where it has any.

    Args:
        shares: of "train", "validation" and "test"; one that is not named gets none. They add up to 1.
        stratified: every split has the classes in the proportions of the whole, as far as groups allow it.

    Raises:
        ConfigError: on `shares`, where they are negative, do not add up to 1 or leave nothing to train on.
    """
    _check(shares)
    units = _units(version.items, by_group)
    random.Random(seed).shuffle(units)
    units.sort(key=len, reverse=True)  # whatever is large is placed while there is room for it
    places = _placed(version.items, units, shares, stratified)
    _see_that_classes_train(version.items, units, places)
    if stratified:
        _see_that_classes_are_measured(version.items, units, places, [split for split in SPLITS[1:] if shares.get(split)])
    split_of = {member: places[number] for number, unit in enumerate(units) for member in unit}
    return version.classes, tuple(item._replace(split=split_of[number]) for number, item in enumerate(version.items))


def sentence(shares: Mapping[str, float], seed: int, by_group: bool, stratified: bool) -> str:
    """How splits were made, for `Version.split_note`: `70 % train, 15 % validation, 15 % test, each class alike, seed 0, groups kept together.`"""
    said = [f"{100 * shares[split]:g} % {split}" for split in SPLITS if shares.get(split)]
    said += ["each class alike" if stratified else "whatever the class", f"seed {seed}", *(["groups kept together"] if by_group else [])]
    return f"{', '.join(said)}."


def torn_groups(items: Sequence[Item]) -> list[str]:
    """The groups that are in more than one split, sorted."""
    found: dict[str, set[str]] = defaultdict(set)
    for item in items:
        if item.group:
            found[item.group].add(item.split)
    return sorted(group for group, splits in found.items() if len(splits) > 1)


def _check(shares: Mapping[str, float]) -> None:
    unknown = [name for name in shares if name not in SPLITS]
    if unknown or any(not 0 <= share <= 1 for share in shares.values()) or abs(sum(shares.values()) - 1) > 1e-6:
        given = ", ".join(f"{name} {share:g}" for name, share in shares.items())
        raise ConfigError("shares", f"{given} are not shares of {', '.join(SPLITS)} that add up to 1; give for example 0.7, 0.15 and 0.15")
    if not shares.get("train"):
        raise ConfigError("shares", "no pictures would be left to train on; give train more than 0")


def _units(items: Sequence[Item], by_group: bool) -> list[list[int]]:
    """The places of items that must stay together, by the first of each."""
    parent = list(range(len(items)))

    def root(place: int) -> int:
        while parent[place] != place:
            parent[place] = parent[parent[place]]
            place = parent[place]
        return place

    first: dict[tuple[str, str], int] = {}
    for place, item in enumerate(items):
        for bond in [("bytes", item.sha256), *([("group", item.group)] if by_group and item.group else [])]:
            one, other = root(first.setdefault(bond, place)), root(place)
            parent[max(one, other)] = min(one, other)
    units: dict[int, list[int]] = defaultdict(list)
    for place in range(len(items)):
        units[root(place)].append(place)
    return list(units.values())


def _placed(items: Sequence[Item], units: Sequence[Sequence[int]], shares: Mapping[str, float], stratified: bool) -> list[str]:
    """A split for each unit: the one that lacks most of the unit's classes, then the one that lacks most of all."""
    splits = [split for split in SPLITS if shares.get(split)]
    counts = Counter(item.label for item in items)
    lacks = {split: {label: shares[split] * count for label, count in counts.items()} for split in splits}
    lacks_in_all = {split: shares[split] * len(items) for split in splits}
    places = []
    for unit in units:
        labels = Counter(items[place].label for place in unit)
        wanted = (
            {split: sum(count * lacks[split][label] / counts[label] for label, count in labels.items()) for split in splits} if stratified else {}
        )
        best = max(splits, key=lambda split: (round(wanted.get(split, 0.0), 9), round(lacks_in_all[split], 9)))
        for label, count in labels.items():
            lacks[best][label] -= count
        lacks_in_all[best] -= len(unit)
        places.append(best)
    return places


def _see_that_classes_train(items: Sequence[Item], units: Sequence[Sequence[int]], places: list[str]) -> None:
    """Move the smallest unit of a class that would have nothing to train on."""
    training = {items[member].label for unit, place in zip(units, places, strict=True) if place == "train" for member in unit}
    for label in {item.label for item in items} - training:
        smallest = min(
            (number for number, unit in enumerate(units) if any(items[member].label == label for member in unit)), key=lambda at: len(units[at])
        )
        places[smallest] = "train"


def _see_that_classes_are_measured(items: Sequence[Item], units: Sequence[Sequence[int]], places: list[str], splits: Sequence[str]) -> None:
    """Move the smallest group of a class into a split that has none of it, where at least two of each of its classes are left to train on.

    Of four bursts of a class, three would train and one validate, and nothing would test: shares count for less than that.
    """
    having: dict[str, list[int]] = defaultdict(list)
    labels = [sorted({items[place].label for place in unit}) for unit in units]
    for number, found in enumerate(labels):
        for label in found:
            having[label].append(number)
    training = Counter(label for number, found in enumerate(labels) if places[number] == "train" for label in found)
    for label, split in ((label, split) for label in sorted(having) for split in splits):
        if any(places[number] == split for number in having[label]):
            continue
        spare = [
            number
            for number in having[label]
            if places[number] == "train" and len(units[number]) > 1 and all(training[each] > 2 for each in labels[number])
        ]
        if spare:
            smallest = min(spare, key=lambda number: len(units[number]))
            places[smallest] = split
            training.subtract(labels[smallest])
