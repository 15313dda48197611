"""The browsers' stores of an account: with Debian's own tools where they are installed."""

from __future__ import annotations

import datetime as dt
import functools
import os
import pwd
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.cdg59.creatic.plugins.module_utils.host import account
from ansible_collections.cdg59.creatic.plugins.module_utils.host.account import AccountError, account_exists, as_account
from ansible_collections.cdg59.creatic.plugins.module_utils.pki import nss
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from .conftest import Maker, Pair

with_tools = pytest.mark.skipif(shutil.which("certutil") is None, reason="libnss3-tools is not on this machine")

NOW = dt.datetime(2026, 11, 27, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)

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
    nss._run_checked("essai", ["certutil", "-M", *store._database_option, "-n", "Racine d'essai", "-t", ",,"])
    assert nss.converge(tmp_path, maker.root.pem, [])["changes"] == [f"{store.folder} : autorité « Racine d'essai »"]
    assert store.found()[0].trust == "C,,"


@with_tools
def test_an_authority_that_is_no_longer_believed_is_taken_out_and_others_are_left(tmp_path: Path, maker: Maker) -> None:
    old = maker.make("Ancienne autorité")
    nss.converge(tmp_path, maker.root.pem + old.pem, [])
    history = maker.root.pem + old.pem
    told = nss.converge(tmp_path, maker.root.pem, [], check=True, history=history)["changes"]
    assert told == [f"{store.folder} : autorité « Ancienne autorité » retirée" for store in stores(tmp_path)]
    assert nss.converge(tmp_path, maker.root.pem, [], history=history)["changes"] == told
    for store in stores(tmp_path):
        assert [item.name for item in store.found()] == ["Racine d'essai"]
    assert nss.converge(tmp_path, maker.root.pem, [], history=history)["changes"] == []


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


# -- what the tools say ---------------------------------------------------------------------------------------------


def test_what_a_tool_complains_of_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    assert nss._run_checked("essai", ["sh", "-c", "cat; echo plainte >&2"], "texte") == "texte"
    for command, said in (
        ("echo un >&2; echo deux >&2; echo dit; exit 3", "deux"),
        ("echo dit; exit 3", "dit"),
        ("exit 3", "3"),
    ):
        with pytest.raises(nss.NssError, match=rf"^essai : refusé par sh \({said}\)$"):
            nss._run_checked("essai", ["sh", "-c", command])
    monkeypatch.setattr(nss, "TOOL_TIMEOUT", 0.2)
    with pytest.raises(nss.NssError, match=r"^essai : sleep n'a pas répondu en 0.2 s$"):
        nss._run_checked("essai", ["sleep", "9"])


def test_who_may_be_a_client(maker: Maker) -> None:
    assert nss.has_client_use(maker.make("a").certificate)
    assert not nss.has_client_use(maker.make("b", client=False).certificate)
    assert not nss.has_client_use(maker.root.certificate)
    builder = x509.CertificateBuilder().subject_name(x509.Name([])).issuer_name(x509.Name([])).serial_number(7)
    builder = builder.public_key(maker.root.key.public_key()).not_valid_before(NOW).not_valid_after(NOW + DAY)
    bare = builder.sign(maker.root.key, hashes.SHA256())
    assert nss.has_client_use(bare)
    assert nss.common_name(bare.subject) == ""
    assert nss.describe(bare, "x", "jeton:x", "jeton")["serial"] == f"{7:040x}"
    assert nss.describe(bare, "x")["nss_name"] == "x"


class Token:
    """A store that shows what a token holds."""

    def __init__(self, *found: nss.Found | nss.NssError) -> None:
        self.items = found

    def found(self, _token: str) -> list[nss.Found]:
        for item in self.items:
            if isinstance(item, nss.NssError):
                raise item
        return [item for item in self.items if isinstance(item, nss.Found)]


def on_token(maker: Maker, name: str, trust: str = "u,u,u", **options: Any) -> nss.Found:
    return nss.Found(f"jeton:{name}", trust, maker.make(name, **options).certificate)


def test_a_token_s_certificate_is_the_client_s_that_lasts_longest(maker: Maker, tmp_path: Path) -> None:
    library = tmp_path / "lib.so"
    with pytest.raises(nss.NssError, match=r"^jeton « maire », champ bibliotheque : .*lib.so n'existe pas ; installez"):
        nss.token_certificate(Token(), "maire", str(library))  # type: ignore[arg-type] # a double of the store
    library.touch()
    items = [
        on_token(maker, "court", days=10),
        on_token(maker, "long", days=90),
        on_token(maker, "sans clé", "C,,", days=99),
        on_token(maker, "courriel", client=False, days=99),
    ]
    chosen = nss.token_certificate(Token(*items), "maire", str(library))  # type: ignore[arg-type] # same
    assert chosen.name == "jeton:long"
    with pytest.raises(nss.NssError, match=r"^jeton « maire » : aucun certificat d'authentification dessus ; demandez"):
        nss.token_certificate(Token(*items[2:]), "maire", str(library))  # type: ignore[arg-type] # same
    with pytest.raises(nss.NssError, match=r"^jeton « maire » introuvable : branchez-le, .* débranché$"):
        nss.token_certificate(Token(nss.NssError("débranché")), "maire", str(library))  # type: ignore[arg-type] # same


