"""Helios flows signed in XAdES, judged by xmlsec1, by the schemas, and by openssl on what lxml makes canonical."""

from __future__ import annotations

import asyncio
import base64
import datetime as dt
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from lxml import etree
from signature_actes import flow as flows
from signature_actes import pes, receive, token, xades
from signature_actes.limits import MEMORY, TOO_MUCH
from signature_actes.person import Person
from signature_actes.refusal import DocumentRefusedError
from signxml import CanonicalizationMethod, DigestAlgorithm, SignatureReference
from signxml.xades import XAdESSignaturePolicy, XAdESSigner
from tdt_connector.checks import check_pes

from apps.signature.tests.conftest import NOW, SIREN, Issuer, Tokens, private_pem, run, software
from testbed import helios
from testbed.programs import SIGNING

CLAIRE = Person("Claire Dubois", SIREN)
PLACE = pes.Place("Gondecourt", "59147")
DS, XAD = xades.DS, xades.XADES
NAMES = {"ds": DS, "xad": XAD, "p": "http://www.minefi.gouv.fr/cp/helios/pes_v2/Rev0/aller"}
SCHEMAS = Path(__file__).parents[4] / "shared" / "protocol" / "pes"
UNIT = 1_200_000_000  # bytes: MemoryMax of parapheur-sceau@.service


def flow(folder: Path, **options: Any) -> Path:
    path = folder / "flux.xml"
    path.write_bytes(helios.flow(**options))
    return path


def signed(issuer: Issuer, source: Path, **options: Any) -> Path:
    target = source.with_name("flux-signe.xml")
    name = options.pop("common_name", "Claire Dubois")
    pes.sign(source, target, software(issuer, issuer.person(name, **options)), PLACE)
    return target


def checked(issuer: Issuer, path: Path, original: Path | None = None) -> str:
    return asyncio.run(pes.check(path, CLAIRE, issuer.trust, original)).holder


def refused(issuer: Issuer, path: Path, words: str, original: Path | None = None) -> str:
    with pytest.raises(DocumentRefusedError, match=words) as told:
        checked(issuer, path, original)
    return str(told.value)


def not_admitted(issuer: Issuer, path: Path, words: str, original: Path | None = None) -> None:
    """Refused by a rule that is named, or not read: nobody is accused, and what to do is told."""
    told = refused(issuer, path, words, original)
    assert not re.search("abîmée|fausse|modifié|altéré", told), told
    assert "À faire : " in told


def without_signatures(content: bytes) -> bytes:
    return re.sub(rb"<ds:Signature .*?</ds:Signature>", b"", content)


def xmlsec1_verifies(issuer: Issuer, path: Path) -> None:
    """As S²LOW asks it of each signature: the element that bears it is known by its name."""
    if not shutil.which("xmlsec1"):
        pytest.skip("xmlsec1 is not installed")
    above = path.with_name("emettrice.pem")
    above.write_bytes(issuer.issuing[0].public_bytes(serialization.Encoding.PEM))
    found: Any = etree.parse(path).getroot().iterfind(".//ds:Signature", NAMES)
    for signature in found:
        where = f"//*[namespace-uri()='{DS}'][local-name()='Signature'][@Id='{signature.get('Id')}']"
        name = etree.QName(signature.getparent()).localname
        run("xmlsec1", "--verify", "--node-xpath", where, "--id-attr:Id", name, "--trusted-pem",
            issuer.folder / "root.pem", "--untrusted-pem", above, path)  # fmt: skip # one call by its parts


def valid(path: Path) -> None:
    """The flow, and the properties of each signature, follow their schemas."""
    if not SCHEMAS.is_dir():
        pytest.skip("the DGFiP's schemas are not there (../shared/protocol/pes)")
    tree = etree.parse(path)
    etree.XMLSchema(etree.parse(SCHEMAS / "PES_V2" / "Rev0" / "PES_Aller.xsd")).assertValid(tree)
    schema = etree.XMLSchema(etree.parse(SCHEMAS / "xades" / "XAdES1.2.2.xsd"))
    for properties in tree.iterfind(".//xad:QualifyingProperties", NAMES):
        schema.assertValid(etree.ElementTree(properties))


