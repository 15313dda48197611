from __future__ import annotations

import datetime as dt
import re
import shutil
import sqlite3
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.cdg59.creatic.plugins.module_utils.pki.common import (
    PkiError,
    Request,
    load_certificate,
    weakness,
)
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from creatic.pki import upkeep
from creatic.pki import x509 as pki_x509
from creatic.pki.authority import Authority
from creatic.pki.keys import MINIMUM_PASSPHRASE, Passphrases
from creatic.pki.registry import Book, Owner, normal_serial
from creatic.pki.x509 import Settings

from .conftest import CLIENT, CODE, HOST, SERVER, SETTINGS, SIGNATURE, SUPERVISION, TSA, issue, judge, openssl

Later = Callable[[int], None]


# -- making it ---------------------------------------------------------------------------------------


def test_made_once_then_nothing_changes(authority: Authority) -> None:
    before = {path: path.read_bytes() for path in authority.directory.rglob("*") if path.is_file()}
    assert authority.ensure(SETTINGS) == upkeep.Report()
    assert {path: path.read_bytes() for path in authority.directory.rglob("*") if path.is_file()} == before
    assert authority.verify() == []


def test_check_mode_makes_nothing(directory: Path) -> None:
    report = Authority(directory, Passphrases(directory, generate=True)).ensure(SETTINGS, check=True)
    assert report.changes == ["autorité de certification créée"]
    assert not directory.parent.exists() or list(directory.parent.iterdir()) == []


def test_keys_are_encrypted_and_files_closed(authority: Authority) -> None:
    for role in ("racine", "emettrice"):
        key = authority.directory / role / "cle.pem"
        assert "ENCRYPTED PRIVATE KEY" in key.read_text()
        openssl("pkey", "-in", key, "-passin", "pass:faux", "-noout", ok=False)
        secret = authority.directory.parent / "secrets" / f"pki_{role}"
        assert stat.S_IMODE(secret.stat().st_mode) == 0o600
        assert "P-384" in openssl("pkey", "-in", key, "-passin", f"file:{secret}", "-noout", "-text")
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
        assert stat.S_IMODE(key.parent.stat().st_mode) == 0o700
        assert stat.S_IMODE(secret.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE((authority.directory / "publie").stat().st_mode) == 0o755
    published = [path for path in (authority.directory / "publie").rglob("*") if path.is_file()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in published} == {0o644}
    assert stat.S_IMODE(authority.directory.stat().st_mode) == 0o700
    assert stat.S_IMODE(authority.registry.path.stat().st_mode) == 0o600


def test_open_folder_is_closed_again_and_reported(authority: Authority) -> None:
    authority.directory.chmod(0o755)
    assert any("chmod 700" in problem for problem in authority.verify())
    assert "0700" in authority.ensure(SETTINGS).changes[0]
    assert authority.verify() == []


def test_authorities_hold_to_rfc_5280(authority: Authority) -> None:
    published = authority.directory / "publie"
    root, issuing = (
        openssl("x509", "-in", published / name, "-noout", "-text") for name in ("racine.pem", "emettrice.pem")
    )
    assert "CA:TRUE, pathlen:1" in root and "CA:TRUE, pathlen:0" in issuing
    for text in (root, issuing):
        assert "Basic Constraints: critical" in text
        assert re.search(r"Key Usage: critical\s+Certificate Sign, CRL Sign\n", text)
        assert "ecdsa-with-SHA384" in text
    assert "http://pki.creatic.test/racine.crl" in issuing and "CRL Distribution" not in root
    years = [
        (one.not_valid_after_utc - one.not_valid_before_utc).days / 365.25
        for one in map(
            x509.load_pem_x509_certificate,
            (published.joinpath(n).read_bytes() for n in ("racine.pem", "emettrice.pem")),
        )
    ]
    assert [round(number) for number in years] == [10, 5]


def test_distributed_crls_are_der(authority: Authority) -> None:
    for role in ("racine", "emettrice"):
        openssl("crl", "-inform", "DER", "-in", authority.directory / "publie" / f"{role}.crl", "-noout")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"policy_arc": "1.2.x"}, "n'est pas un OID"),
        ({"crl_url": "https://pki.test"}, "attendu http://"),
        ({"leaf_days": 0}, "leaf_days"),
        ({"label": ""}, "label : 1 à 45 caractères attendus"),
        ({"label": "x" * 46}, "label : 1 à 45 caractères attendus"),
        ({"organization": ""}, "organization : 1 à 64 caractères attendus"),
        ({"organization": "x" * 65}, "organization : 1 à 64 caractères attendus"),
    ],
)
def test_wrong_settings_are_refused(directory: Path, change: dict[str, object], said: str) -> None:
    with pytest.raises(PkiError) as caught:
        Authority(directory).ensure(Settings(**SETTINGS.__dict__ | change))
    assert said in str(caught.value)
    assert not directory.exists()


