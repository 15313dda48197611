"""Helios flows signed in XAdES, judged by openssl on what lxml makes canonical."""

from __future__ import annotations

import asyncio
import base64
import datetime as dt
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from lxml import etree
from signature_actes import pes, token
from signature_actes.person import Person
from signature_actes.refusal import Refusal

from tests.unit.signature.conftest import NOW, SIREN, Issuer, Tokens, run, software

CLAIRE = Person("Claire Dubois", SIREN)
PLACE = pes.Place("Gondecourt", "59147")
NAMES = {
    "ds": "http://www.w3.org/2000/09/xmldsig#",
    "xades": "http://uri.etsi.org/01903/v1.3.2#",
    "p": "http://www.minefi.gouv.fr/cp/helios/pes_v2/Rev0/aller",
}
FLOW = """<?xml version="1.0" encoding="ISO-8859-1"?>
<n:PES_Aller xmlns:n="http://www.minefi.gouv.fr/cp/helios/pes_v2/Rev0/aller"{root}>
  <Enveloppe><Parametres><NomFic V="PESALR2_1"/></Parametres></Enveloppe>
  <PES_DepenseAller>
    <Bordereau{one}>
      <BlocBordereau><Objet V="Réfection de l'école"/></BlocBordereau><Piece><Mt V="120.00"/></Piece>
    </Bordereau>
    <Bordereau{two}><BlocBordereau><Objet V="Énergie"/></BlocBordereau></Bordereau>
  </PES_DepenseAller>
</n:PES_Aller>
"""


def flow(folder: Path, root: str = "", one: str = ' Id="B1"', two: str = ' Id="B2"') -> Path:
    path = folder / "flux.xml"
    path.write_bytes(FLOW.format(root=root, one=one, two=two).encode("iso-8859-1"))
    return path


def signed(issuer: Issuer, source: Path, **options: Any) -> Path:
    target = source.with_name("flux-signe.xml")
    name = options.pop("common_name", "Claire Dubois")
    pes.sign(source, target, software(issuer, issuer.person(name, **options)), PLACE)
    return target


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
    told = run("openssl", "dgst", "-sha256", "-verify", folder / "public.pem", "-signature", folder / "value",
               folder / "info")  # fmt: skip
    assert told == "Verified OK\n"
    reference = next(one for one in info.findall("ds:Reference", NAMES) if one.get("URI") == f"#{element.get('Id')}")
    bare: Any = etree.fromstring(etree.tostring(element.getroottree()))
    copy = bare if element is element.getroottree().getroot() else bare.find(f".//*[@Id='{element.get('Id')}']")
    copy.remove(copy.find("ds:Signature", NAMES))
    digest = hashlib.sha256(etree.tostring(copy, method="c14n", exclusive=True, with_tail=False)).digest()
    assert base64.b64decode(reference.findtext("ds:DigestValue", "", NAMES)) == digest


def test_each_bordereau_is_signed_with_the_token(issuer: Issuer, tokens: Tokens, tmp_path: Path) -> None:
    source, target = flow(tmp_path), tmp_path / "flux-signe.xml"
    before = source.read_bytes()
    key = tokens.make("gondecourt-maire", issuer.person())
    with token.signer(key, lambda: "271828") as signer:
        assert pes.sign(source, target, signer, PLACE) == 2
    assert source.read_bytes() == before
    assert target.read_bytes().startswith(b"<?xml version='1.0' encoding='ISO-8859-1'?>")
    root = etree.parse(target).getroot()
    for slip in root.findall(".//Bordereau"):
        [signature] = slip.findall("ds:Signature", NAMES)
        openssl_verifies(signature, slip, tmp_path)
        properties = ".//xades:SignedSignatureProperties/xades:"
        assert signature.findtext(f"{properties}SignaturePolicyIdentifier//xades:Identifier", "", NAMES) == (
            "urn:oid:1.2.250.1.131.1.5.18.21.1.7"
        )
        assert signature.findtext(f"{properties}SignatureProductionPlace/xades:City", "", NAMES) == "Gondecourt"
        assert signature.findtext(f"{properties}SignatureProductionPlace/xades:PostalCode", "", NAMES) == "59147"
        assert signature.findtext(f"{properties}SignerRole//xades:ClaimedRole", "", NAMES) == "Ordonnateur"
        assert signature.find(f"{properties}SigningTime", NAMES) is not None
    assert asyncio.run(pes.check(target, CLAIRE, issuer.trust, source)).holder == "Claire Dubois"


