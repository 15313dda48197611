"""The passerelle's database in a backup: dumped at one moment, put back with its owner."""

from __future__ import annotations

import os
from pathlib import Path

import psycopg
import pytest
from creatic_sauvegarde import snapshot
from creatic_sauvegarde.settings import BackupError

from tests.unit.passerelle.database import Database
from tests.unit.passerelle.passerelle_harness import World


@pytest.fixture(autouse=True)
def _own_server(server: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's own PostgreSQL is never asked."""
    for pair in server.address("postgres").split():
        name, _, value = pair.partition("=")
        if name != "dbname":
            monkeypatch.setenv(f"PG{name.upper()}", value)
    if os.geteuid() == 0:
        monkeypatch.setattr(snapshot.os, "geteuid", lambda: 1)  # no administrator's account here


def test_a_database_comes_back_as_it_was(world: World, server: Database, tmp_path: Path) -> None:
    reference = world.deliberations.adopt("d1")
    world.reach(reference, "signature")
    before = world.act(reference)
    name = world.config.database.split()[0].partition("=")[2]
    copy = tmp_path / "copie.dump"
    owner = snapshot.dump(name, copy)
    assert owner == "essai"
    world.chain.block(reference, "perdu")
    world.reconfigure()  # its connections are closed
    with psycopg.connect(world.config.database, autocommit=True) as connection:
        connection.execute("CREATE TABLE intruse (id int)")
    snapshot.load(name, "exploitante", copy)
    world.reconfigure()
    assert world.act(reference) == before
    with psycopg.connect(world.config.database) as connection:
        assert connection.execute("SELECT to_regclass('intruse')").fetchone() == (None,)
        assert connection.execute("SELECT count(*) FROM pg_roles WHERE rolname = 'exploitante'").fetchone() == (1,)
    world.parapheur.sign()
    world.reach(reference, "teletransmission")


def test_a_database_that_is_not_there_stops_the_backup(server: Database, tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="« absente » : elle n'existe pas, rien n'est sauvegardé"):
        snapshot.dump("absente", tmp_path / "copie.dump")
    server.stop()
    try:
        with pytest.raises(BackupError, match=r"« absente » : .*, rien n'est sauvegardé"):
            snapshot.dump("absente", tmp_path / "copie.dump")
    finally:
        server.start()


def test_a_damaged_copy_is_said(world: World, tmp_path: Path) -> None:
    copy = tmp_path / "copie.dump"
    copy.write_bytes(b"PGDMP abime")
    with pytest.raises(BackupError, match="ne peut pas être remise"):
        snapshot.load("nouvelle", "essai", copy)
