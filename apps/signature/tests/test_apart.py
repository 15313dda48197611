"""Signatures whose key is elsewhere, judged by pdfsig, xmlsec1 and pyHanko, and by our own check, as a token's."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from asn1crypto import cms
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from pyhanko.pdf_utils import generic
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.ades.report import AdESPassed
from signature_actes import apart, pades, pes, receive, xades
from signature_actes.check import check_pdf
from signature_actes.person import Person
from signature_actes.refusal import DocumentRefusedError

from apps.signature.tests.conftest import PEM, SIREN, Issuer, Pair, rsa_key, software
from apps.signature.tests.test_judges import basic
from apps.signature.tests.test_pades import openssl_verifies, pdfsig
from apps.signature.tests.test_pes import PLACE, checked, flow, xmlsec1_verifies

CLAIRE = Person("Claire Dubois", SIREN)
Who = Callable[[Issuer], Pair]


def by_rsa(issuer: Issuer) -> Pair:
    return issuer.person()


def by_ecdsa(issuer: Issuer) -> Pair:
    return issuer.person(key=ec.generate_private_key(ec.SECP256R1()))


def texts(issuer: Issuer, pair: Pair) -> list[str]:
    """What the program at the PC sends: its certificate, and others in any order, itself again."""
    stranger = x509.load_pem_x509_certificate((issuer.folder / "root.pem").read_bytes())
    above = [stranger, issuer.issuing[0], pair[0]]
    return [one.public_bytes(PEM).decode() for one in (pair[0], *above)]


def key_signs(pair: Pair, data: bytes) -> bytes:
    """What a key does, whichever it is."""
    key = pair[1]
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(data, padding.PKCS1v15(), SHA256())
    return key.sign(data, ec.ECDSA(SHA256()))


def prepared(issuer: Issuer, pair: Pair, document: Path) -> apart.PendingDocument:
    """What waits, as it was kept and read again."""
    chain = apart.read_chain(texts(issuer, pair))
    return apart.PendingDocument.load(apart.prepare(document, chain, PLACE).dump())


def signed(issuer: Issuer, pair: Pair, document: Path) -> Path:
    waiting = prepared(issuer, pair, document)
    target = document.with_name(f"signe{document.suffix}")
    apart.finish(document, target, waiting, [key_signs(pair, one) for one in waiting.to_sign])
    return target


@pytest.mark.parametrize("who", [by_rsa, by_ecdsa])
def test_a_pdf_is_signed_as_the_token_does(issuer: Issuer, act: Path, tmp_path: Path, who: Who) -> None:
    pair = who(issuer)
    target = signed(issuer, pair, act)
    assert target.read_bytes().startswith(act.read_bytes())
    [seen] = pdfsig(issuer, target)
    assert seen["Signature Validation"] == "Signature is Valid."
    assert seen["Certificate Validation"] == "Certificate is Trusted."
    openssl_verifies(issuer, target, tmp_path)
    judged = basic(target.read_bytes(), issuer.trust)
    assert judged.ades_subindic is AdESPassed.OK, judged.failure_msg
    assert asyncio.run(check_pdf(target, CLAIRE, issuer.trust, act)).holder == "Claire Dubois"
    token = act.with_name("jeton.pdf")
    asyncio.run(pades.sign(act, token, software(issuer, pair)))
    assert told(target) == told(token)


def told(path: Path) -> tuple[Any, ...]:
    """What a signature says: its field's dictionary, attributes, certificates, algorithms."""
    with path.open("rb") as stream:
        [one] = PdfFileReader(stream).embedded_regular_signatures
        info = one.signer_info
        return (
            {key: value for key, value in one.sig_object.items() if key not in ("/Contents", "/ByteRange", "/M")},
            sorted(attribute["type"].native for attribute in info["signed_attrs"]),
            sorted(certificate.dump() for certificate in [one.signer_cert, *one.other_embedded_certs])[-2:],
            info["signature_algorithm"].native,
            info["digest_algorithm"].native,
        )


