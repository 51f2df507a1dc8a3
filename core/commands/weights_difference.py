"""`python -m core diff`: how far each layer is from the same layer in another file of weights, or of another run."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from core.commands import Parsers
from core.machine.home import Home
from core.machine.paths import pasted
from core.records.weight_difference import Moved, TensorDifference, WeightDifference, in_words
from core.store import RunStore

NAMES = ("diff",)

SHOWN = 40
"""Tensors that are printed; --json has all."""


def add(commands: Parsers, shared: argparse.ArgumentParser, as_json: argparse.ArgumentParser) -> None:
    """Add the parser."""
    parser = commands.add_parser("diff", parents=[shared, as_json])
    parser.add_argument("a", metavar="A", help="a file of weights from anywhere, or the id of a run; nothing in a file is run")
    parser.add_argument("b", metavar="B", help="another one")
    parser.add_argument("--start", metavar="FILE", help="what both began with: distances are then from there, and directions are compared as well")


def run(home: Home, arguments: argparse.Namespace) -> int:
    """Carry it out. The exit status is 1 where something was frozen and moved all the same."""
    store = RunStore(home.database)
    ids = store.ids()
    files = [Path(text) if text in ids else pasted(text, field) for field, text in (("a", arguments.a), ("b", arguments.b))]
    from core.comparing import difference  # with torch: the help needs none

    if arguments.start:
        found = difference.of_files(files[0], files[1], pasted(arguments.start, "start"))
    else:
        found = difference.of(home, store, str(files[0]), str(files[1]))
    if arguments.json:
        print(json.dumps({**asdict(found), "said": in_words(found)}))
    else:
        _print(found)
    return 1 if any(row.broken for row in found.rows if row.kind == "parameter") else 0


def _print(found: WeightDifference) -> None:
    print(f"A: {found.a}", f"B: {found.b}", *([f"start: {found.start}"] if found.start else []), *in_words(found), sep="\n")
    other = [row for row in found.rows if not row.same]
    if not other:
        return
    print(f"\n{'A to B':>10} {'start to A':>10} {'start to B':>10} {'cosine':>7}  tensor (relative distances; farthest first)")
    for row in other[:SHOWN]:
        cosine = "" if row.cosine is None else f"{row.cosine:.3f}"
        print(f"{_share(row.between):>10} {_share(row.a):>10} {_share(row.b):>10} {cosine:>7}  {row.name}{_said(row)}")
    if len(other) > SHOWN:
        print(f"and {len(other) - SHOWN:,} more: --json has all of them")


def _share(moved: Moved | None) -> str:
    if moved is None:
        return ""
    return f"{moved.distance:.2g} of 0" if moved.relative is None else f"{moved.relative:.3g}"


def _said(row: TensorDifference) -> str:
    parts = [*(f"frozen in {which.upper()}, and moved" for which in row.broken), "statistic" if row.kind == "statistic" else ""]
    return "".join(f"  ({part})" for part in parts if part)
