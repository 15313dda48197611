"""The browsers' stores of an account: with Debian's own tools where they are installed."""

from __future__ import annotations

import os
import pwd
import shutil
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.cdg59.creatic.plugins.module_utils import nss
from ansible_collections.cdg59.creatic.plugins.module_utils.account import AccountError, as_account

from .conftest import Maker, Pair

with_tools = pytest.mark.skipif(shutil.which("certutil") is None, reason="libnss3-tools is not on this machine")

LISTING = """
Certificate Nickname                                         Trust Attributes
                                                             SSL,S/MIME,JAR/XPI

AC racine Cre@tic                                            C,,
Secrétariat général                                       u,u,u
la-madeleine-finances:certificat                             u,u,u
"""


def test_listing_is_read_without_its_heading() -> None:
    assert nss.parse_listing(LISTING) == [
        ("AC racine Cre@tic", "C,,"),
        ("Secrétariat général", "u,u,u"),
        ("la-madeleine-finances:certificat", "u,u,u"),
    ]


def test_an_account_which_never_ran_firefox_has_no_profile(tmp_path: Path) -> None:
    assert nss.firefox_profiles(tmp_path) == (tmp_path / ".config/mozilla/firefox", [])


def test_profiles_are_found_where_an_older_firefox_left_them(tmp_path: Path) -> None:
    folder = tmp_path / ".mozilla/firefox"
    folder.mkdir(parents=True)
    (folder / "profiles.ini").write_text(
        "[Install1]\nDefault=b.default\n\n[Profile0]\nName=a\nIsRelative=1\nPath=a.default\n\n"
        "[Profile1]\nName=b\nIsRelative=0\nPath=/ailleurs/b.default\n"
    )
    assert nss.firefox_profiles(tmp_path) == (folder, [folder / "a.default", Path("/ailleurs/b.default")])


def test_our_first_profile_is_found_again(tmp_path: Path) -> None:
    folder = tmp_path / ".config/mozilla/firefox"
    folder.mkdir(parents=True)
    (folder / "profiles.ini").write_text(nss.first_profile_index())
    assert nss.firefox_profiles(tmp_path) == (folder, [folder / "creatic"])
    assert f"[{nss.FIREFOX_INSTALL}]\nDefault=creatic\nLocked=1" in nss.first_profile_index()


def entry(pair: Pair, maker: Maker, name: str = "Secrétariat général") -> dict[str, Any]:
    return {"name": name, "key": pair.key_pem, "certificate": pair.pem, "chain": maker.root.pem}


def stores(home: Path) -> list[nss.Store]:
    return [nss.Store(home / ".pki/nssdb"), nss.Store(home / ".config/mozilla/firefox/creatic")]


@with_tools
def test_both_browsers_hold_authority_and_certificate_and_a_second_run_changes_nothing(
    tmp_path: Path, maker: Maker
) -> None:
    pair = maker.make("Secrétariat")
    first = nss.converge(tmp_path, maker.root.pem, [entry(pair, maker)])
    assert first["changes"]
    for store in stores(tmp_path):
        held = {item.name: item for item in store.found()}
        assert held["Secrétariat général"].certificate == pair.certificate
        assert held["Secrétariat général"].has_key
        assert held["Racine d'essai"].trust == "C,,"
    described = first["certificates"][0]
    assert (described["subject_cn"], described["issuer_cn"]) == ("Secrétariat", "Racine d'essai")
    assert "PRIVATE KEY" not in str(first)
    assert nss.converge(tmp_path, maker.root.pem, [entry(pair, maker)])["changes"] == []


@with_tools
def test_check_mode_says_what_would_change_and_changes_nothing(tmp_path: Path, maker: Maker) -> None:
    told = nss.converge(tmp_path, maker.root.pem, [entry(maker.make("Secrétariat"), maker)], check=True)
    assert any("certificat « Secrétariat général »" in change for change in told["changes"])
    assert list(tmp_path.iterdir()) == []


@with_tools
@pytest.mark.parametrize("subject", ["Secrétariat", "Un autre sujet"])
def test_a_renewed_certificate_replaces_the_old_one_and_its_key(tmp_path: Path, maker: Maker, subject: str) -> None:
    old, new = maker.make("Secrétariat"), maker.make(subject)
    nss.converge(tmp_path, maker.root.pem, [entry(old, maker)])
    nss.converge(tmp_path, maker.root.pem, [entry(new, maker)])
    for store in stores(tmp_path):
        held = [item.certificate for item in store.found() if item.has_key]
        assert held == [new.certificate]


@with_tools
def test_a_trust_which_was_taken_away_is_given_back(tmp_path: Path, maker: Maker) -> None:
    nss.converge(tmp_path, maker.root.pem, [])
    store = stores(tmp_path)[0]
    nss._checked("essai", ["certutil", "-M", *store._database, "-n", "Racine d'essai", "-t", ",,"])
    assert nss.converge(tmp_path, maker.root.pem, [])["changes"] == [f"{store.folder} : autorité « Racine d'essai »"]
    assert store.found()[0].trust == "C,,"


@with_tools
def test_a_token_without_its_module_is_said_in_french(tmp_path: Path) -> None:
    store = nss.Store(tmp_path / "nssdb")
    store.ensure()
    with pytest.raises(nss.NssError, match=r"champ bibliotheque : /absent\.so n'existe pas"):
        nss.token_certificate(store, "finances", "/absent.so")


def test_work_is_done_as_the_account_from_its_home() -> None:
    me = pwd.getpwuid(os.getuid())
    assert as_account(me.pw_name, lambda: [str(Path.cwd()), os.environ["HOME"], os.getuid()]) == [
        os.path.realpath(me.pw_dir),
        me.pw_dir,
        me.pw_uid,
    ]


def test_the_reason_of_a_failure_comes_back() -> None:
    def fail() -> None:
        raise nss.NssError("le magasin est abîmé")

    with pytest.raises(AccountError, match="le magasin est abîmé"):
        as_account(pwd.getpwuid(os.getuid()).pw_name, fail)


def test_an_unknown_account_is_refused() -> None:
    with pytest.raises(AccountError, match="« personne-ici » n'existe pas"):
        as_account("personne-ici", lambda: None)