def test_names_at_their_longest_and_shortest_are_taken(directory: Path) -> None:
    for change in ({"label": "x" * 45, "organization": "y"}, {"label": "x", "organization": "y" * 64}):
        Settings(**SETTINGS.__dict__ | change).check()


def test_name_never_changes_other_settings_do(authority: Authority) -> None:
    with pytest.raises(PkiError, match="son nom ne change plus"):
        authority.ensure(Settings(**SETTINGS.__dict__ | {"label": "Autre"}))
    shorter = Settings(**SETTINGS.__dict__ | {"leaf_days": 90})
    assert authority.ensure(shorter).changes == ["réglages de l'autorité modifiés"]
    assert authority.ensure(shorter).changes == []
    leaf = load_certificate(issue(authority).pem)
    assert (leaf.not_valid_after_utc - leaf.not_valid_before_utc).days == 90


# -- passphrases -------------------------------------------------------------------------------------


def test_no_passphrase_is_invented_in_production(directory: Path) -> None:
    with pytest.raises(PkiError, match="CREATIC_PKI_RACINE"):
        Authority(directory).ensure(SETTINGS)


def test_passphrase_from_the_environment(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREATIC_PKI_RACINE", "une phrase assez longue")
    monkeypatch.setenv("CREATIC_PKI_EMETTRICE", "une autre phrase longue")
    Authority(directory).ensure(SETTINGS)
    assert not (directory.parent / "secrets").exists()
    issue(Authority(directory))


def test_a_root_without_its_passphrase_keeps_nothing_from_being_revoked(
    authority: Authority, tmp_path: Path, later: Later
) -> None:
    """Its folder was left in place, and its passphrase is in a safe: it is as one that is away."""
    stolen = issue(authority)
    secret = authority.directory.parent / "secrets" / "pki_racine"
    secret.rename(tmp_path / "coffre")
    later(365 - 100)
    assert authority.ensure(SETTINGS).warnings == []
    authority.revoke("compromission", serial=stolen.serial)
    judge(authority, tmp_path, stolen.pem, ok=False)
    later(365 - 50)
    [told] = authority.ensure(SETTINGS).warnings
    assert "il reste 50 jours" in told and "CREATIC_PKI_RACINE" in told
    with pytest.raises(PkiError, match="CREATIC_PKI_RACINE"):
        authority.ensure(SETTINGS, replace_issuing=True)
    later(1826 - 300)
    assert any("renouveler l'autorité émettrice" in one for one in authority.ensure(SETTINGS).warnings)
    (tmp_path / "coffre").rename(secret)
    assert "autorité émettrice renouvelée" in authority.ensure(SETTINGS).changes


def test_wrong_passphrase_signs_nothing_and_says_so(authority: Authority) -> None:
    wrong = Authority(authority.directory, Passphrases(authority.directory, {"emettrice": "0123456789abcdef-faux"}))
    with pytest.raises(PkiError, match="Phrase secrète fausse") as caught:
        issue(wrong)
    assert "0123456789abcdef" not in str(caught.value)
    assert authority.listing() == []


def test_short_passphrase_and_open_file_are_refused(directory: Path) -> None:
    with pytest.raises(PkiError, match="trop courte"):
        Passphrases(directory, {"racine": "courte"}).get("racine")
    secret = directory.parent / "secrets" / "pki_racine"
    secret.parent.mkdir()
    secret.write_text("0123456789abcdef")
    secret.chmod(0o644)
    with pytest.raises(PkiError, match="chmod 600"):
        Passphrases(directory, generate=True).get_or_make("racine")


# -- issuing -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_", "purpose", "wrong"),
    [
        (CLIENT, "sslclient", "sslserver"),
        (SERVER, "sslserver", "sslclient"),
        (SIGNATURE, "smimesign", "sslclient"),
        (TSA, "timestampsign", "sslserver"),
        (SUPERVISION, "sslclient", "sslserver"),
        (CODE, "codesign", "sslclient"),
    ],
    ids=["client", "server", "signature", "tsa", "supervision", "code"],
)
def test_openssl_accepts_each_profile_for_its_purpose_only(
    authority: Authority, tmp_path: Path, request_: Request, purpose: str, wrong: str
) -> None:
    leaf = issue(authority, request_).pem
    judge(authority, tmp_path, leaf, "-purpose", purpose)
    judge(authority, tmp_path, leaf, "-purpose", wrong, ok=False)


