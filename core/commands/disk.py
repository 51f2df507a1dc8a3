"""`python -m core disk`: what runs take on disk, by kind, and giving some of it back without deleting a run."""

from __future__ import annotations

import argparse
import json
import sys

from core.commands import Parsers
from core.config import ConfigError
from core.machine.home import Home
from core.records.telling import size
from core.store import RunStore
from core.store.freeing import LOST, WHAT, can_be_freed, free
from core.store.sizes import BOUNDS, NAMED, runs_bytes, shared_bytes
from core.worker.supervisor import Supervisor

NAMES = ("disk",)


def add(commands: Parsers, shared: argparse.ArgumentParser, as_json: argparse.ArgumentParser) -> None:
    """Add the parser."""
    disk = commands.add_parser("disk", parents=[shared, as_json])
    disk.add_argument("run", metavar="RUN", nargs="?", help="one run alone (default: all that have ended; of checkpoints those of finished runs)")
    disk.add_argument("--free", choices=WHAT, help="what to remove for good; with --yes it is done, without it only said")
    disk.add_argument("--yes", action="store_true", help="with --free: do it, nothing can bring it back")


def run(home: Home, arguments: argparse.Namespace) -> int:
    """Carry it out; exit status 1 where it only says what --yes would do."""
    store = RunStore(home.database)
    Supervisor(home, store).reconcile()
    if arguments.run is not None:
        store.columns(arguments.run)
    if arguments.free is None:
        if arguments.yes:
            raise ConfigError("yes", f"--yes belongs to --free; write for example: disk --free {WHAT[0]} --yes")
        return _list(home, store, arguments.run, arguments.json)
    if not arguments.yes:
        could = size(can_be_freed(home, store, arguments.free, arguments.run))
        print(f"thaw: {could} of {arguments.free} can be freed, for good: {LOST[arguments.free]}. Add --yes to do it.", file=sys.stderr)
        return 1
    done = free(home, store, arguments.free, arguments.run)
    print(json.dumps({"freed_bytes": done.freed, "runs": done.runs}) if arguments.json else f"{size(done.freed)} are free")
    return 0


def _list(home: Home, store: RunStore, run_id: str | None, as_json: bool) -> int:
    of_runs = runs_bytes(home, store.ids() if run_id is None else {run_id})
    of_all = shared_bytes(home) if run_id is None else {}
    if as_json:
        print(json.dumps({"runs": of_runs, "shared": of_all}))
        return 0
    for name, taken in (*of_runs.items(), *of_all.items()):
        bound = BOUNDS.get(name)
        print(f"{NAMED[name]:20} {size(taken):>10}{f'  {bound}' if bound else ''}")
    return 0
