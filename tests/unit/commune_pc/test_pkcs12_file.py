"""A provider's .p12, good and bad: every refusal names the file, the field and the fix, never the password."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs12

from creatic.pki.pkcs12_file import (
    Pkcs12FileError,
    own_pkcs12,
    read_pkcs12,
)
from testbed import provider

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


def test_a_password_in_another_encoding(tmp_path: Path, maker: Maker) -> None:
    path, word = write(tmp_path, maker.make("Mairie"))
    word.write_bytes("été\n".encode("latin-1"))
    assert f"{word} (champ secret)" in refusal(path, word)


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


MINE, OTHERS = "215902669", "215900580"


@pytest.mark.parametrize(
    ("subject", "own"),
    [
        ([("OU", f"0002 {MINE}")], True),
        ([("OU", f"0002 {MINE}00011")], True),  # a SIRET
        ([("organizationIdentifier", f"NTRFR-{MINE}")], True),
        ([("OU", f"0002 {OTHERS}")], False),
        ([("OU", f"0002 {OTHERS}"), ("OU", f"0002 {MINE}")], False),  # of whom?
        ([("organizationIdentifier", f"NTRFR-{OTHERS}"), ("OU", f"0002 {MINE}")], False),
        ([("O", f"0002 {MINE}"), ("CN", f"0002 {MINE}")], False),
        ([("OU", f"0002 {MINE}0")], False),
        ([("OU", f"x0002 {MINE}")], False),
        ([("OU", f"0002 {MINE[:-1]}\u0669")], False),  # a digit of another script
        ([], False),
    ],
)
def test_whose_a_file_is_is_said_by_its_certificate(tmp_path: Path, subject: list[tuple[str, str]], own: bool) -> None:
    provider.deliver(tmp_path, "a.p12", "a.pass", MINE)
    (tmp_path / "a.p12").write_bytes(provider.packed(("CN", "Mairie"), *subject))
    if own:
        assert own_pkcs12(tmp_path / "a.p12", tmp_path / "a.pass", [MINE])["certificate"]
    else:
        with pytest.raises(Pkcs12FileError, match="mettez-y le sien"):
            own_pkcs12(tmp_path / "a.p12", tmp_path / "a.pass", [MINE])
    with pytest.raises(Pkcs12FileError):
        own_pkcs12(tmp_path / "a.p12", tmp_path / "a.pass", [])


def test_a_link_is_no_file_of_its_folder(tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    provider.deliver(tmp_path, "a.p12", "a.pass", MINE)
    provider.deliver(tmp_path / "secrets", "a.p12", "a.pass", MINE)
    for name in ("a.p12", "a.pass"):
        (tmp_path / "secrets" / name).unlink()
        (tmp_path / "secrets" / name).symlink_to(tmp_path / name)
        with pytest.raises(Pkcs12FileError, match="est un lien"):
            own_pkcs12(tmp_path / "secrets/a.p12", tmp_path / "secrets/a.pass", [MINE])
    (tmp_path / "lien").symlink_to(tmp_path)  # the folder may be one (the current version of a machine's data)
    assert own_pkcs12(tmp_path / "lien/a.p12", tmp_path / "lien/a.pass", [MINE])["key"]


def test_a_file_that_any_word_opens_proves_no_secret_to_be_its_own(tmp_path: Path) -> None:
    """The secret named beside it goes to its machine: it may be the groupement's, or a neighbour's."""
    provider.deliver(tmp_path, "a.p12", "a.pass", MINE)
    password = (tmp_path / "a.pass").read_text(encoding="utf-8").strip()
    shown = f"pass:{password}"
    read: list[str | Path] = [
        "openssl",
        "pkcs12",
        "-in",
        tmp_path / "a.p12",
        "-nodes",
        "-passin",
        shown,
        "-out",
        tmp_path / "a.pem",
    ]
    made: list[str | Path] = [
        "openssl",
        "pkcs12",
        "-export",
        "-in",
        tmp_path / "a.pem",
        "-out",
        tmp_path / "b.p12",
        "-passout",
        "pass:",
    ]
    bare = ["-nomac", "-keypbe", "NONE", "-certpbe", "NONE"]
    for command in (read, [*made, *bare]):
        subprocess.run(command, check=True, capture_output=True)
    (tmp_path / "supervision.smtp").write_text("canari\n", encoding="utf-8")
    (tmp_path / "supervision.smtp").chmod(0o600)
    assert read_pkcs12(tmp_path / "b.p12", tmp_path / "supervision.smtp")["key"]
    with pytest.raises(Pkcs12FileError, match="n'importe quel mot de passe") as told:
        own_pkcs12(tmp_path / "b.p12", tmp_path / "supervision.smtp", [MINE])
    assert "canari" not in str(told.value)
