"""PAdES (ETSI EN 319 142-1): a person's signature, and the server's seal with what proves it for long."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asn1crypto import x509
from asn1crypto.algos import SignedDigestAlgorithm
from asn1crypto.cms import CMSAttributes
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign import fields, signers
from pyhanko.sign.general import SigningError
from pyhanko.sign.signers.pdf_byterange import PreparedByteRangeDigest
from pyhanko.sign.timestamps import TimeStamper, TimestampRequestError
from pyhanko.sign.validation.dss import DocumentSecurityStore
from pyhanko_certvalidator import CertificateValidator
from pyhanko_certvalidator.registry import SimpleCertificateStore

from . import check, files
from .files import ASK_THE_PARAPHEUR, check_clear, new_file, open_pdf
from .refusal import DocumentRefusedError, unread
from .trust import Trust, common_name

SIGNATURE, SEAL = "Signature", "Cachet"
REASON = "Signature de l'acte"
DIGEST = "sha256"
_MAX_DER_OVERHEAD_BYTES = 16  # bytes, at most, that DER adds to the two numbers of an ECDSA signature
_LOCKED_REASON = (
    "{} a certifié ou verrouillé ce document en le signant : aucune autre signature ne peut y être ajoutée sans que la "
    "sienne tombe. À faire : demandez-lui de le signer de nouveau sans le verrouiller (sans « Aucune modification "
    "autorisée » ni « Verrouiller le document après la signature »)"
)


def closed(path: Path, reader: PdfFileReader) -> str | None:
    """Who signed a document in such a way that nobody may sign below, in French; nothing otherwise.

    Raises:
        Refusal: a signature cannot be read.
    """
    for one in check.signatures(path, reader):
        try:
            locked = one.fieldmdp and any(one.fieldmdp.is_locked(name) for name in (SIGNATURE, SEAL))
            if locked or one.docmdp_level == fields.MDPPerm.NO_CHANGES:
                return _LOCKED_REASON.format(common_name(one.signer_cert.subject))
        except check.ODD as error:
            raise unread(path.name, error) from None
    return None


def _free_name(writer: IncrementalPdfFileWriter, stem: str) -> str:
    taken = {name for name, _value, _reference in fields.enumerate_sig_fields(writer)}
    return next(name for name in (stem, *(f"{stem} {number}" for number in range(2, 1000))) if name not in taken)


async def sign(source: Path, target: Path, signer: signers.Signer, stamper: TimeStamper | None = None) -> None:
    """Sign a PDF for a person (baseline B-B; B-T with a timestamp). What was signed before stays as it was, and valid.

    Args:
        target: the signed copy; the source is not touched.

    Raises:
        Refusal: the PDF cannot be signed, or be read in several ways; the copy cannot be written.
    """
    await _write_signature(source, target, signer, stamper, SIGNATURE, REASON, None)


@dataclass(frozen=True)
class PendingPdfSignature:
    """A signature (B-B) that waits for its key.

    Attributes:
        added: what the signed copy has below the source.
        start: of the place that is left in it for the signature, in bytes.
        end: of that place.
        attributes: what the key signs, over SHA-256: DER of CMS's signed attributes.
    """

    added: bytes
    start: int
    end: int
    attributes: bytes


def _external_signer(chain: Sequence[x509.Certificate], value: bytes) -> signers.ExternalSigner:
    """What signs as the key that is elsewhere did; `chain` begins with its certificate."""
    key = chain[0].public_key.algorithm
    store = SimpleCertificateStore()
    store.register_multiple(chain[1:])
    mechanism = SignedDigestAlgorithm({"algorithm": f"{DIGEST}_{'ecdsa' if key == 'ec' else key}"})
    return signers.ExternalSigner(chain[0], store, value, mechanism)


async def prepare(source: Path, chain: Sequence[x509.Certificate]) -> PendingPdfSignature:
    """Make a person's signature, as `sign` does, but for what their key does.

    Args:
        chain: the certificate of the key (RSA or ECDSA), then those of authorities above it.

    Raises:
        Refusal: as `sign`.
    """
    signer = _external_signer(chain, bytes(chain[0].public_key.byte_size * 2 + _MAX_DER_OVERHEAD_BYTES))
    with _open_for_signing(source) as (_reader, writer), tempfile.TemporaryFile() as output:
        described = _signature_metadata(writer, signer, SIGNATURE, REASON)
        try:
            made, _document, _output = await signers.PdfSigner(described, signer).async_digest_doc_for_signing(
                writer, output=output
            )
        except SigningError as error:
            raise DocumentRefusedError(f"{source.name} : la signature a échoué ({error})") from None
        attributes = await signer.signed_attrs(made.document_digest, DIGEST, use_pades=True)
        size = source.stat().st_size
        output.seek(size)
        start, end = (at - size for at in (made.reserved_region_start, made.reserved_region_end))
        return PendingPdfSignature(output.read(), start, end, attributes.dump())


async def fill(
    source: Path, target: Path, waiting: PendingPdfSignature, chain: Sequence[x509.Certificate], made: bytes
) -> None:
    """Write the signed copy of a document.

    Args:
        source: the document that was prepared, unchanged.
        chain: as it was prepared with.
        made: what the key did: PKCS #1 v1.5, or ECDSA in DER.

    Raises:
        Refusal: the copy cannot be written.
    """
    attributes = CMSAttributes.load(waiting.attributes)
    signed = await _external_signer(chain, made).async_sign_prescribed_attributes(DIGEST, attributes)
    with source.open("rb") as stream, new_file(target) as output:
        shutil.copyfileobj(stream, output)
        size = output.tell()
        output.write(waiting.added)
        place = PreparedByteRangeDigest(b"", size + waiting.start, size + waiting.end)
        place.fill_with_cms(output, signed)


async def seal(source: Path, target: Path, signer: signers.Signer, stamper: TimeStamper, trust: Trust) -> None:
    """Put the server's seal (cachet) on a PDF, baseline B-LTA: certificates and CRLs inside, timestamped.

    Those of signatures that are there already go in as well.

    Args:
        trust: of the seal's certificate, of the timestamp's, of earlier signers'.

    Raises:
        Refusal: as `sign`; the timestamp is not to be had; a certificate does not count.
    """
    await _write_signature(source, target, signer, stamper, SEAL, "Cachet du parapheur", trust)


@contextmanager
def _ensure_final_newline(source: Path) -> Iterator[Path]:
    """A document whose last line ends (Word's does not): of what follows `%%EOF` on its line, who builds the table of
    objects again takes nothing for an object.
    """
    files.check_size(source)
    with source.open("rb") as stream, tempfile.TemporaryDirectory() as name:
        stream.seek(-1, os.SEEK_END)
        if stream.read(1) in b"\r\n":
            yield source
            return
        stream.seek(0)
        whole = Path(name, source.name)
        with whole.open("wb") as copy:
            shutil.copyfileobj(stream, copy)
            copy.write(b"\n")
        yield whole


@contextmanager
def _open_for_signing(source: Path) -> Iterator[tuple[PdfFileReader, IncrementalPdfFileWriter]]:
    """A document that may be signed, and what writes below it. Raises Refusal."""
    with _ensure_final_newline(source) as whole, open_pdf(whole) as (_stream, reader):
        check_clear(source, ASK_THE_PARAPHEUR)
        writer = IncrementalPdfFileWriter.from_reader(reader)
        if told := closed(source, reader):
            raise DocumentRefusedError(f"{source.name} : {told}")
        yield reader, writer


def _signature_metadata(
    writer: IncrementalPdfFileWriter, signer: signers.Signer, stem: str, reason: str, **long_term: Any
) -> signers.PdfSignatureMetadata:
    return signers.PdfSignatureMetadata(
        field_name=_free_name(writer, stem),
        subfilter=fields.SigSeedSubFilter.PADES,
        md_algorithm=DIGEST,
        name=common_name(signer.signing_cert.subject) if signer.signing_cert else None,
        reason=reason,
        **long_term,
    )


async def _write_signature(
    source: Path,
    target: Path,
    signer: signers.Signer,
    stamper: TimeStamper | None,
    stem: str,
    reason: str,
    trust: Trust | None,
) -> None:
    with _open_for_signing(source) as (reader, writer), new_file(target) as output:
        long_term: dict[str, Any] = {}
        if trust:
            if signer.signing_cert and (told := await trust.refusal(signer.signing_cert)):
                raise DocumentRefusedError(f"cachet : {told}")
            await _keep_proofs(writer, reader, trust)
            long_term = {
                "use_pades_lta": True,
                "embed_validation_info": True,
                "validation_context": trust.context(),
            }
        described = _signature_metadata(writer, signer, stem, reason, **long_term)
        try:
            await signers.PdfSigner(described, signer, timestamper=stamper).async_sign_pdf(writer, output=output)
        except TimestampRequestError as error:
            raise DocumentRefusedError(
                f"pas d'horodatage : {error}. À faire : relancez quand l'autorité d'horodatage répond"
            ) from None
        except SigningError as error:
            raise DocumentRefusedError(f"{source.name} : la signature a échoué ({error})") from None


async def _keep_proofs(writer: IncrementalPdfFileWriter, reader: PdfFileReader, trust: Trust) -> None:
    """Put the certificates and CRLs of earlier signatures in the file, below the seal that comes."""
    for earlier in reader.embedded_regular_signatures:
        if told := await trust.refusal(earlier.signer_cert, earlier.other_embedded_certs):
            raise DocumentRefusedError(f"une signature déjà présente ne vaut pas : {told}")
        context = trust.context()
        validator = CertificateValidator(earlier.signer_cert, earlier.other_embedded_certs, validation_context=context)
        path = await validator.async_validate_usage({"non_repudiation"})
        DocumentSecurityStore.supply_dss_in_writer(
            writer, earlier.pkcs7_content.hex().encode(), paths=[path], validation_context=context
        )
