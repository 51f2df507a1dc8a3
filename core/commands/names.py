"""`python -m core catalog`: the names that a config can use."""

from __future__ import annotations

import argparse
import json

from core import catalog
from core.commands import Parsers
from core.machine.home import Home

NAMES = ("catalog",)


def add(commands: Parsers, shared: argparse.ArgumentParser, as_json: argparse.ArgumentParser) -> None:
    """Add the parser."""
    commands.add_parser("catalog", parents=[shared, as_json])


def run(_home: Home, arguments: argparse.Namespace) -> int:
    """Print them."""
    if arguments.json:
        print(
            json.dumps(
                {
                    kind: {name: f"{entry.about} {entry.terms}".rstrip() for name, entry in entries.items()}
                    for kind, entries in catalog.CATALOGUES.items()
                }
            )
        )
        return 0
    for kind, entries in catalog.CATALOGUES.items():
        print(kind)
        for name, entry in entries.items():
            print(f"  {name:28} {entry.about} {entry.terms}".rstrip())
    return 0
