"""Thaw against what else people fine-tune with: the same training, side by side, each contestant in a process of its own.

The contestants take turns over the rounds. Nothing here fails because of a time: a contestant that cannot run has a row that says why.
"""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Iterator
from pathlib import Path

import torch

from bench import photos
from bench.arena import NEEDS, REFERENCE, Arena, Options, Row, environment, versions
from bench.cases import chosen
from bench.table import median, table

ROUNDS = 1
"""Unless another number is asked for: a round of the usual cases takes a quarter of an hour."""

ROWS = {
    "tutorial": "Tutorial loop",
    "frozen": "**Tutorial loop, frozen BatchNorm in eval**",
    "lightning": "Lightning, defaults",
    "lightning-norms": "Lightning, gradient norms logged",
    "accelerate": "Accelerate",
    "fastai": "fastai",
    "thaw": "Thaw, exact",
    "thaw-cached": "Thaw, exact, second run",
    "thaw-automatic": "Thaw, automatic",
}
"""The rows in their order. Thaw's second run comes after its first, whose features it finds."""

PHOTOS = {"cpu": 320, "cuda": 2048, "quick": 64}
"""Files to train on."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this table, in a group of their own."""
    group = parser.add_argument_group("peers")
    group.add_argument("--cases", default="", help="cases, or parts of their names such as digits-resnet18, commas between them; all: every case")
    group.add_argument("--contestants", default="", help=f"which of {', '.join(ROWS)} (default: all)")
    group.add_argument(
        "--threads", type=int, default=0, help="threads of each contestant (default: torch's own choice); with 1, CPU seconds are compared"
    )
    group.add_argument("--quick", action="store_true", help="a few steps of each, to see that all of them run; the figures mean nothing")


def as_given(arguments: argparse.Namespace) -> list[str]:
    """The options of this table as they would be typed, for another process."""
    words = [(f"--{name}", str(getattr(arguments, name))) for name in ("cases", "contestants", "threads") if getattr(arguments, name)]
    return [*(part for pair in words for part in pair), *(["--quick"] if arguments.quick else [])]


def options(arguments: argparse.Namespace) -> Options:
    """What the arguments say.

    Raises:
        ValueError: there is no such case or contestant.
    """
    rows = [name.strip() for name in arguments.contestants.split(",") if name.strip()] or list(ROWS)
    if unknown := set(rows) - ROWS.keys():
        raise ValueError(f"there is no contestant {', '.join(sorted(unknown))}; there are {', '.join(ROWS)}")
    if arguments.threads < 0:
        raise ValueError(f"--threads {arguments.threads} cannot be; give 1 or more, or leave it out")
    wanted = {REFERENCE, *rows, *(["thaw"] if "thaw-cached" in rows else [])}
    return Options(chosen(arguments.cases), [name for name in ROWS if name in wanted], arguments.threads, arguments.quick)


