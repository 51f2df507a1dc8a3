"""`python -m core export RUN --format FORMAT`: a run as weights, script, tables or report; weights with a receipt."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence

from core.commands import Parsers
from core.commands.evaluate import asked_epoch
from core.commands.progress import bar
from core.export.export import export
from core.export.formats import FORMATS
from core.machine.home import Home
from core.records.export import Exported, Receipt

NAMES: Sequence[str] = ("export",)


def add(commands: Parsers, shared: argparse.ArgumentParser, as_json: argparse.ArgumentParser) -> None:
    """The parser of `export`."""
    parser = commands.add_parser("export", parents=[shared, as_json])
    parser.add_argument("run", metavar="RUN", help="a run's id, as listed by runs; it may still be training")
    parser.add_argument("--format", metavar="FORMAT", required=True, help=f"one of {', '.join(FORMATS)}")
    parser.add_argument("--epoch", metavar="N", help="weights of this epoch, 0 being before training, or best (default: the newest that were kept)")
    parser.add_argument("--output", metavar="FILE", help="where to put it; an existing folder: into it (default: exports/ in the run's folder)")
    parser.add_argument("--force", action="store_true", help="replace what lies there")


def run(home: Home, arguments: argparse.Namespace) -> int:
    """Export, and print where it is and its receipt. Raises ConfigError for what cannot be used."""
    # Before torch is imported: threads that wait for each other sleep, so that what is timed beside other work is not their spinning.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    epoch = asked_epoch(home, arguments)
    with bar() as progress:
        progress("starting", None)
        made = export(home, arguments.run, arguments.format, epoch, arguments.output, arguments.force, progress)
    for line in made.told:
        print(f"thaw: {line}", file=sys.stderr)
    if arguments.json:
        print(json.dumps(made.to_json()), flush=True)
    else:
        print("\n".join(lines(made)))
    return 0


def lines(made: Exported) -> Iterator[str]:
    """What to say of an export."""
    yield f"{made.path} ({made.bytes:,} bytes)"
    yield from (f"beside it: {path.name}" for path in made.beside)
    if made.receipt is not None:
        yield from receipt_lines(made.receipt)


def receipt_lines(receipt: Receipt) -> Iterator[str]:
    """A receipt in sentences."""
    difference = "none of both gave finite numbers" if receipt.largest_difference is None else f"{receipt.largest_difference:.2g}"
    yield (
        f"receipt: run by {receipt.runtime} in a process of its own, the likeliest class is the same on {receipt.same_top1:,} of "
        f"{receipt.pictures:,} test pictures; largest difference of a probability: {difference}"
    )
    yield (f"a picture takes {_milliseconds(receipt.milliseconds)}; in PyTorch, as the run had it, {_milliseconds(receipt.original_milliseconds)}")
    yield f"SHA-256 {receipt.digest}; {', '.join(f'{name} {number}' for name, number in receipt.versions.items())}"
    yield from receipt.notes


def _milliseconds(times: Mapping[str, float]) -> str:
    return ", ".join(f"{value:.2f} ms {'alone' if size == '1' else f'in batches of {size}'}" for size, value in times.items())
