"""A supplier's signature on a contract, by any qualified certificate of the EU (eIDAS, article 25; arrêté du 22 mars
2019 on the electronic signature of public contracts).

Who issues qualified certificates is told by the EU's trusted lists, as the control node verified them
(`confiance.json`, collection's pki.trusted_lists); whether a certificate is revoked by the lists that we hold, never by
what a signature carries.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asn1crypto import cms, pem, x509
from cryptography.hazmat.primitives.serialization import Encoding
from pyhanko.sign.validation.generic_cms import async_validate_detached_cms
from pyhanko.sign.validation.pdf_embedded import EmbeddedPdfSignature
from pyhanko.sign.validation.qualified.assess import QualificationAssessor
from pyhanko.sign.validation.qualified.tsp import (
    BaseServiceInformation,
    CAServiceInformation,
    CertSubjectDNCriterion,
    CriteriaCombination,
    CriteriaList,
    Criterion,
    KeyUsageCriterion,
    PolicySetCriterion,
    QcCertType,
    Qualification,
    Qualifier,
    TSPRegistry,
)
from pyhanko.sign.validation.settings import KeyUsageConstraints
from pyhanko_certvalidator import CertificateValidator

from . import check, pades, xades
from .files import MAX_BYTES, check_clear, open_pdf
from .refusal import ALTERED, UNFIT, DocumentRefusedError
from .sameness import is_signed_copy
from .trust import Trust, common_name

MAX_SIGNATURE = 5_000_000  # bytes of a detached one
MAX_SIGNERS = 20
SIGN_OTHERWISE = (
    "faites signer au fournisseur le document que donne le parapheur, ou demandez-lui une signature détachée (.p7s) de "
    "ce document"
)
_ARMORED = ("CMS", "PKCS7")
_DER = tuple(bytes([0x30, length]) for length in range(0x80, 0x85))  # how an ASN.1 sequence begins
_DETACHED_SIGNATURE_HINT = (
    "À faire : demandez au fournisseur la signature détachée (CAdES ou XAdES) du document que donne le parapheur"
)
_NO_SIGNATURE_REASON = (
    "ce n'est pas une signature CMS (.p7s) ni XAdES (.xml). À faire : déposez le PDF signé, ou la signature détachée "
    "du document de ce dossier"
)
_SEVERAL = f"il faut la signature d'une personne, et d'une seule. {_DETACHED_SIGNATURE_HINT}"
_ANOTHER = f"ce n'est pas le document du dossier qui est signé, ou il a été modifié depuis. {_DETACHED_SIGNATURE_HINT}"


@dataclass(frozen=True)
class Lists:
    """The trusted lists, and the suppliers' revocation lists.

    Attributes:
        registry: services that issue qualified certificates.
        trust: their certificates as roots, and the revocation lists that we hold.
        told: of what day they are, in French; what there is to say against them too.
    """

    registry: TSPRegistry
    trust: Trust
    told: str

    @classmethod
    def read(cls, path: Path, crls: list[Path], now: dt.datetime) -> Lists:
        """Read them.

        Raises:
            Refusal: there are none yet, or they are out of date.
        """
        if not path.is_file():
            raise DocumentRefusedError(
                "les listes de confiance de l'Union européenne ne sont pas encore sur le parapheur : la signature d'un "
                "fournisseur ne peut pas être jugée. À faire : prévenez le groupement (fab parapheur.confiance)"
            )
        try:
            told = json.loads(path.read_text(encoding="utf-8"))
            certificates = {
                name: x509.Certificate.load(base64.b64decode(der)) for name, der in told["certificats"].items()
            }
            registry = TSPRegistry()
            for one in told["services"]:
                registry.register_ca(_build_service(one, certificates))
            end = _parse_moment(told["lotl"]["prochaine"])
            late = sorted(
                name for name, one in told["listes"].items() if (day := _parse_moment(one["prochaine"])) and day <= now
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DocumentRefusedError(
                f"les listes de confiance du parapheur ne se lisent pas ({type(error).__name__}). À faire : prévenez "
                "le groupement (fab parapheur.confiance)"
            ) from None
        if end and end <= now:
            raise DocumentRefusedError(
                f"les listes de confiance du parapheur sont périmées depuis le {end:%d/%m/%Y}. À faire : prévenez le "
                "groupement (fab parapheur.confiance)"
            )
        known = Trust.read([], [one for one in crls if one.is_file() and one.stat().st_size])
        roots = {one.dump(): one for one in certificates.values()}
        said = f"liste des listes n° {told['lotl']['numero']} du {_parse_moment(told['lotl']['emise']):%d/%m/%Y}"
        if late:
            said += f" ; celle de {', '.join(late)} est périmée"
        return cls(registry, Trust(list(roots.values()), [], known.crls), said)


def _parse_moment(text: str | None) -> Any:
    return dt.datetime.fromisoformat(text) if text else None


def _build_service(one: dict[str, Any], certificates: dict[str, x509.Certificate]) -> CAServiceInformation:
    return CAServiceInformation(
        BaseServiceInformation(
            one["type"],
            one["nom"],
            _parse_moment(one["du"]),
            _parse_moment(one["au"]),
            tuple(certificates[name] for name in one["certificats"]),
            frozenset(QcCertType(kind) for kind in one["pour"]),
            frozenset(),
        ),
        frozenset(
            Qualification(frozenset(Qualifier(word) for word in each["valeurs"]), _build_list(each["si"]))
            for each in one["qualifications"]
        ),
        None,
    )


def _build_list(one: dict[str, Any]) -> CriteriaList:
    return CriteriaList(CriteriaCombination(one["liste"]), frozenset(_build_criterion(each) for each in one["parmi"]))


def _build_criterion(one: dict[str, Any]) -> Criterion:
    if "liste" in one:
        return _build_list(one)
    if "politiques" in one:
        return PolicySetCriterion(frozenset(one["politiques"]))
    if "sujet" in one:
        return CertSubjectDNCriterion(frozenset(one["sujet"]))
    return KeyUsageCriterion(
        KeyUsageConstraints(
            key_usage=set(one["usages"]) or None,
            key_usage_forbidden=set(one["interdits"]) or None,
            extd_key_usage=set(one["etendus"]) or None,
        )
    )


@dataclass(frozen=True)
class Supplier:
    """A supplier's signature that counts.

    Attributes:
        holder: CN of its certificate.
        serial: of the certificate, hexadecimal.
        issuer: CN of who issued it.
        country: whose trusted list names that issuer.
    """

    holder: str
    serial: str
    issuer: str
    country: str


async def person(
    certificate: x509.Certificate, others: list[x509.Certificate], lists: Lists, moment: dt.datetime
) -> Supplier | str:
    """Who a supplier's certificate is of, or why it does not count, in French."""
    holder, issuer = common_name(certificate.subject), common_name(certificate.issuer)
    if not any(one.subject == certificate.issuer for one in lists.trust.roots) and not _leads_to_list(
        certificate, others, lists
    ):
        return (
            f"le certificat de {holder} n'est pas qualifié : aucune liste de confiance de l'Union européenne ne nomme "
            f"son émetteur « {issuer} » ({lists.told}). À faire : demandez une signature par un certificat qualifié "
            "(arrêté du 22 mars 2019)"
        )
    if told := await lists.trust.refusal(certificate, others, moment):
        if "rien ne dit si" in told:
            told += (
                ". À faire : demandez au groupement d'ajouter cette liste (parapheur_suppliers_crl_urls"
                f"{_crl_hint(certificate)})"
            )
        return told
    validator = CertificateValidator(certificate, others, validation_context=lists.trust.context(moment))
    path = await validator.async_validate_usage({"non_repudiation"})
    try:
        status = QualificationAssessor(lists.registry).check_entity_cert_qualified(path, moment)
    except (NotImplementedError, ValueError, TypeError, KeyError):  # odd statements of a certificate: refused below
        status = None
    if status is None or not status.status.qualified:
        return f"le certificat de {holder}, émis par « {issuer} », n'est pas qualifié ({lists.told})"
    if status.status.qc_type != QcCertType.QC_ESIGN:
        return f"le certificat de {holder} est qualifié, mais pas pour signer : c'est celui d'un cachet ou d'un site"
    return Supplier(
        holder, f"{certificate.serial_number:X}", issuer, str(certificate.issuer.native.get("country_name", ""))
    )


