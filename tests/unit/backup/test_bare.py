"""A machine is bare, or what it holds is told."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.cdg59.creatic.plugins.module_utils.host import bare


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """As Debian's installer leaves it."""
    for name in ("opt", "srv", "srv/lost+found", "home/creatic/.ssh", "home/debian", "etc", "var/lib"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "home/creatic/notes").touch()
    (tmp_path / "home/debian/.bashrc").touch()
    return tmp_path


def test_an_installer_leaves_nothing(root: Path) -> None:
    assert bare.holds("creatic", root) == []


@pytest.mark.parametrize(
    ("place", "told"),
    [
        ("etc/creatic", "/etc/creatic"),
        ("var/lib/creatic-sauvegarde", "/var/lib/creatic-sauvegarde"),
        ("srv/sauvegardes", "/srv/sauvegardes"),
        ("opt/metier/donnees", "/opt/metier"),
        ("var/lib/postgresql/17", "/var/lib/postgresql/17"),
        ("home/claire/documents", "/home/claire"),
    ],
)
def test_what_a_machine_holds_is_told(root: Path, place: str, told: str) -> None:
    (root / place).mkdir(parents=True)
    assert bare.holds("creatic", root) == [told]


def test_the_mark_of_a_drill_is_not_what_a_machine_holds(root: Path) -> None:
    (root / bare.MARK).touch()
    assert bare.holds("creatic", root) == []


@pytest.mark.parametrize(
    ("said", "silent"),
    [
        ("ssh: connect to host 10.59.0.60 port 22: No route to host", True),
        ("ssh: connect to host exercice1 port 2222: Connection timed out", True),
        ("ssh: connect to host 10.59.0.60 port 22: Connection refused", False),
        ("Connection timed out during banner exchange\r\nConnection to 10.59.0.60 port 22 timed out", False),
        ("creatic@10.59.0.60: Permission denied (publickey).", False),
        ("Host key verification failed.", False),
        ("kex_exchange_identification: read: Connection reset by peer", False),
    ],
)
def test_a_machine_that_lets_nobody_in_is_not_off(said: str, silent: bool) -> None:
    """Off, a drill makes it new without having looked at it."""
    assert bare.silent(f"Task failed: Failed to connect to the host via ssh: {said}") is silent
