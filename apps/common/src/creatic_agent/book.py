# Copyright: CDG59, groupement de commandes Cre@tic
# SPDX-License-Identifier: EUPL-1.2
"""SQLite books: what a transaction wrote is on disk when it ends, whole or not at all."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path


def connect(path: Path, timeout: float = 30, *, threaded: bool = False) -> sqlite3.Connection:
    """Open a book, whose rows have names; only `transaction` begins one.

    Args:
        timeout: seconds that another writer is waited for.
        threaded: several threads use it, in turn.

    Raises:
        sqlite3.Error: it cannot be opened, or is no book.
    """
    db = sqlite3.connect(path, timeout=timeout, isolation_level=None, check_same_thread=not threaded)
    try:
        db.row_factory = sqlite3.Row
        _set_wal(db, time.monotonic() + timeout)
        db.execute("PRAGMA synchronous=FULL")
    except BaseException:
        db.close()  # a disk without room for its index refuses each one that is opened
        raise
    return db


def _set_wal(db: sqlite3.Connection, deadline: float) -> None:
    """Set the mode; of two that make a book at once, SQLite refuses one without the wait that it was asked for."""
    while True:
        try:
            db.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() >= deadline:
                raise
            time.sleep(0.01)
        else:
            return


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """One write transaction; nothing of it is left if it fails."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield db
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")


class Book:
    """A book with its schema, which makes what is not there yet."""

    def __init__(self, path: Path, schema: str) -> None:
        self._db = connect(path)
        self._db.executescript(schema)

    def close(self) -> None:
        self._db.close()

    def transaction(self) -> AbstractContextManager[sqlite3.Connection]:
        return transaction(self._db)

    def rows(self, query: str, *values: object) -> list[sqlite3.Row]:
        return self._db.execute(query, values).fetchall()

    def each(self, query: str, *values: object) -> Iterator[sqlite3.Row]:
        """The same rows, one at a time: who takes the first holds no other."""
        return self._db.execute(query, values)
