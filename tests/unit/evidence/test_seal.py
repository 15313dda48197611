"""The seal: what openssl says of it, and what a change of one byte does."""

from __future__ import annotations

import dataclasses
import re
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from creatic.evidence.seal import (
    CHAIN,
    DIGESTS,
    ROOT,
    SEAL_FILES,
    SIGNATURE,
    SIGNER,
    TIMESTAMP,
    UNIT,
    WHO,
    SealError,
    SealKeys,
    seal,
    verify,
)
from testbed.authority import certificate
from tests.unit.evidence.conftest import make_authority, write_pem

DOC = Path(__file__).parents[3] / "docs" / "preuves.md"


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory, keys: SealKeys) -> Path:
    """A sealed folder; tests work on copies."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "gondecourt").mkdir()
    (folder / "gondecourt" / "preuve.json").write_text('{"prete": true}', encoding="utf-8")
    (folder / "pièce d'essai.txt").write_text("contenu", encoding="utf-8")
    seal(folder, keys)
    return folder


@pytest.fixture
def copy(sealed: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return shutil.copytree(sealed, tmp_path / "run")


def test_an_intact_folder_is_said_intact_with_its_signer_and_time(sealed: Path, keys: SealKeys) -> None:
    result = verify(sealed, keys.root)
    assert result.intact
    assert result.signer == "C=FR, O=Groupement d'essai, CN=Preuves de déploiement"
    assert result.sealed_at is not None
    assert abs(datetime.now(UTC) - result.sealed_at) < timedelta(minutes=5)


def test_the_commands_of_the_guide_accept_an_intact_folder_and_refuse_a_changed_one(copy: Path) -> None:
    block = re.search(r"```sh\n(sha256sum.*?)```", DOC.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert block, "docs/preuves.md ne donne plus les commandes"
    script = f"set -e\n{block[1]}"

    def check() -> subprocess.CompletedProcess[str]:
        return subprocess.run(["sh", "-c", script], cwd=copy, capture_output=True, text=True, check=False)

    assert check().returncode == 0, check().stderr
    (copy / "gondecourt" / "preuve.json").write_text('{"prete": false}', encoding="utf-8")
    assert check().returncode != 0


@pytest.mark.parametrize(
    "name", ["gondecourt/preuve.json", "pièce d'essai.txt", ROOT, CHAIN, DIGESTS, SIGNATURE, TIMESTAMP]
)
@pytest.mark.parametrize("place", [0.1, 0.5, 0.95])
def test_one_changed_byte_is_found_and_its_file_is_named(copy: Path, keys: SealKeys, name: str, place: float) -> None:
    content = bytearray((copy / name).read_bytes())
    content[int(len(content) * place)] ^= 1
    (copy / name).write_bytes(content)
    assert name in dict(verify(copy, keys.root).faults)


@pytest.mark.parametrize("name", [SIGNATURE, TIMESTAMP, "gondecourt/preuve.json"])
def test_only_the_changed_file_is_accused(copy: Path, keys: SealKeys, name: str) -> None:
    content = bytearray((copy / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / name).write_bytes(content)
    assert [file for file, _ in verify(copy, keys.root).faults] == [name]


def test_a_rewritten_digest_does_not_hide_a_rewritten_proof(copy: Path, keys: SealKeys) -> None:
    proof = copy / "gondecourt" / "preuve.json"
    proof.write_text('{"prete": "oui"}', encoding="utf-8")
    done = subprocess.run(["sha256sum", "gondecourt/preuve.json"], cwd=copy, capture_output=True, check=True)
    lines = (copy / DIGESTS).read_text(encoding="utf-8").splitlines()
    forged = [done.stdout.decode().strip() if line.endswith("preuve.json") else line for line in lines]
    (copy / DIGESTS).write_text("\n".join(forged) + "\n", encoding="utf-8")
    assert dict(verify(copy, keys.root).faults)[DIGESTS].startswith("la signature ne correspond pas")


def test_an_added_a_removed_and_a_linked_file_are_found(copy: Path, keys: SealKeys) -> None:
    (copy / "ajout.txt").write_text("x", encoding="utf-8")
    kept = (copy / "pièce d'essai.txt").rename(copy.parent / "ailleurs.txt")
    (copy / "gondecourt" / "preuve.json").rename(copy.parent / "preuve.json")
    (copy / "gondecourt" / "preuve.json").symlink_to(copy.parent / "preuve.json")
    faults = dict(verify(copy, keys.root).faults)
    assert kept.exists()
    assert faults["ajout.txt"].startswith("inconnu")
    assert faults["pièce d'essai.txt"].startswith("absent")
    assert faults["gondecourt/preuve.json"].startswith("modifié")


@pytest.mark.parametrize("name", SEAL_FILES)
def test_a_missing_part_of_the_seal_is_named(copy: Path, keys: SealKeys, name: str) -> None:
    (copy / name).unlink()
    assert (name, "absent : ce passage n'est pas scellé") in verify(copy, keys.root).faults


def der(tag: int, body: bytes) -> bytes:
    """An element in DER."""
    size = len(body).to_bytes(2, "big")
    return bytes([tag, 0x82]) + size + body if len(body) > 127 else bytes([tag, len(body)]) + body


def parts(element: bytes) -> tuple[bytes, bytes]:
    """What an element in DER holds, and what follows it."""
    long = element[1] & 0x7F if element[1] & 0x80 else 0
    at = 2 + long
    end = at + (int.from_bytes(element[2:at], "big") if long else element[1])
    return element[at:end], element[end:]


# A date, another way to say it, and an end that hides on a terminal the line of the true one.
@pytest.mark.parametrize(
    "words", ["\nTime stamp: {} GMT\n", "\nTime stamp: {}.5 GMT\n\x1b[8m", "x\r\nTime stamp: {} GMT\n"]
)
def test_words_that_nobody_signed_give_no_date(copy: Path, keys: SealKeys, words: str) -> None:
    """The status of a timestamping answer (RFC 3161, PKIStatusInfo) is outside of what the unit signs."""
    true = verify(copy, keys.root).sealed_at
    assert true is not None
    said = words.format(f"{true - timedelta(minutes=30):%b %d %H:%M:%S %Y}")
    _status, token = parts(parts((copy / TIMESTAMP).read_bytes())[0])
    status = der(0x30, der(0x02, b"\0") + der(0x30, der(0x0C, said.encode())))
    (copy / TIMESTAMP).write_bytes(der(0x30, status + token))
    assert verify(copy, keys.root).sealed_at in (true, None)
    block = re.search(r"```sh\n(openssl ts -reply.*?)```", DOC.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert block
    shown = subprocess.run(["sh", "-c", block[1]], cwd=copy, capture_output=True, text=True, check=False).stdout
    assert re.findall("^.*Time stamp.*$", shown, flags=re.M) == [
        f"Time stamp: {true:%b} {true.day:2} {true:%H:%M:%S %Y} GMT"
    ]


def test_another_authority_of_the_same_names_is_not_trusted(copy: Path, keys: SealKeys, other_keys: SealKeys) -> None:
    for name in SEAL_FILES:
        (copy / name).unlink()
    seal(copy, other_keys)
    faults = dict(verify(copy, keys.root).faults)
    assert "ne vient pas de l'autorité du groupement" in faults[SIGNATURE] + faults[TIMESTAMP]
    assert verify(copy, other_keys.root).intact


def test_the_machines_own_authorities_do_not_count(
    copy: Path, keys: SealKeys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder sealed by an authority of /etc/ssl/certs, then the signature alone.

    Its names are not ours: openssl takes the first root of a name, so that one of the same names never counts.
    """
    other = make_authority(tmp_path / "autre", " d'ailleurs")
    trusted = tmp_path / "certs"
    trusted.mkdir()
    shutil.copyfile(other.root, trusted / "racine.pem")
    subprocess.run(["openssl", "rehash", trusted], check=True)
    monkeypatch.setenv("SSL_CERT_DIR", str(trusted))
    for mixed, named in (
        (other, TIMESTAMP),
        (dataclasses.replace(keys, signature=other.signature, chain=other.chain), SIGNATURE),
    ):
        for name in SEAL_FILES:
            (copy / name).unlink()
        seal(copy, mixed)
        if named == SIGNATURE:
            shutil.copyfile(keys.chain, copy / CHAIN)  # of the timestamp, which is good
        # Without a good timestamp the signature itself is suspected; with one, its list is.
        suspect = DIGESTS if named == SIGNATURE else SIGNATURE
        assert "ne vient pas de l'autorité du groupement" in dict(verify(copy, keys.root).faults).get(suspect, "")


