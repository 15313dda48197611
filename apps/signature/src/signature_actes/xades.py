"""One XAdES-EPES signature of a Helios flow: written in 1.2.2, as the DGFiP's policy asks, read in three versions; and
one that stands beside the document it is of.

What a signature in a flow may hold is a closed list: whatever is in a ds:Signature and not signed must be needed to
verify it.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import NoReturn

from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA1 as SHA1_HASH
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512, HashAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from lxml import etree
from lxml.builder import ElementMaker  # type: ignore[import-not-found] # lxml-stubs leaves it out

from .flow import DS, XML
from .refusal import ALTERED, UNFIT, UNREADABLE

XADES = "http://uri.etsi.org/01903/v1.2.2#"
VERSIONS = ("http://uri.etsi.org/01903/v1.1.1#", XADES, "http://uri.etsi.org/01903/v1.3.2#")
_PROPERTIES = (*(f"{version}SignedProperties" for version in VERSIONS), "http://uri.etsi.org/01903#SignedProperties")
POLICY = "urn:oid:1.2.250.1.131.1.5.18.21.1.4"
POLICY_NAME = "Politique de signature Helios de la DGFiP"
POLICY_URL = "https://portail.dgfip.finances.gouv.fr/documents/PS_Helios_DGFiP.pdf"
SHA1, SHA256_URI = "http://www.w3.org/2000/09/xmldsig#sha1", "http://www.w3.org/2001/04/xmlenc#sha256"
POLICIES = {  # versions of the DGFiP's policy that signatures in the field name, each with the digests of its text
    POLICY: {
        SHA1: "Jkdb+aba0Hz6+ZPKmKNhPByzQ+Q=",
        SHA256_URI: "pYtFgzn09kQWZywqdIGVd1fFI07tjKmEAyQHr0l/YAk=",
    },
    "urn:oid:1.2.250.1.131.1.5.18.21.1.7": {SHA256_URI: "roF9+cfRHNPtVJolhdqfIqGMVuUXX8aR4rpiquf0u5E="},
}
ROLE = "Ordonnateur"
MANIFEST = "http://www.w3.org/2000/09/xmldsig#Manifest"
ENVELOPED = "http://www.w3.org/2000/09/xmldsig#enveloped-signature"
EXCLUSIVE = "http://www.w3.org/2001/10/xml-exc-c14n#"
INCLUSIVE = "http://www.w3.org/TR/2001/REC-xml-c14n-20010315"
INCLUSIVE_11 = "http://www.w3.org/2006/12/xml-c14n11"  # the same, but for attributes xml:, which are not admitted
RSA, ECDSA = (f"http://www.w3.org/2001/04/xmldsig-more#{name}-sha256" for name in ("rsa", "ecdsa"))
RSA_SHA1 = "http://www.w3.org/2000/09/xmldsig#rsa-sha1"
_METHODS: dict[str, tuple[str, HashAlgorithm]] = {  # family of the key, digest
    f"http://www.w3.org/{namespace}#{name.format(made.name)}": (family, made)
    for family, namespace, name in (
        ("rsa", "2001/04/xmldsig-more", "rsa-{}"),
        ("ecdsa", "2001/04/xmldsig-more", "ecdsa-{}"),
        ("pss", "2007/05/xmldsig-more", "{}-rsa-MGF1"),
    )
    for made in (SHA256(), SHA384(), SHA512())
}
_OLD_METHODS: dict[str, tuple[str, HashAlgorithm]] = {RSA_SHA1: ("rsa", SHA1_HASH())}  # noqa: S303 - outdated flows (`read`)
DIGESTS = {
    SHA256_URI: "sha256",
    "http://www.w3.org/2001/04/xmldsig-more#sha384": "sha384",
    "http://www.w3.org/2001/04/xmlenc#sha512": "sha512",
}
_CERTIFICATE_DIGESTS = DIGESTS | {SHA1: "sha1"}  # real signatures name their certificate by SHA-1
_IN_PROPERTIES = ("DigestMethod", "DigestValue", "X509IssuerName", "X509SerialNumber", "Transforms", "Transform")
_SIGNED_ALONG = {
    "SigningTime": (1, 1), "SigningCertificate": (0, 1), "SigningCertificateV2": (0, 1),
    "SignaturePolicyIdentifier": (1, 1), "SignatureProductionPlace": (0, 1), "SignatureProductionPlaceV2": (0, 1),
    "SignerRole": (0, 1), "SignerRoleV2": (0, 1),
}  # fmt: skip # a table
_DATE_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?(?:Z|[+-][0-9]{2}:[0-9]{2})?"
)
_PENDING_VALUE = "?"  # in its place while it waits: never in base64
_CLOCK = dt.timedelta(days=1)  # a clock that is wrong, a time without its zone
_KEYWORDS = (  # RFC 2253, section 2.3
    NameOID.COMMON_NAME, NameOID.LOCALITY_NAME, NameOID.STATE_OR_PROVINCE_NAME, NameOID.ORGANIZATION_NAME,
    NameOID.ORGANIZATIONAL_UNIT_NAME, NameOID.COUNTRY_NAME, NameOID.STREET_ADDRESS, NameOID.DOMAIN_COMPONENT,
    NameOID.USER_ID,
)  # fmt: skip # a list by rows
_ODD = (ValueError, TypeError, KeyError, IndexError, AttributeError, UnsupportedAlgorithm, InvalidSignature)
_PARSER = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)


class InvalidSignatureError(Exception):
    """A signature that a rule does not admit, whoever made it; the text says which, in French. Nobody is accused."""


class AlteredSignatureError(InvalidSignatureError):
    """What was signed is no longer what it was: a digest differs, or the signature is not of its certificate's key."""


