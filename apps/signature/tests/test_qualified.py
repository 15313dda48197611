"""A supplier's signature, judged by small trusted lists of the EU, with real keys."""

from __future__ import annotations

import asyncio
import base64
import datetime as dt
import hashlib
import io
import json
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.cdg59.creatic.plugins.module_utils.pki import trusted_lists
from asn1crypto import x509 as asn1_x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding
from lxml import etree
from pyhanko.pdf_utils import generic
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.sign import signers
from pyhanko.sign.fields import MDPPerm
from signature_actes import pades, receive, structure

from testbed import trusted_lists as made
from testbed.authority import carrying

from .conftest import PEM, Issuer, private_pem, run, software
from .test_sameness import appended, stream_of
from .test_structure import size_of
from .writers import word

NOW = dt.datetime.now(dt.UTC)
EU, BE = made.authority("EU", ca=False), made.authority("BE", ca=False)
QUALIFIED, PLAIN = made.authority("Qualifiée"), made.authority("Ordinaire")
DAY = dt.timedelta(days=1)


@dataclass
class Place:
    """The service's files, and a contract."""

    folder: Path
    issuer: Issuer
    act: Path
    config: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.lists()
        self.revoke()
        own = {"autorites": [str(self.issuer.folder / "ca.pem")], "crl": [str(self.issuer.folder / "crl.pem")]}
        suppliers = {"listes": str(self.folder / "confiance.json"), "crl": [str(self.folder / "crl.pem")]}
        self.config |= {"signataires": own, "fournisseurs": suppliers}

    def lists(self, **options: Any) -> None:
        named = [("BE", "https://be.test", [BE[0]])]
        docs = {
            "https://eu.test": made.lotl(EU, named, **options),
            "https://be.test": made.national(BE, "BE", [QUALIFIED[0]]),
        }
        pinned = [asn1_x509.Certificate.load(EU[0].public_bytes(Encoding.DER))]
        trusted_lists.refresh(self.folder, "https://eu.test", pinned, docs.__getitem__, NOW)

    def revoke(self, *revoked: Any) -> None:
        (self.folder / "crl.pem").write_bytes(made.revocations(QUALIFIED, *revoked))

    def sign(self, pair: Any, source: Path | None = None, issuer: Any = None) -> bytes:
        target = self.folder / "signe.pdf"
        target.unlink(missing_ok=True)
        asyncio.run(pades.sign(source or self.act, target, software(issuer or self.issuer, pair)))
        return target.read_bytes()

    def detach(self, pair: Any, *more: Any) -> bytes:
        files = {"cert": pair[0].public_bytes(PEM), "key": private_pem(pair[1])}
        for name, content in files.items():
            (self.folder / name).write_bytes(content)
        subprocess.run(
            ["openssl", "cms", "-sign", "-binary", "-cades", "-outform", "DER", "-in", self.act, "-out",
             self.folder / "p7s", "-signer", self.folder / "cert", "-inkey", self.folder / "key", *more],
            check=True, capture_output=True,
        )  # fmt: skip # one call by its parts
        return (self.folder / "p7s").read_bytes()

    @staticmethod
    def armor(signature: bytes, kind: str) -> bytes:
        return f"-----BEGIN {kind}-----\n{base64.encodebytes(signature).decode()}-----END {kind}-----\n".encode()

    def ask(self, wish: str, original: bytes, signed: bytes = b"", people: Any = (), name: str = "contrat.pdf") -> Any:
        request = {
            "nom": name, "signataires": list(people), "origine": len(original), "signe": len(signed), "contrat": wish,
        }  # fmt: skip # a table
        output = io.BytesIO()
        receive.answer(io.BytesIO(json.dumps(request).encode() + b"\n" + original + signed), output, self.config)
        return json.loads(output.getvalue().partition(b"\n")[0])


@pytest.fixture
def place(tmp_path: Path, issuer: Issuer, act: Path) -> Place:
    return Place(tmp_path / "fournisseurs", issuer, act)


@pytest.fixture(scope="module")
def supplier() -> made.Pair:
    return made.person("Jan Peeters", QUALIFIED)


