"""`python -m bench [start] [live] [loop] [watch] [open] [toggle] [autograd] [checkpoints] [findings] [--rounds N]`: measure, and print tables.

`python -m bench peers [--cases NAMES] [--contestants NAMES] [--threads N] [--quick]` is the long one, for which other libraries are
installed into an environment of their own; it is measured only when it is asked for by name.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

# As workers do, before torch is imported: threads that wait for each other sleep, or a busy machine would measure their spinning.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from bench import autograd, checkpoints, findings, live, loop, opening, peers, start, toggle, watch

Bench = tuple[str, Callable[[Path, int], Iterable[str]]]
"""A title, and what measures: (a folder to write in, rounds) to the lines of tables, as they come."""

BENCHES: dict[str, Bench] = {
    "start": ("From Start to the first point of the chart", start.measure),
    "live": ("What a viewer costs while a run goes on", live.measure),
    "loop": ("Thaw's loop against a bare PyTorch loop", loop.measure),
    "watch": ("What watching costs", watch.measure),
    "open": ("Opening a long run", opening.measure),
    "toggle": ("A freeze toggle on the Model screen", toggle.measure),
    "autograd": ("The Autograd screen", autograd.measure),
    "checkpoints": ("What checkpoints cost, and how soon a run goes on", checkpoints.measure),
    "findings": ("What the doctor finds, and false alarms", findings.measure),
}

PEERS = "peers"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    names = ", ".join((*BENCHES, PEERS))
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which to measure: {names} (default: all but {PEERS})")
    parser.add_argument("--rounds", type=int, help=f"how often each thing is measured; medians are shown (default: 5; {PEERS}: {peers.ROUNDS})")
    peers.add_arguments(parser)
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - {*BENCHES, PEERS}:
        parser.error(f"there is no measurement {', '.join(sorted(unknown))}; there are {names}")
    if arguments.rounds is not None and arguments.rounds < 1:
        parser.error(f"--rounds {arguments.rounds} measures nothing; give 1 or more")
    try:
        benches: dict[str, Bench] = {**BENCHES, PEERS: ("Thaw against others", partial(peers.measure, options=peers.options(arguments)))}
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


def machine() -> str:
    """One line: what the figures were measured on."""
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("torch", "streamlit"))
    return f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}, {versions}"


if __name__ == "__main__":
    sys.exit(main())
