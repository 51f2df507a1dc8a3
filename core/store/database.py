"""One SQLite file: a connection a thread, transactions, and what SQLite complains of in words. The tables are below."""

from __future__ import annotations

import atexit
import os
import secrets
import sqlite3
import threading
import time
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from core.config.limits import quoted
from core.store.migrations import migrate
from core.store.trouble import StoreError, in_words

Statement = tuple[str, Sequence[Sequence[Any]]]
"""SQL, and the rows of values that it is carried out with."""

PATIENCE = 10.0
"""Seconds that a read or a write waits while another process holds the lock."""


class _Connection(sqlite3.Connection):
    """One that is closed at the end of the process that opened it, so that SQLite puts its log (-wal) away, whatever still refers to it."""

    opened_by: int
    """The process: one that was forked from it must not touch the file through a connection that it has inherited."""


_OPEN: weakref.WeakSet[_Connection] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    for connection in list(_OPEN):
        if connection.opened_by == os.getpid():
            with suppress(sqlite3.ProgrammingError):  # another thread's, which still works with it
                connection.close()


class Database:
    """What every table is read and written with.

    Whatever reads or writes raises `StoreError`, with nothing half-written, where the file cannot be used. The next call opens it anew: a
    file that was mended, or put in place of another, is used at once.
    """

    def __init__(self, database: Path, patience: float = PATIENCE) -> None:
        """Open `database`, made if it is not there. `patience`: seconds to wait for a lock.

        Raises:
            StoreError: it cannot be opened, is not Thaw's, or was written by a newer Thaw.
        """
        self.database = database
        self._patience = patience
        self._local = threading.local()
        self._openings = 0
        with self._told():
            self._connection  # noqa: B018 opens it

    @property
    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is not None and self._local.opened != (self._openings, _identity(self.database)):
            self.close()
            connection = None
        if connection is None:
            # Kept open: opening and closing for each write costs 7 ms.
            connection = self._open()
            self._local.connection = connection
            self._local.opened = (self._openings, _identity(self.database))
        return connection

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.database, isolation_level=None, timeout=self._patience, factory=_Connection)
        connection.opened_by = os.getpid()
        _OPEN.add(connection)
        try:
            connection.row_factory = sqlite3.Row
            # A byte that is no text spoils its own value, and no other row.
            connection.text_factory = lambda text: str(text, "utf-8", "replace")
            migrate(connection, self.database)  # first: what is not ours is not touched
            connection.execute("PRAGMA journal_mode = WAL")
            # FULL, not NORMAL: in WAL mode NORMAL may lose the last commits when the power goes.
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
        except BaseException:
            connection.close()
            raise
        return connection

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Within it, what SQLite complains of is said for a person, and after trouble with the file all threads open it anew."""
        try:
            yield
        except sqlite3.Error as error:
            trouble = in_words(self.database, error)
            if trouble is None:
                raise
            if trouble.kind not in ("locked", "full"):
                self._openings += 1
            raise trouble from error

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._told():
            connection = self._connection
            try:
                connection.execute("BEGIN IMMEDIATE")
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def _write(self, *statements: Statement) -> None:
        """Carry out all of them in one transaction."""
        with self._transaction() as connection:
            for sql, rows in statements:
                connection.executemany(sql, rows)

    def _read(self, query: str, values: Sequence[Any] = ()) -> list[sqlite3.Row]:
        with self._told():
            return self._connection.execute(query, values).fetchall()

    def damage(self) -> str:
        """What a look through the whole file finds wrong with it; empty if it is well."""
        found = str(self._read("PRAGMA quick_check(1)")[0][0])
        return "" if found == "ok" else found

    def _wait_for_locks(self, seconds: float) -> None:
        """How long this thread waits for a lock from now on."""
        self._patience = seconds
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is not None:
            connection.execute(f"PRAGMA busy_timeout = {int(1000 * seconds)}")

    def _wait_for_disk(self, each: bool) -> None:
        """Whether this thread's transactions are on the disk when they are over, each of them, or with the next one that is."""
        with self._told():
            self._connection.execute(f"PRAGMA synchronous = {'FULL' if each else 'NORMAL'}")

    @contextmanager
    def _unforced(self) -> Iterator[None]:
        """Within it transactions reach the disk with the next one that is forced: for what means nothing once the machine was off.

        Whoever else reads the store sees them at once, and a process that is killed loses none.
        """
        with suppress(StoreError):
            self._wait_for_disk(False)
        try:
            yield
        finally:
            with suppress(StoreError):
                self._wait_for_disk(True)

    def close(self) -> None:
        """Close this thread's connection. Another call opens it again."""
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is not None:
            connection.close()
            self._local.connection = None

    # Rows of runs

    def _update(self, run_id: str, **columns: Any) -> None:
        self._write(self._assign(run_id, **columns))

    def _assign(self, run_id: str, **columns: Any) -> Statement:
        """The statement that sets columns of a run's row."""
        return f"UPDATE runs SET {', '.join(f'{name} = ?' for name in columns)} WHERE id = ?", [(*columns.values(), run_id)]

    def _row(self, columns: str, run_id: str) -> sqlite3.Row:
        rows = self._read(f"SELECT {columns} FROM runs WHERE id = ?", (run_id,))
        if not rows:
            raise unknown(run_id)
        return rows[0]


def new_id(connection: sqlite3.Connection, now: float) -> str:
    """An id for a run made at `now` (Unix seconds) that no run has: `20261123-102233-a1b2`. Within the transaction that inserts it."""
    while True:
        run_id = time.strftime("%Y%m%d-%H%M%S", time.localtime(now)) + "-" + secrets.token_hex(2)
        # Of 200 in a second, two are alike in one case of four.
        if not connection.execute("SELECT 1 FROM runs WHERE id = ?", (run_id,)).fetchone():
            return run_id


def unknown(run_id: str) -> KeyError:
    """What is raised where there is no run with this id."""
    return KeyError(f"There is no run {quoted(run_id)}; list the runs with: python -m core runs")


def _identity(file: Path) -> tuple[int, int] | None:
    """Which file lies there now: another one of the same name is another one."""
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
