"""What expires is told with its fix, and nothing is changed."""

from __future__ import annotations

import datetime as dt
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.cdg59.creatic.plugins.module_utils.pki.common import PkiError

from creatic.pki.authority import Authority
from creatic.pki.deadlines import deadlines

from .conftest import CLIENT, issue

Later = Callable[[int], None]


def test_nothing_expires_in_a_new_authority(authority: Authority) -> None:
    issue(authority, CLIENT)
    assert deadlines(authority, 30) == []


def test_each_thing_is_told_with_its_fix_and_nothing_changes(authority: Authority, later: Later) -> None:
    issue(authority, CLIENT)
    shutil.rmtree(authority.directory / "racine")  # away
    before = {path: path.read_bytes() for path in authority.directory.rglob("*") if path.is_file()}
    later(21)
    [lists] = deadlines(authority, 30)
    assert re.fullmatch(r"liste de révocation : il lui reste [89] jours\. À faire : fab pki\.revocations", lists)
    later(330)
    certificate, lists, root = deadlines(authority, 40)
    end = dt.datetime.fromisoformat(authority.listing()[0]["fin"]).strftime("%d/%m/%Y")
    assert certificate == (
        f"Connecteur de Gondecourt (gondecourt-connecteur) : le certificat « tdt » expire le {end}. "
        "À faire : fab pki.rotation, ou fab pki.revoquer s'il ne sert plus"
    )
    assert "liste de révocation" in lists and "il faut l'autorité racine pour renouveler sa CRL" in root
    assert {path: path.read_bytes() for path in authority.directory.rglob("*") if path.is_file()} == before


def test_without_an_authority_it_says_how_to_make_it(directory: Path) -> None:
    with pytest.raises(PkiError, match=r"fab pki\.creer"):
        deadlines(Authority(directory), 30)
