"""Whose signatures count: by the authorities and the lists that the archive holds, whatever a signature carries."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID
from sae.signature import SignatureError, sign, verify

from testbed.authority import Authority, carrying

DOCUMENT = b"demande"


@pytest.fixture
def own(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "groupement", "du groupement")


@pytest.fixture
def machine_trusts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Authority], None]:
    """Put a root among the machine's own, as in /etc/ssl/certs."""

    def put(authority: Authority) -> None:
        folder = tmp_path / "certs"
        folder.mkdir()
        (folder / "racine.pem").write_bytes(authority.root.read_bytes())
        subprocess.run(["openssl", "rehash", folder], check=True)
        monkeypatch.setenv("SSL_CERT_DIR", str(folder))
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.root))

    return put


def test_an_old_list_inside_a_signature_does_not_save_a_revoked_certificate(own: Authority) -> None:
    person = own.issue("Alice", ExtendedKeyUsageOID.CLIENT_AUTH)
    old = own.revoke().read_bytes()
    signature = carrying(sign(DOCUMENT, person), old)
    good = own.revoke()
    assert verify(DOCUMENT, signature, own.root, good).subject == "CN=Alice,O=Groupement d'essai,C=FR"
    with pytest.raises(SignatureError, match="révoqué"):
        verify(DOCUMENT, signature, own.root, own.revoke(person))


def test_a_list_inside_a_signature_does_not_stand_for_one_that_we_lack(own: Authority, tmp_path: Path) -> None:
    person = own.issue("Alice", ExtendedKeyUsageOID.CLIENT_AUTH)
    signature = carrying(sign(DOCUMENT, person), own.revoke().read_bytes())
    none = tmp_path / "vide.pem"
    none.touch()
    with pytest.raises(SignatureError, match="la liste de révocation manque"):
        verify(DOCUMENT, signature, own.root, none)


def test_the_machines_own_authorities_do_not_count(
    own: Authority, tmp_path: Path, machine_trusts: Callable[[Authority], None]
) -> None:
    other = Authority(tmp_path / "autre", "de la machine")
    signature = sign(DOCUMENT, other.issue("Alice", ExtendedKeyUsageOID.CLIENT_AUTH))
    machine_trusts(other)
    for lists in (None, other.revoke()):
        with pytest.raises(SignatureError, match="ne vient pas d'une autorité de confiance"):
            verify(DOCUMENT, signature, own.root, lists)
    assert verify(DOCUMENT, signature, other.root).subject.startswith("CN=Alice,")
