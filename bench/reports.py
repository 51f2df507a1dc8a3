"""How long a report, tables and event files of a long run take, how large they are, and how much memory they need on the way."""

from __future__ import annotations

import importlib
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from bench.synthetic import LAYERS, SyntheticRun
from bench.table import spread, table
from core.export.formats import FORMATS
from core.export.subject import Subject
from core.machine.files import size_of
from core.machine.home import Home
from core.store import RunStore

STEPS = 100_000
WHAT = ("report", "csv", "parquet", "tensorboard")
LOOK_SECONDS = 0.005


def measure(folder: Path, rounds: int) -> Iterator[str]:
    """Every format of a run with 100,000 steps and as many tensors as resnet18 has, `rounds` times in turn."""
    home = Home.from_environment(str(folder / "home"))
    store = RunStore(home.database)
    run = store.run(SyntheticRun(store, STEPS).id)
    subject = Subject(home, store, run, None)
    entries = [FORMATS[name] for name in WHAT if not FORMATS[name].missing]
    for entry in entries:
        importlib.import_module(entry.module)  # torch is some seconds, and a server's process has it already
    seconds: dict[str, list[float]] = {entry.name: [] for entry in entries}
    memory: dict[str, list[float]] = {entry.name: [] for entry in entries}
    sizes: dict[str, int] = {}
    for number in range(rounds):
        for entry in entries:
            target = folder / f"{number}-{entry.name}{entry.suffix}"
            with _peak(memory[entry.name]):
                began = time.perf_counter()
                entry.writer(subject, target, lambda text, share: None, lambda: False)
                seconds[entry.name].append(time.perf_counter() - began)
            sizes[entry.name] = size_of(target)
            (shutil.rmtree if target.is_dir() else Path.unlink)(target)
    yield f"{STEPS:,} steps, {LAYERS} tensors; no weights, so the report makes no test. Memory: what the process grew by at most, in its first round."
    yield ""
    rows = [(entry.label, spread(seconds[entry.name]), f"{sizes[entry.name] / 1e6:.2f}", f"{memory[entry.name][0] / 1e6:.0f}") for entry in entries]
    yield from table(("export", "seconds", "MB", "memory, MB"), rows)


@contextmanager
def _peak(found: list[float]) -> Iterator[None]:
    """Add how many bytes this process grew by at most within the block."""
    process = psutil.Process()
    before = highest = process.memory_info().rss
    done = threading.Event()

    def look() -> None:
        nonlocal highest
        while not done.wait(LOOK_SECONDS):
            highest = max(highest, process.memory_info().rss)

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()
        found.append(highest - before)
