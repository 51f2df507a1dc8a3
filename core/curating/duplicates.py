"""Pictures that a version has more than once: the same file, the same pixels, or so alike that it is one picture saved twice."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from core.curating import alike
from core.curating.looking import Looks, Progress
from core.data.intake import UnreadableImage, readable, upright
from core.machine.home import Home
from core.versions import SPLITS, Item, Version, path_of

Kind = Literal["same file", "same pixels", "alike"]

Digest = Callable[[Item], str | None]

COMPARED = 4_000
"""Pictures of groups whose pixels are compared one for one, at most: each is decoded whole. Of the others it is said that they are alike."""

NO_LIMIT = 2**31
"""A side that no JPEG has: it is decoded whole."""


@dataclass(frozen=True)
class Group:
    """Pictures that are one: their places in the version. `kind` holds for all of them."""

    pictures: tuple[int, ...]
    kind: Kind
    labels: tuple[str, ...]
    splits: tuple[str, ...]
    loose: bool = False
    """Whether a run could draw them into different sets: not all are told their split, and no group holds them together."""

    @property
    def leak(self) -> bool:
        """Whether what is measured on was learned from: they are in different splits."""
        return len([split for split in self.splits if split]) > 1

    @property
    def conflict(self) -> bool:
        """Whether one picture has two labels."""
        return len(self.labels) > 1

    @property
    def kinds(self) -> tuple[str, ...]:
        """What is wrong with it, worst first: the names of `KINDS`."""
        found = [name for name, is_so in (("leak", self.leak), ("conflict", self.conflict)) if is_so]
        return tuple(found) or (("loose",) if self.loose else ("class",))


KINDS = {"leak": "across splits", "conflict": "with two labels", "loose": "that a run may draw apart", "class": "in one class and split"}
"""What can be wrong with a group, worst first."""


def find(home: Home, version: Version, looks: Looks, progress: Progress) -> tuple[Group, ...]:
    """The groups of a version, worst first: across splits, with two labels, the others; each in the order of the version."""
    progress("comparing pictures", None)
    first: dict[str, int] = {}
    copies: dict[int, list[int]] = {}
    for place, item in enumerate(version.items):
        copies.setdefault(first.setdefault(item.sha256, place), []).append(place)
    unique = np.array(sorted(copies), dtype=np.int64)
    some = Looks(looks.hashes[unique], looks.thumbs[unique], looks.flat[unique], {})
    some.problems.update({place: looks.problems[whole] for place, whole in enumerate(unique.tolist()) if whole in looks.problems})
    like = [[int(unique[place]) for place in group] for group in alike.groups(some, lambda share: progress("comparing pictures", share))]
    grouped = {place for group in like for place in group}
    like += [[place] for place, others in copies.items() if len(others) > 1 and place not in grouped]
    digest = _pixels(home, version, sum(map(len, like)))
    found = []
    for number, group in enumerate(like):
        progress("comparing pixels", number / len(like))
        found.append(_group(version, sorted(place for one in group for place in copies[one]), digest))
    order = tuple(KINDS)
    return tuple(sorted(found, key=lambda group: (order.index(group.kinds[0]), -len(group.kinds), group.pictures)))


def _group(version: Version, places: Sequence[int], digest: Digest) -> Group:
    items = [version.items[place] for place in places]
    labels = tuple(label for label in version.classes if any(item.label == label for item in items))
    splits = tuple(split for split in (*SPLITS, "") if any(item.split == split for item in items))
    held = len({item.group for item in items}) == 1 and items[0].group != ""
    return Group(tuple(places), _kind(items, digest), labels, splits, loose="" in splits and not held)


def _kind(items: Sequence[Item], digest: Digest) -> Kind:
    if len({item.sha256 for item in items}) == 1:
        return "same file"
    if len({(item.width, item.height) for item in items}) > 1:
        return "alike"
    digests = {digest(item) for item in items}
    return "same pixels" if len(digests) == 1 and None not in digests else "alike"


def _pixels(home: Home, version: Version, pictures: int) -> Digest:
    """A digest of an item's pixels, None where it cannot be had."""

    def of(item: Item) -> str | None:
        file = path_of(home, version.dataset, item)
        try:
            with readable(file):
                picture = upright(file, NO_LIMIT)
                return hashlib.sha256(f"{picture.size}".encode() + picture.tobytes()).hexdigest()
        except UnreadableImage:
            return None

    return of if pictures <= COMPARED else lambda item: None