@pytest.mark.parametrize(
    ("request_", "usage", "number"),
    [
        (CLIENT, "Digital Signature", 1),
        (SIGNATURE, "Digital Signature, Non Repudiation", 2),
        (SERVER, "Digital Signature", 3),
        (TSA, "Digital Signature, Non Repudiation", 4),
        (SUPERVISION, "Digital Signature", 5),
        (CODE, "Digital Signature", 6),
    ],
    ids=["client", "signature", "server", "tsa", "supervision", "code"],
)
def test_fields_of_each_profile(
    authority: Authority, tmp_path: Path, request_: Request, usage: str, number: int
) -> None:
    leaf = issue(authority, request_).pem
    text = openssl("x509", "-noout", "-text", text=leaf)
    assert re.search(rf"Key Usage: critical\s+{usage}\n", text)
    assert "Basic Constraints: critical\n                CA:FALSE" in text
    assert f"Policy: 1.3.6.1.4.1.59999.59.1.{number}\n" in text
    assert "URI:http://pki.creatic.test/emettrice.crl" in text
    assert ("Extended Key Usage: critical" in text) == (request_ is TSA)
    judge(authority, tmp_path, leaf, "-policy_check", "-explicit_policy", "-policy", f"1.3.6.1.4.1.59999.59.1.{number}")
    judge(
        *(authority, tmp_path, leaf, "-policy_check", "-explicit_policy", "-policy", "1.3.6.1.4.1.59999.59.9"), ok=False
    )


def test_server_names_are_checked_by_name(authority: Authority, tmp_path: Path) -> None:
    leaf = issue(authority, SERVER).pem
    judge(authority, tmp_path, leaf, "-verify_hostname", "www.creatic.test")
    judge(authority, tmp_path, leaf, "-verify_hostname", "autre.creatic.test", ok=False)


def test_rsa_leaf(authority: Authority, tmp_path: Path) -> None:
    request = Request(**SERVER.__dict__ | {"key_type": "rsa"})
    leaf = issue(authority, request).pem
    assert "(3072 bit)" in openssl("x509", "-noout", "-text", text=leaf)
    judge(authority, tmp_path, leaf, "-purpose", "sslserver")


def test_life_is_a_year_and_never_past_the_issuer(authority: Authority, later: Later) -> None:
    leaf = load_certificate(issue(authority).pem)
    assert (leaf.not_valid_after_utc - leaf.not_valid_before_utc).days == 365
    later(1826 - 100)
    shutil.move(authority.directory / "racine", authority.directory.parent / "racine")
    issuer = load_certificate(authority.published()["chain"])
    assert load_certificate(issue(authority).pem).not_valid_after_utc == issuer.not_valid_after_utc
    later(1826 - 50)
    with pytest.raises(PkiError, match="branchez son support"):
        issue(authority)


def test_registry_says_what_was_issued(authority: Authority) -> None:
    issued = issue(authority)
    (row,) = authority.listing()
    assert row["serie"] == issued.serial and len(issued.serial) == 40
    assert (row["commune"], row["hote"], row["nom"], row["profil"]) == ("gondecourt", HOST.host, "tdt", "client")
    assert (row["titulaire"], row["siren"], row["statut"]) == ("Connecteur de Gondecourt", "215902669", "valide")
    assert row["pem"] == issued.pem and row["jours"] in (364, 365)  # a second may have passed


def test_the_new_certificate_replaces_but_does_not_revoke(authority: Authority, tmp_path: Path) -> None:
    old, new = issue(authority), issue(authority)
    other = issue(authority, CLIENT, Owner("autre-hote"))
    assert {row["serie"]: row["statut"] for row in authority.listing()} == {
        old.serial: "remplace",
        new.serial: "valide",
        other.serial: "valide",
    }
    assert authority.known_to(HOST.host) == {"tdt": {"serials": [new.serial], "refused_keys": []}}
    judge(authority, tmp_path, old.pem)
    judge(authority, tmp_path, new.pem)


def test_the_same_key_asking_again_gets_the_same_certificate(authority: Authority) -> None:
    csr = CLIENT.csr(CLIENT.new_key())
    assert authority.issue(csr, CLIENT, HOST) == authority.issue(csr, CLIENT, HOST)
    assert len(authority.listing()) == 1


def test_the_authority_decides_the_subject(authority: Authority) -> None:
    other = Request(**CLIENT.__dict__ | {"common_name": "Maire de Lille"})
    with pytest.raises(PkiError, match=r"Maire de Lille.* était attendu ; refusée"):
        authority.issue(other.csr(other.new_key()), CLIENT, HOST)
    assert authority.listing() == []


def test_what_the_csr_asks_beyond_its_subject_is_ignored(authority: Authority, tmp_path: Path) -> None:
    csr = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(CLIENT.subject())
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("tdt.creatic.test")]), critical=False)
        .sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    )
    text = openssl("x509", "-noout", "-text", text=authority.issue(_pem(csr), CLIENT, HOST).pem)
    assert "CA:FALSE" in text and "tdt.creatic.test" not in text


