"""Signatures of Helios flows (PES Aller): each bordereau that has an Id is signed, or else the whole file.

Form: XAdES-EPES, enveloped, exclusive canonicalisation, SHA-256, as the DGFiP's policy asks.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import BinaryIO

from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from pyhanko.sign import signers

from . import xades
from .check import Signed
from .files import MAX_BYTES, new_file
from .flow import Flow, Signable, scan
from .person import Person
from .refusal import ALTERED, UNFIT, DocumentRefusedError
from .trust import Trust, common_name
from .xades import Place

__all__ = ["Place", "check", "fill", "prepare", "sign", "unsigned"]
_END_TAG_PATTERN = re.compile(rb"</(?:[^\s<>:]+:)?(?:Bordereau|PES_Aller)\s*>")
_SIGN_AGAIN = "À faire : signez le flux du circuit avec « signer-acte », et déposez le fichier signé tel quel"
_FOLLOW = f"{_SIGN_AGAIN} ; ou signez-le par un logiciel qui suit la politique de la DGFiP (XAdES-EPES 1.2.2, SHA-256)"
_BY_WHOM = (
    "À faire : faites signer le flux par la personne attendue, avec un certificat qui vaut ; si le sien vaut, "
    "prévenez le groupement"
)
_WRONG_FLOW_REASON = "ce n'est pas le flux du circuit qui a été signé. À faire : signez celui du circuit"


def unsigned(path: Path, limit: int = MAX_BYTES) -> Flow:
    """Read a PES Aller that may be signed.

    Args:
        limit: bytes.

    Raises:
        Refusal: no PES, nothing to sign in it, signed already.
    """
    flow = scan(path, limit)
    parts = flow.signed
    if flow.astray or any(part.signatures for part in (flow.root, *flow.slips)):
        raise DocumentRefusedError(
            f"{path.name} : ce PES est déjà signé. À faire : signez celui que la comptabilité exporte"
        )
    with path.open("rb") as stream:
        for part in parts:
            stream.seek(part.end)
            if not _END_TAG_PATTERN.match(stream.read(200)):  # <Bordereau/>
                raise DocumentRefusedError(f"{path.name} : {part.name} est vide. À faire : exportez de nouveau le flux")
    return flow


def sign(source: Path, target: Path, signer: signers.Signer, place: Place, limit: int = MAX_BYTES) -> int:
    """Sign a PES Aller; gives how many signatures were made. The source is not touched, nor what it holds in the copy.

    Args:
        place: where it is signed.
        limit: bytes, of the copy too.

    Raises:
        Refusal: no PES, signed already, the copy cannot be written.
    """
    own: asn1_x509.Certificate = signer.signing_cert
    certificate = x509.load_der_x509_certificate(own.dump())
    waiting = prepare(source, certificate, place, limit)
    signatures = [
        (one.at, one.filled(certificate, asyncio.run(signer.async_sign_raw(one.info, "sha256")))) for one in waiting
    ]
    fill(source, target, signatures, limit)
    return len(signatures)


@dataclass(frozen=True)
class PendingPesSignature:
    """A signature that waits for its key.

    Attributes:
        at: where it goes in the flow, in bytes.
        before: what it is up to its value, in the flow's encoding.
        after: the rest of it.
        info: what the key signs, over SHA-256.
    """

    at: int
    before: bytes
    after: bytes
    info: bytes

    def filled(self, certificate: x509.Certificate, made: bytes) -> bytes:
        """The signature, once the key `made` its value: PKCS #1 v1.5, or ECDSA in DER."""
        return self.before + xades.value(certificate, made).encode("ascii") + self.after


def prepare(
    source: Path, certificate: x509.Certificate, place: Place, limit: int = MAX_BYTES
) -> list[PendingPesSignature]:
    """Make the signatures of a PES Aller, but for their values.

    Args:
        place: where it is signed.
        limit: bytes.

    Raises:
        Refusal: no PES, signed already.
    """
    flow = unsigned(source, limit)
    digests, _whole = flow.digests({part.name: "sha256" for part in flow.signed})
    moment = dt.datetime.now(dt.UTC)

    def encoded(text: str) -> bytes:
        return text.encode(flow.encoding, "xmlcharrefreplace")

    found = []
    for part in flow.signed:
        own = _free_identifier(f"{part.name}_SIG", flow.ids)
        one = xades.prepare(part.name, own, digests[part.name], certificate, place, moment)
        found.append(PendingPesSignature(part.end, encoded(one.before), encoded(one.after), one.info))
    return found


