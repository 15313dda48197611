"""The check before a circuit moves on: this person signed this document, all of it, with a certificate that counts."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from pathlib import Path

from asn1crypto import x509
from pyhanko.sign.diff_analysis import ModificationLevel
from pyhanko.sign.general import CMSExtractionError, CMSStructuralError
from pyhanko.sign.validation import async_validate_pdf_signature
from pyhanko.sign.validation.errors import SignatureValidationError
from pyhanko.sign.validation.pdf_embedded import EmbeddedPdfSignature
from pyhanko.sign.validation.status import PdfSignatureStatus, SignatureCoverageLevel

from . import files
from .files import MAX_BYTES, check_clear, open_pdf
from .person import Person
from .refusal import Refusal
from .sameness import is_signed_copy
from .trust import Trust, common_name

ODD = (*files.ODD, CMSExtractionError, CMSStructuralError, SignatureValidationError)
"""What a hostile file makes of parsers."""
BROKEN = "la signature est abîmée ou fausse : le document a été modifié après la signature, ou pendant l'envoi"
CHANGED = (
    "le document a été modifié après la signature. À faire : repartez du document du circuit, signez-le, et déposez "
    "le fichier signé tel quel"
)
OTHER = (
    "ce n'est pas le document du circuit qui a été signé. À faire : téléchargez celui du circuit, signez-le, et "
    "déposez le fichier signé"
)
SIGN_AGAIN = (
    "signez avec « signer-acte » le document que donne le parapheur, et déposez le fichier signé tel quel ; si cela ne "
    "suffit pas, refusez le dossier : le rédacteur le reprend avec le même document, que le parapheur écrit de nouveau"
)


@dataclass(frozen=True)
class Signed:
    """A signature that counts.

    Attributes:
        holder: CN of its certificate.
        serial: of the certificate, hexadecimal.
        claimed_at: what the signer's clock said, if it said.
        remarks: what of it is outdated, and counts all the same; in French.
    """

    holder: str
    serial: str
    claimed_at: dt.datetime | None = field(default=None)
    remarks: tuple[str, ...] = ()


async def check_pdf(
    path: Path,
    person: Person,
    trust: Trust,
    original: Path | None = None,
    limit: int = MAX_BYTES,
    moment: dt.datetime | None = None,
    accepted: int = 0,
) -> Signed:
    """Check a signed PDF that was handed in.

    Args:
        person: whose signature is expected.
        original: the document of the circuit: what was signed must be that one, with nothing but signatures added.
        limit: bytes.
        moment: when certificates must be good; now by default.
        accepted: how many signatures the original had: of suppliers, judged when it came (qualified.py). They must be
            whole; none of them is the expected person's unless `trust` says so.

    Returns:
        The expected person's signature. Every other signature in the file is good as well.

    Raises:
        Refusal: the reason.
    """
    with open_pdf(path, limit) as (_stream, reader):
        try:
            regular = list(reader.embedded_regular_signatures)
        except ODD:
            raise Refusal(f"{path.name} : {BROKEN}") from None
        if not regular:
            raise Refusal(f"{path.name} : le document n'est pas signé. À faire : signez-le avec « signer-acte »")
        try:
            statuses = [await async_validate_pdf_signature(one, trust.context(moment)) for one in regular]
        except ODD:
            raise Refusal(f"{path.name} : {BROKEN}") from None
        faults = [await _fault(one, status, trust, moment) for one, status in zip(regular, statuses, strict=True)]
        for rank, told in enumerate(faults):
            if told and (rank >= accepted or broken(statuses[rank])):
                raise Refusal(f"{path.name} : {told}")
        whose = [told or person.refusal(one.signer_cert) for one, told in zip(regular, faults, strict=True)]
        if None not in whose:
            raise Refusal(f"{path.name} : {whose[-1]}")
        own = len(whose) - 1 - whose[::-1].index(None)
        if not is_whole(statuses[own], later=regular[own].signed_revision < reader.total_revisions - 1):
            raise Refusal(f"{path.name} : {CHANGED}")
        check_clear(path, SIGN_AGAIN)
        if original and not is_signed_copy(path, reader, original):
            raise Refusal(f"{path.name} : {OTHER}")
        return Signed(
            common_name(regular[own].signer_cert.subject),
            f"{regular[own].signer_cert.serial_number:X}",
            regular[own].self_reported_timestamp,
        )


def is_whole(status: PdfSignatureStatus, *, later: bool) -> bool:
    """Whether nothing is after a signature but revisions that prove it for longer; `later` says that there are some."""
    allowed = status.modification_level in (ModificationLevel.NONE, ModificationLevel.LTA_UPDATES)
    return status.coverage == SignatureCoverageLevel.ENTIRE_FILE or (later and allowed)


def broken(status: PdfSignatureStatus) -> str | None:
    """What is wrong with a signature, whoever made it, in French."""
    if not (status.intact and status.valid):
        return BROKEN
    if status.coverage is None or status.coverage < SignatureCoverageLevel.ENTIRE_REVISION:
        return "la signature ne couvre qu'une partie du document. À faire : signez le document entier"
    if not status.docmdp_ok or status.modification_level in (None, ModificationLevel.OTHER):
        return CHANGED
    return None


async def _fault(
    signature: EmbeddedPdfSignature, status: PdfSignatureStatus, trust: Trust, moment: dt.datetime | None
) -> str | None:
    certificate: x509.Certificate = signature.signer_cert
    if told := broken(status):
        return told
    if told := await trust.refusal(certificate, signature.other_embedded_certs, moment):
        return told
    return None if status.bottom_line else "la signature ne vaut pas : son algorithme ou son horodatage n'est pas admis"