def openssl_verifies(signature: Any, element: Any, folder: Path) -> None:
    """The signed digest is the element's, and openssl finds the signature good with the certificate's key."""
    info = signature.find("ds:SignedInfo", NAMES)
    value = signature.findtext("ds:SignatureValue", "", NAMES)
    certificate = x509.load_der_x509_certificate(
        base64.b64decode(signature.findtext("ds:KeyInfo/ds:X509Data/ds:X509Certificate", "", NAMES))
    )
    (folder / "info").write_bytes(etree.tostring(info, method="c14n", exclusive=True))
    (folder / "value").write_bytes(base64.b64decode(value))
    (folder / "public.pem").write_bytes(
        certificate.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    told = run(
        "openssl", "dgst", "-sha256", "-verify", folder / "public.pem", "-signature", folder / "value", folder / "info"
    )
    assert told == "Verified OK\n"
    reference = next(one for one in info.findall("ds:Reference", NAMES) if one.get("URI") == f"#{element.get('Id')}")
    bare: Any = etree.fromstring(etree.tostring(element.getroottree()))
    copy = bare if element is element.getroottree().getroot() else bare.find(f".//*[@Id='{element.get('Id')}']")
    own = copy.find("ds:Signature", NAMES)
    tail = own.tail or ""
    own.getprevious().tail = (own.getprevious().tail or "") + tail
    own.tail = None
    copy.remove(own)
    digest = hashlib.sha256(etree.tostring(copy, method="c14n", exclusive=True, with_tail=False)).digest()
    assert base64.b64decode(reference.findtext("ds:DigestValue", "", NAMES)) == digest


def test_each_bordereau_is_signed_with_the_token(issuer: Issuer, tokens: Tokens, tmp_path: Path) -> None:
    source, target = flow(tmp_path, pj="JVBERi0="), tmp_path / "flux-signe.xml"
    before = source.read_bytes()
    pair = issuer.person()
    key = tokens.make("gondecourt-maire", pair)
    with token.signer(key, lambda: "271828") as signer:
        assert pes.sign(source, target, signer, PLACE) == 2
    assert source.read_bytes() == before
    root = etree.parse(target).getroot()
    for slip in root.findall(".//Bordereau"):
        [signature] = slip.findall("ds:Signature", NAMES)
        openssl_verifies(signature, slip, tmp_path)
    assert without_signatures(target.read_bytes()) == before
    assert checked(issuer, target, source) == "Claire Dubois"
    xmlsec1_verifies(issuer, target)
    for path, unsigned in ((target, 0), (source, 1)):  # what the connector looks at before it lets a flow leave
        assert len(check_pes(path, helios.SIRET[:9], 10**6, signed=True)) == unsigned
    valid(target)


def test_a_signature_says_what_the_policy_asks(issuer: Issuer, tmp_path: Path) -> None:
    pair = issuer.person()
    source, target = flow(tmp_path), tmp_path / "flux-signe.xml"
    pes.sign(source, target, software(issuer, pair), PLACE)
    signature: Any = etree.parse(target).find(".//Bordereau/ds:Signature", NAMES)
    assert [child.tag for child in signature] == [
        f"{{{DS}}}{name}" for name in ("SignedInfo", "SignatureValue", "KeyInfo", "Object")
    ]
    references = signature.findall("ds:SignedInfo/ds:Reference", NAMES)
    assert [(one.get("URI"), one.get("Type")) for one in references] == [
        ("#B1", None),
        ("#B1_SIG_1_SP", f"{XAD}SignedProperties"),
    ]
    properties = signature.find("ds:Object/xad:QualifyingProperties/xad:SignedProperties/*", NAMES)
    assert [etree.QName(child).localname for child in properties] == [
        "SigningTime",
        "SigningCertificate",
        "SignaturePolicyIdentifier",
        "SignatureProductionPlace",
        "SignerRole",
    ]

    def said(path: str) -> str:
        return str(properties.findtext(path, "", NAMES))

    moment = dt.datetime.strptime(said("xad:SigningTime"), "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=dt.UTC)
    assert abs(dt.datetime.now(dt.UTC) - moment) < dt.timedelta(minutes=10)
    certificate, held = pair[0], "xad:SigningCertificate/xad:Cert/"
    der = certificate.public_bytes(serialization.Encoding.DER)
    assert base64.b64decode(said(f"{held}xad:CertDigest/ds:DigestValue")) == hashlib.sha256(der).digest()
    assert said(f"{held}xad:IssuerSerial/ds:X509SerialNumber") == str(certificate.serial_number)
    assert (
        said(f"{held}xad:IssuerSerial/ds:X509IssuerName") == "CN=Émettrice du prestataire,O=Commune de Gondecourt,C=FR"
    )
    policy = "xad:SignaturePolicyIdentifier/xad:SignaturePolicyId/"
    assert said(f"{policy}xad:SigPolicyId/xad:Identifier") == "urn:oid:1.2.250.1.131.1.5.18.21.1.4"
    assert said(f"{policy}xad:SigPolicyHash/ds:DigestValue") == "Jkdb+aba0Hz6+ZPKmKNhPByzQ+Q="
    assert said("xad:SignatureProductionPlace/xad:City") == "Gondecourt"
    assert said("xad:SignatureProductionPlace/xad:PostalCode") == "59147"
    assert said("xad:SignerRole/xad:ClaimedRoles/xad:ClaimedRole") == "Ordonnateur"


def test_the_issuer_is_named_as_java_names_it() -> None:
    name = x509.Name.from_rfc4514_string(r"CN=AC \#1\, élémentaire,OU=0002 433702479,O=Tiers\+Co,C=FR")
    assert xades.rfc2253(name) == r"CN=AC #1\, élémentaire,OU=0002 433702479,O=Tiers\+Co,C=FR".replace("AC #1", "AC #1")
    mail = x509.NameAttribute(x509.oid.NameOID.EMAIL_ADDRESS, "a@b.fr")
    country = x509.NameAttribute(x509.oid.NameOID.COUNTRY_NAME, "FR")
    assert xades.rfc2253(x509.Name([country, mail])) == "1.2.840.113549.1.9.1=#16066140622e6672,C=FR"


def test_the_whole_flow_is_signed_when_a_bordereau_has_no_id(issuer: Issuer, tmp_path: Path) -> None:
    source = flow(tmp_path, root="F1", slips=("B1", ""))
    target = signed(issuer, source)
    root = etree.parse(target).getroot()
    [signature] = root.findall("ds:Signature", NAMES)
    openssl_verifies(signature, root, tmp_path)
    assert checked(issuer, target, source) == "Claire Dubois"
    xmlsec1_verifies(issuer, target)
    valid(target)


def test_a_key_on_an_elliptic_curve_signs_too(issuer: Issuer, tmp_path: Path) -> None:
    source, target = flow(tmp_path), tmp_path / "flux-signe.xml"
    pair = issuer._make(issuer.person()[0].subject, issuer.issuing)
    pes.sign(source, target, software(issuer, pair), PLACE)
    assert checked(issuer, target, source) == "Claire Dubois"
    xmlsec1_verifies(issuer, target)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace(b"\n", b"\r\n"),
        lambda text: text.replace(b"ISO-8859-1", b"UTF-8").decode("latin-1").encode(),
        lambda text: text.replace(b'encoding="ISO-8859-1"', b"encoding='iso-8859-1' standalone='yes'"),
        lambda text: text.replace(b"<n:PES_Aller ", b'<n:PES_Aller xmlns:ds="urn:other" xmlns:xsi="urn:xsi" '),
        lambda text: text.replace(b"<n:PES_Aller ", b'<!-- fait par X --><n:PES_Aller xmlns:b="urn:b" b:c="1" '),
        lambda text: text.replace(b'<Bordereau Id="B1"', b'<Bordereau xmlns:b="u:b" b:c="&#9;" a="&#13;" Id="B1"'),
        lambda text: text.replace(b"<BlocBordereau>", b"<BlocBordereau><!-- x --><?y z?><![CDATA[a & b]]>&amp;&#13;>"),
        lambda text: text.replace(b"<Piece>", b'<Piece xmlns="urn:p"><b:x xmlns:b="urn:b"/><y xmlns=""><z/></y>'),
        lambda text: text.replace(b"n:PES_Aller", b"PES_Aller").replace(b"xmlns:n=", b"xmlns="),
        lambda text: text.replace(b'V="120.00"', b"V='&quot;1 < 2 > \"3\"'".replace(b"<", b"&lt;")),
    ],
)
def test_however_a_flow_is_written_it_is_signed_and_nothing_of_it_moves(
    issuer: Issuer, tmp_path: Path, change: Callable[[bytes], bytes]
) -> None:
    source = flow(tmp_path)
    source.write_bytes(change(source.read_bytes()))
    target = signed(issuer, source)
    assert without_signatures(target.read_bytes()) == source.read_bytes()
    assert checked(issuer, target, source) == "Claire Dubois"
    read = flows.scan(source)
    digests, _whole = read.digests({"B1": "sha512", "B2": "sha256"})
    tree: Any = etree.parse(source)
    for name, algorithm in (("B1", "sha512"), ("B2", "sha256")):
        element = tree.find(f".//*[@Id='{name}']")
        canonical = etree.tostring(element, method="c14n", exclusive=True, with_comments=False, with_tail=False)
        assert digests[name] == hashlib.new(algorithm, canonical).digest()
    xmlsec1_verifies(issuer, target)


