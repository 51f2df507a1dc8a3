"""What a source was recognised as, and what a person says of it: plain data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from core.data.layouts import Choice
from core.importing.tables import Columns
from core.importing.trees import Kind, Refused, Tree
from core.versions import edits, naming
from core.versions.version import SPLITS

TABLE = "table"
"""As a reading: what a table beside the pictures says; `table=labels.csv` names it."""

FLAT = "flat"
"""As a reading: all pictures, wherever they lie, are of one class, `Corrections.label`."""


@dataclass(frozen=True)
class Corrections:
    """What a person says beside the source.

    Args:
        reading: one of the plan's `choices`; "" for what is recognised.
        file_column, label_column, split_column, group_column: of a table; "" for what is found.
        rename: classes to be called otherwise; two that get one name are merged.
        leave_out: classes, as the source calls them, that are not taken.
        own_splits: whether the source's splits are kept; else pictures are of no split, and a run divides them.
        groups: how names of pictures say which belong together (`core.versions.edits.group_of`).
        label: the class of all pictures, where they lie in no class folders (`FLAT`).
    """

    reading: str = ""
    file_column: str = ""
    label_column: str = ""
    split_column: str = ""
    group_column: str = ""
    rename: Mapping[str, str] = field(default_factory=dict)
    leave_out: Sequence[str] = ()
    own_splits: bool = True
    groups: edits.Ways = "burst"
    label: str = ""

    @property
    def columns(self) -> Columns:
        """The columns that are named."""
        return Columns(self.file_column, self.label_column, self.split_column, self.group_column)

    def to_json(self) -> dict[str, Any]:
        """As JSON has it."""
        return {**asdict(self), "rename": dict(self.rename), "leave_out": list(self.leave_out)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Corrections:
        """What `to_json` gave."""
        return cls(**{**values, "rename": dict(values.get("rename", {})), "leave_out": tuple(values.get("leave_out", ()))})


@dataclass(frozen=True)
class ClassFound:
    """A class as the source calls it, what it will be called ("" for one that is left out), and its pictures by split."""

    name: str
    becomes: str
    counts: Mapping[str, int]

    @property
    def images(self) -> int:
        """Its pictures, all splits together."""
        return sum(self.counts.values())


@dataclass(frozen=True)
class Plan:
    """What would be taken in.

    Args:
        sentence: what was recognised.
        reading: how the source is read, one of the choices; "" where it is asked (`question` says what for).
        choices: all ways to read it, each with its meaning.
        classes: those of the source, in the order that people read.
        groups: how many groups the pictures are of; 0 for none.
        columns, all_columns: of a table: which ones are used, and which there are.
        left_out: sentences about what is not used, such as junk of operating systems.
        refused: files that are refused already, at most `MOST_REFUSED`, of `refused_in_all`.
        problem: why it cannot be imported as it stands; "" if it can.
    """

    source: str
    kind: Kind
    sentence: str = ""
    reading: str = ""
    choices: tuple[Choice, ...] = ()
    question: str = ""
    classes: tuple[ClassFound, ...] = ()
    groups: int = 0
    bytes: int = 0
    columns: Columns | None = None
    all_columns: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    refused: tuple[Refused, ...] = ()
    refused_in_all: int = 0
    problem: str = ""

    @property
    def images(self) -> int:
        """Pictures that would be taken in, if all can be read."""
        return sum(found.images for found in self.classes if found.becomes)

    @property
    def becoming(self) -> tuple[str, ...]:
        """The classes of the dataset, in order."""
        return tuple(sorted({found.becomes for found in self.classes if found.becomes}, key=naming.people_order))

    @property
    def splits(self) -> dict[str, int]:
        """Pictures by split; "" for those of none."""
        total: Counter[str] = Counter()
        for found in self.classes:
            if found.becomes:
                total.update(found.counts)
        return {split: total[split] for split in (*SPLITS, "") if total[split]}

    def to_json(self) -> dict[str, Any]:
        """As JSON has it, with what is worked out of it."""
        said = {**asdict(self), "choices": [choice._asdict() for choice in self.choices]}
        return {**said, "images": self.images, "splits": self.splits, "becoming": list(self.becoming)}


@dataclass(frozen=True)
class Planned:
    """A picture to take in."""

    path: Path
    label: str
    split: str
    group: str


@dataclass(frozen=True)
class Recognised:
    """A plan with the source that it was made of, open, and the pictures to take in, corrected already."""

    plan: Plan
    tree: Tree
    pictures: tuple[Planned, ...]
    refused: tuple[Refused, ...]
