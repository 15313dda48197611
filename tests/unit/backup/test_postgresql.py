"""PostgreSQL in a backup, with a real server and a real pgBackRest: saved, brought back, and taken to a moment."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from creatic_sauvegarde import cli, postgresql
from creatic_sauvegarde.settings import BackupError

from tests.unit.passerelle.database import Database, running


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """A server which archives what is written; the machine's own is never asked."""
    with running("-c archive_mode=on -c archive_command='pgbackrest --stanza=main archive-push %p'") as made:
        socket = made.data.parent
        repository = socket / "depot"
        repository.mkdir()
        if os.geteuid() == 0:
            os.chown(repository, made.data.stat().st_uid, made.data.stat().st_gid)
        config = socket / "pgbackrest.conf"
        config.write_text(
            f"[global]\nrepo1-path={repository}\nrepo1-cipher-type=aes-256-cbc\nrepo1-cipher-pass=essai\n"
            f"repo1-retention-full=2\nlock-path={socket}\nspool-path={socket}\nlog-level-file=off\nlog-level-console=warn\nstart-fast=y\n"
            f"[main]\npg1-path={made.data}\npg1-socket-path={socket}\npg1-user=essai\n"
        )
        config.chmod(0o644)
        monkeypatch.setenv("PGBACKREST_CONFIG", str(config))
        monkeypatch.setenv("PGHOST", str(socket))
        monkeypatch.setenv("PGUSER", "essai")
        monkeypatch.setattr(postgresql, "ADMINISTRATOR", "nobody")
        monkeypatch.setattr(postgresql, "REPOSITORY", repository)
        stopped: list[bool] = []

        def service(action: str) -> None:
            if action == "stop" and not stopped:
                made.stop()
                stopped.append(True)
            elif action == "start":
                made.start()
                stopped.clear()

        monkeypatch.setattr(postgresql, "_service", service)
        made.stop()  # to archive with the environment above
        made.start()
        postgresql._rest("stanza-create", told="essai")
        yield made


def write(server: Database, word: str) -> None:
    with psycopg.connect(server.address("postgres"), autocommit=True) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS mots (mot text)")
        connection.execute("INSERT INTO mots VALUES (%s)", (word,))


def words(server: Database) -> list[str]:
    with psycopg.connect(server.address("postgres")) as connection:
        return [str(row[0]) for row in connection.execute("SELECT mot FROM mots ORDER BY mot")]


def test_it_comes_back_as_it_was_saved_and_as_it_was_at_a_moment(server: Database) -> None:
    write(server, "a")
    first = postgresql.save(["postgres"])
    assert first.endswith("F")
    write(server, "b")
    second = postgresql.save(["postgres"])
    assert "D" in second, "what changed since the full one"
    write(server, "c")
    time.sleep(0.05)  # two moments that differ, and nothing to wait for
    moment = datetime.now(UTC)
    time.sleep(0.05)
    write(server, "d")
    postgresql.check(moment)
    postgresql.go_back(moment)
    assert words(server) == ["a", "b", "c"]
    write(server, "e")  # it writes again, and is saved again
    third = postgresql.save(["postgres"])
    postgresql.put_back(first)
    assert words(server) == ["a"]
    postgresql.put_back(third)
    assert words(server) == ["a", "b", "c", "e"]


def test_nothing_changes_when_it_cannot(server: Database, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="aucun : il est vide"):
        postgresql.check(datetime.now(UTC))
    with pytest.raises(BackupError, match="« absente » : elle n'existe pas, rien n'est sauvegardé"):
        postgresql.save(["postgres", "absente"])
    write(server, "a")
    label = postgresql.save(["postgres"])
    for moment in (datetime.now(UTC) - timedelta(days=2), datetime.now(UTC) + timedelta(hours=1)):
        with pytest.raises(BackupError, match=r"n'est pas de ceux que le dépôt garde .*, rien n'est changé"):
            postgresql.check(moment)
    assert words(server) == ["a"]
    # A repository that another machine's takes the place of, and one that is damaged.
    postgresql.set_aside()
    postgresql._service("start")
    with pytest.raises(BackupError, match="ne peut pas être remis"):
        postgresql.put_back(label)
    assert words(server) == ["a"]
    server.stop()
    try:
        with pytest.raises(BackupError, match="rien n'est sauvegardé"):
            postgresql.save(["postgres"])
    finally:
        server.start()
    with pytest.raises(SystemExit):
        cli.main(["--config", str(tmp_path / "x"), "revenir", "hier"])
    assert "'hier'" in capfd.readouterr().err