def _pem(csr: x509.CertificateSigningRequest) -> str:
    from cryptography.hazmat.primitives.serialization import Encoding

    return csr.public_bytes(Encoding.PEM).decode()


@pytest.mark.parametrize(
    ("key", "said"),
    [
        (lambda: rsa.generate_private_key(65537, 2048), "RSA 2048 bits"),
        (lambda: ec.generate_private_key(ec.SECP224R1()), "courbe secp224r1 refusée"),
    ],
    ids=["rsa-2048", "p-224"],
)
def test_weak_keys_are_refused(authority: Authority, key: Callable[[], ec.EllipticCurvePrivateKey], said: str) -> None:
    with pytest.raises(PkiError, match=said):
        authority.issue(CLIENT.csr(key()), CLIENT, HOST)
    assert authority.listing() == []


def test_a_csr_not_signed_by_its_key_is_refused(authority: Authority) -> None:
    good = x509.load_pem_x509_csr(CLIENT.csr(CLIENT.new_key()).encode())
    from cryptography.hazmat.primitives.serialization import Encoding

    der = bytearray(good.public_bytes(Encoding.DER))
    der[-1] ^= 1
    with pytest.raises(PkiError, match=r"signature de la CSR est fausse|CSR illisible"):
        authority.issue(_pem(x509.load_der_x509_csr(bytes(der))), CLIENT, HOST)
    with pytest.raises(PkiError, match="CSR illisible"):
        authority.issue("-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n", CLIENT, HOST)


def test_one_key_serves_one_place(authority: Authority) -> None:
    csr = CLIENT.csr(CLIENT.new_key())
    authority.issue(csr, CLIENT, HOST)
    with pytest.raises(PkiError, match="sert déjà à « tdt » de gondecourt-connecteur"):
        authority.issue(csr, CLIENT, Owner("autre-hote"))


def test_a_registry_of_another_version_is_left_alone(authority: Authority) -> None:
    with sqlite3.connect(authority.registry.path) as connection:
        connection.execute("PRAGMA user_version = 2")
    before = authority.registry.path.read_bytes()
    expected = f"registre {authority.registry.path} illisible (version 2) : restaurez-le depuis la sauvegarde"
    for action in (authority.listing, authority.settings, lambda: authority.ensure(SETTINGS), lambda: issue(authority)):
        with pytest.raises(PkiError) as told:
            action()
        assert str(told.value) == expected
    assert authority.registry.path.read_bytes() == before


# -- revoking ----------------------------------------------------------------------------------------


def test_revocation_is_in_the_crl_at_once_and_openssl_refuses(authority: Authority, tmp_path: Path) -> None:
    bad, good = issue(authority), issue(authority, CLIENT, Owner("autre"))
    colons = ":".join(re.findall("..", bad.serial.upper()))
    assert [row["serie"] for row in authority.revoke("compromission", serial=colons)] == [bad.serial]
    assert "certificate revoked" in judge(authority, tmp_path, bad.pem, ok=False)
    judge(authority, tmp_path, good.pem)
    text = openssl("crl", "-noout", "-text", "-inform", "DER", "-in", authority.directory / "publie" / "emettrice.crl")
    assert "Key Compromise" in text and "CRL Number: \n                2" in text
    assert authority.verify() == []


def test_revoking_twice_changes_nothing(authority: Authority) -> None:
    serial = issue(authority).serial
    authority.revoke("cessation", serial=serial)
    before = authority.published()["crl"]
    assert authority.revoke("compromission", serial=serial) == []
    assert authority.published()["crl"] == before
    (row,) = authority.listing()
    assert (row["statut"], row["motif"]) == ("revoque", "cessation")


def test_a_host_loses_its_replaced_certificates_too(authority: Authority, tmp_path: Path) -> None:
    old, new = issue(authority), issue(authority)
    web = issue(authority, SERVER)
    kept = issue(authority, CLIENT, Owner("autre", "gondecourt"))
    assert len(authority.revoke("cessation", host=HOST.host)) == 3
    for one in (old, new, web):
        judge(authority, tmp_path, one.pem, ok=False)
    judge(authority, tmp_path, kept.pem)
    assert [row["serie"] for row in authority.revoke("cessation", commune="gondecourt")] == [kept.serial]


def test_a_machine_made_anew_keeps_its_new_certificates(authority: Authority, tmp_path: Path) -> None:
    old, new = issue(authority), issue(authority)
    web = issue(authority, SERVER)
    assert [row["serie"] for row in authority.revoke("remplacement", host=HOST.host, replaced=True)] == [old.serial]
    judge(authority, tmp_path, old.pem, ok=False)
    for one in (new, web):
        judge(authority, tmp_path, one.pem)
    assert authority.revoke("remplacement", host=HOST.host, replaced=True) == []


