"""Documents: PDF and PES at the door of the parapheur and of signer-acte, files of the deliberations' site."""

from __future__ import annotations

import asyncio
import io
import zipfile
from pathlib import Path

import pytest
from creatic.deliberations import hidden, pieces
from hypothesis import given
from hypothesis import strategies as st
from reportlab.pdfgen import canvas
from signature_actes import door, files, pes, qualified
from signature_actes.check import check_pdf
from signature_actes.person import Person
from signature_actes.refusal import DocumentRefusedError

from apps.signature.tests.conftest import SIREN, Issuer
from apps.signature.tests.test_sameness import sign
from testbed import helios
from testbed.sae import PDF, old_pdf
from tests.fuzz import spoilt as words
from tests.fuzz.spoilt import refuses, spoilt
from tests.fuzz.test_archive import scratch


def printed(compress: int) -> bytes:
    buffer = io.BytesIO()
    page = canvas.Canvas(buffer, pageCompression=compress)
    page.setAuthor("Secrétariat")
    page.drawString(100, 700, "Délibération 2026-11-05 : budget primitif")
    page.showPage()
    page.drawString(100, 700, "page 2")
    page.save()
    return buffer.getvalue()


def office(name: str, text: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("[Content_Types].xml", "<Types/>")
        made.writestr(name, text)
        made.writestr("docProps/core.xml", "<cp:x><dc:creator>Karim Roux</dc:creator></cp:x>")
    return buffer.getvalue()


DOCUMENTS = [printed(0), printed(1), PDF, old_pdf("page 1", "page 2")]


def opened(path: Path) -> None:
    with files.open_pdf(path):
        pass


@given(content=spoilt(DOCUMENTS, words.PDF))
def test_documents_at_the_door(content: bytes) -> None:
    with scratch() as folder:
        path = folder / "acte.pdf"
        path.write_bytes(content)
        refuses(lambda: opened(path), DocumentRefusedError)
        refuses(lambda: asyncio.run(qualified.signatures(path)), DocumentRefusedError)
        refuses(lambda: door.admit(path, folder / "admis.pdf"), DocumentRefusedError)


@given(content=spoilt([helios.flow(root="F1"), helios.flow(pj="AAAA")], words.XML))
def test_flows_to_be_signed(content: bytes) -> None:
    with scratch() as folder:
        path = folder / "flux.xml"
        path.write_bytes(content)
        refuses(lambda: pes.unsigned(path), DocumentRefusedError)


OFFICE = [
    office("word/comments.xml", b'<w:comment w:author="Karim Roux"/>'),
    office("content.xml", b"<text:tracked-changes><dc:creator>A B</dc:creator></text:tracked-changes>"),
]


@given(content=spoilt([*DOCUMENTS, *OFFICE], words.PDF))
def test_files_of_the_site(content: bytes) -> None:
    refuses(lambda: hidden.revealed(content), hidden.UnfitDocumentError)
    refuses(lambda: hidden.for_everybody(content), hidden.UnfitDocumentError)
    refuses(lambda: hidden.occulted(DOCUMENTS[0], content), hidden.UnfitDocumentError)
    refuses(lambda: pieces.judged(content))


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Issuer, bytes]:
    """The first document, signed by another program, and whose authority signed it."""
    folder = tmp_path_factory.mktemp("circuit")
    issuer = Issuer("du prestataire", folder / "prestataire")
    (folder / "acte.pdf").write_bytes(DOCUMENTS[0])
    return issuer, sign(issuer, folder / "acte.pdf").read_bytes()


@given(data=st.data())
def test_signed_documents_that_come_back(data: st.DataObject, signed: tuple[Issuer, bytes]) -> None:
    """To the circuit, beside the document that was given to sign."""
    issuer, good = signed
    who = Person("Claire Dubois", SIREN)
    with scratch() as folder:
        given_to_sign, back = folder / "acte.pdf", folder / "signe.pdf"
        given_to_sign.write_bytes(DOCUMENTS[0])
        back.write_bytes(data.draw(spoilt([good, *DOCUMENTS], (*words.PDF, *words.DER))))
        refuses(lambda: asyncio.run(check_pdf(back, who, issuer.trust, given_to_sign)), DocumentRefusedError)
        refuses(lambda: asyncio.run(check_pdf(back, who, issuer.trust)), DocumentRefusedError)
