"""What comes from outside is kept under what it is."""

from __future__ import annotations

import io
import zipfile

import pytest
from tdt_connector.kinds import suffix


def package(*names: str, first: bytes = b"") -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        if first:
            archive.writestr("mimetype", first)
        for name in names:
            archive.writestr(name, "x")
    return made.getvalue()


KINDS = {
    "a PDF": (b"%PDF-1.7\n", "pdf"),
    "a PDF after blanks": (b"\r\n\r\n%PDF-1.4\n", "pdf"),
    "a PDF after its byte order mark": (b"\xef\xbb\xbf%PDF-1.4\n", "pdf"),
    "a PDF after NULs": (b"\0\0%PDF-1.4", "pdf"),
    "a PDF after a printer's line": (b"\x1b%-12345X@PJL\r\n%PDF-1.4", "pdf"),
    "XML": (b'<?xml version="1.0"?><a/>', "xml"),
    "XML after its byte order mark": (b'\xef\xbb\xbf<?xml version="1.0"?><a/>', "xml"),
    "XML without a declaration": (b"\n<actes:ARActe xmlns:actes='u'/>", "xml"),
    "a PES Retour": (b'<?xml version="1.0" encoding="ISO-8859-1"?>\n<n:PES_Retour>\xe9', "xml"),
    "HTML": (b"<!DOCTYPE HTML PUBLIC>\n<html>", "html"),
    "HTML in capitals": (b"\n<HTML><BODY>", "html"),
    "XHTML": (b'<?xml version="1.0"?>\n<!DOCTYPE html PUBLIC "x"><html>', "html"),
    "HTML after a comment": (b"<!-- 503 -->\n<html lang='fr'>", "html"),
    "HTML after comments": (b"<!-- a --> <!-- b --><!-- c -->\n<!DOCTYPE html>", "html"),
    "comments without end": (b"<!---->" * 140 + b"x", "bin"),
    "comments before XML": (b"<?xml version='1.0'?>" + b"<!--a-->\n" * 100 + b"<actes/>", "xml"),
    "a page of an error": (b"<p>Service indisponible</p>", "html"),
    "a zip": (package("a.pdf"), "zip"),
    "a zip cut short": (package("a.pdf")[:40], "zip"),
    "a letter of Word": (package("[Content_Types].xml", "word/document.xml"), "docx"),
    "a table of Excel": (package("[Content_Types].xml", "xl/workbook.xml"), "xlsx"),
    "a letter of LibreOffice": (package(first=b"application/vnd.oasis.opendocument.text"), "odt"),
    "an old letter of Word": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "doc"),
    "a picture": (b"\xff\xd8\xff\xe0", "jpg"),
    "an archive": (b"\x1f\x8b\x08", "tar.gz"),
    "nothing": (b"", "bin"),
    "text": (b"Monsieur le maire, a < b", "bin"),
    "less than": (b"< 3", "bin"),
    "noise": (bytes(range(256)), "bin"),
}


@pytest.mark.parametrize("case", KINDS)
def test_a_document_is_what_its_content_says(case: str) -> None:
    content, wanted = KINDS[case]
    assert suffix(content) == wanted
