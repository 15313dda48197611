"""The client's side: what refusals mean, what is restored, how databases are copied."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from creatic_sauvegarde import borg, keys, restore, snapshot
from creatic_sauvegarde.settings import BackupError, ServerUnavailableError, Settings

NOW = datetime(2026, 11, 26, 3, tzinfo=UTC)
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="a database is copied as its owner")


def settings(folder: Path, **item: Any) -> Settings:
    for name in ("cles/titulaires", "etat", "metriques"):
        (folder / name).mkdir(parents=True)
    items = [{"name": "essai", "paths": [str(folder)], **item}]
    return Settings("mairie", "ssh://serveur/depot", items, folder / "cles", folder / "etat", folder / "metriques")


@pytest.mark.parametrize(
    ("said", "told", "again"),
    [
        ("Remote: Ce dépôt est gelé par le serveur de sauvegarde : appelez", "le serveur a gelé le dépôt", False),
        ("The storage quota exceeded", "le quota du dépôt est atteint", False),
        ("OSError: [Errno 28] No space left on device", "le disque du serveur de sauvegarde est plein", False),
        ("passphrase supplied in BORG_PASSCOMMAND is incorrect.", "la phrase secrète n'est pas celle du dépôt", False),
        ("sauvegarde@10.59.0.40: Permission denied (publickey).", "ne connaît pas la clé de cette machine", False),
        ("Host key verification failed.", "le serveur n'est pas celui qui est attendu", False),
        ("Cache, or information obtained from the security directory is newer than repository", "oublier", False),
        ("ssh: connect to host 10.59.0.40 port 22: Connection timed out", "ne répond pas", True),
        ("Failed to create/acquire the lock", "un autre passage tient le dépôt", True),
        ("Insufficient free space to complete transaction", "le disque du serveur de sauvegarde est plein", False),
        ("Repository path not allowed: /srv", "le serveur refuse ce dépôt à la clé de cette machine", False),
        ("Integrity Error: Segment entry checksum mismatch", "le dépôt est abîmé : voir « Un dépôt abîmé »", False),
        ("Data integrity error: Segment entry checksum", "le dépôt est abîmé : voir « Un dépôt abîmé »", False),
        ("ssh: connect to host x port 22: Connection refused", "ne répond pas : le prochain passage", True),
        ("ssh: connect to host x port 22: No route to host", "ne répond pas : le prochain passage", True),
        ("Connection closed by remote host", "la liaison avec le serveur a été coupée", True),
        ("borg: on ne sait quoi", "borg a échoué : borg: on ne sait quoi", False),
    ],
)
def test_refusals_are_explained(said: str, told: str, again: bool) -> None:
    error = borg.explain(said)
    assert told in str(error)
    assert isinstance(error, ServerUnavailableError) is again


def test_a_repository_that_is_not_there_is_no_error() -> None:
    assert isinstance(borg.explain("Repository /srv/x/depot does not exist."), borg.RepositoryNotFoundError)


def made(name: str, before: timedelta) -> dict[str, Any]:
    return {"name": name, "le": NOW - before}


def test_the_last_backup_is_not_one_of_tomorrow() -> None:
    found = [made("hier", timedelta(days=1)), made("avant", timedelta(days=2)), made("2031", timedelta(days=-1800))]
    assert restore.choose(found, NOW)["name"] == "hier"
    assert restore.choose(found, NOW, "2031")["name"] == "2031"
    with pytest.raises(BackupError, match="toutes sont datées du futur"):
        restore.choose(found[2:], NOW)
    with pytest.raises(BackupError, match="aucune sauvegarde « autre »"):
        restore.choose(found, NOW, "autre")


def test_what_came_back_is_compared(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1234")
    (tmp_path / "d").mkdir()
    (tmp_path / "l").symlink_to("a")
    listed = {"a": ("-", 4), "d": ("d", 0), "l": ("l", 1)}
    assert restore.compare(listed, tmp_path) == []
    (tmp_path / "a").write_text("123")
    assert restore.compare(listed | {"manque": ("-", 1), "a/d": ("d", 0)}, tmp_path) == ["/a", "/manque", "/a/d"]


@pytest.fixture
def passable() -> Iterator[Path]:
    """A folder that other accounts may go through; pytest's own may not be."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o711)
        yield Path(name)


