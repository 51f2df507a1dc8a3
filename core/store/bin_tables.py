"""The bin's part of the store: which runs were deleted and can still be brought back. What lies on disk is `core.store.bin`'s."""

from __future__ import annotations

import time

from core.store.database import Database
from core.store.queue_tables import HOLDS

# A config that cannot be read names no weights that anybody could use.
_WEIGHTS = "COALESCE(CASE WHEN json_valid(config) THEN json_extract(config, '$.starting_weights') END, '')"


class BinTables(Database):
    """Putting runs into the bin, taking them out, and emptying it."""

    def put_into_bin(self, run_id: str) -> bool:
        """Put a run into the bin; what waits leaves the queue with it. False: it holds a place, or lies there already (or is no run)."""
        with self._transaction() as connection:
            query = f"UPDATE runs SET binned = ? WHERE id = ? AND binned IS NULL AND NOT {HOLDS}"
            return connection.execute(query, (time.time(), run_id)).rowcount > 0

    def take_out_of_bin(self, run_id: str) -> bool:
        """Bring a run back, as it was. False: it is not in the bin (any more)."""
        with self._transaction() as connection:
            return connection.execute("UPDATE runs SET binned = NULL WHERE id = ? AND binned IS NOT NULL", (run_id,)).rowcount > 0

    def forget_binned(self, run_id: str) -> bool:
        """Delete a run's row and all its rows, if it lies in the bin. False: it does not (any more). Its folder is the caller's to remove."""
        with self._transaction() as connection:
            return connection.execute("DELETE FROM runs WHERE id = ? AND binned IS NOT NULL", (run_id,)).rowcount > 0

    def binned(self) -> dict[str, float]:
        """The ids of the runs in the bin, with when they were put there (Unix seconds), newest first; also of those that cannot be read."""
        return {str(row[0]): float(row[1]) for row in self._read("SELECT id, binned FROM runs WHERE binned IS NOT NULL ORDER BY binned DESC")}

    def starting_weights(self) -> list[tuple[str, str, bool]]:
        """Of each run that is not in the bin: its id, what its config names as starting weights, and whether it waits or goes on."""
        query = f"SELECT id, {_WEIGHTS}, status = 'queued' OR {HOLDS} FROM runs WHERE binned IS NULL ORDER BY created, id"
        return [(str(row[0]), str(row[1]), bool(row[2])) for row in self._read(query)]
