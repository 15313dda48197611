"""The check before a circuit moves on: this person signed this document, all of it, with a certificate that counts."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field, replace
from pathlib import Path

from asn1crypto import x509
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign import fields
from pyhanko.sign.diff_analysis import DiffResult, ModificationLevel
from pyhanko.sign.general import CMSExtractionError, CMSStructuralError
from pyhanko.sign.validation import async_validate_pdf_signature
from pyhanko.sign.validation.errors import SignatureValidationError
from pyhanko.sign.validation.pdf_embedded import EmbeddedPdfSignature
from pyhanko.sign.validation.status import PdfSignatureStatus, SignatureCoverageLevel
from pyhanko_certvalidator import ValidationContext

from . import files
from .files import MAX_BYTES, check_clear, open_pdf
from .person import Person
from .refusal import ALTERED, BROKEN, UNFIT, DocumentRefusedError, unread
from .sameness import added_to, is_signed_copy
from .trust import Trust, common_name

ODD = (*files.ODD, CMSExtractionError, CMSStructuralError, SignatureValidationError)
"""What a hostile file makes of parsers."""
_EOF_SEARCH_BYTES = 1000  # bytes, of which a reader looks for the end
_RESIGN_HINT = "repartez du document du circuit, signez-le, et déposez le fichier signé tel quel"
_ALTERED = f"{ALTERED} (son empreinte n'est plus celle qui a été signée). À faire : {_RESIGN_HINT}"
_FALSE = (
    f"{BROKEN} : le document est tel qu'il a été signé, mais la clé du certificat n'a pas fait cette signature. "
    f"À faire : {_RESIGN_HINT}"
)
CHANGED = (
    "le document a été modifié après la signature : autre chose que des preuves y a été ajouté. À "
    f"faire : {_RESIGN_HINT}"
)
LATER = (
    "après la signature attendue, une autre a été ajoutée, ou un champ rempli : notre règle veut que la personne "
    "attendue signe en dernier. À faire : faites-la signer de nouveau, ou déposez le fichier tel qu'elle l'a signé"
)
_RULE = (
    UNFIT + " : {}. Cela ne dit rien contre le document. À faire : faites-le signer de nouveau, avec SHA-256 ou mieux "
    "(« signer-acte » le fait)"
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
        regular = signatures(path, reader)
        if not regular:
            raise DocumentRefusedError(
                f"{path.name} : le document n'est pas signé. À faire : signez-le avec « signer-acte »"
            )
        statuses = [await status_of(path, one, trust.context(moment)) for one in regular]
        faults = [await _find_fault(one, status, trust, moment) for one, status in zip(regular, statuses, strict=True)]
        for rank, told in enumerate(faults):
            if told and (rank >= accepted or broken(statuses[rank])):
                raise DocumentRefusedError(f"{path.name} : {told}")
        whose = [told or person.refusal(one.signer_cert) for one, told in zip(regular, faults, strict=True)]
        if None not in whose:
            raise DocumentRefusedError(f"{path.name} : {whose[-1]}")
        own = len(whose) - 1 - whose[::-1].index(None)
        later = is_followed(regular[own])
        if not is_whole(statuses[own], later=later):
            raise DocumentRefusedError(f"{path.name} : {LATER if later else CHANGED}")
        check_clear(path, SIGN_AGAIN)
        if original and not is_signed_copy(path, reader, original):
            raise DocumentRefusedError(f"{path.name} : {OTHER}")
        return Signed(
            common_name(regular[own].signer_cert.subject),
            f"{regular[own].signer_cert.serial_number:X}",
            regular[own].self_reported_timestamp,
        )


def signatures(path: Path, reader: PdfFileReader) -> list[EmbeddedPdfSignature]:
    """The signatures of a PDF, without its timestamps.

    Raises:
        Refusal: one of them cannot be read.
    """
    try:
        return list(reader.embedded_regular_signatures)
    except ODD as error:
        raise unread(path.name, error) from None


async def status_of(path: Path, one: EmbeddedPdfSignature, context: ValidationContext) -> PdfSignatureStatus:
    """What pyHanko says of a signature; of what came after it, it does not know all that other programs write.

    Raises:
        Refusal: it cannot be read.
    """
    try:
        status = await async_validate_pdf_signature(one, context)
    except ODD as error:
        raise unread(path.name, error) from None
    whole = status.intact and status.valid and status.coverage == SignatureCoverageLevel.ENTIRE_REVISION
    if not whole or status.modification_level != ModificationLevel.OTHER:
        return status
    level = added_to(one)
    allowed = level != ModificationLevel.OTHER and level.value <= (one.docmdp_level or fields.MDPPerm.ANNOTATE).value
    return replace(status, diff_result=DiffResult(level, set()), docmdp_ok=allowed)


def unaccepted(one: EmbeddedPdfSignature, status: PdfSignatureStatus) -> str | None:
    """What our rule has against a signature that is whole, and of a certificate that counts, in French."""
    if status.bottom_line:
        return None
    stamp = status.timestamp_validity
    if stamp and not (stamp.intact and stamp.valid and stamp.trusted):
        return _RULE.format("son horodatage ne vient pas d'une autorité admise ici, ou ne s'y vérifie pas")
    said = one.signer_info
    return _RULE.format(
        f"son algorithme ({said['digest_algorithm']['algorithm'].native}, "
        f"{said['signature_algorithm']['algorithm'].native}) n'est plus admis"
    )


def is_followed(one: EmbeddedPdfSignature) -> bool:
    """Whether what comes after a signature is a revision, or the blanks that messages add, not bytes of no meaning."""
    if one.signed_revision < one.reader.total_revisions - 1:
        return True
    one.reader.stream.seek(sum(map(int, (one.byte_range[2], one.byte_range[3]))))
    return not one.reader.stream.read(_EOF_SEARCH_BYTES + 1).strip(b"\0\t\n\f\r ")


def is_whole(status: PdfSignatureStatus, *, later: bool) -> bool:
    """Whether nothing is after a signature but revisions that prove it for longer; `later` says that there are some."""
    allowed = status.modification_level in (ModificationLevel.NONE, ModificationLevel.LTA_UPDATES)
    return status.coverage == SignatureCoverageLevel.ENTIRE_FILE or (later and allowed)


def broken(status: PdfSignatureStatus) -> str | None:
    """What is wrong with a signature, whoever made it, in French."""
    if not (status.intact and status.valid):
        return _FALSE if status.intact else _ALTERED
    if status.coverage is None or status.coverage < SignatureCoverageLevel.ENTIRE_REVISION:
        return "la signature ne couvre qu'une partie du document. À faire : signez le document entier"
    if not status.docmdp_ok or status.modification_level in (None, ModificationLevel.OTHER):
        return CHANGED
    return None


async def _find_fault(
    signature: EmbeddedPdfSignature, status: PdfSignatureStatus, trust: Trust, moment: dt.datetime | None
) -> str | None:
    certificate: x509.Certificate = signature.signer_cert
    if told := broken(status):
        return told
    if told := await trust.refusal(certificate, signature.other_embedded_certs, moment):
        return told
    return unaccepted(signature, status)
