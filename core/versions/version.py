"""What a version of a dataset is, and how two of them differ. Pure: no files."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

SPLITS = ("train", "validation", "test")
"""What an item's `split` may say. It may also be empty: then the run sets validation and test pictures aside, as of a folder."""


class Item(NamedTuple):
    """One picture in a version.

    Args:
        sha256: of the bytes of its file, 64 hexadecimal digits.
        ending: of its file, `.jpg`.
        name: where it came from, as its person knows it: `cats/IMG_1.jpg`.
        label: its class.
        split: one of `SPLITS`, or "".
        group: pictures of one group are never put into two splits; "" for none.
        width, height: upright, in pixels.
    """

    sha256: str
    ending: str
    name: str
    label: str
    split: str = ""
    group: str = ""
    width: int = 0
    height: int = 0

    @property
    def key(self) -> str:
        """What tells it from all others of its version: the same picture may be there under two names."""
        return f"{self.sha256} {self.name}"


@dataclass(frozen=True)
class Summary:
    """What can be said of a version without reading its pictures.

    Args:
        hash: SHA-256 over classes and items in order, hexadecimal; `short_hash` is what is shown.
        made: when, in ISO 8601.
        note: what was done, in a sentence.
        splits: pictures by split, in the order of `SPLITS`; those of no split under "".
        fit: how they go into a square, "" where nobody said.
    """

    dataset: str
    number: int
    hash: str
    made: str
    note: str
    parent: int | None
    images: int
    classes: tuple[str, ...]
    splits: dict[str, int]
    fit: str = ""

    @property
    def short_hash(self) -> str:
        """The first 12 digits of the hash."""
        return self.hash[:12]

    @property
    def text(self) -> str:
        """`flowers, version 3 (a1b2c3d4e5f6)`."""
        return f"{self.dataset}, version {self.number} ({self.short_hash})"


@dataclass(frozen=True)
class Version:
    """One version, with its pictures in order. `fit`: how they go into a square, "" where nobody said; `split_note`: how splits were made."""

    dataset: str
    number: int
    hash: str
    classes: tuple[str, ...]
    items: tuple[Item, ...]
    made: str
    note: str
    parent: int | None
    fit: str = ""
    split_note: str = ""

    @property
    def short_hash(self) -> str:
        """The first 12 digits of the hash."""
        return self.hash[:12]

    @property
    def text(self) -> str:
        """`flowers, version 3 (a1b2c3d4e5f6)`."""
        return f"{self.dataset}, version {self.number} ({self.short_hash})"

    @cached_property
    def counts(self) -> dict[str, tuple[int, ...]]:
        """Pictures of each class, in the order of the classes, by split; those of no split under ""."""
        found = Counter((item.split, item.label) for item in self.items)
        used = [split for split in (*SPLITS, "") if any(at == split for at, _ in found)]
        return {split: tuple(found[split, label] for label in self.classes) for split in used}

    @cached_property
    def by_key(self) -> dict[str, Item]:
        """Each item under its key."""
        return {item.key: item for item in self.items}


def table(items: Iterable[Item]) -> bytes:
    """Items as the CSV file that is kept: a row each, in order, below a row with the names of the columns."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(Item._fields)
    writer.writerows(items)
    return text.getvalue().encode()


def items_of(content: bytes) -> tuple[Item, ...]:
    """The items of `table`. Raises ValueError for anything else."""
    rows = csv.reader(io.StringIO(content.decode(), newline=""), strict=True)
    if tuple(next(rows, ())) != Item._fields:
        raise ValueError("its columns are not those of a version")
    try:
        return tuple([Item(row[0], row[1], row[2], row[3], row[4], row[5], int(row[6]), int(row[7])) for row in rows])
    except (IndexError, csv.Error) as error:
        raise ValueError(f"a row of it is damaged ({error})") from None


def content_hash(classes: Sequence[str], content: bytes) -> str:
    """SHA-256 over the classes and the items, of which `content` is the table."""
    return hashlib.sha256(json.dumps(list(classes)).encode() + b"\n" + content).hexdigest()


@dataclass(frozen=True)
class Difference:
    """What makes one version of another. Pictures are the same where bytes and name are; pairs are (old, new).

    `relabelled` leaves out what only follows from a renamed class. `reordered`: the classes that are in both stand in another order. `fits`: how
    pictures went, and go, into a square.
    """

    came: tuple[Item, ...] = ()
    went: tuple[Item, ...] = ()
    relabelled: tuple[tuple[Item, Item], ...] = ()
    moved: tuple[tuple[Item, Item], ...] = ()
    regrouped: tuple[tuple[Item, Item], ...] = ()
    renamed: tuple[tuple[str, str], ...] = ()
    new_classes: tuple[str, ...] = ()
    gone_classes: tuple[str, ...] = ()
    reordered: bool = False
    fits: tuple[str, str] = ("", "")

    @property
    def sentence(self) -> str:
        """`3 pictures came, 1 went, 2 changed label; class 'cat' became 'cats'.`"""
        counted = ((self.came, "came"), (self.went, "went"), (self.relabelled, "changed label"), (self.moved, "changed split"))
        counts = [f"{len(which):,} {what}" for which, what in (*counted, (self.regrouped, "changed group")) if which]
        if counts:
            number, _, rest = counts[0].partition(" ")
            counts[0] = f"{number} picture{'' if number == '1' else 's'} {rest}"
        said = [", ".join(counts)] if counts else []
        said += [f"class {old!r} became {new!r}" for old, new in self.renamed]
        said += [f"class {name!r} is new" for name in self.new_classes] + [f"class {name!r} is gone" for name in self.gone_classes]
        said += ["the classes stand in another order"] if self.reordered else []
        before, after = (fit or "as each run says" for fit in self.fits)
        said += [f"into a square: {after}, before {before}"] if before != after else []
        text = "; ".join(said)
        return f"{text[:1].upper()}{text[1:]}." if text else "Nothing differs."


def compare(old: Version, new: Version) -> Difference:
    """How `new` differs from `old`."""
    pairs = [(item, after) for key, item in old.by_key.items() if (after := new.by_key.get(key))]
    renamed = _renamed(old, new, pairs)
    gone = [name for name in old.classes if name not in new.classes and name not in renamed]
    came = [name for name in new.classes if name not in old.classes and name not in renamed.values()]
    kept = [renamed.get(name, name) for name in old.classes if name not in gone]
    return Difference(
        came=tuple(item for key, item in new.by_key.items() if key not in old.by_key),
        went=tuple(item for key, item in old.by_key.items() if key not in new.by_key),
        relabelled=tuple((before, after) for before, after in pairs if renamed.get(before.label, before.label) != after.label),
        moved=tuple((before, after) for before, after in pairs if before.split != after.split),
        regrouped=tuple((before, after) for before, after in pairs if before.group != after.group),
        renamed=tuple(renamed.items()),
        new_classes=tuple(came),
        gone_classes=tuple(gone),
        reordered=kept != [name for name in new.classes if name not in came],
        fits=(old.fit, new.fit),
    )


def _renamed(old: Version, new: Version, pairs: Sequence[tuple[Item, Item]]) -> dict[str, str]:
    """Classes that are called otherwise now: all pictures that both versions have went from one that is gone into one that is new."""
    became: dict[str, set[str]] = {}
    for before, after in pairs:
        became.setdefault(before.label, set()).add(after.label)
    found = {label: next(iter(labels)) for label, labels in became.items() if label not in new.classes and len(labels) == 1}
    found = {label: name for label, name in found.items() if name not in old.classes}
    return {label: name for label, name in found.items() if list(found.values()).count(name) == 1}