def test_a_contract_comes_signed_by_a_qualified_certificate(place: Place, supplier: made.Pair) -> None:
    told = place.ask("document", place.sign(supplier))
    serial = f"{supplier[0].serial_number:X}"
    assert told["fournisseurs"] == [{"nom": "Jan Peeters", "serie": serial, "emetteur": "Qualifiée"}]
    assert told["listes"].startswith("liste des listes n° 300 du ")
    assert place.ask("document", place.act.read_bytes()) == {"taille": 0, "fournisseurs": [], "listes": ""}


def test_a_library_that_signs_says_its_name(place: Place, supplier: made.Pair) -> None:
    """iText does, in each revision that it appends, before the place of its table: it is in many a signed contract."""
    made_by = place.folder / "itext.pdf"
    appended(place.act, made_by, {size_of(place.act): stream_of(b"0123456789")})
    head, mark, tail = made_by.read_bytes().rpartition(b"startxref")
    for said in (b"%iText-5.5.13.1\n", b"%iText-Core-8.0.2 (AGPL version) 2000-2024\r\n%iText-pdfHTML-5.0.2\n"):
        made_by.write_bytes(head + said + mark + tail)
        assert [one["nom"] for one in place.ask("document", place.sign(supplier, made_by))["fournisseurs"]]
    for said in (b"%\x9b31m\n", b"% 9 0 obj\n", b"%startxref 9\n", b"%" + b"x" * 500 + b"\n"):
        made_by.write_bytes(head + said + mark + tail)
        with pytest.raises(structure.AmbiguousStructureError, match="commentaire"):
            structure.read(made_by)


def test_a_supplier_signs_after_the_maire(place: Place, supplier: made.Pair) -> None:
    signed = place.folder / "maire.pdf"
    signed.write_bytes(place.sign(place.issuer.person()))
    told = place.ask("contresignature", signed.read_bytes(), place.sign(supplier, signed))
    assert [one["nom"] for one in told["fournisseurs"]] == ["Jan Peeters"]
    other = place.sign(supplier)
    assert "ce n'est pas le document du circuit" in place.ask("contresignature", signed.read_bytes(), other)["refus"]
    alone = place.ask("contresignature", signed.read_bytes(), signed.read_bytes())["refus"]
    assert alone == "contrat.pdf : le document n'est pas signé par le fournisseur"


def locks(place: Place, pair: made.Pair, source: bytes) -> bytes:
    """Signed so that nobody may sign below (« Certifier », no changes)."""
    described = signers.PdfSignatureMetadata(
        field_name="Fournisseur", certify=True, docmdp_permissions=MDPPerm.NO_CHANGES
    )
    output, writer = io.BytesIO(), IncrementalPdfFileWriter(io.BytesIO(source))
    asyncio.run(signers.PdfSigner(described, software(place.issuer, pair)).async_sign_pdf(writer, output=output))
    return output.getvalue()


def test_a_supplier_who_locks_the_contract_is_told_unless_nobody_signs_below(place: Place, supplier: made.Pair) -> None:
    locked = locks(place, supplier, place.act.read_bytes())
    assert "Jan Peeters a certifié ou verrouillé ce document" in place.ask("document", locked)["refus"]
    told = place.ask("contresignature", place.act.read_bytes(), locked)
    assert [one["nom"] for one in told["fournisseurs"]] == ["Jan Peeters"]


def test_a_contract_that_word_saved_is_written_again_at_the_door(place: Place, tmp_path: Path) -> None:
    """One whose two tables differ too: nobody signed it."""
    one = word(tmp_path / "un.pdf")
    two = word(tmp_path / "deux.pdf", second=lambda entries: entries.update({4: entries[6]}))
    for content in (one.read_bytes(), two.read_bytes()):
        assert place.ask("document", content) == {"taille": 0, "fournisseurs": [], "listes": ""}


def test_a_detached_signature_is_of_the_dossier_s_document(place: Place, supplier: made.Pair) -> None:
    signature, document = place.detach(supplier), place.act.read_bytes()
    told = place.ask("contresignature", document, signature, name="contrat.p7s")
    assert [one["nom"] for one in told["fournisseurs"]] == ["Jan Peeters"]
    changed = place.ask("contresignature", document + b"\n", signature)["refus"]
    assert "ce n'est pas le document du dossier qui est signé" in changed
    assert "ce n'est pas une signature CMS" in place.ask("contresignature", document, b"0" * 40)["refus"]
    assert "ce n'est pas une signature CMS" in place.ask("contresignature", document, signature[:900])["refus"]
    more = ("-signer", place.folder / "cert", "-inkey", place.folder / "key")
    assert "d'une seule" in place.ask("contresignature", document, place.detach(supplier, *more))["refus"]