@pytest.mark.parametrize(
    ("old", "new"), [('V="120.00"', 'V="920.00"'), ("Réfection", "Réfaction"), (">Gondecourt<", ">Lille<"),
                     ("<xad:ClaimedRole>Ordonnateur", "<xad:ClaimedRole>Comptable"), ("#sha256", "#sha512")]
)  # fmt: skip # a case a line
def test_a_flow_changed_after_the_signature(issuer: Issuer, tmp_path: Path, old: str, new: str) -> None:
    path = signed(issuer, flow(tmp_path))
    content = path.read_bytes()
    assert old.encode("iso-8859-1") in content
    path.write_bytes(content.replace(old.encode("iso-8859-1"), new.encode("iso-8859-1"), 1))
    refused(issuer, path, "B1 : la signature est abîmée ou fausse")


def move_signature(root: Any) -> None:
    one, two = root.findall(".//Bordereau")
    two.replace(two.find("ds:Signature", NAMES), one.find("ds:Signature", NAMES))


def move_signature_back(root: Any) -> None:
    """The first bordereau bears the signature of the second, good but of something else."""
    one, two = root.findall(".//Bordereau")
    one.replace(one.find("ds:Signature", NAMES), two.find("ds:Signature", NAMES))


def drop_signature(root: Any) -> None:
    two = root.findall(".//Bordereau")[1]
    two.remove(two.find("ds:Signature", NAMES))


def add_slip(root: Any) -> None:
    flow_part = root.find("PES_DepenseAller")
    etree.SubElement(flow_part, "Bordereau", Id="B3")


def wrap(root: Any) -> None:
    """Signature wrapping: the signed bordereau goes elsewhere, another takes its place under its Id."""
    flow_part = root.find("PES_DepenseAller")
    true = flow_part.findall("Bordereau")[0]
    false: Any = etree.fromstring(etree.tostring(true, with_tail=False))
    false.find(".//MtHT").set("V", "9999.00")
    signature = false.find("ds:Signature", NAMES)
    flow_part.replace(true, false)
    signature.find("ds:Object", NAMES).append(true)


def wrap_renamed(root: Any) -> None:
    """The false bordereau has another Id than the one that the signature knows."""
    wrap(root)
    root.find(".//Bordereau").set("Id", "B9")


def wrap_beside(root: Any) -> None:
    """The signed bordereau goes under the root, where nothing reads it, in another case of Id."""
    true = root.find(".//Bordereau")
    copy: Any = etree.fromstring(etree.tostring(true, with_tail=False))
    true.find(".//MtHT").set("V", "9999.00")
    copy.remove(copy.find("ds:Signature", NAMES))
    copy.set("ID", copy.attrib.pop("Id"))
    root.append(copy)


def another_signature(root: Any) -> None:
    """A signature that is none, beside the good ones, under the root."""
    etree.SubElement(etree.SubElement(root, f"{{{DS}}}Signature"), "Bordereau", Id="B3")


def another_signature_deeper(root: Any) -> None:
    etree.SubElement(root.find(".//Piece"), f"{{{DS}}}Signature").text = "Virement à un autre"


def two_signatures(root: Any) -> None:
    slip = root.find(".//Bordereau")
    twice: Any = etree.fromstring(etree.tostring(slip.find("ds:Signature", NAMES), with_tail=False))
    for node in twice.iter():
        if node.get("Id"):
            node.set("Id", node.get("Id") + "_bis")
    slip.append(twice)


@pytest.mark.parametrize(
    "change",
    [move_signature, drop_signature, add_slip, wrap, wrap_renamed, wrap_beside, another_signature,
     another_signature_deeper, two_signatures],
)  # fmt: skip # a case a line
@pytest.mark.parametrize("against", [True, False])
def test_signatures_that_are_not_where_they_belong(
    issuer: Issuer, tmp_path: Path, change: Callable[[Any], None], against: bool
) -> None:
    source = flow(tmp_path)
    path = signed(issuer, source)
    tree = etree.parse(path)
    change(tree.getroot())
    tree.write(path, encoding="ISO-8859-1")
    words = "n'est pas admise ici|n'est pas signé|porte plusieurs signatures|même Id"
    not_admitted(issuer, path, words, source if against else None)


def inside(path: str, text: str) -> Callable[[Any], None]:
    """Put XML at the end of an element of the first signature."""

    def change(signature: Any) -> None:
        where = signature.find(path, NAMES) if path else signature
        named = " ".join(f'xmlns:{prefix}="{uri}"' for prefix, uri in NAMES.items())
        made: Any = etree.fromstring(f"<x {named}>{text}</x>")
        if len(where):
            where[-1].tail = (where[-1].tail or "") + (made.text or "")
        else:
            where.text = (where.text or "") + (made.text or "")
        where.extend(list(made))

    return change


def attribute(path: str, name: str) -> Callable[[Any], None]:
    return lambda signature: (signature.find(path, NAMES) if path else signature).set(name, "x")


def no_certificate(signature: Any) -> None:
    signature.find(".//ds:X509Certificate", NAMES).text = ""


def no_object(signature: Any) -> None:
    signature.remove(signature.find("ds:Object", NAMES))


def padded_value(signature: Any) -> None:
    signature.find("ds:SignatureValue", NAMES).text += "===="


def properties_twice(signature: Any) -> None:
    """Others' properties before those that are signed."""
    holder = signature.find("ds:Object", NAMES)
    copy: Any = etree.fromstring(etree.tostring(holder[0]))
    copy[0].set("Id", "autre")
    copy.find(".//xad:ClaimedRole", NAMES).text = "Comptable"
    holder.insert(0, copy)


QUALIFYING = "ds:Object/xad:QualifyingProperties"


