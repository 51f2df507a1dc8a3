"""The script's reading of a dataset of a person's own, a version of it, where no run has listed its pictures yet."""

from __future__ import annotations

from pprint import pformat

from core.code.excerpts import Excerpt
from core.config import RunConfig
from core.data import own
from core.data.layouts import Part
from core.data.splits import grouped_split
from core.machine.home import Home
from core.versions import Item, Version, shelf

_READ = '''ROOT = Path({root!r})  # the folder of the dataset
TABLE = ROOT / "versions" / "{number:04}.csv"  # {about}: a row for each picture
CLASSES = {classes}{held}


def read(transform, part="train"):
    """The pictures of a part, train, validation or test; those that the version puts into none are with the training pictures."""
    with TABLE.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if {part_of} == part]
    files = np.array([ROOT / "pictures" / row["sha256"][:2] / (row["sha256"] + row["ending"]) for row in rows], dtype=object)
    return Pictures(transform, files, [CLASSES.index(row["label"]) for row in rows])'''

_HELD = """
HELD = {held}  # whole groups, and pictures of none (their SHA-256), that a run puts there: none is in two sets


def part_of(row):
    \"\"\"The part that a picture is in.\"\"\"
    return row["split"] or HELD.get(row["group"] or row["sha256"], "train")"""


def version_of(config: RunConfig) -> Version | None:
    """The version that `config` trains on; None for a dataset of another kind. Raises ConfigError as `core.data.own.resolve`."""
    choice = own.parse(config.dataset)
    if choice is None:
        return None
    home = Home.in_use()
    found = own.resolve(home, choice)
    return shelf.read(home, found.dataset, found.number)


def parts_of(version: Version, config: RunConfig) -> frozenset[str]:
    """Which of train, validation and test the version comes with, counting groups that a run holds out."""
    return frozenset(part for part, items in own.divided(version).items() if items) | frozenset(_held(version, config).values())


def version_reader(version: Version, config: RunConfig) -> Excerpt:
    """`read` for a version."""
    held = _held(version, config)
    return Excerpt(
        _READ.format(
            root=str(Home.in_use().datasets / version.dataset),
            number=version.number,
            about=version.text,
            classes=list(version.classes),
            held=_HELD.format(held=pformat(held, width=140)) if held else "",
            part_of="part_of(row)" if held else '(row["split"] or "train")',
        )
    )


def _held(version: Version, config: RunConfig) -> dict[str, Part]:
    """The part of each group that a run with `config` puts into another than the version says; empty where no picture has a group."""
    sets = own.divided(version)
    if not any(item.group for item in sets["train"]):
        return {}
    found: dict[str, Part] = {_unit(item): "test" for item in sets["test"] if not item.split}
    if config.validation_share > 0 and not sets["validation"]:
        pool = sets["train"]
        _, places = grouped_split(own.labels_of(version, pool), own.groups_of(pool), config.validation_share, config.seed)
        found |= {_unit(pool[place]): "validation" for place in places}
    return found


def _unit(item: Item) -> str:
    return item.group or item.sha256
