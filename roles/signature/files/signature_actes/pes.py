"""XAdES of Helios flows (PES Aller): each bordereau that has an Id is signed, or else the whole file.

Form: enveloped, exclusive canonicalisation, SHA-256, policy of the DGFiP, as S²LOW has its signatories sign.
"""

from __future__ import annotations

import asyncio
import copy
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from lxml import etree
from pyhanko.sign import signers
from signxml import CanonicalizationMethod, DigestAlgorithm, SignatureMethod, SignatureReference
from signxml.exceptions import SignXMLException
from signxml.util import SigningSettings, ds_tag, namespaces, xades_tag
from signxml.xades import (
    XAdESSignatureConfiguration,
    XAdESSignaturePolicy,
    XAdESSigner,
    XAdESVerifier,
)

from .check import BROKEN, Signed
from .files import MAX_BYTES, check_size, new_file
from .person import Person
from .refusal import Refusal
from .trust import Trust, common_name

POLICY = XAdESSignaturePolicy(
    Identifier="urn:oid:1.2.250.1.131.1.5.18.21.1.7",
    Description="Politique de signature Helios de la DGFiP",
    DigestMethod=DigestAlgorithm.SHA256,
    DigestValue="roF9+cfRHNPtVJolhdqfIqGMVuUXX8aR4rpiquf0u5E=",
)
POLICY_URL = (
    "https://www.collectivites-locales.gouv.fr/files/files/finances_locales/dematerialisation/ps_helios_dgfip.pdf"
)
EXCLUSIVE = CanonicalizationMethod.EXCLUSIVE_XML_CANONICALIZATION_1_0
ROLE = "Ordonnateur"
_ID = re.compile(r"[\w.-]{1,200}")
METHODS = frozenset({SignatureMethod.RSA_SHA256, SignatureMethod.ECDSA_SHA256})
_FLOWS = ("PES_DepenseAller", "PES_RecetteAller")


@dataclass(frozen=True)
class Place:
    """Where it is signed: the commune's town hall."""

    city: str
    postal_code: str


def parse(path: Path, limit: int = MAX_BYTES) -> etree._ElementTree:
    """Read a PES Aller; no entity and no DOCTYPE.

    Raises:
        Refusal: something else, or damaged.
    """
    check_size(path, limit)
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        tree = etree.parse(str(path), parser)
    except (etree.XMLSyntaxError, OSError):
        raise Refusal(
            f"{path.name} : ce n'est pas un fichier XML lisible. À faire : exportez de nouveau le flux"
        ) from None
    if tree.docinfo.internalDTD is not None:
        raise Refusal(f"{path.name} : une déclaration DOCTYPE n'a pas sa place dans un PES")
    if etree.QName(tree.getroot()).localname != "PES_Aller":
        raise Refusal(
            f"{path.name} : ce n'est pas un PES Aller. À faire : signez le fichier que la comptabilité exporte"
        )
    return tree


def to_sign(root: etree._Element) -> list[etree._Element]:
    """What of a PES is signed: its bordereaux when all have an Id, or else the root.

    Raises:
        Refusal: neither has.
    """
    for named in root.iter():
        if isinstance(named.tag, str) and not _ID.fullmatch(named.get("Id", "x")):
            raise Refusal(f"l'attribut Id « {named.get('Id')} » n'en est pas un. À faire : exportez de nouveau le flux")
    slips = [slip for flow in root if etree.QName(flow).localname in _FLOWS for slip in flow.findall("{*}Bordereau")]
    if slips and all(slip.get("Id") for slip in slips):
        names = [slip.get("Id") for slip in slips]
        if len(set(names)) < len(names):
            raise Refusal("deux bordereaux ont le même Id. À faire : exportez de nouveau le flux")
        return slips
    if root.get("Id"):
        return [root]
    raise Refusal("ni les bordereaux ni le fichier n'ont d'attribut Id : rien ne peut être désigné à la signature")


def unsigned(path: Path, limit: int = MAX_BYTES) -> etree._ElementTree:
    """Read a PES Aller that may be signed.

    Raises:
        Refusal: no PES, nothing to sign in it, signed already.
    """
    tree = parse(path, limit)
    to_sign(tree.getroot())
    if tree.getroot().find(f".//{ds_tag('Signature')}") is not None:
        raise Refusal(f"{path.name} : ce PES est déjà signé. À faire : signez celui que la comptabilité exporte")
    return tree


class _Key:
    """What signxml takes for a private key, by a pyHanko signer: in a token as in a file."""

    def __init__(self, signer: signers.Signer, digest: str) -> None:
        self._signer, self._digest = signer, digest
        certificate: asn1_x509.Certificate = signer.signing_cert
        self.key_size = int(certificate.public_key.bit_size)

    def sign(self, data: bytes, **_options: Any) -> bytes:
        return asyncio.run(self._signer.async_sign_raw(data, self._digest))