@pytest.mark.parametrize(
    "change",
    [
        inside("", "<ds:Object>Virement</ds:Object>"),
        inside("", '<ds:Object><Bordereau xmlns="" Id="B9"/></ds:Object>'),
        inside("", "<Piece/>"),
        inside("", "texte"),
        inside("", "<!-- rien -->"),
        inside("", "<?rien?>"),
        inside("", "<ds:Signature/>"),
        inside("ds:Object", "texte"),
        inside("ds:Object", "<Piece/>"),
        inside("ds:Object", "<ds:Manifest/>"),
        inside("ds:Object", '<xad:QualifyingProperties Target="#B1_SIG_1"/>'),
        inside(QUALIFYING, "<xad:UnsignedProperties/>"),
        inside(QUALIFYING, "<xad:UnsignedProperties><xad:UnsignedSignatureProperties/></xad:UnsignedProperties>"),
        inside(QUALIFYING, '<xad:SignedProperties Id="autre"/>'),
        inside(QUALIFYING, "texte"),
        inside(f"{QUALIFYING}/xad:SignedProperties", "<!-- rien -->"),
        inside("ds:KeyInfo", "<ds:KeyName>Maire</ds:KeyName>"),
        inside("ds:KeyInfo", "<ds:KeyValue/>"),
        inside("ds:KeyInfo", "<ds:X509Data/>"),
        inside("ds:KeyInfo/ds:X509Data", "<ds:X509SubjectName>CN=x</ds:X509SubjectName>"),
        inside("ds:KeyInfo/ds:X509Data", "<ds:X509Certificate>AAAA</ds:X509Certificate>"),
        inside("ds:KeyInfo/ds:X509Data/ds:X509Certificate", "<Piece/>"),
        inside("ds:KeyInfo/ds:X509Data/ds:X509Certificate", "<!-- rien -->"),
        inside("ds:SignatureValue", "<Piece/>"),
        inside("ds:SignedInfo", "<!-- rien -->"),
        attribute("", "V"), attribute("ds:Object", "MimeType"), attribute("ds:KeyInfo", "V"),
        attribute("ds:SignatureValue", "V"), attribute(QUALIFYING, "V"),
        attribute("ds:KeyInfo/ds:X509Data/ds:X509Certificate", "V"),
        no_certificate, no_object, padded_value, properties_twice,
        lambda signature: signature.find("ds:Object", NAMES).set("Id", "B2_SIG_1"),
        lambda signature: signature.find(QUALIFYING, NAMES).set("Target", "#B2_SIG_1"),
        lambda signature: signature.attrib.pop("Id"),
    ],
)  # fmt: skip # a case a line
def test_a_signature_holds_nothing_but_a_signature(
    issuer: Issuer, tmp_path: Path, change: Callable[[Any], None]
) -> None:
    source = flow(tmp_path)
    path = signed(issuer, source)
    tree: Any = etree.parse(path)
    change(tree.find(".//Bordereau/ds:Signature", NAMES))
    tree.write(path, encoding="ISO-8859-1")
    not_admitted(issuer, path, "n'est pas admise ici|ne se lit pas ici|même Id|n'en est pas un", source)


def test_certificates_of_the_authorities_may_come_along(issuer: Issuer, tmp_path: Path) -> None:
    source = flow(tmp_path)
    path = signed(issuer, source)
    tree: Any = etree.parse(path)
    other = Issuer("inconnue", tmp_path / "autre")
    for data in tree.iterfind(".//ds:X509Data", NAMES):
        for certificate, _key in (issuer.root, issuer.issuing):
            der = certificate.public_bytes(serialization.Encoding.DER)
            etree.SubElement(data, f"{{{DS}}}X509Certificate").text = base64.b64encode(der).decode()
    tree.write(path, encoding="ISO-8859-1")
    assert checked(issuer, path, source) == "Claire Dubois"
    der = other.issuing[0].public_bytes(serialization.Encoding.DER)
    etree.SubElement(data, f"{{{DS}}}X509Certificate").text = base64.b64encode(der).decode()
    tree.write(path, encoding="ISO-8859-1")
    refused(issuer, path, "B2 : .*un certificat qui n'est d'aucune autorité du signataire", source)


def signed_otherwise(issuer: Issuer, source: Path, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> Path:
    """A flow signed with other constants than ours, by who might use another program."""
    with monkeypatch.context() as other:
        for name, value in changes.items():
            other.setattr(xades, name, value)
        return signed(issuer, source)


@pytest.mark.parametrize("version", ["http://uri.etsi.org/01903/v1.1.1#", "http://uri.etsi.org/01903/v1.3.2#"])
def test_other_versions_count_too(
    issuer: Issuer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    source = flow(tmp_path)
    path = signed_otherwise(issuer, source, monkeypatch, XADES=version)
    assert version.encode() in path.read_bytes()
    assert XAD.encode() not in path.read_bytes()
    assert checked(issuer, path, source) == "Claire Dubois"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"XADES": "http://uri.etsi.org/01903/v9#"}, "Object contient « QualifyingProperties »"),
        ({"POLICY": "urn:oid:1.2.3", "POLICIES": {"urn:oid:1.2.3": {xades.SHA1: "AAAA"}}}, "politique"),
        ({"POLICIES": {xades.POLICY: {xades.SHA1: "AAAA"}}}, "politique"),
        ({"EXCLUSIVE": "http://www.w3.org/2001/10/xml-exc-c14n#WithComments"}, "CanonicalizationMethod"),
        ({"ENVELOPED": "http://www.w3.org/TR/1999/REC-xpath-19991116"}, "Transform"),
        ({"ENVELOPED": "http://www.w3.org/2001/10/xml-exc-c14n#"}, "transformations"),
        ({"SHA256_URI": "http://www.w3.org/2000/09/xmldsig#sha1"}, "DigestMethod"),
        ({"RSA": "http://www.w3.org/2000/09/xmldsig#rsa-sha1"}, "SignatureMethod"),
        ({"RSA": "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256"}, "algorithme annoncé"),
    ],
)
def test_what_is_signed_otherwise_is_refused(
    issuer: Issuer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], words: str
) -> None:
    path = signed_otherwise(issuer, flow(tmp_path), monkeypatch, **changes)
    not_admitted(issuer, path, f"B1 : la signature n'est pas admise ici : .*{words}")


