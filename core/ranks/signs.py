"""Signs of life of the processes that share a run: a row of numbers for each, in a file that all of them map into memory.

No torch, and no lock: each rank writes its own row, whoever watches reads all of them. A number is eight aligned bytes, which are written at
once; rows are for looking at, nothing is computed from them.
"""

from __future__ import annotations

import math
import mmap
import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

from core.machine.living import lives

NAME = "ranks.signs"
"""In the run's folder."""

COLUMNS = ("pid", "alive", "step", "step_seconds", "waiting_seconds", "memory", "phase", "bytes", "meetings", "attempt")
"""`alive`: Unix seconds of the last sign; `memory` and `bytes` (sent in a step) in bytes; seconds are means of the last steps."""

EVERY = 0.5
"""Seconds between two signs."""

STARTING, TRAINING, LEFT, PARTED, FAILED = range(5)
"""Phases. LEFT: ended in good order; PARTED: it ended since another one was gone; FAILED: by an error of its own, which its log has."""

PHASES = ("starting", "training", "ended", "ended with the others", "failed")

STRAGGLES = 0.2
"""Share of a step that others wait for a rank, from which on it is said that it is slow."""

SHARE = 0.1
"""How much the newest step counts in a mean."""


@dataclass(frozen=True)
class Sign:
    """What a rank last said of itself. `pid` 0: nothing yet. Times in seconds, `alive` as Unix time, memory and bytes in bytes."""

    rank: int
    pid: int
    alive: float
    step: int
    step_seconds: float
    waiting_seconds: float
    memory: int
    phase: str
    bytes: int
    meetings: int
    attempt: int


def make(folder: Path, ranks: int, attempt: int = 0) -> Path:
    """An empty file for so many ranks, in place of an older one. Raises OSError."""
    path = folder / NAME
    folder.mkdir(parents=True, exist_ok=True)
    rows = np.zeros((ranks, len(COLUMNS)))
    rows[:, COLUMNS.index("attempt")] = attempt
    partial = path.with_suffix(f".partial-{os.getpid()}")
    partial.write_bytes(rows.tobytes())  # not forced onto the disk: after a loss of power nobody is alive
    partial.replace(path)
    return path


def read(folder: Path) -> tuple[Sign, ...]:
    """The signs of all ranks of the run in `folder`; none where it has one device, or has not begun."""
    try:
        content = (folder / NAME).read_bytes()
    except OSError:
        return ()
    width = 8 * len(COLUMNS)
    if not content or len(content) % width:
        return ()
    rows = np.nan_to_num(np.frombuffer(content).reshape(-1, len(COLUMNS)))
    return tuple(_sign(rank, dict(zip(COLUMNS, row.tolist(), strict=True))) for rank, row in enumerate(rows))


def _sign(rank: int, row: dict[str, float]) -> Sign:
    phase = PHASES[int(row["phase"])] if 0 <= row["phase"] < len(PHASES) else "unknown"
    whole = {name: int(row[name]) for name in ("pid", "step", "memory", "bytes", "meetings", "attempt")}
    return Sign(rank=rank, alive=row["alive"], step_seconds=row["step_seconds"], waiting_seconds=row["waiting_seconds"], phase=phase, **whole)


def numbers(row: Sign) -> list[float]:
    """A rank's row as it was read, in the order of `COLUMNS`, to be sent to another machine."""
    values = {**vars(row), "phase": PHASES.index(row.phase) if row.phase in PHASES else 0}
    return [float(values[name]) for name in COLUMNS]


def put(folder: Path, first: int, rows: Sequence[Sequence[float]]) -> None:
    """Write down what ranks of another machine, from `first` on, said of themselves. Raises OSError."""
    with (folder / NAME).open("r+b") as file:
        file.seek(first * 8 * len(COLUMNS))
        file.write(np.asarray(rows, np.float64).tobytes())


def slowest(rows: Sequence[Sign]) -> str:
    """Whom the others wait for, in a sentence; empty where nobody waits for long, or nobody has trained yet."""
    if len(rows) < 2 or not all(row.step_seconds > 0 for row in rows):
        return ""
    last = min(rows, key=lambda row: row.waiting_seconds)
    waited = max(row.waiting_seconds for row in rows) - last.waiting_seconds
    step = max(row.step_seconds for row in rows)
    if waited < STRAGGLES * step:
        return ""
    return f"Rank {last.rank} is the slowest: others wait {1e3 * waited:.3g} ms of each step of {1e3 * step:.3g} ms for it"


class Signs:
    """A rank's own row. A thread says twice a second that the process lives, and ends the process when its `parent` is gone.

    That it does after the last sign too: a rank that is done waits for its parent to take notice.

    Raises:
        OSError: the file is not there, or cannot be mapped.
    """

    def __init__(self, folder: Path, rank: int, parent: int | None = None) -> None:
        with (folder / NAME).open("r+b") as file:
            self._mapped = mmap.mmap(file.fileno(), 0)
        self._rows = np.frombuffer(self._mapped, np.float64).reshape(-1, len(COLUMNS))
        self._row = self._rows[rank]
        self._places = {name: place for place, name in enumerate(COLUMNS)}
        self._parent = parent
        self._process = psutil.Process()
        self._waited = 0.0
        self._over = threading.Event()
        self.set("pid", os.getpid())
        self._say()
        threading.Thread(target=self._live, name="signs of life", daemon=True).start()

    def set(self, name: str, value: float) -> None:
        """One number of the row."""
        self._row[self._places[name]] = value

    def gone(self, rank: int) -> bool:
        """Whether another rank, which was there, has ended or is about to."""
        row = self._rows[rank]
        return row[self._places["phase"]] in (LEFT, PARTED, FAILED) or not lives(int(row[self._places["pid"]]))

    def phase(self, phase: int) -> None:
        """Another phase begins."""
        self.set("phase", phase)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Around what waits for the other ranks."""
        began = time.perf_counter()
        yield
        self._waited += time.perf_counter() - began
        self._row[self._places["meetings"]] += 1

    def stepped(self, step: int, seconds: float) -> None:
        """A step is done, which took so long, waiting included."""
        self.set("step", step)
        for name, value in (("step_seconds", seconds), ("waiting_seconds", self._waited)):
            before = float(self._row[self._places[name]])
            self.set(name, value if not before or not math.isfinite(before) else before + SHARE * (value - before))
        self._waited = 0.0

    def close(self, phase: int) -> None:
        """The last sign."""
        self.phase(phase)
        self._over.set()

    def _live(self) -> None:
        while True:
            time.sleep(EVERY)
            if self._parent is not None and os.getppid() != self._parent:
                os._exit(1)  # whoever started the ranks is gone: the run is lost, and may begin elsewhere
            if not self._over.is_set():
                self._say()
            elif self._parent is None:
                return

    def _say(self) -> None:
        self.set("memory", self._process.memory_info().rss)
        self.set("alive", time.time())
