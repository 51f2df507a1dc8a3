"""`python -m core import SOURCE --name NAME`: pictures of one's own as a dataset, in versions."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from core.commands import Parsers
from core.config.errors import Cancelled, ConfigError
from core.machine.home import Home
from core.machine.paths import pasted

if TYPE_CHECKING:
    from core.importing.job import Progress
    from core.importing.plan import Corrections, Plan
    from core.importing.report import Report
    from core.versions import Version

NAMES: Sequence[str] = ("import",)

_TOLD = 20
"""Skipped files that a person is told of one by one."""


def add(commands: Parsers, shared: argparse.ArgumentParser, as_json: argparse.ArgumentParser) -> None:
    """Add the parser."""
    parser = commands.add_parser("import", parents=[shared, as_json])
    parser.add_argument("source", metavar="SOURCE", help="a folder, a zip or tar file, or a table (.csv, .parquet) beside pictures")
    parser.add_argument("--name", metavar="NAME", help="what the dataset is called; afterwards --dataset own:NAME trains on it")
    parser.add_argument("--add", action="store_true", help="add to the dataset of this name, as a new version of it")
    parser.add_argument("--look", action="store_true", help="only say what is recognised")
    parser.add_argument("--reading", metavar="READING", default="", help="how to read it, one of the ways that --look names")
    for role in ("file", "label", "split", "group"):
        parser.add_argument(f"--{role}-column", metavar="COLUMN", default="", help=f"the column of a table that says the {role}")
    parser.add_argument("--rename", metavar="OLD=NEW", action="append", default=[], help="call a class otherwise; two of one name are merged")
    parser.add_argument("--leave-out", metavar="CLASS", action="append", default=[], help="do not take this class")
    parser.add_argument("--no-splits", action="store_true", help="leave aside which pictures the source puts into train, validation and test")
    parser.add_argument(
        "--groups", choices=("none", "burst", "folder", "stem"), default="burst", help="which pictures belong together, by their names"
    )
    parser.add_argument("--label", metavar="CLASS", default="", help="of which class pictures are that lie in no class folders")
    parser.add_argument("--note", metavar="TEXT", default="", help="what to say of this version")


def run(home: Home, arguments: argparse.Namespace) -> int:
    """Import, or say what would be. Raises ConfigError for what cannot be used."""
    from core.importing.job import take_in
    from core.importing.plan import plan
    from core.versions import shelf

    source, corrections = pasted(arguments.source, "source"), _corrections(arguments)
    if arguments.look:
        found = plan(source, corrections, there=shelf.read(home, arguments.name).items if arguments.add and arguments.name else ())
        print(json.dumps(found.to_json()) if arguments.json else "\n".join(_plan_lines(found)))
        return 0
    if not arguments.name:
        raise ConfigError("name", "the dataset needs a name; add --name NAME, or --look to see what would be imported")
    with _interrupted() as cancelled:
        try:
            version, report = take_in(
                home, source, arguments.name, corrections, add=arguments.add, note=arguments.note, tell=_Teller(), cancelled=cancelled
            )
        except Cancelled:
            print("thaw: cancelled; nothing was kept", file=sys.stderr)
            return 1
    _tell(version, report)
    if arguments.json:
        print(json.dumps(_answer(version, report)), flush=True)
    return 0


def _corrections(arguments: argparse.Namespace) -> Corrections:
    from core.importing.plan import Corrections

    rename = {}
    for text in arguments.rename:
        old, equals, new = text.partition("=")
        if not equals or not old or not new.strip():
            raise ConfigError("rename", f"{text!r} is not OLD=NEW; write for example --rename cat=cats")
        rename[old] = new
    columns = {f"{role}_column": getattr(arguments, f"{role}_column") for role in ("file", "label", "split", "group")}
    return Corrections(
        arguments.reading, **columns, rename=rename, leave_out=tuple(arguments.leave_out), own_splits=not arguments.no_splits,
        groups=arguments.groups, label=arguments.label,
    )  # fmt: skip


@contextmanager
def _interrupted() -> Iterator[Callable[[], bool]]:
    """Ctrl-C, or a request to end, gives an import up between two pictures."""
    asked = []
    before = {number: signal.signal(number, lambda number, frame: asked.append(number)) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Teller:
    """Says on stderr how far it is: in one line of a terminal, else now and then."""

    def __init__(self) -> None:
        self._last = ""

    def __call__(self, progress: Progress) -> None:
        from core.records.telling import duration

        if not progress.of:
            said = progress.text
        else:
            left = "" if progress.seconds_left is None else f", {duration(progress.seconds_left)} left"
            rate = f", {progress.rate:,.0f} a second" if progress.rate else ""
            said = f"{progress.text}: {progress.done:,} of {progress.of:,}{rate}{left}"
        if sys.stderr.isatty():
            print(f"\r\033[K{said}", end="", file=sys.stderr, flush=True)
        elif progress.text != self._last:
            print(said, file=sys.stderr)
        self._last = progress.text


def _tell(version: Version, report: Report) -> None:
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr)
    for note in (*report.notes, *report.left_out):
        print(f"data: {note}", file=sys.stderr)
    for one in report.skipped[:_TOLD]:
        print(f"skipped: {one.file}: {one.reason}{'; ' if one.remedy else ''}{one.remedy}", file=sys.stderr)
    if len(report.skipped) > _TOLD:
        print(f"skipped: {len(report.skipped) - _TOLD:,} more; python -m core datasets {version.dataset} --json has them all", file=sys.stderr)
    print(
        f"{version.text}: {len(version.items):,} pictures of {len(version.classes):,} classes; train on it with --dataset own:{version.dataset}",
        file=sys.stderr,
    )


def _answer(version: Version, report: Report) -> dict[str, object]:
    splits = {split or "none": sum(counts) for split, counts in version.counts.items()}
    skipped = [{"file": one.file, "reason": one.reason} for one in report.skipped]
    return {
        "name": version.dataset, "version": version.number, "images": len(version.items), "classes": list(version.classes), "splits": splits,
        "skipped": skipped,
    }  # fmt: skip


def _plan_lines(found: Plan) -> Iterator[str]:
    yield found.question or found.sentence
    for named in found.classes:
        becomes = "left out" if not named.becomes else f"becomes {named.becomes}" if named.becomes != named.name else ""
        counts = ", ".join(f"{split} {count:,}".strip() for split, count in named.counts.items())
        yield f"  {named.name}: {counts}{' (' if becomes else ''}{becomes}{')' if becomes else ''}"
    yield from (f"  --reading {choice.spec}: {choice.meaning}" for choice in found.choices)
    yield from (*found.notes, *found.left_out)
    yield from (f"skipped: {one.file}: {one.reason}" for one in found.refused[:_TOLD])
    if found.problem:
        yield f"It cannot be imported like this: {found.problem}"
