"""`python -m core networks`: networks of one's own."""

from __future__ import annotations

import argparse
import json
import sys

from core import catalog, networks
from core.commands import Parsers
from core.machine.home import Home
from core.networks.grammar import EXAMPLE

NAMES = ("networks",)


def add(commands: Parsers, shared: argparse.ArgumentParser, as_json: argparse.ArgumentParser) -> None:
    """Add the parser."""
    own = commands.add_parser("networks", parents=[shared, as_json])
    what = own.add_mutually_exclusive_group()
    what.add_argument("--save", metavar="TEXT", help="save 'mynet: conv 32, norm, relu, pool, global pool'; train it with --model mynet")
    what.add_argument("--code", metavar="NAME", help="print a network as a plain PyTorch class for images of 64 px and 10 classes")
    what.add_argument("--delete", metavar="NAME", help="take a network off the list; --restore brings it back")
    what.add_argument("--restore", metavar="NAME", help="bring back a network that was deleted")
    own.add_argument("--overwrite", action="store_true", help="with --save: replace another network of the same name")


def run(home: Home, arguments: argparse.Namespace) -> int:
    """Do the one thing that is asked for, or list them."""
    if arguments.save is not None:
        print(networks.save(home, arguments.save, arguments.overwrite))
    elif arguments.delete is not None:
        networks.delete(home, arguments.delete)
    elif arguments.restore is not None:
        print(networks.restore(home, arguments.restore))
    elif arguments.code is not None:
        from core.code import network_code

        text = networks.saved(home).get(arguments.code, arguments.code)
        print(network_code(text, max(64, catalog.find_model(text).smallest), 10))
    else:
        shelf = networks.look(home)
        for notice in shelf.notices:
            print(f"thaw: {notice}", file=sys.stderr)
        if arguments.json:
            print(json.dumps(shelf.networks))
        else:
            print("\n".join(shelf.networks.values()) or f"No networks yet. Save one: python -m core networks --save {EXAMPLE!r}")
    return 0
