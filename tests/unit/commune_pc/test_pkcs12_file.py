"""A provider's .p12, good and bad: every refusal names the file, the field and the fix, never the password."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.cdg59.creatic.plugins.module_utils.pki.pkcs12_file import Pkcs12FileError, read_pkcs12
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs12

from .conftest import Maker, Pair

PASSWORD = "canari-mot-de-passe"


def write(folder: Path, pair: Pair | None, chain: list[x509.Certificate] | None = None) -> tuple[Path, Path]:
    path, word = folder / "mairie.p12", folder / "mairie.p12.pass"
    path.write_bytes(
        pkcs12.serialize_key_and_certificates(
            b"Mairie",
            pair.key if pair else None,
            pair.certificate if pair else None,
            chain,
            serialization.BestAvailableEncryption(PASSWORD.encode()),
        )
    )
    word.write_text(f"{PASSWORD}\n")
    word.chmod(0o600)
    return path, word


def refusal(path: Path, word: Path) -> str:
    with pytest.raises(Pkcs12FileError) as caught:
        read_pkcs12(path, word)
    message = str(caught.value)
    assert PASSWORD not in message
    assert message.endswith("Rien n'a été changé.")
    return message


def test_key_certificate_and_chain_are_read(tmp_path: Path, maker: Maker) -> None:
    pair = maker.make("Mairie")
    found = read_pkcs12(*write(tmp_path, pair, [maker.root.certificate]))
    assert (found["certificate"], found["key"], found["chain"]) == (pair.pem, pair.key_pem, maker.root.pem)


def test_wrong_password(tmp_path: Path, maker: Maker) -> None:
    path, word = write(tmp_path, maker.make("Mairie"))
    word.write_text("autre\n")
    message = refusal(path, word)
    assert f"{path} (champ fichier)" in message
    assert f"{word} (champ secret)" in message
    assert "corrigez le mot de passe" in message


def test_damaged_file(tmp_path: Path, maker: Maker) -> None:
    path, word = write(tmp_path, maker.make("Mairie"))
    path.write_bytes(path.read_bytes()[:-40])
    assert "redemandez le fichier" in refusal(path, word)


@pytest.mark.parametrize("missing", ["mairie.p12", "mairie.p12.pass"])
def test_missing_file(tmp_path: Path, maker: Maker, missing: str) -> None:
    path, word = write(tmp_path, maker.make("Mairie"))
    (tmp_path / missing).unlink()
    assert f"{tmp_path / missing} (champ" in refusal(path, word)


def test_password_which_others_can_read(tmp_path: Path, maker: Maker) -> None:
    path, word = write(tmp_path, maker.make("Mairie"))
    word.chmod(0o644)
    assert f"chmod 600 {word}" in refusal(path, word)


def test_expired_certificate(tmp_path: Path, maker: Maker) -> None:
    assert "a expiré le" in refusal(*write(tmp_path, maker.make("Mairie", days=-2)))


def test_file_without_a_key(tmp_path: Path, maker: Maker) -> None:
    path, word = write(tmp_path, None, [maker.root.certificate])
    assert "à la fois une clé et son certificat" in refusal(path, word)


def test_file_which_is_far_too_big(tmp_path: Path, maker: Maker) -> None:
    path, word = write(tmp_path, maker.make("Mairie"))
    path.write_bytes(b"\0" * ((1 << 20) + 1))
    assert "n'est pas un .p12" in refusal(path, word)
