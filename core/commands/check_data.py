"""`python -m core check own:NAME`: what is wrong with a dataset of one's own, and mending it; `doubts own:NAME`: labels that are likely wrong."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from core.commands import Parsers
from core.commands.progress import bar
from core.config import ConfigError
from core.machine.home import Home

if TYPE_CHECKING:
    from core.curating.checking import Check
    from core.curating.doubts import Doubts
    from core.versions import Item, Version

NAMES = ("check", "doubts")

SHOWN = 10
"""Groups or pictures of a kind that are listed; --json lists them all."""


def add(commands: Parsers, shared: argparse.ArgumentParser, as_json: argparse.ArgumentParser) -> None:
    """Add the parsers."""
    check = commands.add_parser("check", parents=[shared, as_json])
    check.add_argument("dataset", metavar="own:NAME", help="a dataset of your own; own:NAME@3 is its version 3")
    check.add_argument("--mend", metavar="WHAT", help="make a new version without what was found: see the names beside what can be mended")
    doubts = commands.add_parser("doubts", parents=[shared, as_json])
    doubts.add_argument("dataset", metavar="own:NAME", help="a dataset of your own; own:NAME@3 is its version 3")
    about = "whose frozen part gives the features: auto (the best whose trained weights are here), pixels (none), or a model's name"
    doubts.add_argument("--model", default="auto", metavar="NAME", help=about)
    doubts.add_argument("--run", metavar="RUN", help="in place of cross-validation: a run on it judges the pictures that it was validated on")


def run(home: Home, arguments: argparse.Namespace) -> int:
    """Carry out `check` or `doubts`; the exit status is 1 where `check` finds a picture in two splits or with two labels."""
    version = _version(home, arguments.dataset)
    if arguments.command == "doubts":
        return _doubts(home, version, _judge(home, arguments), arguments.json)
    if arguments.mend is not None:
        return _mend(home, version, arguments.mend, arguments.json)
    from core.curating.checking import check

    with bar() as progress:
        found = check(home, version, progress)
    if arguments.json:
        print(json.dumps(_report(version, found)), flush=True)
    else:
        print("\n".join(_lines(version, found)))
    return 1 if found.counts["leak"] or found.counts["conflict"] else 0


def _judge(home: Home, arguments: argparse.Namespace) -> str:
    if arguments.run is None:
        return str(arguments.model)
    from core.curating.by_runs import offer
    from core.store import RunStore

    return offer(home, RunStore(home.database), arguments.run).asked


def _version(home: Home, text: str) -> Version:
    from core.data.own import parse
    from core.versions import read

    choice = parse(text) or parse(f"own:{text}")
    assert choice is not None
    return read(home, choice.name, choice.number)


def _report(version: Version, found: Check) -> dict[str, Any]:
    """What was found, ready for JSON: pictures by name."""
    groups = [
        {
            "kinds": list(group.kinds), "sameness": group.kind, "labels": list(group.labels), "splits": list(group.splits),
            "pictures": [_picture(version.items[place]) for place in group.pictures],
        }
        for group in found.groups
    ]  # fmt: skip
    channels = found.channels and {
        "mean": found.channels.mean, "std": found.channels.std, "histograms": found.channels.histograms,
        "pictures": found.channels.pictures, "of": found.channels.of,
    }  # fmt: skip
    odd = [{**_picture(version.items[one.picture]), "reason": one.reason} for one in found.odd]
    return {
        "name": version.dataset, "version": version.number, "hash": version.hash, "images": found.pictures, "classes": list(version.classes),
        "counts": version.counts, "duplicates": found.counts, "groups": groups, "odd": odd, "notes": list(found.said), "channels": channels,
    }  # fmt: skip


def _picture(item: Item) -> dict[str, str]:
    return {"name": item.name, "label": item.label, "split": item.split, "sha256": item.sha256}


def _lines(version: Version, found: Check) -> Iterator[str]:
    from core.curating.duplicates import KINDS
    from core.curating.mending import MENDS
    from core.curating.statistics import rare_classes

    yield f"{version.text}: {found.pictures:,} pictures, {len(version.classes):,} classes"
    rare = rare_classes(version)
    if rare:
        yield f"classes with fewer than 3 pictures: {', '.join(rare[:SHOWN])}{f' and {len(rare) - SHOWN:,} more' if len(rare) > SHOWN else ''}"
    yield from found.said
    if found.channels:
        mean, std = (" ".join(f"{value:.3f}" for value in figures) for figures in (found.channels.mean, found.channels.std))
        yield f"red, green, blue on the scale of 0 to 1: mean {mean}, standard deviation {std}. {found.channels.sentence}"
    for kind, about in KINDS.items():
        groups = found.of(kind)
        if groups:
            mends = ", ".join(name for name, mend in MENDS.items() if kind in mend.kinds)
            yield (
                f"\nthe same picture {about}: {len(groups):,}. Mend with --mend {mends}" if mends else f"\nthe same picture {about}: {len(groups):,}"
            )
            for group in groups[:SHOWN]:
                each = ", ".join(
                    f"{item.name} ({item.label}{', ' + item.split if item.split else ''})" for item in _items(version, group.pictures[:SHOWN])
                )
                each += f" and {len(group.pictures) - SHOWN:,} more" if len(group.pictures) > SHOWN else ""
                yield f"  {group.kind}: {each}"
            yield from _rest(groups)
    if found.odd:
        yield f"\npictures that stand out: {len(found.odd):,}"
        yield from (f"  {version.items[one.picture].name}: {one.reason}" for one in found.odd[:SHOWN])
        yield from _rest(found.odd)
    if not found.groups and not found.odd:
        yield "nothing is wrong with it, as far as this looks: no picture is there twice, none stands out"


def _items(version: Version, places: Sequence[int]) -> list[Item]:
    return [version.items[place] for place in places]


def _rest(listed: Sequence[object]) -> Iterator[str]:
    if len(listed) > SHOWN:
        yield f"  and {len(listed) - SHOWN:,} more (--json lists them all)"


def _mend(home: Home, version: Version, name: str, as_json: bool) -> int:
    from core import versions
    from core.curating import mending
    from core.curating.checking import check

    if name not in mending.MENDS:
        raise ConfigError("mend", f"there is no way {name!r}; use one of {', '.join(mending.MENDS)}")
    mend = mending.MENDS[name]
    with bar() as progress:
        found = check(home, version, progress)
    groups = mending.meant(name, found.groups)
    edited = mend.act(version, groups) if groups else (version.classes, version.items)
    changed = mending.changed(version, edited)
    made = version
    if changed:
        note = mending.note(version, edited, mend.done)
        made = versions.write(home, version.dataset, *edited, note, version.number, fit=version.fit, split_note=version.split_note)
    if as_json:
        print(json.dumps({"name": made.dataset, "version": made.number, "images": len(made.items), "changed": changed}), flush=True)
    else:
        print(f"{made.text}: {made.note}" if changed else f"{version.text}: there is nothing to mend in this way, so no version was made")
    return 0


def _doubts(home: Home, version: Version, model: str, as_json: bool) -> int:
    from core.curating import judged
    from core.curating.doubts import doubts_of

    with bar() as progress:
        found = doubts_of(home, version, progress, model)
    waiting = judged.waiting(version, found.found, judged.read(home, version.dataset))
    if as_json:
        each = [
            {**_picture(version.items[doubt.picture]), "probability": doubt.probability, "guesses": doubt.guesses, "rounds": doubt.rounds}
            for doubt in waiting
        ]
        print(
            json.dumps({
                "name": version.dataset, "version": version.number, "images": len(version.items), "judged": found.judged, "model": found.model,
                "counts": found.counts, "agrees": found.right, "guess": found.guess, "blind": found.blind, "left_out": found.left_out,
                "confirmed_before": len(found.found) - len(waiting), "doubts": each,
            }),
            flush=True,
        )  # fmt: skip
    else:
        print("\n".join(_doubt_lines(version, found, len(found.found) - len(waiting))))
        for doubt in waiting[: 2 * SHOWN]:
            item = version.items[doubt.picture]
            guesses = ", ".join(f"{name} {100 * probability:.0f} %" for name, probability in doubt.guesses[:2])
            print(f"  {item.name}: {item.label} ({100 * doubt.probability:.0f} %)? More likely {guesses}")
        if len(waiting) > 2 * SHOWN:
            print(f"  and {len(waiting) - 2 * SHOWN:,} more (--json lists them all)")
    return 0


def _doubt_lines(version: Version, found: Doubts, before: int) -> Iterator[str]:
    yield f"{version.text}: {found.sentence}"
    yield found.about
    if found.blind:
        guess = f"always naming the most frequent class is right for {100 * found.guess:.1f} %"
        judge = "weights" if found.model.startswith("run:") else "features"
        yield f"these {judge} hardly tell the classes apart ({guess}): take its doubts for guesses"
    if found.left_out:
        yield f"not looked at, with fewer than 3 pictures: {', '.join(found.left_out[:SHOWN])}"
    if before:
        yield f"{before:,} of them were judged by a person already"