def test_a_detached_signature_may_be_armored(place: Place, supplier: made.Pair) -> None:
    document = place.act.read_bytes()
    for kind in ("CMS", "PKCS7"):
        armored = place.armor(place.detach(supplier), kind)
        for content in (armored, b"\n" + armored, armored.replace(b"\n", b"\r\n")):
            told = place.ask("contresignature", document, content, name="contrat.p7s")
            assert [one["nom"] for one in told["fournisseurs"]] == ["Jan Peeters"], told
    assert "ce n'est pas le document du dossier qui est signé" in place.ask("contresignature", b"x", armored)["refus"]
    assert "d'une seule" in place.ask("contresignature", document, armored + armored)["refus"]
    certificate = supplier[0].public_bytes(PEM)
    told = place.ask("contresignature", document, certificate)["refus"]
    assert "« CERTIFICATE »" in told and "ce n'est pas une signature CMS" in told and "À faire : " in told
    for broken in (armored[:300], b"-----BEGIN CMS-----\n", b"-----BEGIN CMS-----\nAA\n-----END CMS-----\n"):
        assert "ce n'est pas une signature CMS" in place.ask("contresignature", document, broken)["refus"]


def test_what_a_detached_cms_is_refused_for_is_told(place: Place, supplier: made.Pair) -> None:
    document = place.act.read_bytes()
    attached = place.detach(supplier, "-nodetach")
    assert b"%PDF-" in attached[:1024]
    for content in (attached, place.armor(attached, "CMS")):
        assert "elle n'est pas détachée. À faire : " in place.ask("contresignature", document, content)["refus"]
    old = place.ask("contresignature", document, place.detach(supplier, "-md", "sha1"))["refus"]
    assert "son algorithme n'est pas admis. À faire : " in old and "modifié" not in old
    changed = bytearray(place.detach(supplier))
    changed[-5] ^= 1
    told = place.ask("contresignature", document, bytes(changed))["refus"]
    assert "la signature est abîmée ou fausse" in told and "À faire : " in told


XADES = "http://uri.etsi.org/01903/v1.3.2#"
MORE = "http://www.w3.org/2001/04/xmldsig-more#"