def _leads_to_list(certificate: x509.Certificate, others: list[x509.Certificate], lists: Lists) -> bool:
    """Whether an authority that came along was issued by one of the lists."""
    names = {one.subject.hashable for one in lists.trust.roots}
    return any(one.subject == certificate.issuer and one.issuer.hashable in names for one in others)


def _crl_hint(certificate: x509.Certificate) -> str:
    points = certificate.crl_distribution_points or []
    urls = [str(one.url) for one in points if one.url]
    return f" : {urls[0][:200]}" if urls else ""


async def check_pdf(
    path: Path, lists: Lists, original: Path | None = None, moment: dt.datetime | None = None
) -> list[Supplier]:
    """Check the suppliers' signatures of a PDF (PAdES).

    Args:
        original: the dossier's own file; the PDF must be that one, with nothing but signatures added; its own
            signatures were judged when they came.
        moment: when certificates must be good; now by default.

    Returns:
        Who signed, in order, beyond who had signed the original.

    Raises:
        Refusal: the reason.
    """
    now = moment or dt.datetime.now(dt.UTC)
    with open_pdf(path, MAX_BYTES) as (_stream, reader):
        regular = check.signatures(path, reader)
        check_clear(path, SIGN_OTHERWISE)
        before = await signatures(original) if original else 0
        if original and not is_signed_copy(path, reader, original):
            raise DocumentRefusedError(f"{path.name} : {check.OTHER}")
        added = regular[before:]
        if not added:
            raise DocumentRefusedError(f"{path.name} : le document n'est pas signé par le fournisseur")
        if len(regular) > MAX_SIGNERS:
            raise DocumentRefusedError(f"{path.name} : plus de {MAX_SIGNERS} signatures")
        found = [await _judge_signature(path, one, lists, now) for one in added]
        if original is None and (told := pades.closed(path, reader)):  # the commune signs below
            raise DocumentRefusedError(f"{path.name} : {told}")
        last = await check.status_of(path, regular[-1], lists.trust.context(now))
        if not check.is_whole(last, later=check.is_followed(regular[-1])):
            raise DocumentRefusedError(f"{path.name} : {check.CHANGED}")
        return found


