"""What other programs add after a signature to prove it for longer: /DSS in all its shapes, and timestamps."""

from __future__ import annotations

import asyncio
import hashlib
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.fields import MDPPerm
from pyhanko.sign.signers import PdfTimeStamper
from signature_actes import pades
from signature_actes.check import check_pdf
from signature_actes.person import Person
from signature_actes.refusal import DocumentRefusedError
from signature_actes.stamp import LocalUnit

from apps.signature.tests.conftest import SIREN, Issuer, software
from apps.signature.tests.test_sameness import appended, text
from apps.signature.tests.test_structure import number_of, size_of, with_keys
from apps.signature.tests.test_words import signed

CLAIRE = Person("Claire Dubois", SIREN)


def proof(issuer: Issuer) -> bytes:
    content = zlib.compress(issuer.issuing[0].public_bytes(serialization.Encoding.DER))
    return b"<</Filter/FlateDecode/Length %d>>stream\r\n%s\r\nendstream" % (len(content), content)


def name_of(path: Path) -> bytes:
    """Of a signature among the proofs: its digest."""
    with path.open("rb") as stream:
        last = PdfFileReader(stream).embedded_regular_signatures[-1]
        return hashlib.sha1(last.pkcs7_content).hexdigest().encode()  # noqa: S324 - ISO 32000-2, 12.8.4.4


Shape = Callable[[int, bytes], dict[int, bytes]]
# From a free number, which a certificate has, and the signature's name: the store's objects, itself first.
SHAPES: dict[str, Shape] = {
    "Acrobat": lambda free, name: {
        free + 1: b"<</Certs %d 0 R/VRI %d 0 R>>" % (free + 2, free + 3),
        free + 2: b"[%d 0 R]" % free,
        free + 3: b"<</%s %d 0 R>>" % (name.upper(), free + 4),
        free + 4: b"<</Cert %d 0 R>>" % (free + 2),
    },
    "DocuSign": lambda free, name: {
        free + 1: b"<</Type/DSS/Certs[%d 0 R]/CRLs[]/OCSPs[]/VRI<</%s<</Type/VRI/Cert[%d 0 R]/CRL[]/OCSP[]"
        b"/TU(D:20261201120000Z)>>>>>>" % (free, name.upper(), free),
    },
    "in small letters": lambda free, name: {
        free + 1: b"<</Certs[%d 0 R]/VRI<</%s<</Cert[%d 0 R]>>>>>>" % (free, name.lower(), free)
    },
    "with the time's proof": lambda free, name: {
        free + 1: b"<</Certs[%d 0 R]/VRI<</%s<</Cert[%d 0 R]/TS %d 0 R>>>>>>" % (free, name.upper(), free, free)
    },
    "without names": lambda free, _name: {free + 1: b"<</Certs[%d 0 R]>>" % free},
}  # fmt: skip # a table


def proven(issuer: Issuer, source: Path, shape: str, more: dict[int, bytes] | None = None, keys: bytes = b"") -> Path:
    free = size_of(source)
    catalog = with_keys(source, "catalog", b"/DSS %d 0 R%s" % (free + 1, keys))
    objects = {**catalog, free: proof(issuer), **SHAPES[shape](free, name_of(source)), **(more or {})}
    return appended(source, source.with_name("prouve.pdf"), objects)


def stamped(issuer: Issuer, source: Path) -> Path:
    target = source.with_name("date.pdf")
    with source.open("rb") as stream, target.open("wb") as output:
        stamper = PdfTimeStamper(LocalUnit(issuer.tsa()))
        asyncio.run(stamper.async_timestamp_pdf(IncrementalPdfFileWriter(stream), "sha256", output=output))
    return target


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("certified", [False, True])
def test_proofs_and_timestamps_change_nothing(issuer: Issuer, act: Path, shape: str, certified: bool) -> None:
    options: dict[str, Any] = {"certify": True, "docmdp_permissions": MDPPerm.NO_CHANGES} if certified else {}
    first = signed(issuer, act, **options)
    for path in (proven(issuer, first, shape), stamped(issuer, proven(issuer, first, shape))):
        for original in (None, act, first):
            assert asyncio.run(check_pdf(path, CLAIRE, issuer.trust, original)).holder == "Claire Dubois"
    if not certified:
        last = act.with_name("seconde.pdf")
        asyncio.run(pades.sign(path, last, software(issuer, issuer.person())))
        assert asyncio.run(check_pdf(last, CLAIRE, issuer.trust, path)).holder == "Claire Dubois"


def told(issuer: Issuer, path: Path) -> str:
    with pytest.raises(DocumentRefusedError) as refused:
        asyncio.run(check_pdf(path, CLAIRE, issuer.trust))
    return str(refused.value)


@pytest.mark.parametrize("shape", ["Acrobat", "in small letters"])
def test_what_comes_along_with_proofs_is_seen(issuer: Issuer, act: Path, shape: str) -> None:
    first = signed(issuer, act)
    text_of_another = {number_of(first, "content"): text("Autre texte")}
    assert "modifié après la signature" in told(issuer, proven(issuer, first, shape, text_of_another))
    assert "modifié après la signature" in told(issuer, proven(issuer, first, shape, keys=b"/OpenAction [null /Fit]"))
    note = with_keys(first, "page", b"/UserUnit 2")
    assert "modifié après la signature" in told(issuer, proven(issuer, first, shape, note))
    # Another person below, in proofs that pyHanko does not know, is no timestamp.
    other = act.with_name("autre.pdf")
    asyncio.run(pades.sign(proven(issuer, first, shape), other, software(issuer, issuer.person("Karim Lefèvre"))))
    assert "signe en dernier" in told(issuer, other)