@dataclass
class Beside:
    """A detached XAdES signature, as the European Commission's DSS writes it (XAdES-BASELINE-B, one document)."""

    place: Place
    pair: Any
    method: str = f"{MORE}rsa-sha256"
    uri: str = 'URI="contrat.pdf"'
    more: str = ""  # references
    along: str = ""  # unsigned properties
    head: str = ""
    wrap: str = "{}"
    options: tuple[str, ...] = ("-sha256",)
    cert: Any = None

    def write(self) -> bytes:
        folder, der = self.place.folder, (self.cert or self.pair[0]).public_bytes(Encoding.DER)
        digests = {
            "document": hashlib.sha256(self.place.act.read_bytes()).digest(), "cert": hashlib.sha256(der).digest()
        }  # fmt: skip # a table
        told = {name: base64.b64encode(digest).decode() for name, digest in digests.items()}
        sha256 = '<ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"/>'
        exclusive = "http://www.w3.org/2001/10/xml-exc-c14n#"
        text = f"""<ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#" Id="id-1"><ds:SignedInfo>\
<ds:CanonicalizationMethod Algorithm="{exclusive}"/><ds:SignatureMethod Algorithm="{self.method}"/>\
<ds:Reference Id="r-id-1" {self.uri}>{sha256}<ds:DigestValue>{told["document"]}</ds:DigestValue></ds:Reference>\
<ds:Reference Type="http://uri.etsi.org/01903#SignedProperties" URI="#xades-id-1"><ds:Transforms>\
<ds:Transform Algorithm="{exclusive}"/></ds:Transforms>{sha256}<ds:DigestValue/></ds:Reference>{self.more}\
</ds:SignedInfo><ds:SignatureValue Id="value-id-1"/><ds:KeyInfo><ds:X509Data><ds:X509Certificate>\
{base64.b64encode(QUALIFIED[0].public_bytes(Encoding.DER)).decode()}</ds:X509Certificate><ds:X509Certificate>\
{base64.b64encode(der).decode()}</ds:X509Certificate></ds:X509Data></ds:KeyInfo><ds:Object>\
<xades:QualifyingProperties xmlns:xades="{XADES}" Target="#id-1"><xades:SignedProperties Id="xades-id-1">\
<xades:SignedSignatureProperties><xades:SigningTime>{NOW:%Y-%m-%dT%H:%M:%SZ}</xades:SigningTime>\
<xades:SigningCertificateV2><xades:Cert><xades:CertDigest>{sha256}<ds:DigestValue>{told["cert"]}</ds:DigestValue>\
</xades:CertDigest></xades:Cert></xades:SigningCertificateV2></xades:SignedSignatureProperties>\
<xades:SignedDataObjectProperties><xades:DataObjectFormat ObjectReference="#r-id-1"><xades:MimeType>application/pdf\
</xades:MimeType></xades:DataObjectFormat></xades:SignedDataObjectProperties></xades:SignedProperties>{self.along}\
</xades:QualifyingProperties></ds:Object></ds:Signature>"""
        tree: Any = etree.fromstring(self.wrap.format(text))
        signature = next(tree.iter("{*}Signature"))
        info, properties = signature[0], signature.find(".//{*}SignedProperties")
        canonical = etree.tostring(properties, method="c14n", exclusive=True, with_tail=False)
        info[3][-1].text = base64.b64encode(hashlib.sha256(canonical).digest()).decode()
        (folder / "info").write_bytes(etree.tostring(info, method="c14n", exclusive=True, with_tail=False))
        (folder / "key").write_bytes(private_pem(self.pair[1]))
        run("openssl", "dgst", *self.options, "-sign", folder / "key", "-out", folder / "value", folder / "info")
        value = (folder / "value").read_bytes()
        if isinstance(self.pair[1], ec.EllipticCurvePrivateKey):
            value = b"".join(one.to_bytes(32) for one in decode_dss_signature(value))
        signature[1].text = base64.b64encode(value).decode()
        declared = b'<?xml version="1.0" encoding="UTF-8" standalone="no"?>'
        return declared + self.head.encode() + etree.tostring(tree)

    def ask(self, content: bytes = b"", document: bytes = b"") -> Any:
        known = document or self.place.act.read_bytes()
        return self.place.ask("contresignature", known, content or self.write(), name="contrat.xml")


def xmlsec1_verifies(place: Place, content: bytes) -> None:
    if not shutil.which("xmlsec1"):
        pytest.skip("xmlsec1 is not installed")
    (place.folder / "beside.xml").write_bytes(content)
    (place.folder / "root.pem").write_bytes(QUALIFIED[0].public_bytes(PEM))
    (place.folder / "contrat.pdf").write_bytes(place.act.read_bytes())
    done = subprocess.run(
        ["xmlsec1", "--verify", "--id-attr:Id", f"{XADES}:SignedProperties", "--trusted-pem", "root.pem", "beside.xml"],
        cwd=place.folder, capture_output=True, text=True, check=False,
    )  # fmt: skip # one call by its parts
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_detached_xades_is_of_the_dossier_s_document(place: Place, supplier: made.Pair) -> None:
    """Arrêté of 22 March 2019: XAdES counts as well as CAdES and PAdES."""
    content = Beside(place, supplier).write()
    xmlsec1_verifies(place, content)
    for one in (content, b"\xef\xbb\xbf" + content, content.replace(b"?>", b"?>\n\n", 1)):
        told = Beside(place, supplier).ask(one)
        assert [one["nom"] for one in told["fournisseurs"]] == ["Jan Peeters"], told
    changed = Beside(place, supplier).ask(content, place.act.read_bytes() + b"\n")["refus"]
    assert "ce n'est pas le document du dossier qui est signé" in changed and "À faire : " in changed