def test_replaced_certificates_are_not_those_of_a_machine_that_was_not_replaced(authority: Authority) -> None:
    """« Déjà révoqué » would leave the old machine's in force."""
    issue(authority)
    with pytest.raises(PkiError, match=r"n'a été remplacé : rien n'est révoqué\. À faire : déployez d'abord"):
        authority.revoke("remplacement", host=HOST.host, replaced=True)
    assert [row["statut"] for row in authority.listing()] == ["valide"]


def test_expired_certificates_are_not_revoked(authority: Authority, later: Later) -> None:
    issue(authority)
    later(400)
    assert authority.revoke("cessation", host=HOST.host) == []
    assert authority.listing()[0]["statut"] == "expire"


def test_check_mode_revokes_nothing(authority: Authority) -> None:
    serial = issue(authority).serial
    assert [row["serie"] for row in authority.revoke("cessation", serial=serial, check=True)] == [serial]
    assert authority.listing()[0]["statut"] == "valide"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"motif": "colère", "host": "x"}, "motif « colère » inconnu"),
        ({"motif": "cessation"}, "donnez un seul de"),
        ({"motif": "cessation", "host": "x", "commune": "y"}, "donnez un seul de"),
        ({"motif": "cessation", "host": "inconnu"}, "aucun certificat au registre"),
        ({"motif": "cessation", "serial": "zz"}, "nombre hexadécimal attendu"),
    ],
)
def test_a_wrong_revocation_is_refused(authority: Authority, arguments: dict[str, str], said: str) -> None:
    issue(authority)
    with pytest.raises(PkiError, match=said):
        authority.revoke(**arguments)  # type: ignore[arg-type]  # mypy cannot see which keys
    assert authority.listing()[0]["statut"] == "valide"


def test_a_revoked_key_gets_nothing_more(authority: Authority) -> None:
    csr = CLIENT.csr(CLIENT.new_key())
    authority.revoke("compromission", serial=authority.issue(csr, CLIENT, HOST).serial)
    with pytest.raises(PkiError, match="cette clé a été révoquée"):
        authority.issue(csr, CLIENT, HOST)
    assert len(authority.known_to(HOST.host)["tdt"]["refused_keys"]) == 1


def test_serial_numbers_are_read_as_tools_print_them() -> None:
    assert normal_serial("0x0A:ff") == normal_serial(" aff ") == "aff".zfill(40)


# -- time passing ------------------------------------------------------------------------------------


def test_crl_is_refreshed_in_time_only(authority: Authority, later: Later) -> None:
    later(14)
    assert not authority.refresh_crl()
    later(16)
    assert authority.refresh_crl() and not authority.refresh_crl()
    later(32)
    assert authority.ensure(SETTINGS).changes == ["CRL de l'autorité émettrice renouvelée"]
    assert authority.verify() == []
    later(63)
    assert any("périmée" in problem for problem in authority.verify())


def test_root_crl_is_refreshed_when_the_root_is_there(authority: Authority, later: Later) -> None:
    away = authority.directory.parent / "racine"
    shutil.move(authority.directory / "racine", away)
    later(200)
    authority.refresh_crl()
    assert authority.ensure(SETTINGS).warnings == []
    later(320)
    report = authority.ensure(SETTINGS)
    assert "il reste 4" in report.warnings[0] and "CRL de la racine renouvelée" not in report.changes
    shutil.move(away, authority.directory / "racine")
    assert "CRL de la racine renouvelée" in authority.ensure(SETTINGS).changes
    assert authority.ensure(SETTINGS) == upkeep.Report()


def test_everything_daily_works_with_the_root_away(authority: Authority, tmp_path: Path) -> None:
    shutil.move(authority.directory / "racine", tmp_path / "racine")
    (authority.directory.parent / "secrets" / "pki_racine").unlink()
    assert authority.ensure(SETTINGS) == upkeep.Report()
    issued = issue(authority)
    judge(authority, tmp_path, issued.pem)
    authority.revoke("cessation", serial=issued.serial)
    judge(authority, tmp_path, issued.pem, ok=False)
    assert authority.verify() == []
    with pytest.raises(PkiError, match="branchez son support"):
        authority.ensure(SETTINGS, replace_issuing=True)


def test_issuing_ca_is_renewed_with_its_key_and_old_certificates_stay_good(
    authority: Authority, tmp_path: Path, later: Later
) -> None:
    later(1826 - 365 - 100)
    leaf, before = issue(authority).pem, authority.published()["chain"]
    assert "autorité émettrice renouvelée" in authority.ensure(SETTINGS).changes
    assert authority.published()["chain"] != before
    assert authority.ensure(SETTINGS) == upkeep.Report()
    assert authority.verify() == []
    judge(authority, tmp_path, leaf, "-attime", str(int(pki_x509.utc_now().timestamp())))