@as_root
def test_a_database_is_copied_while_it_is_written(passable: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/usr/bin/python3")  # a clone may be in a folder that others cannot enter
    path = passable / "base" / "journal.sqlite"
    path.parent.mkdir()
    writer = sqlite3.connect(path)
    writer.execute("PRAGMA journal_mode=WAL")
    writer.execute("CREATE TABLE acte (id INTEGER)")
    writer.execute("INSERT INTO acte VALUES (1)")
    writer.commit()
    writer.execute("INSERT INTO acte VALUES (2)")  # not committed: not there
    for one in (path.parent, *path.parent.iterdir()):
        os.chown(one, 65534, 65534)
    chosen = settings(passable / "s", sqlite=[str(path)])
    (passable / "s").chmod(0o711)
    chosen.state.chmod(0o711)
    taken = snapshot.take(chosen)
    assert [(one["origine"], one["proprietaire"], one["mode"]) for one in taken] == [(str(path), "nobody", "0644")]
    copy = sqlite3.connect(taken[0]["copie"])
    assert copy.execute("SELECT id FROM acte").fetchall() == [(1,)]
    assert {one.stat().st_uid for one in path.parent.iterdir()} == {65534}
    copy.close()
    writer.close()
    path.write_bytes(b"perdu")
    assert snapshot.put_back(chosen, Path("/")) == [str(path)]
    again = sqlite3.connect(path)
    assert again.execute("SELECT id FROM acte").fetchall() == [(1,)]
    assert (path.stat().st_uid, path.stat().st_gid) == (65534, 65534)


@as_root
def test_a_missing_or_damaged_database_stops_the_backup(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    chosen = settings(tmp_path / "s", sqlite=[str(path)])
    with pytest.raises(BackupError, match="cette base déclarée n'existe pas, rien n'est sauvegardé"):
        snapshot.take(chosen)
    path.write_bytes(b"SQLite format 3\0" + b"\xff" * 4096)
    with pytest.raises(BackupError, match="la base ne peut pas être copiée"):
        snapshot.take(chosen)


def holder(folder: Path, name: str) -> Path:
    """A holder's key pair; gives the key."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:3072", "-noenc", "-subj", f"/CN={name}", "-keyout",
         folder / f"{name}.cle", "-out", folder / "s" / "cles" / "titulaires" / f"{name}.pem"],
        check=True, capture_output=True,
    )  # fmt: skip # one call by its parts
    return folder / f"{name}.cle"


def test_each_holder_alone_opens_the_seal(tmp_path: Path) -> None:
    chosen = settings(tmp_path / "s")
    assert keys.ensure(chosen, only_ssh=True) == ["clé SSH"]
    assert not chosen.passphrase.exists()
    first = holder(tmp_path, "camille")
    with pytest.raises(BackupError, match="au moins deux titulaires"):
        keys.ensure(chosen)
    second = holder(tmp_path, "dominique")
    assert keys.ensure(chosen) == ["séquestre"]
    assert keys.ensure(chosen) == []
    phrase = chosen.passphrase.read_bytes()
    sealed = chosen.folder / keys.SEALED
    assert phrase.strip() not in sealed.read_bytes()
    for key in (first, second):
        command: list[str | Path] = ["openssl", "cms", "-decrypt", "-inform", "PEM", "-in", sealed, "-inkey", key]
        command += ["-recip", chosen.folder / "titulaires" / f"{key.stem}.pem"]
        assert subprocess.run(command, check=True, capture_output=True).stdout == phrase
    holder(tmp_path, "claude")
    assert keys.ensure(chosen) == ["séquestre"]  # one more may open it
    assert chosen.passphrase.read_bytes() == phrase


def test_the_control_nodes_databases_come_back_in_any_folder(tmp_path: Path) -> None:
    """Its paths are relative to the folder of its state, and its account is no root."""
    home, elsewhere = tmp_path / "etat-du-poste", tmp_path / "ailleurs"
    (home / "pki").mkdir(parents=True)
    registry = sqlite3.connect(home / "pki" / "registre.sqlite")
    registry.execute("CREATE TABLE certificat (serie TEXT)")
    registry.commit()
    registry.close()
    items = [{"name": "poste-de-commande", "paths": ["."], "sqlite": ["pki/registre.sqlite", "absent/*.sqlite"]}]
    chosen = Settings(
        "poste-de-commande", "ssh://serveur/depot", items, home / "cles", home / "sauvegarde", home, base=home
    )
    taken = snapshot.take(chosen)
    assert [one["origine"] for one in taken] == ["/pki/registre.sqlite"]
    for name in ("sauvegarde/instantanes", "pki"):
        (elsewhere / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).rename(elsewhere / name)
    (elsewhere / "pki" / "registre.sqlite").unlink()  # borg left it out
    assert snapshot.put_back(chosen, elsewhere) == ["/pki/registre.sqlite"]
    copy = sqlite3.connect(elsewhere / "pki" / "registre.sqlite")
    assert copy.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    assert not (home / "pki").exists()
