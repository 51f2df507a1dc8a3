"""`python -m core compare`: several runs side by side."""

from __future__ import annotations

import argparse
import json
from typing import Any

from core.commands import Parsers
from core.commands.progress import percent
from core.comparing.stream import MOST_RUNS
from core.comparing.summary import as_json, compared
from core.config import ConfigError
from core.machine.home import Home
from core.store import RunStore

NAMES = ("compare",)


def add(commands: Parsers, shared: argparse.ArgumentParser, as_json: argparse.ArgumentParser) -> None:
    """Add the parser."""
    parser = commands.add_parser("compare", parents=[shared, as_json])
    parser.add_argument("runs", metavar="RUN", nargs="+", help="ids of runs, as listed by runs, or of imported curves, as listed by curves")


def run(home: Home, arguments: argparse.Namespace) -> int:
    """Carry it out."""
    ids = list(dict.fromkeys(arguments.runs))
    if not 2 <= len(ids) <= MOST_RUNS:
        raise ConfigError("run", f"{len(ids):,} {'run was' if len(ids) == 1 else 'different runs were'} given; give 2 to {MOST_RUNS}")
    store = RunStore(home.database)
    found = as_json(home, store, ids)
    if arguments.json:
        print(json.dumps(found))
    else:
        _print(found, compared(home, store, ids).differs)
    return 0


def _print(found: dict[str, Any], differs: dict[str, dict[str, Any]]) -> None:
    print(f"{'run':22} {'status':10} {'best':>16} {'last':>16} {'test':>7} {'time':>9}  name")
    for row in found["runs"]:
        best, last = (_reached(row, *names) for names in (("best_validation_accuracy", "best_epoch"), ("validation_accuracy", "last_epoch")))
        figures = f"{best:>16} {last:>16} {percent(row['test_accuracy']):>7} {row['seconds']:>7.1f} s"
        print(f"{row['run_id']:22} {row['status']:10} {figures}  {row['name'] or row['model'] + ' on ' + row['dataset']}")
    for one in found["imported"]:
        print(f"{one['run_id']:22} {'imported':10} {len(one['curves']):,} curves from {one['source']}", *one["said"], sep="\n  ")
    print("\nWhat differs:" if differs else "\nTheir settings are the same." if len(found["runs"]) > 1 else "")
    for field, values in differs.items():
        print(f"  {field}")
        for run_id, value in values.items():
            print(f"    {run_id:22} {'none' if value in (None, '', {}) else value}")
    for group in found["repeats"]:
        spread = group["best_validation_accuracy"]
        said = (
            f"best validation accuracy {percent(spread['mean'])}, {percent(spread['low'])} to {percent(spread['high'])}" if spread else "nothing yet"
        )
        print(f"\n{len(group['runs'])} runs that differ in the seed alone ({', '.join(map(str, group['seeds']))}): {said}")


def _reached(row: dict[str, Any], value: str, epoch: str) -> str:
    return "none" if row[value] is None else f"{percent(row[value])} at {row[epoch]:,}"