def test_the_whole_flow_is_signed_when_a_bordereau_has_no_id(issuer: Issuer, tmp_path: Path) -> None:
    source = flow(tmp_path, root=' Id="F1"', two="")
    target = signed(issuer, source)
    root = etree.parse(target).getroot()
    [signature] = root.findall("ds:Signature", NAMES)
    openssl_verifies(signature, root, tmp_path)
    assert asyncio.run(pes.check(target, CLAIRE, issuer.trust, source)).holder == "Claire Dubois"


def refused(issuer: Issuer, path: Path, words: str, original: Path | None = None) -> None:
    with pytest.raises(Refusal, match=words):
        asyncio.run(pes.check(path, CLAIRE, issuer.trust, original))


@pytest.mark.parametrize(
    ("old", "new"), [('V="120.00"', 'V="920.00"'), ("Réfection", "Réfaction"), (">Gondecourt<", ">Lille<")]
)
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
    false.find(".//Mt").set("V", "9999.00")
    signature = false.find("ds:Signature", NAMES)
    flow_part.replace(true, false)
    signature.find("ds:Object", NAMES).append(true)


@pytest.mark.parametrize("change", [move_signature, drop_signature, add_slip, wrap])
def test_signatures_that_are_not_where_they_belong(
    issuer: Issuer, tmp_path: Path, change: Callable[[Any], None]
) -> None:
    path = signed(issuer, flow(tmp_path))
    tree = etree.parse(path)
    change(tree.getroot())
    tree.write(path, encoding="ISO-8859-1")
    refused(issuer, path, "abîmée ou fausse|n'est pas signé|porte plusieurs signatures|même Id")


def test_the_signers_that_are_refused(issuer: Issuer, tmp_path: Path) -> None:
    source = flow(tmp_path)
    other = Issuer("inconnue", tmp_path / "autre")
    for who, options, words in (
        (other, {}, "ne vient pas d'une autorité admise"),
        (issuer, {"common_name": "Karim Lefèvre"}, "c'est la signature de Claire Dubois qui est attendue"),
        (issuer, {"start": NOW - dt.timedelta(days=9), "end": NOW - dt.timedelta(days=1)}, "est expiré depuis"),
    ):
        path = signed(who, source, **options)
        refused(issuer, path, words)
        path.unlink()
    pair = issuer.person()
    pes.sign(source, path, software(issuer, pair), PLACE)
    issuer.revoked.append(pair[0])
    issuer.write_crls()
    refused(issuer, path, "est révoqué depuis le")


def test_another_flow_than_the_circuit_s(issuer: Issuer, tmp_path: Path) -> None:
    path = signed(issuer, flow(tmp_path))
    source = flow(tmp_path)
    source.write_bytes(source.read_bytes().replace(b"PESALR2_1", b"PESALR2_2"))
    refused(issuer, path, "ce n'est pas le flux du circuit", original=source)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "le fichier est vide"),
        (b"<PES_Aller", "pas un fichier XML lisible"),
        (b"<html/>", "ce n'est pas un PES Aller"),
        (b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><PES_Aller>&a;</PES_Aller>', "DOCTYPE"),
        (b"<PES_Aller/>", "rien ne peut être désigné"),
        (b'<PES_Aller><PES_DepenseAller><Bordereau Id="A"/><Bordereau Id="A"/></PES_DepenseAller></PES_Aller>',
         "deux bordereaux ont le même Id"),
        (b"<PES_Aller Id=\"a'] | //*[.='\"/>", "n'en est pas un"),
        (b"<PES_Aller>" + b"<a>" * 5000, "pas un fichier XML lisible"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_flow(issuer: Issuer, tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "flux.xml"
    path.write_bytes(content)
    refused(issuer, path, words)
    with pytest.raises(Refusal, match=words):
        signed(issuer, path)


def test_a_signed_flow_is_not_signed_again(issuer: Issuer, tmp_path: Path) -> None:
    path = signed(issuer, flow(tmp_path))
    with pytest.raises(Refusal, match="déjà signé"):
        pes.sign(path, tmp_path / "encore.xml", software(issuer, issuer.person()), PLACE)


def test_a_good_signature_of_another_bordereau_counts_for_neither(issuer: Issuer, tmp_path: Path) -> None:
    path = signed(issuer, flow(tmp_path))
    tree = etree.parse(path)
    move_signature_back(tree.getroot())
    tree.write(path, encoding="ISO-8859-1")
    refused(issuer, path, "B1 : la signature est abîmée ou fausse")