def test_issuing_ca_about_to_expire_warns_when_the_root_is_away(authority: Authority, later: Later) -> None:
    shutil.move(authority.directory / "racine", authority.directory.parent / "racine")
    later(1826 - 365 - 100)
    assert any("renouveler l'autorité émettrice" in warning for warning in authority.ensure(SETTINGS).warnings)


def test_replacing_a_compromised_issuing_ca(authority: Authority, tmp_path: Path) -> None:
    old = issue(authority)
    chain = authority.published()["chain"]
    report = authority.ensure(SETTINGS, replace_issuing=True)
    assert report.changes == ["autorité émettrice révoquée et remplacée"]
    new = issue(authority)
    judge(authority, tmp_path, new.pem)
    judge(authority, tmp_path, old.pem, ok=False)
    assert "certificate revoked" in judge(authority, tmp_path, chain, ok=False)
    assert {row["serie"]: row["statut"] for row in authority.listing()} == {old.serial: "revoque", new.serial: "valide"}
    assert authority.verify() == []
    assert authority.ensure(SETTINGS) == upkeep.Report()


def test_listing_what_expires(authority: Authority, later: Later) -> None:
    old, new = issue(authority), issue(authority)
    assert authority.listing(within=365) == [] and len(authority.listing(within=366)) == 1
    later(300)
    assert [row["serie"] for row in authority.listing(within=90)] == [new.serial]
    assert [row["serie"] for row in authority.listing(status="remplace")] == [old.serial]
    later(366)
    (row,) = authority.listing(within=90)
    assert (row["statut"], row["jours"]) == ("expire", -1)


# -- damage ------------------------------------------------------------------------------------------


def test_a_lost_registry_stops_everything(authority: Authority) -> None:
    issue(authority)
    authority.registry.path.unlink()
    for call in (lambda: issue(authority), lambda: authority.ensure(SETTINGS), authority.published, authority.listing):
        with pytest.raises(PkiError, match=r"registre des certificats absent.*Restaurez-le"):
            call()
    assert "absent" in authority.verify()[0]
    assert not authority.registry.path.exists()


@pytest.mark.parametrize("damage", [b"", b"ceci n'est pas une base" * 100, None], ids=["empty", "garbage", "cut"])
def test_a_corrupt_registry_stops_everything(authority: Authority, damage: bytes | None) -> None:
    for _ in range(3):
        issue(authority)
    data = authority.registry.path.read_bytes()
    authority.registry.path.write_bytes(data[: len(data) // 2] if damage is None else damage)
    with pytest.raises(PkiError, match="restaurez-le depuis la sauvegarde"):
        issue(authority)
    assert authority.verify() != []


def _tamper(authority: Authority, statement: str) -> list[str]:
    connection = sqlite3.connect(authority.registry.path)
    connection.execute(statement)
    connection.commit()
    connection.close()
    return authority.verify()


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE certificat SET statut = 'valide' WHERE statut = 'revoque'", "ne le dit pas révoqué"),
        ("UPDATE certificat SET statut = 'revoque', revoque_le = debut WHERE nom = 'web'", "y manque"),
        ("DELETE FROM certificat WHERE nom = 'tdt'", "lignes ont été supprimées"),
        ("UPDATE certificat SET fin = '2099-01-01T00:00:00+00:00' WHERE nom = 'web'", "diffèrent"),
        ("UPDATE certificat SET pem = 'x' WHERE nom = 'web'", "certificat illisible"),
        ("UPDATE crl SET pem = (SELECT pem FROM crl ORDER BY emetteur LIMIT 1)", "CRL de AC"),
    ],
    ids=["unrevoked", "revoked-by-hand", "deleted", "prolonged", "unreadable", "crl-swapped"],
)
def test_a_tampered_registry_is_seen(authority: Authority, statement: str, said: str) -> None:
    authority.revoke("cessation", serial=issue(authority).serial)
    issue(authority, SERVER)
    assert authority.verify() == []
    assert said in "\n".join(_tamper(authority, statement))


def test_a_certificate_slipped_into_the_registry_is_seen(authority: Authority, tmp_path: Path) -> None:
    issue(authority)
    other = Authority(tmp_path / "autre" / "pki", Passphrases(tmp_path / "autre" / "pki", generate=True))
    other.ensure(SETTINGS)
    issue(other, SERVER)
    statement = f"ATTACH '{other.registry.path}' AS autre"
    connection = sqlite3.connect(authority.registry.path)
    connection.execute(statement)
    columns = (
        "serie,emetteur,cle_sha256,profil,sujet,titulaire,organisme,siren,commune,hote,nom,debut,fin,statut,demande,pem"
    )
    connection.execute(f"INSERT INTO certificat ({columns}) SELECT {columns} FROM autre.certificat WHERE nom='web'")  # noqa: S608 - constants
    connection.commit()
    connection.close()
    assert "signé par une autre autorité" in "\n".join(authority.verify())


