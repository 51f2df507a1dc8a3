"""What can be done about pictures that are there twice, each at one click: pure functions that make the next version of one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from core.curating.duplicates import Group
from core.versions import Item, Version
from core.versions.edits import Edited, leave_out, move

MEASURED = ("test", "validation")
"""The splits that are measured on, the one first that is kept where a picture is in both."""


@dataclass(frozen=True)
class Mend:
    """Something that can be done about groups: its name on a button, what it does, and which of `duplicates.KINDS` it is for.

    `done`: for the note of the version that it makes, after the number of pictures that it changes.
    """

    label: str
    about: str
    kinds: tuple[str, ...]
    done: str
    act: Callable[[Version, Sequence[Group]], Edited]


def unmeasured(version: Version, groups: Sequence[Group]) -> Edited:
    """Without what is measured on and learned from, too: of each group the pictures of train stay, else those of test."""
    return leave_out(version, _keys(version, [place for group in groups for place in _beside(version, group, ("train", *MEASURED))]))


def unlearned(version: Version, groups: Sequence[Group]) -> Edited:
    """Without what is learned from and measured on, too: of each group the pictures of test stay, else those of validation."""
    return leave_out(version, _keys(version, [place for group in groups for place in _beside(version, group, (*MEASURED, "train"))]))


def into_train(version: Version, groups: Sequence[Group]) -> Edited:
    """With all pictures of the groups in train."""
    return move(version, _keys(version, [place for group in groups for place in group.pictures]), "train")


def keep_one(version: Version, groups: Sequence[Group]) -> Edited:
    """With one picture of each group, that of most pixels; of equally many the first one of test, then of validation, then of train."""
    return leave_out(version, _keys(version, [place for group in groups for place in group.pictures if place != best(version, group)]))


def none(version: Version, groups: Sequence[Group]) -> Edited:
    """Without the pictures of the groups: which of their labels is right is not known."""
    return leave_out(version, _keys(version, [place for group in groups for place in group.pictures]))


def together(version: Version, groups: Sequence[Group]) -> Edited:
    """With the pictures of each group held together, so that no run and no new splits draw them apart. What they were together with stays so."""
    items = list(version.items)
    for group in groups:
        members = [items[place] for place in group.pictures]
        held = {item.group for item in members if item.group}
        name = min(held) if held else f"alike {min(item.sha256 for item in members)[:12]}"
        for place in group.pictures:
            items[place] = items[place]._replace(group=name)
        if len(held) > 1:
            items = [item._replace(group=name) if item.group in held else item for item in items]
    return version.classes, tuple(items)


def labelled(label: str) -> Callable[[Version, Sequence[Group]], Edited]:
    """With this label for all pictures of the groups."""

    def act(version: Version, groups: Sequence[Group]) -> Edited:
        keys = _keys(version, [place for group in groups for place in group.pictures])
        return version.classes, tuple(item._replace(label=label) if item.key in keys else item for item in version.items)

    return act


def best(version: Version, group: Group) -> int:
    """The place of the picture that `keep_one` keeps."""

    def rank(place: int) -> tuple[int, int, int]:
        item = version.items[place]
        order = (*MEASURED, "train", "")
        return -item.width * item.height, order.index(item.split), place

    return min(group.pictures, key=rank)


MENDS = {
    "leave-out-of-test": Mend(
        "Leave out of test and validation",
        "What is learned from is not measured on any more.",
        ("leak",),
        "left out of what is measured on",
        unmeasured,
    ),
    "leave-out-of-train": Mend(
        "Leave out of train", "Test and validation stay as they are: earlier figures can be compared.", ("leak",), "left out of train", unlearned
    ),
    "into-train": Mend("Move all to train", "No picture is lost; test and validation get smaller.", ("leak",), "moved to train", into_train),
    "leave-out-both": Mend("Leave out all of them", "Nobody knows which label is right.", ("conflict",), "with two labels left out", none),
    "keep-together": Mend("Keep together", "They get one group, and are never drawn into two splits.", ("loose",), "put into groups", together),
    "keep-one": Mend("Keep one", "The one with most pixels stays.", ("leak", "loose", "class"), "left out, since another one stays", keep_one),
}
"""By the names that the command line takes. `labelled` is one more, with a label."""


def meant(name: str, groups: Iterable[Group]) -> list[Group]:
    """The groups that a mend is for. Where a picture has two labels, keeping any one of them would be to guess."""
    mend = MENDS[name]
    return [group for group in groups if set(group.kinds) & set(mend.kinds) and not (mend.act is keep_one and group.conflict)]


def changed(old: Version, edited: Edited) -> int:
    """How many pictures of a version an edit changes or leaves out."""
    after = {item.key: item for item in edited[1]}
    return sum(after.get(item.key) != item for item in old.items)


def note(old: Version, edited: Edited, done: str) -> str:
    """The note of the version that an edit makes: `3 doubles left out of train.`"""
    count = changed(old, edited)
    return f"{count:,} double{'' if count == 1 else 's'} {done}."


def _beside(version: Version, group: Group, order: Sequence[str]) -> list[int]:
    """The pictures of a group that are not in the first split of `order` that it has any in. Those of no split are left alone."""
    kept = next((split for split in order if split in group.splits), "")
    return [place for place in group.pictures if version.items[place].split not in (kept, "")]


def _keys(version: Version, places: Sequence[int]) -> set[str]:
    items: list[Item] = [version.items[place] for place in places]
    return {item.key for item in items}
