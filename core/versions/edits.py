"""The next version of a dataset, made of one: pure functions from a `Version` to (classes, items), which `shelf.write` takes.

Pictures are named by `Item.sha256` (under whatever names they are there) or by `Item.key` (the one of that name).
Errors are ConfigErrors on `classes`, or on `pictures` where none of those that are named is there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence, Set
from typing import Literal

from core.config.errors import ConfigError
from core.versions import naming
from core.versions.version import SPLITS, Item, Version

Edited = tuple[tuple[str, ...], tuple[Item, ...]]
Ways = Literal["none", "burst", "folder", "stem"]


def relabel(version: Version, pictures: Set[str], label: str) -> Edited:
    """With another class for some pictures. A class that is not there yet is put behind the others."""
    classes = version.classes if label in version.classes else naming.checked_classes((*version.classes, label))
    return classes, _each(version, pictures, lambda item: item._replace(label=label))


def move(version: Version, pictures: Set[str], split: str) -> Edited:
    """With some pictures in another split: "train", "validation", "test", or "" to have the run decide."""
    if split not in (*SPLITS, ""):
        raise ConfigError("split", f"there is no split {split!r}; it is one of {', '.join(SPLITS)}, or empty")
    return version.classes, _each(version, pictures, lambda item: item._replace(split=split))


def leave_out(version: Version, pictures: Set[str]) -> Edited:
    """Without some pictures. Classes stay, even one without pictures: the numbers of the others do not change."""
    chosen = set(_chosen(version, pictures))
    return version.classes, tuple(item for item in version.items if item not in chosen)


def rename_class(version: Version, old: str, new: str) -> Edited:
    """With another name for a class, in its place."""
    _known(version, [old])
    classes = naming.checked_classes([new if name == old else name for name in version.classes])
    return classes, tuple(item._replace(label=new) if item.label == old else item for item in version.items)


def merge_classes(version: Version, merged: Collection[str], into: str) -> Edited:
    """With the pictures of some classes in the class `into`, which may be one of them or a new name; it stands where the first of them stood."""
    _known(version, merged)
    gone = set(merged) | {into}
    place = min(version.classes.index(name) for name in version.classes if name in gone)
    kept = [name for name in version.classes if name not in gone]
    before = sum(version.classes.index(name) < place for name in kept)
    classes = naming.checked_classes([*kept[:before], into, *kept[before:]])
    return classes, tuple(item._replace(label=into) if item.label in gone else item for item in version.items)


def drop_class(version: Version, name: str) -> Edited:
    """Without a class and its pictures."""
    _known(version, [name])
    return tuple(one for one in version.classes if one != name), tuple(item for item in version.items if item.label != name)


def order_classes(version: Version, order: Sequence[str]) -> Edited:
    """With the classes in another order, which is that of the model's outputs."""
    if sorted(order) != sorted(version.classes):
        raise ConfigError("classes", "an order of the classes names each of them once; name all that there are")
    return tuple(order), version.items


def add(version: Version, items: Sequence[Item]) -> Edited:
    """With more pictures; those that are there already, with the same bytes and name, are left as they are. New classes come behind the others."""
    new = [item for item in {item.key: item for item in items}.values() if item.key not in version.by_key]
    unknown = sorted({item.label for item in new} - set(version.classes), key=naming.people_order)
    return naming.checked_classes((*version.classes, *unknown)), (*version.items, *new)


def group(version: Version, way: Ways) -> Edited:
    """With groups taken from the names of pictures, for `splitting.split_up`.

    Args:
        way: "folder", the folder that a picture lies in (`cats/patient7/2.jpg`); "stem", the file's name without the number at its end
            (`patient7_002.jpg`, a burst, frames of a video); "burst", the same for bursts of the screen's webcam alone; "none", no groups.
    """
    return version.classes, tuple(item._replace(group=group_of(item.name, way)) for item in version.items)


def group_of(name: str, way: Ways) -> str:
    """The group that a picture's name speaks of; "" for none."""
    folder, _, file = name.rpartition("/")
    if way == "folder":
        return folder
    if way == "none" or (way == "burst" and not _BURST.match(file)):
        return ""
    stem = file.rpartition(".")[0] or file
    return re.sub(r"[\W_]*(frame|img|image|pic)?[\W_]*\d+\W*$", "", stem, flags=re.IGNORECASE)


_BURST = re.compile(r"webcam-\d{17}_\d+\b")
"""What `webcam.js` calls the pictures of a burst: its moment, and their number in it."""


def _each(version: Version, pictures: Set[str], changed: Callable[[Item], Item]) -> tuple[Item, ...]:
    chosen = set(_chosen(version, pictures))
    return tuple(changed(item) if item in chosen else item for item in version.items)


def _chosen(version: Version, pictures: Set[str]) -> list[Item]:
    found = [item for item in version.items if item.sha256 in pictures or item.key in pictures]
    if not found:
        raise ConfigError("pictures", f"none of the pictures is in {version.text}; choose them anew")
    return found


def _known(version: Version, classes: Collection[str]) -> None:
    unknown = [name for name in classes if name not in version.classes]
    if unknown or not classes:
        what = f"there is no class {unknown[0]!r}" if unknown else "no class is named"
        raise ConfigError("classes", f"{what} in {version.text}; it has {', '.join(version.classes[:12])}")


def fit_note(fit: str) -> str:
    """What is said of a version whose pictures go into a square in another way; `fit` "": as each run says."""
    return f"Pictures go into a square by {fit}." if fit else "How pictures go into a square is left to each run."