def fill(source: Path, target: Path, signatures: Sequence[tuple[int, bytes]], limit: int = MAX_BYTES) -> None:
    """Write a copy of a flow with its signatures.

    Args:
        signatures: where each goes, in bytes of the source and in order, and what it is.
        limit: bytes, of the copy.

    Raises:
        Refusal: the copy would be too large, or cannot be written.
    """
    size = source.stat().st_size + sum(len(signature) for _at, signature in signatures)
    if size > limit:
        raise DocumentRefusedError(
            f"{source.name} : signé, le flux ferait {size / 1e6:.1f} Mo, {limit / 1e6:.0f} Mo au plus. À faire : "
            "partagez-le en plusieurs flux"
        )
    with source.open("rb") as stream, new_file(target) as output:
        for at, signature in signatures:
            _copy_bytes(stream, output, at - stream.tell())
            output.write(signature)
        shutil.copyfileobj(stream, output)


def _free_identifier(stem: str, taken: set[str]) -> str:
    """An identifier that nothing bears, nor what is made of it."""
    for rank in count(1):
        name = f"{stem}_{rank}"
        if taken.isdisjoint((name, f"{name}_SP", f"{name}_SV")):
            break
    return name


def _copy_bytes(source: BinaryIO, target: BinaryIO, size: int) -> None:
    while size > 0 and (block := source.read(min(size, 1 << 20))):
        target.write(block)
        size -= len(block)


async def check(
    path: Path, person: Person, trust: Trust, original: Path | None = None, limit: int = MAX_BYTES
) -> Signed:
    """Check a signed PES that was handed in: every part that must be is signed by this person, and nothing changed.

    Args:
        original: the flow of the circuit: what was signed must be that one.
        limit: bytes.

    Raises:
        Refusal: the reason.
    """
    flow = scan(path, limit)
    readings: dict[str, xades.Reading] = {}
    accepted: set[x509.Certificate] = set()
    for part in flow.signed:
        reading = readings[part.name] = _read_signature(flow, part, old=original is not None)
        if reading.certificate not in accepted:
            holder = _to_asn1(reading.certificate)
            if told := await trust.refusal(holder) or person.refusal(holder):
                raise DocumentRefusedError(f"{path.name} : {told}. {_BY_WHOM}")
            accepted.add(reading.certificate)
    borne = [part for part in (flow.root, *flow.slips) if part.signatures]
    if flow.astray or len(borne) != len(readings):
        raise DocumentRefusedError(
            f"{path.name} : {UNFIT} : une signature n'est pas à la place de ce qu'elle signe. {_FOLLOW}"
        )
    digests, whole = flow.digests({name: reading.algorithm for name, reading in readings.items()})
    for name, reading in readings.items():
        if digests[name] != reading.digest:
            raise DocumentRefusedError(f"{path.name} : {name} : {ALTERED}. {_SIGN_AGAIN}")
    if original:
        known = scan(original, limit)
        if known.digests({part.name: "sha256" for part in known.signed})[1] != whole:
            raise DocumentRefusedError(f"{path.name} : {_WRONG_FLOW_REASON}")
    first = _to_asn1(next(iter(readings.values())).certificate)
    outdated = dict.fromkeys(one for reading in readings.values() for one in reading.outdated)
    return Signed(common_name(first.subject), f"{first.serial_number:X}", remarks=tuple(outdated))


def _read_signature(flow: Flow, part: Signable, *, old: bool) -> xades.Reading:
    if len(part.signatures) != 1:
        what = "porte plusieurs signatures" if part.signatures else "n'est pas signé"
        raise DocumentRefusedError(
            f"{flow.path.name} : {part.name} {what}. À faire : signez le flux avec « signer-acte »"
        )
    try:
        return xades.read(part.signatures[0], part.name, whole=part is flow.root, old=old)
    except xades.InvalidSignatureError as why:
        follow = _SIGN_AGAIN if isinstance(why, xades.AlteredSignatureError) else _FOLLOW
        raise DocumentRefusedError(f"{flow.path.name} : {part.name} : {xades.explained(why)}. {follow}") from None


def _to_asn1(certificate: x509.Certificate) -> asn1_x509.Certificate:
    return asn1_x509.Certificate.load(certificate.public_bytes(Encoding.DER), strict=True)
