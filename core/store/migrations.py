"""The store's schema, one numbered step at a time. A step that has shipped is never changed; a new column is a new step."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from core.store.trouble import ANOTHER, RECOVER, StoreError

MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE runs (
        id TEXT PRIMARY KEY,
        created REAL NOT NULL,
        config TEXT NOT NULL,
        status TEXT NOT NULL,
        activity TEXT NOT NULL DEFAULT '',
        activity_share REAL,
        step INTEGER NOT NULL DEFAULT 0,
        epoch INTEGER NOT NULL DEFAULT 0,
        started REAL,
        ended REAL,
        active_seconds REAL NOT NULL DEFAULT 0,
        pid INTEGER,
        process_started REAL,
        error TEXT,
        plan TEXT,
        result TEXT
    );
    CREATE INDEX runs_by_age ON runs (created);
    CREATE TABLE steps (
        run TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
        step INTEGER NOT NULL,
        epoch INTEGER NOT NULL,
        time REAL NOT NULL,
        loss REAL,
        learning_rate REAL NOT NULL,
        samples_per_second REAL,
        gradient_norms BLOB NOT NULL,
        PRIMARY KEY (run, step)
    ) WITHOUT ROWID;
    CREATE TABLE levels (
        run TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
        level INTEGER NOT NULL,
        step INTEGER NOT NULL,
        finite INTEGER NOT NULL,
        loss REAL,
        loss_low REAL,
        loss_high REAL,
        learning_rate REAL NOT NULL,
        gradient_norms BLOB NOT NULL,
        PRIMARY KEY (run, level, step)
    ) WITHOUT ROWID;
    CREATE TABLE epochs (
        run TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
        epoch INTEGER NOT NULL,
        step INTEGER NOT NULL,
        time REAL NOT NULL,
        train_loss REAL,
        train_accuracy REAL,
        validation_loss REAL,
        validation_accuracy REAL,
        PRIMARY KEY (run, epoch)
    ) WITHOUT ROWID;
    CREATE TABLE commands (
        id INTEGER PRIMARY KEY,
        run TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
        kind TEXT NOT NULL,
        requested_at REAL NOT NULL,
        requested_at_step INTEGER NOT NULL,
        applied_at_step INTEGER,
        error TEXT
    );
    CREATE INDEX commands_by_run ON commands (run, id);
    """,
    """
    ALTER TABLE steps ADD COLUMN update_norms BLOB;
    ALTER TABLE steps ADD COLUMN weight_norms BLOB;
    ALTER TABLE levels ADD COLUMN update_norms BLOB;
    ALTER TABLE levels ADD COLUMN weight_norms BLOB;
    ALTER TABLE commands ADD COLUMN payload TEXT NOT NULL DEFAULT '';
    ALTER TABLE runs ADD COLUMN step_seconds REAL NOT NULL DEFAULT 0;
    ALTER TABLE runs ADD COLUMN watch_seconds REAL NOT NULL DEFAULT 0;
    ALTER TABLE runs ADD COLUMN audit TEXT;
    CREATE TABLE changes (
        id INTEGER PRIMARY KEY,
        run TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
        step INTEGER NOT NULL,
        source TEXT NOT NULL,
        text TEXT NOT NULL,
        learning_rate REAL NOT NULL,
        frozen BLOB NOT NULL,
        multipliers BLOB NOT NULL
    );
    CREATE INDEX changes_by_run ON changes (run, id);
    CREATE TABLE inspections (
        id INTEGER PRIMARY KEY,
        run TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
        step INTEGER NOT NULL,
        name TEXT NOT NULL,
        weight TEXT NOT NULL,
        gradient TEXT
    );
    CREATE INDEX inspections_by_run ON inspections (run, id);
    """,
    """
    ALTER TABLE runs ADD COLUMN reuse TEXT;
    ALTER TABLE runs ADD COLUMN stages TEXT;
    ALTER TABLE runs ADD COLUMN profile TEXT;
    ALTER TABLE runs ADD COLUMN tuning TEXT;
    """,
    """
    ALTER TABLE runs ADD COLUMN findings TEXT;
    """,
    """
    ALTER TABLE runs ADD COLUMN place REAL;
    ALTER TABLE runs ADD COLUMN claimed_by TEXT;
    ALTER TABLE runs ADD COLUMN claimed_at REAL;
    ALTER TABLE runs ADD COLUMN binned REAL;
    CREATE INDEX runs_by_place ON runs (place);
    CREATE INDEX runs_by_status ON runs (status, place);
    CREATE INDEX runs_by_bin ON runs (binned);
    """,
    """
    ALTER TABLE runs ADD COLUMN resume TEXT;
    ALTER TABLE runs ADD COLUMN continued TEXT;
    """,
    """
    CREATE TABLE labels (
        run TEXT PRIMARY KEY REFERENCES runs (id) ON DELETE CASCADE,
        name TEXT NOT NULL DEFAULT '',
        note TEXT NOT NULL DEFAULT '',
        tags TEXT NOT NULL DEFAULT '[]',
        starred INTEGER NOT NULL DEFAULT 0
    ) WITHOUT ROWID;
    """,
    """
    ALTER TABLE runs ADD COLUMN fork TEXT;
    CREATE TABLE forgetting (
        run TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
        step INTEGER NOT NULL,
        accuracy REAL,
        pictures INTEGER NOT NULL,
        seconds REAL NOT NULL,
        drift BLOB NOT NULL,
        PRIMARY KEY (run, step)
    ) WITHOUT ROWID;
    """,
    """
    CREATE TABLE sweeps (
        id TEXT PRIMARY KEY,
        created REAL NOT NULL,
        plan TEXT NOT NULL,
        stopped REAL,
        at_once INTEGER NOT NULL DEFAULT 1,
        tried INTEGER NOT NULL DEFAULT 0,
        refused TEXT NOT NULL DEFAULT '[]',
        trouble TEXT NOT NULL DEFAULT ''
    ) WITHOUT ROWID;
    CREATE TABLE sweep_runs (
        run TEXT PRIMARY KEY REFERENCES runs (id) ON DELETE CASCADE,
        sweep TEXT NOT NULL REFERENCES sweeps (id) ON DELETE CASCADE,
        number INTEGER NOT NULL,
        given TEXT NOT NULL,
        pruned INTEGER
    ) WITHOUT ROWID;
    CREATE INDEX sweep_runs_by_sweep ON sweep_runs (sweep, number);
    """,
    """
    CREATE TABLE jobs (
        run TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
        number INTEGER NOT NULL,
        executor TEXT NOT NULL,
        job TEXT NOT NULL DEFAULT '',
        state TEXT NOT NULL DEFAULT '',
        reason TEXT NOT NULL DEFAULT '',
        node TEXT NOT NULL DEFAULT '',
        submitted REAL NOT NULL,
        looked REAL NOT NULL DEFAULT 0,
        imported INTEGER NOT NULL DEFAULT 0,
        skipped INTEGER NOT NULL DEFAULT 0,
        trouble TEXT NOT NULL DEFAULT '',
        cancelled REAL,
        ended REAL,
        PRIMARY KEY (run, number)
    ) WITHOUT ROWID;
    """,
)