@dataclass
class Libersign:
    """A signature as Libersign wrote it for years, and Berger-Levrault's applications do: XAdES 1.1.1, indented, texts
    between blanks. openssl makes it, xmlsec1 judges it: not our writer.
    """

    issuer: Issuer
    digest: str = "http://www.w3.org/2000/09/xmldsig#sha1"
    method: str = "http://www.w3.org/2000/09/xmldsig#rsa-sha1"
    target: str = "#{own}"
    policy: str = "Jkdb+aba0Hz6+ZPKmKNhPByzQ+Q="

    def sign(self, source: Path) -> Path:
        target = source.with_name("flux-libersign.xml")
        tree: Any = etree.parse(source)
        pair = self.issuer.person()
        for slip in tree.iterfind(".//Bordereau"):
            self._sign(slip, pair, source.parent)
        tree.write(target, encoding="ISO-8859-1", xml_declaration=True)
        return target

    def _digested(self, element: Any) -> str:
        canonical = etree.tostring(element, method="c14n", exclusive=True, with_comments=False, with_tail=False)
        return base64.b64encode(hashlib.new(self.digest.rpartition("#")[2], canonical).digest()).decode()

    def _sign(self, slip: Any, pair: Any, folder: Path) -> None:
        own = f"{slip.get('Id')}_SIG_1"
        der = pair[0].public_bytes(serialization.Encoding.DER)
        sha1 = base64.b64encode(hashlib.sha1(der, usedforsecurity=False).digest()).decode()
        before = self._digested(slip)
        text = f"""<ds:Signature xmlns:ds="{DS}" Id="{own}">
          <ds:SignedInfo>
            <ds:CanonicalizationMethod Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"/>
            <ds:SignatureMethod Algorithm="{self.method}"/>
            <ds:Reference URI="#{slip.get("Id")}">
              <ds:Transforms>
                <ds:Transform Algorithm="http://www.w3.org/2000/09/xmldsig#enveloped-signature"/>
                <ds:Transform Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"/>
              </ds:Transforms>
              <ds:DigestMethod Algorithm="{self.digest}"/>
              <ds:DigestValue>{before}</ds:DigestValue>
            </ds:Reference>
            <ds:Reference Type="http://uri.etsi.org/01903/v1.1.1#SignedProperties" URI="#{own}_SP">
              <ds:Transforms><ds:Transform Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"/></ds:Transforms>
              <ds:DigestMethod Algorithm="{self.digest}"/>
              <ds:DigestValue/>
            </ds:Reference>
          </ds:SignedInfo>
          <ds:SignatureValue Id="{own}_SV"/>
          <ds:KeyInfo><ds:X509Data><ds:X509Certificate>{base64.encodebytes(der).decode()}
            </ds:X509Certificate></ds:X509Data></ds:KeyInfo>
          <ds:Object>
            <xad:QualifyingProperties xmlns:xad="{xades.VERSIONS[0]}" Target="{self.target.format(own=own)}">
              <xad:SignedProperties Id="{own}_SP"><xad:SignedSignatureProperties>
                <xad:SigningTime>{NOW:%Y-%m-%dT%H:%M:%SZ}</xad:SigningTime>
                <xad:SigningCertificate><xad:Cert>
                  <xad:CertDigest>
                    <xad:DigestMethod Algorithm="http://www.w3.org/2000/09/xmldsig#sha1"/>
                    <xad:DigestValue>{sha1}</xad:DigestValue>
                  </xad:CertDigest>
                  <xad:IssuerSerial>
                    <ds:X509IssuerName>
                      CN=Émettrice
                    </ds:X509IssuerName>
                    <ds:X509SerialNumber>{pair[0].serial_number}</ds:X509SerialNumber>
                  </xad:IssuerSerial>
                </xad:Cert></xad:SigningCertificate>
                <xad:SignaturePolicyIdentifier><xad:SignaturePolicyId>
                  <xad:SigPolicyId>
                    <xad:Identifier>urn:oid:1.2.250.1.131.1.5.18.21.1.4</xad:Identifier>
                    <xad:Description>Politique de signature Helios de la DGFiP</xad:Description>
                  </xad:SigPolicyId>
                  <xad:SigPolicyHash>
                    <xad:DigestMethod Algorithm="http://www.w3.org/2000/09/xmldsig#sha1"/>
                    <xad:DigestValue>
                      {self.policy}
                    </xad:DigestValue>
                  </xad:SigPolicyHash>
                </xad:SignaturePolicyId></xad:SignaturePolicyIdentifier>
                <xad:SignerRole><xad:ClaimedRoles><xad:ClaimedRole>Maire</xad:ClaimedRole></xad:ClaimedRoles></xad:SignerRole>
              </xad:SignedSignatureProperties></xad:SignedProperties>
            </xad:QualifyingProperties>
          </ds:Object>
        </ds:Signature>"""
        signature: Any = etree.fromstring(text)
        slip.append(signature)
        info = signature[0]
        info[-1][-1].text = self._digested(signature.find(".//{*}SignedProperties"))
        (folder / "info").write_bytes(etree.tostring(info, method="c14n", exclusive=True))
        (folder / "key").write_bytes(private_pem(pair[1]))
        run("openssl", "dgst", f"-{self.method.rpartition('-')[2]}", "-sign", folder / "key", "-out", folder / "value",
            folder / "info")  # fmt: skip # one call by its parts
        signature[1].text = base64.encodebytes((folder / "value").read_bytes()).decode()


SHA256_OF_THEIRS = {
    "digest": "http://www.w3.org/2001/04/xmlenc#sha256",
    "method": "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256",
}


@pytest.mark.parametrize(
    ("changes", "remarks"),
    [
        ({}, ("XAdES 1.1.1 (1.2.2 attendu)", "l'algorithme SHA-1 (SHA-256 attendu)")),
        (SHA256_OF_THEIRS, ("XAdES 1.1.1 (1.2.2 attendu)",)),
        (SHA256_OF_THEIRS | {"target": "{own}"}, ("XAdES 1.1.1 (1.2.2 attendu)", "un attribut Target sans « # »")),
        (
            SHA256_OF_THEIRS | {"policy": "Jkdb+aba0Hz6+ZPKmKNhPByzQ+Q"},
            (
                "XAdES 1.1.1 (1.2.2 attendu)",
                "l'empreinte de la politique, en base64 incomplet (« = » manque à la fin)",
            ),
        ),
    ],
)
def test_what_other_tools_sign_counts_and_what_is_outdated_is_told(
    issuer: Issuer, tmp_path: Path, changes: dict[str, str], remarks: tuple[str, ...]
) -> None:
    source = flow(tmp_path)
    path = Libersign(issuer, **changes).sign(source)
    xmlsec1_verifies(issuer, path)
    found = asyncio.run(pes.check(path, CLAIRE, issuer.trust, source))
    assert (found.holder, found.remarks) == ("Claire Dubois", remarks)
    assert (
        receive._check_signed(path, [{"nom": "Claire Dubois", "siren": SIREN}], issuer.trust, source, True)[3]
        == remarks
    )
    path.write_bytes(path.read_bytes().replace(b'V="120.00"', b'V="920.00"'))
    assert "À faire : " in refused(issuer, path, "B1 : la signature est abîmée ou fausse", source)