def test_what_the_key_of_a_pdf_signs_is_what_the_program_takes(issuer: Issuer, act: Path) -> None:
    pair = by_rsa(issuer)
    [data] = prepared(issuer, pair, act).to_sign
    attributes = {one["type"].native: one["values"] for one in cms.CMSAttributes.load(data, strict=True)}
    assert attributes["content_type"].native == ["data"]
    assert len(attributes["message_digest"].native[0]) == 32
    [known] = attributes["signing_certificate_v2"][0]["certs"]
    assert known["cert_hash"].native == pair[0].fingerprint(SHA256())


@pytest.mark.parametrize("who", [by_rsa, by_ecdsa])
@pytest.mark.parametrize("options", [{"slips": ("B1", "B2")}, {"slips": ("",), "root": "F1"}])
def test_a_flow_is_signed_as_the_token_does(issuer: Issuer, tmp_path: Path, who: Who, options: dict[str, Any]) -> None:
    source = flow(tmp_path, **options)
    pair = who(issuer)
    waiting = prepared(issuer, pair, source)
    assert all(one.startswith(b"<ds:SignedInfo ") for one in waiting.to_sign)
    assert all(f'Type="{xades.XADES}SignedProperties"'.encode() in one for one in waiting.to_sign)
    target = signed(issuer, pair, source)
    xmlsec1_verifies(issuer, target)
    assert checked(issuer, target, source) == "Claire Dubois"


def documents(act: Path, tmp_path: Path) -> list[Path]:
    return [act, flow(tmp_path)]


def test_a_signature_of_something_else_or_of_another_key_is_refused(issuer: Issuer, act: Path, tmp_path: Path) -> None:
    pair, other = by_rsa(issuer), by_rsa(issuer)
    assert rsa_key(issuer.folder.name, 0) is not rsa_key(issuer.folder.name, 1)
    for document in documents(act, tmp_path):
        waiting = prepared(issuer, pair, document)
        again = prepared(issuer, pair, document)
        right = [key_signs(pair, one) for one in waiting.to_sign]
        wrong = [
            [key_signs(other, one) for one in waiting.to_sign],
            [key_signs(pair, one + b" ") for one in waiting.to_sign],
            [one[:-1] for one in right],
            [b"" for _one in right],
            right[:-1],
            [*right, right[0]],
        ]
        if again.to_sign != waiting.to_sign:  # another lot's: the same document, prepared another time
            wrong.append([key_signs(pair, one) for one in again.to_sign])
        for signatures in wrong:
            with pytest.raises(
                DocumentRefusedError, match="elle n'est pas de ce document, ou pas de la clé de Claire Dubois"
            ):
                apart.finish(document, tmp_path / "faux", waiting, signatures)
            assert not (tmp_path / "faux").exists()


def test_a_signature_of_another_lot_is_refused(issuer: Issuer, act: Path) -> None:
    """Each time a PDF is prepared, it is another document: what one lot's key signed is of no other."""
    pair = by_rsa(issuer)
    first, second = prepared(issuer, pair, act), prepared(issuer, pair, act)
    assert first.to_sign != second.to_sign


def test_a_document_that_changed_is_refused(issuer: Issuer, act: Path, tmp_path: Path) -> None:
    pair = by_rsa(issuer)
    for document in documents(act, tmp_path):
        waiting = prepared(issuer, pair, document)
        document.write_bytes(document.read_bytes() + b"\n")
        with pytest.raises(DocumentRefusedError, match="ce n'est plus le document qui a été préparé"):
            apart.finish(document, tmp_path / "faux", waiting, [key_signs(pair, one) for one in waiting.to_sign])


