"""Thaw beside the bare loop, and Lightning where it is installed, on one device: the cases and contestants of `bench.peers`, with what is here.

Nothing is installed for it. On a GPU pictures have 224 px and batches 256; on the processor it is a try of a few steps.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path

from bench.arena import NEEDS, REFERENCE, Arena, Options
from bench.cases import all_cases
from bench.gpu import line_of
from bench.peers import case_table, ratio

CASES = {
    "cuda": ("digits-resnet18-head-5", "digits-resnet18-all-5", "digits-resnet18-stage-5", "digits-mobilenet_v3_small-head-5"),
    "cpu": ("digits-mobilenet_v3_small-head-5",),
}
ROWS = (REFERENCE, "lightning", "thaw", "thaw-cached", "thaw-automatic")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.gpu_peers")
    parser.add_argument("--device", required=True)
    parser.add_argument("--folder", required=True, type=Path)
    arguments = parser.parse_args()
    device, quick = arguments.device, arguments.device == "cpu"
    missing = {needed: "it is not in this environment" for needed in set(NEEDS.values()) if importlib.util.find_spec(needed) is None}
    for name in CASES["cpu" if quick else "cuda"]:
        began, case = time.perf_counter(), all_cases()[name]
        options = Options([case], ROWS, quick=quick)
        arena = Arena(case, options, arguments.folder / name, arguments.folder, device, Path(sys.executable), missing)
        rows = arena.rows(1)
        arena.clear()
        ratios = {row: ratio(rows[row], rows[REFERENCE], options) for row in rows}
        figures = {row: [asdict(found) for found in rows[row].found] for row in rows}
        # A package that is not there is no failure; a contestant that is there and does not run is one.
        broken = [row for row in rows if not rows[row].found and NEEDS.get(row) not in missing]
        state = "failed" if broken else "passed"
        further = {
            "ratios": {row: value for row, value in ratios.items() if value == value},
            "found": figures,
            "table": case_table(rows, options, device),
        }
        print(json.dumps(line_of(name, state, arena.about(), time.perf_counter() - began, **further)), flush=True)


if __name__ == "__main__":
    main()