def resealed(folder: Path, keys: SealKeys, scratch: Path, **others: tuple[str, str, str, ObjectIdentifier]) -> None:
    """Seal again, with certificates of the same authority: by field of the keys, name, organization, unit, usage."""
    key = load_pem_private_key(keys.chain.with_name("key.pem").read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    issuing = (x509.load_pem_x509_certificate(keys.chain.read_bytes()), key)
    made = {}
    for field, (name, organization, unit, usage) in others.items():
        parts = [(NameOID.COUNTRY_NAME, "FR"), (NameOID.ORGANIZATION_NAME, organization)]
        parts += [(NameOID.ORGANIZATIONAL_UNIT_NAME, unit), (NameOID.COMMON_NAME, name)]
        subject = x509.Name([x509.NameAttribute(oid, value) for oid, value in parts if value])
        made[field] = write_pem(scratch / field, certificate("", issuing, usage=usage, subject=subject))
    for name in SEAL_FILES:
        (folder / name).unlink()
    seal(folder, SealKeys(**(vars(keys) | made)))


OWN, MAIL, DATES = "Groupement d'essai", ExtendedKeyUsageOID.EMAIL_PROTECTION, ExtendedKeyUsageOID.TIME_STAMPING


@pytest.mark.parametrize(
    ("signer", "shown"),
    [
        (("Claire Dubois", "Commune de Loos", "0002 215903600", MAIL),
         "CN=Claire Dubois,OU=0002 215903600,O=Commune de Loos,C=FR"),
        ((SIGNER, "Commune de Loos", "", MAIL), f"CN={SIGNER},O=Commune de Loos,C=FR"),
        ((SIGNER, OWN, "0002 285900015", MAIL), f"CN={SIGNER},OU=0002 285900015,O={OWN},C=FR"),
        ((f"{SIGNER},O={OWN}", OWN, "", MAIL), f"CN={SIGNER}\\,O={OWN},O={OWN},C=FR"),
        (("Attestations des archives", OWN, "", MAIL), f"CN=Attestations des archives,O={OWN},C=FR"),
    ],
)  # fmt: skip # a table
def test_another_certificate_of_the_authority_signs_no_evidence(
    copy: Path, keys: SealKeys, tmp_path: Path, signer: tuple[str, str, str, ObjectIdentifier], shown: str
) -> None:
    resealed(copy, keys, tmp_path, signature=signer)
    result = verify(copy, keys.root)
    assert result.faults == [(SIGNATURE, f"vient de « {shown} », et non de « CN={SIGNER},O={OWN},C=FR »")]
    assert result.signer is None


@pytest.mark.parametrize("organization", [OWN, "Commune de Loos"])
def test_another_timestamping_unit_of_the_authority_dates_no_evidence(
    copy: Path, keys: SealKeys, tmp_path: Path, organization: str
) -> None:
    name = "Horodatage du parapheur" if organization == OWN else UNIT
    resealed(copy, keys, tmp_path, tsa=(name, organization, "", DATES))
    result = verify(copy, keys.root)
    wrong = f"vient de « CN={name},O={organization},C=FR », et non de « CN={UNIT},O={OWN},C=FR »"
    assert result.faults == [(TIMESTAMP, wrong)]
    assert result.sealed_at is None


def test_a_certificate_that_is_not_for_signing_signs_no_evidence(copy: Path, keys: SealKeys, tmp_path: Path) -> None:
    resealed(copy, keys, tmp_path, signature=(SIGNER, OWN, "", ExtendedKeyUsageOID.CLIENT_AUTH))
    told = dict(verify(copy, keys.root).faults)
    assert told == {DIGESTS: "la signature ne correspond pas : le certificat n'est pas fait pour cela"}


def test_what_was_sealed_before_under_another_authority_s_name_verifies(
    copy: Path, keys: SealKeys, tmp_path: Path
) -> None:
    before = "Groupement Cre@tic"  # what versions before 1.0.0 wrote, whatever the authority's organization
    resealed(copy, keys, tmp_path, signature=(SIGNER, before, "", MAIL), tsa=(UNIT, before, "", DATES))
    assert verify(copy, keys.root).intact


def test_the_guide_shows_who_sealed(copy: Path, keys: SealKeys, tmp_path: Path) -> None:
    text = DOC.read_text(encoding="utf-8").partition("**3. Quand, et par qui ?**")[2]
    block = re.search(r"```sh\n(.*?)```", text, flags=re.DOTALL)
    assert block and WHO in block[1]

    def shown() -> str:
        return subprocess.run(["sh", "-c", block[1]], cwd=copy, capture_output=True, text=True, check=False).stdout

    def names(signer: str, unit: str) -> str:
        return "".join(f"subject=CN={name},O={OWN},C=FR\nissuer=CN=Emettrice,O={OWN},C=FR\n" for name in (signer, unit))

    assert names(SIGNER, UNIT) in shown() and "Time stamp: " in shown()
    others = {"signature": ("Claire Dubois", OWN, "", MAIL), "tsa": ("Horodatage du parapheur", OWN, "", DATES)}
    resealed(copy, keys, tmp_path, **others)
    assert names("Claire Dubois", "Horodatage du parapheur") in shown()
    (copy / ROOT).write_bytes(make_authority(tmp_path / "autre", " d'ailleurs").root.read_bytes())
    assert "subject" not in shown()


def test_the_guide_shows_what_was_added_whatever_its_name_and_kind(copy: Path) -> None:
    """A link, and a name of several lines, each of which is in the list."""
    text = DOC.read_text(encoding="utf-8").partition("**4. Aucun fichier")[2]
    block = re.search(r"```sh\n(.*?)```", text, flags=re.DOTALL)
    assert block

    def shown() -> list[str]:
        done = subprocess.run(["bash", "-c", block[1]], cwd=copy, capture_output=True, text=True, check=False)
        return sorted(done.stdout.splitlines())

    assert shown() == sorted(SEAL_FILES)
    (copy / "rapport.html").symlink_to(copy.parent / "ailleurs.html")
    assert shown() == sorted((*SEAL_FILES, "rapport.html"))
    (copy / f"{ROOT}\n.").mkdir()
    (copy / f"{ROOT}\n." / CHAIN).write_text("ajout", encoding="utf-8")
    assert shown() == sorted((*SEAL_FILES, "rapport.html", ROOT, f"./{CHAIN}"))


def test_a_certificate_that_is_not_for_timestamping_is_refused(tmp_path: Path, keys: SealKeys) -> None:
    (tmp_path / "a").write_text("a", encoding="utf-8")
    with pytest.raises(SealError, match="horodatage"):
        seal(tmp_path, dataclasses.replace(keys, tsa=keys.signature))
    assert not (tmp_path / TIMESTAMP).exists()


def test_a_missing_key_is_named_and_the_digests_are_kept(tmp_path: Path, keys: SealKeys) -> None:
    (tmp_path / "a").write_text("a", encoding="utf-8")
    lost = dataclasses.replace(keys.signature, key=tmp_path / "perdue.pem")
    with pytest.raises(SealError, match=r"perdue\.pem est introuvable"):
        seal(tmp_path, dataclasses.replace(keys, signature=lost))
    assert "  a\n" in (tmp_path / DIGESTS).read_text(encoding="utf-8")
