"""What real programs write, through every door: the same documents are taken everywhere, and none is accused."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

import pypdf
import pytest
from creatic.deliberations import hidden
from signature_actes import door, pades, structure
from signature_actes.check import check_pdf
from signature_actes.files import open_pdf
from signature_actes.person import Person
from signature_actes.refusal import DocumentRefusedError
from signature_actes.stamp import LocalUnit
from tdt_connector import checks

from apps.signature.tests.conftest import SIREN, Issuer, software
from apps.signature.tests.test_sameness import shown, sign
from apps.signature.tests.writers import ODDITIES, TITLE, WRITERS, Writer

CLAIRE = Person("Claire Dubois", SIREN)
ALL: dict[str, Writer] = {**WRITERS, **ODDITIES}


@pytest.fixture(params=ALL)
def brought(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A document as a program wrote it."""
    path = tmp_path / "acte.pdf"
    ALL[request.param](path)
    return path


def first_words(text: str) -> str:
    return " ".join(text.split())[: len(TITLE)]


def test_it_is_let_in_signed_sealed_and_checked(brought: Path, issuer: Issuer, tmp_path: Path) -> None:
    before, written = brought.read_bytes(), tmp_path / "ecrit.pdf"
    circuit = written if door.admit(brought, written) else brought
    assert structure.read(circuit).is_plain
    assert brought.read_bytes() == before  # what was brought is kept beside
    assert first_words(shown(circuit)) == TITLE
    signed, sealed = tmp_path / "signe.pdf", tmp_path / "scelle.pdf"
    asyncio.run(pades.sign(circuit, signed, software(issuer, issuer.person())))
    asyncio.run(pades.seal(signed, sealed, software(issuer, issuer.person()), LocalUnit(issuer.tsa()), issuer.trust))
    assert asyncio.run(check_pdf(signed, CLAIRE, issuer.trust, circuit)).holder == "Claire Dubois"
    assert asyncio.run(check_pdf(sealed, CLAIRE, issuer.trust, circuit)).holder == "Claire Dubois"
    assert "Signature is Valid" in subprocess.run(["pdfsig", sealed], capture_output=True, text=True, check=True).stdout
    for path in (circuit, sealed):
        assert checks.check_pdf(path) is None


def test_the_connector_takes_it(brought: Path) -> None:
    assert checks.check_pdf(brought) is None
    assert checks.check_annex(brought) is None


def test_it_is_published(brought: Path) -> None:
    data = brought.read_bytes()
    assert hidden.is_pdf(data)
    copy = hidden.cleaned(data)
    assert not hidden.revealed(copy)
    (path := brought.with_name("publie.pdf")).write_bytes(copy)
    assert first_words(shown(path)) == TITLE
    assert len(pypdf.PdfReader(path).pages) == len(pypdf.PdfReader(brought).pages)


def test_signed_elsewhere_it_is_never_accused(brought: Path, issuer: Issuer) -> None:
    """Its signature counts, or the file cannot be read here: nobody says that it was altered."""
    ended = brought.with_name("fini.pdf")
    ended.write_bytes(brought.read_bytes() + b"\n")
    try:
        path = sign(issuer, ended)
    except Exception as error:  # the other program does not read it either
        pytest.skip(f"ce programme ne signe pas ce fichier ({type(error).__name__})")
    try:
        assert asyncio.run(check_pdf(path, CLAIRE, issuer.trust)).holder == "Claire Dubois"
    except DocumentRefusedError as refusal:
        assert "À faire : " in str(refusal)
        assert not any(word in str(refusal) for word in ("modifi", "fauss", "altér"))


@pytest.mark.parametrize("name", ["Word", "Excel, many pages", "weasyprint, PDF/A-3 with a file", "cairo"])
def test_signed_elsewhere_it_counts(name: str, tmp_path: Path, issuer: Issuer) -> None:
    ALL[name](tmp_path / "acte.pdf")
    (tmp_path / "fini.pdf").write_bytes((tmp_path / "acte.pdf").read_bytes() + b"\n")
    path = sign(issuer, tmp_path / "fini.pdf")
    assert asyncio.run(check_pdf(path, CLAIRE, issuer.trust, tmp_path / "acte.pdf")).holder == "Claire Dubois"
    with open_pdf(path) as (_stream, reader):
        assert len(reader.embedded_regular_signatures) == 1