class _HeliosSigner(XAdESSigner):
    """Adds what the DGFiP's policy asks for and signxml leaves out."""

    def __init__(self, place: Place, **options: Any) -> None:
        super().__init__(
            signature_policy=POLICY,
            claimed_roles=[ROLE],
            c14n_algorithm=EXCLUSIVE,
            digest_algorithm="sha256",
            **options,
        )
        self._place = place

    def _add_reference_to_signed_info(self, sig_root: Any, node_to_reference: Any, **attrs: Any) -> None:
        """Name the canonicalisation that signxml uses: without a transform a reference means the inclusive one."""
        super()._add_reference_to_signed_info(sig_root, node_to_reference, **attrs)
        transforms = etree.Element(ds_tag("Transforms"))
        etree.SubElement(transforms, ds_tag("Transform"), Algorithm=EXCLUSIVE.value)
        sig_root.find(ds_tag("SignedInfo"))[-1].insert(0, transforms)

    def add_signature_policy_identifier(
        self, signed_signature_properties: Any, sig_root: Any, signing_settings: SigningSettings
    ) -> None:
        super().add_signature_policy_identifier(signed_signature_properties, sig_root, signing_settings)
        policy = signed_signature_properties.find(f".//{xades_tag('SignaturePolicyId')}")
        qualifiers = etree.SubElement(policy, xades_tag("SigPolicyQualifiers"))
        qualifier = etree.SubElement(qualifiers, xades_tag("SigPolicyQualifier"))
        etree.SubElement(qualifier, xades_tag("SPURI")).text = POLICY_URL

    def add_signature_production_place(
        self, signed_signature_properties: Any, sig_root: Any, signing_settings: SigningSettings
    ) -> None:
        place = etree.SubElement(signed_signature_properties, xades_tag("SignatureProductionPlace"))
        for name, value in (
            ("City", self._place.city),
            ("PostalCode", self._place.postal_code),
            ("CountryName", "France"),
        ):
            etree.SubElement(place, xades_tag(name)).text = value


def sign(source: Path, target: Path, signer: signers.Signer, place: Place, limit: int = MAX_BYTES) -> int:
    """Sign a PES Aller; gives how many signatures were made. The source is not touched.

    Args:
        place: where it is signed.

    Raises:
        Refusal: no PES, signed already, the copy cannot be written.
    """
    tree = unsigned(source, limit)
    root = tree.getroot()
    certificate: asn1_x509.Certificate = signer.signing_cert
    method = SignatureMethod.RSA_SHA256 if certificate.public_key.algorithm == "rsa" else SignatureMethod.ECDSA_SHA256
    chain = [x509.load_der_x509_certificate(certificate.dump())]
    names = [element.get("Id") for element in to_sign(root)]
    for name in names:
        element = next(one for one in to_sign(root) if one.get("Id") == name)
        etree.SubElement(element, ds_tag("Signature"), {"Id": "placeholder"}, nsmap={"ds": namespaces.ds})
        root = _HeliosSigner(place, signature_algorithm=method).sign(
            root,
            key=_Key(signer, "sha256"),  # type: ignore[arg-type] # what signxml calls of a key
            cert=chain,
            reference_uri=[SignatureReference(URI=f"#{name}", c14n_method=EXCLUSIVE)],
            always_add_key_value=False,
        )
    with new_file(target) as output:
        root.getroottree().write(output, xml_declaration=True, encoding=tree.docinfo.encoding or "UTF-8")
    return len(names)


async def check(
    path: Path, person: Person, trust: Trust, original: Path | None = None, limit: int = MAX_BYTES
) -> Signed:
    """Check a signed PES that was handed in: every part that must be is signed by this person, and nothing changed.

    Args:
        original: the flow of the circuit: what was signed must be that one.

    Raises:
        Refusal: the reason.
    """
    root = parse(path, limit).getroot()
    signers_found: list[asn1_x509.Certificate] = []
    for element in to_sign(root):
        own = element.findall(ds_tag("Signature"))
        if len(own) != 1:
            what = "n'est pas signé" if not own else "porte plusieurs signatures"
            raise Refusal(f"{path.name} : {element.get('Id')} {what}. À faire : signez le flux avec « signer-acte »")
        encoded = own[0].findtext(f"{ds_tag('KeyInfo')}/{ds_tag('X509Data')}/{ds_tag('X509Certificate')}") or ""
        try:
            pem = f"-----BEGIN CERTIFICATE-----\n{encoded.strip()}\n-----END CERTIFICATE-----\n"
            certificate = x509.load_pem_x509_certificate(pem.encode())
            holder = asn1_x509.Certificate.load(certificate.public_bytes(serialization.Encoding.DER), strict=True)
            told = await trust.refusal(holder) or person.refusal(holder)
            if not told:
                _verify(root, element, certificate)
        except (SignXMLException, etree.LxmlError, ValueError, TypeError, KeyError, AttributeError):
            told = f"{element.get('Id')} : {BROKEN}"
        if told:
            raise Refusal(f"{path.name} : {told}")
        signers_found.append(holder)
    if original and _bare(root) != _bare(parse(original, limit).getroot()):
        raise Refusal(
            f"{path.name} : ce n'est pas le flux du circuit qui a été signé. À faire : signez celui du circuit"
        )
    return Signed(common_name(signers_found[0].subject), f"{signers_found[0].serial_number:X}")


def _verify(root: etree._Element, element: etree._Element, certificate: x509.Certificate) -> None:
    """Have signxml verify the signature that an element carries: over that very element, with that certificate."""
    location = "./" if element is root else f".//*[@Id='{element.get('Id')}']/"
    results = XAdESVerifier().verify(
        etree.tostring(root),
        x509_cert=certificate,
        expect_signature_policy=POLICY,
        expect_config=XAdESSignatureConfiguration(location=location, signature_methods=METHODS),
    )
    signed = results[0].signed_xml
    if signed is None or signed.tag != element.tag or signed.get("Id") != element.get("Id"):
        raise ValueError("the signature covers something else")


def _bare(root: etree._Element) -> bytes:
    """A flow in canonical form, without signatures."""
    bare = copy.deepcopy(root)
    for signature in bare.findall(f".//{ds_tag('Signature')}"):
        if (parent := signature.getparent()) is not None:
            parent.remove(signature)
    return etree.tostring(bare, method="c14n")