@pytest.mark.parametrize("first", [True, False])
def test_the_certificate_s_own_key_may_be_written_out(issuer: Issuer, tmp_path: Path, first: bool) -> None:
    """xmlsec1 does for S²LOW, beside the certificate."""
    source = flow(tmp_path)
    path = Libersign(issuer, **SHA256_OF_THEIRS).sign(source)
    tree: Any = etree.parse(path)
    for info in tree.iterfind(".//ds:KeyInfo", NAMES):
        der = base64.b64decode(info.findtext(".//ds:X509Certificate", "", NAMES))
        numbers: Any = x509.load_der_x509_certificate(der).public_key().public_numbers()  # type: ignore[union-attr] # RSA
        value = etree.Element(f"{{{DS}}}KeyValue")
        inside = etree.SubElement(value, f"{{{DS}}}RSAKeyValue")
        for name, number in (("Modulus", numbers.n), ("Exponent", numbers.e)):
            data = number.to_bytes((number.bit_length() + 7) // 8)
            etree.SubElement(inside, f"{{{DS}}}{name}").text = base64.encodebytes(data).decode()
        info.insert(0 if first else 1, value)
    tree.write(path, encoding="ISO-8859-1")
    xmlsec1_verifies(issuer, path)
    assert checked(issuer, path, source) == "Claire Dubois"
    inside[1].text = "Aw=="
    tree.write(path, encoding="ISO-8859-1")
    not_admitted(issuer, path, "B2 : .*une autre clé que celle du certificat", source)
    inside.append(etree.Element(f"{{{DS}}}Seed"))
    tree.write(path, encoding="ISO-8859-1")
    not_admitted(issuer, path, "B2 : .*RSAKeyValue contient « Seed »", source)


def test_sha1_counts_against_the_circuit_s_flow_only(issuer: Issuer, tmp_path: Path) -> None:
    """Two flows of one SHA-1 can be made: that the signed one is the circuit's is told by SHA-256."""
    source = flow(tmp_path)
    path = Libersign(issuer).sign(source)
    not_admitted(
        issuer, path, "n'est pas admise ici : SignatureMethod : « http://www.w3.org/2000/09/xmldsig#rsa-sha1 »"
    )
    mixed = Libersign(issuer, method=SHA256_OF_THEIRS["method"]).sign(source)
    not_admitted(issuer, mixed, "n'est pas admise ici : DigestMethod : « http://www.w3.org/2000/09/xmldsig#sha1 »")
    path = Libersign(issuer).sign(source)
    path.write_bytes(path.read_bytes().replace(b"PESALR2_1", b"PESALR2_2"))
    refused(issuer, path, "ce n'est pas le flux du circuit", source)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"target": "#B2_SIG_1"}, "d'une autre signature"),
        ({"target": "##{own}"}, "d'une autre signature"),
        ({"target": ""}, "d'une autre signature"),
        ({"policy": "Jkdb+aba0Hz6+ZPKmKNhPByzQ+"}, "l'empreinte de sa politique"),
        ({"policy": "===="}, "l'empreinte de sa politique"),
        ({"digest": "http://www.w3.org/2001/04/xmldsig-more#md5"}, "DigestMethod"),
        ({"method": "http://www.w3.org/2001/04/xmldsig-more#rsa-md5"}, "SignatureMethod"),
    ],
)
def test_what_the_dgfip_would_not_take_is_told_by_its_rule(
    issuer: Issuer, tmp_path: Path, changes: dict[str, str], words: str
) -> None:
    source = flow(tmp_path)
    not_admitted(issuer, Libersign(issuer, **changes).sign(source), f"n'est pas admise ici : .*{words}", source)


def _named_twice(signed: Any, tag: str) -> None:
    """Two designations of the signer's certificate, of which the first or the second is another's."""
    first = signed.find(".//{*}SigningCertificate")
    second: Any = etree.fromstring(etree.tostring(first, with_tail=False))
    second.tag = tag.format(version=etree.QName(first).namespace)
    first.addnext(second)
    wrong = second if second.tag == first.tag else first
    wrong.find(".//{*}DigestValue").text = base64.b64encode(bytes(32)).decode()


def _numbered_twice(signed: Any) -> None:
    first = signed.find(".//{*}IssuerSerial")
    second: Any = etree.fromstring(etree.tostring(first, with_tail=False))
    second[1].text = "12"
    first.addnext(second)


def _timed(text: str) -> Callable[[Any], None]:
    return lambda signed: setattr(signed.find(".//{*}SigningTime"), "text", text)


@pytest.mark.parametrize("version", xades.VERSIONS)
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda signed: _named_twice(signed, "{{{version}}}SigningCertificate"), "2 × SigningCertificate"),
        (lambda signed: _named_twice(signed, "{{{version}}}SigningCertificateV2"), "désignent un autre certificat"),
        (_numbered_twice, "d'un autre numéro"),
        (_timed("2099-01-01T00:00:00Z"), "dans l'avenir"),
        (_timed("1999-01-01T00:00:00"), "avant le certificat"),
        (_timed("2026-W01-1"), "son heure n'en est pas une"),
        (lambda signed: etree.SubElement(etree.SubElement(signed[0][-1], f"{{{DS}}}Object"), "a"), "« Object »"),
        (lambda signed: signed[0].append(signed[0][0]), "dans l'ordre"),
        (lambda signed: etree.SubElement(signed.find(".//{*}Identifier"), f"{signed.tag}"), "n'est pas un texte"),
    ],
)
def test_what_is_signed_along_is_a_closed_list_too(
    issuer: Issuer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    version: str,
    change: Callable[[Any], None],
    words: str,
) -> None:
    """The signer's own program wrote other properties, and signed them: xmlsec1 finds these signatures good."""
    canonical = xades._canonicalize

    def changed(element: Any, method: str) -> bytes:
        if etree.QName(element).localname == "SignedProperties":
            change(element)
        return canonical(element, method)

    path = signed_otherwise(issuer, flow(tmp_path), monkeypatch, XADES=version, _canonicalize=changed)
    not_admitted(issuer, path, f"B1 : la signature n'est pas admise ici : .*{words}")


