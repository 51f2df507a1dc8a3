"""`python -m core delete`, `restore` and `bin`: runs that are deleted, brought back, and taken off the disk."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence

from core.commands import Parsers
from core.config import ConfigError
from core.machine.home import Home
from core.records.telling import size
from core.store import RunStore
from core.store.bin import KEPT_DAYS, delete, empty, restore
from core.store.sizes import folder_bytes
from core.worker.supervisor import Supervisor

NAMES = ("delete", "restore", "bin")


def add(commands: Parsers, shared: argparse.ArgumentParser, as_json: argparse.ArgumentParser) -> None:
    """Add the parsers."""
    removing = commands.add_parser("delete", parents=[shared])
    removing.add_argument("runs", metavar="RUN", nargs="+", help="a run's id, as listed by runs")
    removing.add_argument("--anyway", action="store_true", help="also where other runs start from its weights")
    back = commands.add_parser("restore", parents=[shared])
    back.add_argument("runs", metavar="RUN", nargs="+", help="a run's id, as listed by bin")
    listing = commands.add_parser(
        "bin", parents=[shared, as_json], description=f"List what lies in the bin; a server empties it after {KEPT_DAYS} days."
    )
    listing.add_argument("--empty", action="store_true", help="remove all of it from the disk, for good")


def run(home: Home, arguments: argparse.Namespace) -> int:
    """Carry out one of them."""
    store = RunStore(home.database)
    Supervisor(home, store).reconcile()
    if arguments.command == "bin":
        return _empty(home, store, arguments.json) if arguments.empty else _list(home, store, arguments.json)
    _known(store, arguments.runs)
    for run_id in arguments.runs:
        if arguments.command == "delete":
            done = delete(home, store, run_id, arguments.anyway)
            print(f"{run_id} is in the bin{'' if done else ' already'}; bring it back with: python -m core restore {run_id}")
        elif restore(store, run_id):
            print(f"{run_id} is in the list again")
        else:
            raise ConfigError("run", f"{run_id} is not in the bin; list what is with: python -m core bin")
    return 0


def _known(store: RunStore, ids: Sequence[str]) -> None:
    """Of several, none is deleted where one is misspelt. Raises KeyError."""
    for run_id in ids:
        store.columns(run_id)


def _list(home: Home, store: RunStore, as_json: bool) -> int:
    found = [(run_id, since, folder_bytes(home.run_folder(run_id))) for run_id, since in store.binned().items()]
    if as_json:
        print(json.dumps([{"run_id": run_id, "binned": since, "bytes": taken} for run_id, since, taken in found]))
        return 0
    for run_id, since, taken in found:
        print(f"{run_id}  since {time.strftime('%Y-%m-%d %H:%M', time.localtime(since))}  {size(taken)}")
    if found:
        print(f"{size(sum(taken for _, _, taken in found))} in all; free them with: python -m core bin --empty")
    else:
        print("The bin is empty. Put a run there with: python -m core delete RUN")
    return 0


def _empty(home: Home, store: RunStore, as_json: bool) -> int:
    done = empty(home, store)
    if as_json:
        print(json.dumps({"removed": done.removed, "freed_bytes": done.freed, "kept": [{"run_id": each, "why": why} for each, why in done.kept]}))
        return 0
    for run_id, why in done.kept:
        print(f"{run_id} stays in the bin: {why}")
    print(f"{len(done.removed):,} {'run is' if len(done.removed) == 1 else 'runs are'} gone; {done.freed / 1e6:,.1f} MB are free")
    return 0