def measure(folder: Path, rounds: int, options: Options) -> Iterator[str]:
    """The lines of the tables, each case's as soon as it is done."""
    python, missing = environment()
    device = "cuda:0" if torch.cuda.is_available() else "cpu"
    count = PHOTOS["quick" if options.quick else "cuda" if device != "cpu" else "cpu"]
    pictures = photos.make(folder / "photos", count, max(16, count // 20)) if any(case.data == "photos" for case in options.cases) else folder
    yield from heading(options, rounds, device, python, count)
    summary: dict[str, dict[str, Row]] = {}
    for case in options.cases:
        arena = Arena(case, options, folder / case.name, pictures, device, python, missing)
        summary[case.name] = arena.rows(rounds)
        yield from ["", f"#### {case.name}", "", arena.about(), "", *case_table(summary[case.name], options, device)]
        arena.clear()
    if len(summary) > 1:
        yield from [
            "",
            "#### All cases",
            "",
            f"Times the speed of the loop in bold, from {options.clock} seconds.",
            "",
            *ratio_table(summary, options),
        ]


def heading(options: Options, rounds: int, device: str, python: Path, files: int) -> list[str]:
    """What was measured, on what, and what the figures mean."""
    names = [name for name in ("lightning", "accelerate", "fastai") if any(NEEDS.get(row) == name for row in options.rows)]
    threads = (
        f"{options.threads} thread{'s' if options.threads != 1 else ''}"
        if options.threads
        else f"torch's own choice of {torch.get_num_threads()} threads"
    )
    lines = [
        f"{device if device == 'cpu' else torch.cuda.get_device_name()}, {threads} a contestant, median of {rounds} round{'s' if rounds > 1 else ''}"
        f"{', ' + versions(python, names) if names else ''}.",
        "",
        "All begin with the same weights and see the same batches with the same AdamW.",
        "All but the plain tutorial loop keep frozen BatchNorm in eval mode.",
        f"Times run from the first batch to the end of the last step. Ratio: times the speed of the loop in bold, from {options.clock} seconds.",
        "Difference: the largest of any number in the final weights and running statistics, to those of the loop in bold; 0 is the same to the bit.",
        "Memory is the most that the process held, without its loader processes. Set-up is the rest of its life, imports included.",
        "Thaw records every signal of every step in its store; what its automatic mode tries before the first step is in its set-up.",
    ]
    if any(case.data == "photos" for case in options.cases):
        workers = 2 if device == "cpu" else os.cpu_count() or 2
        lines.append(f"JPEG: {files:,} files; peers decode with {workers} loader processes in every epoch, Thaw once, and both are in their times.")
    if options.quick:
        lines.append("**A quick try of a few steps: these times mean nothing.**")
    return lines


def case_table(rows: dict[str, Row], options: Options, device: str) -> list[str]:
    """One case: a line a contestant."""
    on_gpu = device != "cpu"
    rate = "samples/s" if options.clock == "wall" else "samples per CPU second"
    heads = ["", "seconds", "CPU seconds", rate, "ratio", "memory, MB", "difference", "set-up, s"]
    heads += ["GPU memory, MB", "share of the GPU's peak"] if on_gpu else []
    reference = rows[REFERENCE].found
    work = next((found for found in reference if found.flop and found.peak), None)
    lines = []
    for name, row in rows.items():
        if not row.found:
            lines.append([ROWS[name], f"not run: {row.note}", *[""] * (len(heads) - 2)])
            continue
        seconds = median([found.seconds for found in row.found])
        line = [
            ROWS[name],
            f"{seconds:.2f}",
            f"{median([found.cpu_seconds for found in row.found]):.2f}",
            f"{row.found[0].samples / median([options.seconds(found) for found in row.found]):,.0f}",
            _times(ratio(row, rows[REFERENCE], options)),
            f"{median([found.memory for found in row.found]):,.0f}",
            _apart(row.difference),
            f"{median([found.setup_seconds for found in row.found]):.1f}",
        ]
        if on_gpu:
            line.append(f"{median([found.device_memory or 0 for found in row.found]):,.0f}")
            line.append(f"{work.flop / seconds / work.peak:.1%}" if work and work.flop and work.peak else "")
        lines.append(line)
    return table(heads, lines)


def ratio_table(summary: dict[str, dict[str, Row]], options: Options) -> list[str]:
    """All cases side by side: a line a contestant, a column a case."""
    names = [name for name in ROWS if any(name in rows for rows in summary.values())]
    return table(
        ["", *summary], [[ROWS[name], *(_times(ratio(rows[name], rows[REFERENCE], options)) for rows in summary.values())] for name in names]
    )


def ratio(row: Row, reference: Row, options: Options) -> float:
    """How many times as quick as the reference; NaN where one of them did not run."""
    if not row.found or not reference.found:
        return math.nan
    return median([options.seconds(found) for found in reference.found]) / max(median([options.seconds(found) for found in row.found]), 1e-9)


def _times(ratio: float) -> str:
    return "" if math.isnan(ratio) else f"{ratio:.2f}x" if ratio < 10 else f"{ratio:.1f}x"


def _apart(difference: float) -> str:
    return "" if math.isnan(difference) else "0" if difference == 0 else f"{difference:.1g}"
