"""`python -m core curves`: curves that other programs wrote, to be drawn beside runs."""

from __future__ import annotations

import argparse
import json

from core.commands import Parsers
from core.comparing import imported
from core.config import ConfigError
from core.config.limits import LONGEST_NAME, quoted
from core.machine.home import Home
from core.machine.paths import pasted

NAMES = ("curves",)


def add(commands: Parsers, shared: argparse.ArgumentParser, as_json: argparse.ArgumentParser) -> None:
    """Add the parser."""
    parser = commands.add_parser("curves", parents=[shared, as_json])
    parser.add_argument("path", metavar="PATH", nargs="?", help="a folder of event files, one of them, or a CSV file; without it: list what is kept")
    parser.add_argument("--name", metavar="TEXT", default="", help="what to call it, where it is one training (default: the folder's or file's name)")
    parser.add_argument("--remove", metavar="ID", help="take imported curves off the list; --restore brings them back")
    parser.add_argument("--restore", metavar="ID", help="bring back what was removed")


def run(home: Home, arguments: argparse.Namespace) -> int:
    """Carry it out."""
    if arguments.path and (arguments.remove or arguments.restore):
        raise ConfigError("curves", "a path is imported, an id removed or restored; give one of them")
    if len(arguments.name) > LONGEST_NAME:
        raise ConfigError("name", f"has {len(arguments.name):,} characters, more than {LONGEST_NAME}; shorten it")
    if arguments.path:
        ids = imported.keep(home, imported.read(pasted(arguments.path, "curves"), arguments.name))
        found = {id: imported.load(home, id) for id in ids}
    else:
        _put(home, arguments)
        found = imported.listed(home)
    if arguments.json:
        print(json.dumps([{"run_id": id, **imported.plain_about(one)} for id, one in found.items()]))
        return 0
    if not found:
        print("No curves are imported. Bring some: python -m core curves FOLDER")
    for id, one in found.items():
        points = sum(len(curve.step) for curve in one.curves)
        print(f"{id}  {one.name}: {len(one.curves):,} {'curve' if len(one.curves) == 1 else 'curves'}, {points:,} points, from {one.source}")
        print(*(f"  {said}\n" for said in one.said), sep="", end="")
    return 0


def _put(home: Home, arguments: argparse.Namespace) -> None:
    for id, act in ((arguments.remove, imported.remove), (arguments.restore, imported.bring_back)):
        if id is None:
            continue
        before = imported.stamp(home, id)
        act(home, id)
        if imported.stamp(home, id) == before:
            raise ConfigError("curves", f"there is nothing to do for {quoted(id)}; list what is kept with: python -m core curves")
