"""Milliseconds to read a run's history for a chart, and what is sent, for runs of 1,000 to 1,000,000 steps."""

from __future__ import annotations

import json
import time
from pathlib import Path

from bench.synthetic import SyntheticRun
from bench.table import spread, table
from core import stream
from core.home import Home
from core.store import RunStore


def measure(folder: Path, rounds: int) -> list[str]:
    """The first message of a fresh client, from the store to JSON text, with a new connection to the database each time."""
    home = Home.from_environment(str(folder / "home"))
    store = RunStore(home.database)
    rows = []
    for steps in (1_000, 100_000, 1_000_000):
        run = SyntheticRun(store, steps)
        taken, size, points = [], 0, 0
        for _ in range(max(rounds, 5)):
            store.close()
            began = time.perf_counter()
            message, _ = stream.message(store, run.id, None)
            assert message is not None
            size = len(json.dumps(message))
            taken.append(1000 * (time.perf_counter() - began))
            points = len(message["steps"]["step"])
        rows.append((f"{steps:,} steps", spread(taken, 1), str(points), f"{size / 1000:.0f}"))
    return table(["history", "milliseconds to the first message, median (range)", "points on a line", "kB sent"], rows)