def test_a_lost_or_foreign_issuing_key_is_named(authority: Authority, tmp_path: Path) -> None:
    key = authority.directory / "emettrice" / "cle.pem"
    kept = key.read_bytes()
    key.unlink()
    with pytest.raises(PkiError, match="clé de l'autorité émettrice absente"):
        authority.ensure(SETTINGS)
    with pytest.raises(PkiError, match="Restaurez-la"):
        issue(authority)
    key.write_bytes((authority.directory / "racine" / "cle.pem").read_bytes())
    secret = (authority.directory.parent / "secrets" / "pki_racine").read_text().strip()
    wrong = Authority(authority.directory, Passphrases(authority.directory, {"emettrice": secret}))
    with pytest.raises(PkiError, match="n'est pas celle de l'autorité du registre"):
        issue(wrong)
    key.write_bytes(kept)
    issue(authority)


def test_publie_is_made_again(authority: Authority) -> None:
    def published() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in (authority.directory / "publie").rglob("*") if path.is_file()}

    before = published()
    shutil.rmtree(authority.directory / "publie")
    authority.ensure(SETTINGS)
    assert published() == before


def test_no_authority_yet(directory: Path) -> None:
    with pytest.raises(PkiError, match="aucune autorité de certification"):
        Authority(directory).listing()


def test_a_full_disk_gives_out_nothing(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(sqlite3.Connection):
        def execute(self, statement: str, *arguments: object) -> sqlite3.Cursor:
            if statement == "COMMIT":
                raise sqlite3.OperationalError("database or disk is full")
            return super().execute(statement, *arguments)  # type: ignore[arg-type]  # passed through

    real = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *args, **kwargs: real(*args, factory=Full, **kwargs))
    with pytest.raises(PkiError, match="disk is full"):
        issue(authority)
    monkeypatch.undo()
    assert authority.listing() == [] and authority.verify() == []


def test_requests_are_kept_as_they_were(authority: Authority) -> None:
    issue(authority, SERVER)
    assert Request.from_dict(authority.listing()[0]["demande"]) == SERVER


def test_no_private_key_but_the_authoritys_own(authority: Authority) -> None:
    for request in (CLIENT, SERVER, SIGNATURE):
        issue(authority, request)
    with_keys = {
        str(path.relative_to(authority.directory.parent))
        for path in authority.directory.parent.rglob("*")
        if path.is_file() and b"PRIVATE KEY" in path.read_bytes()
    }
    assert with_keys == {"pki/racine/cle.pem", "pki/emettrice/cle.pem"}


def test_an_authority_made_before_is_opened(directory: Path, later: Later) -> None:
    """Its folder was made on 28 November 2026: two certificates of the connector, one of a server, revoked."""
    shutil.copytree(Path(__file__).with_name("authority_of_before"), directory)
    with sqlite3.connect(directory / "registre.sqlite") as made:
        made.executescript((directory / "registre.sql").read_text(encoding="utf-8"))
    for path, mode in ((directory, 0o700), (directory / "registre.sqlite", 0o600)):
        path.chmod(mode)
    before = {path.name: path.read_bytes() for path in (directory / "publie").iterdir()}
    later((dt.datetime(2026, 11, 29, tzinfo=dt.UTC) - dt.datetime.now(dt.UTC)).days)
    old = Authority(
        directory,
        Passphrases(directory, {"racine": "phrase de la racine", "emettrice": "phrase de l'autorité émettrice"}),
    )
    assert old.verify() == []
    assert old.ensure(SETTINGS) == upkeep.Report()
    assert before == {name: (directory / "publie" / name).read_bytes() for name in before}
    assert [(row["nom"], row["statut"]) for row in old.listing()] == [
        ("tdt", "remplace"),
        ("web", "revoque"),
        ("tdt", "valide"),
    ]
    (kept,) = old.known_to(HOST.host)["tdt"]["serials"]
    assert issue(old).serial != kept
    (revoked,) = old.revoke("cessation", serial=kept)
    assert revoked["serie"] == kept and old.verify() == []
    assert old.ensure(SETTINGS, replace_issuing=True).changes == ["autorité émettrice révoquée et remplacée"]
    assert old.verify() == []


# -- its edges ---------------------------------------------------------------------------------------


def test_the_numbers_of_the_authority() -> None:
    """What an authority promises: a change here is a change of its certificates and of its rounds."""
    assert (upkeep.CRL_DAYS, upkeep.CRL_RENEW_DAYS, upkeep.ROOT_CRL_DAYS, upkeep.ROOT_CRL_RENEW_DAYS) == (
        30,
        15,
        365,
        180,
    )
    assert (upkeep.ROOT_CRL_WARN_DAYS, upkeep.MINIMUM_LEAF_DAYS, MINIMUM_PASSPHRASE) == (60, 60, 16)
    assert (pki_x509.ROOT_DAYS, pki_x509.ISSUING_DAYS) == (3652, 1826)