@pytest.mark.parametrize(
    "changes",
    [
        {"method": f"{MORE}rsa-sha512", "options": ("-sha512",)},
        {
            "method": "http://www.w3.org/2007/05/xmldsig-more#sha256-rsa-MGF1",
            "options": ("-sha256", "-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:digest"),
        },
        {"uri": ""},
        {"uri": 'URI="Contrat%20sign%C3%A9.pdf"'},
        {"along": "<xades:UnsignedProperties><xades:UnsignedSignatureProperties/></xades:UnsignedProperties>"},
        {"wrap": "<Signatures>{}</Signatures>"},
    ],
)
def test_however_a_tool_writes_it_a_detached_xades_counts(
    place: Place, supplier: made.Pair, changes: dict[str, Any]
) -> None:
    told = Beside(place, supplier, **changes).ask()
    assert [one["nom"] for one in told.get("fournisseurs", [])] == ["Jan Peeters"], told


REFERENCE = (
    '<ds:Reference URI="{}"><ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"/>'
    "<ds:DigestValue>AAAA</ds:DigestValue></ds:Reference>"
)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"uri": 'URI=""'}, "elle signe ce qu'elle contient"),
        ({"uri": 'URI="#value-id-1"'}, "elle signe ce qu'elle contient"),
        ({"more": REFERENCE.format("plan.pdf")}, "elle signe 2 fichiers"),
        ({"more": REFERENCE.format("#value-id-1")}, "elle signe ce qu'elle contient"),
        ({"method": "http://www.w3.org/2000/09/xmldsig#rsa-sha1", "options": ("-sha1",)}, "SignatureMethod"),
        ({"method": f"{MORE}hmac-sha256"}, "SignatureMethod"),
        ({"method": f"{MORE}ecdsa-sha256"}, "n'est pas de l'algorithme annoncé"),
        ({"head": "<!DOCTYPE a>"}, "DOCTYPE"),
        ({"wrap": "<Signatures>{}<!-- a --></Signatures>"}, "un commentaire"),
        ({"wrap": '<Signatures xml:base="x">{}</Signatures>'}, "un attribut xml:"),
        ({"wrap": '<Signatures Id="xades-id-1">{}</Signatures>'}, "le même Id"),
        ({"wrap": "<a><b>{}</b></a>"}, "d'une seule"),
        ({"along": '<xades:SignedProperties Id="b"/>'}, "2 × SignedProperties"),
        ({"cert": QUALIFIED[0]}, "n'est pas de la clé|sa valeur n'est pas celle de la clé"),
    ],
)
def test_a_detached_xades_that_is_not_admitted_is_told_by_its_rule(
    place: Place, supplier: made.Pair, changes: dict[str, Any], words: str
) -> None:
    told = Beside(place, supplier, **changes).ask()["refus"]
    assert re.search(words, told) and "À faire : " in told, told
    assert ("abîmée" in told) == ("cert" in changes), told


def test_a_detached_xades_that_was_changed_is_told_as_such(place: Place, supplier: made.Pair) -> None:
    content = Beside(place, supplier).write()
    for old, new in (
        (b"application/pdf", b"application/xml"),
        (b"contrat.pdf", b"contrat.doc"),
        (b"r-id-1", b"r-id-2"),
    ):
        assert "la signature est abîmée ou fausse" in Beside(place, supplier).ask(content.replace(old, new))["refus"]
    for broken in (content[:900], b"<", b"<a/>", b"<?xml version='1.0'?>", b"<" * 100_000):
        told = Beside(place, supplier).ask(broken)["refus"]
        assert "abîmée" not in told and "À faire : " in told, told


def test_a_detached_xades_is_by_a_qualified_certificate_too(place: Place, supplier: made.Pair) -> None:
    told = Beside(place, made.person("Jan", PLAIN)).ask()["refus"]
    assert "n'est pas qualifié" in told and "KeyInfo" not in told
    place.revoke(supplier[0])
    told = Beside(place, supplier).ask()["refus"]
    assert "est révoqué depuis le" in told and told.count("À faire : ") == 1


def test_a_signature_on_a_changed_document_is_refused(place: Place, supplier: made.Pair) -> None:
    signed = place.sign(supplier)
    for content in (signed.replace(b"endobj", b"endobk", 1), signed[:2000] + b"x" + signed[2001:]):
        assert "refus" in place.ask("document", content)
    writer = IncrementalPdfFileWriter(io.BytesIO(signed))
    page = writer.root["/Pages"]["/Kids"][0]
    page["/Rotate"] = generic.NumberObject(90)
    writer.update_container(page)
    output = io.BytesIO()
    writer.write(output)
    assert "le document a été modifié après la signature" in place.ask("document", output.getvalue())["refus"]