async def signatures(path: Path) -> int:
    """How many signatures a PDF has.

    Raises:
        Refusal: it is no PDF that can be read.
    """
    with open_pdf(path, MAX_BYTES) as (_stream, reader):
        return len(check.signatures(path, reader))


async def _judge_signature(path: Path, one: EmbeddedPdfSignature, lists: Lists, now: dt.datetime) -> Supplier:
    status = await check.status_of(path, one, lists.trust.context(now))
    if told := check.broken(status):
        raise DocumentRefusedError(f"{path.name} : {told}")
    found = await person(one.signer_cert, list(one.other_embedded_certs), lists, now)
    if isinstance(found, str):
        raise DocumentRefusedError(f"{path.name} : {found}")
    if told := check.unaccepted(one, status):
        raise DocumentRefusedError(f"{path.name} : {told}")
    return found


def is_pdf(path: Path) -> bool:
    """Whether a counter-signature is a signed PDF, and not a signature that holds one."""
    with path.open("rb") as stream:
        head = stream.read(1024)
    return b"%PDF-" in head and head[:2] not in _DER


async def check_detached(
    signature: Path, document: Path, lists: Lists, moment: dt.datetime | None = None
) -> list[Supplier]:
    """Check a detached signature of a document: CAdES (DER or PEM), or XAdES. Arguments and errors: as `check_pdf`."""
    now = moment or dt.datetime.now(dt.UTC)
    if signature.stat().st_size > MAX_SIGNATURE:
        raise DocumentRefusedError(
            f"{signature.name} : plus de {MAX_SIGNATURE / 1e6:.0f} Mo, pour une signature détachée. "
            f"{_DETACHED_SIGNATURE_HINT}"
        )
    data = signature.read_bytes()
    judged = _judge_xades if data.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"<") else _judge_cms
    certificate, others, admitted = await judged(signature.name, data, document, lists.trust, now)
    found = await person(certificate, others, lists, now)
    if isinstance(found, str):
        raise DocumentRefusedError(
            f"{signature.name} : {found}"
            if "À faire" in found
            else f"{signature.name} : {found}. {_DETACHED_SIGNATURE_HINT}"
        )
    if not admitted:
        raise DocumentRefusedError(
            f"{signature.name} : {UNFIT} : son algorithme n'est pas admis. {_DETACHED_SIGNATURE_HINT}"
        )
    return [found]


