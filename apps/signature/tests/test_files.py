"""The files at the door, the bounds of a run, and the files of trust."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
from pathlib import Path

import pytest
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from pyhanko_certvalidator.errors import ValidationError
from signature_actes import files, limits, trust
from signature_actes.refusal import DocumentRefusedError
from signature_actes.trust import Trust, read_certificates

from apps.signature.tests.conftest import NOW, Issuer, dt

DER = serialization.Encoding.DER


def test_what_is_no_file_is_refused() -> None:
    with pytest.raises(DocumentRefusedError, match=r"^null : ce n'est pas un fichier$"):
        files.check_size(Path("/dev/null"))


def test_a_file_may_be_as_large_as_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "acte.pdf"
    with path.open("wb") as stream:
        stream.truncate(150_000_000)
    files.check_size(path)
    with path.open("ab") as stream:
        stream.write(b"x")
    with pytest.raises(
        DocumentRefusedError, match=r"^acte.pdf : 150 Mo, 150 Mo au plus\. À faire : réduisez la résolution"
    ):
        files.check_size(path)


def test_a_pdf_header_is_within_the_first_kilobyte(tmp_path: Path) -> None:
    path = tmp_path / "acte.pdf"
    for before, words in ((1019, "le PDF est abîmé"), (1020, "ce n'est pas un PDF")):
        path.write_bytes(b" " * before + b"%PDF-1.7")
        with pytest.raises(DocumentRefusedError, match=words), files.open_pdf(path):
            pass


def test_a_new_file_takes_no_other_s_place(tmp_path: Path) -> None:
    target = tmp_path / "signe.pdf"
    target.write_text("celui d'avant")
    with (
        pytest.raises(DocumentRefusedError, match=r"^signe.pdf existe déjà\. À faire : déplacez-le"),
        files.new_file(target),
    ):
        pytest.fail("nothing is begun")
    target.unlink()
    with pytest.raises(DocumentRefusedError, match=r"^signe.pdf existe déjà"), files.new_file(target) as stream:
        stream.write(b"neuf")
        target.write_text("arrivé entre-temps")
    assert target.read_text() == "arrivé entre-temps"
    assert [path.name for path in tmp_path.iterdir()] == ["signe.pdf"]


def test_a_new_file_has_everybody_s_rights_but_those_of_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        with files.new_file(tmp_path / "signe.pdf") as stream:
            stream.write(b"neuf")
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(before)
    assert (tmp_path / "signe.pdf").stat().st_mode & 0o777 == 0o640


def test_a_new_file_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    target = tmp_path / "absent" / "signe.pdf"
    with (
        pytest.raises(DocumentRefusedError, match=r"absent : on ne peut pas y écrire \(il n'existe pas"),
        files.new_file(target),
    ):
        pytest.fail("nothing is begun")
    target = tmp_path / "signe.pdf"
    with (
        pytest.raises(DocumentRefusedError, match=r"^signe.pdf : écriture impossible \(le disque est"),
        files.new_file(target),
    ):
        raise OSError(28, "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_a_run_has_a_gigabyte_and_two_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, tuple[int, int]]] = []
    monkeypatch.setattr(limits.resource, "setrlimit", lambda what, bounds: asked.append((what, bounds)))
    before = signal.getsignal(signal.SIGXCPU)
    try:
        limits.bound()
        with pytest.raises(DocumentRefusedError, match="le fichier demande trop de mémoire ou de temps"):
            os.kill(os.getpid(), signal.SIGXCPU)
    finally:
        signal.signal(signal.SIGXCPU, before)
    assert asked == [(resource.RLIMIT_AS, (1 << 30, 1 << 30)), (resource.RLIMIT_CPU, (120, 125))]


def test_trust_is_read_in_pem_and_der(issuer: Issuer, tmp_path: Path) -> None:
    (tmp_path / "racine.der").write_bytes(issuer.root[0].public_bytes(DER))
    listed = x509.load_pem_x509_crl((issuer.folder / "crl.pem").read_bytes())
    (tmp_path / "racine.crl").write_bytes(listed.public_bytes(DER))
    known = Trust.read([tmp_path / "racine.der", issuer.folder / "ca.pem"], [tmp_path / "racine.crl"])
    assert [len(part) for part in (known.roots, known.others, known.crls)] == [2, 1, 1]


def test_files_that_hold_no_trust_are_refused(issuer: Issuer, tmp_path: Path) -> None:
    path = tmp_path / "confiance.pem"
    with pytest.raises(DocumentRefusedError, match=r"confiance.pem : fichier de confiance illisible \(il n'existe pas"):
        read_certificates(path)
    for content in (b"rien", (issuer.folder / "crl.pem").read_bytes()):
        path.write_bytes(content)
        with pytest.raises(DocumentRefusedError, match=r"confiance.pem : aucun certificat dans ce fichier$"):
            read_certificates(path)
    path.write_bytes(b"rien")
    with pytest.raises(DocumentRefusedError, match=r"confiance.pem : ce n'est pas une liste de révocation$"):
        Trust.read([issuer.folder / "ca.pem"], [path])


def test_a_certificate_of_tomorrow_does_not_count_today(issuer: Issuer) -> None:
    pair = issuer.person(start=NOW + dt.timedelta(days=2), end=NOW + dt.timedelta(days=9))
    certificate = asn1_x509.Certificate.load(pair[0].public_bytes(DER))
    day = (NOW + dt.timedelta(days=2)).astimezone().strftime("%d/%m/%Y")
    assert (
        asyncio.run(issuer.trust.refusal(certificate))
        == f"le certificat de Claire Dubois n'est valable qu'à partir du {day}"
    )
    assert asyncio.run(issuer.trust.refusal(certificate, moment=NOW + dt.timedelta(days=3))) is None


def test_an_unknown_reason_is_told_by_its_first_line(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    async def odd(_validator: object, _usage: object) -> None:
        raise ValidationError("politique absente\ndétails")

    monkeypatch.setattr(trust.CertificateValidator, "async_validate_usage", odd)
    certificate = asn1_x509.Certificate.load(issuer.person()[0].public_bytes(DER))
    expected = "le certificat de Claire Dubois n'est pas valable (politique absente)"
    assert asyncio.run(issuer.trust.refusal(certificate)) == expected