class UnreadableSignatureError(InvalidSignatureError):
    """A signature that cannot be read here; the text says why, in French."""


def explained(why: InvalidSignatureError) -> str:
    """What is said of a signature that is not taken, in French: only what was altered is said to be."""
    if isinstance(why, AlteredSignatureError):
        return f"{ALTERED} ({why})"
    return f"{UNREADABLE} ({why})" if isinstance(why, UnreadableSignatureError) else f"{UNFIT} : {why}"


@dataclass(frozen=True)
class Place:
    """Where it is signed: the commune's town hall."""

    city: str
    postal_code: str


# -- writing


@dataclass(frozen=True)
class PendingSignature:
    """A signature that waits for its key.

    Attributes:
        before: its text, up to the signature's value.
        after: the rest of it.
        info: SignedInfo in canonical form: what the key signs, over SHA-256.
    """

    before: str
    after: str
    info: bytes


def prepare(
    name: str, own: str, digest: bytes, certificate: x509.Certificate, place: Place, moment: dt.datetime
) -> PendingSignature:
    """Make the signature of a part of a flow, but for its value (`value`).

    Args:
        name: Id of the part.
        own: Id for the signature.
        digest: SHA-256 of the part's exclusive canonical form, without signatures.
        moment: aware.
    """
    ds = ElementMaker(namespace=DS, nsmap={"ds": DS})
    xad = ElementMaker(namespace=XADES, nsmap={"xad": XADES})
    der = certificate.public_bytes(Encoding.DER)

    def digested(value: str, algorithm: str = SHA256_URI) -> tuple[etree._Element, etree._Element]:
        return ds.DigestMethod(Algorithm=algorithm), ds.DigestValue(value)

    def reference(value: bytes, *transforms: str, **attributes: str) -> etree._Element:
        steps = ds.Transforms(*(ds.Transform(Algorithm=one) for one in transforms))
        return ds.Reference(steps, *digested(_encode_base64(value)), **attributes)

    properties = xad.SignedProperties(
        xad.SignedSignatureProperties(
            xad.SigningTime(moment.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")),
            xad.SigningCertificate(
                xad.Cert(
                    xad.CertDigest(*digested(_encode_base64(hashlib.sha256(der).digest()))),
                    xad.IssuerSerial(
                        ds.X509IssuerName(rfc2253(certificate.issuer)),
                        ds.X509SerialNumber(str(certificate.serial_number)),
                    ),
                )
            ),
            xad.SignaturePolicyIdentifier(
                xad.SignaturePolicyId(
                    xad.SigPolicyId(xad.Identifier(POLICY), xad.Description(POLICY_NAME)),
                    xad.SigPolicyHash(*digested(POLICIES[POLICY][SHA1], SHA1)),
                    xad.SigPolicyQualifiers(xad.SigPolicyQualifier(xad.SPURI(POLICY_URL))),
                )
            ),
            xad.SignatureProductionPlace(
                xad.City(place.city), xad.PostalCode(place.postal_code), xad.CountryName("France")
            ),
            xad.SignerRole(xad.ClaimedRoles(xad.ClaimedRole(ROLE))),
        ),
        Id=f"{own}_SP",
    )
    signature: etree._Element = ds.Signature(
        ds.SignedInfo(
            ds.CanonicalizationMethod(Algorithm=EXCLUSIVE),
            ds.SignatureMethod(Algorithm=RSA if isinstance(certificate.public_key(), rsa.RSAPublicKey) else ECDSA),
            reference(digest, ENVELOPED, EXCLUSIVE, URI=f"#{name}"),
        ),
        ds.SignatureValue(_PENDING_VALUE, Id=f"{own}_SV"),
        ds.KeyInfo(ds.X509Data(ds.X509Certificate(_encode_base64(der)))),
        ds.Object(xad.QualifyingProperties(properties, Target=f"#{own}")),
        Id=own,
    )
    info = signature[0]
    info.append(
        reference(
            hashlib.sha256(_canonicalize(properties, EXCLUSIVE)).digest(),
            EXCLUSIVE,
            Type=f"{XADES}SignedProperties",
            URI=f"#{own}_SP",
        )
    )
    canonical = _canonicalize(info, EXCLUSIVE)
    before, found, after = etree.tostring(signature, encoding="unicode").partition(f'_SV">{_PENDING_VALUE}<')
    return PendingSignature(before + found[: -len(_PENDING_VALUE) - 1], f"<{after}", canonical)


def value(certificate: x509.Certificate, made: bytes) -> str:
    """A signature's value, as XML has it.

    Args:
        made: what the private key did: PKCS #1 v1.5, or ECDSA in DER.
    """
    key = certificate.public_key()
    if isinstance(key, ec.EllipticCurvePublicKey):
        size = (key.key_size + 7) // 8
        made = b"".join(one.to_bytes(size) for one in decode_dss_signature(made))
    return _encode_base64(made)


def rfc2253(name: x509.Name) -> str:
    """A distinguished name as verifiers in Java write it: from the last part on, what has no keyword in DER."""

    def written(attribute: x509.NameAttribute[str | bytes]) -> str:
        if attribute.oid in _KEYWORDS:
            return attribute.rfc4514_string()
        [[alone]] = asn1_x509.Name.load(x509.Name([attribute]).public_bytes()).chosen
        return f"{attribute.oid.dotted_string}=#{alone['value'].dump().hex()}"

    return ",".join("+".join(written(one) for one in part) for part in reversed(name.rdns))


def _encode_base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _canonicalize(element: etree._Element, method: str) -> bytes:
    return etree.tostring(element, method="c14n", exclusive=method == EXCLUSIVE, with_comments=False, with_tail=False)


# -- reading


@dataclass(frozen=True)
class Reading:
    """A signature that holds what it may, and was made by its certificate's key; not yet compared with what it signs.

    Attributes:
        algorithm: of the digest, for hashlib.
        digest: of what is signed.
        outdated: what in it is of another time, which the DGFiP takes all the same; in French.
        others: certificates that came along.
    """

    certificate: x509.Certificate
    algorithm: str
    digest: bytes
    outdated: tuple[str, ...] = ()
    others: tuple[x509.Certificate, ...] = ()


def _raise_unfit(what: str) -> NoReturn:
    raise InvalidSignatureError(what)


def _raise_altered(what: str) -> NoReturn:
    raise AlteredSignatureError(what)


def _local_name(element: etree._Element) -> str:
    return etree.QName(element).localname


def _group_children(
    element: etree._Element, namespaces: Iterable[str], names: Mapping[str, tuple[int, int]], *attributes: str
) -> dict[str, list[etree._Element]]:
    """Children by local name, in the order of `names`: no other, as many as may be; no attribute but those named."""
    where = _local_name(element)
    found: dict[str, list[etree._Element]] = {name: [] for name in names}
    for key in element.attrib:
        if key not in attributes:
            _raise_unfit(f"{where} porte l'attribut « {str(key)[:60]} »")
    texts = [element.text, *(child.tail for child in element)]
    if names and any(text and text.strip() for text in texts):
        _raise_unfit(f"{where} contient du texte")
    for child in element:
        qualified = etree.QName(child)
        if qualified.namespace not in namespaces or qualified.localname not in found:
            _raise_unfit(f"{where} contient « {qualified.localname[:60]} »")
        found[qualified.localname].append(child)
    if list(element) != [child for children in found.values() for child in children]:
        _raise_unfit(f"{where} : ses éléments ne sont pas dans l'ordre")
    for name, (least, most) in names.items():
        if not least <= len(found[name]) <= most:
            _raise_unfit(f"{where} : {len(found[name])} × {name}")
    return found


def _decode_base64(element: etree._Element, *attributes: str) -> bytes:
    """Bytes written in base64 in the one way there is."""
    _group_children(element, (), {}, *attributes)
    text = "".join((element.text or "").split())
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError:
        data = b""
    if _encode_base64(data) != text:
        _raise_unfit(f"{_local_name(element)} n'est pas en base64")
    return data


def _read_algorithm(element: etree._Element, known: Iterable[str]) -> str:
    _group_children(element, (), {}, "Algorithm")
    if (element.text or "").strip():
        _raise_unfit(f"{_local_name(element)} contient du texte")
    found = element.get("Algorithm") or ""
    return found if found in known else _raise_unfit(f"{_local_name(element)} : « {found[:100]} »")


def read(text: str, part: str, *, whole: bool, old: bool = False) -> Reading:
    """Read a signature.

    Args:
        text: a ds:Signature alone in an element that declares the namespaces in scope.
        part: Id of what bears it.
        whole: that is the whole flow.
        old: SHA-1 counts, as in what Libersign signed for years. Two flows may be made with the same digest of this
            kind: only for a flow that is compared with a known one besides.

    Raises:
        Altered: it is not of what it signs, or not of its certificate's key.
        Unreadable: it cannot be read.
        Unfit: it is none of this part, or holds something else.
    """
    return _translate_parse_errors(
        lambda: _parse_signature(etree.fromstring(text.encode(), _PARSER)[0], part, whole, old)
    )


def _translate_parse_errors(reading: Callable[[], Reading]) -> Reading:
    """Read; what a parser gives up on is told as `Unreadable`."""
    try:
        return reading()
    except MemoryError:
        raise
    except etree.XMLSyntaxError as error:
        if error.code == etree.ErrorTypes.ERR_NO_MEMORY:  # type: ignore[attr-defined] # lxml-stubs leaves it out
            raise MemoryError from None
        raise UnreadableSignatureError("son XML est mal formé") from None
    except (*_ODD, etree.LxmlError) as odd:
        raise UnreadableSignatureError(type(odd).__name__) from None


def _check_plain(element: etree._Element) -> None:
    """Nothing is in it that canonical forms treat apart."""
    for node in element.iter():
        if not isinstance(node.tag, str):
            _raise_unfit("elle contient un commentaire ou une instruction")
        if any(etree.QName(key).namespace == XML for key in node.attrib):
            _raise_unfit(f"{_local_name(node)} porte un attribut xml:")


def _parse_signature(signature: etree._Element, part: str, whole: bool, old: bool) -> Reading:
    _check_plain(signature)
    one = (1, 1)
    parts = _group_children(
        signature, [DS], {"SignedInfo": one, "SignatureValue": one, "KeyInfo": one, "Object": one}, "Id"
    )
    key_info = parts["KeyInfo"][0]
    certificate = _signer_certificate(key_info)
    outdated: list[str] = []
    properties = _signed_properties(parts["Object"][0], signature.get("Id") or "", outdated)
    info = parts["SignedInfo"][0]
    inside = _group_children(
        info, [DS], {"CanonicalizationMethod": one, "SignatureMethod": one, "Reference": (2, 3)}, "Id"
    )
    canonical = _read_algorithm(inside["CanonicalizationMethod"][0], (EXCLUSIVE, INCLUSIVE))
    method = _read_algorithm(inside["SignatureMethod"][0], (RSA, ECDSA, *([RSA_SHA1] if old else [])))
    _verify_value(certificate, method, _decode_base64(parts["SignatureValue"][0], "Id"), _canonicalize(info, canonical))
    # From here on, SignedInfo is what the key's holder signed.
    signed: tuple[str, bytes] | None = None
    with_properties, seen = False, set()
    for reference in inside["Reference"]:
        steps, algorithm, digest = _parse_reference(reference, _CERTIFICATE_DIGESTS if old else DIGESTS)
        uri = reference.get("URI")
        if uri is None:
            _raise_unfit("une référence ne dit pas à quoi")
        if uri in seen:
            _raise_unfit("deux références sont les mêmes")
        seen.add(uri)
        if uri == f"#{part}" or (whole and uri == ""):
            if reference.get("Type") in (*_PROPERTIES, MANIFEST):
                _raise_unfit("la référence à ce qui est signé est d'un autre type")
            if signed or steps != [ENVELOPED, EXCLUSIVE]:
                _raise_unfit("ce qui est signé l'est par des transformations qui ne sont pas admises")
            signed = _CERTIFICATE_DIGESTS[algorithm], digest
        elif uri == f"#{properties.get('Id')}":
            if reference.get("Type") not in _PROPERTIES:
                _raise_unfit("la référence aux propriétés n'est pas de leur type")
            _check_digest(properties, steps, algorithm, digest)
            with_properties = True
        elif key_info.get("Id") and uri == f"#{key_info.get('Id')}":
            _check_digest(key_info, steps, algorithm, digest)
        else:
            _raise_unfit(f"une référence désigne autre chose : « {uri[:60]} »")
    if signed is None or not with_properties:
        _raise_unfit("elle ne signe pas ce qui la porte et ses propriétés")
    _check_properties(properties, certificate, outdated)
    if method == RSA_SHA1 or signed[0] == "sha1":
        outdated.append("l'algorithme SHA-1 (SHA-256 attendu)")
    return Reading(certificate, *signed, tuple(outdated))


def _signer_certificate(key_info: etree._Element) -> x509.Certificate:
    """The signer's certificate; those that come with it must be of the authorities above it, one after the other."""
    names = {"X509Data": (1, 1), "KeyValue": (0, 1)}
    if len(key_info) and _local_name(key_info[0]) == "KeyValue":
        names = {"KeyValue": (0, 1), "X509Data": (1, 1)}
    held = _group_children(key_info, [DS], names, "Id")
    found = _group_children(held["X509Data"][0], [DS], {"X509Certificate": (1, 10)})["X509Certificate"]
    certificates = [x509.load_der_x509_certificate(_decode_base64(element)) for element in found]
    for value in held["KeyValue"]:
        _check_key(value, certificates[0].public_key())
    above, others = certificates[0], certificates[1:]
    while others:
        for one in others:
            try:
                above.verify_directly_issued_by(one)
            except (ValueError, TypeError, InvalidSignature):
                continue
            above = one
            others.remove(one)
            break
        else:
            _raise_unfit("KeyInfo contient un certificat qui n'est d'aucune autorité du signataire")
    return certificates[0]


def _check_key(value: etree._Element, key: object) -> None:
    """A key that is written out, as xmlsec1 does for S²LOW, is the certificate's: it says nothing more."""
    if not isinstance(key, rsa.RSAPublicKey):
        _raise_unfit("KeyInfo contient « KeyValue »")
    one = (1, 1)
    numbers = _group_children(value, [DS], {"RSAKeyValue": one})["RSAKeyValue"][0]
    inside = _group_children(numbers, [DS], {"Modulus": one, "Exponent": one})
    told = tuple(int.from_bytes(_decode_base64(inside[name][0])) for name in ("Modulus", "Exponent"))
    if told != (key.public_numbers().n, key.public_numbers().e):
        _raise_unfit("KeyInfo contient une autre clé que celle du certificat")


def _signed_properties(holder: etree._Element, signature: str, outdated: list[str]) -> etree._Element:
    """The SignedProperties of a ds:Object that holds nothing else."""
    qualifying = _group_children(holder, VERSIONS, {"QualifyingProperties": (1, 1)}, "Id")["QualifyingProperties"][0]
    version = etree.QName(qualifying).namespace or ""
    properties = _group_children(qualifying, [version], {"SignedProperties": (1, 1)}, "Target", "Id")[
        "SignedProperties"
    ][0]
    target = qualifying.get("Target") or ""
    if not signature or target.removeprefix("#") != signature:
        _raise_unfit("ses propriétés sont d'une autre signature")
    if version == VERSIONS[0]:
        outdated.append("XAdES 1.1.1 (1.2.2 attendu)")
    if not target.startswith("#"):
        outdated.append("un attribut Target sans « # »")
    if not properties.get("Id"):
        _raise_unfit("ses propriétés n'ont pas d'attribut Id")
    return properties


def _parse_reference(reference: etree._Element, digests: Iterable[str]) -> tuple[list[str], str, bytes]:
    """Transforms, digest's algorithm (one of these) and digest."""
    one = (1, 1)
    inside = _group_children(
        reference, [DS], {"Transforms": (0, 1), "DigestMethod": one, "DigestValue": one}, "URI", "Type", "Id"
    )
    steps = [
        _read_algorithm(step, (ENVELOPED, EXCLUSIVE, INCLUSIVE, INCLUSIVE_11))
        for holder in inside["Transforms"]
        for step in _group_children(holder, [DS], {"Transform": (1, 2)})["Transform"]
    ]
    algorithm = _read_algorithm(inside["DigestMethod"][0], digests)
    return steps, algorithm, _decode_base64(inside["DigestValue"][0])


def _check_digest(element: etree._Element, steps: list[str], algorithm: str, digest: bytes) -> None:
    if steps not in ([], [INCLUSIVE], [INCLUSIVE_11], [EXCLUSIVE]):
        _raise_unfit("ses propriétés sont signées par des transformations qui ne sont pas admises")
    content = _canonicalize(element, steps[0] if steps else INCLUSIVE)
    if hashlib.new(_CERTIFICATE_DIGESTS[algorithm], content).digest() != digest:
        _raise_altered(f"{_local_name(element)} n'est plus ce qui a été signé")


def _verify_value(certificate: x509.Certificate, method: str, value: bytes, signed: bytes) -> None:
    key = certificate.public_key()
    family, digest = (_METHODS | _OLD_METHODS)[method]
    try:
        if isinstance(key, rsa.RSAPublicKey) and family == "rsa":
            key.verify(value, signed, padding.PKCS1v15(), digest)
        elif isinstance(key, rsa.RSAPublicKey) and family == "pss":
            key.verify(value, signed, padding.PSS(padding.MGF1(digest), digest.digest_size), digest)
        elif isinstance(key, ec.EllipticCurvePublicKey) and family == "ecdsa":
            size = (key.key_size + 7) // 8
            if len(value) != 2 * size:
                _raise_unfit("la valeur de la signature n'a pas sa longueur")
            halves = encode_dss_signature(int.from_bytes(value[:size]), int.from_bytes(value[size:]))
            key.verify(halves, signed, ec.ECDSA(digest))
        else:
            _raise_unfit("la clé du certificat n'est pas de l'algorithme annoncé")
    except InvalidSignature:
        _raise_altered("sa valeur n'est pas celle de la clé du certificat")


def _check_properties(properties: etree._Element, certificate: x509.Certificate, outdated: list[str]) -> None:
    """What is signed along: time, certificate, policy; nothing but properties of XAdES, each once."""
    version = etree.QName(properties).namespace or ""
    for element in properties.iter():
        name = etree.QName(element)
        if name.namespace != version and (name.namespace != DS or name.localname not in _IN_PROPERTIES):
            _raise_unfit(f"ses propriétés contiennent « {name.localname[:60]} »")
    top = {"SignedSignatureProperties": (1, 1), "SignedDataObjectProperties": (0, 1)}
    inside = _group_children(properties, [version], top, "Id")["SignedSignatureProperties"][0]
    said = _group_children(inside, [version], _SIGNED_ALONG, "Id")

    def text(path: str) -> str:
        # Software of the field writes DigestMethod and DigestValue in the namespace of XAdES.
        found = inside.findall("{*}" + path.replace("/", "/{*}"))
        if len(found) != 1 or len(found[0]):
            _raise_unfit(f"ses propriétés : {path} manque, ou n'est pas un texte")
        return (found[0].text or "").strip()

    _check_time(text("SigningTime"), certificate)
    holders = said["SigningCertificate"] + said["SigningCertificateV2"]
    if not holders:
        _raise_unfit("ses propriétés ne désignent aucun certificat")
    for holder in holders:
        _check_designated(holder, certificate)
    policy = "SignaturePolicyIdentifier/SignaturePolicyId"
    known = POLICIES.get(text(f"{policy}/SigPolicyId/Identifier")) or _raise_unfit(
        "sa politique n'est pas celle de la DGFiP"
    )
    [method] = inside.findall("{*}" + f"{policy}/SigPolicyHash/DigestMethod".replace("/", "/{*}"))
    told = text(f"{policy}/SigPolicyHash/DigestValue")
    wanted = known.get(method.get("Algorithm") or "") or _raise_unfit("sa politique n'est pas celle de la DGFiP")
    if told.rstrip("=") != wanted.rstrip("="):
        _raise_unfit("l'empreinte de sa politique n'est pas celle de la politique de la DGFiP")
    if told != wanted:
        outdated.append("l'empreinte de la politique, en base64 incomplet (« = » manque à la fin)")


def _check_time(told: str, certificate: x509.Certificate) -> None:
    """The time that a signature claims is after its certificate began, and not to come."""
    if not _DATE_TIME.fullmatch(told):
        _raise_unfit(f"son heure n'en est pas une : « {told[:40]} »")
    moment = dt.datetime.fromisoformat(told)
    moment = moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
    if not certificate.not_valid_before_utc - _CLOCK <= moment <= dt.datetime.now(dt.UTC) + _CLOCK:
        _raise_unfit(f"elle se dit du {told[:40]}, avant le certificat ou dans l'avenir")


def _check_designated(holder: etree._Element, certificate: x509.Certificate) -> None:
    """What a SigningCertificate names first is the certificate that the signature bears."""
    [first, *_others] = holder.findall("{*}Cert")
    [digest_method] = first.findall("{*}CertDigest/{*}DigestMethod")
    [digest_value] = first.findall("{*}CertDigest/{*}DigestValue")
    algorithm = _CERTIFICATE_DIGESTS[digest_method.get("Algorithm") or ""]
    der = certificate.public_bytes(Encoding.DER)
    if base64.b64decode(digest_value.text or "") != hashlib.new(algorithm, der).digest():
        _raise_unfit("ses propriétés désignent un autre certificat")
    for serial in first.findall("{*}IssuerSerial/{*}X509SerialNumber"):
        if int(serial.text or "") != certificate.serial_number:
            _raise_unfit("ses propriétés désignent un certificat d'un autre numéro")


# -- reading, beside the document


def read_detached(data: bytes) -> Reading:
    """Read a signature that stands beside the document that it is of, and is of nothing else.

    What in it is not signed (timestamps, revocation lists) proves nothing here and is not looked at.

    Raises:
        Altered, Unreadable, Unfit: as `read`; it is of several files, or of what it holds itself.
    """
    return _translate_parse_errors(lambda: _read_detached(etree.fromstring(data, _PARSER)))


def _read_detached(root: etree._Element) -> Reading:
    if root.getroottree().docinfo.doctype:  # type: ignore[attr-defined] # lxml-stubs leaves it out
        _raise_unfit("une déclaration DOCTYPE n'a pas sa place dans une signature")
    _check_plain(root)
    named = [text for node in root.iter() for key, text in node.attrib.items() if etree.QName(key).localname == "Id"]
    if len(set(named)) < len(named):
        _raise_unfit("deux éléments y ont le même Id")
    tag = f"{{{DS}}}Signature"
    found = [root] if root.tag == tag else list(root.iterfind(tag))
    if len(found) != 1:
        _raise_unfit("il faut la signature d'une personne, et d'une seule")
    info, value, key_info = (
        _only_element(found[0], f"{{{DS}}}{name}") for name in ("SignedInfo", "SignatureValue", "KeyInfo")
    )
    qualifying = _only_element(found[0], f"{{{DS}}}Object/{{*}}QualifyingProperties")
    properties = _only_element(qualifying, "{*}SignedProperties")
    if etree.QName(properties).namespace not in VERSIONS or not properties.get("Id"):
        _raise_unfit("ses propriétés ne sont pas celles d'une signature XAdES")
    if (qualifying.get("Target") or "").removeprefix("#") != found[0].get("Id"):
        _raise_unfit("ses propriétés sont d'une autre signature")
    one = (1, 1)
    inside = _group_children(
        info, [DS], {"CanonicalizationMethod": one, "SignatureMethod": one, "Reference": (2, 20)}, "Id"
    )
    canonical = _read_algorithm(inside["CanonicalizationMethod"][0], (EXCLUSIVE, INCLUSIVE, INCLUSIVE_11))
    method = _read_algorithm(inside["SignatureMethod"][0], _METHODS)
    certificate, others = _find_designated(key_info, properties)
    _verify_value(certificate, method, _decode_base64(value, "Id"), _canonicalize(info, canonical))
    # From here on, SignedInfo is what the key's holder signed.
    known = {f"#{element.get('Id')}": element for element in (properties, key_info) if element.get("Id")}
    outside, with_properties = [], False
    for reference in inside["Reference"]:
        steps, algorithm, digest = _parse_reference(reference, DIGESTS)
        element = known.get(reference.get("URI") or "")
        if element is not None:
            with_properties = with_properties or element is properties
            _check_digest(element, steps, algorithm, digest)
        elif (reference.get("URI") or "-").startswith("#") or reference.get("URI") == "" or steps:
            _raise_unfit("elle signe ce qu'elle contient, et non un document qui est à côté d'elle")
        else:
            outside.append((DIGESTS[algorithm], digest))
    if len(outside) != 1 or not with_properties:
        _raise_unfit(f"elle signe {len(outside)} fichiers, il faut un seul document et ses propriétés")
    return Reading(certificate, *outside[0], others=tuple(others))


def _only_element(element: etree._Element, path: str) -> etree._Element:
    found = list(element.iterfind(path))
    return (
        found[0]
        if len(found) == 1
        else _raise_unfit(f"{_local_name(element)} : {len(found)} × {path.rpartition('}')[2]}")
    )


def _find_designated(
    key_info: etree._Element, properties: etree._Element
) -> tuple[x509.Certificate, list[x509.Certificate]]:
    """The certificate of `KeyInfo` that the signed properties designate, and the others."""
    path = "{*}SignedSignatureProperties/{*}SigningCertificate"
    holders = [*properties.iterfind(path), *properties.iterfind(f"{path}V2")]
    listed = list(key_info.iter(f"{{{DS}}}X509Certificate"))
    if not holders or len(listed) > 10:
        _raise_unfit(
            "ses propriétés ne désignent aucun certificat" if not holders else "plus de dix certificats y sont"
        )
    certificates = [x509.load_der_x509_certificate(_decode_base64(element)) for element in listed]
    for rank, one in enumerate(certificates):
        try:
            for holder in holders:
                _check_designated(holder, one)
        except InvalidSignatureError:
            continue
        return one, certificates[:rank] + certificates[rank + 1 :]
    return _raise_unfit("ses propriétés désignent un certificat qui n'y est pas")
