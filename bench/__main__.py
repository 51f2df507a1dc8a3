"""`python -m bench [start] [live] [loop] [watch] [open] [toggle] [--rounds N]`: measure, and print tables that the README can take over."""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

# As workers do, before torch is imported: threads that wait for each other sleep, or a busy machine would measure their spinning.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from bench import live, loop, opening, start, toggle, watch

BENCHES: dict[str, tuple[str, Callable[[Path, int], list[str]]]] = {
    "start": ("From Start to the first point of the chart", start.measure),
    "live": ("What a viewer costs while a run goes on", live.measure),
    "loop": ("Thaw's loop against a bare PyTorch loop", loop.measure),
    "watch": ("What watching costs", watch.measure),
    "open": ("Opening a long run", opening.measure),
    "toggle": ("A freeze toggle on the Model screen", toggle.measure),
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which to measure: {', '.join(BENCHES)} (default: all)")
    parser.add_argument("--rounds", type=int, default=5, help="how often each thing is measured; medians are shown (default: 5)")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(BENCHES):
        parser.error(f"there is no measurement {', '.join(sorted(unknown))}; there are {', '.join(BENCHES)}")
    print(machine())
    for name in arguments.names or BENCHES:
        title, measure = BENCHES[name]
        print(f"\n### {title}\n", flush=True)
        with tempfile.TemporaryDirectory(prefix="thaw-bench-") as folder:
            print("\n".join(measure(Path(folder), arguments.rounds)), flush=True)
    return 0


def machine() -> str:
    """One line: what the figures were measured on."""
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("torch", "streamlit"))
    return f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}, {versions}"


if __name__ == "__main__":
    sys.exit(main())
