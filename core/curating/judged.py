"""What a person said of doubted labels, kept beside the dataset, so that nothing is asked twice and a refresh loses nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from pydantic import TypeAdapter

from core.config import ConfigError
from core.curating.doubts import Doubt
from core.evaluation.intervals import wilson
from core.machine.files import written_whole
from core.machine.home import Home
from core.records.evaluation import Interval
from core.versions import Version
from core.versions.edits import Edited
from core.versions.shelf import changing, folder_of


class Said(NamedTuple):
    """A label that a picture has, and the one that it shall have: the same where it was confirmed."""

    old: str
    new: str


@dataclass(frozen=True)
class Judged:
    """By `Item.key`: what was said of pictures and is not yet in a version (`open`), and what is settled."""

    open: dict[str, Said] = field(default_factory=dict)
    settled: dict[str, Said] = field(default_factory=dict)

    @property
    def corrections(self) -> dict[str, str]:
        """New labels that are in no version yet, by key."""
        return {key: said.new for key, said in self.open.items() if said.new != said.old}

    @property
    def wrong(self) -> Interval:
        """The share of labels that a person changed among those that were judged, of this dataset in all, with its 95 % interval."""
        every = {**self.settled, **self.open}.values()
        return wilson(sum(said.new != said.old for said in every), len(every))

    def of(self, key: str, label: str) -> Said | None:
        """What was said of a picture that has this label; None: it is to be asked about, as it is where a correction was undone."""
        said, settled = self.open.get(key), self.settled.get(key)
        if said is not None and said.old == label:
            return said
        return settled if settled is not None and settled.new == label else None


_JUDGED = TypeAdapter(Judged)


def read(home: Home, dataset: str) -> Judged:
    """What was said of a dataset's pictures; nothing where that cannot be read."""
    try:
        return _JUDGED.validate_json((folder_of(home, dataset) / "judged.json").read_bytes())
    except (OSError, ValueError):
        return Judged()


def remember(home: Home, version: Version, said: Sequence[tuple[str, str | None]]) -> Judged:
    """Write down labels that a person gave to pictures of a version, by key, in order; None takes back what was said of a picture.

    Raises:
        ConfigError: on `label`, there is no such class; on `name`, somebody else is changing the dataset.
    """
    with changing(home, version.dataset):
        before = read(home, version.dataset)
        now, settled = dict(before.open), dict(before.settled)
        for key, label in said:
            item = version.by_key.get(key)
            if label is not None and label not in version.classes:
                raise ConfigError("label", f"there is no class {label!r} in {version.text}; choose one of its classes, or add it first")
            now.pop(key, None)
            settled.pop(key, None)
            if item is not None and label is not None:
                now[key] = Said(item.label, label)
        made = Judged(now, settled)
        _write(home, version.dataset, made)
    return made


def corrected(version: Version, judged: Judged) -> Edited:
    """The version with all corrections that are in none yet."""
    new = {key: label for key, label in judged.corrections.items() if label in version.classes}
    return version.classes, tuple(item._replace(label=new.get(item.key, item.label)) for item in version.items)


def settle(home: Home, dataset: str) -> None:
    """What is open is in a version now."""
    with changing(home, dataset):
        now = read(home, dataset)
        _write(home, dataset, replace(now, open={}, settled={**now.settled, **now.open}))


def waiting(version: Version, doubts: Sequence[Doubt], judged: Judged) -> list[Doubt]:
    """The doubts that nothing was said of yet."""
    items = version.items
    return [doubt for doubt in doubts if judged.of(items[doubt.picture].key, items[doubt.picture].label) is None]


def _write(home: Home, dataset: str, judged: Judged) -> None:
    with written_whole(folder_of(home, dataset) / "judged.json") as file:
        file.write(_JUDGED.dump_json(judged, indent=1))
