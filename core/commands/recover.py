"""`python -m core recover` and `python -m core forget RUN`."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict

from core.commands import Parsers
from core.machine.home import Home
from core.store import RunStore, recovery
from core.worker.supervisor import Supervisor

NAMES = ("recover", "forget")


def add(commands: Parsers, shared: argparse.ArgumentParser, as_json: argparse.ArgumentParser) -> None:
    """Add the parsers."""
    recover = commands.add_parser("recover", parents=[shared, as_json])
    about = "first move a store that is damaged, or no store, out of the way; it is kept beside the new one"
    recover.add_argument("--set-aside", action="store_true", help=about)
    forget = commands.add_parser("forget", parents=[shared])
    forget.add_argument("run", metavar="RUN", help="a run's id, as listed by runs")


def run(home: Home, arguments: argparse.Namespace) -> int:
    """Carry out one of them."""
    if arguments.command == "forget":
        return _forget(home, arguments.run)
    return _recover(home, arguments.set_aside, arguments.json)


def _recover(home: Home, set_aside: bool, as_json: bool) -> int:
    if set_aside:
        print(f"the store was moved to {recovery.set_aside(home)}", file=sys.stderr)
    store = RunStore(home.database)
    found = recovery.found(home, store)
    taken = [recovery.take_in(store, each) for each in found if not each.problem]
    left = [each for each in found if each.problem]
    Supervisor(home, store).reconcile()
    if as_json:
        print(json.dumps({"taken_in": [asdict(each) for each in taken], "left": [{"id": each.id, "problem": each.problem} for each in left]}))
    else:
        for done in taken:
            print(f"{done.id} is in the list again, with {done.steps:,} steps; not recovered: {done.missing}")
        for each in left:
            print(f"{each.id} cannot be taken in: {each.problem}")
        if not found:
            print("Every run that lies on disk is in the list.")
    return 1 if left else 0


def _forget(home: Home, run_id: str) -> int:
    store = RunStore(home.database)
    Supervisor(home, store).reconcile()
    recovery.forget(home, store, run_id)
    print(f"{run_id} is off the list; its folder stays: {home.run_folder(run_id)}")
    return 0
