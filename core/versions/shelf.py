"""The datasets of a home, read and written. A version is there once its JSON file is, and never changes after that."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from core.config.errors import ConfigError
from core.config.limits import quoted
from core.machine.files import written_whole
from core.machine.home import Home
from core.machine.locks import Held, locked
from core.versions import naming
from core.versions.version import SPLITS, Item, Summary, Version, content_hash, items_of, table

PATIENCE = 10.0
"""Seconds to wait while another process writes a version: it takes less than one."""

_VERSION = re.compile(r"\d{4,9}\.json")
_ENDING = re.compile(r"\.[a-z0-9]{1,8}|")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def names(home: Home) -> list[str]:
    """The datasets of the home that have a version, sorted as people read them."""
    if not home.datasets.is_dir():
        return []
    found = [folder.name for folder in home.datasets.iterdir() if not folder.name.startswith(".") and _numbers(folder)]
    return sorted(found, key=naming.people_order)


def find(home: Home, name: str) -> str:
    """The dataset that `name` means, spelled as it is: case does not count. Raises ConfigError on `dataset` where there is none."""
    there = names(home)
    found = next((one for one in there if naming.same(one, name)), None)
    if found is None:
        ways = f"there are: {', '.join(there[:10])}" if there else "import one first: python -m core import SOURCE --name NAME"
        raise ConfigError("dataset", f"no dataset of your own is called {quoted(name)}; {ways}")
    return found


def folder_of(home: Home, name: str) -> Path:
    """The folder of a dataset, be it there or not. Raises ConfigError on `name` for what no dataset can be called."""
    return home.datasets / naming.checked(name)


def path_of(home: Home, name: str, item: Item) -> Path:
    """The file of a picture."""
    return home.datasets / name / place_of(item.sha256, item.ending)


def place_of(sha256: str, ending: str) -> Path:
    """Where a picture lies in the folder of its dataset."""
    return Path("pictures", sha256[:2], f"{sha256}{ending}")


def summaries(home: Home, name: str) -> list[Summary]:
    """The versions of a dataset, newest first, without reading their pictures. Raises ConfigError on `dataset`."""
    name = find(home, name)
    folder = home.datasets / name
    return [_summary(name, number, _facts(folder, number)) for number in reversed(_numbers(folder))]


def newest(home: Home, name: str) -> Summary:
    """What the newest version is. Raises ConfigError on `dataset`."""
    return summary(home, name, None)


def summary(home: Home, name: str, number: int | None) -> Summary:
    """What version `number` is (None: the newest), without reading its pictures.

    Raises:
        ConfigError: on `dataset`, where there is no such dataset or version.
    """
    name = find(home, name)
    folder = home.datasets / name
    there = _numbers(folder)
    number = there[-1] if number is None else number
    if number not in there:
        known = ", ".join(map(str, there[-8:]))
        raise ConfigError("dataset", f"{name!r} has no version {number}; there are {known}: write own:{name} for the newest")
    return _summary(name, number, _facts(folder, number))


def read(home: Home, name: str, number: int | None = None) -> Version:
    """A version with its pictures; the newest where no number is given. What was read is kept in memory, for four versions.

    Raises:
        ConfigError: on `dataset`, where there is no such dataset or version, or its files were changed from outside.
    """
    found = summary(home, name, number)
    return _read(home.datasets / found.dataset, found.dataset, found.number, found.hash)


def report_of(home: Home, name: str, number: int) -> dict[str, Any]:
    """What import had to say of the version that it made; empty for a version that it did not make."""
    path = home.datasets / name / "versions" / f"{number:04}.report.json"
    try:
        return dict(json.loads(path.read_bytes()))
    except (OSError, ValueError):
        return {}


def write(
    home: Home, name: str, classes: Sequence[str], items: Sequence[Item], note: str, parent: int | None, *,
    fit: str = "", split_note: str = "", report: Mapping[str, Any] | None = None,
) -> Version:  # fmt: skip
    """Write a new version, whole or not at all. The pictures of its items are in place already.

    Args:
        parent: the version that it was made of, which must be the newest still; None for the first one.

    Raises:
        ConfigError: on `parent`, where another version was written meanwhile or is being written; on `classes` or `items`, for what can be no
            version; on `name`.
        OSError: the disk is full or cannot be written. Nothing is kept.
    """
    with changing(home, name):
        return write_into(folder_of(home, name), classes, items, note, parent, fit=fit, split_note=split_note, report=report)


def write_into(
    folder: Path, classes: Sequence[str], items: Sequence[Item], note: str, parent: int | None, *,
    fit: str = "", split_note: str = "", report: Mapping[str, Any] | None = None, dataset: str = "",
) -> Version:  # fmt: skip
    """As `write`, into a folder that nobody else writes to: whoever calls this holds the lock."""
    there = _numbers(folder)
    last = there[-1] if there else None
    if parent != last:
        what = f"version {last} is the newest now" if last else "it has no versions any more"
        raise ConfigError("parent", f"{dataset or folder.name!r} has changed meanwhile: {what}; look at it, and do it once more")
    classes = naming.checked_classes(classes)
    _check_items(classes, items)
    content = table(items)
    number = (last or 0) + 1
    splits = Counter(item.split for item in items)
    facts = {
        "hash": content_hash(classes, content), "classes": list(classes), "images": len(items),
        "splits": {split: splits[split] for split in (*SPLITS, "") if splits[split]},
        "made": datetime.now(UTC).isoformat(timespec="seconds"), "note": note, "parent": parent, "fit": fit, "split_note": split_note,
    }  # fmt: skip
    stem = folder / "versions" / f"{number:04}"
    if report is not None:
        _put(stem.with_suffix(".report.json"), _json(report))
    _put(stem.with_suffix(".csv"), content)
    _put(stem.with_suffix(".json"), _json(facts))
    name = dataset or folder.name
    return Version(name, number, str(facts["hash"]), classes, tuple(items), str(facts["made"]), note, parent, fit, split_note)


def restore(home: Home, name: str, number: int, parent: int | None = None) -> Version:
    """Version `number` as a new version, the newest. `parent`: the newest as the person saw it; None for whatever it is.

    Raises:
        ConfigError: as `read` and `write`; on `dataset`, for the newest itself or one that holds the same.
    """
    old, last = read(home, name, number), newest(home, name)
    if (old.hash, old.fit) == (last.hash, last.fit):
        raise ConfigError("dataset", f"version {last.number} of {old.dataset!r} is what version {number} was already; choose another version")
    note = f"Version {number} restored."
    above = last.number if parent is None else parent
    return write(home, old.dataset, old.classes, old.items, note, above, fit=old.fit, split_note=old.split_note)


@contextmanager
def changing(home: Home, name: str) -> Iterator[None]:
    """Hold the lock under which the versions of a dataset change. Raises ConfigError on `name` if somebody else holds it for long."""
    try:
        with locked(lock_of(home, name, "versions"), PATIENCE):
            yield
    except Held:
        raise ConfigError("name", f"another process is changing {name!r}; wait until it is done, and do it once more") from None


def lock_of(home: Home, name: str, what: str) -> Path:
    """The file of a lock of a dataset: "versions", or "import"."""
    return home.datasets / ".locks" / f"{naming.checked(name).casefold()}.{what}"


def has_versions(folder: Path) -> bool:
    """Whether a folder is a dataset."""
    return bool(_numbers(folder))


def _numbers(folder: Path) -> list[int]:
    """The versions that a folder has, ascending."""
    try:
        return sorted(int(path.name[:-5]) for path in (folder / "versions").iterdir() if _VERSION.fullmatch(path.name))
    except OSError:
        return []


def _facts(folder: Path, number: int) -> dict[str, Any]:
    path = folder / "versions" / f"{number:04}.json"
    try:
        facts = json.loads(path.read_bytes())
        _summary(folder.name, number, facts)
        return dict(facts)
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise _damaged(folder.name, number, path, error) from None


def _summary(name: str, number: int, facts: Mapping[str, Any]) -> Summary:
    classes, splits, fit = tuple(facts["classes"]), dict(facts["splits"]), str(facts.get("fit", ""))
    return Summary(name, number, facts["hash"], facts["made"], facts["note"], facts["parent"], facts["images"], classes, splits, fit)


@lru_cache(maxsize=4)
def _read(folder: Path, name: str, number: int, expected: str) -> Version:
    facts = _facts(folder, number)
    path = folder / "versions" / f"{number:04}.csv"
    try:
        content = path.read_bytes()
        if content_hash(facts["classes"], content) != expected:
            raise ValueError("it does not hold what was written")
        items = items_of(content)
    except (OSError, ValueError) as error:
        raise _damaged(name, number, path, error) from None
    made, note = facts["made"], facts["note"]
    return Version(
        name, number, expected, tuple(facts["classes"]), items, made, note, facts["parent"], facts.get("fit", ""), facts.get("split_note", "")
    )


def _damaged(name: str, number: int, path: Path, error: Exception) -> ConfigError:
    reason = getattr(error, "strerror", None) or str(error)
    return ConfigError("dataset", f"version {number} of {name!r} cannot be read: {path} was changed or damaged ({reason}); use another version")


def _check_items(classes: Sequence[str], items: Sequence[Item]) -> None:
    known = set(classes)
    seen = set()
    for item in items:
        if item.label not in known:
            raise ConfigError("items", f"{quoted(item.name)} is of class {quoted(item.label)}, which is none of the classes; add it, or relabel")
        if item.split not in ("", *SPLITS):
            raise ConfigError("items", f"{quoted(item.name)} is in split {quoted(item.split)}; it is one of {', '.join(SPLITS)}, or empty")
        if not (_SHA256.fullmatch(item.sha256) and _ENDING.fullmatch(item.ending)):
            raise ConfigError("items", f"{quoted(item.name)} has no SHA-256 and ending that a file can be called by; import it anew")
        if not (item.name + item.group).isprintable():
            raise ConfigError("items", f"{quoted(item.name)} has letters that cannot be printed in its name or group; rename it")
        seen.add(item.key)
    if len(seen) < len(items):
        raise ConfigError("items", f"{len(items) - len(seen):,} pictures are there twice, with the same bytes and name; leave one of each out")


def _put(path: Path, content: bytes) -> None:
    with written_whole(path) as file:
        file.write(content)


def _json(facts: Mapping[str, Any]) -> bytes:
    return json.dumps(facts, indent=1, ensure_ascii=False).encode() + b"\n"