def migrate(connection: sqlite3.Connection, database: Path) -> None:
    """Bring the database to the newest schema, all steps in one transaction. One that is not Thaw's, or newer than this code, is left as it is.

    Raises:
        StoreError: the store was written by a newer Thaw, or is another program's.
    """
    if _version(connection, database) == len(MIGRATIONS):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        # Asked again under the lock: server and worker may both have found an old schema.
        for script in MIGRATIONS[_version(connection, database) :]:
            # Not executescript: it would commit our transaction before it starts.
            for statement in filter(str.strip, script.split(";")):
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # a full disk has ended it already
            connection.execute("ROLLBACK")
        raise


def _version(connection: sqlite3.Connection, database: Path) -> int:
    """Number of migrations that were made; 0 for an empty file."""
    # One statement: between two of them another process may have made the tables.
    query = "SELECT user_version, (SELECT count(*) FROM sqlite_master), (SELECT count(*) FROM sqlite_master WHERE name = 'runs')"
    version, tables, ours = connection.execute(f"{query} FROM pragma_user_version").fetchone()
    if version > len(MIGRATIONS):
        reason = f"was written by a newer Thaw (it has schema {version}, this Thaw knows {len(MIGRATIONS)})"
        raise StoreError(str(database), "newer", reason, f"update Thaw, or {ANOTHER}")
    if tables and not (version and ours) or version and not tables:
        reason = "is a database of another program, or a damaged one: it has no runs"
        raise StoreError(str(database), "foreign", reason, f"{ANOTHER}, or have {RECOVER} move it away and take in the runs found on disk")
    return int(version)