_Judged = tuple[x509.Certificate, list[x509.Certificate], bool]
"""Who signed, certificates that came along, whether the algorithms are admitted."""


async def _judge_cms(name: str, data: bytes, document: Path, trust: Trust, now: dt.datetime) -> _Judged:
    try:
        if data.lstrip().startswith(b"-----BEGIN "):
            blocks = list(pem.unarmor(data.lstrip(), multiple=True))
            if len(blocks) != 1:
                raise DocumentRefusedError(f"{name} : {_SEVERAL if blocks else _NO_SIGNATURE_REASON}")
            [(kind, _headers, data)] = blocks
            if kind not in _ARMORED:
                raise DocumentRefusedError(f"{name} : « {kind[:40]} » : {_NO_SIGNATURE_REASON}")
        whole = cms.ContentInfo.load(data, strict=True)
        if whole["content_type"].native != "signed_data":
            raise DocumentRefusedError(f"{name} : {_NO_SIGNATURE_REASON}")
        signed = whole["content"]
        if len(signed["signer_infos"]) != 1:
            raise DocumentRefusedError(f"{name} : {_SEVERAL}")
        if signed["encap_content_info"]["content"].native is not None:
            raise DocumentRefusedError(
                f"{name} : cette signature contient un document : elle n'est pas détachée. {_DETACHED_SIGNATURE_HINT}"
            )
        with document.open("rb") as stream:
            status = await async_validate_detached_cms(stream, signed, signer_validation_context=trust.context(now))
    except DocumentRefusedError:
        raise
    except check.ODD:
        raise DocumentRefusedError(f"{name} : {_NO_SIGNATURE_REASON}") from None
    if not status.intact:
        raise DocumentRefusedError(f"{name} : {_ANOTHER}")
    if not status.valid:
        raise DocumentRefusedError(f"{name} : {ALTERED}. {_DETACHED_SIGNATURE_HINT}")
    others = [one.chosen for one in signed["certificates"] if one.name == "certificate"]
    return status.signing_cert, others, status.bottom_line


async def _judge_xades(name: str, data: bytes, document: Path, _trust: Trust, _now: dt.datetime) -> _Judged:
    """As `_cms`; what its certificate is worth is judged after."""
    try:
        reading = xades.read_detached(data)
    except xades.InvalidSignatureError as why:
        raise DocumentRefusedError(f"{name} : {xades.explained(why)}. {_DETACHED_SIGNATURE_HINT}") from None
    with document.open("rb") as stream:
        if hashlib.file_digest(stream, reading.algorithm).digest() != reading.digest:
            raise DocumentRefusedError(f"{name} : {_ANOTHER}")
    certificates = [one.public_bytes(Encoding.DER) for one in (reading.certificate, *reading.others)]
    own, *others = (x509.Certificate.load(one, strict=True) for one in certificates)
    return own, others, True