@pytest.mark.parametrize(
    ("key", "said"),
    [
        (lambda: rsa.generate_private_key(65537, 3072), ""),
        (lambda: rsa.generate_private_key(65537, 2048), "RSA 2048 bits ; il en faut au moins 3072"),
        (lambda: rsa.generate_private_key(3, 3072), "exposant RSA trop petit"),
        (lambda: ec.generate_private_key(ec.SECP256R1()), ""),
        (lambda: ec.generate_private_key(ec.SECP256K1()), "courbe secp256k1 refusée"),
        (ed25519.Ed25519PrivateKey.generate, "algorithme refusé ; attendu : ECDSA P-256 ou RSA"),
    ],
)
def test_what_makes_a_key_weak(key: Callable[[], Any], said: str) -> None:
    assert weakness(key().public_key()) == said


def test_a_certificate_bears_its_policy_and_starts_a_little_before(authority: Authority) -> None:
    for request, number in ((CLIENT, 1), (SIGNATURE, 2), (SERVER, 3), (TSA, 4)):
        certificate = load_certificate(issue(authority, request).pem)
        policies = certificate.extensions.get_extension_for_class(x509.CertificatePolicies).value
        assert [one.policy_identifier.dotted_string for one in policies] == [f"1.3.6.1.4.1.59999.59.1.{number}"]
        assert (certificate.not_valid_after_utc - certificate.not_valid_before_utc).days == 365
        begun = dt.datetime.now(dt.UTC) - certificate.not_valid_before_utc
        assert dt.timedelta(minutes=5) <= begun < dt.timedelta(minutes=6)


def test_the_list_is_signed_again_when_half_its_life_is_over(authority: Authority, later: Later) -> None:
    assert not authority.refresh_crl()
    later(14)
    assert not authority.refresh_crl()
    later(16)
    assert authority.refresh_crl()
    assert not authority.refresh_crl()


def test_the_list_is_not_signed_twice_by_two_processes(
    authority: Authority, later: Later, monkeypatch: pytest.MonkeyPatch
) -> None:
    later(16)
    days = iter([1, 29])
    monkeypatch.setattr(Book, "crl_days", lambda *_arguments: next(days))
    assert not authority.refresh_crl()


def test_an_authority_without_its_parts_says_so(authority: Authority) -> None:
    with sqlite3.connect(authority.registry.path) as registry:
        registry.execute("DELETE FROM reglage")
    with pytest.raises(PkiError) as without_settings:
        issue(authority)
    with sqlite3.connect(authority.registry.path) as registry:
        registry.execute("DELETE FROM certificat")
    with pytest.raises(PkiError) as without_certificate:
        issue(authority)
    said = "autorité de certification inachevée : relancez « fab pki.creer »"
    assert str(without_settings.value) == str(without_certificate.value) == said


def test_a_key_of_another_kind_is_not_the_authority_s(authority: Authority) -> None:
    path = authority.directory / "emettrice" / "cle.pem"
    passphrase = (authority.directory.parent / "secrets" / "pki_emettrice").read_text().strip()
    path.write_text(openssl("genpkey", "-algorithm", "ed25519", "-aes256", "-pass", f"pass:{passphrase}"))
    with pytest.raises(PkiError, match=r"^clé de l'autorité « emettrice » : type inattendu dans .*cle.pem$"):
        issue(authority)


def test_a_certificate_is_handed_out_again_only_while_it_counts(authority: Authority, later: Later) -> None:
    key = CLIENT.new_key()
    first = authority.issue(CLIENT.csr(key), CLIENT, HOST)
    assert authority.issue(CLIENT.csr(key), CLIENT, HOST) == first
    other = Request(**CLIENT.__dict__ | {"common_name": "Autre nom"})
    assert authority.issue(other.csr(key), other, HOST).serial != first.serial
    later(366)
    authority.ensure(SETTINGS)
    assert authority.issue(CLIENT.csr(key), CLIENT, HOST).serial != first.serial


def test_only_a_server_with_an_rsa_key_takes_keys_to_it(authority: Authority) -> None:
    """Some old clients have the server's RSA key carry theirs."""
    for request, carried in (
        (Request(**SERVER.__dict__ | {"name": "a", "key_type": "rsa"}), True),
        (Request(**SERVER.__dict__ | {"name": "b"}), False),
        (Request(**CLIENT.__dict__ | {"name": "c", "key_type": "rsa"}), False),
    ):
        certificate = load_certificate(issue(authority, request).pem)
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
        assert usage.key_encipherment == carried
