"""`python -m core label`: what a run is called, its note, tags and star."""

from __future__ import annotations

import argparse
import json

from core.commands import Parsers
from core.machine.home import Home
from core.records.labels import LONGEST_NAME, LONGEST_NOTE, LONGEST_TAG, MOST_TAGS, LabelChange, Labels, written
from core.store import RunStore
from core.store.labelling import relabel

NAMES = ("label",)


def add(commands: Parsers, shared: argparse.ArgumentParser, as_json: argparse.ArgumentParser) -> None:
    """Add the parser."""
    parser = commands.add_parser("label", parents=[shared, as_json])
    parser.add_argument("run", metavar="RUN", help="a run's id, as listed by runs")
    parser.add_argument("--name", metavar="TEXT", help=f"one line, at most {LONGEST_NAME} characters; '' takes the name away")
    parser.add_argument("--note", metavar="TEXT", help=f"at most {LONGEST_NOTE:,} characters; '' takes the note away")
    parser.add_argument("--tag", metavar="TEXT", action="append", default=[], help=f"add a tag, at most {MOST_TAGS} of {LONGEST_TAG} characters")
    parser.add_argument("--untag", metavar="TEXT", action="append", default=[], help="take a tag away")
    parser.add_argument("--star", action=argparse.BooleanOptionalAction, help="put it among those with a star, or take the star away")


def run(home: Home, arguments: argparse.Namespace) -> int:
    """Carry it out."""
    store = RunStore(home.database)
    change = LabelChange(arguments.name, arguments.note, tuple(arguments.tag), tuple(arguments.untag), arguments.star)
    run_id = arguments.run
    labels = relabel(store, home.run_folder(run_id), run_id, change)[1] if change else store.labels(run_id)
    if arguments.json:
        print(json.dumps({"run_id": run_id, **written(labels)}))
    else:
        print("\n".join([f"run {run_id}", *lines(labels)]) if lines(labels) else f"run {run_id} has no name, note, tags or star")
    return 0


def lines(labels: Labels) -> list[str]:
    """What a run is called, one line for each thing that it has."""
    told = (("name", labels.name), ("tags", ", ".join(labels.tags)), ("star", "yes" if labels.starred else ""), ("note", labels.note))
    return [f"  {field:20} {text.replace(chr(10), chr(10) + 23 * ' ')}" for field, text in told if text]


def before(labels: Labels) -> str:
    """What stands before a run's settings in a line of a list: its star, name and tags."""
    parts = ["*" if labels.starred else "", f"“{labels.name}”" if labels.name else "", *(f"#{tag}" for tag in labels.tags)]
    return f"{' '.join(filter(None, parts))} · " if any(parts) else ""
