"""`python -m bench [NAME ...] [--rounds N]`: measure, and print tables; `--help` lists the names.

`python -m bench peers [--cases NAMES] [--contestants NAMES] [--threads N] [--quick]` is the long one, for which other libraries are
installed into an environment of their own; it is measured only when it is asked for by name.

`python -m bench against REV NAME [NAME ...] [--rounds N]` measures the same here and as of another commit, in turn.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
import signal
import sys
import tempfile
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

# As workers do, before torch is imported: threads that wait for each other sleep, or a busy machine would measure their spinning.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from bench import (
    against,
    autograd,
    busy,
    checkpoints,
    exports,
    findings,
    gallery,
    heads,
    imports,
    live,
    loop,
    memory,
    opening,
    peers,
    pictures,
    ranks,
    reports,
    runs,
    scale,
    screens,
    start,
    sweeps,
    toggle,
    tuned,
    watch,
)

Bench = tuple[str, Callable[[Path, int], Iterable[str]]]
"""A title, and what measures: (a folder to write in, rounds) to the lines of tables, as they come."""

BENCHES: dict[str, Bench] = {
    "start": ("From Start to the first point of the chart", start.measure),
    "live": ("What a viewer costs while a run goes on", live.measure),
    "memory": ("What Thaw holds of the memory", memory.measure),
    "loop": ("Thaw's loop against a bare PyTorch loop", loop.measure),
    "heads": ("A step of a head on kept features, and whole runs of it", heads.measure),
    "watch": ("What watching costs", watch.measure),
    "busy": ("A head beside busy processes", busy.measure),
    "tuned": ("What speed automatic brings", tuned.measure),
    "open": ("Opening a long run", opening.measure),
    "toggle": ("A freeze toggle on the Model screen", toggle.measure),
    "autograd": ("The Autograd screen", autograd.measure),
    "checkpoints": ("What checkpoints cost, and how soon a run goes on", checkpoints.measure),
    "pictures": ("Pictures a second, beside torchvision's tutorials", pictures.measure),
    "findings": ("What the doctor finds, and false alarms", findings.measure),
    "exports": ("ONNX against PyTorch, and what an export takes", exports.measure),
    "reports": ("Reports, tables and event files of a long run", reports.measure),
    "imports": ("Importing pictures against decoding them", imports.measure),
    "gallery": ("A dataset of 60,000 pictures on screen", gallery.measure),
    "runs": ("A table of 500 runs, and 20 long ones over each other", runs.measure),
    "sweeps": ("Sixteen heads, and which layers to unfreeze, against the bare loop", sweeps.measure),
    "ranks": ("Two devices that share a step", ranks.measure),
    "scale": ("How a step goes with the number of processes", scale.measure),
    "screens": ("Where the charts of a run's page stand", screens.measure),
}

PEERS, RECEIPTS, AGAINST = "peers", "receipts", "against"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    names = ", ".join((*BENCHES, RECEIPTS, PEERS))
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which to measure: {names} (default: all but {RECEIPTS} and {PEERS})")
    parser.add_argument("--rounds", type=int, help=f"how often each thing is measured; medians are shown (default: 5; {PEERS}: {peers.ROUNDS})")
    peers.add_arguments(parser)
    arguments = parser.parse_args()
    if arguments.rounds is not None and arguments.rounds < 1:
        parser.error(f"--rounds {arguments.rounds} measures nothing; give 1 or more")
    if arguments.names[:1] == [AGAINST]:
        return _against(parser, arguments)
    if unknown := set(arguments.names) - {*BENCHES, RECEIPTS, PEERS}:
        parser.error(f"there is no measurement {', '.join(sorted(unknown))}; there are {names}")
    try:
        benches: dict[str, Bench] = {
            **BENCHES,
            RECEIPTS: ("ONNX receipts of all families", exports.receipts),
            PEERS: ("Thaw against others", partial(peers.measure, options=peers.options(arguments))),
        }
    except ValueError as error:
        parser.error(str(error))
    print(machine())
    for name in arguments.names or BENCHES:
        title, measure = benches[name]
        print(f"\n### {title}\n", flush=True)
        with tempfile.TemporaryDirectory(prefix="thaw-bench-") as folder:
            for line in measure(Path(folder), arguments.rounds or (peers.ROUNDS if name == PEERS else 5)):
                print(line, flush=True)
    return 0


def _against(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> int:
    """Both commits in turn; `arguments.names` are 'against', the commit, and what is measured."""
    if len(arguments.names) < 3:
        parser.error("against needs a commit and what is to be measured: against REV NAME ...")
    _, revision, *names = arguments.names
    if unknown := set(names) - {*BENCHES, PEERS}:
        parser.error(f"there is no measurement {', '.join(sorted(unknown))}; there are {', '.join((*BENCHES, PEERS))}")
    print(machine())
    try:
        for line in against.measure(revision, names, arguments.rounds or against.ROUNDS, peers.as_given(arguments) if PEERS in names else ()):
            print(line, flush=True)
    except against.Refused as problem:
        print(f"\n{problem}", file=sys.stderr)
        return 1
    return 0


def machine() -> str:
    """One line: what the figures were measured on."""
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("torch", "streamlit"))
    return f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}, {versions}"


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # so that what was begun is ended, as with Ctrl-C
    sys.exit(main())
