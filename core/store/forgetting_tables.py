"""What runs forget: a table of its own, with a row for each measurement."""

from __future__ import annotations

import numpy as np

from core.records.forgetting import ForgettingRow
from core.store.database import Database
from core.store.reading import readable


class ForgettingTables(Database):
    """Adding and reading what was measured."""

    def append_forgetting(self, run_id: str, row: ForgettingRow) -> None:
        """Add a measurement; one of the same step gives way to it."""
        drift = np.stack([row.moved, row.start]).astype("<f4").tobytes()
        self._write(
            (
                "INSERT OR REPLACE INTO forgetting (run, step, accuracy, pictures, seconds, drift) VALUES (?, ?, ?, ?, ?, ?)",
                [(run_id, row.step, row.accuracy, row.pictures, row.seconds, drift)],
            )
        )

    def forgetting_after(self, run_id: str, after: int = -1) -> list[ForgettingRow]:
        """What was measured behind more than `after` steps, oldest first; -1: all, that of before the first step too."""
        query = "SELECT step, accuracy, pictures, seconds, drift FROM forgetting WHERE run = ? AND step > ? ORDER BY step"
        with readable(run_id, "measurements of what it forgets"):
            return [_row(*row) for row in self._read(query, (run_id, after))]


def _row(step: int, accuracy: float | None, pictures: int, seconds: float, drift: bytes) -> ForgettingRow:
    moved, start = np.frombuffer(drift, "<f4").reshape(2, -1)
    return ForgettingRow(step, accuracy, pictures, seconds, moved, start)