def test_only_keys_of_people_s_certificates_are_asked(issuer: Issuer) -> None:
    weak = rsa.generate_private_key(65537, 1024)  # noqa: S505 - it is refused
    small = issuer.person(key=weak)
    with pytest.raises(DocumentRefusedError, match="n'est pas d'un type admis"):
        apart.read_chain(texts(issuer, small))
    for odd in ([], [""], ["é"], ["-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]):
        with pytest.raises(DocumentRefusedError, match="aucun certificat ne se lit"):
            apart.read_chain(odd)
    pair = by_rsa(issuer)
    assert len(apart.read_chain(texts(issuer, pair))) == 3  # itself once, and what is above


@pytest.mark.parametrize("where", ["catalogue", "page"])
def test_what_waits_is_small_whatever_the_document(issuer: Issuer, act: Path, where: str) -> None:
    """What a signature changes is written again below it, however large: it would be the memory of who keeps it."""
    pair = by_rsa(issuer)
    assert len(prepared(issuer, pair, act).dump()) < 200_000
    heavy = act.with_name("lourd.pdf")
    with act.open("rb") as stream:
        writer = IncrementalPdfFileWriter(stream)
        changed = writer.root if where == "catalogue" else writer.root["/Pages"]["/Kids"][0]
        changed["/PieceInfo"] = generic.pdf_string("x" * 3_000_000)
        writer.update_container(changed)
        with heavy.open("wb") as output:
            writer.write(output)
    with pytest.raises(DocumentRefusedError, match=r"sa signature pèserait [36]\.0 Mo"):
        prepared(issuer, pair, heavy)


def config(issuer: Issuer) -> dict[str, Any]:
    return {"signataires": {"autorites": [str(issuer.folder / "ca.pem")], "crl": [str(issuer.folder / "crl.pem")]}}


def ask(issuer: Issuer, what: str, document: bytes, beside: dict[str, Any], person: str = "Claire Dubois") -> Any:
    """One request, as the application makes it: the answer, and what follows."""
    more = json.dumps(beside).encode()
    people = [{"nom": person, "siren": SIREN}]
    request = {"nom": "acte", "apart": what, "signataires": people, "origine": len(document), "signe": len(more)}
    output = io.BytesIO()
    receive.answer(io.BytesIO(json.dumps(request).encode() + b"\n" + document + more), output, config(issuer))
    line, _newline, rest = output.getvalue().partition(b"\n")
    return json.loads(line), rest


WHERE = {"commune": "Gondecourt", "code_postal": "59147"}


def test_the_service_prepares_for_who_is_expected_and_finishes(issuer: Issuer, act: Path, tmp_path: Path) -> None:
    pair = by_rsa(issuer)
    asked = {"certificats": texts(issuer, pair), "lieu": WHERE}
    for document in documents(act, tmp_path):
        content = document.read_bytes()
        told, waiting = ask(issuer, "preparer", content, asked)
        assert told == {"taille": len(waiting)}
        kept = json.loads(waiting)
        values = [base64.b64encode(key_signs(pair, base64.b64decode(one))).decode() for one in kept["a_signer"]]
        told, made = ask(issuer, "terminer", content, {"attente": kept, "signatures": values})
        assert told == {"taille": len(made)}
        target = tmp_path / f"fini{document.suffix}"
        target.write_bytes(made)
        judge: Any = pes.check if document.suffix == ".xml" else check_pdf
        assert asyncio.run(judge(target, CLAIRE, issuer.trust, document)).holder == "Claire Dubois"
        told, _rest = ask(issuer, "terminer", content + b" ", {"attente": kept, "signatures": values})
        assert "ce n'est plus le document" in told["refus"]


def test_the_service_prepares_for_nobody_else(issuer: Issuer, act: Path, tmp_path: Path) -> None:
    pair = by_rsa(issuer)
    asked = {"certificats": texts(issuer, pair), "lieu": WHERE}
    told, rest = ask(issuer, "preparer", act.read_bytes(), asked, "Anne Bertrand")
    assert rest == b""
    assert told["refus"].startswith("signé par Claire Dubois : c'est la signature de Anne Bertrand qui est attendue")
    other = Issuer("d'un autre", tmp_path / "autre")
    told, _rest = ask(other, "preparer", act.read_bytes(), asked)
    assert "ne vient pas d'une autorité admise" in told["refus"]
    issuer.revoked.append(pair[0])
    issuer.write_crls()
    told, _rest = ask(issuer, "preparer", act.read_bytes(), asked)
    assert "est révoqué depuis" in told["refus"]
    told, _rest = ask(issuer, "preparer", b"%PDF-1.7\nrien", asked | {"certificats": ["?"]})
    assert "aucun certificat ne se lit" in told["refus"]
