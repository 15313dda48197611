"""Signing with a key that is elsewhere, on its person's PC: the document stays here, and what the key has to sign goes
there.

What waits in between (`Waiting`) is small, and says nothing that is believed: the signed copy is judged as one that a
person hands in.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asn1crypto import pem
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from creatic_agent.proof import signed_by

from . import pades, pes
from .files import looks_like_xml
from .refusal import BROKEN, DocumentRefusedError
from .trust import common_name

MAX_CERTIFICATES = 10
MAX_SIGNATURES = 200  # of a flow: each is asked of the key
MAX_ADDED_BYTES = 1_000_000  # bytes below a PDF: it waits with others, in the memory of who keeps them
_MIN_RSA_BITS = 2048  # bits
_CURVES = (256, 384, 521)  # bits
_NO_CERTIFICATE_REASON = (
    "aucun certificat ne se lit dans ce que le programme de signature a envoyé. À faire : installez sa dernière version"
)
_UNSUPPORTED_KEY_REASON = (
    "la clé du certificat de {} n'est pas d'un type admis (RSA d'au moins 2048 bits, ou ECDSA). À faire : voyez avec "
    "le prestataire du certificat"
)
_MOVED = "{} : ce n'est plus le document qui a été préparé. À faire : recommencez la signature"
_WRONG = (
    "{} : " + BROKEN + " : elle n'est pas de ce document, ou pas de la clé de {}. À faire : recommencez la signature"
)
_TOO_MANY_PARTS_REASON = (
    "{} : {} bordereaux sont à signer, {} au plus d'ici. À faire : signez le flux avec « signer-acte », ou partagez-le"
)
_LONG = (
    "{} : ce document est fait de telle façon (une page ou un sommaire démesurés) que sa signature pèserait {:.1f} Mo. "
    "À faire : signez-le à la main (téléchargez-le, signez-le, déposez le fichier signé), ou refaites-le"
)


@dataclass(frozen=True)
class PendingDocument:
    """A document whose signatures wait for their key.

    Attributes:
        is_pes: a flow; a PDF otherwise.
        digest: SHA-256 of the document, hexadecimal.
        chain: the certificate of the key, then those above it.
        parts: its signatures: one of a PDF, one of each part of a flow.
    """

    is_pes: bool
    digest: str
    chain: Sequence[asn1_x509.Certificate]
    parts: Sequence[pades.PendingPdfSignature] | Sequence[pes.PendingPesSignature]

    @property
    def to_sign(self) -> list[bytes]:
        """What the key signs, over SHA-256, in order."""
        return [one.info if isinstance(one, pes.PendingPesSignature) else one.attributes for one in self.parts]

    def dump(self) -> bytes:
        """As JSON."""
        parts = [
            {name: _encode_base64(value) if isinstance(value, bytes) else value for name, value in vars(one).items()}
            for one in self.parts
        ]
        told = {
            "format": "xades" if self.is_pes else "pades",
            "sha256": self.digest,
            "certificats": [_encode_base64(one.dump()) for one in self.chain],
            "a_signer": [_encode_base64(one) for one in self.to_sign],
            "parties": parts,
        }
        return json.dumps(told).encode()

    @classmethod
    def load(cls, text: bytes) -> PendingDocument:
        """What `dump` wrote."""
        told: dict[str, Any] = json.loads(text)
        made: Any = pes.PendingPesSignature if told["format"] == "xades" else pades.PendingPdfSignature
        parts = [
            made(**{name: base64.b64decode(value) if isinstance(value, str) else value for name, value in one.items()})
            for one in told["parties"]
        ]
        chain = [asn1_x509.Certificate.load(base64.b64decode(one)) for one in told["certificats"]]
        return cls(told["format"] == "xades", told["sha256"], chain, parts)


def _encode_base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _file_digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read_chain(texts: Sequence[str]) -> list[asn1_x509.Certificate]:
    """Certificates in PEM, that of the key first: it, and those of the others that lead from it to a root.

    Raises:
        Refusal: there is none, or its key is of a kind that is not admitted.
    """
    try:
        ders = [pem.unarmor(one.encode("ascii"))[2] for one in texts[:MAX_CERTIFICATES]]
        own, *others = [asn1_x509.Certificate.load(one, strict=True) for one in ders]
        key = x509.load_der_x509_certificate(own.dump()).public_key()
        issuers = {one.subject.hashable: one for one in others if one.ca}
        chain = [own]
        while len(chain) <= len(others) and chain[-1].self_signed == "no":
            if (above := issuers.get(chain[-1].issuer.hashable)) is None:
                break
            chain.append(above)
    except (ValueError, TypeError, AttributeError, KeyError):
        raise DocumentRefusedError(_NO_CERTIFICATE_REASON) from None
    admitted = (isinstance(key, rsa.RSAPublicKey) and key.key_size >= _MIN_RSA_BITS) or (
        isinstance(key, ec.EllipticCurvePublicKey) and key.key_size in _CURVES
    )
    if not admitted:
        raise DocumentRefusedError(_UNSUPPORTED_KEY_REASON.format(common_name(own.subject)))
    return chain


def prepare(document: Path, chain: Sequence[asn1_x509.Certificate], place: pes.Place) -> PendingDocument:
    """Make the signatures of a document, but for what the key does.

    Args:
        chain: as `read_chain` gives it.
        place: where a flow is signed.

    Raises:
        Refusal: it cannot be signed.
    """
    if looks_like_xml(document):
        own = x509.load_der_x509_certificate(chain[0].dump())
        parts = pes.prepare(document, own, place)
        if len(parts) > MAX_SIGNATURES:
            raise DocumentRefusedError(_TOO_MANY_PARTS_REASON.format(document.name, len(parts), MAX_SIGNATURES))
        return PendingDocument(True, _file_digest(document), chain, parts)
    alone = asyncio.run(pades.prepare(document, chain))
    if len(alone.added) > MAX_ADDED_BYTES:  # what a signature changes is written again whole: the catalogue, a page
        raise DocumentRefusedError(_LONG.format(document.name, len(alone.added) / 1e6))
    return PendingDocument(False, _file_digest(document), chain, [alone])


def finish(document: Path, target: Path, waiting: PendingDocument, signatures: Sequence[bytes]) -> None:
    """Write the signed copy of a document.

    Args:
        document: the one that was prepared.
        signatures: what the key did, in the order of `Waiting.to_sign`: PKCS #1 v1.5, or ECDSA in DER.

    Raises:
        Refusal: the document is another one; a signature is of something else, or of another key.
    """
    if _file_digest(document) != waiting.digest:
        raise DocumentRefusedError(_MOVED.format(document.name))
    own = x509.load_der_x509_certificate(waiting.chain[0].dump())
    made = list(zip(waiting.to_sign, signatures, strict=True)) if len(signatures) == len(waiting.parts) else []
    if not made or not all(signed_by(own.public_key(), value, data) for data, value in made):
        raise DocumentRefusedError(_WRONG.format(document.name, common_name(waiting.chain[0].subject)))
    if waiting.is_pes:
        parts = [one for one in waiting.parts if isinstance(one, pes.PendingPesSignature)]
        filled = [(one.at, one.filled(own, value)) for one, value in zip(parts, signatures, strict=True)]
        pes.fill(document, target, filled)
        return
    [alone] = [one for one in waiting.parts if isinstance(one, pades.PendingPdfSignature)]
    asyncio.run(pades.fill(document, target, alone, waiting.chain, signatures[0]))
