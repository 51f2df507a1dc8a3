"""Datasets of a person's own, in versions, as something to train on. No torch.

A config names one as `own:NAME` (the newest version) or `own:NAME@3`. A run that is started keeps `own:NAME@3:a1b2c3d4e5f6`, with the beginning of
the version's hash: what was deleted and imported anew under the same name is another dataset.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.config.errors import ConfigError
from core.config.limits import quoted
from core.data.layouts import Part
from core.data.origins import Origin
from core.data.sources import Raw, Source
from core.data.splits import TEST_SEED, TEST_SHARE, grouped_split
from core.data.stock import counted
from core.machine.home import Home
from core.versions import Item, Summary, Version, bin, naming, shelf

OWN = "own"

_CHOICE = re.compile(r"(?P<name>[^@:]*)(@(?P<number>\d{1,9})(:(?P<hash>[0-9a-f]{1,64}))?)?")


@dataclass(frozen=True)
class Choice:
    """A dataset and its version, as a config names them. `number` None: the newest; `hash`: what the version's hash must begin with."""

    name: str
    number: int | None = None
    hash: str = ""

    @property
    def text(self) -> str:
        """What stands in a config."""
        return f"{OWN}:{self.name}" + ("" if self.number is None else f"@{self.number}") + (f":{self.hash}" if self.hash else "")

    @property
    def short(self) -> str:
        """What a person reads: `flowers, version 3`."""
        return self.name + ("" if self.number is None else f", version {self.number}")


def parse(dataset: str) -> Choice | None:
    """What `own:NAME`, `own:NAME@3` or `own:NAME@3:HASH` means; None for a dataset of another kind. Nothing is looked up.

    Raises:
        ConfigError: on `dataset`, for `own:` with something else behind it.
    """
    kind, colon, rest = dataset.partition(":")
    if not colon or kind.strip().casefold() != OWN:
        return None
    match = _CHOICE.fullmatch(rest.strip())
    if match is None or not match["name"].strip():
        raise ConfigError("dataset", f"{quoted(dataset)} names no dataset of your own; write own:NAME, or own:NAME@3 for its version 3")
    return Choice(match["name"].strip(), int(match["number"]) if match["number"] else None, match["hash"] or "")


def named(dataset: str) -> Choice | None:
    """As `parse`, and None for what is of another Thaw."""
    try:
        return parse(dataset)
    except ConfigError:
        return None


def resolve(home: Home, choice: Choice) -> Summary:
    """The version that is meant.

    Raises:
        ConfigError: on `dataset`, where it is not there, is another one now, or has fewer than two classes.
    """
    try:
        found = shelf.summary(home, choice.name, choice.number)
    except ConfigError:
        if any(naming.same(one.name, choice.name) for one in bin.binned(home)) and not any(
            naming.same(one, choice.name) for one in shelf.names(home)
        ):
            remedy = f"bring it back: python -m core datasets --undelete {choice.name}"
            raise ConfigError("dataset", f"your dataset {choice.name!r} was deleted and lies in the bin; {remedy}") from None
        raise
    if choice.hash and not found.hash.startswith(choice.hash):
        what = f"version {found.number} of {found.dataset!r} is not what was meant: its hash is {found.short_hash}, and {choice.hash} was trained on"
        raise ConfigError("dataset", f"{what}. The dataset was deleted and made anew since; write {OWN}:{found.dataset} for what is there now")
    if len(found.classes) < 2:
        classes = f"has a single class, {found.classes[0]!r}" if found.classes else "has no classes"
        raise ConfigError("dataset", f"{found.text} {classes}; it takes at least two to tell apart: relabel some pictures, or add others")
    return found


def fit_of(home: Home, dataset: str) -> str:
    """How a version of one's own says that its pictures go into a square; "" for a dataset of another kind, or where nobody said. Never raises."""
    try:
        choice = parse(dataset)
        return shelf.summary(home, choice.name, choice.number).fit if choice else ""
    except ConfigError:
        return ""


def folder(home: Home, choice: Choice) -> Path:
    """The folder of the dataset, be it there or not."""
    try:
        return home.datasets / shelf.find(home, choice.name)
    except ConfigError:
        return home.datasets / choice.name


def read(home: Home, chosen: Summary) -> Raw:
    """The pictures of a version, as files.

    Those that it puts into a split are there; those of no split are with the training pictures, from which a run sets aside what is missing. If
    some belong to groups and no picture is put into the test set, groups are set aside here.

    Raises:
        ConfigError: on `dataset`, where files of it are gone, or a class has nothing to train on.
    """
    version = shelf.read(home, chosen.dataset, chosen.number)
    _check_there(home, version)
    parts = divided(version)
    empty = [
        name for name, count in zip(version.classes, counted(labels_of(version, parts["train"]), len(version.classes)), strict=True) if not count
    ]
    if empty:
        remedy = "put some of its pictures there, or drop the class"
        raise ConfigError("dataset", f"{version.text} has no picture of {empty[0]!r} among those to train on; {remedy} on the Data screen")
    sources = {part: _source(home, version, items) for part, items in parts.items() if items}
    return Raw(version.classes, sources["train"], sources.get("test"), sources.get("validation"), _notes(version, parts))


