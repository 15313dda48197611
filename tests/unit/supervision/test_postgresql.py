"""How a real PostgreSQL is, as the supervision reads it."""

from __future__ import annotations

import importlib.util
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import psycopg
import pytest

from creatic.supervision import figures
from testbed.database import Database, running
from testbed.patience import wait_for

PROGRAM = Path(__file__).parents[3] / "roles/postgresql/files/mesures.py"


@pytest.fixture(scope="module")
def program() -> ModuleType:
    spec = importlib.util.spec_from_file_location("mesures", PROGRAM)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def server() -> Iterator[Database]:
    with running("-c archive_mode=on -c max_connections=10") as made:
        with psycopg.connect(made.address("postgres"), autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET archive_command = 'true'")
            connection.execute("SELECT pg_reload_conf()")
        yield made


def told(program: ModuleType, server: Database) -> tuple[dict[str, float], list[str]]:
    """Figures by name and label, and what the morning says of them."""
    text = program.text(program.query_server("-h", str(server.data.parent), "-U", "essai", "-d", "postgres"))
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert "error" not in done.stderr, done.stderr
    found = list(figures.parse(text))
    said = [words for _grave, words, _fix in figures.judge(found, {}, time.time())]
    return {one.key.removeprefix("creatic_postgresql_"): one.value for one in found}, said


def test_it_says_how_it_is(program: ModuleType, server: Database) -> None:
    server.new(name="mayan")
    found, said = told(program, server)
    assert said == []
    assert found["up{}"] == 1 and found["connections_max{}"] == 10 and found["archive_failing{}"] == 0
    assert found["bytes{base=mayan}"] > 1_000_000 and 0 < found["frozen_age{}"] < 1_000_000


def test_connections_and_an_old_transaction_are_told(program: ModuleType, server: Database) -> None:
    open_: list[Any] = []
    try:
        for _ in range(9):  # the last three are kept for who administers it
            open_.append(psycopg.connect(server.address("postgres")))
        open_[0].execute("SELECT 1")
        time.sleep(1.1)
        found, said = told(program, server)
    finally:
        for one in open_:
            one.close()
    assert found["connections{}"] == 10 and said == ["connexions à PostgreSQL prises à 100 %"]
    assert 1 < found["oldest_transaction_seconds{}"] < 600


def test_what_does_not_reach_the_repository_is_told(program: ModuleType, server: Database) -> None:
    def archives(command: str) -> None:
        with psycopg.connect(server.address("postgres"), autocommit=True) as connection:
            connection.execute(f"ALTER SYSTEM SET archive_command = '{command}'".encode())
            connection.execute("SELECT pg_reload_conf()")
            connection.execute("SELECT pg_logical_emit_message(true, 'essai', 'essai')")
            connection.execute("SELECT pg_switch_wal()")

    def failing() -> bool:
        return told(program, server)[0]["archive_failing{}"] == 1

    archives("false")
    wait_for(failing, "un échec de l'archivage", 60, every=0.5)
    assert any("ne va plus au dépôt" in words for words in told(program, server)[1])


def test_a_server_that_is_away_is_told(program: ModuleType, tmp_path: Path) -> None:
    found = list(figures.parse(program.text(program.query_server("-h", str(tmp_path), "-d", "postgres"))))
    assert [(one.name, one.value) for one in found] == [("creatic_postgresql_up", 0)]
    assert [words for _grave, words, _fix in figures.judge(found, {}, time.time())] == ["PostgreSQL ne répond pas"]


def test_its_file_is_replaced_at_once(program: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "postgresql.prom"
    target.write_text("ancien\n")
    monkeypatch.setattr(program, "query_server", lambda *_where: None)
    program.main(target)
    assert "creatic_postgresql_up 0" in target.read_text() and [*tmp_path.iterdir()] == [target]
    assert target.stat().st_mode & 0o777 == 0o644
