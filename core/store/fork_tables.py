"""Branches of runs: a run of its own that has its parent's rows up to where it branched off, so that it stands when the parent is deleted."""

from __future__ import annotations

import time
from collections.abc import Iterator

from core.config import RunConfig
from core.records.events import RunStatus
from core.records.forks import Fork
from core.store.database import Database, new_id, unknown
from core.store.reading import FORK

NOT_BEGUN = "this branch was not put together to its end; branch off once more"
"""What a row says whose files are still being laid beside each other, and of one whose maker was killed meanwhile."""

AT_ONCE = 10_000
"""Steps that are copied in one transaction."""

_SHARED = ("plan", "tuning", "active_seconds")
_PAST = {
    "steps": ("step", "epoch", "time", "loss", "learning_rate", "samples_per_second", "gradient_norms", "update_norms", "weight_norms"),
    "levels": (
        "level", "step", "finite", "loss", "loss_low", "loss_high", "learning_rate", "gradient_norms", "update_norms", "weight_norms",
    ),
    "epochs": ("epoch", "step", "time", "train_loss", "train_accuracy", "validation_loss", "validation_accuracy"),
    "changes": ("step", "source", "text", "learning_rate", "frozen", "multipliers"),
    "inspections": ("step", "name", "weight", "gradient"),
    "forgetting": ("step", "accuracy", "pictures", "seconds", "drift"),
}  # fmt: skip
"""What a branch has of its parent's past, table by table. Steps that it shares are copied: a chart reads one run's rows, and either may go."""


class ForkTables(Database):
    """Making a branch, and what is known of where it began."""

    def create_fork(self, config: RunConfig, fork: Fork) -> str:
        """Insert a branch with its parent's past, and return its id. It has ended for now: `ask_to_resume` has it wait, once its files are there.

        Where it fails in between, the row is there and says so.

        Raises:
            KeyError: there is no such parent.
        """
        now = time.time()
        with self._transaction() as connection:
            if not connection.execute("SELECT 1 FROM runs WHERE id = ? AND binned IS NULL", (fork.parent,)).fetchone():
                raise unknown(fork.parent)
            run_id = new_id(connection, now)
            connection.execute(
                f"INSERT INTO runs (id, created, config, status, error, ended, fork, step, {', '.join(_SHARED)})"
                f" SELECT ?, ?, ?, ?, ?, ?, ?, ?, {', '.join(_SHARED)} FROM runs WHERE id = ?",
                (run_id, now, config.to_json(), RunStatus.FAILED, NOT_BEGUN, now, FORK.dump_json(fork).decode(), fork.step, fork.parent),
            )
        for table, columns, first, last, more in self._parts(fork):
            order = " ORDER BY id" if table in ("changes", "inspections") else ""
            self._write(
                (
                    f"INSERT INTO {table} (run, {columns}) SELECT ?, {columns} FROM {table} WHERE run = ? AND step > ? AND step <= ?{more}{order}",
                    [(run_id, fork.parent, first, last)],
                )
            )
        with self._transaction() as connection:
            epoch = "COALESCE((SELECT epoch FROM steps WHERE run = ? ORDER BY step DESC LIMIT 1), 0)"
            connection.execute(f"UPDATE runs SET epoch = {epoch} WHERE id = ?", (run_id, run_id))
        return run_id

    def _parts(self, fork: Fork) -> Iterator[tuple[str, str, int, int, str]]:
        """What is copied at once, so that nobody waits long for the lock: (table, columns, steps above this one up to that one, and what else)."""
        levels = [int(row["level"]) for row in self._read("SELECT DISTINCT level FROM levels WHERE run = ? ORDER BY level", (fork.parent,))]
        for table, names in _PAST.items():
            # A change holds from its step on: that of the checkpoint's next step may have been made before it, which it says itself.
            last = fork.step + 1 if table == "changes" else fork.step
            for level in levels if table == "levels" else [0]:
                more = f" AND level = {level}" if table == "levels" else ""
                size = AT_ONCE << level if table in ("steps", "levels") else last + 2
                for first in range(-1, last + 1, size):
                    yield table, ", ".join(names), first, min(first + size, last), more

    def fork(self, run_id: str) -> Fork | None:
        """Where a run branched off; None for one that began by itself. Raises KeyError for an unknown run."""
        text = self._row("fork", run_id)["fork"]
        return FORK.validate_json(text) if text else None

    def branches(self, run_id: str) -> list[tuple[str, int]]:
        """The branches of a run that are there, oldest first: (id, step behind which it begins)."""
        # A fork that cannot be read is nobody's.
        of = "CASE WHEN json_valid(fork) THEN json_extract(fork, '$.parent') END"
        query = (
            f"SELECT id, json_extract(fork, '$.step') AS step FROM runs WHERE fork IS NOT NULL AND binned IS NULL AND {of} = ? ORDER BY created, id"
        )
        return [(str(row["id"]), int(row["step"])) for row in self._read(query, (run_id,))]
