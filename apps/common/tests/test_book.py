"""SQLite books, for every agent."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from creatic_agent.book import Book, connect, transaction

SCHEMA = "CREATE TABLE IF NOT EXISTS fait (nom TEXT PRIMARY KEY);"


def test_a_transaction_is_kept_whole_or_not_at_all(tmp_path: Path) -> None:
    with closing(Book(tmp_path / "l.sqlite", SCHEMA)) as book:
        with book.transaction() as db:
            db.execute("INSERT INTO fait VALUES ('un')")
        with pytest.raises(KeyError), book.transaction() as db:
            db.execute("INSERT INTO fait VALUES ('deux')")
            raise KeyError
        with closing(Book(tmp_path / "l.sqlite", SCHEMA)) as other:  # what is there is left as it is
            assert [row["nom"] for row in other.rows("SELECT * FROM fait WHERE nom <> ?", "trois")] == ["un"]
            assert other.rows("PRAGMA synchronous")[0][0] == 2
            assert other.rows("PRAGMA journal_mode")[0][0] == "wal"


def test_a_transaction_that_the_database_ended_tells_its_own_error(tmp_path: Path) -> None:
    with closing(connect(tmp_path / "l.sqlite")) as db, pytest.raises(KeyError), transaction(db):
        db.execute("ROLLBACK")
        raise KeyError


def test_another_writer_is_waited_for_no_longer_than_told(tmp_path: Path) -> None:
    path = tmp_path / "l.sqlite"
    with closing(connect(path)) as db, closing(connect(path, timeout=0)) as other:
        db.execute("BEGIN IMMEDIATE")
        with pytest.raises(sqlite3.OperationalError, match="locked"), transaction(other):
            pass


def test_one_that_makes_the_book_at_the_same_time_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "l.sqlite"
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            connect(path, timeout=0)
        end = threading.Timer(0.3, lambda: other.execute("COMMIT"))
        end.start()
        with closing(connect(path, timeout=30)) as db:
            assert db.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
        end.join()


def test_what_is_no_book_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "l.sqlite"
    path.write_bytes(b"ce n'est pas un livre" * 100)
    with pytest.raises(sqlite3.DatabaseError, match="not a database"):
        connect(path)
    assert path.read_bytes() == b"ce n'est pas un livre" * 100