def test_a_token_is_asked_alone(maker: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The database itself is not: what it holds is not on the token."""
    asked: list[list[str]] = []

    def checked(_what: str, command: list[str]) -> str:
        asked.append(command)
        return maker.root.pem if "-a" in command else LISTING

    monkeypatch.setattr(nss, "_run_checked", checked)
    store = nss.Store(tmp_path)
    assert store.found("maire") == []
    (tmp_path / "cert9.db").touch()
    assert [one.name for one in store.found("maire")] == [
        "AC racine Cre@tic",
        "Secrétariat général",
        "la-madeleine-finances:certificat",
    ]
    assert all(command[4:6] == ["-h", "maire"] for command in asked)
    asked.clear()
    assert store.found()[0].trust == "C,,"
    assert not any("-h" in command for command in asked)


def test_an_identity_has_the_authorities_above_it_or_none(maker: Maker) -> None:
    own = maker.make("Secrétariat")
    key, certificate, chain = nss.read_identity(own.key_pem, own.pem, maker.root.pem)
    assert (certificate, chain) == (own.certificate, [maker.root.certificate])
    assert key.public_key() == own.key.public_key()
    assert nss.read_identity(own.key_pem, own.pem, " \n")[2] == []


def test_the_authorities_above_an_identity_are_given_to_each_store(
    maker: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = maker.make("Secrétariat")
    given: list[tuple[str, Any]] = []
    monkeypatch.setattr(nss.Store, "ensure", lambda _self: None)
    monkeypatch.setattr(
        nss.Store, "ensure_identity", lambda _self, name, _key, _one, chain: given.append((name, chain))
    )
    for chain, above in (({"chain": maker.root.pem}, [maker.root.certificate]), ({"chain": None}, []), ({}, [])):
        given.clear()
        entry = {"name": "secretariat", "key": own.key_pem, "certificate": own.pem, **chain}
        nss.converge(tmp_path, "", [entry], check=True)
        assert given and all(one == ("secretariat", above) for one in given)


def test_a_module_is_declared_once_and_again_when_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []
    monkeypatch.setattr(nss, "_run_checked", lambda _what, command: asked.append(command))
    store = nss.Store(tmp_path)
    store.ensure_module("maire", "/lib/a.so")
    assert [command[4] for command in asked] == ["-add"]
    assert asked[0][-4:] == ["-libfile", "/lib/a.so", "-mechanisms", "FRIENDLY"]
    (tmp_path / "pkcs11.txt").write_text("library=\nname=NSS\n\nlibrary=/lib/a.so\nname=maire\nNSS=x\n")
    asked.clear()
    store.ensure_module("maire", "/lib/a.so")
    assert asked == []
    store.ensure_module("maire", "/lib/b.so")
    assert [command[4] for command in asked] == ["-delete", "-add"]
    assert store.changes[-1] == f"{tmp_path} : module de jeton maire (/lib/b.so)"
    asked.clear()
    checked = nss.Store(tmp_path, check=True)
    checked.ensure_module("maire", "/lib/b.so")
    assert (asked, checked.changes) == ([], [f"{tmp_path} : module de jeton maire (/lib/b.so)"])


# -- as an account --------------------------------------------------------------------------------------------------


def test_what_is_done_as_an_account_is_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    me = pwd.getpwuid(os.getuid()).pw_name

    def told() -> list[Any]:
        mask = os.umask(0)
        return [os.environ["HOME"], os.environ["USER"], str(Path.cwd()), mask]

    home = pwd.getpwnam(me).pw_dir
    assert as_account(me, told) == [home, me, home, 0o077]
    assert account_exists(me)
    assert not account_exists("personne-ici")

    def stop() -> None:
        os._exit(0)

    with pytest.raises(AccountError, match=f"^le travail fait au nom du compte « {me} » s'est arrêté sans réponse$"):
        as_account(me, stop)

    def fail(*reason: str) -> None:
        raise ValueError(*reason)

    for reason, said in ((("raison",), "raison"), ((), "ValueError")):
        with pytest.raises(AccountError, match=f"^{said}$"):
            as_account(me, functools.partial(fail, *reason))


@pytest.mark.parametrize(("uid", "became"), [(0, [("groups", "anne", 8), ("gid", 8), ("uid", 9)]), (9, [])])
def test_root_becomes_the_account_wholly(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, uid: int, became: list[Any]
) -> None:
    asked: list[Any] = []
    entry = pwd.struct_passwd(("anne", "", 9, 8, "", str(tmp_path), ""))
    monkeypatch.setattr(
        account,
        "os",
        SimpleNamespace(
            geteuid=lambda: uid,
            initgroups=lambda name, gid: asked.append(("groups", name, gid)),
            setgid=lambda gid: asked.append(("gid", gid)),
            setuid=lambda uid: asked.append(("uid", uid)),
            environ={},
            umask=asked.append,
            chdir=asked.append,
        ),
    )
    assert account._run_as_account(entry, lambda: "fait") == {"result": "fait"}
    assert asked == [*became, 0o077, str(tmp_path)]
