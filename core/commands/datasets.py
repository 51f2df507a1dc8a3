"""`python -m core datasets`: what was imported, in versions; deleting, comparing, bringing back, splitting."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from core.commands import Parsers
from core.config.errors import ConfigError
from core.machine.home import Home

FITS = ("crop", "squash", "pad")
"""Ways into a square: `core.config.FITS`, which costs more to import than a parser may."""

NAMES: Sequence[str] = ("datasets",)


def add(commands: Parsers, shared: argparse.ArgumentParser, as_json: argparse.ArgumentParser) -> None:
    """Add the parser."""
    parser = commands.add_parser("datasets", parents=[shared, as_json])
    parser.add_argument("name", metavar="NAME", nargs="?", help="one dataset: its versions, and what the last import had to say")
    do = parser.add_mutually_exclusive_group()
    do.add_argument("--delete", metavar="NAME", help="put a dataset into the bin")
    do.add_argument("--undelete", metavar="NAME", help="bring a dataset back out of the bin")
    do.add_argument("--purge", metavar="NAME", nargs="?", const="", help="remove what is in the bin for good, or all of one name in it")
    do.add_argument("--compare", metavar=("OLD", "NEW"), nargs=2, type=int, help="how two versions of NAME differ")
    do.add_argument("--restore", metavar="N", type=int, help="make version N of NAME the newest, as a new version")
    do.add_argument("--split", metavar="SHARES", help="put every picture of NAME into a split, as a new version: 70,15,15 (train, validation, test)")
    do.add_argument(
        "--fit", choices=FITS, help="how the pictures of NAME go into a square, as a new version: runs on it take that where nothing is said"
    )
    parser.add_argument("--seed", metavar="N", type=int, default=0, help="with --split: another one gives other splits")


def run(home: Home, arguments: argparse.Namespace) -> int:
    """Carry it out. Raises ConfigError for what is not there or cannot be."""
    from core.versions import bin

    if arguments.delete is not None:
        return _delete(home, arguments)
    if arguments.undelete is not None:
        return _say(arguments, {"name": (name := bin.undelete(home, arguments.undelete))}, f"{name} is back")
    if arguments.purge is not None:
        from core.records.telling import size

        freed = bin.purge(home, arguments.purge or None)
        return _say(arguments, {"freed_bytes": freed}, f"{size(freed)} are free")
    if arguments.name is None:
        if arguments.compare or arguments.restore is not None or arguments.split is not None or arguments.fit:
            raise ConfigError("name", "of which dataset? Write datasets NAME and then what to do with it")
        return _list(home, arguments)
    if arguments.compare:
        return _compare(home, arguments)
    if arguments.restore is not None or arguments.split is not None or arguments.fit:
        return _new_version(home, arguments)
    return _show(home, arguments)


def _delete(home: Home, arguments: argparse.Namespace) -> int:
    from core.importing import keeping
    from core.store import RunStore

    store = RunStore(home.database)
    used = keeping.users(store, arguments.delete).sentence
    deleted = keeping.delete(home, store, arguments.delete)
    if used:
        print(f"thaw: {used[0].upper()}{used[1:]}", file=sys.stderr)
    said = f"{deleted.name} is in the bin; datasets --undelete {deleted.name} brings it back, datasets --purge frees the disk"
    return _say(arguments, {"name": deleted.name, "deleted": deleted.deleted}, said)


def _list(home: Home, arguments: argparse.Namespace) -> int:
    from core.versions import bin, names, shelf

    found = [shelf.newest(home, name) for name in names(home)]
    if arguments.json:
        deleted = [{"name": one.name, "deleted": one.deleted} for one in bin.binned(home)]
        print(json.dumps({"datasets": [asdict(one) for one in found], "bin": deleted}))
        return 0
    for one in found:
        print(f"{one.dataset:30} version {one.number:<4} {one.images:>9,} pictures  {len(one.classes):>6,} classes  {one.made}")
    for gone in bin.binned(home):
        print(f"{gone.name:30} in the bin since {gone.deleted}")
    return 0


def _show(home: Home, arguments: argparse.Namespace) -> int:
    from core.versions import shelf, summaries

    found = summaries(home, arguments.name)
    newest = shelf.read(home, arguments.name)
    report = next((report for one in found if (report := shelf.report_of(home, one.dataset, one.number))), {})
    if arguments.json:
        counts = {split or "none": dict(zip(newest.classes, numbers, strict=True)) for split, numbers in newest.counts.items()}
        said = {"name": newest.dataset, "versions": [asdict(one) for one in found], "counts": counts, "split_note": newest.split_note}
        print(json.dumps({**said, "report": report}))
        return 0
    for one in found:
        print(f"version {one.number:<4} {one.short_hash}  {one.made}  {one.images:,} pictures of {len(one.classes):,} classes: {one.note}")
    for place, name in enumerate(newest.classes):
        counted = ", ".join(f"{split or 'no split'} {numbers[place]:,}" for split, numbers in newest.counts.items() if numbers[place])
        print(f"  {name}: {counted or 'no pictures'}")
    print(*report.get("notes", ()), *report.get("left_out", ()), sep="\n")
    for skipped in report.get("skipped", ()):
        print(f"skipped: {skipped['file']}: {skipped['reason']}")
    return 0


def _compare(home: Home, arguments: argparse.Namespace) -> int:
    from core.versions import compare, read

    old, new = (read(home, arguments.name, number) for number in arguments.compare)
    found = compare(old, new)
    names: dict[str, Any] = {"came": [item.name for item in found.came], "went": [item.name for item in found.went]}
    names["relabelled"] = [{"name": after.name, "from": before.label, "to": after.label} for before, after in found.relabelled]
    names["moved"] = [{"name": after.name, "from": before.split, "to": after.split} for before, after in found.moved]
    names["renamed"] = [{"from": before, "to": after} for before, after in found.renamed]
    return _say(arguments, {"name": new.dataset, **names}, found.sentence)


def _new_version(home: Home, arguments: argparse.Namespace) -> int:
    from core.versions import read, shelf, splitting, write
    from core.versions.edits import fit_note

    if arguments.restore is not None:
        made = shelf.restore(home, arguments.name, arguments.restore)
    elif arguments.fit:
        last = read(home, arguments.name)
        if last.fit == arguments.fit:
            raise ConfigError("fit", f"{last.text} has {arguments.fit} already; choose another one of {', '.join(FITS)}")
        made = write(
            home, last.dataset, last.classes, last.items, fit_note(arguments.fit), last.number, fit=arguments.fit, split_note=last.split_note
        )
    else:
        last = read(home, arguments.name)
        shares = _shares(arguments.split)
        grouped = any(item.group for item in last.items)
        note = splitting.sentence(shares, arguments.seed, grouped, True)
        classes, items = splitting.split_up(last, shares, arguments.seed)
        made = write(home, last.dataset, classes, items, f"Split: {note}", last.number, fit=last.fit, split_note=note)
    return _say(arguments, {"name": made.dataset, "version": made.number, "hash": made.hash}, made.text)


def _shares(text: str) -> dict[str, float]:
    from core.versions import SPLITS

    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if not 2 <= len(numbers) <= 3:
        raise ConfigError("split", f"{text!r} are no shares of train, validation and test; write for example 70,15,15")
    total = sum(numbers)
    if total <= 0:
        raise ConfigError("split", f"{text!r} add up to nothing; write for example 70,15,15")
    return dict(zip(SPLITS if len(numbers) == 3 else ("train", "test"), (number / total for number in numbers), strict=True))


def _say(arguments: argparse.Namespace, answer: dict[str, Any], text: str) -> int:
    print(json.dumps(answer) if arguments.json else text)
    return 0