def counts(home: Home, choice: Choice) -> Mapping[Part, tuple[int, ...]]:
    """Pictures of each class in the sets that a version comes with, as `core.data.stock.divided` takes them. Raises ConfigError as `resolve`."""
    found = resolve(home, choice)
    version = shelf.read(home, found.dataset, found.number)
    return {part: counted(labels_of(version, items), len(version.classes)) for part, items in divided(version).items() if items or part == "train"}


def check_unchanged(dataset: str, origins: Mapping[Part, Origin]) -> None:
    """See that each picture of a version still holds what it is called by. Raises ConfigError on `dataset` where one does not."""
    if parse(dataset) is None:
        return
    for origin in origins.values():
        for file, digest in zip(origin.files, origin.digests, strict=True):
            if Path(file).stem != digest:
                raise ConfigError("dataset", f"{file} of {dataset} was changed since it was imported; import its pictures anew, or undo the change")


def names_of(home: Home, dataset: str) -> Mapping[str, str]:
    """What the pictures of a version are called by their person, under the names of their files without ending; empty for other datasets."""
    choice = parse(dataset)
    if choice is None:
        return {}
    try:
        found = resolve(home, choice)
        return {item.sha256: item.name for item in reversed(shelf.read(home, found.dataset, found.number).items)}
    except ConfigError:  # it is gone
        return {}


def divided(version: Version) -> dict[Part, list[Item]]:
    """The pictures of a version by set, in their order: see `read`. Validation and test may be empty: then a run sets some aside."""
    parts: dict[Part, list[Item]] = {"train": [], "validation": [], "test": []}
    for item in version.items:
        parts[item.split or "train"].append(item)  # type: ignore[index]  # one of the three
    if not parts["test"] and any(item.group for item in parts["train"]):
        pool = parts["train"]
        kept, tested = grouped_split(labels_of(version, pool), groups_of(pool), TEST_SHARE, TEST_SEED)
        if not len(tested):
            remedy = "put some of them into the test set on the Data screen, or import them without groups"
            raise ConfigError("dataset", f"no group of pictures of {version.text} can be set aside to test on: a class would be without; {remedy}")
        parts["train"], parts["test"] = [pool[place] for place in kept], [pool[place] for place in tested]
    return parts


def labels_of(version: Version, items: Sequence[Item]) -> NDArray[np.int64]:
    """The labels of some pictures, int64 [N]: the places of their classes."""
    place = {name: label for label, name in enumerate(version.classes)}
    return np.asarray([place[item.label] for item in items], dtype=np.int64)


def groups_of(items: Sequence[Item]) -> NDArray[np.int64]:
    """A number for each group, and for each picture of none, int64 [N]. The same picture under two names has one number."""
    numbers: dict[str, int] = {}
    return np.asarray([numbers.setdefault(item.group or item.sha256, len(numbers)) for item in items], dtype=np.int64)


def _source(home: Home, version: Version, items: Sequence[Item]) -> Source:
    files = tuple(shelf.path_of(home, version.dataset, item) for item in items)
    return Source(files, labels_of(version, items), groups_of(items) if any(item.group for item in items) else None)


def _check_there(home: Home, version: Version) -> None:
    """See that no file is gone: the folders are listed, which is far quicker than asking for each file."""
    wanted = {f"{item.sha256}{item.ending}" for item in version.items}
    there = {file.name for file in (home.datasets / version.dataset / "pictures").glob("??/*")}
    missing = sorted(wanted - there)
    if missing:
        where = home.datasets / version.dataset / "pictures"
        what = f"{len(missing):,} of {len(wanted):,} pictures of {version.text} are gone from {where}, for example {missing[0][:16]}..."
        raise ConfigError("dataset", f"{what}; bring them back from a copy, or import the pictures anew")


def _notes(version: Version, parts: Mapping[Part, Sequence[Item]]) -> tuple[str, ...]:
    notes = [f"The pictures are those of {version.text}: {len(version.items):,} of {len(version.classes):,} classes."]
    unsaid, said = sum(not item.split for item in version.items), {item.split for item in version.items if item.split}
    if version.split_note:
        notes.append(f"Its splits: {version.split_note}")
    if unsaid and "test" in said:
        notes.append(f"{unsaid:,} of its pictures are in no split; they are trained on, and validated on where a share of those is taken for that.")
    elif any(item.group for item in version.items) and "test" not in said:
        notes.append(f"{len(parts['test']):,} pictures are set aside to test on, whole groups of them: none is in two sets.")
    return tuple(notes)