@pytest.mark.parametrize(
    ("pair", "said"),
    [
        (made.person("Jan", PLAIN), "n'est pas qualifié : aucune liste de confiance de l'Union européenne ne nomme"),
        (made.person("Jan", QUALIFIED, None), "émis par « Qualifiée », n'est pas qualifié"),
        (made.person("Jan", QUALIFIED, made.FOR_SEALS), "n'est pas qualifié|pas pour signer"),
        (made.person("Jan", QUALIFIED, start=NOW - 2 * DAY, end=NOW - DAY), "est expiré depuis le"),
        (made.person("Jan", QUALIFIED, start=NOW + DAY), "n'est valable qu'à partir du"),
    ],
)
def test_a_certificate_that_does_not_count_is_told(place: Place, pair: made.Pair, said: str) -> None:
    for told in (
        place.ask("document", place.sign(pair)),
        place.ask("contresignature", place.act.read_bytes(), place.detach(pair)),
    ):
        assert any(words in told.get("refus", "") for words in said.split("|")), told


def test_a_revoked_certificate_is_refused_whatever_its_signature_carries(place: Place, supplier: made.Pair) -> None:
    signed, detached = place.sign(supplier), place.detach(supplier)
    old = (place.folder / "crl.pem").read_bytes()
    place.revoke(supplier[0])
    assert "est révoqué depuis le" in place.ask("document", signed)["refus"]
    told = place.ask("contresignature", place.act.read_bytes(), carrying(detached, old))
    assert "est révoqué depuis le" in told["refus"]


def test_a_revocation_list_that_we_lack_is_named(place: Place, supplier: made.Pair) -> None:
    (place.folder / "crl.pem").unlink()
    old = made.revocations(QUALIFIED)
    for told in (
        place.ask("document", place.sign(supplier)),
        place.ask("contresignature", place.act.read_bytes(), carrying(place.detach(supplier), old)),
    ):
        assert "rien ne dit si le certificat de Jan Peeters est révoqué" in told["refus"]
        assert "parapheur_suppliers_crl_urls" in told["refus"]


def test_lists_that_lack_or_are_out_of_date_judge_nothing(place: Place, supplier: made.Pair) -> None:
    signed, file = place.sign(supplier), place.folder / "confiance.json"
    told = json.loads(file.read_text())
    told["lotl"]["prochaine"] = (NOW - DAY).isoformat()
    file.write_text(json.dumps(told))
    assert "sont périmées depuis le" in place.ask("document", signed)["refus"]
    file.write_text("{}")
    assert "ne se lisent pas" in place.ask("document", signed)["refus"]
    file.unlink()
    assert "ne sont pas encore sur le parapheur" in place.ask("document", signed)["refus"]
    del place.config["fournisseurs"]
    assert "ne sont pas jugées ici" in place.ask("document", signed)["refus"]


def test_the_maire_signs_below_a_supplier_and_nobody_passes_for_the_maire(place: Place, supplier: made.Pair) -> None:
    claire = {"nom": "Claire Dubois", "siren": "215902669"}
    contract = place.folder / "contrat.pdf"
    contract.write_bytes(place.sign(supplier))
    signed = place.sign(place.issuer.person(), contract)
    told = place.ask("signature", contract.read_bytes(), signed, [claire])
    assert (told["signataire"], told["taille"]) == ("Claire Dubois", 0)
    assert "refus" in place.ask("", contract.read_bytes(), signed, [claire])  # no contract: every signature is ours
    # A supplier who bears the maire's name is not the maire.
    forged = place.folder / "faux.pdf"
    forged.write_bytes(place.sign(made.person("Claire Dubois", QUALIFIED)))
    told = place.ask("signature", forged.read_bytes(), forged.read_bytes(), [claire])
    assert "ne vient pas d'une autorité admise" in told["refus"]
    twice = place.sign(made.person("Claire Dubois", QUALIFIED), contract)
    assert (
        "ne vient pas d'une autorité admise" in place.ask("signature", contract.read_bytes(), twice, [claire])["refus"]
    )
