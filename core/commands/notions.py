"""`python -m core notions`: what a course on fine-tuning names, with a sentence, the line of code, and the screen that shows it."""

from __future__ import annotations

import argparse
import json
import textwrap
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from core.commands import Parsers
from core.machine.home import Home
from core.notions import SETUP, THEMES, Notion, find

NAMES: Sequence[str] = ("notions",)


def add(commands: Parsers, shared: argparse.ArgumentParser, as_json: argparse.ArgumentParser) -> None:
    """The parser of `notions`."""
    parser = commands.add_parser("notions", parents=[shared, as_json])
    parser.add_argument("name", metavar="NAME", nargs="?", help="a notion, or another name of it: leaf, backprop, 'optimizer.step()'")


def run(home: Home, arguments: argparse.Namespace) -> int:
    """Print one notion, or all. Raises ConfigError for a name that is not in the index."""
    if arguments.name is not None:
        notion = find(arguments.name)
        print(json.dumps(_fields(notion, _theme_of(notion))) if arguments.json else "\n".join(_lines(notion)))
        return 0
    if arguments.json:
        print(json.dumps({"setup": SETUP, "notions": [_fields(notion, theme) for theme, notions in THEMES.items() for notion in notions]}))
        return 0
    for theme, notions in THEMES.items():
        print(f"{theme}\n")
        for notion in notions:
            print(textwrap.fill(notion.says, 120, initial_indent=f"  {notion.name}: ", subsequent_indent="    ", break_long_words=False))
        print()
    print("One of them with its code, and where it is seen: python -m core notions NAME")
    return 0


def _theme_of(notion: Notion) -> str:
    return next(theme for theme, notions in THEMES.items() if notion in notions)


def _lines(notion: Notion) -> list[str]:
    lines = [notion.name, *textwrap.wrap(notion.says, 120, initial_indent="  ", subsequent_indent="  ", break_long_words=False)]
    lines += ["", *(f"    {line}" for line in notion.code.splitlines()), ""]
    if notion.also:
        lines += textwrap.wrap(f"Also found as: {', '.join(notion.also)}", 120, initial_indent="  ", subsequent_indent="    ")
    lines.append(f"  See: {notion.shown.title}" if notion.shown else "  Thaw does not show it.")
    return lines


def _fields(notion: Notion, theme: str) -> dict[str, Any]:
    place = notion.shown
    shown = (
        None if place is None else {"title": place.title, "address": f"{place.screen}?{urlencode(place.query)}".rstrip("?"), "of_run": place.of_run}
    )
    return {"name": notion.name, "theme": theme, "says": notion.says, "code": notion.code, "also": list(notion.also), "shown": shown}