def test_a_signature_s_parts_are_in_their_order(issuer: Issuer, tmp_path: Path) -> None:
    path = signed(issuer, flow(tmp_path))
    tree: Any = etree.parse(path)
    signature = tree.find(".//Bordereau/ds:Signature", NAMES)
    signature.append(signature[0])
    tree.write(path, encoding="ISO-8859-1")
    refused(issuer, path, "Signature : ses éléments ne sont pas dans l'ordre")


@pytest.mark.parametrize("kind", [xades.MANIFEST, f"{XAD}SignedProperties"])
def test_what_is_signed_is_not_said_to_be_something_else(
    issuer: Issuer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    canonical = xades._canonicalize

    def changed(element: Any, method: str) -> bytes:
        if etree.QName(element).localname == "SignedInfo":
            element.find(f"{{{DS}}}Reference").set("Type", kind)
        return canonical(element, method)

    path = signed_otherwise(issuer, flow(tmp_path), monkeypatch, _canonicalize=changed)
    refused(issuer, path, "d'un autre type")


def test_what_signxml_signs_counts(issuer: Issuer, tmp_path: Path) -> None:
    """XAdES 1.3.2 with SigningCertificateV2 and a reference to KeyInfo: what was signed before is still good."""

    class Signer(XAdESSigner):
        def _add_reference_to_signed_info(self, sig_root: Any, node_to_reference: Any, **attrs: Any) -> None:
            super()._add_reference_to_signed_info(sig_root, node_to_reference, **attrs)
            transforms = etree.Element(f"{{{DS}}}Transforms")
            etree.SubElement(transforms, f"{{{DS}}}Transform", Algorithm=xades.EXCLUSIVE)
            sig_root.find(f"{{{DS}}}SignedInfo")[-1].insert(0, transforms)

    policy = XAdESSignaturePolicy(
        "urn:oid:1.2.250.1.131.1.5.18.21.1.7",
        "Politique",
        DigestAlgorithm.SHA256,
        "roF9+cfRHNPtVJolhdqfIqGMVuUXX8aR4rpiquf0u5E=",
    )
    source, path = flow(tmp_path, root="F1", slips=("",)), tmp_path / "flux-signe.xml"
    method = CanonicalizationMethod.EXCLUSIVE_XML_CANONICALIZATION_1_0
    certificate, key = issuer.person()
    root = Signer(signature_policy=policy, claimed_roles=["Ordonnateur"], c14n_algorithm=method).sign(
        etree.parse(source).getroot(),
        key=key,
        cert=[certificate],
        always_add_key_value=False,
        reference_uri=[SignatureReference(URI="#F1", c14n_method=method)],
    )
    root.getroottree().write(path, encoding="ISO-8859-1")
    assert checked(issuer, path, source) == "Claire Dubois"
    path.write_bytes(path.read_bytes().replace(b'V="120.00"', b'V="920.00"'))
    refused(issuer, path, "F1 : la signature est abîmée ou fausse")


def test_the_signers_that_are_refused(issuer: Issuer, tmp_path: Path) -> None:
    source = flow(tmp_path)
    other = Issuer("inconnue", tmp_path / "autre")
    for who, options, words in (
        (other, {}, "ne vient pas d'une autorité admise"),
        (issuer, {"common_name": "Karim Lefèvre"}, "c'est la signature de Claire Dubois qui est attendue"),
        (issuer, {"start": NOW - dt.timedelta(days=9), "end": NOW - dt.timedelta(days=1)}, "est expiré depuis"),
    ):
        path = signed(who, source, **options)
        not_admitted(issuer, path, words)
        path.unlink()
    pair = issuer.person()
    pes.sign(source, path, software(issuer, pair), PLACE)
    issuer.revoked.append(pair[0])
    issuer.write_crls()
    refused(issuer, path, "est révoqué depuis le")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"PESALR2_1", b"PESALR2_2"),
        (b"</n:PES_Aller>", b"<!-- vu --></n:PES_Aller>"),
        (b"</n:PES_Aller>", b"<?vu?></n:PES_Aller>"),
        (b"</n:PES_Aller>\n", b"</n:PES_Aller>\n<!-- vu -->"),
        (b"</n:PES_Aller>", b"<PES_Marche/></n:PES_Aller>"),
        (b"<Enveloppe>", b"<Enveloppe> "),
        (b"<Enveloppe>", b'<Enveloppe xmlns:a="urn:a" a:b="">'),
    ],
)
def test_another_flow_than_the_circuit_s(issuer: Issuer, tmp_path: Path, old: bytes, new: bytes) -> None:
    source = flow(tmp_path)
    path = signed(issuer, source)
    path.write_bytes(path.read_bytes().replace(old, new))
    refused(issuer, path, "ce n'est pas le flux du circuit", original=source)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "le fichier est vide"),
        (b"<PES_Aller", "pas un fichier XML lisible"),
        (b"<html/>", "ce n'est pas un PES Aller"),
        (b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><PES_Aller>&a;</PES_Aller>', "DOCTYPE"),
        (b'<!DOCTYPE x><PES_Aller Id="A"/>', "DOCTYPE"),
        (b'<!DOCTYPE x SYSTEM "http://127.0.0.1/x.dtd"><PES_Aller Id="A"/>', "DOCTYPE"),
        (b'<PES_Aller Id="A">&a;</PES_Aller>', "pas un fichier XML lisible"),
        (b"<PES_Aller/>", "rien ne peut être désigné"),
        (b'<PES_Aller><PES_DepenseAller><Bordereau Id="A"/><Bordereau Id="A"/></PES_DepenseAller></PES_Aller>',
         "deux bordereaux ont le même Id"),
        (b'<PES_Aller Id="A"><PES_DepenseAller><Bordereau><x ID="A"/></Bordereau></PES_DepenseAller></PES_Aller>',
         "deux éléments ont le même Id"),
        (b'<PES_Aller Id="A"><PES_DepenseAller><Bordereau><x V="1" ID="A"/></Bordereau></PES_DepenseAller></PES_Aller>',
         "deux éléments ont le même Id"),
        (b'<PES_Aller Id="A"><x a:Id="A" xmlns:a="urn:a"/></PES_Aller>', "deux éléments ont le même Id"),
        (b'<PES_Aller Id="A"><x xml:id="A"/></PES_Aller>', "deux éléments ont le même Id"),
        (b"<PES_Aller Id=\"a'] | //*[.='\"/>", "n'en est pas un"),
        (b"<PES_Aller>" + b"<a>" * 5000, "pas un fichier XML lisible.*plus de 100 éléments imbriqués"),
        (b"<a:PES_Aller/>", "pas un fichier XML lisible.*préfixe"),
        (b'<PES_Aller Id="A" b:c=""/>', "pas un fichier XML lisible.*préfixe"),
        (b'<PES_Aller Id="A" Id="B"/>', "pas un fichier XML lisible"),
        ('<?xml version="1.0" encoding="UTF-16"?><PES_Aller Id="A"/>'.encode("utf-16"), "encodage « utf-16 »"),
        (b'<?xml version="1.0" encoding="UTF-7"?><PES_Aller Id="A"/>', "encodage « utf-7 » n'est pas admis"),
        (b'<PES_Aller Id="A">\xe9</PES_Aller>', "pas un fichier XML lisible"),
    ],
)  # fmt: skip # a case a line
def test_a_file_that_is_no_flow(issuer: Issuer, tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "flux.xml"
    path.write_bytes(content)
    told = refused(issuer, path, f"^flux.xml : .*{words}")
    assert "À faire : " in told and "fausse" not in told
    with pytest.raises(DocumentRefusedError, match=words):
        signed(issuer, path)


@pytest.mark.parametrize(
    ("bound", "value", "words"),
    [("MAX_ELEMENTS", 50, "plus de 50 éléments"), ("MAX_IDS", 2, "trop d'attributs Id"),
     ("MAX_TAG", 2_000_000, "démesuré"), ("MAX_SIGNATURE", 4_000, "une signature y est démesurée")],
)  # fmt: skip # a case a line
def test_the_bounds(
    issuer: Issuer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bound: str, value: int, words: str
) -> None:
    source = flow(tmp_path, root="F1")
    path = signed(issuer, source)
    path.write_bytes(path.read_bytes().replace(b"LABO", b"L" * 3_000_000))
    monkeypatch.setattr(flows, bound, value)
    refused(issuer, path, words)


def test_a_signed_flow_is_not_signed_again(issuer: Issuer, tmp_path: Path) -> None:
    path = signed(issuer, flow(tmp_path))
    with pytest.raises(DocumentRefusedError, match="déjà signé"):
        pes.sign(path, tmp_path / "encore.xml", software(issuer, issuer.person()), PLACE)


def test_what_would_be_too_large_once_signed_is_not_signed(issuer: Issuer, tmp_path: Path) -> None:
    source = flow(tmp_path)
    with pytest.raises(DocumentRefusedError, match=r"signé, le flux ferait 0\.0 Mo, 0 Mo au plus"):
        pes.sign(source, tmp_path / "x.xml", software(issuer, issuer.person()), PLACE, source.stat().st_size + 100)
    assert not (tmp_path / "x.xml").exists()


@pytest.mark.parametrize(
    "content",
    [b'<PES_Aller><PES_DepenseAller><Bordereau Id="A"/></PES_DepenseAller></PES_Aller>', b'<PES_Aller Id="A" />'],
)
def test_a_part_without_content_is_not_signed(issuer: Issuer, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "flux.xml"
    path.write_bytes(content)
    with pytest.raises(DocumentRefusedError, match="A est vide"):
        signed(issuer, path)


def test_a_good_signature_of_another_bordereau_counts_for_neither(issuer: Issuer, tmp_path: Path) -> None:
    path = signed(issuer, flow(tmp_path))
    tree = etree.parse(path)
    move_signature_back(tree.getroot())
    tree.write(path, encoding="ISO-8859-1")
    not_admitted(issuer, path, "B1 : la signature n'est pas admise ici : .*B2_SIG_1|désigne autre chose : « #B2 »")


def test_identifiers_that_are_taken_are_left_alone(issuer: Issuer, tmp_path: Path) -> None:
    source = flow(tmp_path)
    source.write_bytes(source.read_bytes().replace(b"<Piece>", b'<Piece Id="B1_SIG_1_SP">', 1))
    path = signed(issuer, source)
    assert b'Id="B1_SIG_2"' in path.read_bytes()
    assert checked(issuer, path, source) == "Claire Dubois"


def test_lack_of_memory_is_not_forgery(issuer: Issuer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = flow(tmp_path)
    path = signed(issuer, source)

    def greedy(*_arguments: object) -> None:
        raise MemoryError

    for module, name in ((flows, "_feed_parser"), (xades, "_parse_signature"), (flows.hashlib, "new")):
        with monkeypatch.context() as short:
            short.setattr(module, name, greedy)
            with pytest.raises(MemoryError):
                checked(issuer, path, source)
    assert "ne dit rien de sa signature" in TOO_MUCH


_MEASURED = """
import asyncio, re, sys
from pathlib import Path
from signature_actes import limits, pes
from signature_actes.person import Person
from signature_actes.trust import Trust
limits.bound()
path, original, folder = map(Path, sys.argv[1:])
trust = Trust.read([folder / "ca.pem"], [folder / "crl.pem"])
print(asyncio.run(pes.check(path, Person("Claire Dubois"), trust, original)).holder)
print(int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024)
"""


@pytest.mark.costly
@pytest.mark.parametrize(
    "options", [{"slips": [f"B{rank}" for rank in range(40)], "pieces": 330}, {"pj": "QUJD" * 4_000_000}]
)
def test_a_large_flow_is_signed_and_checked_within_the_bounds(
    issuer: Issuer, tmp_path: Path, options: dict[str, Any]
) -> None:
    """10 MB of mandates in 40 bordereaux; an attachment whose base64 has 16 MB."""
    source = flow(tmp_path, **options)
    assert source.stat().st_size > 10_000_000
    path = signed(issuer, source)
    done = subprocess.run(
        [sys.executable, "-c", _MEASURED, str(path), str(source), str(issuer.folder)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": SIGNING},
    )
    assert done.returncode == 0, done.stderr
    holder, peak = done.stdout.split("\n")[:2]
    assert holder == "Claire Dubois"
    assert int(peak) < 100_000_000 < min(MEMORY, UNIT) / 2
    path.write_bytes(path.read_bytes().replace(b'V="120.00"', b'V="920.00"', 1))
    refused(issuer, path, "la signature est abîmée ou fausse")


def test_several_people_may_be_expected(issuer: Issuer, tmp_path: Path) -> None:
    source = flow(tmp_path)
    path = signed(issuer, source)
    people = [{"nom": "Anne Bertrand", "siren": SIREN}, {"nom": "Claire Dubois", "siren": SIREN}]
    assert receive._check_signed(path, people, issuer.trust, source, True)[0] == "Claire Dubois"
